"""Whole-number arithmetic: int64, onnxruntime and the bounds agree on each operation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sequentia.arithmetic import (
    LIMIT,
    LOGIT_BITS,
    Arithmetic,
    Bounds,
    CostError,
    InexactError,
    Inputs,
    OnnxWriter,
    bounds,
)
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.errors import ExportError
from sequentia.export import export
from sequentia.session import open_session, run
from sequentia.weights import Tensors, narrowest

BLOCK_SIZE, IDS, WIDTH = 2, 3, 4
INPUTS = Inputs(BLOCK_SIZE, IDS)
CONTEXTS = np.stack(np.meshgrid(*[np.arange(IDS)] * BLOCK_SIZE), axis=-1).reshape(-1, BLOCK_SIZE)
VALUES = 2, 3
CONDITIONS = np.stack([np.arange(len(CONTEXTS)) % count for count in VALUES], axis=1)

Network = Callable[[Arithmetic[Any]], Any]


class Case(NamedTuple):
    """An operation: what computes it from the tensors ``x``, ``y`` and so on, the sizes of these, and of conditions."""

    network: Network
    shapes: Mapping[str, tuple[int, ...]]
    largest: int
    least: int | None = None
    values: tuple[int, ...] = ()

    @property
    def conditions(self) -> NDArray[np.int64]:
        return CONDITIONS[:, : len(self.values)]


def _row(a: Arithmetic[Any], name: str, place: int = 0) -> Any:
    """Return numbers that depend on the context, [batch, WIDTH]."""
    return a.look_up(f"{name}.row", a.tensor(name), a.symbol(place))


def _of_two(operation: str) -> Network:
    return lambda a: getattr(a, operation)("result", _row(a, "x"), _row(a, "y", 1))


def _with_tensor(operation: str) -> Network:
    return lambda a: getattr(a, operation)("result", _row(a, "x"), a.tensor("bias"))


def _shift(bits: int) -> Network:
    return lambda a: a.shift("result", _row(a, "x"), bits)


def _looked_up_twice(a: Arithmetic[Any]) -> Any:
    return a.look_up("result", a.tensor("y"), a.index("index", a.look_up("first", a.tensor("x"), a.symbol(1))))


def _of_pairs(a: Arithmetic[Any]) -> Any:
    table = a.pairs("table", a.tensor("x"), a.tensor("y"))
    return a.look_up("result", table, a.numbered("pair", a.symbol(0), IDS, a.symbol(1)))


def _of_scattered(a: Arithmetic[Any]) -> Any:
    table = a.scattered("table", 13, a.tensor("x"), a.tensor("y"))
    found = a.look_up("found", table, a.numbered("place", a.symbol(0), IDS, a.symbol(1)))
    return a.look_up("result", a.tensor("z"), a.index("index", found))


def _of_conditions(a: Arithmetic[Any]) -> Any:
    x = a.look_up("x.row", a.tensor("x"), a.condition(0))
    return a.add("result", x, a.look_up("y.row", a.tensor("y"), a.condition(1)))


def _three_bounds(a: Arithmetic[Any]) -> Any:
    """Bounds that a name of six digits would not tell apart."""
    x = a.clip("low", _row(a, "x"), -1_234_567, 1_234_567)
    return a.add("result", x, a.clip("high", _row(a, "y"), -1_234_568, 1_234_568))


ROWS, VECTOR = (IDS, WIDTH), (WIDTH,)
MOST = LIMIT - 1
CASES = {
    "look_up": Case(lambda a: _row(a, "x", 1), {"x": ROWS}, MOST),
    "look_up, twice": Case(_looked_up_twice, {"x": (IDS,), "y": (6, WIDTH)}, 5, least=0),
    "condition": Case(_of_conditions, {"x": (2, WIDTH), "y": (3, WIDTH)}, MOST // 2, values=VALUES),
    "pairs": Case(_of_pairs, {"x": ROWS, "y": ROWS}, MOST // 2),
    "scattered": Case(_of_scattered, {"x": (IDS,), "y": (IDS,), "z": (5, WIDTH)}, 4, least=1),
    "product": Case(lambda a: a.product("result", _row(a, "x"), a.tensor("w")), {"x": ROWS, "w": (WIDTH, 5)}, 2047),
    "add": Case(_of_two("add"), {"x": ROWS, "y": ROWS}, MOST // 2),
    "add, a tensor": Case(_with_tensor("add"), {"x": ROWS, "bias": VECTOR}, MOST // 2),
    "subtract": Case(_of_two("subtract"), {"x": ROWS, "y": ROWS}, MOST // 2),
    "subtract, a tensor": Case(_with_tensor("subtract"), {"x": ROWS, "bias": VECTOR}, MOST // 2),
    "multiply": Case(_of_two("multiply"), {"x": ROWS, "y": ROWS}, 4095),
    "multiply, a tensor": Case(_with_tensor("multiply"), {"x": ROWS, "bias": VECTOR}, 4095),
    "maximum": Case(_of_two("maximum"), {"x": ROWS, "y": ROWS}, MOST),
    "clip": Case(lambda a: a.clip("result", _row(a, "x"), -7, 1_000_001), {"x": ROWS}, MOST),
    "clip, bounds of seven digits": Case(_three_bounds, {"x": ROWS, "y": ROWS}, MOST),
    "shift by 0": Case(_shift(0), {"x": ROWS}, MOST),
    "shift by -3": Case(_shift(-3), {"x": ROWS}, MOST >> 3),
    "shift by 1": Case(_shift(1), {"x": ROWS}, MOST - 1),
    "shift by 7": Case(_shift(7), {"x": ROWS}, MOST - 64),
    "shift by 23": Case(_shift(23), {"x": ROWS}, MOST >> 1),
}


def _logits(case: Case, arithmetic: Arithmetic[Any]) -> Any:
    return arithmetic.logits(case.network(arithmetic))


@st.composite
def _tensors(draw: st.DrawFn, case: Case) -> Tensors:
    """Return tensors for an operation; numbers near the ends are as likely as others."""
    least = -case.largest if case.least is None else case.least
    near = st.integers(0, 3)
    number = st.integers(least, case.largest) | near.map(lambda n: case.largest - n) | near.map(lambda n: least + n)
    tensors = {}
    for name, shape in case.shapes.items():
        size = int(np.prod(shape))
        values = draw(st.lists(number, min_size=size, max_size=size))
        tensors[name] = narrowest(np.array(values).reshape(shape))
    return tensors


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25)
@given(data=st.data())
def test_int64_onnxruntime_and_the_bounds_agree(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    tensors = data.draw(_tensors(case))
    expected = _logits(case, IntegerArithmetic(tensors, CONTEXTS, case.conditions))
    proof = Bounds(tensors, INPUTS._replace(values=case.values))
    interval = _logits(case, proof)
    assert (interval.low <= expected.min(axis=0)).all()
    assert (expected.max(axis=0) <= interval.high).all()
    assert np.abs(expected).max() <= proof.largest < LIMIT

    writer = OnnxWriter(tensors, Inputs(BLOCK_SIZE, expected.shape[1], case.values))
    _logits(case, writer)
    found = run(open_session(writer.file({})), CONTEXTS, case.conditions)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.astype(np.float64) * 2**LOGIT_BITS, expected)


def test_each_operation_is_tried() -> None:
    """Those without an own case take part in others."""
    tried = {name.split(",")[0].split()[0] for name in CASES} | {"tensor", "symbol", "index", "numbered", "logits"}
    assert tried == Arithmetic.__abstractmethods__


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_valid_and_the_same_each_time(name: str) -> None:
    case = CASES[name]
    tensors = {key: narrowest(np.ones(shape, dtype=np.int64)) for key, shape in case.shapes.items()}
    files = []
    for _ in range(2):
        writer = OnnxWriter(tensors, Inputs(BLOCK_SIZE, 5 if name == "product" else WIDTH, case.values))
        _logits(case, writer)
        files.append(writer.file({"a key": "a välue"}))
    assert files[0] == files[1]
    onnx.checker.check_model(files[0], full_check=True)
    model = onnx.load_from_string(files[0])
    assert [(prop.key, prop.value) for prop in model.metadata_props] == [("a key", "a välue")]
    assert {tensor.name for tensor in model.graph.initializer} >= case.shapes.keys()
    assert all(node.name == node.output[0] for node in model.graph.node)


def _numbers(**values: Any) -> dict[str, NDArray[Any]]:
    return {name: np.array(value, dtype=np.int32) for name, value in values.items()}


def _full(value: int) -> NDArray[np.int32]:
    return np.full(ROWS, value, dtype=np.int32)


INEXACT: list[tuple[str, Network, dict[str, NDArray[Any]]]] = [
    ("x can reach 16,777,216", CASES["look_up"].network, {"x": _full(LIMIT)}),
    ("x can reach 2,147,483,648", CASES["look_up"].network, {"x": _full(-(2**31))}),
    ("result can reach 16,777,216", CASES["add"].network, {"x": _full(MOST), "y": _full(1)}),
    ("result can reach 16,777,216", CASES["subtract"].network, {"x": _full(-MOST), "y": _full(1)}),
    # the sum is small, but its parts are not exact
    ("x can reach", CASES["add"].network, {"x": _full(2**25 + 1), "y": _full(-(2**25))}),
    ("result can reach 16,777,216", CASES["multiply"].network, {"x": _full(-4096), "y": _full(4096)}),
    ("table can reach 16,777,216", CASES["pairs"].network, {"x": _full(MOST), "y": _full(1)}),
    # two large products cancel out, unless something is added in between
    (
        "result can reach 33,554,432",
        CASES["product"].network,
        {"x": _full(4096), **_numbers(w=[[4096], [-4096], [0], [0]])},
    ),
    ("result can reach 16,777,216", CASES["shift by -3"].network, {"x": _full(LIMIT >> 3)}),
    ("result can reach 16,777,216", CASES["shift by 1"].network, {"x": _full(MOST)}),
    ("result: row 0 to 6 of 6", CASES["look_up, twice"].network, {**_numbers(x=[0, 6, 1]), "y": np.ones((6, 4), "i1")}),
    ("table: places 1 to 13 of 13", _of_scattered, _numbers(x=[1, 11, 1], y=[1, 1, 1], z=[[1]])),
    ("table: places -1 to 2 of 13", _of_scattered, _numbers(x=[-1, 1, 2], y=[1, 1, 1], z=[[1]])),
    ("table: places 1 to 2 of 13, with gaps of 0", _of_scattered, _numbers(x=[1, 0, 1], y=[1, 1, 1], z=[[1]])),
    ("result: row 0 to 1 of 1", _of_scattered, _numbers(x=[1, 1, 6], y=[1, 1, 1], z=[[1]])),
    ("result: row -1 to 2 of 6", CASES["look_up, twice"].network, {**_numbers(x=[-1, 2]), "y": np.ones((6, 4), "i1")}),
]


@pytest.mark.parametrize(("message", "network", "tensors"), INEXACT)
def test_numbers_that_are_not_exact(message: str, network: Network, tensors: dict[str, NDArray[Any]]) -> None:
    ids = len(tensors["x"])
    with pytest.raises(InexactError, match=message):
        network(Bounds(tensors, Inputs(BLOCK_SIZE, ids)))


def test_a_sum_too_large_for_int64_is_not_taken_for_a_small_one() -> None:
    """2^16 products of 2^24 and 2^24, nearly, come to 2^64, which is 0 in int64."""
    inputs = 1 << 16
    tensors = {"x": np.full((IDS, inputs), MOST, dtype=np.int32), "w": np.full((inputs, 1), MOST, dtype=np.int32)}
    with pytest.raises(InexactError, match=r"result can reach 18,446,7"):
        CASES["product"].network(Bounds(tensors, INPUTS))


def test_an_index_too_large_for_int64() -> None:
    def network(a: Arithmetic[Any]) -> Any:
        row = a.symbol(0)
        for place in range(8):
            row = a.numbered(f"row.{place}", row, 1 << 16, a.symbol(1))
        return row

    with pytest.raises(InexactError, match=r"row\.3: more than .* pairs"):
        network(Bounds({}, Inputs(BLOCK_SIZE, 2)))


def test_a_product_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.Generator(np.random.PCG64(0))
    tensors = {"x": random.integers(-99, 99, ROWS, dtype=np.int8), "w": random.integers(-99, 99, (4, 50), np.int8)}
    whole = CASES["product"].network(Bounds(tensors, INPUTS))
    monkeypatch.setattr(bounds, "_BLOCK", 12)
    parts = CASES["product"].network(Bounds(tensors, INPUTS))
    np.testing.assert_array_equal(whole, parts)


def test_a_network_of_too_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"x": np.ones(ROWS, dtype=np.int8), "w": np.ones((WIDTH, 5), dtype=np.int8)}
    monkeypatch.setattr(bounds, "MOST_STEPS", WIDTH * 5 + 16 * WIDTH)
    proof = Bounds(tensors, INPUTS)
    numbers = _row(proof, "x")
    proof.product("product", numbers, proof.tensor("w"))
    assert proof.multiplications == WIDTH * 5
    for operation in (proof.add, proof.product):
        with pytest.raises(CostError, match="result: a context takes more steps than 84 multiplications"):
            operation("result", numbers, proof.tensor("w") if operation == proof.product else numbers)


def test_a_network_of_too_many_steps_is_not_exported(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_STEPS", 100)
    with pytest.raises(ExportError, match=r"the network is too large: .* more steps than 100") as caught:
        export(trained, tmp_path / "model")
    assert caught.value.rung == "cost"
    assert not (tmp_path / "model").exists()
