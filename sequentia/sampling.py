"""From logits to symbols, in whole numbers: seeded uniform numbers, the weights of symbols, and the draw.

Nothing here rounds differently on another machine: the arithmetic is that of IEEE doubles (additions, multiplications,
divisions, comparisons, roundings), and exponentials come from a table that is the same everywhere. docs/format.md
specifies every step.
"""

import hashlib
from typing import Final, Protocol

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from .arithmetic import LOGIT_BITS

_WORDS_PER_COUNTER: Final = 4  # Philox4x64 turns each value of its counter into four 64-bit words
_ATTEMPT_SHIFT: Final = 128  # the attempt is the third of the counter's four words

_WEIGHT_BITS: Final = 32
_MAX_DISTANCE: Final = 5856  # from there on, 2^32 * e^(-d/256) rounds to 0
# No entry lies closer to a half than 2.8e-5, so every exponential that is right to 12 digits gives the same table.
_WEIGHTS: Final = np.floor(2.0**_WEIGHT_BITS * np.exp(-np.arange(_MAX_DISTANCE + 1) / 2.0**LOGIT_BITS) + 0.5)
_WEIGHTS[_MAX_DISTANCE] = 0.0

_FARTHEST: Final = 1 << 25  # logits are between -2^24 and 2^24, in steps of 1/256

_MAX_LINEAR_SEARCH: Final = 1 << 10  # probabilities; with fewer, a linear search is faster than a binary one
_MANY_ROWS: Final = 256  # from there on, adding whole columns is faster than np.cumsum
_SCATTERED: Final = 32  # rows are computed one by one if they are rarer than this


def seed_of(text: str) -> int:
    """Return the seed that a string stands for: the first 16 bytes of the SHA-256 of its UTF-8, little-endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def draws_per_name(max_draws: int) -> int:
    """Return the number of uniform numbers reserved for a name: ``max_draws``, rounded up to a multiple of 4."""
    return -(-max_draws // _WORDS_PER_COUNTER) * _WORDS_PER_COUNTER


def uniforms(seed: int, first: int, count: int, draws: int, attempt: int = 0) -> NDArray[np.float64]:
    """Return the uniform numbers of the names ``first`` … ``first + count - 1``.

    They are raw Philox4x64-10 words (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), 53 bits of
    each. The seed is the key. Name *i* owns the values of the counter from ``i * draws / 4`` on; each attempt has the
    same ones, with its number in the counter's third word. So any range of names can be computed on its own.
    NumPy guarantees that the raw output stays the same in later versions; it does not for methods of ``Generator``.

    Args:
        seed: the 128-bit key.
        first: index of the first name.
        count: number of names.
        draws: numbers per name, from :func:`draws_per_name`.
        attempt: which attempt at the names.

    Returns:
        float64 [count, draws] in [0, 1), with 53 random bits each.
    """
    bits = Philox(key=seed, counter=(attempt << _ATTEMPT_SHIFT) + first * draws // _WORDS_PER_COUNTER)
    raw: NDArray[np.uint64] = bits.random_raw(count * draws)
    raw >>= np.uint64(11)
    scaled = raw.astype(np.float64)
    scaled *= 2.0**-53
    return scaled.reshape(count, draws)


def uniforms_of(seed: int, first: int, rows: NDArray[np.intp], draws: int, attempt: int) -> NDArray[np.float64]:
    """Return the uniform numbers of the names ``first + rows``, float64 [rows, draws]; the rows are in rising order."""
    start, count = int(rows[0]), int(rows[-1] - rows[0]) + 1
    if count <= _SCATTERED * len(rows):
        together = uniforms(seed, first + start, count, draws, attempt)
        return together if count == len(rows) else together[rows - start]
    return np.concatenate([uniforms(seed, first + row, 1, draws, attempt) for row in rows.tolist()])


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log-probabilities in nats, float64 [n, ids], for logits [n, ids]."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def distances(logits: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """Return how far each logit is below the largest of its row, in steps of 1/256, rounded halves upwards.

    Args:
        logits: float32 [n, ids].

    Returns:
        uint16 [n, ids], or uint32 if one does not fit; the largest is 2^25.
    """
    by_id = np.ascontiguousarray(logits.T)  # so that NumPy computes many rows at once
    below: NDArray[np.floating] = by_id.max(axis=0) - by_id
    below *= np.float32(2**LOGIT_BITS)
    below += np.float32(0.5)
    if below.max(initial=0) < 1 << 16:
        return below.astype(np.uint16).T
    below = by_id.max(axis=0).astype(np.float64) - by_id  # from 2^24 on, float32 does not hold every whole number
    below = np.minimum(below * 2**LOGIT_BITS + 0.5, _FARTHEST)
    return below.astype(np.uint32).T


def weights(
    below: NDArray[np.unsignedinteger],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the weight of each id: the nearest whole number to 2^32 * e^(-d/256).

    The distance *d* is how far its logit is below the largest allowed one, in steps of 1/256, divided by the
    temperature and rounded, halves upwards. Then ``top_k`` (Fan et al. 2018) and ``top_p`` (Holtzman et al. 2020)
    remove ids, in this order. Every row keeps at least one id. Ties go to the lower id.

    Args:
        below: unsigned [n, ids], from :func:`distances`.
        temperature: divides the distances; 0 keeps only the most probable id, of equal ones the lowest.
        top_k: keep this many of the most probable ids.
        top_p: keep the smallest set of most probable ids whose weights sum to at least this share.
        allowed: ids that may be drawn, bool [ids] or [n, ids], at least one per row; by default all.

    Returns:
        float64 [n, ids], whole numbers; the largest of each row is 2^32. They are stored id by id.
    """
    by_id = np.ascontiguousarray(below.T)
    if allowed is not None:
        may = allowed[:, None] if allowed.ndim == 1 else allowed.T
        by_id = np.where(may, by_id, np.uint32(2 * _FARTHEST))
        by_id -= by_id.min(axis=0)
    if temperature == 0:
        certain = np.zeros(by_id.shape)
        np.put_along_axis(certain, by_id.argmin(axis=0)[None], _WEIGHTS[0], axis=0)
        return certain.T
    if temperature != 1:
        with np.errstate(over="ignore"):  # a tiny temperature sends less probable ids to infinity
            scaled = by_id / temperature
        scaled += 0.5
        by_id = np.minimum(scaled, _MAX_DISTANCE, out=scaled).astype(np.uint16)
    np.minimum(by_id, _MAX_DISTANCE, out=by_id)
    if allowed is not None:
        by_id = np.where(may, by_id, np.uint16(_MAX_DISTANCE))
    found: NDArray[np.float64] = _WEIGHTS[by_id]
    if top_k is not None and top_k < len(found):
        np.put_along_axis(found, np.argsort(by_id, axis=0, kind="stable")[top_k:], 0.0, axis=0)
    if top_p is not None:
        order = np.argsort(-found, axis=0, kind="stable")
        ranked = np.take_along_axis(found, order, axis=0)
        reached = np.cumsum(ranked, axis=0)
        ranked[reached - ranked >= top_p * reached[-1]] = 0.0
        np.put_along_axis(found, order, ranked, axis=0)
    return found.T


