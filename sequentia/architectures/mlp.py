"""The feed-forward network of Bengio et al. 2003."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sequentia.arithmetic import LOGIT_BITS, Arithmetic, Inputs

from .base import (
    BaseArchitecture,
    Bits,
    Shapes,
    format_list,
    newest,
    split_product,
    split_weight,
)
from .tree import Tree

MAX_DIRECT: Final = 8
MAX_LAYERS: Final = 256
_LARGEST_TABLES: Final = 16 << 20

Width = Annotated[int, Meta(ge=1, le=65_536)]
HiddenSizes = Annotated[list[Width], Meta(min_length=1, max_length=MAX_LAYERS)]
Direct = Annotated[int, Meta(ge=0, le=MAX_DIRECT)]
Activation = Literal["tanh", "relu", "gelu"]
Normalized = Literal["none", "hidden", "all"]

V = TypeVar("V")


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The units of a hidden layer, and the weights behind them.

    Attributes:
        position_bits: the layer's sums are rounded to steps of 2^-bits, and clipped to 0 … ``largest``. These are the
            units themselves (ReLU), or positions in the table of the activation.
        largest: the greatest unit or position.
        unit_bits: the units are in steps of 2^-bits.
        weight_bits: the weights behind them are in steps of 2^-bits.
        low_bits: how many of these bits stand in a tensor of their own, because sums could reach 2^24; 0 for none.
    """

    position_bits: Bits
    largest: Annotated[int, Meta(ge=1, le=(1 << 16) - 1)]
    unit_bits: Bits
    weight_bits: Bits
    low_bits: Bits = 0

    @property
    def sum_bits(self) -> int:
        """The sums behind the units are in steps of 2^-bits."""
        return self.unit_bits + self.weight_bits - self.low_bits


