"""Bigram models: one row of logits for each previous symbol, trained by gradient descent or counted."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sequentia.architectures import BigramArchitecture
from sequentia.arithmetic import LOGIT_BITS, Inputs
from sequentia.training.counts import count_bigrams
from sequentia.training.parts import Part

from .base import BaseRecipe, BaseStructure, ConflictError, DescentRecipe
from .network import Exact, Network, rounded


class BigramStructure(BaseStructure, frozen=True, kw_only=True, tag="bigram"):
    """The sizes of a bigram model: its parameters alone."""


class BigramRecipe(DescentRecipe, frozen=True, kw_only=True, tag="bigram"):
    """A bigram model trained as a network of one layer, with logits initialised from N(0, 1).

    Attributes:
        l2: factor of the penalty added to the loss: ``l2`` times the mean of the squared logits.
    """

    l2: Annotated[float, Meta(ge=0)] = 0.0

    @property
    def block_size(self) -> int:
        """Symbols of context."""
        return 1

    def structure(self, inputs: Inputs) -> BigramStructure:
        """Return the sizes of the network."""
        return _structure(inputs)

    def new_network(self, inputs: Inputs, generator: torch.Generator) -> "Bigram":
        """Return the network to train, with parameters drawn from N(0, 1)."""
        network = Bigram(inputs)
        with torch.no_grad():
            network.weight.copy_(torch.randn(network.weight.shape, generator=generator))
        return network

    def penalty(self, network: Network) -> Tensor:
        """Return the penalty to add to the loss, float32 []."""
        assert isinstance(network, Bigram)  # noqa: S101 - new_network makes it
        return self.l2 * network.weight.square().mean()


class BigramCountsRecipe(BaseRecipe, frozen=True, kw_only=True, tag="bigram-counts"):
    """A bigram model whose probabilities are the shares of counted pairs of symbols.

    Attributes:
        pseudocount: number added to each count, so that no pair has probability zero.
    """

    pseudocount: Annotated[float, Meta(ge=1e-6)] = 1.0

    @property
    def block_size(self) -> int:
        """Symbols of context."""
        return 1

    def structure(self, inputs: Inputs) -> BigramStructure:
        """Return the sizes of the network."""
        return _structure(inputs)

    def count(self, part: Part, inputs: Inputs) -> tuple[BigramStructure, dict[str, Tensor]]:
        """Return the structure and the logarithms of the counted pairs' shares."""
        counts = count_bigrams(part, inputs.ids) + self.pseudocount
        weight = np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
        return self.structure(inputs), {"weight": torch.from_numpy(weight)}


def _structure(inputs: Inputs) -> BigramStructure:
    if inputs.values:
        raise ConflictError("model", "a bigram model has no room for conditions: leave them out, or use another recipe")
    return BigramStructure(parameters=inputs.ids**2)


class Bigram(Network):
    """One row of logits for each previous symbol: trained weights or log probabilities from counts."""

    def __init__(self, inputs: Inputs, _structure: BigramStructure | None = None) -> None:
        super().__init__(inputs)
        self.weight = nn.Parameter(torch.zeros(self.ids, self.ids))

    def forward(self, context: Tensor, _conditions: Tensor | None = None) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], after contexts int64 [batch, 1]."""
        return functional.embedding(context[:, -1], self.weight)

    def in_whole_numbers(
        self,
        bits: Mapping[str, int],  # noqa: ARG002 - part of the interface
        contexts: NDArray[np.int64],  # noqa: ARG002
        conditions: NDArray[np.int64],  # noqa: ARG002
    ) -> Exact:
        """Return the table in steps of 1/256 nat."""
        architecture = BigramArchitecture(parameters=self.ids**2)
        return architecture, {"table": rounded(self.weight.detach().double().numpy(), LOGIT_BITS)}
