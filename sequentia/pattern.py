"""Regular expressions as automata over a vocabulary's ids.

The syntax tree is greenery's. It becomes a non-deterministic automaton (Thompson 1968, "Regular expression search
algorithm"), and that a deterministic one by the subset construction, but only as far as names of bounded length over
the model's alphabet can reach: a pattern whose whole automaton would be exponential stays small, or is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError

_MOST_STATES: Final = 4096
_LONGEST_SHOWN: Final = 200
_SUPPORTED: Final = (
    r"supported are symbols, ., classes such as [a-e] and [^x], \d \w \s \D \W \S (of ASCII), "
    r"escapes such as \. and \x41, groups ( ) and (?: ), |, and the repetitions ? * + {2} {2,} {2,3}"
)
_UNSUPPORTED: Final = (
    (r"\(\?[aiLmsux-]+[:)]", "flags such as (?i) are not supported: for either case of a letter write [Mm]"),
    (r"\(\?<?[=!]", "look-ahead and look-behind are not supported"),
    (r"\\[bBAZzG]", "anchors and word boundaries are not supported: a pattern always matches the whole name"),
    (r"\\0|\\[0-7]{2}", "octal escapes are not supported: write the symbol, or \\x41"),
    (r"\\[1-9]|\(\?P=", "back-references are not supported"),
    (r"\(\?(?![:P])", "groups with ? are not supported, but for (?: )"),
    (r"\\[pP]", "Unicode categories are not supported: list the symbols in a class"),
    (r"[*+?}]\+", "possessive repetitions are not supported"),
    (r"\{,|\{\}", "a repetition needs its least number: {0,3}"),
    (r"^[^[]*\\-", r"outside a class, - is written without \\"),
    (r"\\([^dDwWsSnrtfv.x(){}|*+?\[\]^$\\-]|u)", "this escape is not supported: write the symbol itself"),
)


@dataclass(frozen=True, eq=False)
class Automaton:
    """A deterministic automaton; a name starts in state 0, and from state -1 there is no way to a match.

    Attributes:
        transitions: the state after a state and an id, int32 [states + 1, ids]; the last row is that of state -1.
        accepting: whether a name may end in a state, bool [states + 1].
    """

    transitions: NDArray[np.int32]
    accepting: NDArray[np.bool_]


def anything(ids: int) -> Automaton:
    """Return the automaton of all names over some ids."""
    transitions = np.zeros((2, ids), dtype=np.int32)
    transitions[-1] = -1
    return Automaton(transitions, np.array([True, False]))


@lru_cache(maxsize=32)
def automaton(pattern: str, symbols: tuple[str, ...], max_length: int) -> Automaton:
    """Return the automaton of a pattern for names of up to ``max_length`` symbols.

    Raises:
        OptionError: if the pattern cannot be read, or needs more than 4,096 states.
    """
    import greenery

    try:
        tree = greenery.parse(pattern)
    except (Exception, RecursionError) as error:
        raise OptionError(
            f"pattern {_shortened(pattern)} cannot be read: {_reason(pattern, error)}; {_SUPPORTED}",
            option="pattern",
            value=pattern,
        ) from error
    try:
        return _determinized(_Nondeterministic(tree, symbols, max_length), len(symbols) + 1, max_length)
    except _TooManyStatesError:
        raise OptionError(
            f"pattern {_shortened(pattern)} is too complex: it needs more than {_MOST_STATES:,} states; "
            "shorten its repetitions",
            option="pattern",
            value=pattern,
        ) from None


def _shortened(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _LONGEST_SHOWN else pattern[:_LONGEST_SHOWN] + "…")


def _reason(pattern: str, error: BaseException) -> str:
    """Return why a pattern cannot be read: what it holds that is not supported, or else what greenery says."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    known = (reason for construct, reason in _UNSUPPORTED if re.search(construct, pattern))
    return next(known, _slip(pattern) or str(error))


