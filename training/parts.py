"""The parts of a split: names as one token array, with the conditions and the weight of each."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from sequentia.config import MAX_LENGTH, SplitName
from sequentia.errors import CorpusError
from sequentia.vocabulary import BOUNDARY, Vocabulary

if TYPE_CHECKING:
    from .corpus import Corpus

Tokens = NDArray[np.unsignedinteger]

PARTS: Final = ("train", "dev", "test")
_LECTURE_SEED: Final = 42
_CHUNK: Final = 1 << 14
_MOST_PLACES: Final = 1 << 53


@dataclass(frozen=True, eq=False)
class Part:
    """Names, in the order of the split.

    A *place* is a token of the text in which each name stands as often as it counts. Without weights, places are
    positions in ``tokens``. Training draws places uniformly.

    Attributes:
        tokens: uint8 or uint16 [tokens], each name followed by the boundary.
        conditions: the id of each name's value for each condition, 0 where it is not said, unsigned [names, columns].
        counts: how often each name counts, in steps of ``1 / scale``, unsigned [names]; None if each counts once.
        scale: 1 if the weights are whole numbers.
        texts: fingerprints of the names as the list spells them, uint64 [names]; None if the tokens spell them.
    """

    tokens: Tokens
    conditions: NDArray[np.unsignedinteger]
    counts: NDArray[np.unsignedinteger] | None = None
    scale: int = 1
    texts: NDArray[np.uint64] | None = None

    @classmethod
    def of(cls, tokens: Tokens) -> Self:
        """Return names without conditions that count once each."""
        return cls(tokens, np.zeros((count_names(tokens), 0), dtype=np.uint8))

    @property
    def windows(self) -> int:
        """Number of predictions: one for each symbol and each boundary."""
        return len(self.tokens)

    @property
    def names(self) -> int:
        """Number of names."""
        return len(self.conditions)

    @cached_property
    def ends(self) -> NDArray[np.unsignedinteger]:
        """Positions of the boundaries, uint32 or uint64 [names]."""
        ends: Tokens = np.empty(self.names, dtype=np.uint32 if len(self.tokens) < 1 << 32 else np.uint64)
        done = 0
        for found in ends_of(self.tokens):
            ends[done : done + len(found)] = found
            done += len(found)
        return ends

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """The first place behind each name, int64 [names]."""
        assert self.counts is not None  # noqa: S101 - only called for names with weights
        places = self.lengths
        places *= self.counts.astype(np.int64)
        return np.cumsum(places, out=places)

    @cached_property
    def _counted(self) -> NDArray[np.int64]:
        """How often the names count, summed up to each, int64 [names]."""
        assert self.counts is not None  # noqa: S101 - only called for names with weights
        return np.cumsum(self.counts, dtype=np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each name, its boundary included, int64 [names]."""
        lengths = self.ends.astype(np.int64)
        lengths[1:] = np.diff(lengths)
        lengths[:1] += 1
        return lengths

    @property
    def fingerprints(self) -> NDArray[np.uint64]:
        """A 64-bit hash of each name's text, uint64 [names]; see :func:`fingerprint`."""
        return fingerprint(self.tokens) if self.texts is None else self.texts

    @property
    def size(self) -> int:
        """Number of places."""
        if self.counts is None:
            return len(self.tokens)
        return int(self._places[-1]) if self.names else 0

    def positions(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions in ``tokens`` of some places, int64 [n]."""
        if self.counts is None:
            return places
        names = np.searchsorted(self._places, places, side="right")
        starts = np.where(names > 0, self.ends[names - 1].astype(np.int64) + 1, 0)
        before = np.where(names > 0, self._places[names - 1], 0)
        positions: NDArray[np.int64] = starts + (places - before) % (self.ends[names].astype(np.int64) + 1 - starts)
        return positions

    def names_at(self, positions: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the index of the name at each position in ``tokens``, [n]."""
        return np.searchsorted(self.ends, positions)

    def names_of(self, places: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the index of a name for each place, [n]: long and short names alike, each as often as it counts."""
        total = self.names if self.counts is None else int(self._counted[-1])
        chosen = np.array([place * total // self.size for place in places.tolist()], dtype=np.int64)
        return chosen if self.counts is None else np.searchsorted(self._counted, chosen, side="right")

    def conditions_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the conditions of the name at each position in ``tokens``, int64 [n, columns]."""
        if not self.conditions.shape[1]:
            return np.zeros((len(positions), 0), dtype=np.int64)
        return self.conditions[self.names_at(positions)].astype(np.int64)

    def weights_at(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how often the name at each position in ``tokens`` counts, float64 [n]."""
        if self.counts is None:
            return np.ones(len(positions))
        return self.counts[self.names_at(positions)] / self.scale

    def without_conditions(self) -> "Part":
        """Return the same names, of which no condition is said."""
        return replace(self, conditions=np.zeros_like(self.conditions))

    def select(self, names: NDArray[np.intp]) -> "Part":
        """Return some names, by their indices."""
        lengths = self.lengths[names]
        starts = self.ends[names].astype(np.int64) + 1 - lengths
        tokens = _gather(self.tokens, starts.astype(np.uint64), (lengths - 1).astype(np.uint64))
        counts, texts = (None if each is None else each[names] for each in (self.counts, self.texts))
        return Part(tokens, self.conditions[names], counts, self.scale, texts)

    def spread(self, most: int) -> "Part":
        """Return evenly spaced names, of about ``most`` windows; all of them if they have no more."""
        if self.windows <= most:
            return self
        names = max(1, self.names * most // self.windows)
        return self.select(np.arange(names) * self.names // names)

    def first(self, names: int) -> "Part":
        """Return the first names."""
        return self._slice(0, min(names, self.names))

    def _slice(self, first: int, last: int) -> "Part":
        begin, end = (int(self.ends[name - 1]) + 1 if name else 0 for name in (first, last))
        counts, texts = (None if each is None else each[first:last] for each in (self.counts, self.texts))
        return Part(self.tokens[begin:end], self.conditions[first:last], counts, self.scale, texts)

    def shards(self, count: int) -> "list[Part]":
        """Return parts of whole names of about as many tokens each."""
        cuts = [0]
        for number in range(1, count):
            last = max(len(self.tokens) * number // count, cuts[-1], 1) - 1
            cuts.append(last + int(np.argmax(self.tokens[last : last + MAX_LENGTH + 1] == BOUNDARY)) + 1)
        names = [int(np.searchsorted(self.ends, cut)) for cut in cuts]
        return [self._slice(first, last) for first, last in pairwise([*names, self.names])]


@dataclass(frozen=True)
class Split:
    """The parts of a corpus."""

    train: Part
    dev: Part
    test: Part


def fingerprint(tokens: Tokens) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each name, uint64 [names].

    Two different names of ten million share one with a probability of 3e-6.
    """
    return np.fromiter(
        (int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") for name in _names(tokens)),
        dtype=np.uint64,
        count=count_names(tokens),
    )


def sorted_fingerprints(part: Part) -> NDArray[np.uint64]:
    """Return the fingerprints of a part's names, sorted, uint64 [names]."""
    return np.sort(part.fingerprints)


def among(fingerprints: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which fingerprints are among ``known``, which is sorted; it may be large and is not copied."""
    if not len(known):
        return np.zeros(len(fingerprints), dtype=bool)
    nearest = np.searchsorted(known, fingerprints).clip(max=len(known) - 1)
    found: NDArray[np.bool_] = known[nearest] == fingerprints
    return found


def count_names(tokens: Tokens) -> int:
    """Return the number of names in a token array."""
    return sum(map(len, ends_of(tokens)))


def texts(tokens: Tokens, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the names of a token array as text."""
    symbols, separator = np.array(["\n", *vocabulary.symbols]), vocabulary.separator
    start = 0
    for ends in ends_of(tokens):
        if len(ends):
            for text in separator.join(symbols[tokens[start : ends[-1]]]).split("\n"):
                yield text.strip(separator)
            start = int(ends[-1]) + 1


def _names(tokens: Tokens) -> Iterator[memoryview]:
    view = np.ascontiguousarray(tokens).data
    start = 0
    for ends in ends_of(tokens):
        for end in ends.tolist():
            yield view[start:end]
            start = end + 1


def ends_of(tokens: Tokens) -> Iterator[NDArray[np.intp]]:
    """Yield the indices of the boundaries, chunk by chunk."""
    for first in range(0, len(tokens), _CHUNK):
        yield first + np.flatnonzero(tokens[first : first + _CHUNK] == BOUNDARY)


def split(corpus: "Corpus", name: SplitName, first_names: int = 0, weight_power: float = 1.0) -> Split:
    """Split a corpus into training, development and test parts.

    ``lecture`` shuffles the names as Python's ``random.seed(42)`` does and cuts at 80 % and 90 %, the split that
    published losses use. ``dedup`` does so with the different names, so that no name is in two parts; names that are
    repeated with the same conditions are dropped, and their weights added. ``all`` trains on everything, in file order.
    ``column`` is what the list itself says.

    Args:
        corpus: the names.
        name: of the split.
        first_names: keep only this many names in the training part, the first; 0 for all.
        weight_power: a name counts ``weight ** weight_power`` times.

    Raises:
        CorpusError: if the training part would be empty, or the list does not say which part its names are in.
    """
    order: Tokens = np.arange(len(corpus), dtype=np.uint32 if len(corpus) < 1 << 32 else np.uint64)
    weights = corpus.weights
    if name == "column":
        if corpus.parts is None:
            raise CorpusError(
                "the split 'column' needs a column of the list that says which part a row is in: --split-column"
            )
        order = np.argsort(corpus.parts, kind="stable").astype(order.dtype)
        cuts = tuple(np.searchsorted(corpus.parts[order], [1, 2]).tolist())
    elif name == "all":
        cuts = (len(order), len(order))
    elif name == "dedup":
        order, cuts, weights = _deduplicated(corpus)
    else:
        random.Random(_LECTURE_SEED).shuffle(order.data)  # type: ignore[arg-type]  # noqa: S311 - the published split
        cuts = _cuts(len(order))
    if not cuts[0]:
        raise CorpusError(
            f"the {name} split of {len(order)} distinct items leaves none to train on; "
            "use the split 'all', or a longer list"
        )
    conditions = np.zeros((len(order), 0), dtype=np.uint8)
    if corpus.conditions is not None:
        conditions = corpus.conditions[order]
    counts, scale = _counts(weights, order, weight_power, len(corpus.tokens))
    starts, lengths = _gathered_places(corpus, order)
    begins, ends = (0, *cuts), (min(cuts[0], first_names) if first_names else cuts[0], cuts[1], len(order))
    parts = [
        Part(
            _gather(corpus.tokens, starts[a:b], lengths[a:b]),
            conditions[a:b],
            None if counts is None else counts[a:b],
            scale,
        )
        for a, b in zip(begins, ends, strict=True)
    ]
    if counts is not None and not counts[: ends[0]].any():
        raise CorpusError("all names of the training part have the weight 0")
    return Split(*parts)


def _cuts(names: int) -> tuple[int, int]:
    return int(0.8 * names), int(0.9 * names)


def _counts(
    weights: NDArray[np.float64] | None, order: Tokens, power: float, tokens: int
) -> tuple[NDArray[np.unsignedinteger] | None, int]:
    """Return how often names count as whole numbers, and how many of these make 1; None if each counts once.

    Raises:
        CorpusError: if the weights are too large.
    """
    if weights is None or power == 0:
        return None, 1
    counts = weights[order]
    if power != 1:
        np.power(counts, power, out=counts)
    most = float(counts.max(initial=0.0)) * tokens
    if not most < _MOST_PLACES:
        raise CorpusError(
            f"weights of up to {weights.max():g} are too large: {len(order):,} names would count more often than "
            f"{_MOST_PLACES:,} symbols; use smaller ones, or a lower weight_power"
        )
    scale = 1
    if (counts != np.floor(counts)).any():
        while most * 2 < _MOST_PLACES:
            most, scale = most * 2, scale * 2
        np.rint(counts * scale, out=counts)
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0.0)))), scale


def _deduplicated(corpus: "Corpus") -> tuple[Tokens, tuple[int, int], NDArray[np.float64] | None]:
    """Return the split ``dedup``: the order of the rows, where to cut it, and the weights of the rows."""
    fingerprints = fingerprint(corpus.tokens)
    first = _first_occurrences(fingerprints)
    dtype = np.uint32 if len(corpus) < 1 << 32 else np.uint64
    order: Tokens = np.flatnonzero(first).astype(dtype)
    random.Random(_LECTURE_SEED).shuffle(order.data)  # type: ignore[arg-type]  # noqa: S311 - the published split
    cuts = _cuts(len(order))
    if corpus.conditions is None and corpus.weights is None:
        return order, cuts, None
    # All rows of a name go where its first one goes; rows with the same conditions become one.
    ranks = np.empty(len(order), dtype=np.int64)
    by_hash = np.argsort(fingerprints[order])
    ranks = by_hash[np.searchsorted(fingerprints[order][by_hash], fingerprints)]
    conditions = np.zeros((len(corpus), 0), np.uint8) if corpus.conditions is None else corpus.conditions
    keys = np.column_stack([ranks, conditions.astype(np.int64)])
    rows, places, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    weights = corpus.weights
    if weights is not None:
        weights = np.zeros(len(corpus))
        weights[places] = np.bincount(inverse.ravel(), weights=corpus.weights)
    return places.astype(dtype), tuple(np.searchsorted(rows[:, 0], cuts).tolist()), weights


def _first_occurrences(fingerprints: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which names occur for the first time, bool [names]. Sorts a sixteenth of them at a time to save memory."""
    buckets = np.right_shift(fingerprints, 60, out=np.empty(len(fingerprints), dtype=np.uint8), casting="unsafe")
    first = np.zeros(len(fingerprints), dtype=bool)
    for bucket in range(16):
        names = np.flatnonzero(buckets == bucket)
        first[names[np.unique(fingerprints[names], return_index=True)[1]]] = True
    return first


def _gathered_places(corpus: "Corpus", order: Tokens) -> tuple[Tokens, Tokens]:
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
