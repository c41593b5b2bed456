"""Regular expressions as automata over a vocabulary's ids.

greenery parses the pattern. The syntax tree becomes a non-deterministic automaton (Thompson 1968, "Regular expression
search algorithm"). The subset construction makes it deterministic, but only for the states that names of bounded length
over the model's alphabet can reach. A pattern that needs too many states is refused.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .automaton import Automaton, TooManyStatesError
from .errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_STATES: Final = 4096
_MAX_SHOWN: Final = 200
_SUPPORTED: Final = (
    r"supported syntax: symbols, ., classes such as [a-e] and [^x], \d \w \s \D \W \S (of ASCII), "
    r"escapes such as \. and \x41, groups ( ) and (?: ), |, and the repetitions ? * + {2} {2,} {2,3}"
)
_UNSUPPORTED: Final = (
    (r"\(\?[aiLmsux-]+[:)]", "flags such as (?i) are not supported: to match either case, write [Mm]"),
    (r"\(\?<?[=!]", "look-ahead and look-behind are not supported"),
    (r"\\[bBAZzG]", "anchors and word boundaries are not supported: a pattern always matches the whole name"),
    (r"\\0|\\[0-7]{2}", "octal escapes are not supported: write the symbol, or \\x41"),
    (r"\\[1-9]|\(\?P=", "back-references are not supported"),
    (r"\(\?(?![:P])", "groups with ? are not supported, except (?: )"),
    (r"\\[pP]", "Unicode categories are not supported: list the symbols in a class"),
    (r"[*+?}]\+", "possessive repetitions are not supported"),
    (r"\{,|\{\}", "a repetition needs its minimum: write {0,3}"),
    (r"^[^[]*\\-", "outside a class, write - without a backslash"),
    (r"\\([^dDwWsSnrtfv.x(){}|*+?\[\]^$\\-]|u)", "this escape is not supported: write the symbol itself"),
)


@lru_cache(maxsize=32)
def compile_pattern(pattern: str, symbols: tuple[str, ...], max_length: int) -> Automaton:
    """Return the automaton of a pattern for names of at most ``max_length`` symbols.

    Raises:
        OptionError: if the pattern cannot be read or needs more than 4,096 states.
    """
    import greenery

    try:
        tree = greenery.parse(pattern)
    except (Exception, RecursionError) as error:
        raise OptionError(
            f"pattern {_shorten(pattern)} cannot be read: {_reason(pattern, error)}; {_SUPPORTED}",
            option="pattern",
            value=pattern,
        ) from error
    try:
        return _determinize(_NFA(tree, symbols, max_length), len(symbols) + 1, max_length)
    except TooManyStatesError:
        raise OptionError(
            f"pattern {_shorten(pattern)} is too complex: it needs more than {_MAX_STATES:,} states; "
            "shorten its repetitions",
            option="pattern",
            value=pattern,
        ) from None


def _shorten(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _MAX_SHOWN else pattern[:_MAX_SHOWN] + "…")


def _reason(pattern: str, error: BaseException) -> str:
    """Return why a pattern cannot be read; fall back to greenery's message."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    unsupported = (reason for construct, reason in _UNSUPPORTED if re.search(construct, pattern))
    return next(unsupported, _syntax_error(pattern) or str(error))


def _syntax_error(pattern: str) -> str | None:
    """Describe a common syntax error, such as an unmatched bracket; return None if none is found."""
    plain = re.sub(r"\\.", "x", pattern)
    outside = re.sub(r"\[[^]]*\]", "x", plain)
    if "[" in outside:
        return "a [ is not closed by ]"
    opened, closed = outside.count("("), outside.count(")")
    if opened != closed:
        return "a ( is not closed by )" if opened > closed else "a ) has no matching ("
    bounds = re.findall(r"\{(\d+),(\d+)\}", outside)
    if any(int(least) > int(most) for least, most in bounds):
        return "a repetition's minimum is greater than its maximum"
    if re.search(r"\[\^?-|-\]", plain):
        return r"in a class, write - as \- unless it marks a range"
    return "a repetition has nothing to repeat" if re.search(r"(^|[(|*+?}])[*+?{]", outside) else None


