"""Decode the protobuf messages of an ONNX file that exported graphs consist of, and refuse all others."""

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

# A context of 1,024 symbols takes two thirds of them.
_MOST_FIELDS: Final = 1 << 16

Message = defaultdict[str, list[Any]]

# message → field number → its name, and its content: a number, bytes, or another message
# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_FIELDS: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = {
    "Model": {
        1: ("ir_version", "int"),
        2: ("producer_name", "bytes"),
        3: ("producer_version", "bytes"),
        7: ("graph", "Graph"),
        8: ("opset_import", "OperatorSet"),
        14: ("metadata_props", "Entry"),
    },
    "OperatorSet": {1: ("domain", "bytes"), 2: ("version", "int")},
    "Entry": {1: ("key", "bytes"), 2: ("value", "bytes")},
    "Graph": {
        1: ("node", "Node"),
        2: ("name", "bytes"),
        5: ("initializer", "Tensor"),
        10: ("doc_string", "bytes"),
        11: ("input", "Value"),
        12: ("output", "Value"),
    },
    "Node": {
        1: ("input", "bytes"),
        2: ("output", "bytes"),
        3: ("name", "bytes"),
        4: ("op_type", "bytes"),
        5: ("attribute", "Attribute"),
        6: ("doc_string", "bytes"),
        7: ("domain", "bytes"),
    },
    "Attribute": {1: ("name", "bytes"), 2: ("f", "float"), 3: ("i", "int"), 4: ("s", "bytes"), 20: ("type", "int")},
    "Tensor": {
        1: ("dims", "int"),
        2: ("data_type", "int"),
        8: ("name", "bytes"),
        9: ("raw_data", "bytes"),
        12: ("doc_string", "bytes"),
    },
    "Value": {1: ("name", "bytes"), 2: ("type", "Type"), 3: ("doc_string", "bytes")},
    "Type": {1: ("tensor_type", "TensorType")},
    "TensorType": {1: ("elem_type", "int"), 2: ("shape", "Shape")},
    "Shape": {1: ("dim", "Dim")},
    "Dim": {1: ("dim_value", "int"), 2: ("dim_param", "bytes")},
}
_FOREIGN: Final = {
    ("Model", 20): "instructions for training",
    ("Model", 25): "functions",
    ("Graph", 15): "sparse tensors",
    ("Attribute", 6): "a subgraph",
    ("Attribute", 11): "subgraphs",
    ("Tensor", 13): "a tensor with external data",
    ("Tensor", 14): "a tensor with external data",
}
_WIRE_TYPES: Final = {"int": 0, "float": 5}  # all others are type 2: a length comes first


class RefusedError(Exception):
    """The graph holds something that no exported graph has; the message says what."""


class Decoder:
    """Decode protobuf messages whose fields are all in the table above."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def message(self, data: memoryview, kind: str) -> Message:
        """Return the values of each field, by name."""
        found: Message = defaultdict(list)
        for number, wire_type, value in _fields(data):
            self._left -= 1
            if self._left < 0:
                raise RefusedError(f"more than {_MOST_FIELDS} fields")
            if number not in _FIELDS[kind]:
                raise RefusedError(_FOREIGN.get((kind, number), f"a {kind} with the field {number}"))
            name, content = _FIELDS[kind][number]
            if wire_type != _WIRE_TYPES.get(content, 2):
                raise RefusedError(f"a {kind} with {name} of wire type {wire_type}")
            found[name].append(self._value(value, content))
        return found

    def _value(self, value: Any, content: str) -> Any:
        if content == "int":
            return value
        if content == "float":
            return struct.unpack("<f", value)[0]
        return value if content == "bytes" else self.message(value, content)


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Yield (field number, wire type, value) of a protobuf message; the value is a number or its bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            yield number, wire_type, value - (value >> 63 << 64)  # two's complement
            continue
        if wire_type == 2:
            length, position = _varint(data, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
        if length > len(data) - position:
            raise ValueError(f"a field of {length} bytes is cut short")
        yield number, wire_type, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    if byte < 0x80 and value < 1 << 64:
        return value, position
    raise ValueError(f"an overlong number at byte {position}")


def one(message: Message, name: str, default: Any = None) -> Any:
    """Return the value of a field that may not repeat."""
    values = message[name] or [default]
    if len(values) > 1 or values[0] is None:
        raise RefusedError(f"{len(message[name])} times {name}")
    return values[0]
