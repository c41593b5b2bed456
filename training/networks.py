"""The models as PyTorch modules, from the published network to the counts it is held against.

Each maps contexts to logits, and each has a method ``for_inference``: an equal module without what only training needs,
which is what evaluation runs and the exporter traces.
"""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, overload

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sequentia.architectures import (
    Activation,
    Architecture,
    BigramArchitecture,
    MLPArchitecture,
    NGramArchitecture,
)
from sequentia.likelihood import Predict

from .counts import BackOffTables, discount_after
from .recipes import DescentRecipe, MLPRecipe, NGramRecipe, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

_ACTIVATIONS: Final[dict[Activation, type[nn.Module]]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
_GAINS: Final[dict[Activation, float]] = {"tanh": 5 / 3, "relu": math.sqrt(2), "gelu": math.sqrt(2)}
_REPEATS_THAT_PAY: Final = 8
_LARGEST_TABLE: Final = 1 << 20


class MLP(nn.Module):
    """The network of Bengio et al. 2003, "A neural probabilistic language model", with characters for words.

    Embeddings of the context's symbols, side by side, go through hidden layers to the next symbol's logits. The paper's
    direct connections from context to logits are here a table: the newest symbols choose one of its rows jointly, as
    the n-gram features of a maximum-entropy model do, and so need not be told apart by hidden units.

    Args:
        vocabulary_size: number of ids, the boundary included.
        block_size: symbols of context.
        architecture: widths, activation, normalisation, direct connections.
        dropout: share of the hidden units that each minibatch of the training leaves out.
    """

    def __init__(
        self, vocabulary_size: int, block_size: int, architecture: MLPArchitecture, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.architecture, self.block_size = architecture, block_size
        widths = [block_size * architecture.embedding_dim, *architecture.hidden_sizes]
        hidden_norm: type[nn.Module] = BatchNorm if architecture.batch_norm != "none" else nn.Identity
        output_norm: type[nn.Module] = BatchNorm if architecture.batch_norm == "all" else nn.Identity
        self.embedding = nn.Embedding(vocabulary_size, architecture.embedding_dim)
        self.hidden = nn.ModuleList(
            nn.Linear(inputs, outputs, bias=architecture.hidden_bias) for inputs, outputs in pairwise(widths)
        )
        self.hidden_norms = nn.ModuleList(hidden_norm(width) for width in architecture.hidden_sizes)
        self.output = nn.Linear(widths[-1], vocabulary_size)
        self.output_norm = output_norm(vocabulary_size)
        rows = vocabulary_size**architecture.direct
        self.direct = (  # made of zeros, since to draw its weights would change the random numbers of dropout
            nn.Embedding(rows, vocabulary_size, _weight=torch.zeros(rows, vocabulary_size))
            if architecture.direct
            else None
        )
        self.activation = _ACTIVATIONS[architecture.activation]()
        self.dropout = dropout

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], of contexts int64 [batch, block_size]."""
        (weight, bias), *others = self._layers()
        x = self.first(context, weight, bias)
        for norm, (weight, bias) in zip(self.hidden_norms, others, strict=True):
            x = functional.linear(self.activation(norm(x)), weight, bias)
        logits: Tensor = self.output_norm(x)
        if self.direct is not None:
            logits = logits + self.direct(self._row(context))
        return logits

    def _row(self, context: Tensor) -> Tensor:
        """Return which row of the table is added, int64 [batch]: the symbols are digits, the newest the lowest."""
        symbols = self.architecture.direct
        ids = self.embedding.num_embeddings
        places = torch.tensor([ids**age for age in range(symbols - 1, -1, -1)], device=context.device)
        return (context[:, -symbols:] * places).sum(dim=1)

    def _layers(self) -> list[tuple[Tensor, Tensor | None]]:
        """Return weight and bias of each layer; in training, without the hidden units that this minibatch drops."""
        layers: list[tuple[Tensor, Tensor | None]] = []
        kept: Tensor | None = None
        for layer in (*self.hidden, self.output):
            assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type of ModuleList's items
            weight: Tensor = layer.weight
            bias: Tensor | None = layer.bias
            if kept is not None:
                weight = weight[:, kept] * (weight.shape[1] / len(kept))
            if self.training and self.dropout and layer is not self.output:
                units = max(1, round((1 - self.dropout) * len(weight)))
                kept = torch.randperm(len(weight), device=weight.device)[:units]
                weight, bias = weight[kept], None if bias is None else bias[kept]
            layers.append((weight, bias))
        return layers

    def first(self, context: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the first layer's sums, float32 [batch, units].

        A large batch repeats every symbol at every place of the context. In training, what each contributes there is
        then computed once and looked up, which is quicker, and equal but for rounding.
        """
        ids = self.embedding.num_embeddings
        if not self.training or len(context) < _REPEATS_THAT_PAY * ids:
            return functional.linear(self.embedding(context).flatten(start_dim=1), weight, bias)
        contributions = (self.embedding.weight @ weight.T.view(self.block_size, -1, len(weight))).flatten(end_dim=1)
        rows = context + ids * torch.arange(self.block_size, device=context.device)
        sums = functional.embedding_bag(rows, contributions, mode="sum")
        return sums if bias is None else sums + bias

    @torch.no_grad()
    def for_inference(self) -> "MLP":
        """Return the network with every normalisation folded into the layer before it."""
        plain = msgspec.structs.replace(self.architecture, hidden_bias=True, batch_norm="none")
        with torch.device("meta"):  # so that no random numbers are drawn
            folded = MLP(self.embedding.num_embeddings, self.block_size, plain)
        folded.to_empty(device=self.embedding.weight.device)
        folded.embedding.load_state_dict(self.embedding.state_dict())
        pairs = [*zip(self.hidden, self.hidden_norms, strict=True), (self.output, self.output_norm)]
        for target, (layer, norm) in zip([*folded.hidden, folded.output], pairs, strict=True):
            _fold(layer, norm, target)
        if folded.direct is not None and self.direct is not None:
            folded.direct.load_state_dict(self.direct.state_dict())
        return folded.eval()


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance, float32 [width], of features, float32 [batch, width]."""
    return x.mean(dim=0), x.var(dim=0)


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) of features, float32 [batch, width].

    A batch is normalised by its own mean and its unbiased variance, as the published runs do; PyTorch's own layer takes
    the biased one. In evaluation the running statistics take their place.
    """

    epsilon: Final = 1e-5
    least_momentum: Final = 0.001

    def __init__(self, width: int) -> None:
        super().__init__()
        self.momentum = self.least_momentum
        self.moments: Callable[[Tensor], tuple[Tensor, Tensor]] = moments
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features normalised, scaled and shifted."""
        if self.training:
            mean, var = self.moments(x)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return self.gain * (x - mean) / torch.sqrt(var + self.epsilon) + self.bias


def _fold(layer: nn.Module, norm: nn.Module, target: nn.Module) -> None:
    """Write a layer and the normalisation after it into one layer, computed in float64."""
    assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type of ModuleList's items
    assert isinstance(target, nn.Linear)  # noqa: S101 - likewise
    weight = layer.weight.double()
    bias = torch.zeros_like(weight[:, 0])
    if layer.bias is not None:
        bias += layer.bias
    if isinstance(norm, BatchNorm):
        scale = norm.gain.double() / torch.sqrt(norm.running_var.double() + norm.epsilon)
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean) * scale + norm.bias
    target.weight.copy_(weight)
    target.bias.copy_(bias)


class Bigram(nn.Module):
    """A row of logits for each symbol that may come before: a network of one layer, or the logarithms of counts."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocabulary_size, vocabulary_size))

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], of contexts int64 [batch, 1]."""
        return functional.embedding(context[:, -1], self.weight)

    def for_inference(self) -> "Bigram":
        """Return the module itself: training needs nothing more."""
        return self.eval()


class NGram(nn.Module):
    """Counts of n-grams with interpolated Kneser-Ney smoothing, for a look at the definition; it is slow."""

    def __init__(self, vocabulary_size: int, block_size: int, architecture: NGramArchitecture) -> None:
        super().__init__()
        self.vocabulary_size, self.block_size, self.architecture = vocabulary_size, block_size, architecture
        self.ngrams: Tensor
        self.counts: Tensor
        rows, order = architecture.parameters, architecture.order
        self.register_buffer("ngrams", torch.zeros((rows, order), dtype=torch.int32))
        self.register_buffer("counts", torch.zeros(rows, dtype=torch.int32))

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], of contexts int64 [batch, block_size]."""
        rows = [np.log(self._probabilities(symbols)) for symbols in context.cpu().numpy()]
        return torch.from_numpy(np.array(rows, dtype=np.float32)).to(context.device)

    def _probabilities(self, context: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each symbol after a context; see :meth:`BackOffTables.of` for the formula."""
        ids, order, discounts = self.vocabulary_size, self.architecture.order, self.architecture.discounts
        ngrams, counts = self.ngrams.cpu().numpy(), self.counts.cpu().numpy()
        p = np.full(ids, 1 / ids)
        for length in range(order):
            if length:
                known = ngrams[:, -1 - length] == context[-length]
                ngrams, counts = ngrams[known], counts[known]
            if not len(ngrams):
                break
            if length == order - 1:
                count = np.bincount(ngrams[:, -1], weights=counts, minlength=ids)
            else:
                before_and_after = np.zeros((ids, ids), dtype=bool)
                before_and_after[ngrams[:, -2 - length], ngrams[:, -1]] = True
                count = before_and_after.sum(axis=0)
            discount = discount_after(length, discounts)
            p = (np.maximum(count - discount, 0) + discount * np.count_nonzero(count) * p) / count.sum()
        return p

    def for_inference(self) -> "BackOff":
        """Return the smoothed counts, as tables."""
        architecture, ids = self.architecture, self.vocabulary_size
        counted = self.ngrams.cpu().numpy(), self.counts.cpu().numpy()
        tables = BackOffTables.of(*counted, architecture.discounts, ids)
        return BackOff(tables, architecture.order).to(self.counts.device).eval()


class BackOff(nn.Module):
    """An n-gram model as tables: from the newest symbol back, as far as the context occurs, then a row of logits.

    Args:
        tables: the smoothed counts.
        order: symbols in an n-gram.
    """

    def __init__(self, tables: BackOffTables, order: int) -> None:
        super().__init__()
        self.longer: Tensor
        self.logits: Tensor
        self.order, self.ids = order, tables.log_probabilities.shape[1]
        self.register_buffer("longer", torch.from_numpy(tables.longer).flatten())
        self.register_buffer("logits", torch.from_numpy(tables.log_probabilities))

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], of contexts int64 [batch, block_size]."""
        state = torch.zeros_like(context[:, 0])
        known = torch.ones_like(state, dtype=torch.bool)
        for age in range(1, self.order):
            longer = self.longer[state * self.ids + context[:, -age]].to(torch.int64)
            known = known & (longer > 0)
            state = torch.where(known, longer, state)
        return self.logits[state]


Network = MLP | Bigram | NGram


def network_of(architecture: Architecture, block_size: int, vocabulary_size: int, *, dropout: float = 0.0) -> Network:
    """Return a module of some architecture, its weights yet to be set."""
    if isinstance(architecture, MLPArchitecture):
        return MLP(vocabulary_size, block_size, architecture, dropout=dropout)
    if isinstance(architecture, NGramArchitecture):
        return NGram(vocabulary_size, block_size, architecture)
    return Bigram(vocabulary_size)


@overload
def architecture_of(recipe: MLPRecipe, vocabulary_size: int) -> MLPArchitecture: ...


@overload
def architecture_of(recipe: Recipe, vocabulary_size: int) -> Architecture: ...


def architecture_of(recipe: Recipe, vocabulary_size: int) -> Architecture:
    """Return what a recipe describes, for an alphabet of some size; how many n-grams there are only a text will say."""
    if isinstance(recipe, NGramRecipe):
        return NGramArchitecture(order=recipe.order, discounts=recipe.discounts, parameters=0)
    if not isinstance(recipe, MLPRecipe):
        return BigramArchitecture(parameters=vocabulary_size**2)
    architecture = MLPArchitecture(
        embedding_dim=recipe.embedding_dim,
        hidden_sizes=recipe.hidden_sizes,
        activation=recipe.activation,
        hidden_bias=recipe.hidden_bias,
        batch_norm=recipe.batch_norm,
        direct=_direct(recipe, vocabulary_size),
        precision=recipe.precision,
        parameters=0,
    )
    with torch.device("meta"):
        network = MLP(vocabulary_size, recipe.block_size, architecture)
    return msgspec.structs.replace(architecture, parameters=sum(p.numel() for p in network.parameters()))


def _direct(recipe: MLPRecipe, vocabulary_size: int) -> int:
    """Return how many of the newest symbols choose a row: what the recipe asks for, or fewer, by context and table."""
    symbols = min(recipe.direct, recipe.block_size)
    while symbols and vocabulary_size ** (symbols + 1) > _LARGEST_TABLE:
        symbols -= 1
    return symbols


def tensors_to_store(network: Network) -> dict[str, Tensor]:
    """Return a network's tensors as ``model.safetensors`` holds them."""
    halves = isinstance(network, MLP) and network.architecture.precision == "float16"
    return {name: tensor.half() if halves else tensor for name, tensor in network.state_dict().items()}


def predictor(network: nn.Module, device: torch.device) -> Predict:
    """Return a network, moved to a device, as a function from contexts to logits, both of them NumPy arrays."""
    network.to(device)

    @torch.no_grad()
    def logits(contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = network(torch.from_numpy(contexts).to(device)).cpu().numpy()
        return result

    return logits


@torch.no_grad()
def initialize(network: MLP | Bigram, recipe: DescentRecipe, generator: torch.Generator) -> None:
    """Draw the parameters in the published order: embedding, then weight and bias of each layer.

    Weights are drawn in the published orientation, [inputs, outputs]; then, by ``initialization``:

    - ``normal``: every parameter from N(0, 1), as in parts 1 and 2 of the published lectures.
    - ``scaled``: hidden weights times gain / sqrt(inputs), hidden biases and output weights times 0.01, output bias
      zero (though drawn): part 3.
    - ``lecun``: weights from N(0, 1 / inputs) (LeCun et al. 1998), a tenth of it at the output, biases zero: the deep
      networks of part 3.
    - ``kaiming``: hidden weights from N(0, gain² / inputs) (He et al. 2015), a hundredth at the output, biases zero.

    Where the output is normalised, its small factor goes to the gain of that, which would undo it in the weights. So
    all but ``normal`` start near the uniform distribution. The table of direct connections starts at zero.
    """
    if isinstance(network, Bigram):
        network.weight.copy_(torch.randn(network.weight.shape, generator=generator))
        return
    assert isinstance(recipe, MLPRecipe)  # noqa: S101 - the network is made from it
    kind, gain = recipe.initialization, _GAINS[recipe.activation]
    output_factor = {"normal": 1.0, "scaled": 0.01, "lecun": 0.1, "kaiming": 0.01}[kind]
    factor = output_factor if recipe.batch_norm != "all" else 1.0
    network.embedding.weight.copy_(torch.randn(network.embedding.weight.shape, generator=generator))
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
        elif kind == "lecun":
            weight = weight * deviation * (factor if last else 1.0)
        elif kind == "kaiming":
            weight = weight * deviation * (factor if last else gain)
        layer.weight.copy_(weight.T)
        if layer.bias is not None:
            layer.bias.copy_(bias)
    if isinstance(network.output_norm, BatchNorm):
        network.output_norm.gain.mul_(output_factor)
    if network.direct is not None:
        network.direct.weight.zero_()
