"""Counting, and Kneser-Ney smoothing compared with its definition, written out with dictionaries."""

from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import sequentia
from sequentia import TrainingError
from sequentia.architectures import NGramArchitecture
from sequentia.arithmetic import Inputs
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.export import export
from sequentia.sampling import log_softmax
from sequentia.training import counts, read_corpus, read_recipe, split, train
from sequentia.training.counts import count_bigrams, count_ngrams
from sequentia.training.kinds import ngram
from sequentia.training.kinds.backoff import BackOff, BackOffTables
from sequentia.training.kinds.ngram import NGram, NGramRecipe
from sequentia.training.parts import Part, texts
from sequentia.windows import windows

from . import labelled
from .conftest import MOONS, NEEDS_NAMES

ORDERS = (1, 2, 3, 6)


class KneserNey:
    """p(s | h), by recursion over strings padded with order - 1 dots."""

    def __init__(self, names: list[str], order: int, discounts: list[float], ids: int) -> None:
        self.order, self.discounts, self.ids = order, discounts, ids
        occurrences: dict[str, int] = defaultdict(int)
        for name in names:
            text = "." * max(1, order - 1) + name + "."
            for end in range(max(1, order - 1), len(text)):
                occurrences[text[end - order + 1 : end + 1]] += 1
        self.counts: list[dict[str, int]] = [dict(occurrences)]
        for _ in range(order - 1):
            shorter: dict[str, int] = defaultdict(int)
            for gram in self.counts[0]:
                shorter[gram[1:]] += 1
            self.counts.insert(0, dict(shorter))

    def probability(self, context: str, symbol: str) -> float:
        lower = self.probability(context[1:], symbol) if context else 1 / self.ids
        followers = {g[-1]: n for g, n in self.counts[len(context)].items() if g[:-1] == context}
        if not followers:
            return lower
        discount = self.discounts[min(len(context), len(self.discounts) - 1)]
        total = sum(followers.values())
        kept = max(followers.get(symbol, 0) - discount, 0) / total
        return kept + discount * len(followers) / total * lower


@pytest.mark.parametrize("order", ORDERS)
def test_the_smoothed_counts_are_those_of_the_definition(tmp_path: Path, order: int) -> None:
    """Compare the artifact's logits, which are rounded to 1/256, on contexts of the dev part, seen and unseen."""
    train(MOONS, tmp_path / "run", recipe="ngram", overrides=[f"order={order}"])
    export(tmp_path / "run", tmp_path / "run")
    model = sequentia.load(tmp_path / "run")
    parts = split(read_corpus(MOONS), "lecture")
    symbols = np.array([".", *model.vocabulary.symbols])
    names = "".join(symbols[parts.train.tokens]).removesuffix(".").split(".")
    expected = KneserNey(names, order, [0.1, 0.85], len(symbols))
    contexts, _ = windows(parts.dev.tokens, np.arange(parts.dev.windows), model.config.block_size)
    contexts = np.unique(contexts, axis=0)[::4]
    logits = model.logits(contexts)
    for context, row in zip(contexts, logits, strict=True):
        text = "".join(symbols[context])[model.config.block_size - order + 1 :]
        exact = np.log([expected.probability(text, s) for s in symbols])
        np.testing.assert_allclose(row, exact, atol=1 / 512 + 1e-5, rtol=0)
        assert np.array_equal(row * 256, np.round(row * 256))


@NEEDS_NAMES
def test_the_published_figures_of_the_ngram(names_txt: Path, tmp_path: Path) -> None:
    metrics = train(names_txt, tmp_path / "run", recipe="ngram").record.metrics
    assert metrics is not None
    assert metrics.dev is not None
    assert metrics.test is not None
    assert metrics.dev.loss <= 1.985
    assert metrics.test.loss <= 1.988


def test_bigrams(tmp_path: Path) -> None:
    words = MOONS.read_text(encoding="utf-8").split()
    corpus = read_corpus(MOONS)
    table = count_bigrams(Part.of(corpus.tokens), corpus.vocabulary.size)
    pairs: dict[tuple[str, str], int] = defaultdict(int)
    for word in words:
        for before, after in zip(f".{word}", f"{word}.", strict=True):
            pairs[before, after] += 1
    symbols = (".", *corpus.vocabulary.symbols)
    assert {(symbols[i], symbols[j]): table[i, j] for i, j in np.argwhere(table)} == pairs

    train(MOONS, tmp_path / "run", recipe="bigram-counts", overrides=["split=all", "pseudocount=0.5"])
    export(tmp_path / "run", tmp_path / "run")
    model = sequentia.load(tmp_path / "run")
    after_a = model.next_symbols("a")
    total = sum(n for (before, _), n in pairs.items() if before == "a") + 0.5 * len(symbols)
    log = np.log([(pairs["a", symbol] + 0.5) / total for symbol in symbols])
    steps = np.exp(np.floor(256 * log + 0.5) / 256)  # logits are in steps of 1/256
    for symbol, share in zip(symbols, steps / steps.sum(), strict=True):
        assert after_a[symbol.replace(".", "")] == pytest.approx(share, rel=1e-6)


