"""Models that count: pairs of symbols, and n-grams with interpolated Kneser-Ney smoothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from sequentia.errors import TrainingError
from sequentia.windows import windows

from .corpus import Tokens

_CHUNK: Final = 1 << 19  # symbols of windows held at once
_MAX_TABLE_BYTES: Final = 1 << 29

Ids = NDArray[np.int64]


def count_bigrams(tokens: Tokens, ids: int) -> Ids:
    """Return how often each symbol follows each other one, int64 [ids, ids], the earlier symbol first."""
    table = np.zeros((ids, ids), dtype=np.int64)
    pairs, counts = count_ngrams(tokens, 2)
    table[pairs[:, 0], pairs[:, 1]] = counts
    return table


def count_ngrams(tokens: Tokens, order: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the distinct n-grams of a text, and how often each occurs.

    An n-gram is a window: ``order - 1`` symbols of context, left-padded with the boundary, and the symbol that follows.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        order: symbols in an n-gram.

    Returns:
        int32 [n, order], in lexicographic order; int32 [n].
    """
    rows, counts = np.zeros((0, order), dtype=np.int64), np.zeros(0, dtype=np.int64)
    pending: list[Ids] = []
    for window in _windows(tokens, order):
        pending.append(window)
        if sum(map(len, pending)) > len(rows):  # so that each n-gram is sorted a few times, not once a chunk
            rows, counts = _add(rows, counts, pending)
    rows, counts = _add(rows, counts, pending)
    return rows.astype(np.int32), counts.astype(np.int32)


