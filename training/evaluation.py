"""The loss of a model on the parts of a split, and what it invents, whatever computes its logits."""

from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.artifact import Loss, Metrics, Samples, SplitName
from sequentia.errors import GenerationError, VocabularyError
from sequentia.generation import stream_names
from sequentia.likelihood import Predict, log_probabilities
from sequentia.model import SequenceModel
from sequentia.options import Plan
from sequentia.vocabulary import BOUNDARY, Vocabulary

from .corpus import Split, Tokens, fingerprint, read_corpus, split

_SAMPLES: Final = 10_000
_SAMPLE_SEED: Final = 0
_MOST_FREQUENT: Final = 10


def evaluate(parts: Split, block_size: int, predict: Predict, ids: int) -> Metrics:
    """Return the mean negative log-likelihood of each part, in nats per symbol, boundaries included.

    The *unseen* losses leave out the names that also stand in the training part: repeated lines of a corpus land on
    both sides of a random split, and a model may know those by heart.
    """
    trained_on = _sorted_fingerprints(parts.train)
    train, _ = _losses(parts.train, block_size, predict, ids)
    dev, dev_unseen = _losses(parts.dev, block_size, predict, ids, trained_on)
    test, test_unseen = _losses(parts.test, block_size, predict, ids, trained_on)
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
    ids = model.vocabulary.ids_of(data.vocabulary.symbols)
    unknown = [symbol for symbol, i in zip(data.vocabulary.symbols, ids, strict=True) if i is None]
    if unknown:
        raise VocabularyError(
            f"{corpus} holds {', '.join(map(repr, unknown[:10]))}, which model {model.config.name!r} does not know "
            f"({model.vocabulary.describe()})",
            symbol=unknown[0],
        )
    to_model = np.array([BOUNDARY, *ids], dtype=np.min_scalar_type(model.vocabulary.size))
    training = model.config.training
    name = name or training.split
    own = (name, data.record.sha256) == (training.split, training.corpus.sha256)
    parts = split(data, name, training.first_names if own else 0)
    translated = Split(*(to_model[tokens] for tokens in (parts.train, parts.dev, parts.test)))
    return evaluate(translated, model.config.block_size, model.logits, model.vocabulary.size)


def sample(parts: Split, block_size: int, predict: Predict, vocabulary: Vocabulary, max_length: int) -> Samples:
    """Draw the first 10,000 names of a model's stream for seed 0, and count how many stand in which part of its corpus.

    There are fewer only if the model invents hardly anything that is NFC.
    """
    plan = Plan.of({"seed": _SAMPLE_SEED}, vocabulary, max_length)
    names: list[str] = []
    with suppress(GenerationError):
        names.extend(islice(stream_names(predict, vocabulary, block_size, plan, _SAMPLES), _SAMPLES))
    tokens = [np.append(vocabulary.encode(name), BOUNDARY) for name in names]
    drawn = fingerprint(np.concatenate([*tokens, np.zeros(0, dtype=np.int64)]).astype(parts.train.dtype))
    in_train = _among(drawn, _sorted_fingerprints(parts.train))
    in_dev, in_test = (_among(drawn, _sorted_fingerprints(part)) for part in (parts.dev, parts.test))
    in_others = (in_dev | in_test) & ~in_train
    share = 1 / max(1, len(names))
    return Samples(
        seed=_SAMPLE_SEED,
        names=len(names),
        in_train=int(in_train.sum()) * share,
        in_dev_test=int(in_others.sum()) * share,
        new=int((~in_train & ~in_others).sum()) * share,
        mean_length=sum(map(len, names)) * share,
        most_frequent=dict(Counter(names).most_common(_MOST_FREQUENT)),
    )


def _losses(
    tokens: Tokens, block_size: int, predict: Predict, ids: int, trained_on: NDArray[np.uint64] | None = None
) -> tuple[Loss | None, Loss | None]:
    """Return the loss on all names of a part and, given sorted fingerprints, on those without one of them."""
    ends = np.flatnonzero(tokens == BOUNDARY) if trained_on is not None else np.empty(0, dtype=np.intp)
    unseen = np.zeros(len(ends), dtype=bool)
    if trained_on is not None and len(ends):
        unseen = ~_among(fingerprint(tokens), trained_on)
    every, fresh = _Sum(), _Sum()
    for part, values in log_probabilities(tokens, block_size, predict, ids):
        closes = tokens[part] == BOUNDARY
        every.add(values, closes)
        if len(ends):
            of_unseen = unseen[np.searchsorted(ends, np.arange(part.start, part.stop))]
            fresh.add(values[of_unseen], closes[of_unseen])
    return every.mean(), fresh.mean()


def _sorted_fingerprints(tokens: Tokens) -> NDArray[np.uint64]:
    fingerprints = fingerprint(tokens)
    fingerprints.sort()
    return fingerprints


def _among(fingerprints: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which fingerprints are among sorted ones, which are looked up in place: there may be millions of them."""
    if not len(known):
        return np.zeros(len(fingerprints), dtype=bool)
    nearest = np.searchsorted(known, fingerprints).clip(max=len(known) - 1)
    among: NDArray[np.bool_] = known[nearest] == fingerprints
    return among


class _Sum:
    """Log-probabilities adding up to a mean loss."""

    def __init__(self) -> None:
        self._total, self._names, self._windows = 0.0, 0, 0

    def add(self, log_probabilities: NDArray[np.float64], closes: NDArray[np.bool_]) -> None:
        self._total -= float(log_probabilities.sum())
        self._names += int(np.count_nonzero(closes))
        self._windows += len(log_probabilities)

    def mean(self) -> Loss | None:
        if not self._windows:
            return None
        return Loss(loss=self._total / self._windows, names=self._names, windows=self._windows)
