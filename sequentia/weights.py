"""The tensors of ``model.safetensors``, which are whole numbers, read with NumPy alone."""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .architectures import Shapes

Tensors = dict[str, NDArray[np.signedinteger]]
"""The tensors of a model by name: int8, int16 or int32."""

_DTYPES: Final = {"I8": "|i1", "I16": "<i2", "I32": "<i4"}
_LONGEST_HEADER: Final = 1 << 20
_SPACE: Final = b" \t\r\n"


class _TensorHeader(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_tensors(data: bytes, shapes: Shapes) -> Tensors:
    """Return the tensors in a safetensors file (https://github.com/huggingface/safetensors#format).

    Args:
        data: the contents of the file.
        shapes: the expected shape of each tensor, by name.

    Raises:
        ValueError: if the header does not describe each byte after it exactly once, or the tensors are others.
    """
    try:
        headers, numbers = _split(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"a damaged header ({error})") from error
    for name in sorted(headers.keys() | shapes.keys()):
        if name not in headers:
            raise ValueError(f"no tensor {name!r}")
        if name not in shapes:
            raise ValueError(f"an unknown tensor {name!r}")
        found = tuple(headers[name].shape)
        if found != shapes[name]:
            raise ValueError(f"tensor {name!r} of shape {found}, not {shapes[name]}")
    tensors: Tensors = {}
    place = 0
    for name, header in sorted(headers.items(), key=lambda item: item[1].data_offsets):
        start, end = header.data_offsets
        if header.dtype not in _DTYPES:
            raise ValueError(f"tensor {name!r} of dtype {header.dtype}, not one of {', '.join(_DTYPES)}")
        dtype = np.dtype(_DTYPES[header.dtype])
        if start != place or end > len(numbers) or end - start != dtype.itemsize * math.prod(header.shape):
            raise ValueError(f"a header that contradicts the bytes of tensor {name!r}")
        tensors[name] = np.frombuffer(numbers[start:end], dtype).reshape(header.shape)
        place = end
    if place != len(numbers):
        raise ValueError(f"a header that contradicts the bytes after {place}")
    return tensors


def narrowest(values: NDArray[np.int64]) -> NDArray[np.signedinteger]:
    """Return whole numbers as the narrowest of int8, int16 and int32.

    Raises:
        ValueError: if some are too large for int32.
    """
    for dtype in map(np.dtype, _DTYPES.values()):
        if np.iinfo(dtype).min <= values.min() and values.max() <= np.iinfo(dtype).max:
            return np.ascontiguousarray(values, dtype)
    raise ValueError(f"numbers up to {np.abs(values).max():,}, too large for int32")


def _split(weights: bytes) -> tuple[dict[str, _TensorHeader], memoryview]:
    """Return the header of each tensor in a safetensors file, by name, and the bytes after the header."""
    length = int.from_bytes(weights[:8], "little")
    if len(weights) < 8 or length > min(len(weights) - 8, _LONGEST_HEADER):
        raise ValueError(f"a damaged header (of {length} bytes)")
    text = weights[8 : 8 + length]
    header = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    notes = {name: header.pop(name) for name in header.keys() & {"__metadata__"}}
    tensors = {name: msgspec.json.decode(entry, type=_TensorHeader) for name, entry in header.items()}
    if len(msgspec.json.encode(notes | tensors).translate(None, _SPACE)) != len(text.translate(None, _SPACE)):
        raise ValueError("a damaged header (with repeated or unknown keys)")
    return tensors, memoryview(weights)[8 + length :]