def test_counting_in_pieces_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = read_corpus(MOONS).tokens
    ngrams = count_ngrams(Part.of(tokens), 4)
    monkeypatch.setattr(counts, "_CHUNK", 17)
    for part, other in zip(ngrams, count_ngrams(Part.of(tokens), 4), strict=True):
        np.testing.assert_array_equal(part, other)
    assert ngrams[1].sum() == len(tokens)
    assert len(np.unique(ngrams[0], axis=0)) == len(ngrams[0])


def test_contexts_that_do_not_occur_are_cut_short() -> None:
    """Symbol 3 never occurs, and 1 never follows itself: after both, the last symbol alone counts."""
    ngrams, occurrences = count_ngrams(Part.of(np.array([1, 2, 1, 0, 2, 2, 0], dtype=np.uint8)), 3)
    model = BackOff({(): BackOffTables.of(ngrams, occurrences, [0.5], 4)}, Inputs(2, 4), order=3)
    after = model(torch.tensor([[1, 1], [3, 1], [2, 1], [0, 1]]))
    assert torch.equal(after[0], after[1])
    assert not torch.equal(after[0], after[2])
    assert not torch.equal(after[2], after[3])
    np.testing.assert_allclose(model.logits.exp().sum(dim=1), 1, rtol=1e-6)


@pytest.mark.parametrize("least", [2, 5, 10_000])
def test_rare_contexts_are_left_to_shorter_ones(tmp_path: Path, least: int) -> None:
    """The slow network by the definition, the quick one and the exported one agree."""
    overrides = ["order=4", f"least_count={least}", "split=all"]
    checkpoint = train(MOONS, tmp_path / "run", recipe="ngram", overrides=overrides)
    config = export(tmp_path / "run", tmp_path / "run")
    part = split(read_corpus(MOONS), "all").train
    ngrams, counts = count_ngrams(part, 4)
    totals = [
        np.bincount(np.unique(ngrams[:, 3 - length : 3], axis=0, return_inverse=True)[1].reshape(-1), counts)
        for length in (1, 2, 3)
    ]
    assert isinstance(config.architecture, NGramArchitecture)
    assert config.architecture.tree.states == 1 + sum(int((each >= least).sum()) for each in totals)
    contexts = torch.from_numpy(windows(part.tokens, np.arange(300), 3)[0])
    network = checkpoint.network().eval()
    expected = network(contexts).log_softmax(dim=1).numpy()
    quick = network.for_inference()(contexts).log_softmax(dim=1).numpy()
    np.testing.assert_allclose(quick, expected, atol=1e-5)
    model = sequentia.load(tmp_path / "run")
    np.testing.assert_allclose(log_softmax(model.logits(contexts.numpy())), expected, atol=0.005)


def test_tables_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram, "MAX_TABLE_BYTES", 1 << 10)
    with pytest.raises(TrainingError, match=r"contexts by \d+ symbols make tables of more than .*choose a lower order"):
        train(MOONS, tmp_path / "run", recipe="ngram")


# Conditions


def mixed(
    names: dict[tuple[int, ...], list[str]], said: tuple[int, ...], context: str, symbol: str, order: int, ids: int
) -> float:
    """Return the probability of a symbol by the definition: 0.6 of the names like it, the rest of more of them.

    Args:
        names: those with each combination of values, by their ids.
        said: the ids of the values, 0 where one is not said.
        context: the last ``order - 1`` symbols.
        symbol: the next one.
        order: symbols in an n-gram.
        ids: number of symbols, the boundary included.
    """
    own = [name for values, each in names.items() if matches(values, said) for name in each]
    here = KneserNey(own, order, [0.1, 0.85], ids).probability(context, symbol) if own else 0.0
    if not any(said):
        return here
    last = max(column for column, value in enumerate(said) if value)
    rest = mixed(names, (*said[:last], 0, *said[last + 1 :]), context, symbol, order, ids)
    return 0.6 * here + 0.4 * rest if own else rest