def choose(
    relative: NDArray[np.floating], rows: NDArray[np.integer], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Draw ids by inverse CDF: take the first id whose cumulative weight exceeds the uniform number times the total.

    Args:
        relative: weights or unnormalised probabilities, floating [rows, ids]; each row has at least one that is not
            zero. Whole numbers are added exactly. The array may be overwritten.
        rows: the row to draw each id from, integer [n].
        uniform: float64 [n], multiples of 2^-53 in [0, 1).

    Returns:
        int64 [n]; an id of probability 0 is never drawn.
    """
    cumulative = _running_sums(relative.T)
    threshold = uniform * cumulative[-1].take(rows)  # below the total, because uniform is at most 1 - 2^-53
    ids, count = cumulative.shape
    if len(rows) * ids <= _MAX_LINEAR_SEARCH:
        reached: NDArray[np.int64] = (cumulative.take(rows, axis=1) <= threshold).sum(axis=0)
        return reached
    flat, width = cumulative.reshape(-1), ids
    place: NDArray[np.int64] = rows.astype(np.int64)
    while width > 1:  # a binary search: the id is among the `width` ids from `place` on
        half = width // 2
        place += (flat.take(place + (half - 1) * count) <= threshold) * (half * count)
        width -= half
    place //= count
    return place


def _running_sums(by_id: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sums of the first, the first two, … ids, float64 [ids, rows], from floating [ids, rows]."""
    ids, rows = by_id.shape
    if rows < _MANY_ROWS:
        return by_id.cumsum(axis=0, dtype=np.float64)
    sums = by_id.astype(np.float64, order="C", copy=False)
    for i in range(1, ids):
        sums[i] += sums[i - 1]
    return sums


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
        (continuing,) = symbols.nonzero()  # BOUNDARY is 0
        if not len(continuing):
            return
        rows_left = rows_left[continuing]
        unfinished.advance(continuing, symbols[continuing])
