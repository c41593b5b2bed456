"""An ONNX graph, held against what the exporter writes, before onnxruntime opens it.

A graph is refused unless each of its fields, operators and attributes stands in a table below, and unless every shape
in it can be told for each number of rows that a run may have. Then what it costs is known, and bounded: it cannot loop,
and needs no more memory and multiplications than exported models do.
"""

import math
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .weights_check import finite

RUNS: Final = (256, 64, 8, 1)
"""How many rows a run of the network may have."""

IR_VERSIONS: Final = range(8, 12)
OPSETS: Final = range(18, 24)  # in all of them the operators below mean the same

# For what the runtime computes once, when it opens the graph. The exporter's tables take 16 MiB, and appear twice; a
# weight of float16 becomes one of float32.
MOST_BYTES: Final = 128 << 20
MOST_BYTES_OF_BYTE: Final = 4
MOST_PRODUCTS: Final = 1 << 34

# For each row of a run. A hidden layer of 65,536 units takes half of it. A row meets each weight, of four bytes or two,
# once at most; in a recurrent network, once for each symbol of its context.
MOST_BYTES_OF_ROW: Final = 1 << 20
MOST_PRODUCTS_OF_ROW_AND_BYTE: Final = 1

# A context of 1,024 symbols takes 3,600 nodes and two thirds of the fields.
_MOST_NODES: Final = 5_000
_MOST_FIELDS: Final = 1 << 16
_MOST_AXES: Final = 4
_MOST_KNOWN: Final = 8

_Message = defaultdict[str, list[Any]]

# message → field number → its name, and what it holds: a number, bytes, or a message
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
_WIRE_TYPES: Final = {"int": 0, "float": 5}  # all else has a length before it: type 2
_DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
}
_ATTRIBUTE_TYPES: Final = {1: "f", 2: "i", 3: "s"}


def fault_of_graph(graph: bytes, block_size: int, ids: int) -> str | None:
    """Return what is wrong with the ONNX file of a model, or None.

    Args:
        graph: the file.
        block_size: symbols of context, which the input should have.
        ids: logits that the output should have.
    """
    try:
        model = _Decoder().message(memoryview(graph), "Model")
        _check_versions(model)
        content = _one(model, "graph")
        _check_value(content, "input", b"context", 7, block_size)
        _check_value(content, "output", b"logits", 1, ids)
        weights = _weights(content)
        nodes = [_Node.of(node) for node in content["node"]]
        if len(nodes) > _MOST_NODES:
            raise _RefusedError(f"{len(nodes)} operators")
        for rows in RUNS:
            _check_costs(nodes, weights, rows, block_size, ids, len(graph))
    except _RefusedError as refused:
        return str(refused)
    except (ValueError, IndexError) as error:
        return f"a damaged file ({error})"
    return None


class _RefusedError(Exception):
    """Says what a graph holds that an exported one does not."""


# What the file says


class _Decoder:
    """Decodes protobuf messages, as far as they consist of what the table above has."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def message(self, data: memoryview, kind: str) -> _Message:
        """Return the values of each field by its name: several, or one, or none."""
        found: _Message = defaultdict(list)
        for number, wire_type, value in _fields(data):
            self._left -= 1
            if self._left < 0:
                raise _RefusedError(f"more than {_MOST_FIELDS} fields")
            if number not in _FIELDS[kind]:
                raise _RefusedError(_FOREIGN.get((kind, number), f"a {kind} with the field {number}"))
            name, content = _FIELDS[kind][number]
            if wire_type != _WIRE_TYPES.get(content, 2):
                raise _RefusedError(f"a {kind} with {name} of wire type {wire_type}")
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


def _one(message: _Message, name: str, default: Any = None) -> Any:
    """Return the value of a field that may not repeat."""
    values = message[name] or [default]
    if len(values) > 1 or values[0] is None:
        raise _RefusedError(f"{len(message[name])} times {name}")
    return values[0]


def _check_versions(model: _Message) -> None:
    version = _one(model, "ir_version")
    if version not in IR_VERSIONS:
        raise _RefusedError(f"IR version {version}")
    operators = _one(model, "opset_import")
    domain, version = bytes(_one(operators, "domain", b"")), _one(operators, "version")
    if domain or version not in OPSETS:
        raise _RefusedError(f"operators of the domain {domain!r}, version {version}")


def _check_value(graph: _Message, kind: str, name: bytes, elem_type: int, width: int) -> None:
    """Hold the input or the output against what a model's has to be."""
    value = _one(graph, kind)
    tensor = _one(_one(value, "type"), "tensor_type")
    dims = [(dim["dim_value"], bool(dim["dim_param"])) for dim in _one(tensor, "shape")["dim"]]
    found = (bytes(_one(value, "name")), _one(tensor, "elem_type"), dims)
    if found != (name, elem_type, [([], True), ([width], False)]):
        what = f"{_DTYPES[elem_type]} [a dynamic batch dimension, {width}]"
        raise _RefusedError(f"{found} instead of one {kind} {name.decode()}, {what}")


