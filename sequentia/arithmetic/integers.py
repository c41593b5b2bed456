"""A network computed in int64: the plain evaluation that a graph is held against."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .base import Arithmetic

Integers = NDArray[np.int64]


class IntegerArithmetic(Arithmetic[Integers]):
    """Computes with NumPy's int64; the logits come out in steps of 1/256 nat, int64 [batch, ids].

    Args:
        tensors: those of ``model.safetensors``, by name.
        context: int64 [batch, block_size], oldest symbol first, left-padded with the boundary.
        conditions: int64 [batch, conditions], 0 where one is not said; may be left out if the network has none.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[np.signedinteger]], context: Integers, conditions: Integers | None = None
    ) -> None:
        self._tensors, self._context, self._conditions = tensors, context, conditions

    def tensor(self, name: str) -> Integers:
        return self._tensors[name].astype(np.int64)

    def symbol(self, place: int) -> Integers:
        return self._context[:, place]

    def condition(self, column: int) -> Integers:
        assert self._conditions is not None  # noqa: S101 - a network with conditions is given them
        return self._conditions[:, column]

    def look_up(self, name: str, table: Integers, rows: Integers) -> Integers:
        return table[rows]

    def pairs(self, name: str, first: Integers, second: Integers) -> Integers:
        return (first[:, None] + second).reshape(-1, first.shape[1])

    def scattered(self, name: str, size: int, gaps: Integers, values: Integers) -> Integers:
        table = np.zeros(size, dtype=np.int64)
        table[np.cumsum(gaps)] = values
        return table

    def product(self, name: str, x: Integers, weight: Integers) -> Integers:
        return x @ weight

    def add(self, name: str, x: Integers, y: Integers) -> Integers:
        return x + y

    def subtract(self, name: str, x: Integers, y: Integers) -> Integers:
        return x - y

    def multiply(self, name: str, x: Integers, y: Integers) -> Integers:
        return x * y

    def maximum(self, name: str, x: Integers, y: Integers) -> Integers:
        return np.maximum(x, y)

    def shift(self, name: str, x: Integers, bits: int) -> Integers:
        return x << -bits if bits <= 0 else (x + (1 << bits - 1)) >> bits

    def clip(self, name: str, x: Integers, low: int, high: int) -> Integers:
        return x.clip(low, high)

    def index(self, name: str, x: Integers) -> Integers:
        return x

    def numbered(self, name: str, x: Integers, count: int, y: Integers) -> Integers:
        return x * count + y

    def logits(self, x: Integers) -> Integers:
        return x
