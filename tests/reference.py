"""A sampler written from the documentation alone: one name at a time, symbol by symbol.

The tests hold the library's sampler against it. From the library it takes a model's logits, alphabet and sizes; from
:mod:`tests.plain_names` the look ahead, but for the number of states, which the documentation takes from the library.
"""

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, count, takewhile
from zlib import crc32

import numpy as np
from greenery import Fsm, parse

from sequentia import SequenceModel
from sequentia.constraints import Constraint

from . import plain_names
from .plain_constraints import Automaton, Ids, State
from .plain_names import Attempts

_WORD = 2**64 - 1


def philox(counter: int, key: int) -> list[int]:
    """Return the four 64-bit words that Philox4x64-10 makes of a counter of 256 bits and a key of 128.

    Written from Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    a, b, c, d = (counter >> shift & _WORD for shift in (0, 64, 128, 192))
    low_key, high_key = key & _WORD, key >> 64
    for _ in range(10):
        left, right = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = (right >> 64) ^ b ^ low_key, right & _WORD, (left >> 64) ^ d ^ high_key, left & _WORD
        low_key, high_key = low_key + 0x9E3779B97F4A7C15 & _WORD, high_key + 0xBB67AE8584CAA73B & _WORD
    return [a, b, c, d]


def weight(distance: int) -> int:
    """Return the weight of a symbol whose logit is so many steps of 1/256 below the largest."""
    return math.floor(2**32 * math.exp(-distance / 256) + 0.5)


@dataclass(frozen=True)
class Options:
    """The options of ``sequentia.generate``, with the same meaning and defaults; ``seed`` has none."""

    seed: int | str
    where: Mapping[str, object] | None = None
    prefix: str = ""
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_length: int = 1
    max_length: int | None = None
    pattern: str | None = None
    suffix: str = ""
    avoid: Iterable[str] = ()
    unique: bool = False
    novel: bool = False
    exclude: Iterable[str] = ()


@cache
def _machine(pattern: str) -> Fsm:
    return parse(pattern).to_fsm()


class Language:
    """The names that have an allowed length, match a pattern in full, end in a suffix and avoid some strings.

    It is an automaton for :mod:`tests.plain_names`: a state says what was read of the pattern, and of the rest.

    Args:
        symbols: the alphabet, from id 1 on.
        least: fewest symbols of a name.
        most: most symbols of a name.
        pattern: a regular expression, or None for all names.
        suffix: ids that names end in.
        avoid: strings of ids that no name contains.
    """

    def __init__(
        self, symbols: Sequence[str], least: int, most: int, pattern: str | None, suffix: Ids, avoid: Collection[Ids]
    ) -> None:
        machine, self._others = _machine(".*" if pattern is None else pattern), Automaton(suffix, avoid)
        self.start: State = (machine.initial, self._others.start)
        self._ends = machine.finals
        self._after = {
            (state, i): target
            for state, moves in machine.map.items()
            for symbols_of_move, target in moves.items()
            for i, symbol in enumerate(symbols, 1)
            if symbols_of_move.accepts(symbol)
        }
        self._symbols, self._least, self._most, self._pattern = tuple(symbols), least, most, pattern
        self._suffix, self._avoid = suffix, frozenset(avoid)
        self.count = cache(self._count)

    def after(self, state: State, symbol: int) -> State:
        """Return the state after one more id; None if no name can be met any more."""
        others = state and self._others.after(state[1], symbol)
        return others and (self._after[state[0], symbol], others)

    def states(self, ids: int) -> int:
        """Return how many states the library's automaton has, because this number decides about the look ahead."""
        assert ids == len(self._symbols) + 1
        library = Constraint(self._symbols, self._least, self._most, self._pattern, self._suffix, self._avoid)
        return library.automaton.states

    def accepts(self, state: State) -> bool:
        return state is not None and state[0] in self._ends and self._others.accepts(state[1])

    def _count(self, state: State, length: int) -> int:
        """Return how many names begin with ``length`` given symbols that lead to ``state``."""
        if length > self._most or state is None:
            return 0
        longer = sum(self.count(self.after(state, i), length + 1) for i in range(1, len(self._symbols) + 1))
        return (length >= self._least and self.accepts(state)) + longer


@cache
def _logits(model: SequenceModel, context: Ids, said: Ids) -> list[int]:
    """Return the logits after a context, in steps of 1/256."""
    steps = model.logits(np.array([context], dtype=np.int64), np.array([said], dtype=np.int64))[0] * 256
    whole: list[int] = steps.astype(np.int64).tolist()
    assert whole == steps.tolist()
    return whole


