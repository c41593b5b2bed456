"""Counting, and Kneser-Ney smoothing compared with its definition, written out with dictionaries."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

import sequentia
from sequentia import TrainingError
from sequentia.export import export
from sequentia.training import counts, read_corpus, split, train
from sequentia.training.counts import count_bigrams, count_ngrams
from sequentia.training.kinds import ngram
from sequentia.training.kinds.ngram import BackOff, BackOffTables
from sequentia.windows import windows

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
    names = "".join(symbols[parts.train]).removesuffix(".").split(".")
    expected = KneserNey(names, order, [0.1, 0.85], len(symbols))
    contexts, _ = windows(parts.dev, np.arange(len(parts.dev)), model.config.block_size)
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
    table = count_bigrams(corpus.tokens, corpus.vocabulary.size)
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
    ngrams = count_ngrams(tokens, 4)
    monkeypatch.setattr(counts, "_CHUNK", 17)
    for part, other in zip(ngrams, count_ngrams(tokens, 4), strict=True):
        np.testing.assert_array_equal(part, other)
    assert ngrams[1].sum() == len(tokens)
    assert len(np.unique(ngrams[0], axis=0)) == len(ngrams[0])


def test_contexts_that_do_not_occur_are_cut_short() -> None:
    """Symbol 3 never occurs, and 1 never follows itself: after both, the last symbol alone counts."""
    ngrams, occurrences = count_ngrams(np.array([1, 2, 1, 0, 2, 2, 0]), 3)
    model = BackOff(BackOffTables.of(ngrams, occurrences, [0.5], 4), order=3)
    after = model(torch.tensor([[1, 1], [3, 1], [2, 1], [0, 1]]))
    assert torch.equal(after[0], after[1])
    assert not torch.equal(after[0], after[2])
    assert not torch.equal(after[2], after[3])
    np.testing.assert_allclose(model.logits.exp().sum(dim=1), 1, rtol=1e-6)


def test_tables_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram, "_MAX_TABLE_BYTES", 1 << 10)
    with pytest.raises(TrainingError, match=r"contexts by \d+ symbols make tables of more than .*choose a lower order"):
        train(MOONS, tmp_path / "run", recipe="ngram")
