"""Read a text file, one item per line, into a compact token array, and split it.

A symbol takes one byte, or two if the alphabet has more than 255. Context windows are cut from the tokens when needed
(:mod:`sequentia.windows`), so memory stays near the size of the text for any context length.
"""

import hashlib
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia._files import printable_name
from sequentia.config import MAX_LENGTH, MAX_SYMBOLS, CorpusRecord, SplitName
from sequentia.errors import CorpusError
from sequentia.text import RemovedCharacters, TextError, clean, read_lines
from sequentia.vocabulary import BOUNDARY, Vocabulary

Tokens = NDArray[np.unsignedinteger]

_LECTURE_SEED: Final = 42
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
    """

    tokens: Tokens
    max_length: int
    vocabulary: Vocabulary
    record: CorpusRecord

    def __len__(self) -> int:
        return self.record.names

    @property
    def offsets(self) -> Tokens:
        """Where each name starts in ``tokens``, and the end of the last: uint32 or uint64 [names + 1]."""
        offsets: Tokens = np.zeros(len(self) + 1, dtype=np.uint32 if len(self.tokens) < 1 << 32 else np.uint64)
        place = 1
        for ends in _ends(self.tokens):
            offsets[place : place + len(ends)] = ends + 1
            place += len(ends)
        return offsets


@dataclass(frozen=True)
class Split:
    """The parts of a corpus, each a token array like that of the corpus, in the order of the split."""

    train: Tokens
    dev: Tokens
    test: Tokens


def read_corpus(path: Path) -> Corpus:
    """Read a UTF-8 text file, one item per line.

    Byte-order marks, CRLF line ends, blank lines and spaces around an item are accepted. Invisible characters are left
    out, and text is normalised to NFC. docs/lists.md has the full table.

    Raises:
        CorpusError: if the file is missing, empty or not UTF-8, has an item of more than 4,096 symbols, more than
            65,535 different symbols, a character that no item may hold, or only one distinct item.

    Warns:
        UserWarning: once, with the number of characters left out, if there were any.
    """
    digest = hashlib.sha256()
    symbols: list[str] = []
    known = {"\n"}
    by_appearance = np.zeros(_CODE_POINTS, dtype=np.uint32)  # code point → id; the line feed becomes the boundary
    tokens = array("B")
    names = max_length = 0
    for items in _batches(path, digest):
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
        tokens = _widened(tokens, len(symbols))
        tokens.frombytes(ids.astype(tokens.typecode).tobytes())
        names += len(items)
        max_length = max(max_length, *map(len, items))
    if not names:
        raise CorpusError(f"{path}: the file holds no items; it needs one a line", path=path)

    alphabet = sorted(symbols)
    by_code_point: Tokens = np.zeros(len(symbols) + 1, dtype=tokens.typecode)
    by_code_point[[by_appearance[ord(symbol)] for symbol in alphabet]] = np.arange(1, len(symbols) + 1)
    final: Tokens = np.frombuffer(tokens, dtype=tokens.typecode)
    for first in range(0, len(final), _CHUNK):
        final[first : first + _CHUNK] = by_code_point[final[first : first + _CHUNK]]

    fingerprints = fingerprint(final)
    fingerprints.sort()
    distinct = 1 + int(np.count_nonzero(fingerprints[1:] != fingerprints[:-1]))
    if distinct == 1:
        raise CorpusError(f"{path}: every line holds the same item; there is nothing to learn", path=path)
    record = CorpusRecord(
        file=printable_name(path), sha256=digest.hexdigest(), names=names, distinct=distinct, symbols=len(final) - names
    )
    return Corpus(final, max_length, Vocabulary(alphabet), record)


def _widened(tokens: "array[int]", largest: int) -> "array[int]":
    """Return the tokens in the narrowest type that holds the largest id."""
    typecode = np.min_scalar_type(largest).char
    if np.dtype(typecode).itemsize <= tokens.itemsize:
        return tokens
    wider = array(typecode)
    wider.frombytes(np.frombuffer(tokens, dtype=tokens.typecode).astype(typecode).tobytes())
    return wider


def _batches(path: Path, digest: "hashlib._Hash") -> Iterator[list[str]]:
    """Yield lists of items: stripped, NFC, none empty."""
    items: list[str] = []
    for item in _items(path, digest):
        items.append(item)
        if len(items) == _CHUNK:
            yield items
            items = []
    if items:
        yield items


def _items(path: Path, digest: "hashlib._Hash") -> Iterator[str]:
    try:
        file = path.open("rb")
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise CorpusError(f"{path}: cannot read the corpus: {reason}", path=path) from error
    removed = RemovedCharacters()
    with file:
        try:
            for number, text in read_lines(file, digest.update):
                item = clean(text, number, removed)
                if len(item) > MAX_LENGTH:
                    raise TextError(f"line {number} has more than {MAX_LENGTH} symbols", number)
                if item:
                    yield item
        except TextError as error:
            raise CorpusError(
                f"{path}: {error}; the file needs to be text with one item a line",
                path=path,
                line=error.line,
                byte=error.byte,
            ) from error
    removed.warn(path)


def fingerprint(tokens: Tokens) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each name, uint64 [names].

    Two different names of ten million share one with a probability of 3e-6.
    """
    return np.fromiter(
        (int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") for name in _names(tokens)),
        dtype=np.uint64,
        count=count_names(tokens),
    )


def count_names(tokens: Tokens) -> int:
    """Return the number of names in a token array."""
    return sum(map(len, _ends(tokens)))


def shards(tokens: Tokens, count: int) -> list[int]:
    """Return the offsets that cut a token array into about equal parts of whole names: [count + 1]."""
    cuts = [0]
    for number in range(1, count):
        last = max(len(tokens) * number // count, cuts[-1], 1) - 1
        cuts.append(last + int(np.argmax(tokens[last : last + MAX_LENGTH + 1] == BOUNDARY)) + 1)
    return [*cuts, len(tokens)]


def texts(tokens: Tokens, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the names of a token array as text."""
    symbols = np.array(["\n", *vocabulary.symbols])
    start = 0
    for ends in _ends(tokens):
        if len(ends):
            yield from "".join(symbols[tokens[start : ends[-1]]]).split("\n")
            start = int(ends[-1]) + 1


def _names(tokens: Tokens) -> Iterator[memoryview]:
    view = np.ascontiguousarray(tokens).data
    start = 0
    for ends in _ends(tokens):
        for end in ends.tolist():
            yield view[start:end]
            start = end + 1


def _ends(tokens: Tokens) -> Iterator[NDArray[np.intp]]:
    """Yield the indices of the boundaries, chunk by chunk."""
    for first in range(0, len(tokens), _CHUNK):
        yield first + np.flatnonzero(tokens[first : first + _CHUNK] == BOUNDARY)


def split(corpus: Corpus, name: SplitName, first_names: int = 0) -> Split:
    """Split a corpus into training, development and test parts.

    ``lecture`` shuffles the names as Python's ``random.seed(42)`` does and cuts at 80 % and 90 %, the split that
    published losses use; ``dedup`` does so after dropping repeated names; ``all`` trains on everything, in file order.

    Args:
        corpus: the names.
        name: of the split.
        first_names: keep only this many names in the training part, the first; 0 for all.

    Raises:
        CorpusError: if the training part would be empty.
    """
    order: Tokens = np.arange(len(corpus), dtype=np.uint32 if len(corpus) < 1 << 32 else np.uint64)
    if name == "dedup":
        order = order[_first_occurrences(corpus)]
    if name == "all":
        cuts = (len(order), len(order))
    else:
        random.Random(_LECTURE_SEED).shuffle(order.data)  # type: ignore[arg-type]  # noqa: S311 - the published split
        cuts = (int(0.8 * len(order)), int(0.9 * len(order)))
    if not cuts[0]:
        raise CorpusError(
            f"the {name} split of {len(order)} distinct items leaves none to train on; "
            "use the split 'all', or a longer list"
        )
    starts, lengths = _places(corpus, order)
    begins, ends = (0, *cuts), (min(cuts[0], first_names) if first_names else cuts[0], cuts[1], len(order))
    parts = zip(begins, ends, strict=True)
    return Split(*(_gather(corpus.tokens, starts[a:b], lengths[a:b]) for a, b in parts))


def _first_occurrences(corpus: Corpus) -> NDArray[np.bool_]:
    """Return which names occur for the first time, bool [names]. Sorts a sixteenth of them at a time to save memory."""
    fingerprints = fingerprint(corpus.tokens)
    buckets = np.right_shift(fingerprints, 60, out=np.empty(len(corpus), dtype=np.uint8), casting="unsafe")
    first = np.zeros(len(corpus), dtype=bool)
    for bucket in range(16):
        names = np.flatnonzero(buckets == bucket)
        first[names[np.unique(fingerprints[names], return_index=True)[1]]] = True
    return first


def _places(corpus: Corpus, order: Tokens) -> tuple[Tokens, Tokens]:
    """Return the starts and lengths of some names. The starts overwrite ``order`` to save memory."""
    offsets = corpus.offsets
    lengths: Tokens = np.empty(len(order), dtype=np.min_scalar_type(corpus.max_length))
    for first in range(0, len(order), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        starts = offsets[order[chunk]]
        lengths[chunk] = offsets[order[chunk] + 1] - starts - 1
        order[chunk] = starts
    return order, lengths


def _gather(tokens: Tokens, starts: Tokens, lengths: Tokens) -> Tokens:
    """Return the names at some places, concatenated, each with its boundary."""
    gathered: Tokens = np.empty(int(lengths.sum(dtype=np.int64)) + len(lengths), dtype=tokens.dtype)
    end = 0
    for first in range(0, len(starts), _CHUNK):
        sizes = lengths[first : first + _CHUNK].astype(np.int64) + 1
        ends = np.cumsum(sizes)
        shift = starts[first : first + _CHUNK].astype(np.int64) - (ends - sizes)
        total = int(ends[-1])
        gathered[end : end + total] = tokens[np.repeat(shift, sizes) + np.arange(total)]
        end += total
    return gathered
