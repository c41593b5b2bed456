"""Decide whether characters or words suit a list: which of them give its dev part the higher probability.

N-grams of both are counted in the training part, which takes seconds. Their losses per symbol cannot be compared, so
the measure is bits per character, the end of an item included. Words would win by calling all words unknown. So each
unknown word is also spelt, by n-grams of the characters of the training part's rare words, which are like it.
"""

import math
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sequentia.vocabulary import SymbolKind

from .baselines import ngram_losses
from .corpus import Corpus
from .kinds import Recipe
from .parts import Part, split
from .recipes import read_recipe

_MOST_CHARACTERS: Final = 1 << 19  # of the training part
_MOST_OF_DEV: Final = 1 << 16
_SEVERAL: Final = 0.5  # items of two words or more, as a share of all
_REPEATED: Final = 0.5  # words of dev that the training part has too
_LEAST_ITEMS: Final = 200
_ORDERS: Final[dict[SymbolKind, int]] = {"characters": 6, "words": 4}


class Suited(NamedTuple):
    """Which symbols suit a list, and why, in words; no words if there was nothing to compare."""

    symbols: SymbolKind
    lines: list[str]


def compare_symbols(characters: Corpus, words: Corpus, recipe: Recipe) -> Suited:
    """Return the symbols that suit a list: words only if items have several, words repeat, and dev says so.

    Args:
        characters: the list as characters.
        words: the same list as words.
        recipe: says how to split it, and which words are rare.
    """
    by_character, by_word = (
        split(each, recipe.split, recipe.first_names, recipe.weight_power) for each in (characters, words)
    )
    names = min(by_character.train.names, by_word.train.names)
    if names < _LEAST_ITEMS or not by_word.dev.names:
        return Suited("characters", [])
    rows = _spread(by_character.train, names, _MOST_CHARACTERS)
    dev_rows = _spread(by_character.dev, min(by_character.dev.names, by_word.dev.names), _MOST_OF_DEV)
    train, dev = (part.select(each) for part, each in ((by_word.train, rows), (by_word.dev, dev_rows)))
    counts = np.bincount(train.tokens, minlength=words.vocabulary.size)
    repeated = float((counts[dev.tokens[dev.tokens > 0]] > recipe.rare).mean())
    if (train.lengths > 2).mean() < _SEVERAL or repeated < _REPEATED:
        return Suited("characters", [])
    spelt = by_character.dev.select(dev_rows)
    losses = {
        "characters": _nats(by_character.train.select(rows), spelt, "characters", characters.vocabulary.size),
        "words": _of_words(train, dev, counts, characters, words, recipe.rare),
    }
    bits = {symbols: nats / spelt.windows / math.log(2) for symbols, nats in losses.items()}
    best: SymbolKind = "words" if bits["words"] < bits["characters"] else "characters"
    line = (
        f"Many items have several words, and {repeated:.0%} of the words in dev occur in the training part too. "
        f"N-grams of characters take {bits['characters']:.2f} bits per character of dev, n-grams of words "
        f"{bits['words']:.2f}."
    )
    return Suited(best, [line])


def _spread(part: Part, names: int, most: int) -> NDArray[np.intp]:
    """Return evenly spaced ones of the first names, of about ``most`` characters."""
    chosen = names if part.windows <= most else max(1, names * most // part.windows)
    return np.arange(chosen) * names // chosen


def _nats(train: Part, dev: Part, symbols: SymbolKind, ids: int) -> float:
    """Return the negative log-likelihood of names under n-grams of the best order, in nats."""
    discounts = msgspec.to_builtins(read_recipe("ngram"))["discounts"]
    return min(ngram_losses(train, dev, _ORDERS[symbols], discounts, ids)) * dev.windows


def _of_words(train: Part, dev: Part, counts: NDArray[np.intp], characters: Corpus, words: Corpus, rare: int) -> float:
    """Return the negative log-likelihood of names as words, in nats, the spelling of unknown words included."""
    vocabulary, numbers = words.vocabulary.learnt(counts, rare)
    nats = sum(
        (
            _nats(_in(numbers, train), _in(numbers, dev), "words", vocabulary.size),
            _spelling(dev.tokens[numbers[dev.tokens] == vocabulary.unknown], counts, characters, words, rare),
        )
    )
    return float(nats)


def _in(numbers: NDArray[np.unsignedinteger], part: Part) -> Part:
    return Part(numbers[part.tokens], part.conditions, part.counts, part.scale)


def _spelling(
    unknown: NDArray[np.unsignedinteger], counts: NDArray[np.intp], characters: Corpus, words: Corpus, rare: int
) -> float:
    """Return the nats that the letters of unknown words take, given the rare words, or all if none is rare."""
    if not len(unknown):
        return 0.0
    alike = np.flatnonzero((counts > 0) & (counts <= rare))
    alike = alike[alike > 0] if len(alike) else np.flatnonzero(counts)[1:]
    spelt = [
        Part.of(characters.vocabulary.tokens(words.vocabulary.symbols[i - 1] for i in ids).astype(np.uint32))
        for ids in (alike.tolist(), unknown.tolist())
    ]
    return _nats(spelt[0], spelt[1], "characters", characters.vocabulary.size)
