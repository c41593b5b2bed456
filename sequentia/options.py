"""Validation of the options of ``generate`` and ``stream``."""

import math
import operator
import re
import secrets
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from .config import MAX_LENGTH
from .constraints import Constraint
from .errors import GenerationError, OptionError
from .novelty import KnownNames
from .sampling import draws_per_name, seed_of
from .vocabulary import Vocabulary

_SEED_LIMIT: Final = 1 << 128  # the width of Philox's key


class SamplingOptions(TypedDict, total=False):
    """The keyword options of ``generate`` and ``stream``; :func:`sequentia.generate` documents them."""

    prefix: str
    temperature: float
    top_k: int | None
    top_p: float | None
    min_length: int
    max_length: int | None
    unique: bool
    novel: bool
    exclude: Iterable[str]
    pattern: str | None
    seed: int | str | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Checked options for one seeded stream of names and one vocabulary.

    Attributes:
        prefix: ids that every name starts with, int64 [symbols].
        temperature: divides the logits; 0 takes the most probable symbol.
        top_k: draw from this many of the most probable symbols, or ``None`` for all.
        top_p: draw from the smallest set of most probable symbols with this probability, or ``None`` for all.
        max_length: most symbols in a name, the prefix included; by default the model's own limit.
        unique: whether each name may occur only once.
        exclude: names not to return, encoded by :meth:`Vocabulary.rows`.
        known: the training names if ``novel`` excludes them; otherwise ``None``.
        constraint: the constraint of lengths and pattern.
        start: the state of the constraint after the prefix.
        seed: the given seed as a number, or a random one.
        draws_per_name: uniform numbers reserved for each name.
    """

    prefix: NDArray[np.int64]
    temperature: float
    top_k: int | None
    top_p: float | None
    max_length: int
    unique: bool
    exclude: frozenset[bytes]
    known: KnownNames | None
    constraint: Constraint
    start: int
    seed: int
    draws_per_name: int

    @classmethod
    def of(
        cls, options: Mapping[str, object], vocabulary: Vocabulary, longest: int, known: KnownNames | None = None
    ) -> "Plan":
        """Check options against each other and against a model, and return them as a plan.

        Args:
            options: as in :class:`SamplingOptions`.
            vocabulary: the model's.
            longest: the model's own ``max_length``.
            known: the training names, if the model includes their hashes.

        Raises:
            OptionError: if an option is out of range or contradicts another.
            VocabularyError: if the prefix contains an unknown symbol.
            TypeError: if an option does not exist.
        """
        unknown = sorted(set(options) - set(SamplingOptions.__annotations__))
        if unknown:
            raise TypeError(
                f"unknown option {unknown[0]!r}; the options are {', '.join(SamplingOptions.__annotations__)}"
            )
        prefix = options.get("prefix", "")
        if not isinstance(prefix, str):
            raise _option_error("prefix", prefix, "a string")
        prefix_ids = vocabulary.encode(prefix)
        min_length = check_int("min_length", options.get("min_length", 1), least=1, most=MAX_LENGTH)
        requested = options.get("max_length")
        max_length = (
            max(longest, min_length, len(prefix_ids))
            if requested is None
            else check_int("max_length", requested, least=1, most=MAX_LENGTH)
        )
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
        novel = _boolean("novel", options.get("novel", False))
        if novel and known is None:
            raise OptionError(
                "novel: this model has no hashes of its training names, because its recipe sets novelty=false",
                option="novel",
                value=novel,
            )
        pattern = options.get("pattern")
        if not isinstance(pattern, str | None):
            raise _option_error("pattern", pattern, "a string or None")
        if pattern is not None:
            pattern = unicodedata.normalize("NFC", pattern)
        constraint = Constraint(vocabulary.symbols, min_length, max_length, pattern)
        start = constraint.state(prefix_ids)
        if not constraint.possible(len(prefix_ids), start):
            message = _no_match(str(pattern), prefix, min_length, max_length, vocabulary)
            raise OptionError(message, option="pattern", value=pattern)
        top_k = options.get("top_k")
        top_p = options.get("top_p")
        return cls(
            prefix=prefix_ids,
            temperature=_finite_number("temperature", options.get("temperature", 1.0), positive=False),
            top_k=None if top_k is None else check_int("top_k", top_k, least=1),
            top_p=None if top_p is None else _finite_number("top_p", top_p, positive=True, most=1.0),
            max_length=max_length,
            unique=_boolean("unique", options.get("unique", False)),
            exclude=_excluded_rows(options.get("exclude", ()), vocabulary, max_length),
            known=known if novel else None,
            constraint=constraint,
            start=start,
            seed=_seed(options.get("seed")),
            draws_per_name=draws_per_name(max(max_length, longest)),
        )

    def check_enough(self, n: int) -> None:
        """Check that the options allow ``n`` names.

        Raises:
            GenerationError: if names must be unique, and prefix, lengths and pattern allow fewer than ``n``.
        """
        if self.unique and n > self.constraint.count(len(self.prefix), self.start):
            available = int(self.constraint.count(len(self.prefix), self.start))
            raise GenerationError(
                f"unique: {n} different names were requested, but prefix, lengths and pattern allow {available}; "
                "ask for fewer names or loosen the options"
            )

    @property
    def constant(self) -> bool:
        """Whether every name is the same."""
        return self.temperature == 0 or self.top_k == 1


def check_int(option: str, value: object, *, least: int, most: int = sys.maxsize) -> int:
    """Return an option as an int within its bounds, or raise :class:`OptionError`."""
    expected = f"a whole number, {least} or more" if most == sys.maxsize else f"a whole number from {least} to {most}"
    if isinstance(value, bool):
        raise _option_error(option, value, expected)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _option_error(option, value, expected) from None
    if not least <= number <= most:
        raise _option_error(option, value, expected if number < least else f"a whole number from {least} to {most}")
    return number


def _finite_number(option: str, value: object, *, positive: bool, most: float = math.inf) -> float:
    bound = "greater than 0" if positive else "0 or more"
    expected = f"a finite number {bound}" + (f" and at most {most:g}" if math.isfinite(most) else "")
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise _option_error(option, value, expected)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0 or (positive and number == 0) or number > most:
        raise _option_error(option, value, expected)
    return number


def _boolean(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _option_error(option, value, "True or False")
    return value


def strings(option: str, values: object, expected: str = "a list of strings, even for a single one") -> list[str]:
    """Return an iterable of strings as a list, or raise :class:`OptionError` for the first item of another type."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise _option_error(option, values, expected)
    items = list(values)
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise OptionError(f"{option}[{index}] must be a string, not {item!r}", option=option, value=values)
    return items


