"""A proof, from a model's tensors, that its network's arithmetic is exact: no number can reach 2^24."""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .base import LIMIT, Arithmetic, Inputs

Integers = NDArray[np.signedinteger[Any]]

MOST_STEPS: Final = 1 << 28
"""For one context, in multiplications: 512 contexts at once then take seconds."""

_STEPS_OF_OTHERS: Final = 16  # an addition or a look-up takes about as long as so many multiplications of a matrix
_BLOCK: Final = 1 << 17  # weights that are converted at once, so that they stay in the processor's cache
_LARGEST_INDEX: Final = 1 << 53


class CostError(ValueError):
    """A network would take too many steps."""


class InexactError(ValueError):
    """A number of a network could reach 2^24, or an index could point outside its table."""


class Interval(NamedTuple):
    """Whole numbers between bounds, both included: arrays that lack the batch's axis.

    They are int64, except that a tensor keeps its own dtype.
    """

    low: Integers
    high: Integers


class Bounds(Arithmetic[Interval]):
    """Computes with intervals that hold every value a context can lead to.

    Args:
        tensors: those of ``model.safetensors``, by name.
        inputs: what the network reads.

    Attributes:
        largest: the largest absolute value that any sum, or part of a sum, can have.
        multiplications: how many the matrix products take for one context.
        steps: how long one context takes, in multiplications.

    Its methods raise :class:`InexactError` and, where a context takes too many steps, :class:`CostError`.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.signedinteger]], inputs: Inputs) -> None:
        self._tensors, self._inputs = tensors, inputs
        self._known: dict[str, Interval] = {}
        self._seen: dict[tuple[int, int, int], tuple[Interval, Interval]] = {}
        self.largest = 0
        self.multiplications = 0
        self.steps = 0

    def tensor(self, name: str) -> Interval:
        if name not in self._known:
            values = self._tensors[name]
            self._check(name, abs(int(values.min())), abs(int(values.max())))
            self._known[name] = Interval(values, values)
        return self._known[name]

    def symbol(self, place: int) -> Interval:
        return Interval(np.array(0), np.array(self._inputs.ids - 1))

    def condition(self, column: int) -> Interval:
        return Interval(np.array(0), np.array(self._inputs.values[column] - 1))

    def look_up(self, name: str, table: Interval, rows: Interval) -> Interval:
        first, last = int(rows.low.min()), int(rows.high.max())
        if first < 0 or last >= len(table.low):
            raise InexactError(f"{name}: row {first} to {last} of {len(table.low)}")
        key = id(table.low), first, last  # a recurrent network looks at the same rows again and again
        if key not in self._seen:
            low, high = (
                _distinct(table.low[first : last + 1]).min(axis=0),
                _distinct(table.high[first : last + 1]).max(axis=0),
            )
            self._seen[key] = table, Interval(np.asarray(low), np.asarray(high))
        low, high = _wide(self._seen[key][1])
        shape = rows.low.shape + low.shape
        self._spend(name, _STEPS_OF_OTHERS * math.prod(shape))
        return Interval(np.broadcast_to(low, shape), np.broadcast_to(high, shape))

    def pairs(self, name: str, first: Interval, second: Interval) -> Interval:
        # Every pair may be looked up, so that one row with the bounds of all stands for each.
        low = first.low.min(axis=0).astype(np.int64) + second.low.min(axis=0)
        high = first.high.max(axis=0).astype(np.int64) + second.high.max(axis=0)
        self._check(name, abs(int(low.min())), abs(int(high.max())))
        shape = len(first.low) * len(second.low), len(low)
        return Interval(np.broadcast_to(low, shape), np.broadcast_to(high, shape))

    def scattered(self, name: str, size: int, gaps: Interval, values: Interval) -> Interval:
        least, last = int(gaps.low[1:].min(initial=1)), int(gaps.low.sum(dtype=np.int64))
        if gaps.low[0] < 0 or least < 1 or last >= size:
            raise InexactError(f"{name}: places {gaps.low[0]} to {last} of {size}, with gaps of {least} and more")
        table = np.zeros(size, values.low.dtype)
        table[np.cumsum(gaps.low, dtype=np.int64)] = values.low
        return Interval(table, table)

    def product(self, name: str, x: Interval, weight: Interval) -> Interval:
        # float64 holds each sum exactly as long as it may be allowed, and a larger one does not look smaller.
        inputs, outputs = weight.low.shape
        self._spend(name, inputs * outputs)
        self.multiplications += inputs * outputs
        low, high = x.low.astype(np.float64), x.high.astype(np.float64)
        twice_middle, twice_radius, largest = low + high, high - low, np.maximum(np.abs(low), np.abs(high))
        middles, radii, sums = (np.zeros((*x.low.shape[:-1], outputs)) for _ in range(3))
        step = max(1, _BLOCK // outputs)
        for start in range(0, inputs, step):
            part = slice(start, start + step)
            values = weight.low[part].astype(np.float64)
            middles += _times(twice_middle[..., part], values)
            np.abs(values, out=values)
            radii += _times(twice_radius[..., part], values)
            sums += _times(largest[..., part], values)
        self._check(name, int(sums.max()))  # sums in any order stay below
        return Interval(((middles - radii) / 2).astype(np.int64), ((middles + radii) / 2).astype(np.int64))

    def add(self, name: str, x: Interval, y: Interval) -> Interval:
        x, y = _wide(x), _wide(y)
        return self._checked(name, x.low + y.low, x.high + y.high)

    def subtract(self, name: str, x: Interval, y: Interval) -> Interval:
        x, y = _wide(x), _wide(y)
        return self._checked(name, x.low - y.high, x.high - y.low)

    def multiply(self, name: str, x: Interval, y: Interval) -> Interval:
        corners = [a * b for a in _wide(x) for b in _wide(y)]
        return self._checked(name, np.minimum.reduce(corners), np.maximum.reduce(corners))

    def maximum(self, name: str, x: Interval, y: Interval) -> Interval:
        return Interval(np.maximum(x.low, y.low), np.maximum(x.high, y.high))

    def shift(self, name: str, x: Interval, bits: int) -> Interval:
        if not bits:
            return x
        low, high = _wide(x)
        if bits < 0:
            return self._checked(name, low << -bits, high << -bits)
        half = 1 << bits - 1
        low, high = self._checked(name, low + half, high + half)
        return Interval(low >> bits, high >> bits)

    def clip(self, name: str, x: Interval, low: int, high: int) -> Interval:
        return Interval(x.low.clip(low, high), x.high.clip(low, high))

    def index(self, name: str, x: Interval) -> Interval:
        return x

    def numbered(self, name: str, x: Interval, count: int, y: Interval) -> Interval:
        if int(x.high.max()) * count + int(y.high.max()) >= _LARGEST_INDEX:
            raise InexactError(f"{name}: more than {_LARGEST_INDEX:,} pairs")
        return Interval(x.low * count + y.low, x.high * count + y.high)

    def logits(self, x: Interval) -> Interval:
        return x

    def _checked(self, name: str, low: Integers, high: Integers) -> Interval:
        self._spend(name, _STEPS_OF_OTHERS * low.size)
        self._check(name, abs(int(low.min())), abs(int(high.max())))
        return Interval(low, high)

    def _spend(self, name: str, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise CostError(f"{name}: a context takes more steps than {MOST_STEPS:,} multiplications")

    def _check(self, name: str, *magnitudes: int) -> None:
        self.largest = max(self.largest, *magnitudes)
        if max(magnitudes) >= LIMIT:
            raise InexactError(
                f"{name} can reach {max(magnitudes):,}, and only whole numbers below {LIMIT:,} are exact"
            )


def _times(x: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix product on this thread alone: those of a library wait for each other on busy processors."""
    product: NDArray[np.float64] = np.einsum("...i,ij->...j", x, values)
    return product


def _distinct(rows: Integers) -> Integers:
    """Return rows without those that are known to be repetitions, because they have the same place in memory."""
    return rows if rows.strides[0] else rows[:1]


def _wide(interval: Interval) -> Interval:
    return Interval(*(bound.astype(np.int64, copy=False) for bound in interval))
