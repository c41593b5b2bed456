"""The contexts that a model knows, as a tree."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from sequentia.arithmetic import Arithmetic, Inputs

from .base import Shapes

V = TypeVar("V")
_Number = Annotated[int, Meta(ge=1, le=1 << 23)]


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The known contexts, of any length up to some number of symbols, the empty one included.

    Each is a state, and has a higher number than those that it ends in. Each symbol of a context, the newest first,
    leads from there to the context longer by that symbol, for as long as that is known.

    Two tensors beside the table of rows hold these steps, in the order of their places, ``state * ids + symbol``:
    ``gaps`` how far each place is behind the one before it, the first behind 0, and ``reached`` the state that the step
    leads to. A step to state 0 is none.

    Attributes:
        states: how many there are.
        inner_states: the first so many may have steps.
        edges: how many steps there are.
    """

    states: _Number
    inner_states: _Number
    edges: _Number

    def __post_init__(self) -> None:
        if self.inner_states > self.states:  # else a small file could ask for a large table
            raise ValueError(f"inner_states {self.inner_states}, more than states {self.states}")

    def describe(self, most: int) -> str:
        """Return a phrase that says how many contexts there are; the longest have ``most`` symbols."""
        return f"{self.states:,} context{'s' * (self.states > 1)} of up to {most} symbol{'s' * (most > 1)}"

    def tensors(self, name: str, ids: int) -> Shapes:
        """Return the shapes of the tensors: a table with a row for each state, whose name is given, and the steps."""
        return {name: (self.states, ids), f"{name}.gaps": (self.edges,), f"{name}.reached": (self.edges,)}

    def row(self, arithmetic: Arithmetic[V], name: str, most: int, inputs: Inputs, start: V | None = None) -> V:
        """Return the row of the longest known context that a context ends in: number [batch, ids].

        Args:
            arithmetic: carries the operations out.
            name: of the table.
            most: symbols in the longest known contexts.
            inputs: what the network reads.
            start: the number of the state that stands for the empty context; 0 by default.
        """
        ids, step = inputs.ids, arithmetic.symbol(inputs.block_size - 1)
        rows = self.inner_states + 1  # one for all states without steps
        gaps, reached = arithmetic.tensor(f"{name}.gaps"), arithmetic.tensor(f"{name}.reached")
        steps = arithmetic.scattered(f"{name}.longer", rows * ids, gaps, reached)
        if start is not None:
            step = arithmetic.numbered("step.1", arithmetic.index("start.index", start), ids, step)
        longer = arithmetic.look_up("longer.1", steps, step)
        state = longer if start is None else arithmetic.maximum("state.1", start, longer)
        for age in range(2, most + 1):
            inner = arithmetic.clip(f"inner.{age}", longer, 0, self.inner_states)
            symbol = arithmetic.symbol(inputs.block_size - age)
            step = arithmetic.numbered(f"step.{age}", arithmetic.index(f"inner.{age}.index", inner), ids, symbol)
            known = arithmetic.clip(f"known.{age}", longer, 0, 1)  # 0 from the first unknown context on
            longer = arithmetic.multiply(f"longer.{age}", arithmetic.look_up(f"reached.{age}", steps, step), known)
            state = arithmetic.maximum(f"state.{age}", state, longer)
        return arithmetic.look_up(f"{name}.row", arithmetic.tensor(name), arithmetic.index("state", state))
