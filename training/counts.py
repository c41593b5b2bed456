"""Count the bigrams and n-grams of names."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.vocabulary import BOUNDARY
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


def frequent_contexts(part: Part, longest: int, most: int, ids: int) -> NDArray[np.int32]:
    """Return the contexts that occur most often in names, as steps from each to those longer by one symbol.

    State 0 is the empty context. Read from the newest back, each symbol of a context leads to the state of the context
    longer by that symbol. A name starts with one boundary; longer contexts have higher numbers.

    Args:
        part: the names.
        longest: symbols in the longest contexts.
        most: contexts to return at most, the empty one included.
        ids: number of ids, the boundary included.

    Returns:
        The state after each state and symbol, 0 for none, int32 [contexts, ids].
    """
    ngrams, counts = count_ngrams(part, longest + 1)
    contexts = ngrams[:, part.conditions.shape[1] : -1].astype(np.int64)
    parents, oldest, occurrences = [], [], []  # of all contexts but the empty one, the shortest first
    numbers, total = np.zeros(len(contexts), dtype=np.int64), 1
    going = np.arange(len(contexts))
    for length in range(1, longest + 1):
        symbols = contexts[going, -length]
        steps, inverse = np.unique(numbers[going] * ids + symbols, return_inverse=True)
        numbers[going] = total + inverse
        parents.append(steps // ids)
        oldest.append(steps % ids)
        occurrences.append(np.bincount(inverse, counts[going], len(steps)))
        total += len(steps)
        going = going[symbols != BOUNDARY]
    order = np.argsort(-np.concatenate(occurrences), kind="stable")  # the shorter of two that occur as often first
    kept = np.sort(order[: most - 1])  # a context is no rarer than those longer than it, so that its parent is kept too
    states = np.zeros(total, dtype=np.int32)
    states[1 + kept] = np.arange(1, len(kept) + 1)
    longer = np.zeros((len(kept) + 1, ids), dtype=np.int32)
    longer[states[np.concatenate(parents)[kept]], np.concatenate(oldest)[kept]] = states[1 + kept]
    return longer


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