class Skip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Direct connections from the embeddings of the context's symbols to the logits.

    Attributes:
        embedding_bits: the embeddings are in steps of 2^-bits.
        weight_bits: the weights behind them are in steps of 2^-bits.
        low_bits: how many of these bits stand in tensors of their own, because sums could reach 2^24; 0 for none.
    """

    embedding_bits: Bits
    weight_bits: Bits
    low_bits: Bits = 0

    @property
    def sum_bits(self) -> int:
        """The sums behind the embeddings are in steps of 2^-bits."""
        return self.embedding_bits + self.weight_bits - self.low_bits


class MLPArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="mlp"):
    """Embeddings of the context's symbols, hidden layers and logits (Bengio et al. 2003).

    What an embedding contributes to the first layer's sums is looked up: the tensor ``first.0`` holds it, the biases
    included, for each symbol at the oldest place, ``first.1`` for each symbol at the next place, and so on;
    ``condition.0`` holds what each value of the first condition contributes, and so on.

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each of them.
        batch_norm: the layers that were normalised in training (Ioffe and Szegedy 2015): none, the hidden ones, or the
            output too. Their weights hold the normalisation.
        direct: how many of the newest symbols choose, together, a row of logits that is added to the network's.
        tree: of the contexts that have such a row, if not all have one: the longest that a context ends in chooses it.
            Its tensors are ``direct.gaps`` and ``direct.reached``.
        first_bits: the first layer's sums are in steps of 2^-bits.
        layers: of each hidden layer, its units and the weights behind them.
        direct_bits: the rows of logits are in steps of 2^-bits.
        skip: of the direct connections from embeddings to logits, if there are any. ``skip.embedding`` holds the
            embeddings, and ``skip.0.weight`` the weights of the oldest place, and so on.
    """

    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation
    batch_norm: Normalized
    direct: Direct
    first_bits: Bits
    layers: Annotated[list[Layer], Meta(min_length=1, max_length=MAX_LAYERS)]
    direct_bits: Bits
    tree: Tree | None = None
    skip: Skip | None = None

    def __post_init__(self) -> None:
        if len(self.layers) != len(self.hidden_sizes):
            raise ValueError(f"{len(self.layers)} layers for {len(self.hidden_sizes)} hidden_sizes")

    def tensors(self, inputs: Inputs) -> Shapes:
        """Return the shape of every tensor; see :class:`.base.BaseArchitecture`."""
        block_size, ids = inputs.block_size, inputs.ids
        if self.direct > block_size:
            raise ValueError(f"direct {self.direct}, more than block_size {block_size}")
        if self.tree is not None and not self.direct:
            raise ValueError("a tree, and direct 0")
        shapes: Shapes = {f"first.{place}": (ids, self.hidden_sizes[0]) for place in range(block_size)}
        shapes |= {f"condition.{column}": (rows, self.hidden_sizes[0]) for column, rows in enumerate(inputs.values)}
        for number, (layer, widths) in enumerate(zip(self.layers, pairwise([*self.hidden_sizes, ids]), strict=True)):
            if self.activation != "relu":
                shapes[f"layer.{number}.activation"] = (layer.largest + 1,)
            shapes |= split_weight(f"layer.{number}", widths, layer.low_bits)
            shapes[f"layer.{number}.bias"] = widths[1:]
        if self.tree is not None:
            shapes |= self.tree.tensors("direct", ids)
        elif self.direct:
            shapes["direct"] = (ids**self.direct, ids)
        if self.skip is not None:
            shapes["skip.embedding"] = (ids, self.embedding_dim)
            for place in range(block_size):
                shapes |= split_weight(f"skip.{place}", (self.embedding_dim, ids), self.skip.low_bits)
        return shapes

    def symbol_vectors(self, tensors: Mapping[str, NDArray[np.integer]], inputs: Inputs) -> NDArray[np.integer]:
        """Return what each symbol adds to the first layer at each place, [ids, places * units]."""
        return np.concatenate([tensors[f"first.{place}"] for place in range(inputs.block_size)], axis=1)

    def network(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the logits after contexts; see :class:`.base.BaseArchitecture`."""
        sums, bits = self._first(arithmetic, inputs), self.first_bits
        for number, layer in enumerate(self.layers):
            name = f"layer.{number}"
            rounded = arithmetic.shift(f"{name}.rounded", sums, bits - layer.position_bits)
            units = arithmetic.clip(f"{name}.position", rounded, 0, layer.largest)
            if self.activation != "relu":
                table, position = arithmetic.tensor(f"{name}.activation"), arithmetic.index(f"{name}.index", units)
                units = arithmetic.look_up(f"{name}.units", table, position)
            sums = split_product(arithmetic, name, units, layer.low_bits)
            sums, bits = arithmetic.add(f"{name}.sums", sums, arithmetic.tensor(f"{name}.bias")), layer.sum_bits
        steps = arithmetic.shift("steps", sums, bits - LOGIT_BITS)
        if self.direct:
            if self.tree is None:
                row = newest(arithmetic, self.direct, inputs)
                direct = arithmetic.look_up("direct.row", arithmetic.tensor("direct"), row)
            else:
                direct = self.tree.row(arithmetic, "direct", self.direct, inputs)
            steps = arithmetic.add(
                "all.steps", steps, arithmetic.shift("direct.steps", direct, self.direct_bits - LOGIT_BITS)
            )
        if self.skip is not None:
            embedding = arithmetic.tensor("skip.embedding")
            for place in range(inputs.block_size):
                name = f"skip.{place}"
                vector = arithmetic.look_up(f"{name}.vector", embedding, arithmetic.symbol(place))
                sums = split_product(arithmetic, name, vector, self.skip.low_bits)
                rounded = arithmetic.shift(f"{name}.steps", sums, self.skip.sum_bits - LOGIT_BITS)
                steps = arithmetic.add(f"{name}.all", steps, rounded)
        return arithmetic.logits(steps)

    def _first(self, arithmetic: Arithmetic[V], inputs: Inputs) -> V:
        """Return the first layer's sums. Where the tables stay small, each two neighbouring symbols share one."""
        block_size, ids = inputs.block_size, inputs.ids
        tables = [arithmetic.tensor(f"first.{place}") for place in range(block_size)]
        rows = [arithmetic.symbol(place) for place in range(block_size)]
        if 4 * self.hidden_sizes[0] * ids**2 * (block_size // 2) <= _LARGEST_TABLES:
            odd = block_size % 2
            pairs = [(place, place + 1) for place in range(odd, block_size, 2)]
            tables[odd:] = [arithmetic.pairs(f"first.{i}-{j}", tables[i], tables[j]) for i, j in pairs]
            rows[odd:] = [arithmetic.numbered(f"pair.{i}-{j}", rows[i], ids, rows[j]) for i, j in pairs]
        sums, *others = (
            arithmetic.look_up(f"first.row.{number}", table, row)
            for number, (table, row) in enumerate(zip(tables, rows, strict=True))
        )
        for number, row in enumerate(others, start=1):
            sums = arithmetic.add(f"first.sums.{number}", sums, row)
        for column in range(len(inputs.values)):
            table, value = arithmetic.tensor(f"condition.{column}"), arithmetic.condition(column)
            row = arithmetic.look_up(f"condition.row.{column}", table, value)
            sums = arithmetic.add(f"condition.sums.{column}", sums, row)
        return sums

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        layers = "a hidden layer" if len(self.hidden_sizes) == 1 else "hidden layers"
        norm = {"none": "", "hidden": ", batch normalisation", "all": ", batch normalisation, of the output too"}
        symbols = "symbol" if self.direct == 1 else f"{self.direct} symbols"
        rows = f"the last {symbols}" if self.tree is None else self.tree.describe(self.direct)
        table = f", and a table of logits for {rows}" if self.direct else ""
        skip = ", direct connections from the embeddings to the logits" if self.skip is not None else ""
        return (
            f"embeddings of {self.embedding_dim} dimensions, {layers} of {format_list(self.hidden_sizes, ',')} units "
            f"({self.activation}{norm[self.batch_norm]}){table}{skip}"
        )

    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""
        return 'the feed-forward network of Bengio et al. 2003, "A neural probabilistic language model"'
