"""The operations that a network may consist of: whole numbers in, whole numbers out.

Sums of floating-point numbers depend on the order of the additions, which differs between machines and libraries. Sums
of whole numbers below 2^24 do not: float32 holds each of them exactly. So a network that uses these operations alone
gives the same bits on every machine, in every runtime and at every batch size.

An architecture states its network once, as a function of an :class:`Arithmetic`. What comes out depends on which one:
the bytes of an ONNX graph (:mod:`.onnx`), a proof that no sum can reach 2^24 (:mod:`.bounds`), or logits
(:mod:`.integers`).
"""

from abc import ABC, abstractmethod
from typing import Final, Generic, NamedTuple, TypeVar

LIMIT: Final = 1 << 24
"""Whole numbers below it, and their sums if those stay below it too, are exact in float32."""

LOGIT_BITS: Final = 8
"""Logits are in steps of 2^-bits nats: of 1/256."""

V = TypeVar("V")


class Inputs(NamedTuple):
    """What a network reads for each prediction.

    Attributes:
        block_size: symbols in a context.
        ids: how many ids a symbol may have, the boundary included.
        values: how many ids each condition's value may have, 0 for "not said" included.
    """

    block_size: int
    ids: int
    values: tuple[int, ...] = ()


class Arithmetic(ABC, Generic[V]):
    """Operations on values of some type ``V``.

    A value is a *tensor* of ``model.safetensors``, a *number* (whole, below 2^24; float32 in a graph) or an *index*
    (int64). Numbers and indexes have the batch as their first axis. ``name`` is what the result is called in a graph.
    """

    @abstractmethod
    def tensor(self, name: str) -> V:
        """Return a tensor of ``model.safetensors``."""

    @abstractmethod
    def symbol(self, place: int) -> V:
        """Return the ids at one place of the context, counted from the oldest: index [batch]."""

    @abstractmethod
    def condition(self, column: int) -> V:
        """Return the ids of one condition's values, 0 where it is not said: index [batch]."""

    @abstractmethod
    def look_up(self, name: str, table: V, rows: V) -> V:
        """Return rows of a tensor [rows, …] by index: a number of the index's shape, then that of a row."""

    @abstractmethod
    def pairs(self, name: str, first: V, second: V) -> V:
        """Return a table of sums, [m * n, width]: each row of a tensor [m, width] plus each of another, [n, width]."""

    @abstractmethod
    def scattered(self, name: str, size: int, gaps: V, values: V) -> V:
        """Return a table of ``size`` numbers, 0 but for some values: each so many places behind the one before it.

        Args:
            name: what the result is called in a graph.
            size: of the table.
            gaps: a tensor; the first number is the first value's place.
            values: a tensor of as many numbers.
        """

    @abstractmethod
    def product(self, name: str, x: V, weight: V) -> V:
        """Return the matrix product of numbers, [batch, inputs], and a tensor, [inputs, outputs]."""

    @abstractmethod
    def add(self, name: str, x: V, y: V) -> V:
        """Return the sum of two numbers or tensors."""

    @abstractmethod
    def subtract(self, name: str, x: V, y: V) -> V:
        """Return the difference of two numbers or tensors."""

    @abstractmethod
    def multiply(self, name: str, x: V, y: V) -> V:
        """Return the product, element by element, of two numbers or tensors."""

    @abstractmethod
    def maximum(self, name: str, x: V, y: V) -> V:
        """Return the greater, element by element, of two numbers."""

    @abstractmethod
    def shift(self, name: str, x: V, bits: int) -> V:
        """Return numbers divided by 2^bits and rounded, halves upwards: floor(x / 2^bits + 1/2)."""

    @abstractmethod
    def clip(self, name: str, x: V, low: int, high: int) -> V:
        """Return numbers no lower than one bound and no higher than another."""

    @abstractmethod
    def index(self, name: str, x: V) -> V:
        """Return numbers as indexes."""

    @abstractmethod
    def numbered(self, name: str, x: V, count: int, y: V) -> V:
        """Return the index ``x * count + y``: which pair two indexes are, if ``count`` values of y are possible."""

    @abstractmethod
    def logits(self, x: V) -> V:
        """Return the result, from numbers [batch, ids] in steps of 1/256 nat."""
