"""A recurrent network: one layer of gated recurrent units (Cho et al. 2014)."""

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sequentia.arithmetic import LOGIT_BITS, Arithmetic, Inputs

from .base import BaseArchitecture, Bits, Shapes, combination, combinations, split_product, split_weight
from .mlp import Width

GATES: Final = ("reset", "update", "new")

MAX_PLACES: Final = 256
"""Symbols in a context: each adds sixty nodes to the graph, and onnxruntime opens 16,000 of them in a second."""

Largest = Annotated[int, Meta(ge=1, le=(1 << 16) - 1)]

V = TypeVar("V")


class GRUArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="gru"):
    """Embeddings of the context's symbols, a layer of gated recurrent units that reads them in order, and logits.

    What a symbol adds to the sums of a gate, the biases included, is looked up in ``reset.given``, ``update.given`` and
    ``new.given``; what a condition's value adds to them, in ``reset.condition.0`` and so on. The state begins as a row
    of ``start``, one for each combination of values, which is the state after a single boundary. Another boundary
    leaves it as it is, because its row of ``update.given`` closes every update gate.

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_size: units of the layer.
        position_bits: the sums of the gates are rounded to steps of 2^-bits, which are positions in the tables
            ``sigmoid`` and ``tanh``.
        largest_sigmoid: the last position in the table ``sigmoid``.
        largest_tanh: the last position in the table ``tanh``.
        gate_bits: the reset and update gates are in steps of 2^-bits.
        state_bits: the state is in steps of 2^-bits.
        weight_bits: the weights behind the state are in steps of 2^-bits.
        low_bits: how many of these bits stand in a tensor of their own, because sums could reach 2^24; 0 for none.
        output_bits: the weights of the output are in steps of 2^-bits.
        output_low_bits: how many of these bits stand in a tensor of their own.
    """

    embedding_dim: Width
    hidden_size: Width
    position_bits: Bits
    largest_sigmoid: Largest
    largest_tanh: Largest
    gate_bits: Bits
    state_bits: Bits
    weight_bits: Bits
    low_bits: Bits
    output_bits: Bits
    output_low_bits: Bits

    def tensors(self, inputs: Inputs) -> Shapes:
        """Return the shape of every tensor; see :class:`.base.BaseArchitecture`."""
        if inputs.block_size > MAX_PLACES:
            raise ValueError(f"a recurrent network of block_size {inputs.block_size}, more than {MAX_PLACES}")
        units, ids = self.hidden_size, inputs.ids
        shapes: Shapes = {
            "sigmoid": (self.largest_sigmoid + 1,),
            "tanh": (self.largest_tanh + 1,),
            "start": (combinations(inputs), units),
        }
        for gate in GATES:
            shapes[f"{gate}.given"] = (ids, units)
            shapes |= {f"{gate}.condition.{column}": (rows, units) for column, rows in enumerate(inputs.values)}
            shapes |= split_weight(gate, (units, units), self.low_bits)
        shapes["new.bias"] = (units,)
        return {**shapes, **split_weight("output", (units, ids), self.output_low_bits), "output.bias": (ids,)}

    def symbol_vectors(
        self,
        tensors: Mapping[str, NDArray[np.integer]],
        inputs: Inputs,  # noqa: ARG002 - part of the interface
    ) -> NDArray[np.integer]:
        """Return what each symbol adds to two of the gates, [ids, 2 * units]: at the third, the boundary is special."""
        return np.concatenate([tensors[f"{gate}.given"] for gate in GATES if gate != "update"], axis=1)

    def network(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the logits after contexts; see :class:`.base.BaseArchitecture`."""
        state, said = arithmetic.tensor("start"), {}
        if inputs.values:
            state = arithmetic.look_up("start.row", state, combination(arithmetic, inputs))
            said = {gate: self._said(arithmetic, gate, inputs) for gate in GATES}
        for place in range(inputs.block_size):
            state = self._read(arithmetic, f"{place}", state, arithmetic.symbol(place), said)
        sums = split_product(arithmetic, "output", state, self.output_low_bits)
        sums = arithmetic.add("output.sums", sums, arithmetic.tensor("output.bias"))
        bits = self.state_bits + self.output_bits - self.output_low_bits
        return arithmetic.logits(arithmetic.shift("steps", sums, bits - LOGIT_BITS))

    def _said(self, arithmetic: Arithmetic[V], gate: str, inputs: Inputs) -> V:
        """Return what the conditions add to the sums of a gate."""
        first, *others = (
            arithmetic.look_up(
                f"{gate}.condition.row.{column}",
                arithmetic.tensor(f"{gate}.condition.{column}"),
                arithmetic.condition(column),
            )
            for column in range(len(inputs.values))
        )
        for column, row in enumerate(others, start=1):
            first = arithmetic.add(f"{gate}.condition.sums.{column}", first, row)
        return first

    def _read(self, arithmetic: Arithmetic[V], place: str, state: V, symbol: V, said: dict[str, V]) -> V:
        """Return the state after one more symbol."""
        bits = self.state_bits + self.weight_bits - self.low_bits - self.position_bits

        def own(gate: str) -> V:
            product = split_product(arithmetic, gate, state, self.low_bits, f".{place}")
            return arithmetic.shift(f"{gate}.own.{place}", product, bits)

        def activated(gate: str, sums: V, table: str, largest: int) -> V:
            given = arithmetic.look_up(f"{gate}.given.{place}", arithmetic.tensor(f"{gate}.given"), symbol)
            if gate in said:
                given = arithmetic.add(f"{gate}.all.{place}", given, said[gate])
            position = arithmetic.add(f"{gate}.sums.{place}", given, sums)
            position = arithmetic.clip(f"{gate}.position.{place}", position, 0, largest)
            index = arithmetic.index(f"{gate}.index.{place}", position)
            return arithmetic.look_up(f"{gate}.units.{place}", arithmetic.tensor(table), index)

        reset = activated("reset", own("reset"), "sigmoid", self.largest_sigmoid)
        update = activated("update", own("update"), "sigmoid", self.largest_sigmoid)
        shown = arithmetic.add(f"new.biased.{place}", own("new"), arithmetic.tensor("new.bias"))
        shown = arithmetic.multiply(f"new.reset.{place}", reset, shown)
        shown = arithmetic.shift(f"new.shown.{place}", shown, self.gate_bits)
        new = activated("new", shown, "tanh", self.largest_tanh)
        kept = arithmetic.multiply(f"kept.{place}", update, arithmetic.subtract(f"change.{place}", state, new))
        after = arithmetic.add(f"after.{place}", new, arithmetic.shift(f"kept.steps.{place}", kept, self.gate_bits))
        one = 1 << self.state_bits
        return arithmetic.clip(f"state.{place}", after, -one, one)  # changes nothing, but proves the bounds

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return (
            f"embeddings of {self.embedding_dim} dimensions and a layer of {self.hidden_size:,} gated recurrent units"
        )

    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""
        return 'a recurrent network of Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"'
