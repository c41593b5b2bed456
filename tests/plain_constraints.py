"""Constraints on names, and the look ahead, written from docs/format.md in plain Python like :mod:`tests.plain`."""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

MOST_CHANCES, MOST_COUNTS = 2**25, 2**22

Ids = tuple[int, ...]
State = Any
Step = tuple[list[int], list[int], int, int]
"""The ids before a draw, the weights, the uniform number and the id that it draws."""


class Automaton:
    """Reads the ids of names that end in a suffix and contain none of some strings.

    A state holds the longest start of the suffix that was read last, and the longest start of a string to avoid. It is
    None once such a string was read.
    """

    start: State = ((), ())

    def __init__(self, suffix: Ids, avoid: Collection[Ids]) -> None:
        self.suffix, self.avoid = suffix, {*avoid}
        self.starts = {suffix[:end] for end in range(len(suffix) + 1)}
        self.starts_to_avoid = {(), *(string[:end] for string in self.avoid for end in range(len(string)))}

    def after(self, state: State, symbol: int) -> State:
        if state is None:
            return None
        read, to_avoid = ([(*part, symbol)[at:] for at in range(len(part) + 2)] for part in state)
        if not self.avoid.isdisjoint(to_avoid):
            return None
        return next(x for x in read if x in self.starts), next(x for x in to_avoid if x in self.starts_to_avoid)

    def states(self, ids: int) -> int:
        """Return how many states there are, without None."""
        found, frontier = set(), [self.start]
        while frontier:
            state = frontier.pop()
            if state is not None and state not in found:
                found.add(state)
                frontier += [self.after(state, x) for x in range(1, ids)]
        return len(found)

    def accepts(self, state: State) -> bool:
        return state is not None and state[0] == self.suffix


class Chances:
    """How likely constraints will be met, if symbols came from a Markov model of the network: h."""

    def __init__(self, steps: list[Step], k: int, most: int, ids: int, after: Any, ends: Any) -> None:
        self.k, self.most, self.ids, self.after, self.ends = k, most, ids, after, ends
        self.last_length = min(most, max(MOST_COUNTS // ids ** (k + 1) - 1, 0))
        self.counts: dict[Any, list[int]] = defaultdict(lambda: [0] * ids)
        for before, relative, _, _ in steps:
            scale = 65536 / sum(relative)
            counts = [math.floor(weight * scale + 0.5) for weight in relative]
            for place in self.places(len(before), self.newest(before)):
                self.counts[place] = list(map(int.__add__, self.counts[place], counts))
        self.probabilities, self.of = cache(self.compute_probabilities), cache(self.compute)

    def newest(self, ids: Sequence[int]) -> Ids:
        """Return the last ``k`` ids of the context."""
        return tuple([*[0] * self.k, *ids][len(ids) :])

    def places(self, length: int, c: Ids) -> list[tuple[int | None, Ids]]:
        """Return which counts belong to a place in a name, coarse to fine."""
        return [*((None, c[self.k - n :]) for n in range(self.k + 1)), (min(length, self.last_length), c)]

    def compute_probabilities(self, length: int, c: Ids) -> list[float]:
        found = [1 / self.ids] * self.ids
        for place in self.places(length, c):
            counts = self.counts[place]
            total = sum(counts) + 2**20
            found = [(n + 2**20 * p) / total for n, p in zip(counts, found, strict=True)]
        return found

    def compute(self, length: int, state: State, c: Ids) -> float:
        """Return h after ``length`` symbols in a state, the last ids being ``c``."""
        probabilities = self.probabilities(min(length, self.last_length), c)
        chance: float = self.ends(length, state) * probabilities[0]
        for x in range(1, self.ids if length < self.most else 1):
            after = self.after(state, x)
            chance += probabilities[x] * self.of(length + 1, after, (*c, x)[1:]) if after is not None else 0
        return chance
