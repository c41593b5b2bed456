"""Count the bigrams and n-grams of a text."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.windows import windows

from .corpus import Tokens

_CHUNK: Final = 1 << 19  # most symbols of windows in memory at once

Ids = NDArray[np.int64]


def count_bigrams(tokens: Tokens, ids: int) -> Ids:
    """Return the count of each pair of symbols, int64 [ids, ids], indexed by the first symbol, then the second."""
    table = np.zeros((ids, ids), dtype=np.int64)
    pairs, counts = count_ngrams(tokens, 2)
    table[pairs[:, 0], pairs[:, 1]] = counts
    return table


def count_ngrams(tokens: Tokens, order: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the distinct n-grams of a text and their counts.

    An n-gram is ``order - 1`` symbols of context, left-padded with the boundary, and the symbol after it.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        order: symbols in an n-gram.

    Returns:
        The n-grams, int32 [n, order], in lexicographic order; their counts, int32 [n].
    """
    rows, counts = np.zeros((0, order), dtype=np.int64), np.zeros(0, dtype=np.int64)
    pending: list[Ids] = []
    for window in _windows(tokens, order):
        pending.append(window)
        if sum(map(len, pending)) > len(rows):  # sorting less often than once per chunk is quicker
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
