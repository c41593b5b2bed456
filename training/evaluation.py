"""Measure the losses of a model on the parts of a split, compare models, and describe generated names."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from sequentia.arithmetic import Inputs
from sequentia.columns import ColumnRequest
from sequentia.conditions import listed
from sequentia.config import Columns, Loss, Metrics, SplitName
from sequentia.errors import OptionError, VocabularyError
from sequentia.likelihood import ConditionedPredict, name_losses
from sequentia.model import SequenceModel
from sequentia.tables import format_of
from sequentia.vocabulary import BOUNDARY, Vocabulary

from .corpus import Corpus, read_corpus
from .parts import Part, Split, among, sorted_fingerprints, split

_RESAMPLES: Final = 10_000
_RESAMPLING_SEED: Final = 0
_INTERVAL: Final = (0.025, 0.975)
# Names drawn at once: 1.5 MB of indices, losses and windows, unless a part has more names than this.
_MOST_DRAWS: Final = 1 << 16
_UNSEEN: Final = ("dev_unseen", "test_unseen")

_Summary = TypeVar("_Summary")

Losses = Callable[[Part], NDArray[np.float64]]
"""Maps names to their negative log-likelihoods in nats, float64 [names]."""

Summarize = Callable[[NDArray[np.float64], Part], _Summary]
"""Takes the values of one or more names, float64 [names], and the names."""


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much higher the loss of another model is on some names.

    Attributes:
        difference: the mean negative log-likelihood of the other model minus that of this one, in nats per symbol;
            positive if this model is better.
        low: lower end of its 95 % interval.
        high: upper end.
        better: share of the resamples in which this model is better; of those where both are equal, half count.
        names: number of names that were resampled.
    """

    difference: float
    low: float
    high: float
    better: float
    names: int


