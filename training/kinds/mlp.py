"""The network of Bengio et al. 2003: its recipe and module."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sequentia.architectures import MLPArchitecture
from sequentia.architectures.mlp import Activation, Direct, HiddenSizes, Normalized, Width
from sequentia.arithmetic import Inputs
from sequentia.config import BlockSize
from sequentia.training.counts import frequent_contexts
from sequentia.training.parts import Part

from .base import BaseStructure, ConflictError, DescentRecipe, Natural, Rate
from .initialization import initialize
from .mlp_numbers import in_whole_numbers
from .network import BatchNorm, Exact, Network, fold_norm, shapes_alone

_ACTIVATIONS: Final[dict[Activation, type[nn.Module]]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
_MIN_ROWS_PER_ID: Final = 8  # from this many rows per id on, a table of contributions is quicker
_MAX_DIRECT_ENTRIES: Final = 1 << 20


class MLPStructure(BaseStructure, frozen=True, kw_only=True, tag="mlp"):
    """The sizes of a network of Bengio et al. 2003.

    Attributes:
        embedding_dim: width of the embedding of a symbol, and of a condition's value.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        hidden_bias: whether the hidden layers have a bias.
        batch_norm: which layers have batch normalisation: ``none``, the ``hidden`` layers, or ``all``.
        direct: number of newest symbols that select a row of a table, which is added to the logits; 0 for no table.
        tree: most contexts that have a row of the table; 0 if all have.
        skip: whether the embeddings of the context's symbols also lead to the logits directly.
        tied: whether the weights of the output layer are the embeddings.
    """

    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation
    hidden_bias: bool
    batch_norm: Normalized
    direct: Direct
    tree: Natural = 0
    skip: bool = False
    tied: bool = False

    @classmethod
    def of(cls, architecture: MLPArchitecture) -> Self:
        """Return the sizes of an artifact's network. Its layers' weights hold their normalisation already."""
        return cls(
            embedding_dim=architecture.embedding_dim,
            hidden_sizes=architecture.hidden_sizes,
            activation=architecture.activation,
            hidden_bias=True,
            batch_norm="none",
            direct=architecture.direct,
            tree=0 if architecture.tree is None else architecture.tree.states,
            skip=architecture.skip is not None,
            parameters=architecture.parameters,
        )

    def numbers(self, inputs: Inputs) -> int:
        """Return how many numbers an artifact stores: also what each symbol at each place adds to the first layer."""
        return self.parameters + (inputs.block_size * inputs.ids + sum(inputs.values)) * self.hidden_sizes[0]

    def multiplications(self, inputs: Inputs) -> int:
        """Return about how many multiplications the probabilities after a context take: a table takes none."""
        return self.parameters - self.rows(inputs.ids) * inputs.ids

    def rows(self, ids: int) -> int:
        """Return how many rows the table has."""
        return self.tree or (ids**self.direct if self.direct else 0)


class MLPRecipe(DescentRecipe, frozen=True, kw_only=True, tag="mlp"):
    """The network of Bengio et al. 2003. A recipe without the key ``model`` is of this kind.

    Attributes:
        block_size: symbols of context.
        embedding_dim: width of the embedding of a symbol, and of a condition's value.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        hidden_bias: whether the hidden layers have a bias.
        batch_norm: which layers have batch normalisation (Ioffe and Szegedy 2015): ``none``, the ``hidden`` layers, or
            ``all``, the output included.
        direct: number of newest symbols that select a row of a table, which is added to the logits. For a large
            vocabulary it is lowered, so that the table has at most 2**20 (about a million) entries.
        tree: how many contexts have a row of that table: those that occur most often in the list, of any length up to
            ``direct``. The longest of them that a context ends in selects its row. 0: all of the length ``direct``.
        skip: whether the embeddings of the context's symbols also lead to the logits directly: the direct connections
            of the paper.
        tied: whether the weights of the output layer are the embeddings, which then learn from both (Inan et al. 2017,
            Press and Wolf 2017). The last hidden layer is as wide as an embedding.
        initialization: see :func:`initialize`.
        dropout: share of the hidden units dropped in training (Srivastava et al. 2014). A minibatch drops the same
            units for all its rows, so that they need not be computed.
        embedding_dropout: share of the context's symbols hidden in training, each on its own (Gal and Ghahramani 2016).
        teachers: names or paths of recipes. Each is trained first, with its own seed; this network then learns from
            their mixture; see :mod:`sequentia.training.distillation`. ``model:NAME`` is a finished model, of any kind
            and list. Empty: it learns from the text itself.
        teacher_weights: relative weight of each teacher in the mixture; equal by default. ``dev``: those for which the
            mixture's loss on the dev part is lowest.
    """

    block_size: BlockSize
    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation = "tanh"
    hidden_bias: bool = True
    batch_norm: Normalized = "none"
    direct: Direct = 0
    tree: Natural = 0
    skip: bool = False
    tied: bool = False
    initialization: Literal["normal", "scaled", "kaiming", "lecun", "small"] = "kaiming"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    embedding_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    teachers: list[str] = []
    teacher_weights: list[Rate] | Literal["dev"] = []

    def __post_init__(self) -> None:
        if self.batch_norm != "none" and self.batch_size < 2:
            raise ConflictError(
                "batch_size",
                "batch_norm takes the mean and variance of each minibatch: "
                f"batch_size must be 2 or more, not {self.batch_size}",
            )
        if self.batch_norm != "none" and self.dropout:
            raise ConflictError("dropout", f"batch_norm needs all units: dropout must be 0, not {self.dropout:g}")
        if self.batch_norm == "all" and (self.direct or self.skip):
            key, value = ("direct", f"0, not {self.direct}") if self.direct else ("skip", "false")
            raise ConflictError(
                key,
                f"batch_norm = all normalises the logits, which direct connections would shift: {key} must be {value}",
            )
        if self.tree and not self.direct:
            raise ConflictError(
                "tree",
                "contexts of a tree have up to `direct` symbols: direct must be 1 or more, not 0; tree = 0 is without",
            )
        if self.tied and self.hidden_sizes[-1] != self.embedding_dim:
            raise ConflictError(
                "hidden_sizes",
                "tied makes embeddings the weights of the output: the last of hidden_sizes must be embedding_dim, "
                f"{self.embedding_dim}, not {self.hidden_sizes[-1]}",
            )
        if self.teachers and not self.batch_size:
            raise ConflictError(
                "batch_size", "teachers invent new names without end: batch_size must be 1 or more, not 0"
            )
        if self.teacher_weights not in ("dev", []) and len(self.teacher_weights) != len(self.teachers):
            raise ConflictError(
                "teacher_weights",
                f"{len(self.teacher_weights)} weights for {len(self.teachers)} teachers: give one for each teacher",
            )

    def multiplications(self, inputs: Inputs) -> float:
        """Return about how many multiplications a step takes; those of dropped units are left out."""
        return (1 - self.dropout) * super().multiplications(inputs)

    def structure(self, inputs: Inputs) -> MLPStructure:
        """Return the sizes of the network."""
        structure = MLPStructure(
            embedding_dim=self.embedding_dim,
            hidden_sizes=self.hidden_sizes,
            activation=self.activation,
            hidden_bias=self.hidden_bias,
            batch_norm=self.batch_norm,
            direct=self._direct_symbols(inputs.ids),
            tree=min(self.tree, _MAX_DIRECT_ENTRIES // inputs.ids),
            skip=self.skip,
            tied=self.tied,
            parameters=0,
        )
        with shapes_alone():
            network = MLP(inputs, structure)
        return msgspec.structs.replace(structure, parameters=sum(p.numel() for p in network.parameters()))

    def _direct_symbols(self, ids: int) -> int:
        """Return ``direct``, lowered to fit the context and the largest allowed table."""
        symbols = min(self.direct, self.block_size)
        while symbols and not self.tree and ids ** (symbols + 1) > _MAX_DIRECT_ENTRIES:
            symbols -= 1
        return symbols

    def new_network(self, inputs: Inputs, generator: torch.Generator) -> "MLP":
        """Return the network to train, with parameters from :func:`initialize`."""
        network = MLP(inputs, self.structure(inputs), dropout=self.dropout, embedding_dropout=self.embedding_dropout)
        initialize(network, self, generator)
        return network


class MLP(Network):
    """The network of Bengio et al. 2003, "A neural probabilistic language model", of characters or of words.

    The embeddings of the context's symbols are concatenated and pass through hidden layers to the next symbol's logits.
    Those of the conditions' values are appended to them. The paper's direct connections lead from the embeddings to the
    logits (``skip``). A table may replace them (``direct``): the newest symbols together select one of its rows, like
    the n-gram features of a maximum-entropy model, so the hidden units need not represent them.

    Args:
        inputs: what it reads.
        structure: widths, activation, normalisation, direct connections.
        dropout: share of the hidden units that each minibatch drops in training.
        embedding_dropout: share of the context's symbols that training hides.
    """

    def __init__(
        self, inputs: Inputs, structure: MLPStructure, *, dropout: float = 0.0, embedding_dropout: float = 0.0
    ) -> None:
        super().__init__(inputs)
        self.structure, ids = structure, inputs.ids
        embedded = inputs.block_size + len(inputs.values)
        widths = [embedded * structure.embedding_dim, *structure.hidden_sizes]
        hidden_norm: type[nn.Module] = BatchNorm if structure.batch_norm != "none" else nn.Identity
        output_norm: type[nn.Module] = BatchNorm if structure.batch_norm == "all" else nn.Identity
        self.embedding: nn.Embedding = nn.Embedding(ids, structure.embedding_dim)
        self.conditions: nn.ModuleList = nn.ModuleList(
            nn.Embedding(rows, structure.embedding_dim) for rows in inputs.values
        )
        self.hidden = nn.ModuleList(
            nn.Linear(inputs, outputs, bias=structure.hidden_bias) for inputs, outputs in pairwise(widths)
        )
        self.hidden_norms = nn.ModuleList(hidden_norm(width) for width in structure.hidden_sizes)
        self.output = nn.Linear(widths[-1], ids)
        if structure.tied:
            self.output.weight = self.embedding.weight
        self.output_norm = output_norm(ids)
        rows = structure.rows(ids)
        self.direct = (  # zeros, because drawing its weights would change dropout's random numbers
            nn.Embedding(rows, ids, _weight=torch.zeros(rows, ids)) if structure.direct else None
        )
        self.longer: Tensor
        if structure.tree:  # float32, so that an average of the weights leaves it as it is
            self.register_buffer("longer", torch.zeros(structure.tree, ids))
        self.skip = None  # its weights begin at zero too
        if structure.skip:
            self.skip = nn.Linear(inputs.block_size * structure.embedding_dim, ids, bias=False, device="meta")
            self.skip.weight = nn.Parameter(torch.zeros(self.skip.weight.shape))
        self.activation = _ACTIVATIONS[structure.activation]()
        self.dropout, self.embedding_dropout = dropout, embedding_dropout

    def forward(self, context: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the logits of the next symbol.

        Args:
            context: int64 [batch, block_size].
            conditions: int64 [batch, conditions]; by default, none is said.

        Returns:
            float32 [batch, ids].
        """
        (weight, bias), *others = self._layers()
        said = self.not_said(context) if conditions is None else conditions
        x = self.first_layer(context, said, weight, bias)
        for norm, (weight, bias) in zip(self.hidden_norms, others, strict=True):
            x = functional.linear(self.activation(norm(x)), weight, bias)
        logits: Tensor = self.output_norm(x)
        if self.direct is not None:
            logits = logits + self._direct_logits(self.direct.weight, context)
        if self.skip is not None:
            logits = logits + self.skip(self.embedding(context).flatten(start_dim=1))
        return logits

    def _direct_logits(self, table: Tensor, context: Tensor) -> Tensor:
        """Return what the table adds to the logits, float32 [batch, ids].

        In a tree, a row is stored as what it adds to that of the context shorter by one symbol.
        """
        ages = range(1, self.structure.direct + 1)
        if not self.structure.tree:  # the symbols are digits, the newest one lowest
            row = sum(context[:, -age] * self.ids ** (age - 1) for age in ages)
            return functional.embedding(row, table)
        longer, states = self.longer.long().flatten(), [torch.zeros_like(context[:, 0])]
        for age in ages:
            step = longer[states[-1] * self.ids + context[:, -age]]
            states.append(step if age == 1 else step * (states[-1] > 0))  # 0 once a context is not known
        rows = torch.stack(states, dim=1)
        found = torch.cat([torch.ones_like(rows[:, :1]), rows[:, 1:] > 0], dim=1)
        return functional.embedding_bag(rows, table, mode="sum", per_sample_weights=found.to(table.dtype))

    def prepare(self, part: Part) -> None:
        """Choose the contexts of the tree; see :class:`.network.Network`."""
        if self.structure.tree:
            longer = frequent_contexts(part, self.structure.direct, self.structure.tree, self.ids)
            self.longer[: len(longer)] = torch.from_numpy(longer)

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

    def first_layer(self, context: Tensor, conditions: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the first layer's sums, float32 [batch, units].

        In a large batch, each symbol occurs many times at each place of the context. In training, its contribution
        there is then computed once and looked up, which is quicker and the same except for rounding.
        """
        seen = self._seen(context)
        if not self.training or len(context) < _MIN_ROWS_PER_ID * self.ids:
            embedded = self.embedding(context)
            if seen is not None:
                embedded = embedded * seen[:, :, None]
            embedded = embedded.flatten(start_dim=1)
            said = [table(column) for table, column in zip(self.conditions, conditions.T, strict=True)]
            return functional.linear(torch.cat([embedded, *said], dim=1), weight, bias)
        symbols = self.block_size * self.structure.embedding_dim
        parts = weight[:, :symbols].T.view(self.block_size, -1, len(weight))
        contributions = (self.embedding.weight @ parts).flatten(end_dim=1)
        rows = context + self.ids * torch.arange(self.block_size, device=context.device)
        weights = None if seen is None else seen.to(contributions.dtype)
        sums = functional.embedding_bag(rows, contributions, mode="sum", per_sample_weights=weights)
        others = torch.split(weight[:, symbols:], self.structure.embedding_dim, dim=1)
        for table, column, part in zip(self.conditions.parameters(), conditions.T, others, strict=False):
            sums = sums + functional.embedding(column, table @ part.T)
        return sums if bias is None else sums + bias

    def _seen(self, context: Tensor) -> Tensor | None:
        """Return a factor for each symbol of the contexts, float32 [batch, block_size], 0 for hidden ones."""
        if not self.training or not self.embedding_dropout:
            return None
        return functional.dropout(torch.ones(context.shape, device=context.device), self.embedding_dropout)

    @torch.no_grad()
    def for_inference(self) -> "MLP":
        """Return the network with each normalisation folded into the layer before it."""
        plain = msgspec.structs.replace(self.structure, hidden_bias=True, batch_norm="none", tied=False)
        with shapes_alone():
            network = MLP(self.inputs, plain)
        own = self.state_dict()
        layers = {f"hidden.{i}": pair for i, pair in enumerate(zip(self.hidden, self.hidden_norms, strict=True))}
        layers["output"] = self.output, self.output_norm
        for place, (layer, norm) in layers.items():
            own |= {f"{place}.{name}": tensor for name, tensor in fold_norm(layer, norm).items()}
        network.load_state_dict({name: own[name] for name in network.state_dict()}, assign=True)
        return network.eval()

    def precisions(self) -> dict[str, int]:
        """Return the groups of numbers whose precision the exporter chooses."""
        direct = {"direct": 8} if self.structure.direct else {}
        if self.structure.skip:
            direct |= {"skip_embedding": 12, "skip": 14}
        hidden = {"hidden": 14} if len(self.hidden) > 1 else {}
        if self.structure.activation == "relu":  # its units are their own positions
            return {"units": 10, **hidden, "output": 14, "first": 12, **direct}
        return {"units": 12, "positions": 10, **hidden, "output": 14, "first": 14, **direct}

    def in_whole_numbers(
        self, bits: Mapping[str, int], contexts: NDArray[np.int64], conditions: NDArray[np.int64]
    ) -> Exact:
        """Return the network in whole numbers."""
        return in_whole_numbers(self.for_inference(), self.structure, bits, contexts, conditions)

    def activation_module(self) -> nn.Module:
        """Return the module that computes the activations of every hidden layer."""
        return self.activation

    @property
    def saturates(self) -> bool:
        """Whether the activations are bounded by -1 and 1, so that units can saturate."""
        return self.structure.activation == "tanh"
