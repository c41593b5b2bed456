"""Measure the losses of a model on the parts of a split, compare models, and describe generated names."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from sequentia.config import Loss, Metrics, Samples, SplitName
from sequentia.errors import GenerationError, VocabularyError
from sequentia.generation import stream_names
from sequentia.likelihood import Predict, name_losses
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.model import SequenceModel
from sequentia.options import Plan
from sequentia.vocabulary import BOUNDARY, Vocabulary

from .corpus import Corpus, Split, Tokens, fingerprint, read_corpus, split

_SAMPLES: Final = 10_000
_SAMPLE_SEED: Final = 0
_MOST_FREQUENT: Final = 10

_RESAMPLES: Final = 10_000
_RESAMPLING_SEED: Final = 0
_INTERVAL: Final = (0.025, 0.975)
# Names drawn at once: 1.5 MB of indices, losses and windows, unless a part has more names than this.
_MOST_DRAWS: Final = 1 << 16

Losses = Callable[[Tokens], NDArray[np.float64]]
"""Maps names, each followed by the boundary, to their negative log-likelihoods in nats, float64 [names]."""

_Summary = TypeVar("_Summary")


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much higher the loss of another model is on some names.

    Attributes:
        difference: the mean negative log-likelihood of the other model minus that of this one, in nats per symbol;
            positive if this model is better.
        low: lower end of its 95 % interval.
        high: upper end.
        better: share of the resamples in which this model is better.
        names: number of names that were resampled.
    """

    difference: float
    low: float
    high: float
    better: float
    names: int


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Differences by part of the split, as :class:`~sequentia.config.Metrics`; ``None`` where a part is empty."""

    dev: Difference | None
    test: Difference | None
    dev_unseen: Difference | None
    test_unseen: Difference | None


def evaluate(parts: Split, losses: Losses) -> Metrics:
    """Return the mean negative log-likelihood of each part, in nats per symbol, boundaries included.

    The *unseen* losses leave out names that are also in the training part. A random split can put copies of a repeated
    line into both, and a model may know those by heart.
    """
    train = _mean(losses(parts.train), len(parts.train))
    return Metrics(train=train, **_held_out(parts, losses, _mean))


def evaluate_model(model: SequenceModel, corpus: Path, name: SplitName | None = None) -> Metrics:
    """Return the losses of a model on a corpus, computed from its artifact alone.

    Args:
        model: a loaded model.
        corpus: a UTF-8 text file, one item per line.
        name: the split; by default the one used to train the model.

    Raises:
        CorpusError: if the corpus cannot be used.
        VocabularyError: if it holds symbols that the model does not know.
    """
    data = read_corpus(corpus)
    losses = _losses_of(model, data, corpus)
    return evaluate(_parts(model, data, name), losses)


def compare(model: SequenceModel, other: SequenceModel, corpus: Path, name: SplitName | None = None) -> Comparison:
    """Compare the losses of two models on a corpus, with intervals by the paired bootstrap.

    Each part is resampled 10,000 times: as many names as it has are drawn with replacement, the same for both models
    (Koehn 2004, "Statistical significance tests for machine translation evaluation"). The interval lies between
    percentiles of the differences (Efron and Tibshirani 1993, chapter 13). Names are resampled, not symbols, because
    the symbols of a name depend on each other. The interval reflects the choice of names, not the training seed.

    Args:
        model: a loaded model.
        other: another, whose vocabulary and context may differ.
        corpus: a UTF-8 text file, one item per line.
        name: the split for both models; by default the one used to train ``model``. If the other model was trained on
            another split, it may know dev and test names by heart.

    Raises:
        CorpusError: if the corpus cannot be used.
        VocabularyError: if it holds symbols that one of the models does not know.
    """
    data = read_corpus(corpus)
    ours, theirs = (_losses_of(each, data, corpus) for each in (model, other))
    parts = _parts(model, data, name)
    return Comparison(**_held_out(parts, lambda tokens: theirs(tokens) - ours(tokens), _difference))


def sample(parts: Split, block_size: int, predict: Predict, vocabulary: Vocabulary, max_length: int) -> Samples:
    """Generate 10,000 names with seed 0, and count how many are in each part of the corpus.

    There are fewer names only if hardly any name that the model generates is valid NFC text.
    """
    plan = Plan.of({"seed": _SAMPLE_SEED}, vocabulary, max_length)
    cache = LogitCache(predict, block_size, vocabulary.size, remember=False)
    names: list[str] = []
    with suppress(GenerationError):
        for batch in stream_names(Methods(cache), vocabulary, plan, _SAMPLES):
            names.extend(vocabulary.decode(batch))
    drawn = fingerprint(vocabulary.tokens(names).astype(parts.train.dtype))
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


def _losses_of(model: SequenceModel, data: Corpus, path: Path) -> Losses:
    """Return a function from names, in the ids of a corpus, to their losses under a model."""
    ids = model.vocabulary.ids_of(data.vocabulary.symbols)
    unknown = [symbol for symbol, i in zip(data.vocabulary.symbols, ids, strict=True) if i is None]
    if unknown:
        shown = ", ".join([*map(repr, unknown[:10]), *(["…"] if unknown[10:] else [])])
        cases = [model.vocabulary.other_case(symbol) for symbol in unknown]
        hint = "" if None in cases else "; it knows all of them in another case"
        raise VocabularyError(
            f"{path} holds {shown}, which model {model.config.name!r} does not know "
            f"({model.vocabulary.describe()}){hint}",
            symbol=unknown[0],
        )
    to_model = np.array([BOUNDARY, *ids], dtype=np.min_scalar_type(model.vocabulary.size))
    block_size, size = model.config.block_size, model.vocabulary.size
    return lambda tokens: name_losses(to_model[tokens], block_size, model.logits, size)


def _parts(model: SequenceModel, data: Corpus, name: SplitName | None) -> Split:
    """Split a corpus as asked, by default as for the model. The training part is cut to what the model saw of it."""
    training = model.config.training
    name = name or training.split
    own = (name, data.record.sha256) == (training.split, training.corpus.sha256)
    return split(data, name, training.first_names if own else 0)


def _held_out(
    parts: Split, measure: Losses, summarize: Callable[[NDArray[np.float64], NDArray[np.intp]], _Summary]
) -> dict[str, _Summary | None]:
    """Measure every dev and test name; summarize each part, and its names unseen in training.

    Args:
        parts: of a split.
        measure: returns a value for each name.
        summarize: takes the values of one or more names, and their numbers of windows.
    """
    summaries: dict[str, _Summary | None] = {}
    trained_on = _sorted_fingerprints(parts.train)
    for part, tokens in (("dev", parts.dev), ("test", parts.test)):
        values = measure(tokens)
        windows = np.diff(np.flatnonzero(tokens == BOUNDARY), prepend=-1)
        unseen = ~_among(fingerprint(tokens), trained_on)
        for group, chosen in ((part, np.ones_like(unseen)), (f"{part}_unseen", unseen)):
            summaries[group] = summarize(values[chosen], windows[chosen]) if chosen.any() else None
    return summaries


def _mean(losses: NDArray[np.float64], windows: NDArray[np.intp] | int) -> Loss:
    total = int(np.sum(windows))
    return Loss(loss=float(losses.sum()) / total, names=len(losses), windows=total)


def _difference(gaps: NDArray[np.float64], windows: NDArray[np.intp]) -> Difference:
    """Return the ratio of two sums over names, float64 and int [names], and its distribution over resamples."""
    random = np.random.Generator(np.random.PCG64(_RESAMPLING_SEED))
    resampled = np.empty(_RESAMPLES)
    rows = max(1, _MOST_DRAWS // len(gaps))
    for first in range(0, _RESAMPLES, rows):
        drawn = random.integers(len(gaps), size=(min(rows, _RESAMPLES - first), len(gaps)))
        resampled[first : first + rows] = gaps[drawn].sum(axis=1) / windows[drawn].sum(axis=1)
    low, high = np.quantile(resampled, _INTERVAL)
    return Difference(
        difference=float(gaps.sum() / windows.sum()),
        low=float(low),
        high=float(high),
        better=float(np.mean(resampled > 0)),
        names=len(gaps),
    )


def _sorted_fingerprints(tokens: Tokens) -> NDArray[np.uint64]:
    fingerprints = fingerprint(tokens)
    fingerprints.sort()
    return fingerprints


def _among(fingerprints: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which fingerprints are among ``known``, which is sorted; it may be large and is not copied."""
    if not len(known):
        return np.zeros(len(fingerprints), dtype=bool)
    nearest = np.searchsorted(known, fingerprints).clip(max=len(known) - 1)
    among: NDArray[np.bool_] = known[nearest] == fingerprints
    return among
