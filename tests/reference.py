"""A sampler written from the documentation alone: one name at a time, symbol by symbol, nothing remembered.

The tests hold the library's sampler against it. From the library it takes a model's logits, alphabet and sizes.
"""

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, count
from zlib import crc32

import numpy as np
from greenery import Fsm, parse

from sequentia import SequenceModel

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
    prefix: str = ""
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_length: int = 1
    max_length: int | None = None
    pattern: str | None = None
    unique: bool = False
    novel: bool = False
    exclude: Iterable[str] = ()


@cache
def _machine(pattern: str) -> Fsm:
    return parse(pattern).to_fsm()


class Language:
    """The names that have an allowed length and match a pattern in full.

    Args:
        symbols: the alphabet.
        least: fewest symbols of a name.
        most: most symbols of a name.
        pattern: a regular expression.
    """

    def __init__(self, symbols: Iterable[str], least: int, most: int, pattern: str) -> None:
        machine = _machine(pattern)
        self.start, self._ends = machine.initial, machine.finals
        self._after = {
            (state, symbol): target
            for state, moves in machine.map.items()
            for symbols_of_move, target in moves.items()
            for symbol in symbols
            if symbols_of_move.accepts(symbol)
        }
        self._symbols, self._least, self._most = tuple(symbols), least, most
        self._counts: dict[tuple[int, int], int] = {}

    def after(self, state: int, text: str) -> int:
        """Return the state that a text leads to."""
        for symbol in text:
            state = self._after[state, symbol]
        return state

    def allows(self, state: int, length: int, symbol: str) -> bool:
        """Return whether ``symbol``, or if that is empty the end, may come after ``length`` symbols."""
        if not symbol:
            return state in self._ends and self._least <= length <= self._most
        return self.count(self._after[state, symbol], length + 1) > 0

    def count(self, state: int, length: int) -> int:
        """Return how many names begin with ``length`` given symbols that lead to ``state``."""
        if length > self._most:
            return 0
        if (state, length) not in self._counts:
            longer = sum(self.count(self._after[state, symbol], length + 1) for symbol in self._symbols)
            self._counts[state, length] = self.allows(state, length, "") + longer
        return self._counts[state, length]


class Reference:
    """The stream of names that a model has for some options.

    Args:
        model: computes the logits.
        options: those of ``sequentia.generate``.
        patience: how many rejected candidates in a row, and one more for each name, end a stream with ``unique``.
        attempts: how many rejected attempts at a name end any stream.

    Attributes:
        rejected: number of rejected candidates by reason, of the names so far.
    """

    def __init__(self, model: SequenceModel, options: Options, patience: int = 10_000, attempts: int = 1 << 14) -> None:
        self._model, self._options, self._patience = model, options, patience
        self._constant = options.temperature == 0 or options.top_k == 1
        self._attempts = 1 if self._constant else attempts
        self._symbols = ["", *model.vocabulary.symbols]
        self._prefix = unicodedata.normalize("NFC", options.prefix)
        longest = model.config.max_length
        self._max_length = options.max_length or max(longest, options.min_length, len(self._prefix))
        self._counters_per_name = math.ceil(max(self._max_length, longest) / 4)
        pattern = unicodedata.normalize("NFC", ".*" if options.pattern is None else options.pattern)
        self._language = Language(self._symbols[1:], options.min_length, self._max_length, pattern)
        self._start = self._language.after(self._language.start, self._prefix)
        self._excluded = {unicodedata.normalize("NFC", name) for name in options.exclude}
        self.rejected: Counter[str] = Counter()

    @property
    def possible(self) -> int:
        """How many different names the prefix, the lengths and the pattern allow."""
        return self._language.count(self._start, len(self._prefix))

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
            before = self.rejected.total()
            name = self.name(index)
            if name is None:
                return
            if not (self._options.unique and name in names):
                names.append(name)
                in_a_row = 0
                yield name
                continue
            self.rejected["unique"] += 1
            in_a_row += self.rejected.total() - before
            if in_a_row > (0 if self._constant else self._patience + len(names)):
                return

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
        for attempt in range(self._attempts):
            name = self.candidate(index, attempt)
            reason = self.reason(name)
            if not reason:
                return name
            self.rejected[reason] += 1
        return None

    def reason(self, name: str) -> str:
        """Return why a name is rejected, or nothing."""
        if not unicodedata.is_normalized("NFC", name):
            return "not NFC"
        if name in self._excluded:
            return "exclude"
        return "novel" if self._options.novel and crc32(name.encode()) in self._known else ""

    def candidate(self, index: int, attempt: int = 0) -> str:
        """Return one attempt at a name, drawn symbol by symbol."""
        name, state = self._prefix, self._start
        for uniform in self.uniforms(index, attempt):
            if len(name) == self._max_length:
                break
            allowed = [i for i, symbol in enumerate(self._symbols) if self._language.allows(state, len(name), symbol)]
            symbol = self._symbols[self.choose(self.weights(name, allowed), uniform)]
            if not symbol:
                break
            name, state = name + symbol, self._language.after(state, symbol)
        return name

    def uniforms(self, index: int, attempt: int = 0) -> Iterator[float]:
        """Yield the numbers in [0, 1) that an attempt at a name owns: 53 bits of each word of its counters."""
        for number in range(self._counters_per_name):
            counter = index * self._counters_per_name + number + 1  # NumPy counts before it computes
            for word in philox(attempt * 2**128 + counter, self._seed):
                yield (word >> 11) * 2.0**-53

    def logits(self, name: str) -> list[int]:
        """Return the logits after a text, in steps of 1/256."""
        block_size = self._model.config.block_size
        context = [0] * block_size + [self._symbols.index(symbol) for symbol in name]
        steps = self._model.logits(np.array([context[-block_size:]], dtype=np.int64))[0] * 256
        whole: list[int] = steps.astype(np.int64).tolist()
        assert whole == steps.tolist()
        return whole

    def weights(self, name: str, allowed: list[int]) -> dict[int, int]:
        """Return the ids that the options leave, and their weights."""
        options, logits = self._options, self.logits(name)
        best = max(allowed, key=lambda i: (logits[i], -i))
        if options.temperature == 0:
            return {best: 2**32}
        exact = {i: (logits[best] - logits[i]) / options.temperature for i in allowed}
        distances = {i: math.floor(min(distance, 5856.0) + 0.5) for i, distance in exact.items()}
        weights = {i: weight(distance) for i, distance in distances.items()}
        ranked = sorted(allowed, key=lambda i: (distances[i], i))[: options.top_k]
        if options.top_p is not None:
            ranked.sort(key=lambda i: (-weights[i], i))
            reached = [0, *accumulate(weights[i] for i in ranked)]
            ranked = [i for i, before in zip(ranked, reached, strict=False) if before < options.top_p * reached[-1]]
        return {i: weights[i] for i in sorted(ranked)}

    @staticmethod
    def choose(weights: dict[int, int], uniform: float) -> int:
        """Return the first id whose cumulative weight exceeds the uniform share of the total."""
        cumulative = list(accumulate(weights.values()))
        point = uniform * cumulative[-1]
        return next(i for i, reached in zip(weights, cumulative, strict=True) if reached > point)
