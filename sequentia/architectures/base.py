"""The base class of all kinds of models."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sequentia.arithmetic import Arithmetic, Inputs

Count = Annotated[int, Meta(ge=0)]

Bits = Annotated[int, Meta(ge=0, le=23)]
"""A whole number ``n`` in steps of 2^-bits stands for ``n / 2**bits``."""

MAX_COMBINATIONS: Final = 1 << 16

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
    def tensors(self, inputs: Inputs) -> Shapes:
        """Return the shape of every tensor in ``model.safetensors``, by name.

        Args:
            inputs: what the network reads.

        Raises:
            ValueError: if a network of this kind cannot read them.
        """

    @abstractmethod
    def network(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the logits after contexts, stated with the operations of whole-number arithmetic.

        Args:
            arithmetic: carries the operations out, or writes them down.
            inputs: what the network reads.
        """

    def symbol_vectors(self, tensors: Mapping[str, NDArray[np.integer]], inputs: Inputs) -> NDArray[np.integer] | None:  # noqa: ARG002
        """Return what each symbol does to the network, integer [ids, any], or None in a kind without embeddings.

        Args:
            tensors: the artifact's.
            inputs: what the network reads.
        """
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""

    @abstractmethod
    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""


def newest(arithmetic: Arithmetic[V], count: int, inputs: Inputs) -> V:
    """Return which of all sequences of ``count`` symbols a context ends in: its symbols are digits, the newest last."""
    row = arithmetic.symbol(inputs.block_size - count)
    for place in range(inputs.block_size - count + 1, inputs.block_size):
        row = arithmetic.numbered(f"row.{place}", row, inputs.ids, arithmetic.symbol(place))
    return row


def combinations(inputs: Inputs) -> int:
    """Return how many combinations of values the conditions may have.

    Raises:
        ValueError: if there are too many for a table.
    """
    number = math.prod(inputs.values)
    if number > MAX_COMBINATIONS:
        raise ValueError(
            f"conditions of {number:,} combinations of values, more than {MAX_COMBINATIONS:,} for this kind of model"
        )
    return number


def combination(arithmetic: Arithmetic[V], inputs: Inputs) -> V:
    """Return which combination of values the conditions have: the values are digits, that of the last one lowest."""
    row = arithmetic.condition(0)
    for column, count in enumerate(inputs.values[1:], start=1):
        row = arithmetic.numbered(f"combination.{column}", row, count, arithmetic.condition(column))
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
