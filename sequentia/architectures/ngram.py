"""Counts of n-grams with interpolated Kneser-Ney smoothing."""

from typing import Annotated, Final

from msgspec import Meta

from .base import BaseArchitecture, Shapes, format_list

MAX_ORDER: Final = 64

Order = Annotated[int, Meta(ge=1, le=MAX_ORDER)]
Discounts = Annotated[list[Annotated[float, Meta(ge=1e-6, le=1)]], Meta(min_length=1)]


class NGramArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="ngram"):
    """Counts of n-grams with interpolated Kneser-Ney smoothing.

    Attributes:
        order: symbols in an n-gram: the context and the next symbol.
        discounts: subtracted from the counts of order 1, 2 and so on; the last one applies to all higher orders.
    """

    order: Order
    discounts: Discounts

    def tensors(self, block_size: int, ids: int) -> Shapes:  # noqa: ARG002 - part of the interface
        """Return the dtype and shape of every tensor; see :class:`.base.BaseArchitecture`."""
        return {"ngrams": ("I32", (self.parameters, self.order)), "counts": ("I32", (self.parameters,))}

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return f"counts of {self.order}-grams, interpolated Kneser-Ney (discounts {format_list(self.discounts)})"

    def summarize(self) -> str:
        """Return a phrase that names the kind of model."""
        return "an n-gram model"
