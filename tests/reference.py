"""A sampler written from the documentation alone: one name at a time, symbol by symbol, nothing remembered.

The tests hold the library's sampler against it. From the library it takes a model's logits, alphabet and sizes.
"""

import math
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, count
from zlib import crc32

import numpy as np
from greenery import Fsm, parse
from numpy.random import Philox
from numpy.typing import NDArray

from sequentia import SequenceModel


@dataclass(frozen=True)
class Options:
    """The options of ``sequentia.generate``, with the same meaning and defaults; ``seed`` has none."""

    seed: int
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
    """

    def __init__(self, model: SequenceModel, options: Options) -> None:
        self._model, self._options = model, options
        self._symbols = ["", *model.vocabulary.symbols]
        self._prefix = unicodedata.normalize("NFC", options.prefix)
        longest = model.config.max_length
        self._max_length = options.max_length or max(longest, options.min_length, len(self._prefix))
        self._draws_per_name = 4 * math.ceil(max(self._max_length, longest) / 4)
        pattern = unicodedata.normalize("NFC", ".*" if options.pattern is None else options.pattern)
        self._language = Language(self._symbols[1:], options.min_length, self._max_length, pattern)
        self._start = self._language.after(self._language.start, self._prefix)

    @property
    def possible(self) -> int:
        """How many different names the prefix, the lengths and the pattern allow."""
        return self._language.count(self._start, len(self._prefix))

    @cached_property
    def _known(self) -> Collection[int]:
        return set(np.frombuffer((self._model._artifact.folder / "novelty.crc32").read_bytes(), "<u4").tolist())

    def names(self, patience: int = 10_000) -> Iterator[str]:
        """Yield the accepted names.

        Args:
            patience: end the stream after as many rejected candidates in a row, and one more for each accepted name.
        """
        options, rejected, accepted = self._options, 0, list[str]()
        always_the_same = options.temperature == 0 or options.top_k == 1
        for index in count():
            names = [name for name in self.shard(index, 1) if not (options.unique and name in accepted)]
            rejected = 0 if names else rejected + 1
            if rejected > (0 if always_the_same else patience + len(accepted)):
                return
            accepted += names
            yield from names

    def shard(self, first: int, number: int) -> list[str]:
        """Return the accepted ones of ``number`` candidates from ``first`` on; ``unique`` is not looked at."""
        excluded = {unicodedata.normalize("NFC", name) for name in self._options.exclude}
        return [
            name
            for name in map(self.candidate, range(first, first + number))
            if unicodedata.is_normalized("NFC", name)
            and name not in excluded
            and not (self._options.novel and crc32(name.encode()) in self._known)
        ]

    def candidate(self, index: int) -> str:
        """Return one candidate, drawn symbol by symbol."""
        name, state = self._prefix, self._start
        for uniform in self.uniforms(index):
            if len(name) == self._max_length:
                break
            allowed = [i for i, symbol in enumerate(self._symbols) if self._language.allows(state, len(name), symbol)]
            symbol = self._symbols[self.choose(self.weights(name, allowed), uniform)]
            if not symbol:
                break
            name, state = name + symbol, self._language.after(state, symbol)
        return name

    def uniforms(self, index: int) -> list[float]:
        """Return the numbers in [0, 1) that candidate ``index`` owns: 53 bits of each word of Philox4x64."""
        words = Philox(key=self._options.seed, counter=index * self._draws_per_name // 4)
        return [int(word >> np.uint64(11)) * 2.0**-53 for word in words.random_raw(self._draws_per_name)]

    def logits(self, name: str) -> NDArray[np.float32]:
        """Return the logits after a text, float32 [1 + symbols]."""
        block_size = self._model.config.block_size
        context = [0] * block_size + [self._symbols.index(symbol) for symbol in name]
        logits: NDArray[np.float32] = self._model.logits(np.array([context[-block_size:]], dtype=np.int64))[0]
        return logits

    def weights(self, name: str, allowed: list[int]) -> dict[int, float]:
        """Return the ids that the options leave, and their probabilities relative to the largest."""
        options, logits = self._options, self.logits(name)
        best = max(allowed, key=lambda i: (logits[i], -i))
        if options.temperature == 0:
            return {best: 1.0}
        scores = {i: np.float32(float(logits[i] - logits[best]) / options.temperature) for i in allowed}
        weights = {i: float(np.exp(score)) for i, score in scores.items()}
        ranked = sorted(allowed, key=lambda i: (-weights[i], i))[: options.top_k]
        if options.top_p is not None:
            reached = [0.0, *accumulate(weights[i] for i in ranked)]
            ranked = [i for i, before in zip(ranked, reached, strict=False) if before < options.top_p * reached[-1]]
        return {i: weights[i] for i in sorted(ranked)}

    @staticmethod
    def choose(weights: dict[int, float], uniform: float) -> int:
        """Return the first id whose cumulative weight exceeds the uniform share of the total."""
        cumulative = list(accumulate(weights.values()))
        point = min(uniform * cumulative[-1], math.nextafter(cumulative[-1], 0.0))
        return next(i for i, reached in zip(weights, cumulative, strict=True) if reached > point)
