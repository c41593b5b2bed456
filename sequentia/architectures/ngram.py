"""Counts of n-grams with interpolated Kneser-Ney smoothing."""

from typing import Annotated, Final, TypeVar

from msgspec import Meta

from sequentia.arithmetic import Arithmetic, Inputs

from .base import BaseArchitecture, Shapes, States, combination, combinations, format_list, longest_known

MAX_ORDER: Final = 64

Order = Annotated[int, Meta(ge=1, le=MAX_ORDER)]
Discounts = Annotated[list[Annotated[float, Meta(ge=1e-6, le=1)]], Meta(min_length=1)]

V = TypeVar("V")


class NGramArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="ngram"):
    """Counts of n-grams with interpolated Kneser-Ney smoothing, as tables over states.

    A state is a context that occurs in the training text, of any length below the order; longer contexts have higher
    numbers, and state 0 is the empty context. Each symbol of a context, the newest first, leads from there to the
    context longer by that symbol, for as long as that occurs.

    With conditions, there are such states for each combination of values. The tensor ``start`` holds, for each
    combination, the state that stands for it and the empty context.

    The tensor ``longer`` holds these steps: at ``state * ids + symbol`` the state reached, 0 where there is none. The
    tensor ``table`` holds a row for each state, in steps of 1/256 nat.

    Attributes:
        order: symbols in an n-gram: the context and the one that follows.
        discounts: subtracted from every count of order 1, 2 and so on; the last holds for all higher orders.
        states: how many there are.
        inner_states: how many of them, the first ones, ``longer`` has a row for.
    """

    order: Order
    discounts: Discounts
    states: States
    inner_states: States

    def tensors(self, inputs: Inputs) -> Shapes:
        """Return the shape of every tensor; see :class:`.base.BaseArchitecture`."""
        if self.order > inputs.block_size + 1:
            raise ValueError(f"order {self.order}, too high for block_size {inputs.block_size}")
        start: Shapes = {"start": (combinations(inputs),)} if inputs.values else {}
        return {**start, "longer": (self.inner_states * inputs.ids,), "table": (self.states, inputs.ids)}

    def network(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the logits after contexts; see :class:`.base.BaseArchitecture`."""
        start = None
        if inputs.values:
            start = arithmetic.look_up("start.state", arithmetic.tensor("start"), combination(arithmetic, inputs))
        row = longest_known(arithmetic, arithmetic.tensor("longer"), self.order - 1, inputs, start=start)
        return arithmetic.logits(arithmetic.look_up("steps", arithmetic.tensor("table"), row))

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return f"counts of {self.order}-grams, interpolated Kneser-Ney (discounts {format_list(self.discounts)})"

    def summarize(self) -> str:
        """Return a phrase that names the kind of model."""
        return "an n-gram model"
