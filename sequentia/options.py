"""Validation of the options of ``generate`` and ``stream``."""

import math
import operator
import re
import secrets
import sys
import unicodedata
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from .case import Case, check_case, in_case, letters_of
from .config import MAX_LENGTH
from .constraints import Constraint
from .errors import GenerationError, OptionError, VocabularyError
from .novelty import KnownNames
from .sampling import draws_per_name, seed_of
from .vocabulary import Names, Vocabulary

_SEED_LIMIT: Final = 1 << 128  # the width of Philox's key


class ConstraintOptions(TypedDict, total=False):
    """The keyword options that say which names are allowed; :func:`sequentia.generate` documents them."""

    where: Mapping[str, object] | None
    prefix: str
    min_length: int
    max_length: int | None
    pattern: str | None
    suffix: str
    avoid: Iterable[str]
    novel: bool
    exclude: Iterable[str]


class SamplingOptions(ConstraintOptions, total=False):
    """The keyword options of ``generate`` and ``stream``; :func:`sequentia.generate` documents them."""

    temperature: float
    top_k: int | None
    top_p: float | None
    unique: bool
    seed: int | str | None
    case: Case | None


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
        exclude: names not to return, as :meth:`told_apart` tells them apart.
        known: the names of the list if ``novel`` excludes them; otherwise ``None``.
        constraint: what lengths, pattern, suffix and strings to avoid ask of a name.
        drawable: which ids may be drawn, bool [ids], or None if all may be.
        trivial: whether it asks only for a symbol and the model's own greatest length, as nearly all names have.
        start: the state of the constraint after the prefix.
        seed: the given seed as a number, or a random one.
        draws_per_name: uniform numbers reserved for each name: one for each symbol of the longest, and one for its end.
        case: the letter case that names are shown in, or ``None`` for the model's own.
    """

    prefix: NDArray[np.int64]
    temperature: float
    top_k: int | None
    top_p: float | None
    max_length: int
    unique: bool
    exclude: frozenset[bytes | str]
    known: KnownNames | None
    constraint: Constraint
    drawable: NDArray[np.bool_] | None
    trivial: bool
    start: int
    seed: int
    draws_per_name: int
    case: Case | None

    @classmethod
    def of(
        cls, options: Mapping[str, object], vocabulary: Vocabulary, longest: int, known: KnownNames | None = None
    ) -> "Plan":
        """Check options against each other and against a model, and return them as a plan.

        Args:
            options: as in :class:`SamplingOptions`; ``where`` is no part of the plan, see :mod:`.conditions`.
            vocabulary: the model's.
            longest: the model's own ``max_length``.
            known: the names of the list, if the model includes their hashes.

        Raises:
            OptionError: if an option is out of range or contradicts another.
            VocabularyError: if the prefix contains an unknown symbol.
            TypeError: if an option does not exist.
        """
        check_names(options, SamplingOptions)
        prefix, suffix = options.get("prefix", ""), options.get("suffix", "")
        if not isinstance(prefix, str):
            raise _option_error("prefix", prefix, "a string")
        if not isinstance(suffix, str):
            raise _option_error("suffix", suffix, "a string")
        case = check_case(options.get("case"))
        letters = None if case is None else letters_of(vocabulary)
        spell, same = (_normal, None) if letters is None else (letters.spell, letters.same)
        prefix_ids = _encoded(prefix, vocabulary, spell)
        suffix_ids = tuple(_encoded(suffix, vocabulary, spell).tolist())
        min_length = check_int("min_length", options.get("min_length", 1), least=1, most=MAX_LENGTH)
        requested = options.get("max_length")
        max_length = (
            max(longest, min_length, len(prefix_ids), len(suffix_ids))
            if requested is None
            else check_int("max_length", requested, least=1, most=MAX_LENGTH)
        )
        if min_length > max_length:
            raise OptionError(
                f"min_length {min_length} is greater than max_length {max_length}",
                option="min_length",
                value=min_length,
            )
        for option, text, ids in (("prefix", prefix, prefix_ids), ("suffix", suffix, suffix_ids)):
            if len(ids) > max_length:
                raise OptionError(
                    f"{option} {text!r} has {len(ids)} {vocabulary.unit}s, more than max_length {max_length}",
                    option=option,
                    value=text,
                )
        novel = check_boolean("novel", options.get("novel", False))
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
            if not vocabulary.takes_patterns:
                raise OptionError(
                    f"pattern: this model invents names {vocabulary.unit} by {vocabulary.unit}, and a pattern is over "
                    "characters; use prefix, suffix and avoid",
                    option="pattern",
                    value=pattern,
                )
            pattern = _normal(pattern)
        avoid = _avoided_ids(options.get("avoid", ()), vocabulary, max_length, spell)
        start_ids: tuple[int, ...] = ()
        if letters is not None and letters.are_several(prefix_ids):
            start_ids, prefix_ids = tuple(prefix_ids.tolist()), prefix_ids[:0]
        constraint = Constraint(
            vocabulary.symbols, min_length, max_length, pattern, suffix_ids, avoid, vocabulary.unknown, start_ids, same
        )
        start = constraint.state(prefix_ids)
        possible = constraint.possible(len(prefix_ids), np.array([start]))
        if possible is not None and not possible[0]:
            raise _no_match(options, min_length, max_length, vocabulary)
        top_k = options.get("top_k")
        top_p = options.get("top_p")
        return cls(
            prefix=prefix_ids,
            temperature=_finite_number("temperature", options.get("temperature", 1.0), positive=False),
            top_k=None if top_k is None else check_int("top_k", top_k, least=1),
            top_p=None if top_p is None else _finite_number("top_p", top_p, positive=True, most=1.0),
            max_length=max_length,
            unique=check_boolean("unique", options.get("unique", False)),
            exclude=_excluded(options.get("exclude", ()), vocabulary, max_length, case),
            known=known if novel else None,
            constraint=constraint,
            drawable=vocabulary.drawable,
            trivial=constraint.unrestricted and min_length == 1 and max_length >= longest,
            start=start,
            seed=seed_number(options.get("seed")),
            draws_per_name=draws_per_name(max(max_length, longest) + 1),
            case=case,
        )

    def check_enough(self, n: int) -> None:
        """Check that the options allow ``n`` names.

        Raises:
            GenerationError: if names must be unique, and prefix and constraints allow fewer than ``n``.
        """
        if self.unique and n > self.constraint.count(len(self.prefix), self.start):
            available = int(self.constraint.count(len(self.prefix), self.start))
            raise GenerationError(
                f"unique: {n} different names were requested, but the constraints allow {available}; "
                "ask for fewer names or loosen the options"
            )

    def told_apart(self, names: Names, vocabulary: Vocabulary) -> Sequence[bytes | str]:
        """Return what ``unique`` and ``exclude`` compare of names: their ids, or with ``case`` the texts shown."""
        return vocabulary.rows(names) if self.case is None else in_case(vocabulary.decode(names), self.case)

    @property
    def key(self) -> Hashable:
        """What names are drawn from; ``seed``, ``unique``, ``novel`` and ``exclude`` are no part of it."""
        sampling = self.temperature, self.top_k, self.top_p
        return (*sampling, self.prefix.tobytes(), self.constraint.key, self.draws_per_name)

    @property
    def constant(self) -> bool:
        """Whether every name is the same."""
        return self.temperature == 0 or self.top_k == 1


def check_names(options: Mapping[str, object], known: type, refused: Collection[str] = ()) -> None:
    """Raise TypeError for an option that a ``TypedDict`` does not have; the message does not list refused ones."""
    unknown = sorted(set(options) - set(known.__annotations__))
    if unknown:
        names = ", ".join(name for name in known.__annotations__ if name not in refused)
        raise TypeError(f"unknown option {unknown[0]!r}; the options are {names}")


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


def check_boolean(option: str, value: object) -> bool:
    """Return an option that is True or False, or raise :class:`OptionError`."""
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


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _encoded(text: str, vocabulary: Vocabulary, spell: Callable[[str], str]) -> NDArray[np.int64]:
    """Return the ids of a text, or raise :class:`VocabularyError` with the text as it was given."""
    try:
        return vocabulary.encode(spell(text))
    except VocabularyError as error:
        raise vocabulary.unknown_symbol(_normal(text), error.position) from None


def _excluded(names: object, vocabulary: Vocabulary, max_length: int, case: Case | None) -> frozenset[bytes | str]:
    """Return names as :meth:`Plan.told_apart` tells them apart, without some that the model cannot draw."""
    texts = map(_normal, strings("exclude", names))
    if case is not None:
        spaced = (vocabulary.separator.join(vocabulary.split(text)) for text in texts)
        return frozenset(in_case([text for text in spaced if "\n" not in text], case))
    found = [ids for text in texts if (ids := _known_ids(text, vocabulary, max_length)) is not None]
    return frozenset(vocabulary.rows(vocabulary.padded(found, max_length)))


def _known_ids(text: str, vocabulary: Vocabulary, most: int) -> tuple[int, ...] | None:
    """Return a text in NFC as ids, None if the vocabulary lacks a symbol of it or it has more than ``most``."""
    symbols = vocabulary.split(text)
    ids = vocabulary.ids_of(symbols) if len(symbols) <= most else [None]
    return None if None in ids else tuple(i for i in ids if i is not None)


def _avoided_ids(
    texts: object, vocabulary: Vocabulary, max_length: int, spell: Callable[[str], str]
) -> frozenset[tuple[int, ...]]:
    """Return strings as ids, without those that no name can contain."""
    found = set()
    for text in strings("avoid", texts):
        if not text.strip(vocabulary.separator):
            raise OptionError(
                "avoid must not contain the empty string, which every name contains", option="avoid", value=""
            )
        ids = _known_ids(spell(text), vocabulary, max_length)
        if ids is not None:
            found.add(ids)
    return frozenset(found)


def _no_match(options: Mapping[str, object], least: int, most: int, vocabulary: Vocabulary) -> OptionError:
    """Return the error for constraints that no name meets."""
    lengths = f"{least} to {most} {vocabulary.unit}s" if least < most else f"{least} {vocabulary.unit}s"
    asked = {option: options.get(option) for option in ("pattern", "prefix", "suffix", "avoid")}
    option = next((option for option in ("pattern", "suffix", "avoid") if asked[option]), "pattern")
    pattern = str(asked["pattern"] or "")
    parts = [
        f"starts with {asked['prefix']!r}" if asked["prefix"] else "",
        f"ends in {asked['suffix']!r}" if asked["suffix"] else "",
        "contains none of the strings to avoid" if asked["avoid"] else "",
        f"matches the pattern {pattern!r}" if asked["pattern"] is not None else "",
    ]
    symbols = re.sub(r"\\.|\(\?P<\w+>", "", pattern)  # without escapes and group names
    anchored = set(re.sub(r"\[[^]]*\]", "", symbols)) & set("^$")
    anchors = "; a pattern always matches the whole name, and ^ and $ stand for themselves" if anchored else ""
    letters = dict.fromkeys(letter for letter in symbols if vocabulary.ids_of(letter) == [None])
    cases = [f"{other!r}, not {letter!r}" for letter in letters if (other := vocabulary.other_case(letter))]
    other_cases = f"; it has {', '.join(cases)}" if cases else ""
    return OptionError(
        f"no name of {lengths} {' and '.join(filter(None, parts))} in the model's alphabet "
        f"({vocabulary.describe()}){other_cases}{anchors}",
        option=option,
        value=options.get(option),
    )


def seed_number(value: object) -> int:
    """Return the option ``seed`` as a number, a random one if it is None, or raise :class:`OptionError`."""
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
