"""From logits to symbols: the distribution that the options leave, the draw from it, and the numbers of a seed.

The functions work on rows, one name a row; none of them knows text or the network.
"""

from typing import Final, Protocol

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from .vocabulary import BOUNDARY

_WORDS_PER_COUNTER: Final = 4  # Philox4x64 turns each value of its counter into four 64-bit words

_FEW_PROBABILITIES: Final = 1 << 10  # where a linear search takes less time than a binary one


def draws_per_name(most: int) -> int:
    """Return how many uniform numbers a name owns that makes at most so many draws."""
    return -(-most // _WORDS_PER_COUNTER) * _WORDS_PER_COUNTER


def uniforms(seed: int, first: int, count: int, draws: int) -> NDArray[np.float64]:
    """Return the uniform numbers that names ``first`` … ``first + count - 1`` own.

    Name *i* owns the numbers from ``i * draws`` on of one Philox4x64-10 sequence keyed by the seed (Salmon et al.
    2011, "Parallel random numbers: as easy as 1, 2, 3"), so any run of names can be computed by itself. The raw
    output is used because NumPy promises its stability, and no ``Generator`` method's.

    Args:
        seed: the 128-bit key.
        first: index of the first name.
        count: number of names.
        draws: numbers for each name, as :func:`draws_per_name` gives them.

    Returns:
        float64 [count, draws] in [0, 1), of 53 random bits each.
    """
    bits = Philox(key=seed, counter=first * draws // _WORDS_PER_COUNTER)
    raw: NDArray[np.uint64] = bits.random_raw(count * draws)
    raw >>= np.uint64(11)
    scaled = raw.astype(np.float64)
    scaled *= 2.0**-53
    return scaled.reshape(count, draws)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return log-probabilities in nats, float64 [n, ids], of logits [n, ids]."""
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
    """Return the distribution that a symbol is drawn from, in units of its largest probability.

    What is not allowed goes first, then the temperature applies, then ``top_k`` (Fan et al. 2018), then ``top_p``
    (Holtzman et al. 2020): a filter never leaves a row without an id. Ties go to the lower id.

    Args:
        logits: float32 [n, ids].
        temperature: divides the logits; 0 leaves the most probable id alone.
        top_k: keep this many of the most probable ids.
        top_p: keep the fewest of the most probable ids whose probabilities reach this share.
        allowed: ids that may be drawn, bool [ids] or [n, ids], at least one in a row; by default all.

    Returns:
        float32 [n, ids], the largest of each row 1.
    """
    scores: NDArray[np.float32] = logits if allowed is None else np.where(allowed, logits, np.float32(-np.inf))
    scores = scores - scores.max(axis=1, keepdims=True)
    if temperature == 0:
        best = np.zeros_like(scores)
        np.put_along_axis(best, scores.argmax(axis=1)[:, None], 1.0, axis=1)
        return best
    if temperature != 1:
        with np.errstate(over="ignore"):  # a tiny temperature carries all but the most probable ids to minus infinity
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
    """Draw ids by inverse CDF: the first whose cumulative probability exceeds the uniform number.

    Args:
        relative: probabilities in any unit, floating [rows, ids], each row with some that is not zero.
        rows: the row that each id is drawn from, integer [n].
        uniform: float64 [n] in [0, 1).

    Returns:
        int64 [n]; never an id without probability.
    """
    cumulative = relative.astype(np.float64)
    np.cumsum(cumulative, axis=1, out=cumulative)
    total = cumulative[:, -1]
    # Rounding may carry uniform * total up to the total itself, which no cumulative probability exceeds.
    point = np.minimum(uniform * total.take(rows), np.nextafter(total, 0.0).take(rows))
    ids = relative.shape[1]
    if len(rows) * ids <= _FEW_PROBABILITIES:
        few: NDArray[np.int64] = np.count_nonzero(cumulative.take(rows, axis=0) <= point[:, None], axis=1)
        return few
    first = rows.astype(np.int64) * ids
    flat, width = cumulative.reshape(-1), ids
    place: NDArray[np.int64] = first.copy()
    while width > 1:  # the id sought is one of the `width` ones from `place` on
        half = width // 2
        place += (flat.take(place + (half - 1)) <= point) * half
        width -= half
    place -= first
    return place


class Walk(Protocol):
    """Unfinished names, and what may follow each of them."""

    def distributions(self) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
        """Return probabilities in any unit, [rows, ids], and the row of each unfinished name, [names]."""

    def advance(self, names: NDArray[np.intp], symbols: NDArray[np.int64]) -> None:
        """Add a symbol, [n], to some of the unfinished names, [n], and forget the others."""


def draw_symbols(walk: Walk, uniform: NDArray[np.float64], names: NDArray[np.integer]) -> None:
    """Draw names, symbol by symbol, until each has drawn its boundary or all of its uniform numbers.

    Args:
        walk: says what may follow.
        uniform: float64 [names, draws] in [0, 1).
        names: takes the ids, integer [names, draws]; what comes after a boundary stays as it is.
    """
    unfinished = np.arange(len(uniform))
    for place in range(uniform.shape[1]):
        relative, rows = walk.distributions()
        symbols = choose(relative, rows, uniform[unfinished, place])
        names[unfinished, place] = symbols
        going_on = np.flatnonzero(symbols != BOUNDARY)
        if not len(going_on):
            return
        unfinished = unfinished[going_on]
        walk.advance(going_on, symbols[going_on])
