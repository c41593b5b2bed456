"""Counts of n-grams with interpolated Kneser-Ney smoothing."""

from typing import Annotated, Final, TypeVar

from msgspec import Meta

from sequentia.arithmetic import Arithmetic, Inputs

from .base import BaseArchitecture, Shapes, combination, combinations, format_list
from .tree import Tree

MAX_ORDER: Final = 64

Order = Annotated[int, Meta(ge=1, le=MAX_ORDER)]
Discounts = Annotated[list[Annotated[float, Meta(ge=1e-6, le=1)]], Meta(min_length=1)]

V = TypeVar("V")


class NGramArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="ngram"):
    """Counts of n-grams with interpolated Kneser-Ney smoothing, as tables over contexts.

    The rows are in steps of 1/256 nat. With conditions, there are states for each combination of values; the tensor
    ``start`` holds, for each, the state that stands for it and the empty context.

    Attributes:
        order: symbols in an n-gram: the context and the one that follows.
        discounts: subtracted from every count of order 1, 2 and so on; the last holds for all higher orders.
        tree: the contexts that occur in the training text, of any length below the order. Its tensors are
            ``table``, ``table.gaps`` and ``table.reached``.
    """

    order: Order
    discounts: Discounts
    tree: Tree

    def tensors(self, inputs: Inputs) -> Shapes:
        """Return the shape of every tensor; see :class:`.base.BaseArchitecture`."""
        if self.order > inputs.block_size + 1:
            raise ValueError(f"order {self.order}, too high for block_size {inputs.block_size}")
        start: Shapes = {"start": (combinations(inputs),)} if inputs.values else {}
        return {**start, **self.tree.tensors("table", inputs.ids)}

    def network(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the logits after contexts; see :class:`.base.BaseArchitecture`."""
        start = None
        if inputs.values:
            start = arithmetic.look_up("start.state", arithmetic.tensor("start"), combination(arithmetic, inputs))
        return arithmetic.logits(self.tree.row(arithmetic, "table", self.order - 1, inputs, start))

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return f"counts of {self.order}-grams, interpolated Kneser-Ney (discounts {format_list(self.discounts)})"

    def summarize(self) -> str:
        """Return a phrase that names the kind of model."""
        return "an n-gram model"