def matches(values: tuple[int, ...], said: tuple[int, ...]) -> bool:
    return all(not asked or asked == value for asked, value in zip(said, values, strict=True))


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_the_counts_of_names_with_conditions_are_mixed_as_defined(tmp_path: Path, order: int, columns: int) -> None:
    """The slow network, the quick one and the exported one agree for all values, those that never meet included."""
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    corpus = read_corpus(table, labelled.columns(columns))
    train_part, dev = split(corpus, "lecture").train, split(corpus, "lecture").dev
    inputs = Inputs(max(1, order - 1), corpus.vocabulary.size, tuple(len(each) + 1 for each in corpus.values.values()))
    recipe = read_recipe("ngram", [f"order={order}"])
    assert isinstance(recipe, NGramRecipe)
    structure, tensors = recipe.count(train_part, inputs)
    network = NGram(inputs, structure)
    network.load_state_dict(tensors)

    every = list(product(*map(range, inputs.values)))
    found = {tuple(row) for row in train_part.conditions.tolist()}
    assert columns == 1 or len(found) < len([said for said in every if all(said)]), "some values never meet"
    contexts = np.unique(windows(dev.tokens, np.arange(dev.windows), inputs.block_size)[0], axis=0)[::3]
    rows = np.repeat(contexts, len(every), axis=0)
    conditions = np.tile(np.array(every), (len(contexts), 1))
    given = torch.from_numpy(rows), torch.from_numpy(conditions)
    slow, quick = network(*given).numpy(), network.for_inference()(*given).numpy()
    np.testing.assert_allclose(quick, slow, atol=1e-5, rtol=0)
    nothing = np.array(every).sum(axis=1) == 0
    np.testing.assert_array_equal(
        network(given[0][np.tile(nothing, len(contexts))]).numpy(), slow[np.tile(nothing, len(contexts))]
    )

    architecture, numbers = network.in_whole_numbers({}, rows, conditions)
    steps = architecture.network(IntegerArithmetic(numbers, rows, conditions), inputs)
    np.testing.assert_allclose(steps / 256, slow, atol=1 / 512 + 1e-5, rtol=0)

    symbols = np.array([".", *corpus.vocabulary.symbols])
    names: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for values, name in zip(train_part.conditions.tolist(), texts(train_part.tokens, corpus.vocabulary), strict=True):
        names[tuple(values)].append(name)
    for row in np.random.default_rng(0).choice(len(rows), 12, replace=False):
        text, said = "".join(symbols[rows[row]])[inputs.block_size - order + 1 :], tuple(conditions[row].tolist())
        exact = [mixed(names, said, text, symbol, order, len(symbols)) for symbol in symbols]
        np.testing.assert_allclose(slow[row], np.log(exact), atol=1e-5, rtol=0)


def test_a_value_that_all_names_have_says_nothing(tmp_path: Path) -> None:
    rows = [row._replace(sex="f") for row in labelled.rows()]
    same = read_corpus(labelled.write(tmp_path / "same.csv", rows), labelled.columns(1))
    part, inputs = split(same, "all").train, Inputs(5, same.vocabulary.size, (2,))
    recipe = read_recipe("ngram")
    assert isinstance(recipe, NGramRecipe)
    structure, tensors = recipe.count(part, inputs)
    network = NGram(inputs, structure)
    network.load_state_dict(tensors)
    contexts = torch.from_numpy(windows(part.tokens, np.arange(0, part.windows, 7), 5)[0])
    said, quick = torch.ones((len(contexts), 1), dtype=torch.int64), network.for_inference()
    torch.testing.assert_close(quick(contexts, said), quick(contexts, 0 * said))


def test_counts_of_weighted_names_are_those_of_the_weights(tmp_path: Path) -> None:
    """Also of weights that are no whole numbers, whose discounts may be larger than they are."""
    rows = labelled.rows()
    table = labelled.write(tmp_path / "whole.csv", rows)
    halves = tmp_path / "halves.csv"
    halves.write_text(
        "name,sex,decade,times\n" + "".join(f"{row.name},{row.sex},{row.decade},{row.times / 4}\n" for row in rows),
        encoding="utf-8",
    )
    asked = labelled.columns(0, weight=True)
    whole, part = (split(read_corpus(each, asked), "all").train for each in (table, halves))
    assert (whole.scale, part.scale > 1) == (1, True)
    for order in ORDERS:
        ngrams, occurrences = count_ngrams(whole, order)
        same, quarters = count_ngrams(part, order)
        assert [str(each.dtype) for each in (occurrences, quarters)] == ["int32", "float64"]
        np.testing.assert_array_equal(ngrams, same)
        np.testing.assert_array_equal(occurrences / 4, quarters)
        smoothed = BackOffTables.of(same, quarters, [0.85], int(whole.tokens.max()) + 1)
        np.testing.assert_allclose(np.exp(smoothed.log_probabilities).sum(axis=1), 1, rtol=1e-5)
