"""The kinds of models, one file each: what ``config.json`` says of a model's structure. PyTorch is not needed here.

A new kind is a file beside these and a line below; what trains and exports it is in :mod:`sequentia.training.kinds`.
"""

from .base import BaseArchitecture, Count, Shapes
from .bigram import BigramArchitecture
from .gru import GRUArchitecture
from .mlp import MLPArchitecture
from .ngram import NGramArchitecture

__all__ = [
    "Architecture",
    "BaseArchitecture",
    "BigramArchitecture",
    "Count",
    "GRUArchitecture",
    "MLPArchitecture",
    "NGramArchitecture",
    "Shapes",
]

Architecture = MLPArchitecture | BigramArchitecture | NGramArchitecture | GRUArchitecture
"""The registry: any other ``model`` in a ``config.json`` is an error."""
