"""The kinds of models, one file each: recipe, network, initialisation, and what training and export ask of them.

A new kind is a file beside these, one in :mod:`sequentia.architectures`, and a line in each of the two registries.
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
"""By the key ``model`` of a recipe."""

_NETWORKS: Final[dict[type[Architecture], Callable[[int, int, Any], Network]]] = {
    MLPArchitecture: MLP,
    BigramArchitecture: Bigram,
    NGramArchitecture: NGram,
    GRUArchitecture: GRU,
}


def network_of(architecture: Architecture, block_size: int, ids: int) -> Network:
    """Return a module of some architecture, its weights yet to be set.

    Args:
        architecture: what it is.
        block_size: symbols of context.
        ids: how many ids there are, the boundary included.
    """
    return _NETWORKS[type(architecture)](ids, block_size, architecture)
