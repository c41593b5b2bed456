"""The negative log-likelihood of names under a loaded model or a network in training."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Inputs
from .sampling import log_probabilities, log_softmax
from .vocabulary import BOUNDARY
from .windows import windows

Predict = Callable[[NDArray[np.int64]], NDArray[np.floating]]
"""A function from contexts, int64 [n, block_size], to logits, floating [n, ids]."""


class ConditionedPredict(Protocol):
    """A function from contexts and the ids of their conditions' values, by default not said, to logits."""

    def __call__(
        self, contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None, /
    ) -> NDArray[np.floating]:
        """Return logits, floating [n, ids].

        Args:
            contexts: int64 [n, block_size].
            conditions: int64 [n, conditions], 0 where one is not said; by default, none is said.
        """
        ...


_CHUNK_LOGITS: Final = 1 << 16  # half a megabyte in float64
_MIN_CHUNK_ROWS: Final = 64  # for large alphabets


def name_losses(
    tokens: NDArray[np.integer],
    inputs: Inputs,
    predict: ConditionedPredict,
    conditions: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each name and its end, in nats, float64 [names].

    The terms of a name are added one by one, so that its loss does not depend on the other names.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        inputs: what the model reads.
        predict: computes the logits.
        conditions: the ids of each name's values, integer [names, conditions]; by default, none is said.
    """
    losses = np.zeros(np.count_nonzero(tokens == BOUNDARY))
    chunk = max(_MIN_CHUNK_ROWS, _CHUNK_LOGITS // inputs.ids)
    first = 0
    for start in range(0, len(tokens), chunk):
        contexts, targets = windows(tokens, np.arange(start, min(start + chunk, len(tokens))), inputs.block_size)
        ends = targets == BOUNDARY
        names = first + np.cumsum(ends) - ends
        said = None if conditions is None else conditions[names].astype(np.int64)
        np.subtract.at(losses, names, log_probabilities(predict(contexts, said), targets))
        first += int(ends.sum())
    return losses


def ranked_probabilities(logits: NDArray[np.floating], symbols: Sequence[str]) -> list[dict[str, float]]:
    """Return the probability of each symbol for each row of logits, floating [n, ids], the most probable first."""
    rows = np.exp(log_softmax(logits))
    ranked = zip(np.argsort(-rows, axis=1, kind="stable").tolist(), rows.tolist(), strict=True)
    return [{symbols[i]: row[i] for i in order} for order, row in ranked]
