"""Which names a stream has, written from docs/format.md in plain Python like :mod:`tests.plain`."""

import math
import unicodedata
import zlib
from collections.abc import Callable
from functools import cache, cached_property, reduce
from itertools import accumulate, count, takewhile
from typing import Any

from . import plain_constraints
from .plain import MASK, Plain, choose, draw, key_of, philox, uniforms
from .plain_constraints import Automaton, Chances, Ids, State, Step

FREE, CANDIDATES, FIRST, ATTEMPTS, MOST_NUMBERS = 4096, 16384, 4, 16384, 2**26
COMMON, GAIN, STEADY, OFTEN, CLIPPED, MARGIN, LEAST = 1 / 8, 2, 1 / 1024, 2**-13, 0.005, 2, 2**-17


class Attempts:
    """Attempts at names under some options.

    Args:
        relative: returns the weights of the next id after the ids of a name.
        block_size: how many ids the network sees.
        prefix: ids that names start with.
        lengths: fewest and most symbols of a name.
        draws: how many uniform numbers a name has.
        automaton: accepts the names that meet the constraints other than lengths.
        constrained: whether there are any constraints.
        constant: whether all names are the same.
    """

    def __init__(
        self,
        relative: Callable[[list[int]], list[int]],
        block_size: int,
        prefix: list[int],
        lengths: tuple[int, int],
        draws: int,
        automaton: Any,
        *,
        constrained: bool,
        constant: bool,
    ) -> None:
        self.relative, self.block_size, self.prefix, self.draws = relative, block_size, prefix, draws
        (self.least, self.most), self.automaton = lengths, automaton
        self.after = cache(automaton.after)
        self.constrained, self.constant = constrained, constant

    def ends(self, length: int, state: State) -> bool:
        """Return whether a name of ``length`` symbols in a state meets the constraints: e."""
        return self.least <= length <= self.most and self.automaton.accepts(state)

    def state(self, ids: list[int]) -> State:
        return reduce(self.after, ids, self.automaton.start)

    def free(self, seed: int | str, index: int, attempt: int, steps: list[Step] | None = None) -> list[int] | None:
        """Return the ids of a free attempt, or None if it has too many symbols; add its draws to ``steps``."""
        ids = self.prefix
        for uniform in uniforms(seed, index, self.draws, attempt)[: self.most + 1 - len(ids)]:
            relative = self.relative(ids)
            symbol = draw(relative, uniform)
            if steps is not None:
                steps.append((ids, relative, uniform, symbol))
            if not symbol:
                return ids
            ids = [*ids, symbol]
        return None

    def guided(
        self, seed: int | str, index: int, attempt: int, steps: list[Step] | None = None
    ) -> tuple[list[int], float]:
        """Return the ids of a guided candidate, and its weight; add its draws to ``steps``."""
        ids, state, weight = self.prefix, self.state(self.prefix), 1.0
        for uniform in uniforms(seed, index, self.draws, attempt):
            context = ([0] * self.block_size + ids)[-self.block_size :]
            sums, factor = self.guided_sums(len(ids), state, tuple(context))
            weight *= factor
            symbol = choose(sums, uniform) if weight else 0
            if steps is not None:
                steps.append((ids, self.relative(ids), uniform, symbol))
            if not symbol:
                break
            ids, state = [*ids, symbol], self.after(state, symbol)
        return ids, weight

    def compute_guided_sums(self, length: int, state: State, context: Ids) -> tuple[list[float], float]:
        """Return the running sums of the weights at a place in a name, and what multiplies the candidate's weight."""
        relative, h, c = self.relative([i for i in context if i]), self.chances, self.chances.newest(context)
        found = [relative[0] * float(self.ends(length, state))]
        for x, weight in enumerate(relative[1:], 1):
            after = self.after(state, x)
            found.append(weight * h.of(length + 1, after, (*c, x)[1:]) if length < self.most else 0.0)
        sums = list(accumulate(found))
        return sums, sums[-1] / (sum(relative) * h.of(length, state, c)) if sums[-1] else 0.0

    @cached_property
    def share(self) -> float:
        """The share of attempts that pass. It also sets ``is_guided``, and for guided attempts ``bound``."""
        self.is_guided = False
        steps: list[Step] = []
        ids = len(self.relative(self.prefix))
        most = max(64, MOST_NUMBERS // (ids * self.draws))
        number = 1 if self.constant else min(FREE, most)
        names = [self.free("sequentia: free names", i, 0, steps) for i in range(number)]
        common = sum(ids is not None and self.ends(len(ids), self.state(ids)) for ids in names) / number
        size = (self.most + 1) * self.automaton.states(ids)
        orders = (k for k in (2, 1, 0) if size * ids ** (k + 1) <= plain_constraints.MOST_CHANCES)
        k = next((k for k in orders if k <= self.block_size), None)
        if self.constant or common >= COMMON or k is None:
            return common
        for what, number in (("first candidates", FREE), ("candidates", CANDIDATES)):
            self.chances = Chances(steps, k, self.most, ids, self.after, self.ends)
            self.guided_sums = cache(self.compute_guided_sums)
            accepted, value = self.bounded(f"sequentia: {what}", min(number, most), steps)
            self.is_guided = 0 < accepted >= GAIN * value and (accepted >= STEADY or value < OFTEN)
            if not self.is_guided:
                return value
        return accepted

    def bounded(self, seed: str, number: int, steps: list[Step]) -> tuple[float, float]:
        """Set ``bound`` from the weights of some candidates; return the share accepted, and the value."""
        weights = sorted((self.guided(seed, i, 0, steps)[1] for i in range(number)), reverse=True)
        sums = list(accumulate(weights))
        over = [total - j * weight for j, (total, weight) in enumerate(zip(sums, weights, strict=True), 1)]
        self.bound = MARGIN * weights[max(j for j, excess in enumerate(over) if excess <= CLIPPED * sums[-1])]
        start = self.chances.of(len(self.prefix), self.state(self.prefix), self.chances.newest(self.prefix))
        return (sums[-1] / (number * self.bound) if self.bound else 0.0), start * (sums[-1] / number)

    def goes_on(self, attempt: int) -> bool:
        """Return whether there is an attempt of this number at a name."""
        if self.constant:
            return attempt == 0
        if not self.constrained and attempt < FIRST:
            return True
        most = min(math.ceil(ATTEMPTS / self.share), 2**24) if self.constrained and self.share else ATTEMPTS
        return self.share >= LEAST and attempt < most

    def is_free(self, attempt: int) -> bool:
        if not self.constrained and attempt < FIRST:
            return True
        return self.share == 0 or not self.is_guided  # computing the share decides

    def passes(self, seed: int | str, index: int, attempt: int) -> list[int] | None:
        """Return the ids of an attempt at a name, if it passes."""
        if self.is_free(attempt):
            free = self.free(seed, index, attempt)
            return free if free is not None and self.ends(len(free), self.state(free)) else None
        ids, weight = self.guided(seed, index, attempt)
        uniform = philox(key_of(seed), (index + 1 & MASK, index + 1 >> 64, attempt, 1))[0] >> 11
        return ids if uniform * 2.0**-53 * self.bound < weight else None


def attempts_of(model: Plain, o: dict[str, Any]) -> Attempts:
    """Return the attempts at names of a model under some options."""
    prefix, suffix = model.encode(o.get("prefix", "")), model.encode(o.get("suffix", ""))
    avoid = [model.split(text) for text in o.get("avoid", ())]
    least = o.get("min_length", 1)
    most = o.get("max_length") or max(model.longest, least, len(prefix), len(suffix))
    known = [
        tuple(map(model.symbols.index, each)) for each in avoid if {*each} <= {*model.symbols} and len(each) <= most
    ]
    never: list[Ids] = [(len(model.symbols) - 1,)] if model.words else []  # the unknown word
    return Attempts(
        lambda ids: model.relative(ids, o),
        model.block_size,
        prefix,
        (least, most),
        (max(most, model.longest) // 4 + 1) * 4,
        Automaton(tuple(suffix), [*known, *never]),
        constrained=bool(suffix or known or least > 1 or most < model.longest),
        constant=o.get("temperature") == 0 or o.get("top_k") == 1,
    )


def names(model: Plain, seed: int | str, first: int, number: int, o: dict[str, Any]) -> list[str]:
    """Return names of a stream from an index on; with ``unique``, without those that came before."""
    attempts, found = attempts_of(model, o), list[str]()
    excluded = [model.separator.join(model.split(text)) for text in o.get("exclude", ())]

    def name(index: int) -> str:
        for attempt in takewhile(attempts.goes_on, count()):
            ids = attempts.passes(seed, index, attempt)
            text = model.separator.join(model.symbols[i] for i in ids or [])
            known = o.get("novel", False) and zlib.crc32(text.encode()) in model.known
            if text and unicodedata.is_normalized("NFC", text) and text not in excluded and not known:
                return text
        raise ValueError("no attempt is accepted")

    for index in count(first):
        if len(found) == number:
            break
        text = name(index)
        if not (o.get("unique") and text in found):
            found.append(text)
    return found