def _excluded_rows(names: object, vocabulary: Vocabulary, max_length: int) -> frozenset[bytes]:
    """Return names as :meth:`Vocabulary.rows` encodes them, without names that the model cannot draw."""
    alphabet = frozenset(vocabulary.symbols)
    texts = (unicodedata.normalize("NFC", name) for name in strings("exclude", names))
    possible = (text for text in texts if len(text) <= max_length and alphabet.issuperset(text))
    ids = [vocabulary.encode(text).tolist() for text in possible]
    return frozenset(vocabulary.rows(vocabulary.padded(ids, max_length)))


def _no_match(pattern: str, prefix: str, least: int, most: int, vocabulary: Vocabulary) -> str:
    lengths = f"{least} to {most} symbols" if least < most else f"{least} symbols"
    begins = f" that starts with {prefix!r}" if prefix else ""
    symbols = re.sub(r"\\.|\(\?P<\w+>", "", pattern)  # without escapes and group names
    anchored = set(re.sub(r"\[[^]]*\]", "", symbols)) & set("^$")
    anchors = "; a pattern always matches the whole name, and ^ and $ stand for themselves" if anchored else ""
    letters = dict.fromkeys(letter for letter in symbols if vocabulary.ids_of(letter) == [None])
    cases = [f"{other!r}, not {letter!r}" for letter in letters if (other := vocabulary.other_case(letter))]
    other_cases = f"; it has {', '.join(cases)}" if cases else ""
    return (
        f"no name of {lengths}{begins} matches the pattern {pattern!r} in the model's alphabet "
        f"({vocabulary.describe()}){other_cases}{anchors}"
    )


def _seed(value: object) -> int:
    if value is None:
        return secrets.randbits(64)
    try:
        if isinstance(value, str):
            return seed_of(value)
        return check_int("seed", value, least=0, most=_SEED_LIMIT - 1)
    except UnicodeEncodeError:
        raise _option_error("seed", value, "text without lone surrogates") from None
    except OptionError:
        raise _option_error("seed", value, "a whole number from 0 to 2**128 - 1, or a string") from None


def _option_error(option: str, value: object, expected: str) -> OptionError:
    return OptionError(f"{option} must be {expected}, not {value!r}", option=option, value=value)
