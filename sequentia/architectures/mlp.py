"""The feed-forward network of Bengio et al. 2003."""

import math
from itertools import pairwise
from typing import Annotated, Final, Literal

from msgspec import Meta

from .base import BaseArchitecture, Shapes, format_list

MAX_DIRECT: Final = 8
MAX_LAYERS: Final = 256

Width = Annotated[int, Meta(ge=1, le=65_536)]
HiddenSizes = Annotated[list[Width], Meta(min_length=1, max_length=MAX_LAYERS)]
Direct = Annotated[int, Meta(ge=0, le=MAX_DIRECT)]
Activation = Literal["tanh", "relu", "gelu"]
Normalized = Literal["none", "hidden", "all"]
Precision = Literal["float32", "float16"]

_TABLES: Final = {"embedding.weight", "direct.weight"}


class MLPArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="mlp"):
    """Embeddings of the context's symbols, hidden layers and logits (Bengio et al. 2003).

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        hidden_bias: whether the hidden layers add a bias.
        batch_norm: layers with batch normalisation (Ioffe and Szegedy 2015): none, hidden, or all with the output.
        direct: number of newest symbols that select a row of a table of logits, which is added to the network's logits.
        precision: dtype of the stored weights; the network computes in float32.
    """

    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation
    hidden_bias: bool
    batch_norm: Normalized
    direct: Direct
    precision: Precision

    def tensors(self, block_size: int, ids: int) -> Shapes:
        """Return the dtype and shape of every tensor; see :class:`.base.BaseArchitecture`."""
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
        """Return a phrase that describes the model's parts."""
        layers = "a hidden layer" if len(self.hidden_sizes) == 1 else "hidden layers"
        norm = {"none": "", "hidden": ", batch normalisation", "all": ", batch normalisation, of the output too"}
        symbols = "symbol" if self.direct == 1 else f"{self.direct} symbols"
        table = f", and a table of logits for the last {symbols}" if self.direct else ""
        return (
            f"embeddings of {self.embedding_dim} dimensions, {layers} of {format_list(self.hidden_sizes, ',')} units "
            f"({self.activation}{norm[self.batch_norm]}){table}"
        )

    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""
        return 'the feed-forward network of Bengio et al. 2003, "A neural probabilistic language model"'

    def multiplications(self, block_size: int, ids: int) -> int:
        """Return the number of multiplications for the logits of one context."""
        shapes = self.tensors(block_size, ids)
        multiplied = {name for name in shapes if name.endswith("weight")} - _TABLES
        return sum(math.prod(shapes[name][1]) for name in multiplied)


def _normalization(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{tensor}": (width,) for tensor in ("gain", "bias", "running_mean", "running_var")}
