"""Model files, looked through with nothing but NumPy before any library loads them."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np

from .architectures import Shapes

# Where a protobuf message of onnx.proto holds others: message → field number → message.
# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_NESTED: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_NODE_DOMAIN: Final = 7
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_RAW, _TENSOR_DOUBLES, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 2, 4, 9, 10, 13, 14
_ONNX_FLOATS: Final = {1: "<f4", 10: "<f2", 11: "<f8"}
_SAFETENSORS_DTYPES: Final = {"F32": "<f4", "F16": "<f2", "I32": "<i4"}
_DEEPEST: Final = 32


def fault_of_graph(graph: bytes) -> str | None:
    """Return what is wrong with an ONNX file, or None.

    Wrong are external data, operators of foreign domains, weights that are NaN or infinite, and bytes that are no
    protobuf message. Whether the graph can run is for onnxruntime to say.
    """
    try:
        for kind, message in _messages(memoryview(graph), "Model"):
            fault = None
            if kind == "Tensor":
                fault = _fault_of_tensor(list(_fields(message)))
            elif kind == "Node":
                domains = {bytes(value) for number, value in _fields(message) if number == _NODE_DOMAIN}
                foreign = domains - {b"", b"ai.onnx"}
                fault = f"operators of the domain {foreign.pop()!r}" if foreign else None
            if fault:
                return fault
    except (ValueError, IndexError) as error:
        return f"a damaged file ({error})"
    return None


def _fault_of_tensor(fields: list[tuple[int, memoryview]]) -> str | None:
    dtype = None
    for number, value in fields:
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and len(value)):
            return "a tensor with external data"
        if number == _TENSOR_TYPE:
            dtype = _ONNX_FLOATS.get(int.from_bytes(value, "little"))
    stored = {_TENSOR_RAW: dtype, _TENSOR_FLOATS: "<f4", _TENSOR_DOUBLES: "<f8"}
    for number, value in fields:
        kind = stored.get(number)
        if dtype and kind and not _finite(value, kind):
            return "NaN or infinite weights"
    return None


def _messages(message: memoryview, kind: str, depth: int = 0) -> Iterator[tuple[str, memoryview]]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    yield kind, message
    nested = _NESTED.get(kind, {})
    if nested:
        for number, value in _fields(message):
            if number in nested:
                yield from _messages(value, nested[number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (field number, payload) of a protobuf message; a varint's payload is its value, little-endian."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield number, memoryview(value.to_bytes((value.bit_length() + 7) // 8, "little"))
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
        if length > len(message) - position:
            raise ValueError(f"a field of {length} bytes is cut short")
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"an overlong number at byte {position}")


class _TensorHeader(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def fault_of_weights(weights: bytes, shapes: Shapes) -> str | None:
    """Return what is wrong with a safetensors file that should hold tensors of some dtypes and shapes, or None.

    Wrong are a header that does not describe the bytes behind it, other tensors than expected, and weights that are NaN
    or infinite. The format: https://github.com/huggingface/safetensors#format
    """
    length = int.from_bytes(weights[:8], "little")
    if len(weights) < 8 or length > len(weights) - 8:
        return "a damaged header"
    try:
        header = msgspec.json.decode(weights[8 : 8 + length], type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        tensors = {name: msgspec.json.decode(entry, type=_TensorHeader) for name, entry in header.items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return f"a damaged header ({error})"
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    for name in sorted(found.keys() | shapes.keys()):
        if found.get(name) != shapes.get(name):
            return f"tensor {name!r} as {found.get(name)}, not {shapes.get(name)}"
    data = memoryview(weights)[8 + length :]
    for name, tensor in tensors.items():
        start, end = tensor.data_offsets
        dtype = np.dtype(_SAFETENSORS_DTYPES[tensor.dtype])
        if not 0 <= start <= end <= len(data) or end - start != dtype.itemsize * math.prod(tensor.shape):
            return f"a header at odds with the bytes of tensor {name!r}"
        if not _finite(data[start:end], dtype.str):
            return f"NaN or infinite weights in tensor {name!r}"
    return None


def _finite(data: memoryview, dtype: str) -> bool:
    """Return whether no number is NaN or infinite."""
    if dtype == "<f2":  # NumPy converts halves one by one; the bits say it too: all those of the exponent
        return not ((np.frombuffer(data, "<u2") & np.uint16(0x7C00)) == 0x7C00).any()
    return bool(np.isfinite(np.frombuffer(data, dtype)).all())
