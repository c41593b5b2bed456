"""Check an ONNX graph before onnxruntime opens it.

A graph is refused unless the tables here and in :mod:`sequentia.onnx_messages` hold each of its fields, operators and
attributes, and unless every shape in it can be computed for each number of rows in a run. Its cost is then known and
limited: it cannot loop, and it needs no more memory and multiplications than exported models do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .onnx_messages import Decoder, Message, RefusedError, one
from .weights_check import finite

RUNS: Final = (256, 64, 8, 1)
"""The numbers of rows that a run of the network may have."""

IR_VERSIONS: Final = range(8, 12)
OPSETS: Final = range(18, 24)  # the operators below mean the same in all of them

# Limits for what the runtime computes once, when it opens the graph. The exporter's tables take 16 MiB and
# appear twice; a float16 weight becomes a float32 one.
MOST_BYTES: Final = 128 << 20
MOST_BYTES_OF_BYTE: Final = 4
MOST_PRODUCTS: Final = 1 << 34

# Limits for each row of a run. A hidden layer of 65,536 units takes half of the bytes. A row is multiplied with each
# weight, of four bytes or two, at most once; in a recurrent network, once for each symbol of its context.
MOST_BYTES_OF_ROW: Final = 1 << 20
MOST_PRODUCTS_OF_ROW_AND_BYTE: Final = 1

# A context of 1,024 symbols takes 3,600 nodes.
_MOST_NODES: Final = 5_000
_MOST_AXES: Final = 4
_MOST_KNOWN: Final = 8

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
        model = Decoder().message(memoryview(graph), "Model")
        _check_versions(model)
        content = one(model, "graph")
        _check_value(content, "input", b"context", 7, block_size)
        _check_value(content, "output", b"logits", 1, ids)
        weights = _weights(content)
        nodes = [_Node.of(node) for node in content["node"]]
        if len(nodes) > _MOST_NODES:
            raise RefusedError(f"{len(nodes)} operators")
        for rows in RUNS:
            _check_costs(nodes, weights, rows, block_size, ids, len(graph))
    except RefusedError as refused:
        return str(refused)
    except (ValueError, IndexError) as error:
        return f"a damaged file ({error})"
    return None


# Reading the file


def _check_versions(model: Message) -> None:
    version = one(model, "ir_version")
    if version not in IR_VERSIONS:
        raise RefusedError(f"IR version {version}")
    operators = one(model, "opset_import")
    domain, version = bytes(one(operators, "domain", b"")), one(operators, "version")
    if domain or version not in OPSETS:
        raise RefusedError(f"operators of the domain {domain!r}, version {version}")


def _check_value(graph: Message, kind: str, name: bytes, elem_type: int, width: int) -> None:
    """Check the name, type and shape of the input or the output."""
    value = one(graph, kind)
    tensor = one(one(value, "type"), "tensor_type")
    dims = [(dim["dim_value"], bool(dim["dim_param"])) for dim in one(tensor, "shape")["dim"]]
    found = (bytes(one(value, "name")), one(tensor, "elem_type"), dims)
    if found != (name, elem_type, [([], True), ([width], False)]):
        what = f"{_DTYPES[elem_type]} [a dynamic batch dimension, {width}]"
        raise RefusedError(f"{found} instead of one {kind} {name.decode()}, {what}")


@dataclass(frozen=True)
class _Value:
    """What is known about a value before any run.

    Attributes:
        dtype: of its numbers.
        shape: its shape for a given number of rows.
        varies: whether it depends on the input, so that every run computes it.
        known: its numbers, if they are a few integers that do not depend on the input.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    varies: bool = False
    known: tuple[int, ...] | None = None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _weights(graph: Message) -> dict[bytes, _Value]:
    """Return the tensors of a graph by name, after checking each of them."""
    weights: dict[bytes, _Value] = {}
    for tensor in graph["initializer"]:
        name, dtype = bytes(one(tensor, "name")), _DTYPES.get(one(tensor, "data_type"))
        shape, data = tuple(tensor["dims"]), one(tensor, "raw_data")
        if dtype is None or name in weights:
            raise RefusedError(f"the tensor {name!r} twice" if dtype else f"a tensor {name!r} of another type")
        if min(shape, default=1) < 1 or len(shape) > _MOST_AXES or len(data) != math.prod(shape) * dtype.itemsize:
            raise RefusedError(f"a tensor {name!r} of shape {list(shape)} with {len(data)} bytes")
        if dtype.kind == "f" and not finite(data, dtype.str):
            raise RefusedError(f"NaN or infinite weights in {name!r}")
        few = dtype == np.int64 and math.prod(shape) <= _MOST_KNOWN
        weights[name] = _Value(dtype, shape, known=tuple(np.frombuffer(data, dtype).tolist()) if few else None)
    return weights


