"""The kinds of models. Each has one file with its recipe, its network and its initialisation.

To add a kind, add a file here, a file in :mod:`sequentia.architectures`, and an entry in the registry of each package.
"""

from collections.abc import Callable
from typing import Any, Final, get_args

from sequentia.arithmetic import Inputs

from .base import ConflictError, DescentRecipe, hidden
from .bigram import Bigram, BigramCountsRecipe, BigramRecipe, BigramStructure
from .gru import GRU, GRURecipe, GRUStructure
from .mlp import MLP, MLPRecipe, MLPStructure
from .network import BatchNorm, Network, predictor
from .ngram import NGram, NGramRecipe, NGramStructure

__all__ = [
    "RECIPES",
    "BatchNorm",
    "ConflictError",
    "DescentRecipe",
    "Network",
    "Recipe",
    "Structure",
    "hidden",
    "network_of",
    "predictor",
]

Recipe = MLPRecipe | BigramRecipe | BigramCountsRecipe | GRURecipe | NGramRecipe
RECIPES: Final[dict[str, type[Recipe]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Recipe)}
"""The recipe class for each value of the key ``model``."""

Structure = MLPStructure | BigramStructure | NGramStructure | GRUStructure

_NETWORKS: Final[dict[type[Structure], Callable[[Inputs, Any], Network]]] = {
    MLPStructure: MLP,
    BigramStructure: Bigram,
    NGramStructure: NGram,
    GRUStructure: GRU,
}


def network_of(structure: Structure, inputs: Inputs) -> Network:
    """Return a module of some sizes. Its weights are still to be set.

    Args:
        structure: the kind and its sizes.
        inputs: what it reads.
    """
    return _NETWORKS[type(structure)](inputs, structure)
