"""Write names to a file in batches: as lines of text, CSV, JSON, JSON Lines or Parquet."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .vocabulary import Names, Vocabulary

NAME: Final = "name"
LOG_PROBABILITY: Final = "log_probability"
UNKNOWN: Final = "unknown"

Scores = NDArray[np.float64] | None


class Writer(ABC):
    """Write names to a file in batches.

    Args:
        file: the file to write to; it is left open.
        vocabulary: the alphabet of the names.
        scored: whether each batch comes with log-probabilities.
        unknown: whether to add the symbols of each name that the vocabulary lacks, as text.
    """

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool, unknown: bool = False) -> None:
        self._file, self._vocabulary, self._unknown = file, vocabulary, unknown
        self._columns = [NAME, *([LOG_PROBABILITY] if scored else []), *([UNKNOWN] if unknown else [])]

    def write(self, names: Names, scores: Scores) -> None:
        """Write a batch of names, given as ids, and their log-probabilities, float64 [names], if the file has them."""
        self.write_texts(self._vocabulary.decode(names), scores)

    @abstractmethod
    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch of names, given as text, and their log-probabilities, float64 [names], if the file has them."""

    def _rows_of(self, texts: list[str], scores: Scores) -> Iterator[tuple[object, ...]]:
        """Return the values of each name, in the order of the columns."""
        return zip(texts, *([] if scores is None else [scores.tolist()]), *self._lacking(texts), strict=True)

    def _objects(self, texts: list[str], scores: Scores) -> Iterator[dict[str, object]]:
        return (dict(zip(self._columns, row, strict=True)) for row in self._rows_of(texts, scores))

    def _lacking(self, texts: list[str]) -> list[list[str]]:
        """Return the column of unknown symbols, if there is one."""
        vocabulary = self._vocabulary
        return [[vocabulary.separator.join(vocabulary.lacking(text)) for text in texts]] if self._unknown else []

    def abandon(self) -> None:  # noqa: B027 - most formats need nothing
        """End a file that will not be kept, because of an error."""

    def close(self) -> None:  # noqa: B027 - most formats need nothing
        """Write the end of the file, if its format has one."""


class Lines(Writer):
    """One name per line, after its score and a tab if there are scores."""

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        shown = [] if scores is None else [[f"{score:.4f}" for score in scores.tolist()]]
        rows = zip(*shown, texts, *self._lacking(texts), strict=True)
        self._file.write("".join("\t".join(row) + "\n" for row in rows).encode())


class Csv(Writer):
    """Comma-separated values, with a header."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool, unknown: bool = False) -> None:
        super().__init__(file, vocabulary, scored=scored, unknown=unknown)
        self._rows(self._columns)

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        self._rows(*self._rows_of(texts, scores))

    def _rows(self, *rows: Iterable[object]) -> None:
        import csv
        import io

        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())


class JsonLines(Writer):
    """One JSON object per line."""

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        encode = msgspec.json.Encoder().encode
        self._file.write(b"".join(encode(row) + b"\n" for row in self._objects(texts, scores)))


class JsonArray(Writer):
    """One JSON array of names, or of objects if there are scores."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool, unknown: bool = False) -> None:
        super().__init__(file, vocabulary, scored=scored, unknown=unknown)
        self._before = b"[\n  "

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        encode = msgspec.json.Encoder().encode
        rows = texts if self._columns == [NAME] else self._objects(texts, scores)
        encoded = b",\n  ".join(map(encode, rows))
        if encoded:
            self._file.write(self._before + encoded)
            self._before = b",\n  "

    def close(self) -> None:
        """Write the closing bracket."""
        self._file.write(b"[]\n" if self._before.startswith(b"[") else b"\n]\n")


class Parquet(Writer):
    """A Parquet file with one row group per batch."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool, unknown: bool = False) -> None:
        from . import arrow

        super().__init__(file, vocabulary, scored=scored, unknown=unknown)
        self._table = arrow.ParquetTable(file, self._columns)

    def write(self, names: Names, scores: Scores) -> None:
        """Write a batch without making Python strings."""
        self._table.write(names, self._vocabulary, scores)

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        self._table.write_texts(texts, scores, *self._lacking(texts))

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
