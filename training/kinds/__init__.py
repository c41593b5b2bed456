"""The kinds of models. Each has one file with its recipe, its network and its initialisation.

To add a kind, add a file here, a file in :mod:`sequentia.architectures`, and an entry in the registry of each package.
"""

from collections.abc import Callable
from typing import Any, Final, get_args

from .base import BatchNorm, ConflictError, DescentRecipe, Network, predictor
from .bigram import Bigram, BigramCountsRecipe, BigramRecipe, BigramStructure
from .gru import GRU, GRURecipe, GRUStructure
from .mlp import MLP, MLPRecipe, MLPStructure
from .ngram import NGram, NGramRecipe, NGramStructure

__all__ = [
    "RECIPES",
    "BatchNorm",
    "ConflictError",
    "DescentRecipe",
    "Network",
    "Recipe",
    "Structure",
    "network_of",
    "predictor",
]

Recipe = MLPRecipe | BigramRecipe | BigramCountsRecipe | GRURecipe | NGramRecipe
RECIPES: Final[dict[str, type[Recipe]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Recipe)}
"""The recipe class for each value of the key ``model``."""

Structure = MLPStructure | BigramStructure | NGramStructure | GRUStructure

_NETWORKS: Final[dict[type[Structure], Callable[[int, int, Any], Network]]] = {
    MLPStructure: MLP,
    BigramStructure: Bigram,
    NGramStructure: NGram,
    GRUStructure: GRU,
}


def network_of(structure: Structure, block_size: int, ids: int) -> Network:
    """Return a module of some sizes. Its weights are still to be set.

    Args:
        structure: the kind and its sizes.
        block_size: symbols of context.
        ids: number of ids, the boundary included.
    """
    return _NETWORKS[type(structure)](ids, block_size, structure)
