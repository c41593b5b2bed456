"""What a model is made of, in enough detail to rebuild it around the weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

MAX_ORDER: Final = 64
MAX_DIRECT: Final = 8
MAX_LAYERS: Final = 256

Count = Annotated[int, Meta(ge=0)]
Width = Annotated[int, Meta(ge=1, le=65_536)]
HiddenSizes = Annotated[list[Width], Meta(min_length=1, max_length=MAX_LAYERS)]
Direct = Annotated[int, Meta(ge=0, le=MAX_DIRECT)]
Discount = Annotated[float, Meta(ge=1e-6, le=1)]
Activation = Literal["tanh", "relu", "gelu"]
Normalized = Literal["none", "hidden", "all"]
Precision = Literal["float32", "float16"]

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""By the name of a tensor: its dtype, as safetensors spells it, and its shape."""


class _Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """What every architecture has: a tag ``model``, and tensors.

    Attributes:
        parameters: how many numbers were learnt; of an n-gram model, its counts.
    """

    parameters: Count


class MLPArchitecture(_Architecture, frozen=True, kw_only=True, tag="mlp"):
    """Embeddings of the context's symbols, hidden layers, logits (Bengio et al. 2003).

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each of them.
        hidden_bias: whether the hidden layers add a bias.
        batch_norm: the layers that are normalised (Ioffe and Szegedy 2015): none, the hidden ones, or the output too.
        direct: how many of the newest symbols choose, together, a row of logits that is added to the network's.
        precision: what the weights are stored as; the network computes in float32.
    """

    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation
    hidden_bias: bool
    batch_norm: Normalized
    direct: Direct
    precision: Precision

    def tensors(self, block_size: int, ids: int) -> Shapes:
        """Return the dtype and shape of every tensor in ``model.safetensors``, by name."""
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (ids, self.embedding_dim)}
        widths = [block_size * self.embedding_dim, *self.hidden_sizes]
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            shapes[f"hidden.{i}.weight"] = (outputs, inputs)
            if self.hidden_bias:
                shapes[f"hidden.{i}.bias"] = (outputs,)
            if self.batch_norm != "none":
                shapes |= _normalization(f"hidden_norms.{i}", outputs)
        shapes |= {"output.weight": (ids, widths[-1]), "output.bias": (ids,)}
        if self.batch_norm == "all":
            shapes |= _normalization("output_norm", ids)
        if self.direct:
            shapes["direct.weight"] = (ids**self.direct, ids)
        dtype = {"float32": "F32", "float16": "F16"}[self.precision]
        return {name: (dtype, shape) for name, shape in shapes.items()}

    def describe(self) -> str:
        """Return a phrase that says what it is."""
        layers = "a hidden layer" if len(self.hidden_sizes) == 1 else "hidden layers"
        norm = {"none": "", "hidden": ", batch normalisation", "all": ", batch normalisation, of the output too"}
        symbols = "symbol" if self.direct == 1 else f"{self.direct} symbols"
        table = f", and a table of logits for the last {symbols}" if self.direct else ""
        return (
            f"embeddings of {self.embedding_dim} dimensions, {layers} of {_listed(self.hidden_sizes, ',')} units "
            f"({self.activation}{norm[self.batch_norm]}){table}"
        )


def _normalization(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{tensor}": (width,) for tensor in ("gain", "bias", "running_mean", "running_var")}


class BigramArchitecture(_Architecture, frozen=True, kw_only=True, tag="bigram"):
    """One row of logits for each symbol that may come before."""

    def tensors(self, block_size: int, ids: int) -> Shapes:  # noqa: ARG002 - part of the interface
        """Return the dtype and shape of every tensor in ``model.safetensors``, by name."""
        return {"weight": ("F32", (ids, ids))}

    def describe(self) -> str:
        """Return a phrase that says what it is."""
        return "a table with a row for each symbol"


class NGramArchitecture(_Architecture, frozen=True, kw_only=True, tag="ngram"):
    """Counts of n-grams, and interpolated Kneser-Ney smoothing on top of them.

    Attributes:
        order: symbols in an n-gram: the context and the one that follows.
        discounts: subtracted from every count of order 1, 2 and so on; the last holds for all higher orders.
    """

    order: Annotated[int, Meta(ge=1, le=MAX_ORDER)]
    discounts: Annotated[list[Discount], Meta(min_length=1)]

    def tensors(self, block_size: int, ids: int) -> Shapes:  # noqa: ARG002 - part of the interface
        """Return the dtype and shape of every tensor in ``model.safetensors``, by name."""
        return {"ngrams": ("I32", (self.parameters, self.order)), "counts": ("I32", (self.parameters,))}

    def describe(self) -> str:
        """Return a phrase that says what it is."""
        return f"counts of {self.order}-grams, interpolated Kneser-Ney (discounts {_listed(self.discounts)})"


def _listed(values: Sequence[float], form: str = "") -> str:
    *most, last = (format(value, form) for value in values)
    return f"{', '.join(most)} and {last}" if most else last


Architecture = MLPArchitecture | BigramArchitecture | NGramArchitecture
