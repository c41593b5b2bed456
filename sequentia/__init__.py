"""Invent names with a small neural network: ``sequentia.generate()``.

Public names are imported on first use, so ``import sequentia`` loads only the standard library.
"""

from typing import TYPE_CHECKING

from ._lazy import resolve as _resolve

if TYPE_CHECKING:
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
    from .model import SequenceModel, generate, load

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
    "generate",
    "load",
]

_MODULES = {
    name: ".model" if name in {"SequenceModel", "generate", "load"} else ".errors"
    for name in __all__
    if name != "__version__"
}


def __getattr__(name: str) -> object:
    value = globals()[name] = _resolve(__name__, name, _MODULES)
    return value


def __dir__() -> list[str]:
    return __all__
