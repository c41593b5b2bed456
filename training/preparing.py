"""Read a list as a recipe asks: decide what its symbols are, split it, and learn its vocabulary."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from sequentia.columns import ColumnRequest
from sequentia.config import Columns
from sequentia.errors import CorpusError, VocabularyError
from sequentia.vocabulary import Vocabulary

from .corpus import Corpus, read_corpus
from .kinds import Recipe
from .parts import Split, split
from .symbols import Suited, compare_symbols


class Prepared(NamedTuple):
    """A list that is ready to train on.

    Attributes:
        recipe: with the symbols and the split that the list calls for.
        corpus: the list, with the vocabulary that is learnt.
        parts: of the split, in the ids of that vocabulary.
        lines: which symbols suit the list, in words; none if there is nothing to say.
    """

    recipe: Recipe
    corpus: Corpus
    parts: Split
    lines: list[str]


def prepare(corpus: Path, recipe: Recipe, columns: ColumnRequest | Columns | None = None) -> Prepared:
    """Read a list and split it.

    Args:
        corpus: a UTF-8 text file, one item per line, or a table.
        recipe: as the user chose it.
        columns: those of a table to read.

    Raises:
        CorpusError: if the list cannot be used, or nothing is left to train on.
    """
    lines: list[str] = []
    data = read_corpus(corpus, columns, "characters" if recipe.symbols == "auto" else recipe.symbols)
    if data.record.distinct == 1:
        raise CorpusError(f"{corpus}: all items are the same; there is nothing to learn", path=corpus)
    recipe = for_corpus(recipe, data)
    if recipe.symbols == "auto" or (recipe.auto is not None and recipe.symbols == "characters"):
        found = Suited("characters", [])
        if any(symbol.isspace() for symbol in data.vocabulary.symbols):
            found = compare_symbols(data, read_corpus(corpus, columns, "words"), recipe)
        if recipe.symbols == "auto":
            recipe = msgspec.structs.replace(recipe, symbols=found.symbols)
            data = data if found.symbols == "characters" else read_corpus(corpus, columns, found.symbols)
            lines = [*found.lines, f"The model learns {found.symbols}."] if found.lines else []
        elif found.symbols == "words":
            lines = [*found.lines, "A model of words may suit this list better: --symbols words."]
    parts = split(data, recipe.split, recipe.first_names, recipe.weight_power)
    parts, vocabulary = learnt(parts, data.vocabulary, recipe.rare)
    return Prepared(recipe, replace(data, vocabulary=vocabulary), parts, lines)


def for_corpus(recipe: Recipe, corpus: Corpus) -> Recipe:
    """Return a recipe that splits a corpus as the corpus says, if it does."""
    return recipe if corpus.parts is None else msgspec.structs.replace(recipe, split="column")


def learnt(parts: Split, vocabulary: Vocabulary, rare: int) -> tuple[Split, Vocabulary]:
    """Return the parts in the ids of the vocabulary that is learnt from the training part, and that vocabulary.

    Args:
        parts: of a corpus.
        vocabulary: that of the corpus.
        rare: words that occur so often or less in the training part become the unknown one; items count once.

    Raises:
        CorpusError: if no word is left, or too many are.
    """
    if vocabulary.unknown is None:
        return parts, vocabulary
    counts = np.bincount(parts.train.tokens, minlength=vocabulary.size)
    try:
        found, numbers = vocabulary.learnt(counts, rare)
    except VocabularyError as error:
        raise CorpusError(str(error)) from error
    train, dev, test = (
        replace(part, tokens=numbers[part.tokens], texts=part.fingerprints)
        for part in (parts.train, parts.dev, parts.test)
    )
    return Split(train, dev, test), found