def _windows(tokens: Tokens, order: int) -> Iterator[Ids]:
    rows = max(1, _CHUNK // order)
    for start in range(0, len(tokens), rows):
        positions = np.arange(start, min(start + rows, len(tokens)))
        contexts, targets = windows(tokens, positions, max(1, order - 1))
        yield np.column_stack([contexts, targets])[:, -order:]


def _add(rows: Ids, counts: Ids, pending: list[Ids]) -> tuple[Ids, Ids]:
    rows = np.concatenate([rows, *pending])
    counts = np.concatenate([counts, np.ones(len(rows) - len(counts), dtype=np.int64)])
    pending.clear()
    label, ids = np.zeros(len(rows), dtype=np.int64), rows.max(initial=0) + 1
    for column in rows.T:
        _, label = np.unique(label * ids + column, return_inverse=True)
    _, first = np.unique(label, return_index=True)
    return rows[first], np.bincount(label, weights=counts).astype(np.int64)


def discount_after(length: int, discounts: Sequence[float]) -> float:
    """Return the discount of counts after contexts of some length, given those of order 1, 2 and so on."""
    return discounts[min(length, len(discounts) - 1)]


@dataclass(frozen=True)
class BackOffTables:
    """An n-gram model as two tables over its states, which are the contexts that occur, of every length.

    State 0 is the empty context. From there each symbol of a context, the newest first, leads to the state of a context
    longer by that symbol, as long as there is one.

    Attributes:
        longer: the state that a symbol leads to, 0 where there is none, int32 [states but the longest, ids].
        log_probabilities: of the symbol that follows, float32 [states, ids].
    """

    longer: NDArray[np.int32]
    log_probabilities: NDArray[np.float32]

    @classmethod
    def of(
        cls, ngrams: NDArray[np.int32], counts: NDArray[np.int32], discounts: Sequence[float], vocabulary_size: int
    ) -> Self:
        """Smooth counted n-grams by interpolated Kneser-Ney (Chen and Goodman 1999, section 4.1.6).

        With c(h, s) the count of symbol s after context h, D the discount of its order and h' the context without its
        oldest symbol::

            p(s | h) = max(c(h, s) - D, 0) / c(h) + D * (symbols seen after h) / c(h) * p(s | h')

        At the highest order c counts occurrences; below, the different symbols seen before (h, s), since only contexts
        that the higher orders do not know ask the lower ones. Single symbols are interpolated with the uniform
        distribution.

        Args:
            ngrams: int32 [n, order], distinct, as :func:`count_ngrams` returns them.
            counts: int32 [n].
            discounts: of order 1, 2 and so on; the last holds for all higher orders.
            vocabulary_size: number of ids, the boundary included.

        Raises:
            TrainingError: if the tables would take more than half a gigabyte.
        """
        levels: list[_Level] = []
        starts = [0]  # of each level's states
        for level in _levels(ngrams.astype(np.int64), counts.astype(np.int64), vocabulary_size):
            levels.append(level)
            starts.append(starts[-1] + len(level.parents))
            if 8 * starts[-1] * vocabulary_size > _MAX_TABLE_BYTES:
                raise TrainingError(
                    f"{starts[-1]:,} contexts by {vocabulary_size:,} symbols make tables of more than "
                    f"{_MAX_TABLE_BYTES >> 20} MiB; choose a lower order"
                )
        longer = np.zeros((starts[-2], vocabulary_size), dtype=np.int32)
        for (before, start), level in zip(pairwise(starts[:-1]), levels[1:], strict=True):
            longer[before + level.parents, level.oldest] = start + np.arange(len(level.parents))
        log_probabilities = np.empty((starts[-1], vocabulary_size), dtype=np.float32)
        lower = np.full((1, vocabulary_size), 1 / vocabulary_size)
        for length, (level, deeper) in enumerate(zip_longest(levels, levels[1:])):
            weights = level.occurrences if deeper is None else _continuations(level, deeper, vocabulary_size)
            lower = _smoothed(level, weights, discount_after(length, discounts), lower[level.parents])
            log_probabilities[starts[length] : starts[length + 1]] = np.log(lower)
        return cls(longer, log_probabilities)


@dataclass(frozen=True)
class _Level:
    """The contexts of one length that occur, numbered from 0 in each level.

    Attributes:
        parents: the contexts without their oldest symbol, in the level above, int64 [contexts].
        oldest: that symbol, int64 [contexts].
        grams: context and symbol that follows, as context * ids + symbol, distinct and sorted, int64 [grams].
        occurrences: how often each of these is in the text, int64 [grams].
    """

    parents: Ids
    oldest: Ids
    grams: Ids
    occurrences: Ids


def _levels(ngrams: Ids, counts: Ids, ids: int) -> Iterator[_Level]:
    """Yield the contexts of lengths 0, 1, … as a trie that grows into the past."""
    context = np.zeros(len(ngrams), dtype=np.int64)
    parents = oldest = context[:1]
    for column in (None, *ngrams[:, -2::-1].T):
        if column is not None:
            keys, context = np.unique(context * ids + column, return_inverse=True)
            parents, oldest = np.divmod(keys, ids)
        grams, gram = np.unique(context * ids + ngrams[:, -1], return_inverse=True)
        yield _Level(parents, oldest, grams, np.bincount(gram, weights=counts).astype(np.int64))


def _continuations(level: _Level, deeper: _Level, ids: int) -> Ids:
    """Return how many different symbols precede each gram of a level, int64 [grams]."""
    context, target = np.divmod(deeper.grams, ids)
    shortened = deeper.parents[context] * ids + target
    return np.bincount(np.searchsorted(level.grams, shortened), minlength=len(level.grams))


def _smoothed(level: _Level, counts: Ids, discount: float, lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities after each context of a level, given those after its parent, float64 [contexts, ids]."""
    context, target = np.divmod(level.grams, lower.shape[1])
    total = np.bincount(context, weights=counts, minlength=len(lower))
    share = discount * np.bincount(context, minlength=len(lower)) / total
    smoothed: NDArray[np.float64] = share[:, None] * lower
    smoothed[context, target] += np.maximum(counts - discount, 0) / total[context]
    return smoothed
