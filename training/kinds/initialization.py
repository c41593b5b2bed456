"""How the parameters of the network of Bengio et al. 2003 are drawn."""

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from sequentia.architectures.mlp import Activation

from .network import BatchNorm

if TYPE_CHECKING:
    from .mlp import MLP, MLPRecipe

_GAINS: Final[dict[Activation, float]] = {"tanh": 5 / 3, "relu": math.sqrt(2), "gelu": math.sqrt(2)}


@torch.no_grad()
def initialize(network: "MLP", recipe: "MLPRecipe", generator: torch.Generator) -> None:
    """Draw the parameters in the published order: the embedding, then the weight and bias of each layer.

    Weights are drawn in the published orientation, [inputs, outputs], and scaled according to ``initialization``:

    - ``normal``: all parameters from N(0, 1), as in parts 1 and 2 of the published lectures.
    - ``scaled``: hidden weights times gain / sqrt(inputs), hidden biases and output weights times 0.01, output bias
      zero (though drawn), as in part 3.
    - ``lecun``: weights from N(0, 1 / inputs) (LeCun et al. 1998), output weights times 0.1, biases zero, as in the
      deep networks of part 3.
    - ``small``: as ``lecun``, but the embedding a tenth as large and the first hidden weights three times. Embeddings
      then learn soon by stochastic gradient descent, where each symbol is rare.
    - ``kaiming``: hidden weights from N(0, gain² / inputs) (He et al. 2015), output weights from N(0, 1 / inputs) times
      0.01, biases zero.

    Tied embeddings are divided by the square root of their width, for the logits' sake.

    If the output is normalised, which would cancel a factor of its weights, the factor goes to the normalisation's gain
    instead. So all but ``normal`` start near the uniform distribution. Direct connections, of either sort, and the
    embeddings of conditions start at zero, so that a rare value stays near the others.
    """
    kind, gain = recipe.initialization, _GAINS[recipe.activation]
    output_factor = {"normal": 1.0, "scaled": 0.01, "lecun": 0.1, "small": 0.1, "kaiming": 0.01}[kind]
    factor = output_factor if recipe.batch_norm != "all" else 1.0
    network.embedding.weight.copy_(torch.randn(network.embedding.weight.shape, generator=generator))
    for parameter in network.conditions.parameters():
        parameter.zero_()
    for layer in (*network.hidden, network.output):
        assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type of ModuleList's items
        last, deviation = layer is network.output, 1 / math.sqrt(layer.in_features)
        weight = torch.randn((layer.in_features, layer.out_features), generator=generator)
        bias = torch.zeros(layer.out_features)
        if kind in {"normal", "scaled"} and layer.bias is not None:
            bias = torch.randn(layer.out_features, generator=generator)
        if kind == "scaled":
            weight = weight * (factor if last else gain * deviation)
            bias = bias * (0.0 if last else 0.01)
        elif kind in {"lecun", "small"}:
            inner = 3.0 if kind == "small" and layer is network.hidden[0] else 1.0
            weight = weight * deviation * (factor if last else inner)
        elif kind == "kaiming":
            weight = weight * deviation * (factor if last else gain)
        if not (last and recipe.tied):
            layer.weight.copy_(weight.T)
        if layer.bias is not None:
            layer.bias.copy_(bias)
    size = 0.1 if kind == "small" else 1.0
    network.embedding.weight.mul_(size / math.sqrt(recipe.embedding_dim) if recipe.tied else size)
    if isinstance(network.output_norm, BatchNorm):
        network.output_norm.gain.mul_(output_factor)
    for module in (network.direct, network.skip):
        if module is not None:
            module.weight.zero_()
