"""The kinds of models. Each has one file with its recipe, its network and its initialisation.

To add a kind, add a file here, a file in :mod:`sequentia.architectures`, and an entry in the registry of each package.
"""

from collections.abc import Callable
from typing import Any, Final, get_args

from sequentia.architectures import (
    Architecture,
    BigramArchitecture,
    GRUArchitecture,
    MLPArchitecture,
    NGramArchitecture,
)

from .base import BatchNorm, ConflictError, DescentRecipe, Network, predictor
from .bigram import Bigram, BigramCountsRecipe, BigramRecipe
from .gru import GRU, GRURecipe
from .mlp import MLP, MLPRecipe
from .ngram import NGram, NGramRecipe

__all__ = [
    "RECIPES",
    "BatchNorm",
    "ConflictError",
    "DescentRecipe",
    "Network",
    "Recipe",
    "network_of",
    "predictor",
]

Recipe = MLPRecipe | BigramRecipe | BigramCountsRecipe | GRURecipe | NGramRecipe
RECIPES: Final[dict[str, type[Recipe]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Recipe)}
"""The recipe class for each value of the key ``model``."""

_NETWORKS: Final[dict[type[Architecture], Callable[[int, int, Any], Network]]] = {
    MLPArchitecture: MLP,
    BigramArchitecture: Bigram,
    NGramArchitecture: NGram,
    GRUArchitecture: GRU,
}


def network_of(architecture: Architecture, block_size: int, ids: int) -> Network:
    """Return a module of an architecture. Its weights are still to be set.

    Args:
        architecture: the kind and its sizes.
        block_size: symbols of context.
        ids: number of ids, the boundary included.
    """
    return _NETWORKS[type(architecture)](ids, block_size, architecture)
