"""Gated recurrent units (Cho et al. 2014), trained on whole names and exported for contexts of fixed length."""

import math
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sequentia.architectures import GRUArchitecture
from sequentia.architectures.base import combinations
from sequentia.architectures.gru import GATES, MAX_PLACES
from sequentia.architectures.mlp import Width
from sequentia.arithmetic import Inputs
from sequentia.training.parts import Part
from sequentia.vocabulary import BOUNDARY

from .base import BaseStructure, ConflictError, DescentRecipe, Examples
from .network import Exact, Network, rounded, split_weights

_SYMBOLS = 11  # in a name of usual length, and the padding of a minibatch


class GRUStructure(BaseStructure, frozen=True, kw_only=True, tag="gru"):
    """The sizes of a recurrent network.

    Attributes:
        embedding_dim: width of the embedding of a symbol, and of a condition's value.
        hidden_size: units of the recurrent layer.
        tied: whether the weights of the output layer are the embeddings, after a layer from the units to their width.
    """

    embedding_dim: Width
    hidden_size: Width
    tied: bool = False

    @classmethod
    def of(cls, architecture: GRUArchitecture) -> Self:
        """Return the sizes of an artifact's network."""
        width, units = architecture.embedding_dim, architecture.hidden_size
        return cls(embedding_dim=width, hidden_size=units, parameters=architecture.parameters)

    def numbers(self, inputs: Inputs) -> int:
        """Return how many numbers an artifact stores: also what each symbol adds to each gate, and the first states."""
        rows = len(GATES) * (inputs.ids + sum(inputs.values)) + math.prod(inputs.values)
        rows += inputs.ids - self.embedding_dim if self.tied else 0  # the output, and not what it is made of
        return self.parameters + rows * self.hidden_size

    def multiplications(self, inputs: Inputs) -> int:
        """Return about how many multiplications the probabilities after a context take: it is read from its start."""
        return inputs.block_size * self.parameters


class GRURecipe(DescentRecipe, frozen=True, kw_only=True, tag="gru"):
    """A recurrent network that reads names from their start. A minibatch is ``batch_size`` whole names.

    Attributes:
        block_size: symbols of context that the exported model reads, at most 256; training reads whole names.
        embedding_dim: width of the embedding of a symbol, and of a condition's value; those of a name's values are
            added to that of each of its symbols.
        hidden_size: units of the recurrent layer.
        dropout: share of the units' values hidden from the output layer in training (Srivastava et al. 2014); the
            next state uses all of them.
        embedding_dropout: share of the embeddings' values hidden in training, the same for all symbols of a name (Gal
            and Ghahramani 2016).
        tied: whether the weights of the output layer are the embeddings (Inan et al. 2017, Press and Wolf 2017), after
            a linear layer from the units to the width of an embedding.
    """

    block_size: Annotated[int, Meta(ge=1, le=MAX_PLACES)]
    embedding_dim: Width
    hidden_size: Width
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    embedding_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    tied: bool = False

    def __post_init__(self) -> None:
        if not self.batch_size:
            raise ConflictError(
                "batch_size", "a minibatch is a number of whole names: batch_size must be 1 or more, not 0"
            )

    def structure(self, inputs: Inputs) -> GRUStructure:
        """Return the sizes of the network."""
        try:
            combinations(inputs)
        except ValueError as error:
            raise ConflictError("model", str(error)) from error
        width, units, ids = self.embedding_dim, self.hidden_size, inputs.ids
        parameters = (ids + sum(inputs.values)) * width + 3 * units * (width + units + 2)
        parameters += ids + units * (width if self.tied else ids)
        return GRUStructure(embedding_dim=width, hidden_size=units, tied=self.tied, parameters=parameters)

    def new_network(self, inputs: Inputs, generator: torch.Generator) -> "GRU":
        """Return the network to train, with randomly initialised parameters.

        Embeddings are drawn from N(0, 1), but those of conditions start at zero. All other parameters are drawn
        uniformly between plus and minus 1 / sqrt(hidden_size), as ``torch.nn.GRU`` does. The output's weights are then
        multiplied by 0.1, or tied embeddings by 1 / sqrt(embedding_dim), and the output's biases set to zero, so that
        the first loss is near that of a uniform guess.
        """
        network = GRU(inputs, self.structure(inputs), dropout=self.dropout, embedding_dropout=self.embedding_dropout)
        bound = 1 / math.sqrt(self.hidden_size)
        with torch.no_grad():
            network.embedding.weight.copy_(torch.randn(network.embedding.weight.shape, generator=generator))
            for table in network.conditions.parameters():
                table.zero_()
            last = network.output if network.projection is None else network.projection
            for parameter in (*network.gru.parameters(), last.weight):
                parameter.copy_((2 * torch.rand(parameter.shape, generator=generator) - 1) * bound)
            network.output.weight.mul_(1 / math.sqrt(self.embedding_dim) if self.tied else 0.1)
            network.output.bias.zero_()
        return network

    def examples_of(self, windows: int, names: int) -> int:  # noqa: ARG002 - part of the interface
        """Return how many examples a training part has: its names."""
        return names

    def examples(self, part: Part, places: NDArray[np.int64]) -> Examples:
        """Return whole names as inputs and targets; see :func:`whole_names`."""
        names = part.names_of(places)
        inputs, targets = whole_names(part, names)
        return inputs, part.conditions[names].astype(np.int64), targets

    def multiplications(self, inputs: Inputs) -> float:
        """Return about how many multiplications a step takes: in training, each symbol of a name is read once."""
        symbols = _SYMBOLS * self.batch_size
        return 3.0 * symbols * self.structure(inputs).parameters

    @property
    def may_share_steps(self) -> bool:
        """False: names differ in length, so the mean of the workers' mean losses would not be that of the step."""
        return False


