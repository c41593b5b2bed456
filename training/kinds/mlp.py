"""The network of Bengio et al. 2003: its recipe, module, initialisation, and its whole numbers."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sequentia.architectures import MLPArchitecture
from sequentia.architectures.mlp import Activation, Direct, HiddenSizes, Layer, Normalized, Width
from sequentia.config import BlockSize

from .base import (
    BaseStructure,
    BatchNorm,
    ConflictError,
    DescentRecipe,
    Exact,
    Network,
    Rate,
    fold_norm,
    rounded,
    split_weights,
)

_ACTIVATIONS: Final[dict[Activation, type[nn.Module]]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
_GAINS: Final[dict[Activation, float]] = {"tanh": 5 / 3, "relu": math.sqrt(2), "gelu": math.sqrt(2)}
_MIN_ROWS_PER_ID: Final = 8  # from this many rows per id on, a table of contributions is quicker
_MAX_DIRECT_ENTRIES: Final = 1 << 20
_HEADROOM: Final = 1.25  # over the largest sums of typical contexts
_MOST_POSITIONS: Final = (1 << 16) - 1


class MLPStructure(BaseStructure, frozen=True, kw_only=True, tag="mlp"):
    """The sizes of a network of Bengio et al. 2003.

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        hidden_bias: whether the hidden layers have a bias.
        batch_norm: which layers have batch normalisation: ``none``, the ``hidden`` layers, or ``all``.
        direct: number of newest symbols that select a row of a table, which is added to the logits; 0 for no table.
    """

    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation
    hidden_bias: bool
    batch_norm: Normalized
    direct: Direct

    def numbers(self, block_size: int, ids: int) -> int:
        """Return how many numbers an artifact stores: also what each symbol at each place adds to the first layer."""
        return self.parameters + block_size * ids * self.hidden_sizes[0]


class MLPRecipe(DescentRecipe, frozen=True, kw_only=True, tag="mlp"):
    """The network of Bengio et al. 2003. A recipe without the key ``model`` is of this kind.

    Attributes:
        block_size: symbols of context.
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        hidden_bias: whether the hidden layers have a bias.
        batch_norm: which layers have batch normalisation (Ioffe and Szegedy 2015): ``none``, the ``hidden`` layers, or
            ``all``, the output included.
        direct: number of newest symbols that select a row of a table, which is added to the logits. For a large
            vocabulary it is lowered, so that the table has at most 2**20 (about a million) entries.
        initialization: see :func:`initialize`.
        dropout: share of the hidden units dropped in training (Srivastava et al. 2014). A minibatch drops the same
            units for all its rows, so that they need not be computed.
        teachers: names or paths of recipes. Each is trained first, with its own seed; this network then learns from
            their mixture; see :mod:`sequentia.training.distillation`. Empty: it learns from the text itself.
        teacher_weights: relative weight of each teacher in the mixture; equal by default.
    """

    block_size: BlockSize
    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation = "tanh"
    hidden_bias: bool = True
    batch_norm: Normalized = "none"
    direct: Direct = 0
    initialization: Literal["normal", "scaled", "kaiming", "lecun"] = "kaiming"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    teachers: list[str] = []
    teacher_weights: list[Rate] = []

    def __post_init__(self) -> None:
        if self.batch_norm != "none" and self.batch_size < 2:
            raise ConflictError(
                "batch_size",
                "batch_norm takes the mean and variance of each minibatch: "
                f"batch_size must be 2 or more, not {self.batch_size}",
            )
        if self.batch_norm != "none" and self.dropout:
            raise ConflictError("dropout", f"batch_norm needs all units: dropout must be 0, not {self.dropout:g}")
        if self.batch_norm == "all" and self.direct:
            raise ConflictError(
                "direct",
                "batch_norm = all normalises the logits, which direct connections would shift: "
                f"direct must be 0, not {self.direct}",
            )
        if self.teachers and not self.batch_size:
            raise ConflictError(
                "batch_size", "teachers invent new names without end: batch_size must be 1 or more, not 0"
            )
        if self.teacher_weights and len(self.teacher_weights) != len(self.teachers):
            raise ConflictError(
                "teacher_weights",
                f"{len(self.teacher_weights)} weights for {len(self.teachers)} teachers: give one for each teacher",
            )

    def structure(self, ids: int) -> MLPStructure:
        """Return the structure for a vocabulary of ``ids`` ids, the boundary included."""
        structure = MLPStructure(
            embedding_dim=self.embedding_dim,
            hidden_sizes=self.hidden_sizes,
            activation=self.activation,
            hidden_bias=self.hidden_bias,
            batch_norm=self.batch_norm,
            direct=self._direct_symbols(ids),
            parameters=0,
        )
        with torch.device("meta"):
            network = MLP(ids, self.block_size, structure)
        return msgspec.structs.replace(structure, parameters=sum(p.numel() for p in network.parameters()))

    def _direct_symbols(self, ids: int) -> int:
        """Return ``direct``, lowered to fit the context and the largest allowed table."""
        symbols = min(self.direct, self.block_size)
        while symbols and ids ** (symbols + 1) > _MAX_DIRECT_ENTRIES:
            symbols -= 1
        return symbols

    def new_network(self, ids: int, generator: torch.Generator) -> "MLP":
        """Return the network to train, with parameters from :func:`initialize`."""
        network = MLP(ids, self.block_size, self.structure(ids), dropout=self.dropout)
        initialize(network, self, generator)
        return network


class MLP(Network):
    """The network of Bengio et al. 2003, "A neural probabilistic language model", with characters instead of words.

    The embeddings of the context's symbols are concatenated and pass through hidden layers to the next symbol's logits.
    The paper's direct connections from context to logits are a table here. The newest symbols together select one of
    its rows, like the n-gram features of a maximum-entropy model, so the hidden units need not represent them.

    Args:
        ids: number of ids, the boundary included.
        block_size: symbols of context.
        structure: widths, activation, normalisation, direct connections.
        dropout: share of the hidden units that each minibatch drops in training.
    """

    def __init__(self, ids: int, block_size: int, structure: MLPStructure, *, dropout: float = 0.0) -> None:
        super().__init__(ids, block_size)
        self.structure = structure
        widths = [block_size * structure.embedding_dim, *structure.hidden_sizes]
        hidden_norm: type[nn.Module] = BatchNorm if structure.batch_norm != "none" else nn.Identity
        output_norm: type[nn.Module] = BatchNorm if structure.batch_norm == "all" else nn.Identity
        self.embedding = nn.Embedding(ids, structure.embedding_dim)
        self.hidden = nn.ModuleList(
            nn.Linear(inputs, outputs, bias=structure.hidden_bias) for inputs, outputs in pairwise(widths)
        )
        self.hidden_norms = nn.ModuleList(hidden_norm(width) for width in structure.hidden_sizes)
        self.output = nn.Linear(widths[-1], ids)
        self.output_norm = output_norm(ids)
        rows = ids**structure.direct
        self.direct = (  # zeros, because drawing its weights would change dropout's random numbers
            nn.Embedding(rows, ids, _weight=torch.zeros(rows, ids)) if structure.direct else None
        )
        self.activation = _ACTIVATIONS[structure.activation]()
        self.dropout = dropout

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], after contexts int64 [batch, block_size]."""
        (weight, bias), *others = self._layers()
        x = self.first_layer(context, weight, bias)
        for norm, (weight, bias) in zip(self.hidden_norms, others, strict=True):
            x = functional.linear(self.activation(norm(x)), weight, bias)
        logits: Tensor = self.output_norm(x)
        if self.direct is not None:
            logits = logits + self.direct(self._direct_row(context))
        return logits

    def _direct_row(self, context: Tensor) -> Tensor:
        """Return the table's row for each context, int64 [batch]: the newest symbols as digits, the last one lowest."""
        symbols = self.structure.direct
        places = torch.tensor([self.ids**age for age in range(symbols - 1, -1, -1)], device=context.device)
        return (context[:, -symbols:] * places).sum(dim=1)

    def _layers(self) -> list[tuple[Tensor, Tensor | None]]:
        """Return the weight and bias of each layer; in training, without the units that this minibatch drops."""
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

    def first_layer(self, context: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the first layer's sums, float32 [batch, units].

        In a large batch, each symbol occurs many times at each place of the context. In training, its contribution
        there is then computed once and looked up, which is quicker and the same except for rounding.
        """
        if not self.training or len(context) < _MIN_ROWS_PER_ID * self.ids:
            return functional.linear(self.embedding(context).flatten(start_dim=1), weight, bias)
        contributions = (self.embedding.weight @ weight.T.view(self.block_size, -1, len(weight))).flatten(end_dim=1)
        rows = context + self.ids * torch.arange(self.block_size, device=context.device)
        sums = functional.embedding_bag(rows, contributions, mode="sum")
        return sums if bias is None else sums + bias

    @torch.no_grad()
    def for_inference(self) -> "MLP":
        """Return the network with each normalisation folded into the layer before it."""
        plain = msgspec.structs.replace(self.structure, hidden_bias=True, batch_norm="none")
        with torch.device("meta"):  # draws no random numbers
            folded = MLP(self.ids, self.block_size, plain)
        folded.to_empty(device=self.embedding.weight.device)
        folded.embedding.load_state_dict(self.embedding.state_dict())
        pairs = [*zip(self.hidden, self.hidden_norms, strict=True), (self.output, self.output_norm)]
        for target, (layer, norm) in zip([*folded.hidden, folded.output], pairs, strict=True):
            fold_norm(layer, norm, target)
        if folded.direct is not None and self.direct is not None:
            folded.direct.load_state_dict(self.direct.state_dict())
        return folded.eval()

    def precisions(self) -> dict[str, int]:
        """Return the groups of numbers whose precision the exporter chooses."""
        direct = {"direct": 8} if self.structure.direct else {}
        hidden = {"hidden": 14} if len(self.hidden) > 1 else {}
        if self.structure.activation == "relu":  # its units are their own positions
            return {"units": 10, **hidden, "output": 14, "first": 12, **direct}
        return {"units": 12, "positions": 10, **hidden, "output": 14, "first": 14, **direct}

    def in_whole_numbers(self, bits: Mapping[str, int], contexts: NDArray[np.int64]) -> Exact:
        """Return the network in whole numbers."""
        folded, structure = self.for_inference(), self.structure
        linear = [*folded.hidden, folded.output]
        weights = [layer.weight.detach().double().numpy().T for layer in linear]
        biases = [layer.bias.detach().double().numpy() for layer in linear]
        embedding = folded.embedding.weight.detach().double().numpy()
        first = np.einsum("ie,peu->piu", embedding, weights[0].reshape(self.block_size, -1, len(biases[0])))
        sums, sum_bits = np.tile(biases[0], (len(contexts), 1)), bits["first"]
        for place, table in enumerate(first):  # place by place, because all places at once take gigabytes
            sums += table[contexts[:, place]]
        tensors = {f"first.{place}": rounded(table, sum_bits) for place, table in enumerate(first)}
        layers: list[Layer] = []
        for number, (weight, bias) in enumerate(zip(weights[1:], biases[:-1], strict=True)):
            name, last = f"layer.{number}", number == len(weights) - 2
            highest = _HEADROOM * sums.max()
            if structure.activation == "relu":
                position_bits, lowest = bits["units"], 0
                largest = unit = max(1, int(rounded(highest, position_bits)))
            else:
                position_bits = min(bits["positions"], sum_bits)
                lowest, end = _table_range(structure.activation, highest, bits["units"], position_bits)
                values = self._activated(np.ldexp(np.arange(lowest, end + 1, dtype=np.float64), -position_bits))
                tensors[f"{name}.activation"] = rounded(values, bits["units"])
                largest, unit = end - lowest, int(np.abs(tensors[f"{name}.activation"]).max())
            if largest > _MOST_POSITIONS:
                raise ValueError(f"units of up to {largest:,}, more than {_MOST_POSITIONS:,}")
            raised = rounded(bias, sum_bits) - (lowest << sum_bits - position_bits)  # so that positions begin at 0
            if number == 0:
                tensors["first.0"] += raised
            else:
                tensors[f"layer.{number - 1}.bias"] = raised
            weight_bits = bits["output" if last else "hidden"]
            parts, low_bits = split_weights(name, weight, weight_bits, unit)
            tensors |= parts
            layers.append(
                Layer(
                    position_bits=position_bits,
                    largest=largest,
                    unit_bits=bits["units"],
                    weight_bits=weight_bits,
                    low_bits=low_bits,
                )
            )
            sums, sum_bits = self._activated(sums) @ weight + biases[number + 1], layers[-1].sum_bits
        tensors[f"layer.{len(layers) - 1}.bias"] = rounded(biases[-1], sum_bits)
        if folded.direct is not None:
            tensors["direct"] = rounded(folded.direct.weight.detach().double().numpy(), bits["direct"])
        exact = MLPArchitecture(
            parameters=sum(p.numel() for p in self.parameters()),
            embedding_dim=embedding.shape[1],
            hidden_sizes=[len(bias) for bias in biases[:-1]],
            activation=structure.activation,
            batch_norm=structure.batch_norm,
            direct=structure.direct,
            first_bits=bits["first"],
            layers=layers,
            direct_bits=bits.get("direct", 0),
        )
        return exact, tensors

    def _activated(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        units: NDArray[np.float64] = self.activation(torch.from_numpy(sums)).numpy()
        return units

    def norms(self) -> list[BatchNorm]:
        """Return the batch normalisation layers."""
        return [module for module in self.modules() if isinstance(module, BatchNorm)]

    def activation_module(self) -> nn.Module:
        """Return the module that computes the activations of every hidden layer."""
        return self.activation

    @property
    def saturates(self) -> bool:
        """Whether the activations are bounded by -1 and 1, so that units can saturate."""
        return self.structure.activation == "tanh"

    def symbol_vectors(self) -> NDArray[np.float32]:
        """Return the embeddings of the ids, float32 [ids, width]."""
        vectors: NDArray[np.float32] = self.embedding.weight.detach().cpu().numpy()
        return vectors


def _table_range(activation: Activation, highest: float, unit_bits: int, position_bits: int) -> tuple[int, int]:
    """Return the first and the last position of an activation's table, in steps of 2^-position_bits.

    Beyond them, the activation rounds to the value at the end; GELU goes on up to the highest sum.

    Raises:
        ValueError: if the table would have too many positions.
    """
    if activation == "tanh":
        end = math.ceil(math.ldexp((unit_bits + 2) * math.log(2) / 2, position_bits))
        return -end, end
    if not math.ldexp(highest, position_bits) < _MOST_POSITIONS:
        raise ValueError(f"sums of up to {highest:g}, too many positions for a table")
    return -math.ceil(math.ldexp(5, position_bits)), max(1, math.ceil(math.ldexp(highest, position_bits)))


@torch.no_grad()
def initialize(network: MLP, recipe: MLPRecipe, generator: torch.Generator) -> None:
    """Draw the parameters in the published order: the embedding, then the weight and bias of each layer.

    Weights are drawn in the published orientation, [inputs, outputs], and scaled according to ``initialization``:

    - ``normal``: all parameters from N(0, 1), as in parts 1 and 2 of the published lectures.
    - ``scaled``: hidden weights times gain / sqrt(inputs), hidden biases and output weights times 0.01, output bias
      zero (though drawn), as in part 3.
    - ``lecun``: weights from N(0, 1 / inputs) (LeCun et al. 1998), output weights times 0.1, biases zero, as in the
      deep networks of part 3.
    - ``kaiming``: hidden weights from N(0, gain² / inputs) (He et al. 2015), output weights from N(0, 1 / inputs) times
      0.01, biases zero.

    If the output is normalised, which would cancel a factor of its weights, the factor goes to the normalisation's gain
    instead. So all but ``normal`` start near the uniform distribution. The table of direct connections starts at zero.
    """
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
