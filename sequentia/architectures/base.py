"""The base class of all kinds of models."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from sequentia.arithmetic import Arithmetic

Count = Annotated[int, Meta(ge=0)]

Bits = Annotated[int, Meta(ge=0, le=23)]
"""A whole number ``n`` in steps of 2^-bits stands for ``n / 2**bits``."""

Shapes = dict[str, tuple[int, ...]]
"""The shape of each tensor, by name. Its dtype is the narrowest of int8, int16 and int32 that holds its values."""

V = TypeVar("V")


class BaseArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """A kind of model, in enough detail to compute with its tensors; the key ``model`` says which kind.

    Attributes:
        parameters: number of learnt parameters; for an n-gram model, the number of counts.
    """

    parameters: Count

    @abstractmethod
    def tensors(self, block_size: int, ids: int) -> Shapes:
        """Return the shape of every tensor in ``model.safetensors``, by name.

        Args:
            block_size: symbols in a context.
            ids: how many ids there are, the boundary included.

        Raises:
            ValueError: if contexts are too short or too long for the network.
        """

    @abstractmethod
    def network(self, arithmetic: Arithmetic[V], block_size: int, ids: int) -> V:
        """Return the logits after contexts, stated with the operations of whole-number arithmetic.

        Args:
            arithmetic: carries the operations out, or writes them down.
            block_size: symbols in a context.
            ids: how many ids there are, the boundary included.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""

    @abstractmethod
    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""


def newest(arithmetic: Arithmetic[V], count: int, block_size: int, ids: int) -> V:
    """Return which of all sequences of ``count`` symbols a context ends in: its symbols are digits, the newest last."""
    row = arithmetic.symbol(block_size - count)
    for place in range(block_size - count + 1, block_size):
        row = arithmetic.numbered(f"row.{place}", row, ids, arithmetic.symbol(place))
    return row


def split_weight(name: str, shape: tuple[int, ...], low_bits: int) -> Shapes:
    """Return the tensors of a weight matrix: ``weight``, and ``weight.low`` if its lowest bits stand apart."""
    return {f"{name}.weight": shape, **({f"{name}.weight.low": shape} if low_bits else {})}


def split_product(arithmetic: Arithmetic[V], name: str, x: V, low_bits: int, suffix: str = "") -> V:
    """Return the product of numbers and a weight matrix whose lowest bits may stand apart, in steps of the others."""
    product = arithmetic.product(f"{name}.product{suffix}", x, arithmetic.tensor(f"{name}.weight"))
    if not low_bits:
        return product
    low = arithmetic.product(f"{name}.product.low{suffix}", x, arithmetic.tensor(f"{name}.weight.low"))
    return arithmetic.add(
        f"{name}.product.both{suffix}", product, arithmetic.shift(f"{name}.product.high{suffix}", low, low_bits)
    )


def format_list(values: Sequence[float], format_spec: str = "") -> str:
    """Return numbers as a list in prose: ``1, 2 and 3``."""
    *first, last = (format(value, format_spec) for value in values)
    return f"{', '.join(first)} and {last}" if first else last
