"""Write names to a file in batches: as lines of text, CSV, JSON, JSON Lines or Parquet."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NotRequired, TypedDict, Unpack

import msgspec
import numpy as np
from numpy.typing import NDArray

from .case import Case, in_case
from .errors import OptionError
from .vocabulary import Names, Vocabulary

NAME: Final = "name"
LOG_PROBABILITY: Final = "log_probability"
UNKNOWN: Final = "unknown"
SPELLED: Final = "spelled"

Scores = NDArray[np.float64] | None


class WriterOptions(TypedDict):
    """The options of :class:`Writer`."""

    scored: bool
    unknown: NotRequired[bool]
    case: NotRequired[Case | None]
    others: NotRequired[Sequence[str]]


class Writer(ABC):
    """Write names to a file in batches.

    Args:
        file: the file to write to; it is left open.
        vocabulary: the alphabet of the names.
        scored: whether each batch comes with log-probabilities.
        unknown: whether to add the symbols of each name that the vocabulary lacks, as text.
        case: the letter case to write names in; by default the model's own. Beside their log-probabilities then stands
            how the model spells them.
        others: names of further columns, of texts.
    """

    def __init__(
        self,
        file: BinaryIO,
        vocabulary: Vocabulary,
        *,
        scored: bool,
        unknown: bool = False,
        case: Case | None = None,
        others: Sequence[str] = (),
    ) -> None:
        self._file, self._vocabulary, self._unknown, self._case = file, vocabulary, unknown, case
        self._spelled = scored and case is not None
        columns = {NAME: True, LOG_PROBABILITY: scored, UNKNOWN: unknown, SPELLED: self._spelled}
        self._columns = [*[name for name, there in columns.items() if there], *others]

    def write(self, names: Names, scores: Scores) -> None:
        """Write a batch of names, given as ids, and their log-probabilities, float64 [names], if the file has them."""
        self.write_texts(self._vocabulary.decode(names), scores)

    @abstractmethod
    def write_texts(self, texts: list[str], scores: Scores, *others: list[str]) -> None:
        """Write a batch of names, given as text, and their log-probabilities, float64 [names], if the file has them.

        Args:
            texts: the names.
            scores: the log-probabilities.
            others: the further columns.
        """

    def _rows_of(self, texts: list[str], scores: Scores, *others: list[str]) -> Iterator[tuple[object, ...]]:
        """Return the values of each name, in the order of the columns."""
        shown = in_case(texts, self._case)
        return zip(shown, *([] if scores is None else [scores.tolist()]), *self._beside(texts), *others, strict=True)

    def _objects(self, texts: list[str], scores: Scores, *others: list[str]) -> Iterator[dict[str, object]]:
        return (dict(zip(self._columns, row, strict=True)) for row in self._rows_of(texts, scores, *others))

    def _beside(self, texts: list[str]) -> list[list[str]]:
        """Return the columns of unknown symbols and of the model's spelling, those that there are."""
        vocabulary = self._vocabulary
        lacking = [[vocabulary.separator.join(vocabulary.lacking(text)) for text in texts]] if self._unknown else []
        return [*lacking, *([texts] if self._spelled else [])]

    def abandon(self) -> None:  # noqa: B027 - most formats need nothing
        """End a file that will not be kept, because of an error."""

    def close(self) -> None:  # noqa: B027 - most formats need nothing
        """Write the end of the file, if its format has one."""


class Lines(Writer):
    """One name per line, after its score and a tab if there are scores; further columns follow, after tabs."""

    def write_texts(self, texts: list[str], scores: Scores, *others: list[str]) -> None:
        """Write a batch."""
        shown = [] if scores is None else [[f"{score:.4f}" for score in scores.tolist()]]
        rows = zip(*shown, in_case(texts, self._case), *self._beside(texts), *others, strict=True)
        self._file.write("".join("\t".join(row) + "\n" for row in rows).encode())


class Csv(Writer):
    """Comma-separated values, with a header."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, **options: Unpack[WriterOptions]) -> None:
        super().__init__(file, vocabulary, **options)
        self._rows(self._columns)

    def write_texts(self, texts: list[str], scores: Scores, *others: list[str]) -> None:
        """Write a batch."""
        self._rows(*self._rows_of(texts, scores, *others))

    def _rows(self, *rows: Iterable[object]) -> None:
        import csv
        import io

        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())


class JsonLines(Writer):
    """One JSON object per line."""

    def write_texts(self, texts: list[str], scores: Scores, *others: list[str]) -> None:
        """Write a batch."""
        encode = msgspec.json.Encoder().encode
        self._file.write(b"".join(encode(row) + b"\n" for row in self._objects(texts, scores, *others)))


class JsonArray(Writer):
    """One JSON array of names, or of objects if there are scores."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, **options: Unpack[WriterOptions]) -> None:
        super().__init__(file, vocabulary, **options)
        self._before = b"[\n  "

    def write_texts(self, texts: list[str], scores: Scores, *others: list[str]) -> None:
        """Write a batch."""
        encode = msgspec.json.Encoder().encode
        rows = texts if self._columns == [NAME] else self._objects(texts, scores, *others)
        encoded = b",\n  ".join(map(encode, rows))
        if encoded:
            self._file.write(self._before + encoded)
            self._before = b",\n  "

    def close(self) -> None:
        """Write the closing bracket."""
        self._file.write(b"[]\n" if self._before.startswith(b"[") else b"\n]\n")


class Parquet(Writer):
    """A Parquet file with one row group per batch."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, **options: Unpack[WriterOptions]) -> None:
        from . import arrow

        super().__init__(file, vocabulary, **options)
        self._table = arrow.ParquetTable(file, self._columns, scored=options["scored"])

    def write(self, names: Names, scores: Scores) -> None:
        """Write a batch, in the model's own case without making Python strings."""
        if self._case is None:
            self._table.write(names, self._vocabulary, scores)
        else:
            super().write(names, scores)

    def write_texts(self, texts: list[str], scores: Scores, *others: list[str]) -> None:
        """Write a batch."""
        self._table.write_texts(in_case(texts, self._case), scores, *self._beside(texts), *others)

    def abandon(self) -> None:
        """Close the library's writer, which would complain otherwise."""
        self._table.close()

    def close(self) -> None:
        """Write the footer."""
        self._table.close()


FORMATS: Final[dict[str, type[Writer]]] = {
    "": Lines,
    ".txt": Lines,
    ".csv": Csv,
    ".json": JsonArray,
    ".jsonl": JsonLines,
    ".parquet": Parquet,
}
"""Writers by file suffix."""


def format_of(path: Path) -> type[Writer]:
    """Return the writer for a file, by the suffix of its name.

    Raises:
        OptionError: if no format has that suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(filter(None, FORMATS))
        raise OptionError(f"{path}: cannot write {suffix}; a file's name ends in {known}", option="output", value=path)
    return FORMATS[suffix]
