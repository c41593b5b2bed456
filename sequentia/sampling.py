"""From logits to symbols: the options of a draw, the distribution they leave, and the seeded stream.

Every function here is pure and works on rows, one name a row; none of them knows text or the network.
"""

import math
import operator
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from .artifact import MAX_LENGTH
from .errors import OptionError
from .vocabulary import BOUNDARY, Vocabulary

_WORDS_PER_COUNTER: Final = 4  # Philox4x64 turns each value of its counter into four 64-bit words
_SEED_LIMIT: Final = 1 << 128  # the width of its key


class SamplingOptions(TypedDict, total=False):
    """The keyword options of ``generate`` and ``stream``; :func:`sequentia.generate` documents them."""

    prefix: str
    temperature: float
    top_k: int | None
    top_p: float | None
    min_length: int
    max_length: int | None
    unique: bool
    seed: int | None


@dataclass(frozen=True)
class Plan:
    """Checked options, in the terms of one vocabulary: what one seeded stream of names is made of."""

    prefix: NDArray[np.int64]
    temperature: float
    top_k: int | None
    top_p: float | None
    min_length: int
    max_length: int
    unique: bool
    seed: int
    draws_per_name: int

    @classmethod
    def of(cls, options: Mapping[str, object], vocabulary: Vocabulary, longest: int) -> "Plan":
        """Check options against each other and against a vocabulary.

        Args:
            options: as in :class:`SamplingOptions`.
            vocabulary: the model's.
            longest: the model's own ``max_length``.

        Raises:
            OptionError: naming the option that is out of its range or contradicts another.
            VocabularyError: if the prefix holds an unknown symbol.
            TypeError: for an option that does not exist.
        """
        unknown = sorted(set(options) - set(SamplingOptions.__annotations__))
        if unknown:
            raise TypeError(f"unknown option {unknown[0]!r}; there are {', '.join(SamplingOptions.__annotations__)}")
        prefix = options.get("prefix", "")
        if not isinstance(prefix, str):
            raise _out_of_range("prefix", prefix, "a string")
        prefix_ids = vocabulary.encode(prefix)
        min_length = whole("min_length", options.get("min_length", 1), least=1, most=MAX_LENGTH)
        given = options.get("max_length")
        max_length = longest if given is None else whole("max_length", given, least=1, most=MAX_LENGTH)
        if given is None:
            max_length = max(max_length, min_length)
        if min_length > max_length:
            raise OptionError(
                f"min_length {min_length} is greater than max_length {max_length}",
                option="min_length",
                value=min_length,
            )
        if len(prefix_ids) > max_length:
            raise OptionError(
                f"prefix {prefix!r} has {len(prefix_ids)} symbols, more than max_length {max_length}",
                option="prefix",
                value=prefix,
            )
        top_k = options.get("top_k")
        top_p = options.get("top_p")
        unique = options.get("unique", False)
        if not isinstance(unique, bool):
            raise _out_of_range("unique", unique, "True or False")
        return cls(
            prefix=prefix_ids,
            temperature=_real("temperature", options.get("temperature", 1.0), positive=False),
            top_k=None if top_k is None else whole("top_k", top_k, least=1),
            top_p=None if top_p is None else _real("top_p", top_p, positive=True, most=1.0),
            min_length=min_length,
            max_length=max_length,
            unique=unique,
            seed=new_seed() if options.get("seed") is None else check_seed(options["seed"]),
            draws_per_name=-(-max(max_length, longest) // _WORDS_PER_COUNTER) * _WORDS_PER_COUNTER,
        )


def whole(option: str, value: object, *, least: int, most: int | None = None) -> int:
    """Return an option as an int within its bounds, or raise :class:`OptionError`."""
    needed = f"a whole number from {least} to {most}" if most else f"a whole number, {least} or more"
    if isinstance(value, bool):
        raise _out_of_range(option, value, needed)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _out_of_range(option, value, needed) from None
    if number < least or (most is not None and number > most):
        raise _out_of_range(option, value, needed)
    return number


def _real(option: str, value: object, *, positive: bool, most: float = math.inf) -> float:
    bound = "greater than 0" if positive else "0 or more"
    needed = f"a finite number {bound}" + (f" and at most {most:g}" if math.isfinite(most) else "")
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise _out_of_range(option, value, needed)
    number = float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0) or number > most:
        raise _out_of_range(option, value, needed)
    return number


def check_seed(value: object) -> int:
    """Return a seed as an int of 128 bits, or raise :class:`OptionError`."""
    return whole("seed", value, least=0, most=_SEED_LIMIT - 1)


def new_seed() -> int:
    """Return a seed from the operating system, short enough to be written down."""
    return secrets.randbits(32)


def _out_of_range(option: str, value: object, needed: str) -> OptionError:
    return OptionError(f"{option} must be {needed}, not {value!r}", option=option, value=value)


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
    bits = Philox(key=seed, counter=first * draws_per_name // _WORDS_PER_COUNTER)
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


def forbidden_at(length: int, plan: Plan) -> list[int]:
    """Return the ids that may not follow ``length`` symbols: too short a name does not end."""
    return [BOUNDARY] if length < plan.min_length else []
