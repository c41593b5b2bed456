"""A row of logits for each symbol that may come before: trained as one layer, or counted."""

from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from sequentia.architectures import BigramArchitecture
from sequentia.training.corpus import Tokens
from sequentia.training.counts import count_bigrams

from .base import BaseRecipe, DescentRecipe, Network


class BigramRecipe(DescentRecipe, frozen=True, kw_only=True, tag="bigram"):
    """A row of logits for each symbol that may come before, every one drawn from N(0, 1).

    Attributes:
        l2: this times the mean of the squared logits is added to the loss.
    """

    l2: Annotated[float, Meta(ge=0)] = 0.0

    @property
    def block_size(self) -> int:
        """Symbols of context."""
        return 1

    def architecture(self, ids: int) -> BigramArchitecture:
        """Return what the recipe describes, for an alphabet of so many ids, the boundary included."""
        return BigramArchitecture(parameters=ids**2)

    def new_network(self, ids: int, generator: torch.Generator) -> "Bigram":
        """Return the network to train, its parameters drawn from N(0, 1)."""
        network = Bigram(ids)
        with torch.no_grad():
            network.weight.copy_(torch.randn(network.weight.shape, generator=generator))
        return network

    def penalty(self, network: Network) -> Tensor:
        """Return what is added to the loss of a network, float32 []."""
        assert isinstance(network, Bigram)  # noqa: S101 - it is made above
        return self.l2 * network.weight.square().mean()


class BigramCountsRecipe(BaseRecipe, frozen=True, kw_only=True, tag="bigram-counts"):
    """Counts of the pairs of symbols, as probabilities.

    Attributes:
        pseudocount: added to each count, so that no pair is impossible.
    """

    pseudocount: Annotated[float, Meta(ge=1e-6)] = 1.0

    @property
    def block_size(self) -> int:
        """Symbols of context."""
        return 1

    def architecture(self, ids: int) -> BigramArchitecture:
        """Return what the recipe describes, for an alphabet of so many ids, the boundary included."""
        return BigramArchitecture(parameters=ids**2)

    def count(self, tokens: Tokens, ids: int) -> tuple[BigramArchitecture, dict[str, Tensor]]:
        """Return the logarithms of the shares of the counted pairs."""
        counts = count_bigrams(tokens, ids) + self.pseudocount
        weight = np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
        return self.architecture(ids), {"weight": torch.from_numpy(weight)}


class Bigram(Network):
    """A row of logits for each symbol that may come before: a network of one layer, or the logarithms of counts."""

    def __init__(self, ids: int, block_size: int = 1, _architecture: BigramArchitecture | None = None) -> None:
        super().__init__(ids, block_size)
        self.weight = nn.Parameter(torch.zeros(ids, ids))

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], of contexts int64 [batch, 1]."""
        return functional.embedding(context[:, -1], self.weight)
