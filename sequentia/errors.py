"""Every error Sequentia raises on purpose.

    SequentiaError
    ├── ArtifactError       (ValueError)         a file of an artifact is not what it must be
    ├── CorpusError         (ValueError)         a text file cannot serve as a corpus
    ├── ExportError         (RuntimeError)       an exported model differs from the trained one
    ├── GenerationError     (RuntimeError)       the options leave no names to generate
    ├── HubError            (ConnectionError)    the hub cannot be reached, or refuses
    ├── MissingExtraError   (ImportError)        an optional dependency is not installed
    ├── ModelNotFoundError  (FileNotFoundError)  there is no model where one was asked for
    ├── OptionError         (ValueError)         an argument is out of its range
    ├── RecipeError         (ValueError)         a training recipe is malformed
    ├── TrainingError       (RuntimeError)       a training run cannot start or go on
    └── VocabularyError     (ValueError)         a text holds a symbol the model does not know

Each is built from its message, carries its facts as attributes, and survives pickling.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType


class SequentiaError(Exception):
    """Base of all errors of this library; ``str(error)`` says what was wrong and what to do."""


class ArtifactError(SequentiaError, ValueError):
    """A file of an artifact is missing, damaged or inconsistent.

    Attributes:
        path: the offending file.
        expected: what the file should hold.
        found: what it holds instead.
    """

    def __init__(self, message: str, *, path: Path | None = None, expected: str = "", found: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.expected = expected
        self.found = found

    @classmethod
    def at(cls, path: Path, *, expected: str, found: str) -> "ArtifactError":
        """The error for one file, with the usual message."""
        return cls(f"{path}: expected {expected}, found {found}", path=path, expected=expected, found=found)


class CorpusError(SequentiaError, ValueError):
    """A text file cannot be used as a corpus.

    Attributes:
        path: the file.
        line: 1-based number of the offending line, where there is one.
        byte: 0-based offset of the offending byte, where there is one.
    """

    def __init__(
        self, message: str, *, path: Path | None = None, line: int | None = None, byte: int | None = None
    ) -> None:
        super().__init__(message)
        self.path = path
        self.line = line
        self.byte = byte


class ExportError(SequentiaError, RuntimeError):
    """An exported model fails a rung of the parity ladder, and is neither written nor published.

    Attributes:
        rung: name of the failed check.
    """

    def __init__(self, message: str, *, rung: str = "") -> None:
        super().__init__(message)
        self.rung = rung


class GenerationError(SequentiaError, RuntimeError):
    """The options cannot be met, or no longer.

    Attributes:
        candidates: how many names were sampled.
        accepted: how many of them were returned.
        rejected: reason → how many candidates it rejected.
        names: those found before giving up, where the call would have returned them.
    """

    def __init__(
        self,
        message: str,
        *,
        candidates: int = 0,
        accepted: int = 0,
        rejected: Mapping[str, int] = MappingProxyType({}),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.candidates = candidates
        self.accepted = accepted
        self.rejected = dict(rejected)
        self.names = list(names)

    def with_names(self, names: Sequence[str]) -> "GenerationError":
        """Return the error as it is for a caller who gets no other hold of the names found so far."""
        return GenerationError(
            f"{self} (the {len(names):,} names found so far are in error.names)" if names else str(self),
            candidates=self.candidates,
            accepted=self.accepted,
            rejected=self.rejected,
            names=names,
        )


class HubError(SequentiaError, ConnectionError):
    """The hub cannot be reached or refuses, or what it sent cannot be stored.

    Attributes:
        repo_id: the repository.
        status: the HTTP status of the answer, where there was one.
    """

    def __init__(self, message: str, *, repo_id: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.repo_id = repo_id
        self.status = status


class MissingExtraError(SequentiaError, ImportError):
    """A feature needs packages that the base installation leaves out.

    Attributes:
        extra: the extra that brings them.
    """

    def __init__(self, message: str, *, extra: str = "") -> None:
        super().__init__(message)
        self.extra = extra


class ModelNotFoundError(SequentiaError, FileNotFoundError):
    """No model is where the caller pointed.

    Attributes:
        model: what was asked for.
    """

    def __init__(self, message: str, *, model: str = "") -> None:
        super().__init__(message)
        self.model = model


class OptionError(SequentiaError, ValueError):
    """An option is out of its range, or contradicts another.

    Attributes:
        option: its name.
        value: what was given.
    """

    def __init__(self, message: str, *, option: str = "", value: object = None) -> None:
        super().__init__(message)
        self.option = option
        self.value = value


class RecipeError(SequentiaError, ValueError):
    """A recipe, or an override of one, is malformed.

    Attributes:
        key: the offending key, where there is one.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class TrainingError(SequentiaError, RuntimeError):
    """A training run cannot start or go on.

    Attributes:
        step: the 0-based step at which it happened, where there is one.
    """

    def __init__(self, message: str, *, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class VocabularyError(SequentiaError, ValueError):
    """A text holds a symbol outside the vocabulary.

    Attributes:
        symbol: the symbol.
        position: its 0-based index in the text, after NFC normalisation.
        text: the text.
    """

    def __init__(self, message: str, *, symbol: str = "", position: int = -1, text: str = "") -> None:
        super().__init__(message)
        self.symbol = symbol
        self.position = position
        self.text = text
