"""Give a network the weights of another of the same sizes that reads other symbols and conditions."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .gru import GRU
from .mlp import MLP

Ids = NDArray[np.int64]
"""An id of the other network for each id of a network, -1 for none."""


class Links(NamedTuple):
    """How the ids of a network correspond to those of another.

    Attributes:
        symbols: the other's symbol for each symbol, [ids].
        values: for each condition, the other's condition, -1 for none, and its value for each value.
        said: for each condition of the other network, its value wherever this network has no such condition.
    """

    symbols: Ids
    values: list[tuple[int, Ids]]
    said: list[int]

    @property
    def dropped(self) -> list[tuple[int, int]]:
        """The conditions that only the other network has, and the value of each."""
        kept = {column for column, _ in self.values}
        return [(column, value) for column, value in enumerate(self.said) if column not in kept]


@torch.no_grad()
def mlp_takes_over(network: MLP, source: MLP, links: Links, contexts: Tensor) -> None:
    """Copy the weights of a feed-forward network; see :func:`.take_over`."""
    _take_embeddings(network, source, links)
    _take_rows(network.output, source.output, links.symbols, 0.0)
    for layer, other in zip(network.hidden[1:], source.hidden[1:], strict=True):
        layer.load_state_dict(other.state_dict())
    own, theirs = _first_parts(network), _first_parts(source)
    own[0].copy_(theirs[0])
    for part, (column, _) in zip(own[1:], links.values, strict=True):
        if column >= 0:
            part.copy_(theirs[1 + column])
    bias = network.hidden[0].get_parameter("bias")
    bias.copy_(source.hidden[0].get_parameter("bias"))
    for column, value in links.dropped:
        bias.add_(theirs[1 + column] @ source.conditions[column].get_parameter("weight")[value])
    if network.direct is not None and source.direct is not None and source.structure.tree:
        _take_tree(network, source, links)
    elif network.direct is not None and source.direct is not None:
        network.direct.weight.copy_(_direct_rows(network, source, links, contexts))
    if network.skip is not None and source.skip is not None:
        _take_rows(network.skip, source.skip, links.symbols, 0.0)


@torch.no_grad()
def gru_takes_over(network: GRU, source: GRU, links: Links, contexts: Tensor) -> None:  # noqa: ARG001 - as the others
    """Copy the weights of a recurrent network; see :func:`.take_over`."""
    _take_embeddings(network, source, links)
    _take_rows(network.output, source.output, links.symbols, 0.0)
    network.gru.load_state_dict(source.gru.state_dict())
    weight, bias = (network.gru.get_parameter(f"{name}_ih_l0") for name in ("weight", "bias"))
    for column, value in links.dropped:
        bias.add_(weight @ source.conditions[column].get_parameter("weight")[value])


def _take_embeddings(network: MLP | GRU, source: MLP | GRU, links: Links) -> None:
    known = torch.from_numpy(links.symbols[links.symbols >= 0])
    _take_rows(network.embedding, source.embedding, links.symbols, source.embedding.weight[known].mean(dim=0))
    for table, (column, ids) in zip(network.conditions, links.values, strict=True):
        if column >= 0:
            other = source.conditions[column]
            _take_rows(table, other, ids, other.get_parameter("weight")[0])


def _take_rows(module: nn.Module, source: nn.Module, ids: Ids, missing: Tensor | float) -> None:
    """Copy the rows of each parameter by their ids; where an id is -1, set ``missing``."""
    known = torch.from_numpy(ids >= 0)
    for own, other in zip(module.parameters(), source.parameters(), strict=True):
        own[known] = other[torch.from_numpy(ids[ids >= 0])]
        own[~known] = missing


def _first_parts(network: MLP) -> tuple[Tensor, ...]:
    """Return the first layer's weights for the symbols, and those for each condition's values, [units, …] each."""
    width = network.structure.embedding_dim
    sizes = [network.block_size * width, *[width] * len(network.conditions)]
    return torch.split(network.hidden[0].get_parameter("weight"), sizes, dim=1)


def _take_tree(network: MLP, source: MLP, links: Links) -> None:
    """Copy a table's tree, or what there is room for: a symbol leads where the one that it corresponds to does."""
    assert network.direct is not None and source.direct is not None  # noqa: S101, PT018 - the caller has looked
    symbols, known = torch.from_numpy(links.symbols), torch.from_numpy(links.symbols >= 0)
    for own, theirs in ((network.longer, source.longer), (network.direct.weight, source.direct.weight)):
        own.zero_()
        own[: len(theirs), known] = theirs[: len(own), symbols[known]]
    network.longer[network.longer >= len(network.longer)] = 0


def _direct_rows(network: MLP, source: MLP, links: Links, contexts: Tensor) -> Tensor:
    """Return the rows of direct logits, float32 [rows, ids]: zero where the other network does not know a symbol.

    If rows are chosen by fewer symbols than in the other network, because there are more of them, each is the mean of
    the other's rows after the contexts.
    """
    assert source.direct is not None  # noqa: S101 - the caller has looked
    symbols = torch.from_numpy(links.symbols)
    known = symbols >= 0
    if network.structure.direct == source.structure.direct:
        digits = torch.cartesian_prod(*[torch.arange(network.ids)] * network.structure.direct)
        digits = digits.view(network.ids**network.structure.direct, -1)
        row = torch.arange(len(digits))
    else:
        digits = contexts[:, -source.structure.direct :]
        places = [network.ids**age for age in range(network.structure.direct - 1, -1, -1)]
        row = (digits[:, -network.structure.direct :] * torch.tensor(places)).sum(dim=1)
    usable = known[digits].all(dim=1)
    theirs = symbols[digits[usable]] @ torch.tensor(
        [source.ids**age for age in range(source.structure.direct - 1, -1, -1)]
    )
    rows = torch.zeros(network.ids**network.structure.direct, network.ids)
    logits = torch.zeros(len(theirs), network.ids)
    logits[:, known] = source.direct.weight[theirs][:, symbols[known]]
    rows.index_add_(0, row[usable], logits)
    return rows / torch.bincount(row[usable], minlength=len(rows)).clamp(min=1)[:, None]
