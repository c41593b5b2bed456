"""The symbols that the options ``min_length``, ``max_length`` and ``pattern`` allow next.

A symbol is allowed if some continuation meets the constraints. So sampling never reaches a dead end, and every name
that meets the constraints can be drawn.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .vocabulary import BOUNDARY

if TYPE_CHECKING:
    from .pattern import Automaton


class Constraint:
    """Bounds on the length of names, and a pattern that matches them in full.

    Its state after some symbols is that of the pattern's automaton.

    Args:
        symbols: the alphabet.
        min_length: fewest symbols in a name.
        max_length: most symbols in a name; at this length a name ends without a draw.
        pattern: a regular expression; by default every name matches.
    """

    def __init__(self, symbols: tuple[str, ...], min_length: int, max_length: int, pattern: str | None = None) -> None:
        self._symbols, self._pattern = symbols, pattern
        self._min_length, self._max_length = min_length, max_length
        self._unrestricted = pattern is None
        self._no_end = np.arange(len(symbols) + 1) != BOUNDARY

    @cached_property
    def _automaton(self) -> "Automaton":
        from .pattern import compile_pattern, match_all

        if self._pattern is None:
            return match_all(len(self._symbols) + 1)
        return compile_pattern(self._pattern, self._symbols, self._max_length)

    @cached_property
    def _viable(self) -> NDArray[np.bool_]:
        """Whether the constraints can still be met, bool [max_length + 2, states], by length so far and state."""
        viable = np.zeros((self._max_length + 2, len(self._automaton.accepting)), dtype=bool)
        for length in range(self._max_length, -1, -1):
            viable[length] = viable[length + 1][self._automaton.transitions[:, 1:]].any(axis=1)
            if length >= self._min_length:
                viable[length] |= self._automaton.accepting
        return viable

    def state(self, ids: Iterable[int]) -> int:
        """Return the state after a prefix of ids.

        Raises:
            OptionError: if the pattern cannot be read or is too complex.
        """
        state = 0
        if self._unrestricted:
            return state
        for i in ids:
            state = int(self._automaton.transitions[state, i])
        return state

    def after(self, states: NDArray[np.integer], ids: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the states after one more id each, int [n]."""
        return states if self._unrestricted else self._automaton.transitions[states, ids]

    def possible(self, length: int, state: int) -> bool:
        """Return whether a name of ``length`` symbols in ``state`` can still meet the constraints."""
        return self._unrestricted or bool(self._viable[length, state])

    def allowed(self, length: int, states: NDArray[np.integer]) -> NDArray[np.bool_] | None:
        """Return the ids that may follow ``length`` symbols in each state, bool [ids] or [n, ids]; None allows all."""
        if self._unrestricted:
            return None if length >= self._min_length else self._no_end
        allowed: NDArray[np.bool_] = self._viable[length + 1][self._automaton.transitions[states]]
        allowed[:, BOUNDARY] = self._automaton.accepting[states] & (length >= self._min_length)
        return allowed

    def count(self, length: int, state: int) -> float:
        """Return how many names that meet the constraints continue from ``length`` symbols in ``state``."""
        with np.errstate(over="ignore"):
            ways = np.zeros(len(self._automaton.accepting))
            for end in range(self._max_length, length - 1, -1):
                longer = ways[self._automaton.transitions[:, 1:]].sum(axis=1) if end < self._max_length else ways
                ways = longer + (self._automaton.accepting & (end >= self._min_length))
                ways[-1] = 0
        return float(ways[state])