def _slip(pattern: str) -> str | None:
    """Return what is written wrongly: a bracket without its partner, say; None if nothing is found."""
    plain = re.sub(r"\\.", "x", pattern)
    outside = re.sub(r"\[[^]]*\]", "x", plain)
    if "[" in outside:
        return "a [ is not closed by ]"
    opened, closed = outside.count("("), outside.count(")")
    if opened != closed:
        return "a ( is not closed by )" if opened > closed else "a ) closes no ("
    bounds = re.findall(r"\{(\d+),(\d+)\}", outside)
    if any(int(least) > int(most) for least, most in bounds):
        return "a repetition's least number is greater than its largest"
    if re.search(r"\[\^?-|-\]", plain):
        return r"in a class, a - that is no range is written \-"
    return "a repetition follows nothing that could be repeated" if re.search(r"(^|[(|*+?}])[*+?{]", outside) else None


class _TooManyStatesError(Exception):
    """The automaton outgrows its limit."""


class _Nondeterministic:
    """An automaton with moves on a set of ids, and moves that take no symbol; built from the end of the pattern."""

    def __init__(self, tree: Any, symbols: tuple[str, ...], max_length: int) -> None:
        self.moves: list[tuple[frozenset[int], int]] = []
        self.skips: list[list[int]] = []
        self._symbols = symbols
        self._most_repeats = max_length + 1  # a name has no room for more, and what is empty needs no more
        self.end = self._state()
        self.start = self._alternatives(tree, self.end)

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """Return some states and all that are reached from them without a symbol."""
        reached = set(states)
        pending = list(reached)
        while pending:
            for state in self.skips[pending.pop()]:
                if state not in reached:
                    reached.add(state)
                    pending.append(state)
        return frozenset(reached)

    def _state(self, move: tuple[frozenset[int], int] = (frozenset(), 0), skips: Iterable[int] = ()) -> int:
        if len(self.moves) == _MOST_STATES:
            raise _TooManyStatesError
        self.moves.append(move)
        self.skips.append(list(skips))
        return len(self.moves) - 1

    def _alternatives(self, pattern: Any, after: int) -> int:
        return self._state(skips=[self._sequence(each, after) for each in pattern.concs])

    def _sequence(self, sequence: Any, after: int) -> int:
        for repeated in reversed(sequence.mults):
            after = self._repeated(repeated, after)
        return after

    def _repeated(self, repeated: Any, after: int) -> int:
        least, most = (bound.v for bound in (repeated.multiplier.min, repeated.multiplier.max))
        least = min(least, self._most_repeats)
        if most is None:
            start = self._state(skips=[after])
            self.skips[start].append(self._once(repeated.multiplicand, start))
        else:
            start = after
            for _ in range(min(most, self._most_repeats) - least):
                start = self._state(skips=[after, self._once(repeated.multiplicand, start)])
        for _ in range(least):
            start = self._once(repeated.multiplicand, start)
        return start

    def _once(self, piece: Any, after: int) -> int:
        if hasattr(piece, "concs"):
            return self._alternatives(piece, after)
        ids = frozenset(i for i, symbol in enumerate(self._symbols, start=1) if piece.accepts(symbol))
        return self._state(move=(ids, after))


def _determinized(source: _Nondeterministic, ids: int, max_length: int) -> Automaton:
    start = source.closure([source.start])
    numbers = {start: 0}
    rows: list[NDArray[np.int32]] = []
    level = [start]
    for _ in range(max_length):
        reached = []
        for states in level:
            row = np.full(ids, -1, dtype=np.int32)
            targets: dict[int, set[int]] = {}
            for state in states:
                moved_by, target = source.moves[state]
                for each in moved_by:
                    targets.setdefault(each, set()).add(target)
            closures = {frozenset(each): source.closure(each) for each in targets.values()}
            for each, states_after in targets.items():
                following = closures[frozenset(states_after)]
                if following not in numbers:
                    if len(numbers) == _MOST_STATES:
                        raise _TooManyStatesError
                    numbers[following] = len(numbers)
                    reached.append(following)
                row[each] = numbers[following]
            rows.append(row)
        level = reached
    dead = np.full((len(numbers) + 1 - len(rows), ids), -1, dtype=np.int32)  # and names too long to go on
    accepting = np.array([source.end in states for states in numbers] + [False])
    return Automaton(np.concatenate([np.array(rows, dtype=np.int32).reshape(-1, ids), dead]), accepting)