@dataclass(frozen=True)
class _Value:
    """What is known of a value before any run.

    Attributes:
        dtype: of its numbers.
        shape: for some number of rows.
        varies: whether it depends on the input, so that each run computes it.
        known: its numbers, where they are few and whole.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    varies: bool = False
    known: tuple[int, ...] | None = None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _weights(graph: _Message) -> dict[bytes, _Value]:
    """Return the tensors of a graph by name, each of them looked through."""
    weights: dict[bytes, _Value] = {}
    for tensor in graph["initializer"]:
        name, dtype = bytes(_one(tensor, "name")), _DTYPES.get(_one(tensor, "data_type"))
        shape, data = tuple(tensor["dims"]), _one(tensor, "raw_data")
        if dtype is None or name in weights:
            raise _RefusedError(f"the tensor {name!r} twice" if dtype else f"a tensor {name!r} of another type")
        if min(shape, default=1) < 1 or len(shape) > _MOST_AXES or len(data) != math.prod(shape) * dtype.itemsize:
            raise _RefusedError(f"a tensor {name!r} of shape {list(shape)} with {len(data)} bytes")
        if dtype.kind == "f" and not finite(data, dtype.str):
            raise _RefusedError(f"NaN or infinite weights in {name!r}")
        few = dtype == np.int64 and math.prod(shape) <= _MOST_KNOWN
        weights[name] = _Value(dtype, shape, known=tuple(np.frombuffer(data, dtype).tolist()) if few else None)
    return weights


@dataclass(frozen=True)
class _Node:
    """One step of the computation, of a permitted operator.

    Attributes:
        operator: its name in the table.
        inputs: names of values.
        output: name of the value that it computes.
        attributes: options of the operator.
    """

    operator: str
    inputs: list[bytes]
    output: bytes
    attributes: dict[str, Any]

    @classmethod
    def of(cls, message: _Message) -> "_Node":
        operator = str(bytes(_one(message, "op_type")), "ascii", "replace")
        domain = bytes(_one(message, "domain", b""))
        if domain:
            raise _RefusedError(f"operators of the domain {domain!r}")
        if operator not in _OPERATORS:
            raise _RefusedError(f"the operator {operator!r}, which no exported graph has")
        permitted, attributes = _OPERATORS[operator][1], {}
        for attribute in message["attribute"]:
            name = str(bytes(_one(attribute, "name")), "ascii", "replace")
            value = _one(attribute, _ATTRIBUTE_TYPES.get(_one(attribute, "type"), "s"), 0)
            value = bytes(value) if isinstance(value, memoryview) else value
            if name in attributes or value not in permitted.get(name, ()):
                raise _RefusedError(f"the operator {operator} with {name} = {value!r}")
            attributes[name] = value
        return cls(operator, [bytes(name) for name in message["input"]], bytes(_one(message, "output")), attributes)


# What it makes of the input


@dataclass
class _Costs:
    """What is left of a budget, for values that are computed once, or for each run."""

    when: str
    bytes: int
    products: int

    def add(self, operator: str, size: int, products: int) -> None:
        self.bytes -= size
        self.products -= products
        if self.bytes < 0 or self.products < 0:
            what = "too much memory" if self.bytes < 0 else "too many multiplications"
            raise _RefusedError(f"{what} {self.when}, at the operator {operator}")


def _check_costs(
    nodes: Sequence[_Node], weights: Mapping[bytes, _Value], rows: int, block_size: int, ids: int, size: int
) -> None:
    """Follow a run with some rows through the graph, without computing it."""
    values = {**weights, b"context": _Value(np.dtype(np.int64), (rows, block_size), varies=True)}
    if b"context" in weights:
        raise _RefusedError("a tensor by the name of the input")
    once = _Costs("once", MOST_BYTES + MOST_BYTES_OF_BYTE * size, MOST_PRODUCTS)
    each = _Costs(
        f"for each {rows} rows",
        MOST_BYTES_OF_ROW * rows,
        MOST_PRODUCTS_OF_ROW_AND_BYTE * size * rows * max(1, block_size // 4),
    )
    for node in nodes:
        unknown = [name for name in node.inputs if name not in values]
        if unknown or node.output in values:
            what = f"uses {unknown[0]!r} before it is there" if unknown else f"makes {node.output!r} again"
            raise _RefusedError(f"the operator {node.operator}, which {what}")
        inputs = [values[name] for name in node.inputs]
        try:
            value, products = _followed(node, inputs)
        except (ValueError, LookupError) as error:
            shapes = [list(value.shape) for value in inputs]
            raise _RefusedError(f"the operator {node.operator} on shapes {shapes} ({error})") from error
        values[node.output] = value
        (each if value.varies else once).add(node.operator, value.bytes, products)
    logits = values.get(b"logits")
    if logits != _Value(_DTYPES[1], (rows, ids), varies=True):
        raise _RefusedError(f"logits as {logits} for {rows} rows")


def _followed(node: _Node, inputs: list[_Value]) -> tuple[_Value, int]:
    """Return what a step makes, and how many products it adds up."""
    shape = tuple(_OPERATORS[node.operator][0](inputs, node.attributes))
    if min(shape, default=1) < 1 or len(shape) > _MOST_AXES:
        raise ValueError(f"makes the shape {list(shape)}")
    known = inputs[0].shape if node.operator == "Shape" else None
    dtype = inputs[-1 if node.operator == "Where" else 0].dtype
    if node.operator in {"Cast", "Greater", "Shape"}:
        dtype = _DTYPES[{"Greater": 9, "Shape": 7}.get(node.operator) or node.attributes["to"]]
    products = math.prod(shape) * inputs[0].shape[-1] if node.operator in {"Gemm", "MatMul"} else 0
    return _Value(dtype, shape, any(each.varies for each in inputs), known), products


_Shape = Sequence[int]
_Attributes = Mapping[str, Any]


def _known(value: _Value) -> tuple[int, ...]:
    if value.known is None:
        raise ValueError("needs numbers that are not known")
    return value.known


def _axis(axis: int, axes: int) -> int:
    if not -axes <= axis < axes:
        raise ValueError(f"has no axis {axis}")
    return axis % axes


def _broadcast(inputs: list[_Value], _: _Attributes) -> _Shape:
    return np.broadcast_shapes(*(each.shape for each in inputs))


def _same(inputs: list[_Value], _: _Attributes) -> _Shape:
    (x,) = inputs
    return x.shape


def _expand(inputs: list[_Value], _: _Attributes) -> _Shape:
    x, shape = inputs
    return np.broadcast_shapes(x.shape, _known(shape))


def _gather(inputs: list[_Value], attributes: _Attributes) -> _Shape:
    x, places = inputs
    axis = _axis(attributes.get("axis", 0), len(x.shape))
    return (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _gather_nd(inputs: list[_Value], _: _Attributes) -> _Shape:
    x, places = inputs
    if places.shape[-1] > len(x.shape):
        raise ValueError("looks up too many axes")
    return (*places.shape[:-1], *x.shape[places.shape[-1] :])


def _gemm(inputs: list[_Value], attributes: _Attributes) -> _Shape:
    x, weight, bias = (each.shape for each in inputs)
    (rows, width), (outputs, inner) = x, weight if attributes.get("transB") else weight[::-1]
    if width != inner or np.broadcast_shapes((rows, outputs), bias) != (rows, outputs):
        raise ValueError("multiplies what does not fit")
    return rows, outputs


def _matmul(inputs: list[_Value], _: _Attributes) -> _Shape:
    (*before, rows, width), (*others, inner, columns) = (each.shape for each in inputs)
    if width != inner:
        raise ValueError("multiplies what does not fit")
    return (*np.broadcast_shapes(tuple(before), tuple(others)), rows, columns)


def _reduce_sum(inputs: list[_Value], attributes: _Attributes) -> _Shape:
    x, axes = inputs
    if attributes.get("keepdims", 1):
        raise ValueError("keeps the axes that it sums over")
    dropped = {_axis(axis, len(x.shape)) for axis in _known(axes)}
    return [size for axis, size in enumerate(x.shape) if axis not in dropped]


def _reshape(inputs: list[_Value], _: _Attributes) -> _Shape:
    x, target = inputs
    sizes = _known(target)
    fixed = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or min(sizes, default=1) < -1 or not fixed or math.prod(x.shape) % fixed:
        raise ValueError(f"has to make the shape {list(sizes)}")
    shape = [math.prod(x.shape) // fixed if size == -1 else size for size in sizes]
    if math.prod(shape) != math.prod(x.shape):
        raise ValueError(f"has to make the shape {list(sizes)}")
    return shape


def _shape(inputs: list[_Value], _: _Attributes) -> _Shape:
    (x,) = inputs
    return (len(x.shape),)


def _slice(inputs: list[_Value], _: _Attributes) -> _Shape:
    x, *numbers = inputs
    shape = list(x.shape)
    starts, ends, axes, steps = map(_known, numbers)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = _axis(axis, len(shape))
        if step < 1:
            raise ValueError(f"goes by steps of {step}")
        shape[at] = len(range(x.shape[at])[start:end:step])
    return shape


def _unsqueeze(inputs: list[_Value], _: _Attributes) -> _Shape:
    x, axes = inputs
    shape = list(x.shape)
    (axis,) = _known(axes)
    shape.insert(_axis(axis, len(shape) + 1), 1)
    return shape


_ANY_AXIS: Final = range(-_MOST_AXES, _MOST_AXES)

# operator → the shape that it makes, and the attributes that it may have
_OPERATORS: Final[Mapping[str, tuple[Callable[[list[_Value], _Attributes], _Shape], Mapping[str, Any]]]] = {
    "Add": (_broadcast, {}),
    "And": (_broadcast, {}),
    "Cast": (_same, {"to": tuple(_DTYPES)}),
    "Expand": (_expand, {}),
    "Gather": (_gather, {"axis": _ANY_AXIS}),
    "GatherND": (_gather_nd, {"batch_dims": (0,)}),
    "Gelu": (_same, {"approximate": (b"none",)}),
    "Gemm": (_gemm, {"alpha": (1,), "beta": (1,), "transA": (0,), "transB": (0, 1)}),
    "Greater": (_broadcast, {}),
    "MatMul": (_matmul, {}),
    "Mul": (_broadcast, {}),
    "ReduceSum": (_reduce_sum, {"keepdims": (0, 1), "noop_with_empty_axes": (0,)}),
    "Relu": (_same, {}),
    "Reshape": (_reshape, {"allowzero": (0, 1)}),
    "Shape": (_shape, {"start": (0,)}),
    "Sigmoid": (_same, {}),
    "Slice": (_slice, {}),
    "Sub": (_broadcast, {}),
    "Tanh": (_same, {}),
    "Unsqueeze": (_unsqueeze, {}),
    "Where": (_broadcast, {}),
}
