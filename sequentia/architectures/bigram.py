"""The bigram model: a table of logits, learnt as one layer of weights or computed from counts."""

from typing import TypeVar

from sequentia.arithmetic import Arithmetic, Inputs

from .base import BaseArchitecture, Shapes

V = TypeVar("V")


class BigramArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="bigram"):
    """One row of logits for each symbol that may come before.

    The tensor ``table`` holds them, in steps of 1/256 nat.
    """

    def tensors(self, inputs: Inputs) -> Shapes:
        """Return the shape of every tensor; see :class:`.base.BaseArchitecture`."""
        if inputs.values:
            raise ValueError("a bigram model with conditions")
        return {"table": (inputs.ids, inputs.ids)}

    def network(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the logits after contexts; see :class:`.base.BaseArchitecture`."""
        row = arithmetic.look_up("row", arithmetic.tensor("table"), arithmetic.symbol(inputs.block_size - 1))
        return arithmetic.logits(row)

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return "a table with a row for each symbol"

    def summarize(self) -> str:
        """Return a phrase that names the kind of model."""
        return "a bigram model"
