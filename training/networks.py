"""The network of Bengio et al. 2003, "A neural probabilistic language model", with characters for words."""

import math
from itertools import pairwise
from typing import Final

import msgspec
import torch
from torch import Tensor, nn

from sequentia.artifact import Activation, Architecture, weight_shapes

from .recipes import Recipe

_ACTIVATIONS: Final[dict[Activation, type[nn.Module]]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
_GAINS: Final[dict[Activation, float]] = {"tanh": 5 / 3, "relu": math.sqrt(2), "gelu": math.sqrt(2)}


class MLP(nn.Module):
    """Embeddings of the context's symbols, side by side, through hidden layers to the next symbol's logits.

    Args:
        vocabulary_size: number of ids, the boundary included.
        block_size: symbols of context.
        architecture: widths and activation.
        dropout: share of hidden units dropped in training.
    """

    def __init__(
        self, vocabulary_size: int, block_size: int, architecture: Architecture, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [block_size * architecture.embedding_dim, *architecture.hidden_sizes]
        self.embedding = nn.Embedding(vocabulary_size, architecture.embedding_dim)
        self.hidden = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.output = nn.Linear(widths[-1], vocabulary_size)
        self.activation = _ACTIVATIONS[architecture.activation]()
        self.dropout = nn.Dropout(dropout)

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], of contexts int64 [batch, block_size]."""
        x: Tensor = self.embedding(context).flatten(start_dim=1)
        for layer in self.hidden:
            x = self.dropout(self.activation(layer(x)))
        logits: Tensor = self.output(x)
        return logits


def architecture_of(recipe: Recipe, vocabulary_size: int) -> Architecture:
    """Return the network that a recipe describes, for an alphabet of some size."""
    architecture = Architecture(
        network="mlp",
        embedding_dim=recipe.embedding_dim,
        hidden_sizes=recipe.hidden_sizes,
        activation=recipe.activation,
        parameters=0,
    )
    shapes = weight_shapes(architecture, recipe.block_size, vocabulary_size)
    return msgspec.structs.replace(architecture, parameters=sum(map(math.prod, shapes.values())))


@torch.no_grad()
def initialize(network: MLP, recipe: Recipe, generator: torch.Generator) -> None:
    """Draw the parameters in the published order: embedding, then weight and bias of each layer.

    ``normal`` takes all of them from N(0, 1), weights in the published orientation [inputs, outputs]. ``kaiming``
    scales hidden weights by gain / sqrt(inputs) (He et al. 2015), starts biases at zero, and the output layer at a
    hundredth, so that the first loss is near that of the uniform distribution.
    """
    embedding = network.embedding.weight
    embedding.copy_(torch.randn(embedding.shape, generator=generator))
    layers = [*network.hidden, network.output]
    for layer in layers:
        assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type of ModuleList's items
        weight = torch.randn((layer.in_features, layer.out_features), generator=generator)
        if recipe.initialization == "normal":
            bias = torch.randn(layer.out_features, generator=generator)
        else:
            weight *= (_GAINS[recipe.activation] if layer is not network.output else 0.01) / math.sqrt(
                layer.in_features
            )
            bias = torch.zeros(layer.out_features)
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias)
