"""The options of ``generate`` and ``stream``, checked against each other and against a model."""

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
from .sampling import WORDS_PER_COUNTER
from .vocabulary import BOUNDARY, Vocabulary

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
    seed: int | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Checked options, in the terms of one vocabulary: what one seeded stream of names is made of.

    Attributes:
        prefix: ids that every name starts with, int64 [symbols].
        temperature: divisor of the logits; 0 always takes the most probable symbol.
        top_k: keep only so many of the most probable symbols; ``None`` for all.
        top_p: keep only the most probable symbols that together reach this probability; ``None`` for all.
        max_length: most symbols in a name, the prefix included; by default the model's own limit.
        unique: whether no name may be returned twice.
        exclude: names not to return, as the bytes of rows of ids.
        known: the names not to return with ``novel``; otherwise ``None``.
        constraint: which symbols may follow which.
        start: its state after the prefix.
        seed: the given one, or a fresh one.
        draws_per_name: uniform numbers that each name owns.
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
        """Check options against each other and against a model.

        Args:
            options: as in :class:`SamplingOptions`.
            vocabulary: the model's.
            longest: the model's own ``max_length``.
            known: the names the model was trained on, if it can tell them.

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
        min_length = check_int("min_length", options.get("min_length", 1), least=1, most=MAX_LENGTH)
        given = options.get("max_length")
        max_length = (
            max(longest, min_length, len(prefix_ids))
            if given is None
            else check_int("max_length", given, least=1, most=MAX_LENGTH)
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
        novel = _flag("novel", options.get("novel", False))
        if novel and known is None:
            raise OptionError(
                "novel: this model does not say which names it was trained on (novelty=false in its recipe)",
                option="novel",
                value=novel,
            )
        pattern = options.get("pattern")
        if not isinstance(pattern, str | None):
            raise _out_of_range("pattern", pattern, "a string, or None")
        if pattern is not None:
            pattern = unicodedata.normalize("NFC", pattern)
        constraint = Constraint(vocabulary.symbols, min_length, max_length, pattern)
        start = constraint.state(prefix_ids)
        if not constraint.possible(len(prefix_ids), start):
            message = _contradiction(str(pattern), prefix, min_length, max_length, vocabulary)
            raise OptionError(message, option="pattern", value=pattern)
        top_k = options.get("top_k")
        top_p = options.get("top_p")
        return cls(
            prefix=prefix_ids,
            temperature=_real("temperature", options.get("temperature", 1.0), positive=False),
            top_k=None if top_k is None else check_int("top_k", top_k, least=1),
            top_p=None if top_p is None else _real("top_p", top_p, positive=True, most=1.0),
            max_length=max_length,
            unique=_flag("unique", options.get("unique", False)),
            exclude=_rows_of(options.get("exclude", ()), vocabulary, max_length),
            known=known if novel else None,
            constraint=constraint,
            start=start,
            seed=_seed(options.get("seed")),
            draws_per_name=-(-max(max_length, longest) // WORDS_PER_COUNTER) * WORDS_PER_COUNTER,
        )

    def check_enough(self, n: int) -> None:
        """Refuse to look for more different names than there are.

        Raises:
            GenerationError: if the lengths and the pattern allow fewer than ``n``, and none may come twice.
        """
        if self.unique and n > self.constraint.count(len(self.prefix), self.start):
            enough = int(self.constraint.count(len(self.prefix), self.start))
            raise GenerationError(
                f"unique: {n} different names are wanted, and prefix, lengths and pattern allow {enough}; "
                "ask for fewer, or loosen the options"
            )

    @property
    def constant(self) -> bool:
        """Whether every name is the same."""
        return self.temperature == 0 or self.top_k == 1


def check_int(option: str, value: object, *, least: int, most: int = sys.maxsize) -> int:
    """Return an option as an int within its bounds, or raise :class:`OptionError`."""
    needed = f"a whole number, {least} or more" if most == sys.maxsize else f"a whole number from {least} to {most}"
    if isinstance(value, bool):
        raise _out_of_range(option, value, needed)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _out_of_range(option, value, needed) from None
    if not least <= number <= most:
        raise _out_of_range(option, value, needed if number < least else f"a whole number from {least} to {most}")
    return number


def _real(option: str, value: object, *, positive: bool, most: float = math.inf) -> float:
    bound = "greater than 0" if positive else "0 or more"
    needed = f"a finite number {bound}" + (f" and at most {most:g}" if math.isfinite(most) else "")
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise _out_of_range(option, value, needed)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0 or (positive and number == 0) or number > most:
        raise _out_of_range(option, value, needed)
    return number


def _flag(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _out_of_range(option, value, "True or False")
    return value


def texts(option: str, values: object, needed: str = "several strings: a list, also for one") -> list[str]:
    """Return several strings as a list, or raise :class:`OptionError` that says which of them is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise _out_of_range(option, values, needed)
    listed = list(values)
    for place, value in enumerate(listed):
        if not isinstance(value, str):
            raise OptionError(f"{option}[{place}] must be a string, not {value!r}", option=option, value=values)
    return listed


def _rows_of(names: object, vocabulary: Vocabulary, max_length: int) -> frozenset[bytes]:
    """Return names as the bytes of padded rows of ids; what the model cannot draw anyway is left out."""
    rows = set()
    for name in texts("exclude", names):
        ids = vocabulary.ids_of(unicodedata.normalize("NFC", name))
        if None not in ids and len(ids) <= max_length:
            rows.add(np.array(ids + [BOUNDARY] * (max_length - len(ids)), dtype=vocabulary.dtype).tobytes())
    return frozenset(rows)


def _contradiction(pattern: str, prefix: str, least: int, most: int, vocabulary: Vocabulary) -> str:
    lengths = f"{least} to {most} symbols" if least < most else f"{least} symbols"
    begins = f" that starts with {prefix!r}" if prefix else ""
    symbols = re.sub(r"\\.|\(\?P<\w+>", "", pattern)  # neither escapes nor names of groups
    anchored = set(re.sub(r"\[[^]]*\]", "", symbols)) & set("^$")
    anchors = "; it always matches the whole name, and ^ and $ stand for themselves" if anchored else ""
    letters = dict.fromkeys(letter for letter in symbols if vocabulary.ids_of(letter) == [None])
    cases = [f"{other!r}, not {letter!r}" for letter in letters if (other := vocabulary.other_case(letter))]
    has = f"; it has {', '.join(cases)}" if cases else ""
    return (
        f"no name of {lengths}{begins} matches the pattern {pattern!r}, in the model's alphabet "
        f"({vocabulary.describe()}){has}{anchors}"
    )


def _seed(value: object) -> int:
    return secrets.randbits(64) if value is None else check_int("seed", value, least=0, most=_SEED_LIMIT - 1)


def _out_of_range(option: str, value: object, needed: str) -> OptionError:
    return OptionError(f"{option} must be {needed}, not {value!r}", option=option, value=value)
