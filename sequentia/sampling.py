"""From logits to symbols: seeded uniform numbers, the filtered distribution, and the draw from it.

The functions work on arrays of ids and logits; they do not depend on text or the network.
"""

from typing import Final, Protocol

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from .vocabulary import BOUNDARY

_WORDS_PER_COUNTER: Final = 4  # Philox4x64 turns each value of its counter into four 64-bit words

_MAX_LINEAR_SEARCH: Final = 1 << 10  # probabilities; with fewer, a linear search is faster than a binary one


def draws_per_name(max_draws: int) -> int:
    """Return the number of uniform numbers reserved for a name: ``max_draws``, rounded up to a multiple of 4."""
    return -(-max_draws // _WORDS_PER_COUNTER) * _WORDS_PER_COUNTER


def uniforms(seed: int, first: int, count: int, draws: int) -> NDArray[np.float64]:
    """Return the uniform numbers of the names ``first`` … ``first + count - 1``.

    The seed is the key of one Philox4x64-10 sequence (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
    3"). Name *i* owns ``draws`` numbers of it, from ``i * draws`` on, so any range of names can be computed on its own.
    NumPy guarantees that the raw output stays the same in later versions; it does not for methods of ``Generator``.

    Args:
        seed: the 128-bit key.
        first: index of the first name.
        count: number of names.
        draws: numbers per name, from :func:`draws_per_name`.

    Returns:
        float64 [count, draws] in [0, 1), with 53 random bits each.
    """
    bits = Philox(key=seed, counter=first * draws // _WORDS_PER_COUNTER)
    raw: NDArray[np.uint64] = bits.random_raw(count * draws)
    raw >>= np.uint64(11)
    scaled = raw.astype(np.float64)
    scaled *= 2.0**-53
    return scaled.reshape(count, draws)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-probabilities in nats, float64 [n, ids], for logits [n, ids]."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def relative_probabilities(
    logits: NDArray[np.float32],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return the distribution to draw from, relative to its largest probability.

    The steps are, in this order: remove ids that are not allowed, divide by the temperature, apply ``top_k`` (Fan et
    al. 2018), apply ``top_p`` (Holtzman et al. 2020). Every row keeps at least one id. Ties go to the lower id.

    Args:
        logits: float32 [n, ids].
        temperature: divides the logits; 0 keeps only the most probable id.
        top_k: keep this many of the most probable ids.
        top_p: keep the smallest set of most probable ids whose probabilities sum to at least this share.
        allowed: ids that may be drawn, bool [ids] or [n, ids], at least one per row; by default all.

    Returns:
        float32 [n, ids]; the largest value of each row is 1.
    """
    scores: NDArray[np.float32] = logits if allowed is None else np.where(allowed, logits, np.float32(-np.inf))
    scores = scores - scores.max(axis=1, keepdims=True)
    if temperature == 0:
        best = np.zeros_like(scores)
        np.put_along_axis(best, scores.argmax(axis=1)[:, None], 1.0, axis=1)
        return best
    if temperature != 1:
        with np.errstate(over="ignore"):  # a tiny temperature sends less probable ids to minus infinity
            scores = (scores.astype(np.float64) / temperature).astype(np.float32)
    relative: NDArray[np.float32] = np.exp(scores, out=scores)
    if top_k is not None and top_k < relative.shape[1]:
        np.put_along_axis(relative, _descending(relative)[:, top_k:], 0.0, axis=1)
    if top_p is not None:
        order = _descending(relative)
        ranked = np.take_along_axis(relative, order, axis=1)
        reached = np.cumsum(ranked, axis=1, dtype=np.float64)
        ranked[reached - ranked >= top_p * reached[:, -1:]] = 0.0
        np.put_along_axis(relative, order, ranked, axis=1)
    return relative


def _descending(relative: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.argsort(-relative, axis=1, kind="stable")


def choose(
    relative: NDArray[np.floating], rows: NDArray[np.integer], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Draw ids by inverse CDF: take the first id whose cumulative probability exceeds the uniform number.

    Args:
        relative: unnormalised probabilities, floating [rows, ids]; each row has at least one that is not zero.
        rows: the row to draw each id from, integer [n].
        uniform: float64 [n] in [0, 1).

    Returns:
        int64 [n]; an id of probability 0 is never drawn.
    """
    cumulative = relative.astype(np.float64)
    np.cumsum(cumulative, axis=1, out=cumulative)
    total = cumulative[:, -1]
    # Rounding may raise uniform * total to the total itself, which no cumulative probability exceeds.
    threshold = np.minimum(uniform * total.take(rows), np.nextafter(total, 0.0).take(rows))
    ids = relative.shape[1]
    if len(rows) * ids <= _MAX_LINEAR_SEARCH:
        below: NDArray[np.int64] = np.count_nonzero(cumulative.take(rows, axis=0) <= threshold[:, None], axis=1)
        return below
    first = rows.astype(np.int64) * ids
    flat, width = cumulative.reshape(-1), ids
    found: NDArray[np.int64] = first.copy()
    while width > 1:  # a binary search: the id is among the `width` ids from `found` on
        half = width // 2
        found += (flat.take(found + (half - 1)) <= threshold) * half
        width -= half
    found -= first
    return found


class UnfinishedNames(Protocol):
    """Names in the making, and the distribution of the next symbol of each."""

    def distributions(self) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
        """Return unnormalised probabilities, [rows, ids], and the row of each unfinished name, [names]."""

    def advance(self, names: NDArray[np.intp], symbols: NDArray[np.int64]) -> None:
        """Append a symbol, [n], to each of the given names, [n], and drop all others."""


def draw_symbols(unfinished: UnfinishedNames, uniform: NDArray[np.float64], names: NDArray[np.integer]) -> None:
    """Draw names symbol by symbol until each has drawn the boundary or used all of its uniform numbers.

    Args:
        unfinished: gives the distribution of each next symbol.
        uniform: float64 [names, draws] in [0, 1).
        names: receives the ids, integer [names, draws]; entries after a boundary are not written.
    """
    rows_left = np.arange(len(uniform))
    for position in range(uniform.shape[1]):
        relative, rows = unfinished.distributions()
        symbols = choose(relative, rows, uniform[rows_left, position])
        names[rows_left, position] = symbols
        continuing = np.flatnonzero(symbols != BOUNDARY)
        if not len(continuing):
            return
        rows_left = rows_left[continuing]
        unfinished.advance(continuing, symbols[continuing])
