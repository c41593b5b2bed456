"""Count the bigrams and n-grams of names."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.windows import windows

from .parts import Part

_CHUNK: Final = 1 << 19  # most symbols of windows in memory at once

Ids = NDArray[np.int64]


def count_bigrams(part: Part, ids: int) -> NDArray[np.float64]:
    """Return the count of each pair of symbols, float64 [ids, ids], indexed by the first symbol, then the second."""
    table = np.zeros((ids, ids))
    pairs, counts = count_ngrams(part, 2)
    table[pairs[:, 0], pairs[:, 1]] = counts
    return table


def count_ngrams(part: Part, order: int) -> tuple[NDArray[np.int32], NDArray[np.int32] | NDArray[np.float64]]:
    """Return the distinct n-grams of names, and how often they occur: a name's n-grams as often as it counts.

    An n-gram is ``order - 1`` symbols of context, left-padded with the boundary, and the symbol after it. The name's
    conditions stand before it.

    Args:
        part: the names.
        order: symbols in an n-gram.

    Returns:
        The n-grams, int32 [n, conditions + order], in lexicographic order; their counts, [n], int32 if they are whole
        numbers that fit, else float64.
    """
    width = part.conditions.shape[1] + order
    rows, counts = np.zeros((0, width), dtype=np.int64), np.zeros(0)
    pending: list[tuple[Ids, NDArray[np.float64]]] = []
    for window in _windows(part, order):
        pending.append(window)
        if sum(len(each) for each, _ in pending) > len(rows):  # sorting less often than once per chunk is quicker
            rows, counts = _add(rows, counts, pending)
    rows, counts = _add(rows, counts, pending)
    occurring = counts > 0
    rows, counts = rows[occurring].astype(np.int32), counts[occurring]
    whole = part.scale == 1 and counts.max(initial=0.0) < 1 << 31
    return rows, counts.astype(np.int32) if whole else counts


def _windows(part: Part, order: int) -> Iterator[tuple[Ids, NDArray[np.float64]]]:
    rows = max(1, _CHUNK // order)
    for start in range(0, part.windows, rows):
        positions = np.arange(start, min(start + rows, part.windows))
        contexts, targets = windows(part.tokens, positions, max(1, order - 1))
        ngrams = np.column_stack([contexts, targets])[:, -order:]
        yield np.column_stack([part.conditions_at(positions), ngrams]), part.weights_at(positions)


def _add(
    rows: Ids, counts: NDArray[np.float64], pending: list[tuple[Ids, NDArray[np.float64]]]
) -> tuple[Ids, NDArray[np.float64]]:
    rows = np.concatenate([rows, *(each for each, _ in pending)])
    counts = np.concatenate([counts, *(weights for _, weights in pending)])
    pending.clear()
    label, ids = np.zeros(len(rows), dtype=np.int64), rows.max(initial=0) + 1
    for column in rows.T:
        _, label = np.unique(label * ids + column, return_inverse=True)
    _, first = np.unique(label, return_index=True)
    return rows[first], np.bincount(label, weights=counts).astype(np.float64)
