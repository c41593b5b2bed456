"""Deterministic automata over a vocabulary's ids: of all names, of a suffix, of strings to avoid, and their product."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_TRANSITIONS: Final = 1 << 22


class TooManyStatesError(Exception):
    """An automaton has more states than allowed."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A deterministic automaton that starts in state 0; from state -1 no match can be reached.

    Attributes:
        transitions: the next state by state and id, int32 [states + 1, ids]; the last row belongs to state -1.
        accepting: whether a name may end in each state, bool [states + 1].
    """

    transitions: NDArray[np.int32]
    accepting: NDArray[np.bool_]

    def reading(self, ids: NDArray[np.integer] | None) -> "Automaton":
        """Return the automaton that reads another id in place of each id, [ids]; itself if there are none."""
        return self if ids is None else Automaton(self.transitions[:, ids], self.accepting)

    @property
    def states(self) -> int:
        """The number of states, without -1."""
        return len(self.accepting) - 1


def match_all(ids: int) -> Automaton:
    """Return the automaton that accepts every name; ``ids`` is the number of ids, the boundary included."""
    return _automaton(np.zeros((1, ids), dtype=np.int32), np.ones(1, dtype=bool))


def match_prefix(prefix: Sequence[int], ids: int) -> Automaton:
    """Return the automaton of the names that start with some ids; a state is the number of those read."""
    rows = np.full((len(prefix) + 1, ids), -1, dtype=np.int32)
    rows[np.arange(len(prefix)), prefix] = np.arange(1, len(rows))
    rows[-1] = len(prefix)
    return _automaton(rows, np.arange(len(rows)) == len(prefix))


def match_suffix(suffix: Sequence[int], ids: int) -> Automaton:
    """Return the automaton of the names that end in some ids (Knuth, Morris and Pratt 1977).

    A state is the number of ids of the suffix that were read last.
    """
    rows = np.zeros((len(suffix) + 1, ids), dtype=np.int32)
    shorter = 0  # the state after the suffix so far without its first id
    for length, row in enumerate(rows):
        if length:
            row[:] = rows[shorter]
        if length < len(suffix):
            if length:
                shorter = int(row[suffix[length]])
            row[suffix[length]] = length + 1
    return _automaton(rows, np.arange(len(rows)) == len(suffix))


def match_none_of(strings: Collection[tuple[int, ...]], ids: int) -> Automaton:
    """Return the automaton of the names that contain none of some strings of ids (Aho and Corasick 1975).

    A state is the longest start of a string that was read last.

    Raises:
        TooManyStatesError: if the strings have too many different beginnings.
    """
    longer: list[dict[int, int]] = [{}]  # by state: the states of beginnings with one more id
    ends: list[list[int]] = [[]]  # by state: the ids that complete a string
    for string in strings:
        state = 0
        for i in string[:-1]:
            if i not in longer[state]:
                longer[state][i] = len(longer)
                longer.append({})
                ends.append([])
                if len(longer) * ids > MAX_TRANSITIONS:
                    raise TooManyStatesError
            state = longer[state][i]
        ends[state].append(string[-1])
    rows = np.zeros((len(longer), ids), dtype=np.int32)
    shorter = [0] * len(longer)  # the longest beginning that a beginning ends in, itself excluded
    pending = deque([0])  # in the order of their lengths
    while pending:
        state = pending.popleft()
        row = rows[state]
        if state:
            row[:] = rows[shorter[state]]
        for i, after in longer[state].items():
            if row[i] >= 0:  # else a shorter string ends here
                shorter[after] = int(row[i]) if state else 0
                row[i] = after
            pending.append(after)
        row[ends[state]] = -1
    return _automaton(rows, np.ones(len(rows), dtype=bool))


def intersect(first: Automaton, second: Automaton) -> Automaton:
    """Return the automaton of the names that two automata accept, with the states that can be reached.

    Raises:
        TooManyStatesError: if it has too many of them.
    """
    ids = first.transitions.shape[1]
    numbers = {0: 0}  # by pair of states
    frontier = np.zeros(1, dtype=np.int64)
    rows, accepting = [], []
    while len(frontier):
        of_first, of_second = np.divmod(frontier, second.states)
        accepting.append(first.accepting[of_first] & second.accepting[of_second])
        after_first, after_second = first.transitions[of_first], second.transitions[of_second]
        pairs = after_first.astype(np.int64) * second.states + after_second
        pairs[(after_first < 0) | (after_second < 0)] = -1
        reached, inverse = np.unique(pairs, return_inverse=True)
        new = [pair for pair in reached.tolist() if pair >= 0 and pair not in numbers]
        numbers.update(zip(new, range(len(numbers), len(numbers) + len(new)), strict=True))
        if len(numbers) * ids > MAX_TRANSITIONS:
            raise TooManyStatesError
        after = np.array([numbers.get(pair, -1) for pair in reached.tolist()], dtype=np.int32)
        rows.append(after[inverse].reshape(pairs.shape))
        frontier = np.array(new, dtype=np.int64)
    return _automaton(np.concatenate(rows), np.concatenate(accepting))


def _automaton(rows: NDArray[np.int32], accepting: NDArray[np.bool_]) -> Automaton:
    dead = np.full((1, rows.shape[1]), -1, dtype=np.int32)
    return Automaton(np.concatenate([rows, dead]), np.append(accepting, False))
