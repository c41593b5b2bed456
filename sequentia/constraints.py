"""Which symbols may follow which: the bounds on a name's length, and its pattern.

A symbol is allowed if some name that begins so meets the constraints: no draw leads into a dead end, and every name
that meets them can still be drawn.
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
    """The names of some lengths over some ids, and of these the ones that a pattern matches in full.

    Args:
        symbols: the alphabet.
        min_length: fewest symbols of a name.
        max_length: most symbols; there a name ends without a draw.
        pattern: a regular expression; by default every name will do.
    """

    def __init__(self, symbols: tuple[str, ...], min_length: int, max_length: int, pattern: str | None = None) -> None:
        self._symbols, self._pattern = symbols, pattern
        self._min_length, self._max_length = min_length, max_length
        self._free = pattern is None
        self._no_end = np.arange(len(symbols) + 1) != BOUNDARY

    @cached_property
    def _automaton(self) -> "Automaton":
        from .pattern import anything, automaton

        if self._pattern is None:
            return anything(len(self._symbols) + 1)
        return automaton(self._pattern, self._symbols, self._max_length)

    @cached_property
    def _viable(self) -> NDArray[np.bool_]:
        """Where the constraints can still be met, bool [max_length + 2, states], by symbols so far and state."""
        viable = np.zeros((self._max_length + 2, len(self._automaton.accepting)), dtype=bool)
        for length in range(self._max_length, -1, -1):
            viable[length] = viable[length + 1][self._automaton.transitions[:, 1:]].any(axis=1)
            if length >= self._min_length:
                viable[length] |= self._automaton.accepting
        return viable

    def state(self, ids: Iterable[int]) -> int:
        """Return the state after some ids from the start.

        Raises:
            OptionError: if the pattern cannot be read, or is too complex.
        """
        state = 0
        if self._free:
            return state
        for each in ids:
            state = int(self._automaton.transitions[state, each])
        return state

    def after(self, states: NDArray[np.integer], ids: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the states one symbol later, int [n]."""
        return states if self._free else self._automaton.transitions[states, ids]

    def possible(self, length: int, state: int) -> bool:
        """Return whether a name that is in a state after so many symbols can meet the constraints."""
        return self._free or bool(self._viable[length, state])

    def allowed(self, length: int, states: NDArray[np.integer]) -> NDArray[np.bool_] | None:
        """Return the ids that may come after so many symbols in some states: bool [ids] or [n, ids], None for all."""
        if self._free:
            return None if length >= self._min_length else self._no_end
        allowed: NDArray[np.bool_] = self._viable[length + 1][self._automaton.transitions[states]]
        allowed[:, BOUNDARY] = self._automaton.accepting[states] & (length >= self._min_length)
        return allowed

    def count(self, length: int, state: int) -> float:
        """Return how many names meet the constraints that are in a state after so many symbols."""
        with np.errstate(over="ignore"):
            ways = np.zeros(len(self._automaton.accepting))
            for each in range(self._max_length, length - 1, -1):
                going_on = ways[self._automaton.transitions[:, 1:]].sum(axis=1) if each < self._max_length else ways
                ways = going_on + (self._automaton.accepting & (each >= self._min_length))
                ways[-1] = 0
        return float(ways[state])
