"""From logits to symbols, in whole numbers: seeded uniform numbers, the weights of symbols, and the draw.

Nothing here rounds differently on another machine: the arithmetic is that of IEEE doubles (additions, multiplications,
divisions, comparisons, roundings), and exponentials come from a table that is the same everywhere. docs/format.md
specifies every step.
"""

import hashlib
from collections.abc import Sequence
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
_MANY_ROWS: Final = 512  # from there on, one call for each id is faster than one for all
_NAMES_AT_ONCE: Final = 1 << 12  # whose random words stay in the processor's cache
_SCATTERED: Final = 8  # if rows are rarer than this, NumPy computes only theirs

_WORD: Final = (1 << 64) - 1
_MULTIPLIERS: Final = (0xD2E7470EE14C6C93, 0xCA5A826395121157)  # of Philox4x64
_KEY_STEPS: Final = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


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
        float64 [count, draws] in [0, 1), with 53 random bits each. They are stored draw by draw.
    """
    bits = Philox(key=seed, counter=(attempt << _ATTEMPT_SHIFT) + first * draws // _WORDS_PER_COUNTER)
    by_draw = np.empty((draws, count))
    for start in range(0, count, _NAMES_AT_ONCE):
        stop = min(start + _NAMES_AT_ONCE, count)
        raw: NDArray[np.uint64] = bits.random_raw((stop - start) * draws)
        raw >>= np.uint64(11)
        by_draw[:, start:stop] = raw.reshape(-1, draws).T
    by_draw *= 2.0**-53
    return by_draw.T


def uniforms_of(
    seed: int, first: int, rows: NDArray[np.intp], draws: int, attempts: Sequence[int]
) -> NDArray[np.float64]:
    """Return the uniform numbers of attempts at the names ``first + rows``, float64 [attempts, rows, draws].

    The rows are in rising order.
    """
    start, count = int(rows[0]), int(rows[-1] - rows[0]) + 1
    if count <= _SCATTERED * len(rows):
        together = np.stack([uniforms(seed, first + start, count, draws, attempt) for attempt in attempts])
        return together if count == len(rows) else together[:, rows - start]
    values = draws // _WORDS_PER_COUNTER
    base = first * values + 1
    later = (rows[:, None] * values + np.arange(values)).astype(np.uint64)
    low = later + np.uint64(base & _WORD)
    high = np.uint64(base >> 64) + (low < later)
    words = philox(
        seed,
        low,
        high,
        np.array([attempt & _WORD for attempt in attempts], dtype=np.uint64)[:, None, None],
        np.array([attempt >> 64 for attempt in attempts], dtype=np.uint64)[:, None, None],
    )
    scaled = (words >> np.uint64(11)).astype(np.float64)
    scaled *= 2.0**-53
    return scaled.reshape(len(attempts), len(rows), draws)


def philox(key: int, *counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the four words that Philox4x64-10 makes of each counter: of many counters that do not follow each other.

    Args:
        key: of 128 bits.
        counter: the four words of each counter, uint64, the lowest first; their shapes are broadcast.

    Returns:
        uint64 [..., 4].
    """
    a, b, c, d = np.broadcast_arrays(*counter)
    keys = [key & _WORD, key >> 64]
    for _ in range(10):
        (left_high, left_low), (right_high, right_low) = _times(a, _MULTIPLIERS[0]), _times(c, _MULTIPLIERS[1])
        a, b, c, d = right_high ^ b ^ np.uint64(keys[0]), right_low, left_high ^ d ^ np.uint64(keys[1]), left_low
        keys = [(word + step) & _WORD for word, step in zip(keys, _KEY_STEPS, strict=True)]
    return np.stack([a, b, c, d], axis=-1)


