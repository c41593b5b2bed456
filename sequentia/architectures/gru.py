"""A recurrent network: one layer of gated recurrent units (Cho et al. 2014)."""

from .base import BaseArchitecture, Shapes
from .mlp import Width


class GRUArchitecture(BaseArchitecture, frozen=True, kw_only=True, tag="gru"):
    """Embeddings of the context's symbols, read one after the other by gated recurrent units, logits.

    The tensors are named, and the gates ordered, as in ``torch.nn.GRU``: reset, update, new.

    Attributes:
        embedding_dim: width of a symbol's embedding.
        hidden_size: units of the layer.
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
        """Return a phrase that says what the model consists of."""
        return (
            f"embeddings of {self.embedding_dim} dimensions and a layer of {self.hidden_size:,} gated recurrent units"
        )

    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""
        return 'a recurrent network of Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"'

    def products(self, block_size: int, ids: int) -> int:
        """Return how many multiplications the logits of one context take, which is read from its start."""
        return (block_size - 1) * 3 * self.hidden_size**2 + ids * self.hidden_size
