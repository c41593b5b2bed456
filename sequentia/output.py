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

Scores = NDArray[np.float64] | None


class Writer(ABC):
    """Write names to a file in batches.

    Args:
        file: the file to write to; it is left open.
        vocabulary: the alphabet of the names.
        scored: whether each batch comes with log-probabilities.
    """

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool) -> None:
        self._file, self._vocabulary = file, vocabulary
        self._columns = [NAME, LOG_PROBABILITY] if scored else [NAME]

    def write(self, names: Names, scores: Scores) -> None:
        """Write a batch of names, given as ids, and their log-probabilities, float64 [names], if the file has them."""
        self.write_texts(self._vocabulary.decode(names), scores)

    @abstractmethod
    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch of names, given as text, and their log-probabilities, float64 [names], if the file has them."""

    def abandon(self) -> None:  # noqa: B027 - most formats need nothing
        """End a file that will not be kept, because of an error."""

    def close(self) -> None:  # noqa: B027 - most formats need nothing
        """Write the end of the file, if its format has one."""


class Lines(Writer):
    """One name per line, after its score and a tab if there are scores."""

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        if scores is not None:
            texts = [f"{score:.4f}\t{text}" for score, text in zip(scores.tolist(), texts, strict=True)]
        self._file.write("".join(f"{text}\n" for text in texts).encode())


class Csv(Writer):
    """Comma-separated values, with a header."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool) -> None:
        super().__init__(file, vocabulary, scored=scored)
        self._rows(self._columns)

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        self._rows(*(zip(texts) if scores is None else zip(texts, scores.tolist(), strict=True)))

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
        rows = _objects(texts, scores)
        self._file.write(b"".join(encode(row) + b"\n" for row in rows))


class JsonArray(Writer):
    """One JSON array of names, or of objects if there are scores."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool) -> None:
        super().__init__(file, vocabulary, scored=scored)
        self._before = b"[\n  "

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        encode = msgspec.json.Encoder().encode
        for row in texts if scores is None else _objects(texts, scores):
            self._file.write(self._before + encode(row))
            self._before = b",\n  "

    def close(self) -> None:
        """Write the closing bracket."""
        self._file.write(b"[]\n" if self._before.startswith(b"[") else b"\n]\n")


class Parquet(Writer):
    """A Parquet file with one row group per batch."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, *, scored: bool) -> None:
        from . import arrow

        super().__init__(file, vocabulary, scored=scored)
        self._table = arrow.ParquetTable(file, self._columns)

    def write(self, names: Names, scores: Scores) -> None:
        """Write a batch without making Python strings."""
        self._table.write(names, self._vocabulary, scores)

    def write_texts(self, texts: list[str], scores: Scores) -> None:
        """Write a batch."""
        self._table.write_texts(texts, scores)

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


def _objects(texts: list[str], scores: Scores) -> Iterator[dict[str, object]]:
    if scores is None:
        return ({NAME: text} for text in texts)
    return ({NAME: text, LOG_PROBABILITY: score} for text, score in zip(texts, scores.tolist(), strict=True))
