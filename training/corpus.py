"""A text file, one item a line, as one compact token array; and its splits.

A symbol takes one byte (two, if the alphabet has more than 255) and a name's length one or two more. Context windows
are cut from the tokens on the fly (:mod:`sequentia.windows`), so memory stays near the size of the text however long
the context is.
"""

import hashlib
import random
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.artifact import MAX_LENGTH, CorpusRecord, SplitName
from sequentia.errors import CorpusError
from sequentia.vocabulary import BOUNDARY, Vocabulary

Tokens = NDArray[np.unsignedinteger]

_LECTURE_SEED: Final = 42
_CHUNK: Final = 1 << 14
_MAX_LINE_BYTES: Final = 1 << 16
_CODE_POINTS: Final = 0x110000


@dataclass(frozen=True)
class Corpus:
    """The names of a file, in file order.

    Attributes:
        tokens: uint8, uint16 or uint32 [tokens], each name followed by the boundary.
        lengths: uint8 or uint16 [names], symbols of each name.
        vocabulary: the symbols of the text, ordered by code point.
        record: the file's name, hash and counts.
    """

    tokens: Tokens
    lengths: Tokens
    vocabulary: Vocabulary
    record: CorpusRecord

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def offsets(self) -> Tokens:
        """Where each name starts in ``tokens``, and the end of the last: uint32 or uint64 [names + 1]."""
        dtype = np.uint32 if len(self.tokens) < 1 << 32 else np.uint64
        offsets: Tokens = np.zeros(len(self.lengths) + 1, dtype=dtype)
        np.add(self.lengths, 1, out=offsets[1:], dtype=offsets.dtype)
        np.cumsum(offsets, out=offsets)
        return offsets

    @property
    def max_length(self) -> int:
        """Symbols of the longest name."""
        return int(self.lengths.max())


@dataclass(frozen=True)
class Split:
    """The parts of a corpus, each a token array like the corpus's own; the order of names is the split's."""

    train: Tokens
    dev: Tokens
    test: Tokens


def read_corpus(path: Path) -> Corpus:
    """Read a UTF-8 text file, one item a line.

    A byte-order mark, CRLF line ends, blank lines and spaces around an item are accepted; text becomes NFC.

    Raises:
        CorpusError: if the file is missing, empty or not UTF-8, has an item of more than 4,096 symbols, or has only
            one distinct item.
    """
    digest = hashlib.sha256()
    symbols: list[str] = []
    provisional = np.zeros(_CODE_POINTS, dtype=np.uint32)  # code point → id by first appearance; line feed → boundary
    known = {"\n"}
    blocks: list[Tokens] = []
    lengths: list[Tokens] = []
    for items in _batches(path, digest):
        text = "\n".join(items) + "\n"
        for symbol in set(text) - known:
            known.add(symbol)
            symbols.append(symbol)
            provisional[ord(symbol)] = len(symbols)
        code_points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        blocks.append(provisional[code_points].astype(np.min_scalar_type(len(symbols))))
        sizes = np.fromiter(map(len, items), dtype=np.uint16, count=len(items))
        lengths.append(sizes.astype(np.min_scalar_type(sizes.max())))
    if not blocks:
        raise CorpusError(f"{path}: the file holds no items; it needs one a line", path=path)

    alphabet = sorted(symbols)
    final: Tokens = np.zeros(len(symbols) + 1, dtype=np.min_scalar_type(len(symbols)))
    for i, symbol in enumerate(alphabet, start=1):
        final[provisional[ord(symbol)]] = i
    tokens: Tokens = np.empty(sum(map(len, blocks)), dtype=final.dtype)
    end = len(tokens)
    while blocks:  # from the back, so that each block is freed once it is copied
        block = blocks.pop()
        tokens[end - len(block) : end] = final[block]
        end -= len(block)

    fingerprints = fingerprint(tokens)
    fingerprints.sort()
    distinct = 1 + int(np.count_nonzero(fingerprints[1:] != fingerprints[:-1]))
    if distinct == 1:
        raise CorpusError(f"{path}: every line holds the same item; there is nothing to learn", path=path)
    record = CorpusRecord(
        file=path.name,
        sha256=digest.hexdigest(),
        names=len(fingerprints),
        distinct=distinct,
        symbols=len(tokens) - len(fingerprints),
    )
    return Corpus(tokens, np.concatenate(lengths), Vocabulary(alphabet), record)


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
    with file:
        start = number = 0
        while line := file.readline(_MAX_LINE_BYTES):
            number += 1
            digest.update(line)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                byte = start + error.start
                raise CorpusError(
                    f"{path}: byte {byte} (line {number}) is not UTF-8: {error.reason}; save the file as UTF-8",
                    path=path,
                    line=number,
                    byte=byte,
                ) from error
            start += len(line)
            item = unicodedata.normalize("NFC", (text.removeprefix("\ufeff") if number == 1 else text).strip())
            if len(item) > MAX_LENGTH or len(line) == _MAX_LINE_BYTES:
                raise CorpusError(
                    f"{path}: line {number} has more than {MAX_LENGTH} symbols; the file needs one item a line",
                    path=path,
                    line=number,
                )
            if "\0" in item or "\r" in item:
                raise CorpusError(
                    f"{path}: line {number} holds {'NUL' if chr(0) in item else 'a carriage return inside'}; "
                    "the file needs to be text with one item a line",
                    path=path,
                    line=number,
                )
            if item:
                yield item


