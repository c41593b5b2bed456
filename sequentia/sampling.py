"""From logits to symbols: the distribution that the options leave, the draw from it, and the numbers of a seed.

Every function here is pure and works on rows, one name a row; none of them knows text or the network.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

WORDS_PER_COUNTER: Final = 4
"""Philox4x64 turns each value of its counter into this many 64-bit words."""


def uniforms(seed: int, first: int, count: int, draws_per_name: int) -> NDArray[np.float64]:
    """Return the uniform numbers that names ``first`` … ``first + count - 1`` own.

    Name *i* owns draws ``i * draws_per_name`` … of one Philox4x64-10 sequence keyed by the seed (Salmon et al.
    2011, "Parallel random numbers: as easy as 1, 2, 3"), so any run of names can be computed by itself. The raw
    output is used because NumPy promises its stability, and no ``Generator`` method's.

    Args:
        seed: the 128-bit key.
        first: index of the first name.
        count: number of names.
        draws_per_name: a multiple of four, so that each name starts at a counter value of its own.

    Returns:
        float64 [count, draws_per_name] in [0, 1), of 53 random bits each.
    """
    bits = Philox(key=seed, counter=first * draws_per_name // WORDS_PER_COUNTER)
    raw: NDArray[np.uint64] = bits.random_raw(count * draws_per_name)
    scaled: NDArray[np.float64] = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return scaled.reshape(count, draws_per_name)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return log-probabilities in nats, float64 [n, ids], of logits [n, ids]."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def probabilities(
    logits: NDArray[np.float32],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    forbidden: Iterable[int] = (),
) -> NDArray[np.float64]:
    """Return the distribution that a symbol is drawn from.

    The forbidden ids go first, then the temperature applies, then ``top_k`` (Fan et al. 2018), then ``top_p``
    (Holtzman et al. 2020): a filter never leaves a row without an id. Ties go to the lower id.

    Args:
        logits: float32 [n, ids].
        temperature: divides the logits; 0 puts all the mass on the most probable id.
        top_k: keep this many of the most probable ids.
        top_p: keep the fewest of the most probable ids whose mass reaches this share.
        forbidden: ids that get no mass in any row; at least one id must be left.

    Returns:
        float64 [n, ids], each row summing to 1.
    """
    scores = logits.astype(np.float64)
    scores[:, list(forbidden)] = -np.inf
    scores -= scores.max(axis=1, keepdims=True)
    if temperature == 0:
        mass = np.zeros_like(scores)
        np.put_along_axis(mass, scores.argmax(axis=1)[:, None], 1.0, axis=1)
        return mass
    with np.errstate(over="ignore"):  # a tiny temperature carries all but the most probable ids to minus infinity
        mass = np.exp(scores / temperature)
    if top_k is not None and top_k < mass.shape[1]:
        np.put_along_axis(mass, _descending(mass)[:, top_k:], 0.0, axis=1)
    if top_p is not None:
        order = _descending(mass)
        ranked = np.take_along_axis(mass, order, axis=1)
        before = np.cumsum(ranked, axis=1) - ranked
        ranked[before >= top_p * ranked.sum(axis=1, keepdims=True)] = 0.0
        np.put_along_axis(mass, order, ranked, axis=1)
    mass /= mass.sum(axis=1, keepdims=True)
    return mass


def _descending(mass: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.argsort(-mass, axis=1, kind="stable")


def choose(mass: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return one id a row by inverse CDF: the first whose cumulative probability exceeds the uniform number.

    Args:
        mass: float64 [n, ids], non-negative, each row with some mass.
        uniform: float64 [n] in [0, 1).

    Returns:
        int64 [n]; never an id without mass.
    """
    cumulative = np.cumsum(mass, axis=1)
    total = cumulative[:, -1]
    # Rounding may carry uniform * total up to the total itself, which no cumulative probability exceeds.
    point = np.minimum(uniform * total, np.nextafter(total, 0.0))
    chosen: NDArray[np.int64] = (cumulative <= point[:, None]).sum(axis=1, dtype=np.int64)
    return chosen
