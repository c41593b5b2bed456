"""A layer of gated recurrent units (Cho et al. 2014), trained on whole names and exported over a window of symbols."""

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

_NOT_COUNTED = -100  # a target that PyTorch's cross-entropy leaves out


class GRURecipe(DescentRecipe, frozen=True, kw_only=True, tag="gru"):
    """A recurrent network that reads names from their start. Its minibatches are whole names.

    Attributes:
        block_size: symbols of context that the exported model reads; the training reads each name to its end.
        embedding_dim: width of a symbol's embedding.
        hidden_size: units of the recurrent layer.
        dropout: share of the units' values that the output does not see in a step of the training
            (Srivastava et al. 2014); the next state sees all of them.
    """

    block_size: BlockSize
    embedding_dim: Width
    hidden_size: Width
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0

    def __post_init__(self) -> None:
        if not self.batch_size:
            raise ConflictError("batch_size", "a minibatch is of whole names: batch_size has to be 1 or more")

    def architecture(self, ids: int) -> GRUArchitecture:
        """Return what the recipe describes, for an alphabet of so many ids, the boundary included."""
        architecture = GRUArchitecture(embedding_dim=self.embedding_dim, hidden_size=self.hidden_size, parameters=0)
        shapes = architecture.tensors(self.block_size, ids).values()
        return msgspec.structs.replace(architecture, parameters=sum(math.prod(shape) for _, shape in shapes))

    def new_network(self, ids: int, generator: torch.Generator) -> "GRU":
        """Return the network to train, its parameters drawn.

        Embeddings are drawn from N(0, 1), all else from the uniform distribution between plus and minus one over the
        root of the units, as ``torch.nn.GRU`` does; the output's weights are a tenth of that, and its biases zero, so
        that the first loss is near that of a uniform guess.
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
        """Return whole names; see :func:`whole_names`."""
        return whole_names(tokens, positions)

    @property
    def may_share_steps(self) -> bool:
        """Whether several workers may share a step: names differ in length, so their means could not be added up."""
        return False


def whole_names(tokens: Tokens, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a name for each position, every name as likely as any other.

    Args:
        tokens: each name followed by the boundary.
        positions: int64 [n], drawn alike from 0 to the number of tokens.

    Returns:
        What the network reads, int64 [n, longest + 1]: a boundary and the symbols of each name, then boundaries; and
        what follows each of these, int64 [n * (longest + 1)], -100 behind the end of a name.
    """
    ends = np.flatnonzero(tokens == BOUNDARY)
    chosen = positions * len(ends) // len(tokens)
    starts = np.append(0, ends[:-1] + 1)[chosen]
    lengths = ends[chosen] - starts
    places = np.arange(lengths.max(initial=0) + 1)
    inside = places <= lengths[:, None]
    follows = tokens[np.minimum(starts[:, None] + places, len(tokens) - 1)].astype(np.int64)
    follows[~inside] = _NOT_COUNTED
    read = np.full_like(follows, BOUNDARY)
    read[:, 1:] = np.where(inside[:, 1:], follows[:, :-1], BOUNDARY)
    return read, follows.reshape(-1)


class GRU(Network):
    """A recurrent network. In training it reads whole names; otherwise contexts, from the start of the name on.

    Args:
        ids: how many ids there are, the boundary included.
        block_size: symbols of context.
        architecture: widths.
        dropout: share of the units' values that each minibatch of the training hides from the output.
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
            float32 [batch, ids]; in training [batch * length, ids], after each symbol of each name.
        """
        if not self.training:
            return self._after_contexts(context)
        states, _ = self.gru(self.embedding(context))
        logits: Tensor = self.output(functional.dropout(states, self.dropout))
        return logits.flatten(end_dim=1)

    def _after_contexts(self, context: Tensor) -> Tensor:
        """Return the logits after contexts, float32 [batch, ids].

        A context is padded with boundaries. The last of them is the start of the name; those before it are passed over.
        What a symbol adds to the gates is looked up.
        """
        units = self.gru.hidden_size
        names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
        weight_given, bias_given, weight_own, bias_own = map(self.gru.get_parameter, names)
        table = functional.linear(self.embedding.weight, weight_given, bias_given)
        state: Tensor | None = None
        for place in range(self.block_size):
            given = functional.embedding(context[:, place], table)
            own = bias_own if state is None else functional.linear(state, weight_own, bias_own)
            reset = torch.sigmoid(given[:, :units] + own[..., :units])
            update = torch.sigmoid(given[:, units : 2 * units] + own[..., units : 2 * units])
            new = torch.tanh(given[:, 2 * units :] + reset * own[..., 2 * units :])
            before = torch.zeros_like(new) if state is None else state
            after = new + update * (before - new)
            if place < self.block_size - 1:
                begun = context[:, place] + context[:, place + 1] > BOUNDARY
                after = torch.where(begun[:, None], after, before)
            state = after
        assert state is not None  # noqa: S101 - there is at least one symbol of context
        logits: Tensor = self.output(state)
        return logits

    def symbol_vectors(self) -> NDArray[np.float32]:
        """Return the embeddings of the ids, float32 [ids, width]."""
        vectors: NDArray[np.float32] = self.embedding.weight.detach().cpu().numpy()
        return vectors
