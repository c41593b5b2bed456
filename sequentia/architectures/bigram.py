"""The bigram model: a table of logits, learnt as one layer of weights or computed from counts."""

from .base import BaseArchitecture, Shapes


class BigramArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="bigram"):
    """A table with one row of logits for each previous symbol."""

    def tensors(self, block_size: int, ids: int) -> Shapes:  # noqa: ARG002 - part of the interface
        """Return the dtype and shape of every tensor; see :class:`.base.BaseArchitecture`."""
        return {"weight": ("F32", (ids, ids))}

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return "a table with a row for each symbol"

    def summarize(self) -> str:
        """Return a phrase that names the kind of model."""
        return "a bigram model"