def _times(x: NDArray[np.uint64], factor: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the high and the low 64 bits of products."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    high, low = np.uint64(factor >> 32), np.uint64(factor & 0xFFFFFFFF)
    x_high, x_low = x >> half, x & mask
    middle = x_high * low + (x_low * low >> half)
    other = x_low * high + (middle & mask)
    return x_high * high + (middle >> half) + (other >> half), x * np.uint64(factor)


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log-probabilities in nats, float64 [n, ids], for logits [n, ids]."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def log_probabilities(logits: NDArray[np.floating], targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the log-probability of one id a row, float64 [n]: that of :func:`log_softmax`, in a third of the time.

    Args:
        logits: floating [n, ids].
        targets: the ids, [n].
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    own: NDArray[np.float64] = shifted[np.arange(len(targets)), targets]
    own -= np.log(np.exp(shifted, out=shifted).sum(axis=1))
    return own


def distances(logits: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """Return how far each logit is below the largest of its row, in steps of 1/256, rounded halves upwards.

    Args:
        logits: float32 [n, ids].

    Returns:
        uint16 [n, ids], or uint32 if one does not fit; the largest is 2^25.
    """
    below: NDArray[np.floating] = logits.max(axis=1, keepdims=True) - logits
    below *= np.float32(2**LOGIT_BITS)
    below += np.float32(0.5)
    if below.max(initial=0) < 1 << 16:
        return below.astype(np.uint16)
    below = logits.max(axis=1, keepdims=True).astype(np.float64) - logits  # float32 holds whole numbers to 2^24 alone
    below = np.minimum(below * 2**LOGIT_BITS + 0.5, _FARTHEST)
    return below.astype(np.uint32)


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
    if allowed is not None:
        by_id = np.where(may, by_id, np.uint32(_MAX_DISTANCE))
    found = _weights_at(by_id)
    if top_k is not None and top_k < len(found):
        np.put_along_axis(found, np.argsort(by_id, axis=0, kind="stable")[top_k:], 0.0, axis=0)
    if top_p is not None:
        order = np.argsort(-found, axis=0, kind="stable")
        ranked = np.take_along_axis(found, order, axis=0)
        reached = np.cumsum(ranked, axis=0)
        ranked[reached - ranked >= top_p * reached[-1]] = 0.0
        np.put_along_axis(found, order, ranked, axis=0)
    return found.T


def _weights_at(below: NDArray[np.unsignedinteger]) -> NDArray[np.float64]:
    """Return the weight at each distance, float64 of the same shape."""
    if below.shape[1] < _MANY_ROWS:
        return _WEIGHTS.take(below, mode="clip")
    found = np.empty(below.shape)
    for row, own in zip(below, found, strict=True):
        _WEIGHTS.take(row, mode="clip", out=own)
    return found


def running_sums(relative: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sums of the first, the first two, … ids, float64 [ids, rows], added in the order of the ids.

    Args:
        relative: weights or unnormalised probabilities, floating [rows, ids]. Those of :func:`weights` are overwritten.
    """
    by_id = relative.T
    ids, rows = by_id.shape
    if rows < _MANY_ROWS:
        return by_id.cumsum(axis=0, dtype=np.float64)
    sums = by_id.astype(np.float64, order="C", copy=False)
    for i in range(1, ids):
        sums[i] += sums[i - 1]
    return sums


def choose(
    cumulative: NDArray[np.float64], rows: NDArray[np.integer], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Draw ids by inverse CDF: take the first id whose cumulative weight exceeds the uniform number times the total.

    Args:
        cumulative: running sums of weights, float64 [ids, rows]; no total is zero.
        rows: the row to draw each id from, integer [n].
        uniform: float64 [n], multiples of 2^-53 in [0, 1).

    Returns:
        int64 [n]; an id of probability 0 is never drawn.
    """
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


class UnfinishedNames(Protocol):
    """Names in the making, and the distribution of the next symbol of each."""

    def distributions(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return running sums of weights, [ids, rows], and the row of each unfinished name, [names]."""

    def advance(self, symbols: NDArray[np.int64]) -> NDArray[np.intp]:
        """Append a symbol to each unfinished name, [names]; return which of them go on, and drop all others."""


def draw_symbols(unfinished: UnfinishedNames, uniform: NDArray[np.float64], names: NDArray[np.integer]) -> None:
    """Draw names symbol by symbol until each has ended or used all of its uniform numbers.

    Args:
        unfinished: gives the distribution of each next symbol.
        uniform: float64 [names, draws] in [0, 1).
        names: receives the ids, integer [names, draws]; entries after a boundary are not written. Both arguments are
            read and written draw by draw, so it is faster if they are stored so.
    """
    rows_left = np.arange(len(uniform))
    for numbers, drawn in zip(uniform.T, names.T, strict=True):
        cumulative, rows = unfinished.distributions()
        symbols = choose(cumulative, rows, numbers.take(rows_left))
        drawn[rows_left] = symbols
        rows_left = rows_left[unfinished.advance(symbols)]
        if not len(rows_left):
            return
