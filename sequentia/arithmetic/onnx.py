"""A network as an ONNX file, written byte by byte: the same model gives the same bytes, and no library is needed.

The format is that of protocol buffers (https://protobuf.dev/programming-guides/encoding). The numbers of the fields are
those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .base import LOGIT_BITS, Arithmetic, Inputs

OPSET: Final = 13
IR_VERSION: Final = 8
_FLOAT, _INT64 = 1, 7
_TYPES: Final = {"<f4": _FLOAT, "|i1": 3, "<i2": 5, "<i4": 6, "<i8": _INT64}
_ATTRIBUTE_INT: Final = 2

Buffer = bytes | memoryview


class OnnxWriter(Arithmetic[str]):
    """Writes down operations as the nodes of a graph. A value is the name that it has there.

    Args:
        tensors: those of ``model.safetensors``, by name: int8, int16 or int32.
        inputs: what the network reads.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.signedinteger]], inputs: Inputs) -> None:
        self._tensors, self._inputs = tensors, inputs
        self._nodes: dict[str, bytes] = {}
        self._constants: dict[str, list[Buffer]] = {}

    def file(self, metadata: Mapping[str, str]) -> bytes:
        """Return the contents of the file.

        Args:
            metadata: what the file says of itself, by key.
        """
        graph: list[Buffer] = [
            *(_field(1, node) for node in self._nodes.values()),
            _text(2, "sequentia"),
            *chain.from_iterable(self._constants.values()),
            _field(11, _value("context", _INT64, self._inputs.block_size)),
            *([_field(11, _value("conditions", _INT64, len(self._inputs.values)))] if self._inputs.values else []),
            _field(12, _value("logits", _FLOAT, self._inputs.ids)),
        ]
        model: list[Buffer] = [
            _number(1, IR_VERSION),
            _text(2, "sequentia"),
            _start(7, sum(map(len, graph))),
            *graph,
            _field(8, _number(2, OPSET)),
            *(_field(14, _text(1, key) + _text(2, value)) for key, value in metadata.items()),
        ]
        return b"".join(model)

    def tensor(self, name: str) -> str:
        """Return a tensor of ``model.safetensors``."""
        return self._constant(name, self._tensors[name])

    def symbol(self, place: int) -> str:
        """Return the ids at one place of the context."""
        return self._node("Gather", f"symbol.{place}", "context", self._whole(place), axis=1)

    def condition(self, column: int) -> str:
        """Return the ids of one condition's values."""
        return self._node("Gather", f"said.{column}", "conditions", self._whole(column), axis=1)

    def look_up(self, name: str, table: str, rows: str) -> str:
        """Return rows of a tensor."""
        if table not in self._tensors:
            return self._node("Gather", name, table, rows, axis=0)
        return self._node("Cast", name, self._node("Gather", f"{name}.stored", table, rows, axis=0), to=_FLOAT)

    def pairs(self, name: str, first: str, second: str) -> str:
        """Return the sum of each row of one tensor and each of another."""
        axis_0, axis_1 = (self._constant(f"axis.{axis}", np.array([axis], dtype="<i8")) for axis in (0, 1))
        column = self._node("Unsqueeze", f"{name}.first", self._number_of(first), axis_1)
        row = self._node("Unsqueeze", f"{name}.second", self._number_of(second), axis_0)
        return self._node("Flatten", name, self._node("Add", f"{name}.sums", column, row), axis=2)

    def scattered(self, name: str, size: int, gaps: str, values: str) -> str:
        """Return a table of zeros and some values. onnxruntime makes it once, when it opens the graph."""
        axis, shape = self._whole(0), self._constant(f"size.{size}", np.array([size], dtype="<i8"))
        places = self._node("CumSum", f"{name}.places", self._node("Cast", f"{gaps}.index", gaps, to=_INT64), axis)
        zeros = self._node("ConstantOfShape", f"{name}.zeros", shape)
        return self._node("ScatterElements", name, zeros, places, self._number_of(values), axis=0)

    def product(self, name: str, x: str, weight: str) -> str:
        """Return the product of numbers and a tensor."""
        return self._node("MatMul", name, self._number_of(x), self._number_of(weight))

    def add(self, name: str, x: str, y: str) -> str:
        """Return a sum."""
        return self._node("Add", name, self._number_of(x), self._number_of(y))

    def subtract(self, name: str, x: str, y: str) -> str:
        """Return a difference."""
        return self._node("Sub", name, self._number_of(x), self._number_of(y))

    def multiply(self, name: str, x: str, y: str) -> str:
        """Return a product, element by element."""
        return self._node("Mul", name, self._number_of(x), self._number_of(y))

    def maximum(self, name: str, x: str, y: str) -> str:
        """Return the greater of two, element by element."""
        return self._node("Max", name, x, y)

    def numbered(self, name: str, x: str, count: int, y: str) -> str:
        """Return indexes times a number, plus indexes."""
        return self._node("Add", name, self._node("Mul", f"{name}.row", x, self._whole(count)), y)

    def shift(self, name: str, x: str, bits: int) -> str:
        """Return numbers divided by a power of two and rounded."""
        if not bits:
            return self._number_of(x)
        if bits < 0:  # half of a large number's last place would not be exact
            return self._node("Mul", name, self._number_of(x), self._float(2.0**-bits))
        scaled = self._node("Mul", f"{name}.scaled", self._number_of(x), self._float(2.0**-bits))
        return self._node("Floor", name, self._node("Add", f"{name}.half", scaled, self._float(0.5)))

    def clip(self, name: str, x: str, low: int, high: int) -> str:
        """Return numbers within bounds."""
        return self._node("Clip", name, x, self._float(low), self._float(high))

    def index(self, name: str, x: str) -> str:
        """Return numbers as indexes."""
        return self._node("Cast", name, x, to=_INT64)

    def logits(self, x: str) -> str:
        """Return the result."""
        return self._node("Mul", "logits", x, self._float(2.0**-LOGIT_BITS))

    def _node(self, operator: str, output: str, *inputs: str, **attributes: int) -> str:
        node = [
            *(_text(1, name) for name in inputs),
            _text(2, output),
            _text(3, output),
            _text(4, operator),
            *(
                _field(5, _text(1, key) + _number(3, value) + _number(20, _ATTRIBUTE_INT))
                for key, value in attributes.items()
            ),
        ]
        self._nodes[output] = b"".join(node)
        return output

    def _number_of(self, value: str) -> str:
        """Return a value as it is, or a tensor as float32."""
        if value not in self._tensors:
            return value
        name = f"{value}.number"
        return name if name in self._nodes else self._node("Cast", name, value, to=_FLOAT)

    def _whole(self, value: int) -> str:
        return self._constant(f"index.{value}", np.array(value, dtype="<i8"))

    def _float(self, value: float) -> str:
        return self._constant(f"{value:.9g}", np.array(value, dtype="<f4"))

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        if name not in self._constants:
            data = values.reshape(-1).view(np.uint8).data  # large ones are copied once, into the file
            dims = b"".join(_number(1, size) for size in values.shape)
            about = dims + _number(2, _TYPES[values.dtype.str]) + _text(8, name) + _start(9, len(data))
            self._constants[name] = [_start(5, len(about) + len(data)), about, data]
        return name


def _value(name: str, kind: int, width: int) -> bytes:
    """Return the description of an input or output, [batch, width]."""
    dims = _field(1, _text(2, "batch")) + _field(1, _number(1, width))
    return _text(1, name) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))


def _text(field: int, value: str) -> bytes:
    return _field(field, value.encode())


def _field(field: int, value: bytes) -> bytes:
    return _start(field, len(value)) + value


def _start(field: int, length: int) -> bytes:
    return _varint(field << 3 | 2) + _varint(length)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
