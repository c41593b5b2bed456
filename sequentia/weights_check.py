"""Validate a safetensors file using only NumPy, before any library loads it."""

import math
from typing import Final

import msgspec
import numpy as np

from .architectures import Shapes

_SAFETENSORS_DTYPES: Final = {"F32": "<f4", "F16": "<f2", "I32": "<i4"}
_LONGEST_HEADER: Final = 1 << 20
_SPACE: Final = b" \t\r\n"


class _TensorHeader(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def fault_of_weights(weights: bytes, shapes: Shapes) -> str | None:
    """Return what is wrong with a safetensors file, or None.

    The header has to describe each byte after it exactly once, the tensors have to be the expected ones, and all
    weights finite. The format: https://github.com/huggingface/safetensors#format

    Args:
        weights: the contents of the file.
        shapes: the expected dtype and shape of each tensor, by name.
    """
    try:
        tensors, data = _split(weights)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        return f"a damaged header ({error})"
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    for name in sorted(found.keys() | shapes.keys()):
        if found.get(name) != shapes.get(name):
            return f"tensor {name!r} as {found.get(name)}, not {shapes.get(name)}"
    place = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        start, end = tensor.data_offsets
        dtype = np.dtype(_SAFETENSORS_DTYPES[tensor.dtype])
        if start != place or end > len(data) or end - start != dtype.itemsize * math.prod(tensor.shape):
            return f"a header at odds with the bytes of tensor {name!r}"
        if not finite(data[start:end], dtype.str):
            return f"NaN or infinite weights in tensor {name!r}"
        place = end
    return None if place == len(data) else f"a header at odds with the bytes after {place}"


def _split(weights: bytes) -> tuple[dict[str, _TensorHeader], memoryview]:
    """Return the header of each tensor in a safetensors file, by name, and the bytes after the header."""
    length = int.from_bytes(weights[:8], "little")
    if len(weights) < 8 or length > min(len(weights) - 8, _LONGEST_HEADER):
        raise ValueError(f"of {length} bytes")
    text = weights[8 : 8 + length]
    header = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    notes = {name: header.pop(name) for name in header.keys() & {"__metadata__"}}
    tensors = {name: msgspec.json.decode(entry, type=_TensorHeader) for name, entry in header.items()}
    if len(msgspec.json.encode(notes | tensors).translate(None, _SPACE)) != len(text.translate(None, _SPACE)):
        raise ValueError("with repeated or unknown keys")
    return tensors, memoryview(weights)[8 + length :]


def finite(data: memoryview, dtype: str) -> bool:
    """Return whether all numbers are finite."""
    if dtype == "<f2":  # NumPy would convert them one by one; all exponent bits set means not finite
        return not ((np.frombuffer(data, "<u2") & np.uint16(0x7C00)) == 0x7C00).any()
    return bool(np.isfinite(np.frombuffer(data, dtype)).all())
