"""Losses that a model should beat: of guessing every symbol alike, and of counting n-grams."""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sequentia.windows import windows

from .counts import count_ngrams
from .kinds.backoff import Level, continuations, discount_after, levels
from .parts import Part, Split
from .recipes import read_recipe

_LEAST_ORDER: Final = 2
_MOST_COUNTED: Final = 1 << 20  # windows of the training part
_CHUNK: Final = 1 << 18

Ids = NDArray[np.int64]


def measure_baselines(parts: Split, ids: int) -> dict[str, float]:
    """Return the losses of models that need no training on the dev part, in nats per symbol.

    ``uniform`` gives every symbol the same probability. ``ngram`` counts n-grams of the training part, as the recipe
    ``ngram`` does, but without conditions; its order, 2 to 6, is the one with the lowest loss. Of a training part of
    more than a million windows, evenly spaced names are counted. Without a dev part, there is only ``uniform``.

    Args:
        parts: of a split.
        ids: number of symbols, the boundary included.
    """
    found = {"uniform": math.log(ids)}
    if parts.dev.names:
        recipe = msgspec.to_builtins(read_recipe("ngram"))
        part = parts.train.spread(_MOST_COUNTED)
        if part.size:  # not if the spread names all have the weight 0
            losses = ngram_losses(part, parts.dev, recipe["order"], recipe["discounts"], ids)
            found["ngram"] = min(losses[_LEAST_ORDER - 1 :])
    return found


def ngram_losses(part: Part, dev: Part, order: int, discounts: Sequence[float], ids: int) -> list[float]:
    """Return the mean losses of n-gram models of the orders 1, 2, …, ``order`` on names, in nats per symbol.

    The models are those of :class:`.kinds.backoff.BackOffTables`, without the tables: only the probabilities of the
    symbols that follow are computed. So no alphabet is too large.

    Args:
        part: the names to count.
        dev: the names to measure.
        order: the highest order.
        discounts: those of order 1, 2 and so on; the last one applies to all higher orders.
        ids: number of symbols, the boundary included.
    """
    ngrams, counts = count_ngrams(
        Part(part.tokens, np.zeros((part.names, 0), np.uint8), part.counts, part.scale), order
    )
    found = list(levels(ngrams.astype(np.int64), counts, ids))
    smoothers = [
        (
            _Smoother(level, level.occurrences, discount_after(length, discounts), ids),
            None
            if deeper is None
            else _Smoother(level, continuations(level, deeper, ids), discount_after(length, discounts), ids),
        )
        for length, (level, deeper) in enumerate(zip_longest(found, found[1:]))
    ]
    totals = np.zeros(order)
    for start in range(0, dev.windows, _CHUNK):
        positions = np.arange(start, min(start + _CHUNK, dev.windows))
        contexts, targets = windows(dev.tokens, positions, max(1, order - 1))
        state, lower = np.zeros(len(targets), dtype=np.int64), np.full(len(targets), 1 / ids)
        for length, (level, (highest, inner)) in enumerate(zip(found, smoothers, strict=True)):
            if length:
                wanted = np.where(state >= 0, state * ids + contexts[:, -length], -1)
                state = _places(level.parents * ids + level.oldest, wanted)
            gram = _places(level.grams, np.where(state >= 0, state * ids + targets, -1))
            totals[length] -= np.log(highest.probabilities(state, gram, lower)).sum()
            if inner is not None:
                lower = inner.probabilities(state, gram, lower)
    return [float(total) / dev.windows for total in totals]


class _Smoother:
    """The counts of a level, with interpolated Kneser-Ney smoothing; see :meth:`.kinds.backoff.BackOffTables.of`."""

    def __init__(self, level: Level, counts: NDArray[np.float64], discount: float, ids: int) -> None:
        context, taken = level.grams // ids, np.minimum(counts, discount)
        total = np.bincount(context, weights=counts)
        self._own = (counts - taken) / total[context]
        self._share = np.bincount(context, weights=taken) / total

    def probabilities(self, state: Ids, gram: Ids, lower: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of some symbols, given those of the level below; -1 stands for what is unknown."""
        own = np.where(gram >= 0, self._own[gram], 0.0)
        return np.where(state >= 0, own + self._share[state] * lower, lower)


def _places(keys: Ids, wanted: Ids) -> Ids:
    """Return where some numbers stand in sorted keys, int64, -1 for those that do not."""
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    found: Ids = np.where(keys[places] == wanted, places, -1)
    return found
