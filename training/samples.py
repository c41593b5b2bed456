"""Draw names from a trained model, and say what they are like: how many are new, and how they suit their conditions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.arithmetic import Inputs
from sequentia.conditions import Said, bind
from sequentia.config import Described, Group, Samples
from sequentia.errors import GenerationError
from sequentia.generation import stream_names
from sequentia.likelihood import ConditionedPredict
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.vocabulary import BOUNDARY, Vocabulary

from .parts import Part, Split, among, fingerprint, sorted_fingerprints, texts

_DRAWN: Final = 10_000
_DRAWN_OF_GROUP: Final = 1000
_SEED: Final = 0
_MOST_FREQUENT: Final = 10
_EXAMPLES: Final = 10
_MOST_COMBINATIONS: Final = 48
_MOST_VALUES: Final = 24


def sample(
    parts: Split,
    inputs: Inputs,
    predict: ConditionedPredict,
    vocabulary: Vocabulary,
    max_length: int,
    values: Mapping[str, Sequence[str]],
) -> Samples:
    """Generate 10,000 names with seed 0, and count how many are in each part of the corpus.

    There are fewer names only if hardly any name that the model generates is valid NFC text. No condition is said; a
    thousand more names are for each group of values.

    Args:
        parts: of a split.
        inputs: what the model reads.
        predict: computes the logits.
        vocabulary: the alphabet.
        max_length: the most symbols of a name.
        values: those of each condition, by its name.
    """

    def draw(said: Said, count: int) -> list[str]:
        plan = Plan.of({"seed": _SEED}, vocabulary, max_length)
        cache = LogitCache(bind(predict, said), inputs.block_size, vocabulary.size, remember=False)
        names: list[str] = []
        with suppress(GenerationError):
            for batch in stream_names(Methods(cache), vocabulary, plan, count):
                names.extend(vocabulary.decode(batch))
        return names

    names = draw((0,) * len(values), _DRAWN)
    drawn = fingerprint(vocabulary.tokens(names).astype(parts.train.tokens.dtype))
    in_train = among(drawn, sorted_fingerprints(parts.train))
    in_dev, in_test = (among(drawn, sorted_fingerprints(part)) for part in (parts.dev, parts.test))
    in_others = (in_dev | in_test) & ~in_train
    share = 1 / max(1, len(names))
    ending = _ending(parts.train, vocabulary) if values else ""
    groups = [
        Group(
            where={condition: those[i - 1] for (condition, those), i in zip(values.items(), said, strict=True) if i},
            drawn=_described(found := draw(said, _DRAWN_OF_GROUP), np.ones(len(found)), ending, vocabulary),
            listed=_described(*_listed(parts.train, said, vocabulary), ending, vocabulary),
            examples=found[:_EXAMPLES],
        )
        for said in _groups(parts.train)
    ]
    return Samples(
        seed=_SEED,
        names=len(names),
        in_train=int(in_train.sum()) * share,
        in_dev_test=int(in_others.sum()) * share,
        new=int((~in_train & ~in_others).sum()) * share,
        mean_length=sum(len(vocabulary.split(name)) for name in names) * share,
        most_frequent=dict(Counter(names).most_common(_MOST_FREQUENT)),
        ending=ending,
        groups=groups,
    )


def _groups(part: Part) -> Iterator[Said]:
    """Yield the combinations of values that occur; if they are many, the most frequent values of each condition."""
    columns = part.conditions.shape[1]
    combinations = np.unique(part.conditions, axis=0) if columns else np.zeros((0, 0), dtype=np.int64)
    if len(combinations) <= _MOST_COMBINATIONS:
        yield from map(tuple, combinations.tolist())
        return
    for column in range(columns):
        names = np.bincount(part.conditions[:, column])
        for value in sorted(np.argsort(-names, kind="stable")[:_MOST_VALUES].tolist()):
            if names[value]:
                yield tuple(value if each == column else 0 for each in range(columns))


def _listed(part: Part, said: Said, vocabulary: Vocabulary) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of a part with some values, and how often each counts, float64 [names]."""
    wanted = np.array(said)
    rows = np.flatnonzero(((part.conditions == wanted) | (wanted == 0)).all(axis=1))
    chosen = part.select(rows)
    counts = np.ones(len(rows)) if chosen.counts is None else chosen.counts.astype(np.float64)
    return list(texts(chosen.tokens, vocabulary)), counts


def _ending(part: Part, vocabulary: Vocabulary) -> str:
    """Return the last symbol that the names of a part have most often."""
    last = part.tokens[part.ends.astype(np.int64) - 1]
    counts = np.bincount(last, weights=part.counts, minlength=vocabulary.size)
    counts[BOUNDARY] = -1
    if vocabulary.unknown is not None:
        counts[vocabulary.unknown] = -1
    return vocabulary.symbols[int(counts.argmax()) - 1]


def _described(names: Sequence[str], counts: NDArray[np.float64], ending: str, vocabulary: Vocabulary) -> Described:
    total, symbols = max(float(counts.sum()), 1e-300), [vocabulary.split(name) or [""] for name in names]
    frequencies: Counter[str] = Counter()
    for name, count in zip(names, counts.tolist(), strict=True):
        frequencies[name] += count
    frequent = [name for name, count in frequencies.most_common(_MOST_FREQUENT) if count > counts.min(initial=np.inf)]
    return Described(
        names=len(names),
        mean_length=float(np.array([len(each) for each in symbols], dtype=np.float64) @ counts) / total,
        ending=float(np.array([each[-1] == ending for each in symbols], dtype=np.float64) @ counts) / total,
        most_frequent=frequent,
    )
