"""Invent names with a small neural network: ``sequentia.generate()``.

Public names are imported on first use, so ``import sequentia`` loads only the standard library.
"""

from typing import TYPE_CHECKING

from ._lazy import resolve as _resolve

if TYPE_CHECKING:
    from .composing import compose, compose_arrow
    from .errors import (
        ArtifactError,
        CorpusError,
        ExportError,
        GenerationError,
        HubError,
        MissingExtraError,
        ModelNotFoundError,
        OptionError,
        RecipeError,
        SequentiaError,
        TrainingError,
        VocabularyError,
    )
    from .loaded import generate
    from .model import SequenceModel, load

__version__ = "0.1.0"

__all__ = [
    "ArtifactError",
    "CorpusError",
    "ExportError",
    "GenerationError",
    "HubError",
    "MissingExtraError",
    "ModelNotFoundError",
    "OptionError",
    "RecipeError",
    "SequenceModel",
    "SequentiaError",
    "TrainingError",
    "VocabularyError",
    "__version__",
    "compose",
    "compose_arrow",
    "generate",
    "load",
]

_MODULES = {
    **dict.fromkeys(__all__, ".errors"),
    **dict.fromkeys(("SequenceModel", "load"), ".model"),
    **dict.fromkeys(("compose", "compose_arrow"), ".composing"),
    "generate": ".loaded",
}


def __getattr__(name: str) -> object:
    value = globals()[name] = _resolve(__name__, name, _MODULES)
    return value


def __dir__() -> list[str]:
    return __all__
