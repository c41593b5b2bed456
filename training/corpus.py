"""Read a list, a text file with one item per line or a table, into a compact token array.

A symbol takes one byte, or two if the alphabet has more than 255. Context windows are cut from the tokens when needed
(:mod:`sequentia.windows`), so memory stays near the size of the text for any context length.
"""

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia._files import printable_name
from sequentia.columns import ColumnRequest
from sequentia.config import MAX_SYMBOLS, Columns, CorpusRecord
from sequentia.errors import CorpusError
from sequentia.vocabulary import Vocabulary

from .labels import widened
from .parts import Tokens, ends_of, fingerprint
from .source import Source

_CHUNK: Final = 1 << 14
_CODE_POINTS: Final = 0x110000


@dataclass(frozen=True)
class Corpus:
    """The names of a file, in file order.

    Attributes:
        tokens: uint8 or uint16 [tokens], each name followed by the boundary.
        max_length: symbols in the longest name.
        vocabulary: the symbols of the text, in order of code point.
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


def read_corpus(path: Path, columns: ColumnRequest | Columns | None = None) -> Corpus:
    """Read a UTF-8 text file, one item per line, or a table with one item per row.

    Byte-order marks, CRLF line ends, blank lines and spaces around an item are accepted. Invisible characters are left
    out, and text is normalised to NFC. docs/lists.md has the full table, and says which formats are read how.

    Args:
        path: the file.
        columns: what to read of a table; by default, its only text column. What a record says, reads the same again.

    Raises:
        CorpusError: if the file is missing, empty or not UTF-8, has an item of more than 4,096 symbols, more than
            65,535 different symbols, a character that no item may hold, or only one distinct item; if its lines look
            like a table and no columns are given; if a column does not exist, or a value in it is missing or wrong.
        MissingExtraError: if the file is Parquet and pyarrow is missing.

    Warns:
        UserWarning: once, with the number of characters left out, if there were any.
    """
    source = Source(path, columns)
    symbols: list[str] = []
    known = {"\n"}
    by_appearance = np.zeros(_CODE_POINTS, dtype=np.uint32)  # code point → id; the line feed becomes the boundary
    tokens = array("B")
    names = max_length = 0
    for items in source.batches():
        text = "\n".join(items) + "\n"
        for symbol in set(text) - known:
            known.add(symbol)
            symbols.append(symbol)
            by_appearance[ord(symbol)] = len(symbols)
        if len(symbols) > MAX_SYMBOLS:
            raise CorpusError(
                f"{path}: the file has more than {MAX_SYMBOLS:,} different symbols, and a model's alphabet holds no "
                "more; is it text with one item a line?",
                path=path,
            )
        ids = by_appearance[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")]
        tokens = widened(tokens, len(symbols))
        tokens.frombytes(ids.astype(tokens.typecode).tobytes())
        names += len(items)
        max_length = max(max_length, *map(len, items))
    if not names:
        raise CorpusError(f"{path}: the file holds no items; it needs one a {source.unit}", path=path)

    alphabet = sorted(symbols)
    by_code_point: Tokens = np.zeros(len(symbols) + 1, dtype=tokens.typecode)
    by_code_point[[by_appearance[ord(symbol)] for symbol in alphabet]] = np.arange(1, len(symbols) + 1)
    final: Tokens = np.frombuffer(tokens, dtype=tokens.typecode)
    for first in range(0, len(final), _CHUNK):
        final[first : first + _CHUNK] = by_code_point[final[first : first + _CHUNK]]

    fingerprints = fingerprint(final)
    fingerprints.sort()
    distinct = 1 + int(np.count_nonzero(fingerprints[1:] != fingerprints[:-1]))
    del fingerprints
    if distinct == 1:
        raise CorpusError(f"{path}: every {source.unit} holds the same item; there is nothing to learn", path=path)
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
        Vocabulary(alphabet),
        record,
        *(() if source.labels is None else source.labels.finish()),
    )
