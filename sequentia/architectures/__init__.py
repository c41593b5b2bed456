"""The kinds of models, one file each: the part of ``config.json`` that describes a model's structure.

To add a kind, add a file here and a member to ``Architecture`` below. Its training and export are in
:mod:`sequentia.training.kinds`, so this package does not need PyTorch.
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
"""The registry of kinds; a ``config.json`` with any other ``model`` is an error."""