class Measured(Metrics, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Losses on a list, which may be another than the model's own.

    Attributes:
        names: all names of another list; its parts are ``None`` then, unless a split is asked for.
    """

    names: Loss | None = None


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Differences by part of the split, as :class:`Measured`; ``None`` where a part is empty.

    Attributes:
        learnt: whether the other model has learnt from the same file by another split, so that it may know dev and test
            names by heart.
    """

    dev: Difference | None = None
    test: Difference | None = None
    dev_unseen: Difference | None = None
    test_unseen: Difference | None = None
    names: Difference | None = None
    learnt: bool = False

    @property
    def parts(self) -> dict[str, Difference]:
        """The differences by name, without those of empty parts."""
        found = {name: getattr(self, name) for name in self.__struct_fields__ if name != "learnt"}
        return {name: difference for name, difference in found.items() if difference is not None}


def losses_of(inputs: Inputs, predict: ConditionedPredict) -> Losses:
    """Return a function from names to their losses under a network."""

    def losses(part: Part) -> NDArray[np.float64]:
        return name_losses(part.tokens, inputs, predict, part.conditions if inputs.values else None)

    return losses


def evaluate(
    parts: Split,
    losses: Losses,
    values: Mapping[str, Sequence[str]],
    unknown: NDArray[np.bool_] | None = None,
    trained_on: Part | None = None,
) -> Metrics:
    """Return the mean negative log-likelihood of each part, in nats per symbol, boundaries included.

    The *unseen* losses leave out names that are also in the training part. A random split can put copies of a repeated
    line into both, and a model may know those by heart.

    Args:
        parts: of a split.
        losses: measures names.
        values: those of each condition, by its name.
        unknown: which ids stand for words that the model does not know; see :func:`lacking`.
        trained_on: the names of the training part to measure; all by default.
    """
    measured, mean = cache(losses), partial(_mean, unknown=unknown)  # a part is measured once
    trained_on = parts.train if trained_on is None else trained_on
    train = mean(measured(trained_on), trained_on)
    held_out = _held_out(parts, measured, mean)
    not_said, by_value = None, {}
    if values:
        part = parts.dev if parts.dev.names else parts.train
        by_value = _by_value(part, measured(part), values, mean)
        if parts.dev.names:
            not_said = mean(losses(part.without_conditions()), part)
    return Metrics(
        train=train,
        dev=held_out["dev"],
        test=held_out["test"],
        dev_unseen=held_out["dev_unseen"],
        test_unseen=held_out["test_unseen"],
        dev_not_said=not_said,
        by_value=by_value,
    )


def _by_value(
    part: Part, losses: NDArray[np.float64], values: Mapping[str, Sequence[str]], mean: Summarize[Loss]
) -> dict[str, dict[str, Loss]]:
    """Return the loss on the names of each value of each condition, without values that no name has."""
    found = {}
    for column, (condition, names) in enumerate(values.items()):
        ids = part.conditions[:, column]
        chosen = {value: np.flatnonzero(ids == number) for number, value in enumerate(names, start=1)}
        found[condition] = {value: mean(losses[rows], part.select(rows)) for value, rows in chosen.items() if len(rows)}
    return found


def evaluate_model(
    model: SequenceModel, corpus: Path, name: SplitName | None = None, *, columns: ColumnRequest | Columns | None = None
) -> Measured:
    """Return the losses of a model on a corpus, computed from its artifact alone.

    Only on its own list and split is it known which names it has not seen in training. Another list is measured as a
    whole, or by the split that is asked for.

    Args:
        model: a loaded model.
        corpus: a UTF-8 text file, one item per line.
        name: the split; by default the one used to train the model, and none for another list.
        columns: those of a table to read; by default as in the training of the model.

    Raises:
        CorpusError: if the corpus cannot be used.
        VocabularyError: if it holds symbols that the model does not know.
    """
    data = read_corpus(corpus, columns or _columns(model, corpus), model.vocabulary.kind)
    losses = _losses_of(model, data, corpus)
    conditions = {name: values for name, values in data.values.items() if name in model.conditions}
    values, unknown = data.values if conditions else {}, lacking(model.vocabulary, data.vocabulary)
    whole = _whole(model, data, name)
    if whole is not None:
        mean, measured = partial(_mean, unknown=unknown), losses(whole)
        by_value = _by_value(whole, measured, values, mean)
        return Measured(
            train=None,
            dev=None,
            test=None,
            dev_unseen=None,
            test_unseen=None,
            by_value=by_value,
            names=mean(measured, whole),
        )
    found = msgspec.structs.asdict(evaluate(_parts(model, data, name), losses, values, unknown))
    if not _is_own(model, data, name):
        return Measured(**(found | dict.fromkeys(_UNSEEN)))
    metrics = Measured(**found)
    if metrics.compared != model.config.metrics.compared:  # it has learnt from what it was measured on before
        return metrics
    return msgspec.structs.replace(metrics, baselines=model.config.metrics.baselines)


def compare(
    model: SequenceModel,
    other: SequenceModel,
    corpus: Path,
    name: SplitName | None = None,
    *,
    columns: ColumnRequest | Columns | None = None,
) -> Comparison:
    """Compare the losses of two models on a corpus, with intervals by the paired bootstrap.

    Each part is resampled 10,000 times: as many names as it has are drawn with replacement, the same for both models
    (Koehn 2004, "Statistical significance tests for machine translation evaluation"). The interval lies between
    percentiles of the differences (Efron and Tibshirani 1993, chapter 13). Names are resampled, not symbols, because
    the symbols of a name depend on each other. The interval reflects the choice of names, not the training seed.

    Args:
        model: a loaded model.
        other: another, whose vocabulary and context may differ.
        corpus: a UTF-8 text file, one item per line.
        name: the split for both models; by default the one used to train ``model``, and none for another list. If the
            other model was trained on another split, it may know dev and test names by heart.
        columns: those of a table to read; by default as in the training of ``model``. A condition that a model does not
            have is not said to it.

    Raises:
        CorpusError: if the corpus cannot be used.
        VocabularyError: if it holds symbols that one of the models does not know.
    """
    if model.vocabulary.kind != other.vocabulary.kind:
        raise OptionError(
            f"{model.config.name} is a model of {model.vocabulary.kind} and {other.config.name} one of "
            f"{other.vocabulary.kind}: their losses per symbol cannot be compared",
            option="against",
            value=other.config.name,
        )
    data = read_corpus(corpus, columns or _columns(model, corpus), model.vocabulary.kind)
    unknown, theirs_unknown = (lacking(each.vocabulary, data.vocabulary) for each in (model, other))
    if unknown is not None and theirs_unknown is not None and (unknown != theirs_unknown).any():
        raise OptionError(
            f"{model.config.name} and {other.config.name} do not know the same words of {corpus}, so their losses "
            "cannot be compared: unknown words are easy to predict. Train both on the same part of the list, with the "
            "same rare",
            option="against",
            value=other.config.name,
        )
    ours, theirs = (_losses_of(each, data, corpus) for each in (model, other))

    def gaps(part: Part) -> NDArray[np.float64]:
        return theirs(part) - ours(part)

    whole = _whole(model, data, name)
    if whole is not None:
        return Comparison(names=_difference_on(gaps(whole), whole))
    found = _held_out(_parts(model, data, name), gaps, _difference_on)
    training = other.config.training
    learnt = training.corpus.sha256 == data.record.sha256 and training.split != (name or model.config.training.split)
    return Comparison(**(found if _is_own(model, data, name) else found | dict.fromkeys(_UNSEEN)), learnt=learnt)


def _losses_of(model: SequenceModel, data: Corpus, path: Path) -> Losses:
    """Return a function from names, in the ids of a corpus, to their losses under a model."""
    found = model.vocabulary.ids_of(data.vocabulary.symbols)
    ids = [model.vocabulary.unknown if i is None else i for i in found]
    unknown = [symbol for symbol, i in zip(data.vocabulary.symbols, ids, strict=True) if i is None]
    if unknown:
        shown = ", ".join([*map(repr, unknown[:10]), *(["…"] if unknown[10:] else [])])
        hint = _hint(model.vocabulary, unknown)
        raise VocabularyError(
            f"{path} holds {shown}, which model {model.config.name!r} does not know "
            f"({model.vocabulary.describe()}){hint}",
            symbol=unknown[0],
        )
    to_model = np.array([BOUNDARY, *ids], dtype=np.min_scalar_type(model.vocabulary.size))
    to_conditions = _condition_ids(model, data, path)

    def losses(part: Part) -> NDArray[np.float64]:
        conditions = np.zeros((part.names, len(to_conditions)), dtype=np.int64)
        for column, (source, table) in enumerate(to_conditions):
            if source is not None:
                conditions[:, column] = table[part.conditions[:, source]]
        return name_losses(to_model[part.tokens], model.config.inputs, model.logits, conditions)

    return losses


def _hint(vocabulary: Vocabulary, unknown: Sequence[str]) -> str:
    """Return what to do about symbols that a model does not know, if it knows all of them in another case."""
    cases = [vocabulary.other_case(symbol) for symbol in unknown]
    if None in cases:
        return ""
    case = "lower case" if cases == [symbol.lower() for symbol in unknown] else f"another case, such as {cases[0]!r}"
    return f"; it knows all of them in {case}: write the list so, and measure that"


def lacking(known: Vocabulary, corpus: Vocabulary) -> NDArray[np.bool_] | None:
    """Return which ids of a corpus stand for words that are not known, bool [ids]; None for characters."""
    if known.unknown is None:
        return None
    return np.array([False, *(i is None for i in known.ids_of(corpus.symbols))])


def _condition_ids(model: SequenceModel, data: Corpus, path: Path) -> list[tuple[int | None, NDArray[np.int64]]]:
    """Return, for each condition of a model, the column of a corpus, if it has one, and the model's id of each value.

    Raises:
        VocabularyError: if the corpus has a value that the model does not know.
    """
    columns = list(data.values)
    found: list[tuple[int | None, NDArray[np.int64]]] = []
    for condition, known in model.conditions.items():
        if condition not in data.values:
            found.append((None, np.zeros(1, dtype=np.int64)))
            continue
        unknown = [value for value in data.values[condition] if value not in known]
        if unknown:
            raise VocabularyError(
                f"{path} holds the {condition} {unknown[0]!r}, which model {model.config.name!r} does not know: it has "
                f"{listed(known)}",
                symbol=unknown[0],
            )
        ids = [0, *(known.index(value) + 1 for value in data.values[condition])]
        found.append((columns.index(condition), np.array(ids)))
    return found


def _columns(model: SequenceModel, corpus: Path) -> Columns | None:
    """Return the columns that a model was trained on, unless that was a table and the corpus is a list of lines."""
    record = model.config.training.corpus
    is_text, was_text = (format_of(path).kind == "text" for path in (corpus, Path(record.file)))
    return None if is_text and not was_text else record.columns


def _whole(model: SequenceModel, data: Corpus, name: SplitName | None) -> Part | None:
    """Return all names of a list that is not the model's own, if no split is asked for."""
    if name is not None or _is_own(model, data, name):
        return None
    return split(data, "all", 0, _weight_power(model)).train


def _parts(model: SequenceModel, data: Corpus, name: SplitName | None) -> Split:
    """Split a corpus as asked, by default as for the model. The training part is cut to what the model saw of it."""
    training = model.config.training
    first_names = training.first_names if _is_own(model, data, name) else 0
    return split(data, name or training.split, first_names, _weight_power(model))


def _weight_power(model: SequenceModel) -> float:
    power = model.config.training.settings.get("weight_power", 1.0)
    return float(power) if isinstance(power, int | float) else 1.0


def _is_own(model: SequenceModel, data: Corpus, name: SplitName | None) -> bool:
    """Return whether a corpus and a split are those that a model was trained on."""
    training = model.config.training
    return (name or training.split, data.record.sha256) == (training.split, training.corpus.sha256)


def _held_out(parts: Split, measure: Losses, summarize: Summarize[_Summary]) -> dict[str, _Summary | None]:
    """Measure every dev and test name; summarize each part, and its names unseen in training."""
    summaries: dict[str, _Summary | None] = {}
    trained_on = sorted_fingerprints(parts.train)
    for name, part in (("dev", parts.dev), ("test", parts.test)):
        values = measure(part)
        unseen = np.flatnonzero(~among(part.fingerprints, trained_on))
        summaries[name] = summarize(values, part) if part.names else None
        summaries[f"{name}_unseen"] = summarize(values[unseen], part.select(unseen)) if len(unseen) else None
    return summaries


def _mean(losses: NDArray[np.float64], part: Part, unknown: NDArray[np.bool_] | None) -> Loss:
    windows, weighted = part.lengths, None
    if part.counts is not None and part.counts.any():
        counts = part.counts.astype(np.float64)
        weighted = float(losses @ counts) / float(windows @ counts)
    return Loss(
        loss=float(losses.sum()) / part.windows,
        names=part.names,
        windows=part.windows,
        weighted=weighted,
        unknown=None if unknown is None else int(np.count_nonzero(unknown[part.tokens])),
    )


def _difference_on(gaps: NDArray[np.float64], part: Part) -> Difference:
    return _difference(gaps, part.lengths)


def _difference(gaps: NDArray[np.float64], windows: NDArray[np.int64]) -> Difference:
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
        better=float(np.mean(resampled > 0) + np.mean(resampled == 0) / 2),
        names=len(gaps),
    )
