"""Read a list, a text file with one item per line or a table, into a compact token array.

A symbol takes one byte, or two if the alphabet has more than 255, or four for more than 65,535 words. Context windows
are cut from the tokens when needed (:mod:`sequentia.windows`), so memory stays near the size of the text for any
context length.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sequentia._files import printable_name
from sequentia.columns import ColumnRequest
from sequentia.config import Columns, CorpusRecord
from sequentia.errors import CorpusError
from sequentia.vocabulary import BOUNDARY, MAX_SYMBOLS, UNKNOWN, SymbolKind, Vocabulary, WordVocabulary

from .labels import widened
from .parts import Tokens, ends_of, fingerprint
from .source import Source

_CHUNK: Final = 1 << 14
_CODE_POINTS: Final = 0x110000


@dataclass(frozen=True)
class Corpus:
    """The names of a file, in file order.

    Attributes:
        tokens: uint8, uint16 or, for words, uint32 [tokens], each name followed by the boundary.
        max_length: symbols in the longest name.
        vocabulary: the symbols of the text: characters in order of code point, words as they appear.
        record: the file's name, hash and counts.
        values: the values of each condition, by its name, in the order of their ids, which start at 1.
        conditions: the id of each name's value, uint8 or uint16 [names, conditions].
        weights: how often each name counts, float64 [names], or None if each counts once.
        parts: the part of the split that the list puts each name into, uint8 [names], an index into
            :data:`.parts.PARTS`; None if it does not say.
    """

    tokens: Tokens
    max_length: int
    vocabulary: Vocabulary
    record: CorpusRecord
    values: dict[str, list[str]] = field(default_factory=dict)
    conditions: NDArray[np.unsignedinteger] | None = None
    weights: NDArray[np.float64] | None = None
    parts: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return self.record.names

    @property
    def offsets(self) -> Tokens:
        """Where each name starts in ``tokens``, and the end of the last: uint32 or uint64 [names + 1]."""
        offsets: Tokens = np.zeros(len(self) + 1, dtype=np.uint32 if len(self.tokens) < 1 << 32 else np.uint64)
        place = 1
        for ends in ends_of(self.tokens):
            offsets[place : place + len(ends)] = ends + 1
            place += len(ends)
        return offsets


class _Encoder(Protocol):
    """Numbers the symbols of items as they appear."""

    @property
    def count(self) -> int:
        """How many different symbols there were."""

    def encode(self, items: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], int]:
        """Return the ids of items, each followed by the boundary, [tokens], and the symbols in the longest item."""

    def finish(self, tokens: Tokens) -> Vocabulary:
        """Give all tokens their final ids, and return the vocabulary."""


class _Characters:
    """Numbers characters."""

    def __init__(self) -> None:
        self._symbols: list[str] = []
        self._known = {"\n"}
        self._by_code_point = np.zeros(_CODE_POINTS, dtype=np.uint32)  # the line feed becomes the boundary

    @property
    def count(self) -> int:
        return len(self._symbols)

    def encode(self, items: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], int]:
        text = "\n".join(items) + "\n"
        for symbol in set(text) - self._known:
            self._known.add(symbol)
            self._symbols.append(symbol)
            self._by_code_point[ord(symbol)] = len(self._symbols)
        if len(self._symbols) > MAX_SYMBOLS:
            raise CorpusError(
                f"the file has more than {MAX_SYMBOLS:,} different symbols, and a model's alphabet holds no "
                "more; is it text with one item a line?"
            )
        return self._by_code_point[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")], max(map(len, items))

    def finish(self, tokens: Tokens) -> Vocabulary:
        alphabet = sorted(self._symbols)
        final: Tokens = np.zeros(len(alphabet) + 1, dtype=tokens.dtype)
        final[[self._by_code_point[ord(symbol)] for symbol in alphabet]] = np.arange(1, len(alphabet) + 1)
        for first in range(0, len(tokens), _CHUNK):
            tokens[first : first + _CHUNK] = final[tokens[first : first + _CHUNK]]
        return Vocabulary(alphabet)


class _Words:
    """Numbers words."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    @property
    def count(self) -> int:
        return len(self._ids)

    def encode(self, items: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], int]:
        ids = array("I")
        longest = 0
        for item in items:
            words = item.split()
            longest = max(longest, len(words))
            ids.extend([self._ids.setdefault(word, len(self._ids) + 1) for word in words])
            ids.append(BOUNDARY)
        return np.frombuffer(ids, dtype=np.uint32), longest

    def finish(self, tokens: Tokens) -> Vocabulary:  # noqa: ARG002 - words keep their ids
        return WordVocabulary([*self._ids, UNKNOWN])


_ENCODERS: Final[dict[SymbolKind, type[_Encoder]]] = {"characters": _Characters, "words": _Words}


def read_corpus(
    path: Path, columns: ColumnRequest | Columns | None = None, symbols: SymbolKind = "characters"
) -> Corpus:
    """Read a UTF-8 text file, one item per line, or a table with one item per row.

    Byte-order marks, CRLF line ends, blank lines and spaces around an item are accepted. Invisible characters are left
    out, and text is normalised to NFC. docs/lists.md has the full table, and says which formats are read how.

    Args:
        path: the file.
        columns: what to read of a table; by default, its only text column. What a record says, reads the same again.
        symbols: what items are split into.

    Raises:
        CorpusError: if the file is missing, empty or not UTF-8, has an item of more than 4,096 characters, more than
            65,535 different ones, or a character that no item may hold; if its lines look like a table and no
            columns are given; if a column does not exist, or a value in it is missing or wrong.
        MissingExtraError: if the file is Parquet and pyarrow is missing.

    Warns:
        UserWarning: once, with the number of characters left out, if there were any.
    """
    source = Source(path, columns)
    encoder = _ENCODERS[symbols]()
    tokens = array("B")
    names = max_length = 0
    for items in source.batches():
        try:
            ids, longest = encoder.encode(items)
        except CorpusError as error:
            raise CorpusError(f"{path}: {error}", path=path) from error
        tokens = widened(tokens, encoder.count)
        tokens.frombytes(ids.astype(tokens.typecode).tobytes())
        names += len(items)
        max_length = max(max_length, longest)
    if not names:
        raise CorpusError(f"{path}: the file holds no items; it needs one a {source.unit}", path=path)
    final: Tokens = np.frombuffer(tokens, dtype=tokens.typecode)
    vocabulary = encoder.finish(final)

    fingerprints = fingerprint(final)
    fingerprints.sort()
    distinct = 1 + int(np.count_nonzero(fingerprints[1:] != fingerprints[:-1]))
    del fingerprints
    record = CorpusRecord(
        file=printable_name(path),
        sha256=source.digest.hexdigest(),
        names=names,
        distinct=distinct,
        symbols=len(final) - names,
        columns=source.columns,
    )
    return Corpus(
        final,
        max_length,
        vocabulary,
        record,
        *(() if source.labels is None else source.labels.finish()),
    )