@dataclass(frozen=True)
class _Node:
    """One step of the computation, with a permitted operator.

    Attributes:
        operator: its name in the table.
        inputs: names of the values that it takes.
        output: name of the value that it computes.
        attributes: options of the operator.
    """

    operator: str
    inputs: list[bytes]
    output: bytes
    attributes: dict[str, Any]

    @classmethod
    def of(cls, message: Message) -> "_Node":
        operator = str(bytes(one(message, "op_type")), "ascii", "replace")
        domain = bytes(one(message, "domain", b""))
        if domain:
            raise RefusedError(f"operators of the domain {domain!r}")
        if operator not in _OPERATORS:
            raise RefusedError(f"the operator {operator!r}, which no exported graph has")
        permitted, attributes = _OPERATORS[operator][1], {}
        for attribute in message["attribute"]:
            name = str(bytes(one(attribute, "name")), "ascii", "replace")
            value = one(attribute, _ATTRIBUTE_TYPES.get(one(attribute, "type"), "s"), 0)
            value = bytes(value) if isinstance(value, memoryview) else value
            if name in attributes or value not in permitted.get(name, ()):
                raise RefusedError(f"the operator {operator} with {name} = {value!r}")
            attributes[name] = value
        return cls(operator, [bytes(name) for name in message["input"]], bytes(one(message, "output")), attributes)


# Costs


@dataclass
class _Costs:
    """The rest of a budget, either for values that are computed once or for those of each run."""

    when: str
    bytes: int
    products: int

    def add(self, operator: str, size: int, products: int) -> None:
        self.bytes -= size
        self.products -= products
        if self.bytes < 0 or self.products < 0:
            what = "too much memory" if self.bytes < 0 else "too many multiplications"
            raise RefusedError(f"{what} {self.when}, at the operator {operator}")


def _check_costs(
    nodes: Sequence[_Node], weights: Mapping[bytes, _Value], rows: int, block_size: int, ids: int, size: int
) -> None:
    """Compute the shape and the cost of every value in a run with some rows, without running it."""
    values = {**weights, b"context": _Value(np.dtype(np.int64), (rows, block_size), varies=True)}
    if b"context" in weights:
        raise RefusedError("a tensor by the name of the input")
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
            raise RefusedError(f"the operator {node.operator}, which {what}")
        inputs = [values[name] for name in node.inputs]
        try:
            value, products = _followed(node, inputs)
        except (ValueError, LookupError) as error:
            shapes = [list(value.shape) for value in inputs]
            raise RefusedError(f"the operator {node.operator} on shapes {shapes} ({error})") from error
        values[node.output] = value
        (each if value.varies else once).add(node.operator, value.bytes, products)
    logits = values.get(b"logits")
    if logits != _Value(_DTYPES[1], (rows, ids), varies=True):
        raise RefusedError(f"logits as {logits} for {rows} rows")


def _followed(node: _Node, inputs: list[_Value]) -> tuple[_Value, int]:
    """Return the value that a step computes, and how many products it adds up."""
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

# operator → the function for its output shape, and its permitted attributes
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
