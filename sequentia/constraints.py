"""What the options ``min_length``, ``max_length``, ``pattern``, ``suffix`` and ``avoid`` ask of a name.

``prefix`` is among them only where a text may be spelled in several cases; else a name is drawn after its prefix.
"""

from collections.abc import Hashable, Iterable
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from .automaton import (
    MAX_TRANSITIONS,
    Automaton,
    TooManyStatesError,
    intersect,
    match_all,
    match_none_of,
    match_prefix,
    match_suffix,
)
from .errors import OptionError
from .vocabulary import BOUNDARY, Names


class Constraint:
    """Bounds on the length of names, and an automaton that accepts them.

    Args:
        symbols: the alphabet.
        min_length: fewest symbols in a name, at least 1.
        max_length: most symbols in a name.
        pattern: a regular expression that names match in full; by default every name does.
        suffix: ids that names end in.
        avoid: strings of ids that no name contains.
        never: an id that no name contains, if there is one.
        prefix: ids that names start with.
        same: for each id, the one that stands for it in ``suffix``, ``avoid`` and ``prefix``; itself by default.

    Attributes:
        key: equal for equal constraints.
        max_length: most symbols in a name.
        unrestricted: whether it asks for nothing but lengths.
    """

    def __init__(
        self,
        symbols: tuple[str, ...],
        min_length: int,
        max_length: int,
        pattern: str | None = None,
        suffix: tuple[int, ...] = (),
        avoid: frozenset[tuple[int, ...]] = frozenset(),
        never: int | None = None,
        prefix: tuple[int, ...] = (),
        same: NDArray[np.integer] | None = None,
    ) -> None:
        self._never, self._prefix, self._same = never, prefix, same
        self._symbols, self._pattern, self._suffix, self._avoid = symbols, pattern, suffix, avoid
        self._min_length, self.max_length = min_length, max_length
        self.unrestricted = pattern is None and not suffix and not avoid and not prefix
        self.key: Hashable = (min_length, max_length, pattern, suffix, avoid, prefix, same is None)

    @classmethod
    def none(cls, max_length: int) -> "Constraint":
        """Return the constraint that names of at most so many symbols meet."""
        return cls((), 1, max_length)

    @cached_property
    def automaton(self) -> Automaton:
        """The automaton of the pattern, the suffix, the strings to avoid and the prefix.

        Raises:
            OptionError: if the pattern cannot be read, or the automaton has too many states.
        """
        ids = len(self._symbols) + 1
        parts = []
        if self._pattern is not None:
            from .pattern import compile_pattern

            parts.append(compile_pattern(self._pattern, self._symbols, self.max_length))
        try:
            if self._suffix:
                parts.append(match_suffix(self._suffix, ids).reading(self._same))
            if self._avoid:
                parts.append(match_none_of(self._avoid, ids).reading(self._same))
            if self._prefix:
                parts.append(match_prefix(self._prefix, ids).reading(self._same))
            if self._never is not None:
                parts.append(match_none_of([(self._never,)], ids))
            return reduce(intersect, parts) if parts else match_all(ids)
        except TooManyStatesError:
            asked = {"pattern": self._pattern, "suffix": self._suffix, "avoid": self._avoid, "prefix": self._prefix}
            used = [option for option, value in asked.items() if value]
            raise OptionError(
                f"{' and '.join(used)} would need an automaton of more than {MAX_TRANSITIONS // ids:,} states (each "
                "beginning of a string to avoid is one); avoid fewer or shorter strings, or shorten the pattern",
                option=used[-1],
                value=asked[used[-1]],
            ) from None

    @cached_property
    def _viable(self) -> NDArray[np.bool_]:
        """Whether the constraints can still be met, bool [max_length + 2, states], by length so far and state."""
        viable = np.zeros((self.max_length + 2, len(self.automaton.accepting)), dtype=bool)
        for length in range(self.max_length, -1, -1):
            viable[length] = viable[length + 1][self.automaton.transitions[:, 1:]].any(axis=1)
            if length >= self._min_length:
                viable[length] |= self.automaton.accepting
        return viable

    def state(self, ids: Iterable[int]) -> int:
        """Return the state after a prefix of ids.

        Raises:
            OptionError: see :attr:`automaton`.
        """
        state = 0
        if self.unrestricted:
            return state
        for i in ids:
            state = int(self.automaton.transitions[state, i])
        return state

    def after(self, states: NDArray[np.integer], ids: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the states after one more id each, int [n]."""
        return states if self.unrestricted else self.automaton.transitions[states, ids]

    def possible(self, length: int, states: NDArray[np.integer]) -> NDArray[np.bool_] | None:
        """Return whether names in some states can still meet the constraints, bool [n], or None if all can.

        Args:
            length: their symbols so far, at most ``max_length + 1``.
            states: their states, int [n].
        """
        if self.unrestricted and length <= self.max_length:
            return None
        possible: NDArray[np.bool_] = self._viable[length].take(states)
        return possible

    def met(self, length: int, states: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return whether names of ``length`` symbols in some states meet the constraints, bool [n]."""
        if self.unrestricted:
            return np.full(len(states), self._min_length <= length <= self.max_length)
        met: NDArray[np.bool_] = self.automaton.accepting.take(states)
        met &= self._min_length <= length <= self.max_length
        return met

    def accepts(self, names: Names) -> NDArray[np.bool_]:
        """Return whether whole names meet the constraints, bool [n], for ids padded with boundaries, [n, longest]."""
        states = np.zeros(len(names), dtype=np.intp)
        if not self.unrestricted:
            for ids in names.T:
                states = np.where(ids == BOUNDARY, states, self.automaton.transitions[states, ids])
        lengths = np.count_nonzero(names, axis=1)
        long_enough: NDArray[np.bool_] = (self._min_length <= lengths) & (lengths <= self.max_length)
        if not self.unrestricted:
            long_enough &= self.automaton.accepting[states]
        return long_enough

    def allowed(self, length: int, states: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return the ids after which a name of ``length`` symbols can still meet the constraints, bool [n, ids]."""
        allowed: NDArray[np.bool_] = self._viable[length + 1][self.automaton.transitions[states]]
        allowed[:, BOUNDARY] = self.met(length, states)
        return allowed

    def count(self, length: int, state: int) -> float:
        """Return how many names that meet the constraints continue from ``length`` symbols in ``state``."""
        with np.errstate(over="ignore"):
            ways = np.zeros(len(self.automaton.accepting))
            for end in range(self.max_length, length - 1, -1):
                longer = ways[self.automaton.transitions[:, 1:]].sum(axis=1) if end < self.max_length else ways
                ways = longer + (self.automaton.accepting & (end >= self._min_length))
                ways[-1] = 0
        return float(ways[state])
