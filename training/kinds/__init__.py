"""The kinds of models. Each has one file with its recipe, its network and its initialisation.

To add a kind, add a file here, a file in :mod:`sequentia.architectures`, and an entry in the registry of each package.
"""

from collections.abc import Callable
from typing import Any, Final, get_args

from torch import Tensor

from sequentia.architectures import Architecture, GRUArchitecture, MLPArchitecture
from sequentia.arithmetic import Inputs
from sequentia.weights import Tensors

from .auto import AutoRecipe
from .base import ConflictError, DescentRecipe, hidden
from .bigram import Bigram, BigramCountsRecipe, BigramRecipe, BigramStructure
from .gru import GRU, GRURecipe, GRUStructure
from .mlp import MLP, MLPRecipe, MLPStructure
from .network import BatchNorm, Network, predictor, shapes_alone
from .ngram import NGram, NGramRecipe, NGramStructure
from .restoring import Weights, gru_weights, mlp_weights
from .transfer import Links, gru_takes_over, mlp_takes_over

__all__ = [
    "RECIPES",
    "BatchNorm",
    "ConflictError",
    "DescentRecipe",
    "Links",
    "Network",
    "Recipe",
    "Structure",
    "hidden",
    "network_of",
    "predictor",
    "restored",
    "structure_of",
    "take_over",
]

Recipe = MLPRecipe | BigramRecipe | BigramCountsRecipe | GRURecipe | NGramRecipe | AutoRecipe
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
    """Return a module of some sizes, whose weights are still to be assigned.

    Args:
        structure: the kind and its sizes.
        inputs: what it reads.
    """
    with shapes_alone():
        return _NETWORKS[type(structure)](inputs, structure)


_STRUCTURES: Final[dict[type[Architecture], Callable[[Any], Structure]]] = {
    MLPArchitecture: MLPStructure.of,
    GRUArchitecture: GRUStructure.of,
}

_WEIGHTS: Final[dict[type[Architecture], Callable[[Any, Tensors, Inputs], Weights]]] = {
    MLPArchitecture: mlp_weights,
    GRUArchitecture: gru_weights,
}


def structure_of(architecture: Architecture) -> Structure:
    """Return the sizes of an artifact's network.

    Raises:
        ConflictError: if no network of its kind can be trained on.
    """
    if type(architecture) not in _STRUCTURES:
        raise ConflictError(
            "start",
            f"{architecture.summarize()} cannot be trained on, because its counts are not in it: start from a "
            "feed-forward or recurrent network",
        )
    return _STRUCTURES[type(architecture)](architecture)


def restored(architecture: Architecture, tensors: Tensors, inputs: Inputs) -> Network:
    """Return an artifact's network as a module that can be trained on, the same except for rounding.

    Args:
        architecture: the kind and its sizes.
        tensors: the artifact's whole numbers.
        inputs: what it reads.

    Raises:
        ConflictError: if no network of its kind can be trained on.
    """
    structure = structure_of(architecture)
    network = network_of(structure, inputs)
    network.load_state_dict(_WEIGHTS[type(architecture)](architecture, tensors, inputs), assign=True)
    return network


_TAKE_OVER: Final[dict[type[Network], Callable[[Any, Any, Links, Tensor], None]]] = {
    MLP: mlp_takes_over,
    GRU: gru_takes_over,
}


def take_over(network: Network, source: Network, links: Links, contexts: Tensor) -> None:
    """Give a network the weights of another of the same sizes that reads other symbols and conditions.

    A symbol that only the network has gets the mean embedding, and weights of zero in the output. A value that only it
    has gets the embedding of "not said"; a condition keeps what it has. Conditions of the other network alone go into
    the bias.

    Args:
        network: the network.
        source: the other one, of the same kind.
        links: how their ids correspond.
        contexts: typical ones in the network's ids, int64 [n, block_size].
    """
    _TAKE_OVER[type(network)](network, source, links, contexts)