class Reference:
    """The stream of names that a model has for some options.

    Args:
        model: computes the logits.
        options: those of ``sequentia.generate``.
        patience: how many rejected candidates in a row, and one more for each name, end a stream with ``unique``.

    Attributes:
        rejected: number of rejected candidates by reason, of the names so far.
        too_rare: whether the names ended because the constraints are hardly ever met.
    """

    def __init__(self, model: SequenceModel, options: Options, patience: int = 10_000) -> None:
        self._model, self._options, self._patience = model, options, patience
        self._constant = options.temperature == 0 or options.top_k == 1
        self._symbols = ["", *model.vocabulary.symbols]
        where = options.where or {}
        self._said = tuple(
            values.index(str(where[name])) + 1 if name in where else 0 for name, values in model.conditions.items()
        )
        self._prefix, suffix = self._encode(options.prefix), self._encode(options.suffix)
        longest = model.config.max_length
        self._most = options.max_length or max(longest, options.min_length, len(self._prefix), len(suffix))
        self._counters_per_name = math.ceil((max(self._most, longest) + 1) / 4)
        avoid = [unicodedata.normalize("NFC", text) for text in options.avoid]
        known = [tuple(self._encode(text)) for text in avoid if {*text} <= {*self._symbols} and len(text) <= self._most]
        pattern = None if options.pattern is None else unicodedata.normalize("NFC", options.pattern)
        lengths = options.min_length, self._most
        self._language = Language(self._symbols[1:], *lengths, pattern, tuple(suffix), known)
        self._attempts = Attempts(
            self.relative,
            model.config.block_size,
            self._prefix,
            lengths,
            4 * self._counters_per_name,
            self._language,
            constrained=bool(pattern is not None or suffix or known or lengths[0] > 1 or lengths[1] < longest),
            constant=self._constant,
        )
        self._excluded = {unicodedata.normalize("NFC", name) for name in options.exclude}
        self.rejected: Counter[str] = Counter()
        self.too_rare = False

    def _encode(self, text: str) -> list[int]:
        return [self._symbols.index(symbol) for symbol in unicodedata.normalize("NFC", text)]

    @property
    def possible(self) -> int:
        """How many different names the options allow."""
        return self._language.count(self._attempts.state(self._prefix), len(self._prefix))

    @cached_property
    def _seed(self) -> int:
        if isinstance(self._options.seed, int):
            return self._options.seed
        return int.from_bytes(hashlib.sha256(self._options.seed.encode()).digest()[:16], "little")

    @cached_property
    def _known(self) -> Collection[int]:
        return set(np.frombuffer((self._model._artifact.folder / "novelty.crc32").read_bytes(), "<u4").tolist())

    def names(self) -> Iterator[str]:
        """Yield the names; end after too many rejected candidates in a row."""
        names: list[str] = []
        in_a_row = 0
        for index in count():
            before = self._rejected_though_passing
            name = self.name(index)
            if name is None:
                return
            if not (self._options.unique and name in names):
                names.append(name)
                in_a_row = 0
                yield name
                continue
            self.rejected["unique"] += 1
            in_a_row += self._rejected_though_passing - before
            if in_a_row > (0 if self._constant else self._patience + len(names)):
                return

    @property
    def _rejected_though_passing(self) -> int:
        return self.rejected.total() - self.rejected["constraints"]

    def shard(self, first: int, number: int) -> list[str]:
        """Return the names from index ``first`` on, up to one that cannot be found; ``unique`` is not looked at."""
        names: list[str] = []
        for index in range(first, first + number):
            name = self.name(index)
            if name is None:
                break
            names.append(name)
        return names

    def name(self, index: int) -> str | None:
        """Return the first attempt at a name that is not rejected, if there is one."""
        for attempt in takewhile(self._attempts.goes_on, count()):
            name = self.candidate(index, attempt)
            reason = self.reason(name)
            if not reason:
                return name
            self.rejected[reason] += 1
        decided = self._constant or "share" in vars(self._attempts)
        self.too_rare = decided and self._attempts.share < plain_names.LEAST
        return None

    def reason(self, name: str | None) -> str:
        """Return why a name is rejected, or nothing."""
        if name is None:
            return "constraints"
        if not unicodedata.is_normalized("NFC", name):
            return "not NFC"
        if name in self._excluded:
            return "exclude"
        return "novel" if self._options.novel and crc32(name.encode()) in self._known else ""

    def candidate(self, index: int, attempt: int = 0) -> str | None:
        """Return one attempt at a name, drawn symbol by symbol, if it passes."""
        ids: list[int] | None
        if self._attempts.is_free(attempt):
            ids = self.free(index, attempt)
            passes = self._attempts.ends(len(ids), self._attempts.state(ids))
        else:
            ids = self._attempts.passes(self._seed, index, attempt)
            passes = ids is not None
        return "".join(self._symbols[i] for i in ids or []) if passes else None

    def free(self, index: int, attempt: int) -> list[int]:
        """Return the ids of a free attempt, too many of them if it does not end."""
        ids = self._prefix
        for uniform in self.uniforms(index, attempt):
            cumulative = list(accumulate(self.relative(ids)))
            symbol = next(i for i, reached in enumerate(cumulative) if reached > uniform * cumulative[-1])
            if not symbol or len(ids) > self._most:
                break
            ids = [*ids, symbol]
        return ids

    def uniforms(self, index: int, attempt: int = 0) -> Iterator[float]:
        """Yield the numbers in [0, 1) that an attempt at a name owns: 53 bits of each word of its counters."""
        for number in range(self._counters_per_name):
            counter = index * self._counters_per_name + number + 1  # NumPy counts before it computes
            for word in philox(attempt * 2**128 + counter, self._seed):
                yield (word >> 11) * 2.0**-53

    def relative(self, ids: list[int]) -> list[int]:
        """Return the weight of each next id after the ids of a name."""
        options, block_size = self._options, self._model.config.block_size
        logits = _logits(self._model, tuple(([0] * block_size + ids)[-block_size:]), self._said)
        allowed = range(0 if ids else 1, len(logits))  # no name is empty
        best = max(allowed, key=lambda i: (logits[i], -i))
        if options.temperature == 0:
            return [2**32 * (i == best) for i in range(len(logits))]
        exact = {i: (logits[best] - logits[i]) / options.temperature for i in allowed}
        distances = {i: math.floor(min(distance, 5856.0) + 0.5) for i, distance in exact.items()}
        weights = {i: weight(distance) for i, distance in distances.items()}
        ranked = sorted(allowed, key=lambda i: (distances[i], i))[: options.top_k]
        if options.top_p is not None:
            ranked.sort(key=lambda i: (-weights[i], i))
            reached = [0, *accumulate(weights[i] for i in ranked)]
            ranked = [i for i, before in zip(ranked, reached, strict=False) if before < options.top_p * reached[-1]]
        return [weights[i] if i in ranked else 0 for i in range(len(logits))]
