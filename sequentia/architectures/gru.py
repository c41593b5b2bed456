"""A recurrent network: one layer of gated recurrent units (Cho et al. 2014)."""

from .base import BaseArchitecture, Shapes
from .mlp import Width


class GRUArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="gru"):
    """Embeddings of the context's symbols, a layer of gated recurrent units that reads them in order, and logits.

    The names of the tensors and the order of the gates (reset, update, new) are those of ``torch.nn.GRU``.

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_size: number of units in the layer.
    """

    embedding_dim: Width
    hidden_size: Width

    def tensors(self, block_size: int, ids: int) -> Shapes:  # noqa: ARG002 - part of the interface
        """Return the dtype and shape of every tensor; see :class:`.base.BaseArchitecture`."""
        width, units = self.embedding_dim, self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (ids, width),
            "gru.weight_ih_l0": (3 * units, width),
            "gru.weight_hh_l0": (3 * units, units),
            "gru.bias_ih_l0": (3 * units,),
            "gru.bias_hh_l0": (3 * units,),
            "output.weight": (ids, units),
            "output.bias": (ids,),
        }
        return {name: ("F32", shape) for name, shape in shapes.items()}

    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""
        return (
            f"embeddings of {self.embedding_dim} dimensions and a layer of {self.hidden_size:,} gated recurrent units"
        )

    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""
        return 'a recurrent network of Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"'

    def multiplications(self, block_size: int, ids: int) -> int:
        """Return the number of multiplications for the logits of one context; each run reads the whole context."""
        return (block_size - 1) * 3 * self.hidden_size**2 + ids * self.hidden_size