def fingerprint(tokens: Tokens) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each name, uint64 [names].

    Two different names of ten million share one with a probability of 3e-6.
    """
    return np.fromiter(
        (int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") for name in _names(tokens)),
        dtype=np.uint64,
    )


def _names(tokens: Tokens) -> Iterator[memoryview]:
    view = memoryview(np.ascontiguousarray(tokens).data)
    start = 0
    for first in range(0, len(tokens), _CHUNK):
        for end in np.flatnonzero(tokens[first : first + _CHUNK] == BOUNDARY).tolist():
            yield view[start : first + end]
            start = first + end + 1


def split(corpus: Corpus, name: SplitName) -> Split:
    """Split a corpus into training, development and test parts.

    ``lecture`` shuffles the names as Python's ``random.seed(42)`` does and cuts at 80 % and 90 %, the split that
    published losses use; ``dedup`` does so after dropping repeated names; ``all`` trains on everything, in file order.

    Raises:
        CorpusError: if the training part would be empty.
    """
    order = array("I" if len(corpus) < 1 << 32 else "Q", range(len(corpus)))
    if name == "dedup":
        _, firsts = np.unique(fingerprint(corpus.tokens), return_index=True)
        order = array(order.typecode, np.sort(firsts).tolist())
    if name == "all":
        cuts = (len(order), len(order))
    else:
        random.Random(_LECTURE_SEED).shuffle(order)  # noqa: S311 - the published split
        cuts = (int(0.8 * len(order)), int(0.9 * len(order)))
    if not cuts[0]:
        raise CorpusError(
            f"the {name} split of {len(order)} distinct items leaves none to train on; "
            "use the split 'all', or a longer list"
        )
    names = np.frombuffer(order, dtype=np.dtype(order.typecode))
    lengths = corpus.lengths[names]
    starts = names  # overwritten in place: at this point memory is what limits the size of a corpus
    offsets = corpus.offsets
    for first in range(0, len(names), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        starts[chunk] = offsets[names[chunk]]
    del offsets
    parts = zip((0, *cuts), (*cuts, len(names)), strict=True)
    return Split(*(_gather(corpus.tokens, starts[a:b], lengths[a:b]) for a, b in parts))


def _gather(tokens: Tokens, starts: Tokens, lengths: Tokens) -> Tokens:
    """Return the names at some places, one behind the other, each with its boundary."""
    gathered = np.empty(int(lengths.sum(dtype=np.int64)) + len(lengths), dtype=tokens.dtype)
    end = 0
    for first in range(0, len(starts), _CHUNK):
        sizes = lengths[first : first + _CHUNK].astype(np.int64) + 1
        ends = np.cumsum(sizes)
        shift = starts[first : first + _CHUNK].astype(np.int64) - (ends - sizes)
        total = int(ends[-1])
        gathered[end : end + total] = tokens[np.repeat(shift, sizes) + np.arange(total)]
        end += total
    return gathered