class _NFA:
    """A non-deterministic automaton; each state has a move on a set of ids and skips that take no symbol."""

    def __init__(self, tree: Any, symbols: tuple[str, ...], max_length: int) -> None:
        self.moves: list[tuple[frozenset[int], int]] = []
        self.skips: list[list[int]] = []
        self._symbols = symbols
        self._max_repeats = max_length + 1  # one more than fits in a name is as good as infinitely many
        self.end = self._add_state()
        self.start = self._add_alternatives(tree, self.end)

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """Return the given states and all states reached from them without a symbol."""
        reached = set(states)
        pending = list(reached)
        while pending:
            for state in self.skips[pending.pop()]:
                if state not in reached:
                    reached.add(state)
                    pending.append(state)
        return frozenset(reached)

    def _add_state(self, move: tuple[frozenset[int], int] = (frozenset(), 0), skips: Iterable[int] = ()) -> int:
        if len(self.moves) == _MAX_STATES:
            raise TooManyStatesError
        self.moves.append(move)
        self.skips.append(list(skips))
        return len(self.moves) - 1

    def _add_alternatives(self, pattern: Any, after: int) -> int:
        return self._add_state(skips=[self._add_sequence(sequence, after) for sequence in pattern.concs])

    def _add_sequence(self, sequence: Any, after: int) -> int:
        for repeated in reversed(sequence.mults):
            after = self._add_repetition(repeated, after)
        return after

    def _add_repetition(self, repeated: Any, after: int) -> int:
        least, most = (bound.v for bound in (repeated.multiplier.min, repeated.multiplier.max))
        least = min(least, self._max_repeats)
        if most is None:
            start = self._add_state(skips=[after])
            self.skips[start].append(self._add_piece(repeated.multiplicand, start))
        else:
            start = after
            for _ in range(min(most, self._max_repeats) - least):
                start = self._add_state(skips=[after, self._add_piece(repeated.multiplicand, start)])
        for _ in range(least):
            start = self._add_piece(repeated.multiplicand, start)
        return start

    def _add_piece(self, piece: Any, after: int) -> int:
        if hasattr(piece, "concs"):
            return self._add_alternatives(piece, after)
        ids = frozenset(i for i, symbol in enumerate(self._symbols, start=1) if piece.accepts(symbol))
        return self._add_state(move=(ids, after))


def _determinize(nfa: _NFA, ids: int, max_length: int) -> Automaton:
    start = nfa.closure([nfa.start])
    numbers = {start: 0}
    rows: list[NDArray[np.int32]] = []
    level = [start]
    for _ in range(max_length):
        next_level = []
        for states in level:
            row = np.full(ids, -1, dtype=np.int32)
            targets: dict[int, set[int]] = {}
            for state in states:
                move_ids, target = nfa.moves[state]
                for i in move_ids:
                    targets.setdefault(i, set()).add(target)
            closures = {frozenset(reached): nfa.closure(reached) for reached in targets.values()}
            for i, states_after in targets.items():
                following = closures[frozenset(states_after)]
                if following not in numbers:
                    if len(numbers) == _MAX_STATES:
                        raise TooManyStatesError
                    numbers[following] = len(numbers)
                    next_level.append(following)
                row[i] = numbers[following]
            rows.append(row)
        level = next_level
    dead = np.full((len(numbers) + 1 - len(rows), ids), -1, dtype=np.int32)  # state -1, and states at the last length
    accepting = np.array([nfa.end in states for states in numbers] + [False])
    return Automaton(np.concatenate([np.array(rows, dtype=np.int32).reshape(-1, ids), dead]), accepting)