def whole_names(part: Part, names: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the inputs and targets of some names.

    Args:
        part: all names.
        names: the indices of some, [n].

    Returns:
        Inputs, int64 [n, longest + 1]: a boundary, the symbols of the name, then boundaries as padding. Targets, int64
        [inputs without padding]: the symbol after each.
    """
    tokens, ends = part.tokens, part.ends[names].astype(np.int64)
    starts = np.where(names > 0, part.ends[names - 1].astype(np.int64) + 1, 0)
    lengths = ends - starts
    places = np.arange(lengths.max(initial=0) + 1)
    inside = places <= lengths[:, None]
    targets = tokens[np.minimum(starts[:, None] + places, len(tokens) - 1)].astype(np.int64)
    inputs = np.full_like(targets, BOUNDARY)
    inputs[:, 1:] = np.where(inside[:, 1:], targets[:, :-1], BOUNDARY)
    return inputs, targets[inside]


class GRU(Network):
    """A recurrent network. It reads whole names in training, and contexts in evaluation mode.

    Args:
        inputs: what it reads.
        structure: the widths.
        dropout: share of the units' values hidden from the output layer in training.
        embedding_dropout: share of the embeddings' values hidden in training.
    """

    def __init__(
        self, inputs: Inputs, structure: GRUStructure, *, dropout: float = 0.0, embedding_dropout: float = 0.0
    ) -> None:
        super().__init__(inputs)
        self.embedding: nn.Embedding = nn.Embedding(inputs.ids, structure.embedding_dim)
        self.conditions: nn.ModuleList = nn.ModuleList(
            nn.Embedding(rows, structure.embedding_dim) for rows in inputs.values
        )
        self.gru = nn.GRU(structure.embedding_dim, structure.hidden_size, batch_first=True)
        self.projection = None
        self.output = nn.Linear(structure.embedding_dim if structure.tied else structure.hidden_size, inputs.ids)
        if structure.tied:
            self.projection = nn.Linear(structure.hidden_size, structure.embedding_dim, bias=False)
            self.output.weight = self.embedding.weight
        self.dropout, self.embedding_dropout = dropout, embedding_dropout

    def forward(self, context: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the logits of the next symbol.

        Args:
            context: int64 [batch, block_size]; in training, names [batch, length] that begin with the boundary.
            conditions: int64 [batch, conditions]; by default, none is said.

        Returns:
            float32 [batch, ids]; in training [symbols, ids], one row for each input without the padding.
        """
        given = self.not_said(context) if conditions is None else conditions
        if not self.training:
            return self._after_contexts(context, given)
        said = self._said(given)
        embedded = self.embedding(context)
        if said is not None:
            embedded = embedded + said[:, None]
        if self.embedding_dropout:
            embedded = embedded * functional.dropout(torch.ones_like(embedded[:, :1]), self.embedding_dropout)
        lengths = 1 + (context != BOUNDARY).sum(dim=1)
        states, _ = self.gru(pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False))
        each, _ = pad_packed_sequence(states, batch_first=True)
        inside = torch.arange(context.shape[1], device=context.device) < lengths[:, None]
        return self._logits(functional.dropout(each, self.dropout)[inside])

    def _logits(self, states: Tensor) -> Tensor:
        """Return the logits after states, float32 [rows, ids]."""
        logits: Tensor = self.output(states if self.projection is None else self.projection(states))
        return logits

    def _said(self, conditions: Tensor) -> Tensor | None:
        """Return the sum of the embeddings of each row's values, float32 [batch, width]; None without conditions."""
        vectors = [table(column) for table, column in zip(self.conditions, conditions.T, strict=True)]
        return torch.stack(vectors).sum(dim=0) if vectors else None

    def _after_contexts(self, context: Tensor, conditions: Tensor) -> Tensor:
        """Return the logits after contexts, float32 [batch, ids].

        A context is padded with boundaries on the left. The state starts as that after one boundary, and skips further
        ones. Contexts that begin alike have the same state so far, which is computed once.
        """
        known, contexts = torch.unique(context, return_inverse=True)
        table = self._contribution(self.embedding(known), biased=True)
        groups, at = conditions[:1], torch.zeros(len(context), dtype=torch.int64, device=context.device)
        if self.inputs.values:
            groups, at = torch.unique(conditions, dim=0, return_inverse=True)
        said = self._said(groups)
        added = None if said is None else self._contribution(said)
        states = self._start(said)
        group = torch.arange(len(states), device=context.device)  # of each state
        for symbols in contexts.T:
            pairs, at = torch.unique(at * len(known) + symbols, return_inverse=True)
            before, symbol = pairs // len(known), pairs % len(known)
            group = group[before]
            given = functional.embedding(symbol, table)
            after = self._after(states[before], given if added is None else given + added[group])
            states = torch.where(known[symbol, None] > BOUNDARY, after, states[before])
        return self._logits(states[at])

    def _contribution(self, vectors: Tensor, *, biased: bool = False) -> Tensor:
        """Return what embeddings, float32 [rows, width], add to the gates, perhaps with biases, [rows, 3 * units]."""
        weight, bias = (self.gru.get_parameter(f"{name}_ih_l0") for name in ("weight", "bias"))
        return functional.linear(vectors, weight, bias if biased else None)

    def _start(self, said: Tensor | None) -> Tensor:
        """Return the state after one boundary, float32 [1 or rows of ``said``, units]."""
        given = self._contribution(self.embedding.weight[:1], biased=True)
        if said is not None:
            given = given + self._contribution(said)
        return self._after(torch.zeros_like(given[:, : self.gru.hidden_size]), given)

    def _after(self, state: Tensor, from_input: Tensor) -> Tensor:
        """Return the state after one more symbol, float32 [batch, units]."""
        weight, bias = (self.gru.get_parameter(f"{name}_hh_l0") for name in ("weight", "bias"))
        reset_input, update_input, new_input = from_input.chunk(3, dim=1)
        reset_state, update_state, new_state = functional.linear(state, weight, bias).chunk(3, dim=1)
        update = torch.sigmoid(update_input + update_state)
        new = torch.tanh(new_input + torch.sigmoid(reset_input + reset_state) * new_state)
        return new + update * (state - new)

    def precisions(self) -> dict[str, int]:
        """Return the groups of numbers whose precision the exporter chooses."""
        return {"states": 12, "gates": 10, "positions": 8, "weights": 10, "output": 10}

    @torch.no_grad()
    def in_whole_numbers(
        self,
        bits: Mapping[str, int],
        contexts: NDArray[np.int64],  # noqa: ARG002 - part of the interface
        conditions: NDArray[np.int64],  # noqa: ARG002
    ) -> Exact:
        """Return the network in whole numbers."""
        units, one, positions = self.gru.hidden_size, 1 << bits["states"], bits["positions"]
        weight, bias = (self.gru.get_parameter(f"{name}_hh_l0").double().numpy() for name in ("weight", "bias"))
        table = self._contribution(self.embedding.weight, biased=True)
        values = self.inputs.values
        start = self._start(
            self._said(torch.cartesian_prod(*map(torch.arange, values)).view(-1, len(values))) if values else None
        )
        sigmoid_end = math.ceil(math.ldexp((bits["gates"] + 1) * math.log(2), positions))
        tanh_end = math.ceil(math.ldexp((bits["states"] + 2) * math.log(2) / 2, positions))
        tensors = {
            "sigmoid": rounded(1 / (1 + np.exp(-_positions(sigmoid_end, positions))), bits["gates"]),
            "tanh": rounded(np.tanh(_positions(tanh_end, positions)), bits["states"]),
            "start": rounded(start.double().numpy(), bits["states"]),
            "new.bias": rounded(bias[2 * units :], positions),
        }
        bias[2 * units :] = 0
        # Positions begin at 0, hence the ends of the tables.
        given = rounded(table.double().numpy() + bias, positions) + np.repeat(
            [sigmoid_end, sigmoid_end, tanh_end], units
        )
        parts, low_bits = split_weights("gates", weight.T, bits["weights"], one)
        for number, gate in enumerate(GATES):
            columns = slice(number * units, (number + 1) * units)
            tensors[f"{gate}.given"] = given[:, columns]
            tensors |= {name.replace("gates", gate): part[:, columns] for name, part in parts.items()}
        added = [
            rounded(self._contribution(table).double().numpy(), positions) for table in self.conditions.parameters()
        ]
        for column, rows in enumerate(added):
            for number, gate in enumerate(GATES):
                tensors[f"{gate}.condition.{column}"] = rows[:, number * units : (number + 1) * units]
        # Another boundary leaves the state as it is: whatever the state adds, its update gate is 1.
        most = int(np.abs(rounded(weight, bits["weights"])).sum(axis=1).max())
        most_added = math.ceil(math.ldexp(most, positions - bits["weights"])) + 2  # and what rounding adds
        most_added += sum(int(np.abs(rows).max()) for rows in added)
        tensors["update.given"][BOUNDARY] = 2 * sigmoid_end + most_added
        output_weight, output_bias = (each.double().numpy() for each in (self.output.weight, self.output.bias))
        if self.projection is not None:
            output_weight = output_weight @ self.projection.weight.double().numpy()
        parts, output_low_bits = split_weights("output", output_weight.T, bits["output"], one)
        sum_bits = bits["states"] + bits["output"] - output_low_bits
        tensors |= {**parts, "output.bias": rounded(output_bias, sum_bits)}
        architecture = GRUArchitecture(
            parameters=sum(p.numel() for p in self.parameters()),
            embedding_dim=self.embedding.embedding_dim,
            hidden_size=units,
            position_bits=positions,
            largest_sigmoid=2 * sigmoid_end,
            largest_tanh=2 * tanh_end,
            gate_bits=bits["gates"],
            state_bits=bits["states"],
            weight_bits=bits["weights"],
            low_bits=low_bits,
            output_bits=bits["output"],
            output_low_bits=output_low_bits,
        )
        return architecture, tensors

    def value_vectors(self) -> list[NDArray[np.float32]]:
        """Return the embeddings of each condition's values, float32 [values, width]."""
        return [table.detach().cpu().numpy() for table in self.conditions.parameters()]


def _positions(end: int, bits: int) -> NDArray[np.float64]:
    """Return the numbers that the positions of a table stand for, from -end to end in steps of 2^-bits."""
    return np.ldexp(np.arange(-end, end + 1, dtype=np.float64), -bits)
