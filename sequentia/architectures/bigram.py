"""A row of logits for each symbol that may come before: one layer of weights, or the logarithms of counts."""

from .base import BaseArchitecture, Shapes


class BigramArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="bigram"):
    """One row of logits for each symbol that may come before."""

    def tensors(self, block_size: int, ids: int) -> Shapes:  # noqa: ARG002 - part of the interface
        """Return the dtype and shape of every tensor; see :class:`.base.BaseArchitecture`."""
        return {"weight": ("F32", (ids, ids))}

    def describe(self) -> str:
        """Return a phrase that says what the model consists of."""
        return "a table with a row for each symbol"

    def summarize(self) -> str:
        """Return a phrase that names the kind of model."""
        return "a bigram model"
