"""The loss of a model on the parts of a split, whatever computes its logits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sequentia.artifact import Loss, Metrics, SplitName
from sequentia.errors import VocabularyError
from sequentia.model import SequenceModel
from sequentia.sampling import log_softmax
from sequentia.vocabulary import BOUNDARY
from sequentia.windows import windows

from .corpus import Split, Tokens, fingerprint, read_corpus, split

Predict = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Contexts, int64 [n, block_size], to logits, float32 [n, ids]."""

_CHUNK = 8192


def evaluate(parts: Split, block_size: int, predict: Predict) -> Metrics:
    """Return the mean negative log-likelihood of each part, in nats per symbol, boundaries included.

    The *unseen* losses leave out the names that also stand in the training part: repeated lines of a corpus land on
    both sides of a random split, and a model may know those by heart.
    """
    trained_on = fingerprint(parts.train)
    trained_on.sort()
    train, _ = _losses(parts.train, block_size, predict)
    dev, dev_unseen = _losses(parts.dev, block_size, predict, trained_on)
    test, test_unseen = _losses(parts.test, block_size, predict, trained_on)
    return Metrics(train=train, dev=dev, test=test, dev_unseen=dev_unseen, test_unseen=test_unseen)


def evaluate_model(model: SequenceModel, corpus: Path, name: SplitName | None = None) -> Metrics:
    """Return a model's losses on a corpus, computed from its artifact alone.

    Args:
        model: a loaded model.
        corpus: a UTF-8 text file, one item a line.
        name: the split; by default the one that the model was trained on.

    Raises:
        CorpusError: if the corpus cannot be used.
        VocabularyError: if it holds symbols that the model does not know.
    """
    data = read_corpus(corpus)
    unknown = [symbol for symbol in data.vocabulary.symbols if symbol not in model.vocabulary.symbols]
    if unknown:
        raise VocabularyError(
            f"{corpus} holds {', '.join(map(repr, unknown[:10]))}, which model {model.config.name!r} does not know "
            f"({model.vocabulary.describe()})",
            symbol=unknown[0],
        )
    to_model = np.append(BOUNDARY, model.vocabulary.encode("".join(data.vocabulary.symbols))).astype(np.uint32)
    parts = split(data, name or model.config.training.split)
    translated = Split(*(to_model[tokens] for tokens in (parts.train, parts.dev, parts.test)))
    return evaluate(translated, model.config.block_size, model.logits)


def _losses(
    tokens: Tokens, block_size: int, predict: Predict, trained_on: NDArray[np.uint64] | None = None
) -> tuple[Loss | None, Loss | None]:
    """Return the loss on all names of a part and, given sorted fingerprints, on those without one of them."""
    ends = np.flatnonzero(tokens == BOUNDARY) if trained_on is not None else np.empty(0, dtype=np.intp)
    unseen = np.zeros(len(ends), dtype=bool)
    if trained_on is not None and len(ends):
        fingerprints = fingerprint(tokens)
        unseen = trained_on[np.searchsorted(trained_on, fingerprints).clip(max=len(trained_on) - 1)] != fingerprints
    every, fresh = _Sum(), _Sum()
    for start in range(0, len(tokens), _CHUNK):
        positions = np.arange(start, min(start + _CHUNK, len(tokens)))
        contexts, targets = windows(tokens, positions, block_size)
        losses = -log_softmax(predict(contexts))[np.arange(len(targets)), targets]
        every.add(losses, targets)
        if len(ends):
            of_unseen = unseen[np.searchsorted(ends, positions)]
            fresh.add(losses[of_unseen], targets[of_unseen])
    return every.mean(), fresh.mean()


class _Sum:
    """Losses adding up to a mean."""

    def __init__(self) -> None:
        self._total, self._names, self._symbols = 0.0, 0, 0

    def add(self, losses: NDArray[np.float64], targets: NDArray[np.int64]) -> None:
        self._total += float(losses.sum())
        self._names += int(np.count_nonzero(targets == BOUNDARY))
        self._symbols += len(losses)

    def mean(self) -> Loss | None:
        if not self._symbols:
            return None
        return Loss(loss=self._total / self._symbols, names=self._names, symbols=self._symbols)
