"""The errors that Sequentia raises.

    SequentiaError
    ├── ArtifactError       (ValueError)         a file of a model is missing, damaged or inconsistent
    ├── CorpusError         (ValueError)         a text file cannot be used as a corpus
    ├── ExportError         (RuntimeError)       an exported model differs from the trained one
    ├── GenerationError     (RuntimeError)       the options allow too few names
    ├── HubError            (ConnectionError)    the hub cannot be reached or refuses
    ├── MissingExtraError   (ImportError)        an optional dependency is not installed
    ├── ModelNotFoundError  (FileNotFoundError)  the requested model does not exist
    ├── OptionError         (ValueError)         an option is out of range or contradicts another
    ├── RecipeError         (ValueError)         a training recipe is malformed
    ├── TrainingError       (RuntimeError)       a training run cannot start or continue
    └── VocabularyError     (ValueError)         a text contains a symbol that the model does not know

Each error stores its details as attributes and can be pickled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

COPY_AGAIN: Final = "copy or download the model again, or export its run again"
START_AGAIN: Final = "restore it from a copy, or start again in another folder"


class SequentiaError(Exception):
    """Base class of all errors of this library; the message says what was wrong and what to do."""


class ArtifactError(SequentiaError, ValueError):
    """A file of an artifact is missing, damaged or inconsistent.

    Attributes:
        path: the offending file.
        expected: what the file should contain.
        found: what it contains instead.
    """

    def __init__(self, message: str, *, path: Path | None = None, expected: str = "", found: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.expected = expected
        self.found = found

    @classmethod
    def at(cls, path: Path, *, expected: str, found: str, advice: str = COPY_AGAIN) -> "ArtifactError":
        """Return the error for one file, with the standard message, which ends in what to do."""
        return cls(f"{path}: expected {expected}, found {found}; {advice}", path=path, expected=expected, found=found)


class CorpusError(SequentiaError, ValueError):
    """A text file cannot be used as a corpus.

    Attributes:
        path: the file.
        line: 1-based number of the offending line, if known.
        byte: 0-based offset of the offending byte, if known.
    """

    def __init__(
        self, message: str, *, path: Path | None = None, line: int | None = None, byte: int | None = None
    ) -> None:
        super().__init__(message)
        self.path = path
        self.line = line
        self.byte = byte


class ExportError(SequentiaError, RuntimeError):
    """An exported model fails a parity check, so it is neither written nor published.

    Attributes:
        rung: name of the failed check.
    """

    def __init__(self, message: str, *, rung: str = "") -> None:
        super().__init__(message)
        self.rung = rung


class GenerationError(SequentiaError, RuntimeError):
    """The options allow too few names, or a search was stopped at its limit.

    Attributes:
        candidates: number of names and attempts at names that were sampled, or of prefixes searched.
        accepted: number of names accepted.
        rejected: number of rejected candidates by reason, for all names up to the one that was given up.
        names: the names found before the error, if the call would have returned a list.
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
        """Return a copy of the error that carries the names found so far."""
        found = "1 name found so far is" if len(names) == 1 else f"{len(names):,} names found so far are"
        return GenerationError(
            f"{self} (the {found} in error.names)" if names else str(self),
            candidates=self.candidates,
            accepted=self.accepted,
            rejected=self.rejected,
            names=names,
        )


class HubError(SequentiaError, ConnectionError):
    """The hub cannot be reached or refuses a request, or its answer cannot be stored.

    Attributes:
        repo_id: the repository.
        status: the HTTP status of the answer, if there was one.
    """

    def __init__(self, message: str, *, repo_id: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.repo_id = repo_id
        self.status = status


class MissingExtraError(SequentiaError, ImportError):
    """A feature needs packages that the base installation does not include.

    Attributes:
        extra: the extra that installs them.
    """

    def __init__(self, message: str, *, extra: str = "") -> None:
        super().__init__(message)
        self.extra = extra

    @classmethod
    def of(cls, package: str, extra: str) -> "MissingExtraError":
        """Return the error for a package that is not installed, with the usual message."""
        pinned = "-c constraints.txt " if extra == "train" else ""
        return cls(
            f"this needs the package {package!r}: install the extra [{extra}], in a checkout of sequentia by "
            f"`pip install {pinned}'.[{extra}]'`",
            extra=extra,
        )

    @classmethod
    def in_source_folder(cls) -> "MissingExtraError":
        """Return the error where Python finds the source folder, which lacks training and export, as the package."""
        folder = Path(__file__).parent
        return cls(
            f"the source folder {folder} hides the installed package: run the command from another folder",
            extra="train",
        )


class ModelNotFoundError(SequentiaError, FileNotFoundError):
    """The requested model does not exist.

    Attributes:
        model: the name or path that was requested.
    """

    def __init__(self, message: str, *, model: str = "") -> None:
        super().__init__(message)
        self.model = model


class OptionError(SequentiaError, ValueError):
    """An option is out of range or contradicts another.

    Attributes:
        option: its name.
        value: the given value.
    """

    def __init__(self, message: str, *, option: str = "", value: object = None) -> None:
        super().__init__(message)
        self.option = option
        self.value = value


class RecipeError(SequentiaError, ValueError):
    """A recipe or an override of one of its keys is malformed.

    Attributes:
        key: the offending key, if there is one.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class TrainingError(SequentiaError, RuntimeError):
    """A training run cannot start or continue.

    Attributes:
        step: the 0-based step at which it failed, if there is one.
    """

    def __init__(self, message: str, *, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class VocabularyError(SequentiaError, ValueError):
    """A text contains a symbol that is not in the vocabulary.

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
