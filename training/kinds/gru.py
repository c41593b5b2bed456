"""Gated recurrent units (Cho et al. 2014), trained on whole names and exported for contexts of fixed length."""

import math
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sequentia.architectures import GRUArchitecture
from sequentia.architectures.mlp import Width
from sequentia.config import BlockSize
from sequentia.training.corpus import Tokens
from sequentia.vocabulary import BOUNDARY

from .base import ConflictError, DescentRecipe, Network

_IGNORED = -100  # the target that PyTorch's cross-entropy ignores


class GRURecipe(DescentRecipe, frozen=True, kw_only=True, tag="gru"):
    """A recurrent network that reads names from their start. A minibatch is ``batch_size`` whole names.

    Attributes:
        block_size: symbols of context that the exported model reads; training reads whole names.
        embedding_dim: width of a symbol's embedding.
        hidden_size: units of the recurrent layer.
        dropout: share of the units' values hidden from the output layer in training (Srivastava et al. 2014); the
            next state uses all of them.
    """

    block_size: BlockSize
    embedding_dim: Width
    hidden_size: Width
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0

    def __post_init__(self) -> None:
        if not self.batch_size:
            raise ConflictError(
                "batch_size", "a minibatch is a number of whole names: batch_size must be 1 or more, not 0"
            )

    def architecture(self, ids: int) -> GRUArchitecture:
        """Return the architecture for a vocabulary of ``ids`` ids, the boundary included."""
        architecture = GRUArchitecture(embedding_dim=self.embedding_dim, hidden_size=self.hidden_size, parameters=0)
        shapes = architecture.tensors(self.block_size, ids).values()
        return msgspec.structs.replace(architecture, parameters=sum(math.prod(shape) for _, shape in shapes))

    def new_network(self, ids: int, generator: torch.Generator) -> "GRU":
        """Return the network to train, with randomly initialised parameters.

        Embeddings are drawn from N(0, 1). All other parameters are drawn uniformly between plus and minus
        1 / sqrt(hidden_size), as ``torch.nn.GRU`` does. The output's weights are then multiplied by 0.1 and its biases
        set to zero, so that the first loss is near that of a uniform guess.
        """
        network = GRU(ids, self.block_size, self.architecture(ids), dropout=self.dropout)
        bound = 1 / math.sqrt(self.hidden_size)
        with torch.no_grad():
            network.embedding.weight.copy_(torch.randn(network.embedding.weight.shape, generator=generator))
            for parameter in (*network.gru.parameters(), network.output.weight):
                parameter.copy_((2 * torch.rand(parameter.shape, generator=generator) - 1) * bound)
            network.output.weight.mul_(0.1)
            network.output.bias.zero_()
        return network

    def examples(self, tokens: Tokens, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return whole names as inputs and targets; see :func:`whole_names`."""
        return whole_names(tokens, positions)

    @property
    def may_share_steps(self) -> bool:
        """False: names differ in length, so the mean of the workers' mean losses would not be that of the step."""
        return False


def whole_names(tokens: Tokens, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the inputs and targets of one name for each position; every name is equally likely.

    Args:
        tokens: each name followed by the boundary.
        positions: int64 [n], drawn uniformly from 0 to the number of tokens.

    Returns:
        Inputs, int64 [n, longest + 1]: a boundary, the symbols of the name, then boundaries as padding. Targets, int64
        [n * (longest + 1)]: the symbol after each input, -100 in the padding.
    """
    ends = np.flatnonzero(tokens == BOUNDARY)
    names = positions * len(ends) // len(tokens)
    starts = np.append(0, ends[:-1] + 1)[names]
    lengths = ends[names] - starts
    places = np.arange(lengths.max(initial=0) + 1)
    inside = places <= lengths[:, None]
    targets = tokens[np.minimum(starts[:, None] + places, len(tokens) - 1)].astype(np.int64)
    targets[~inside] = _IGNORED
    inputs = np.full_like(targets, BOUNDARY)
    inputs[:, 1:] = np.where(inside[:, 1:], targets[:, :-1], BOUNDARY)
    return inputs, targets.reshape(-1)


class GRU(Network):
    """A recurrent network. It reads whole names in training, and contexts in evaluation mode.

    Args:
        ids: number of ids, the boundary included.
        block_size: symbols of context.
        architecture: the widths.
        dropout: share of the units' values hidden from the output layer in training.
    """

    def __init__(self, ids: int, block_size: int, architecture: GRUArchitecture, *, dropout: float = 0.0) -> None:
        super().__init__(ids, block_size)
        self.embedding = nn.Embedding(ids, architecture.embedding_dim)
        self.gru = nn.GRU(architecture.embedding_dim, architecture.hidden_size, batch_first=True)
        self.output = nn.Linear(architecture.hidden_size, ids)
        self.dropout = dropout

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol.

        Args:
            context: int64 [batch, block_size]; in training, names [batch, length] that begin with the boundary.

        Returns:
            float32 [batch, ids]; in training [batch * length, ids], one row after each symbol of each name.
        """
        if not self.training:
            return self._after_contexts(context)
        states, _ = self.gru(self.embedding(context))
        logits: Tensor = self.output(functional.dropout(states, self.dropout))
        return logits.flatten(end_dim=1)

    def _after_contexts(self, context: Tensor) -> Tensor:
        """Return the logits after contexts, float32 [batch, ids].

        A context is padded with boundaries on the left. The last of them starts the name; the state skips those before
        it. Each symbol's contribution to the gates comes from a table with one row per id.
        """
        units = self.gru.hidden_size
        names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
        weight_ih, bias_ih, weight_hh, bias_hh = map(self.gru.get_parameter, names)
        table = functional.linear(self.embedding.weight, weight_ih, bias_ih)
        state: Tensor | None = None
        for place in range(self.block_size):
            from_input = functional.embedding(context[:, place], table)
            from_state = bias_hh if state is None else functional.linear(state, weight_hh, bias_hh)
            reset = torch.sigmoid(from_input[:, :units] + from_state[..., :units])
            update = torch.sigmoid(from_input[:, units : 2 * units] + from_state[..., units : 2 * units])
            new = torch.tanh(from_input[:, 2 * units :] + reset * from_state[..., 2 * units :])
            before = torch.zeros_like(new) if state is None else state
            after = new + update * (before - new)
            if place < self.block_size - 1:
                started = context[:, place] + context[:, place + 1] > BOUNDARY
                after = torch.where(started[:, None], after, before)
            state = after
        assert state is not None  # noqa: S101 - there is at least one symbol of context
        logits: Tensor = self.output(state)
        return logits

    def symbol_vectors(self) -> NDArray[np.float32]:
        """Return the embeddings of the ids, float32 [ids, width]."""
        vectors: NDArray[np.float32] = self.embedding.weight.detach().cpu().numpy()
        return vectors
