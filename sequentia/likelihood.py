"""The negative log-likelihood of names under a loaded model or a network in training."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .sampling import log_softmax
from .vocabulary import BOUNDARY
from .windows import windows

Predict = Callable[[NDArray[np.int64]], NDArray[np.floating]]
"""A function from contexts, int64 [n, block_size], to logits, floating [n, ids]."""

_CHUNK_LOGITS: Final = 1 << 16  # half a megabyte in float64
_MIN_CHUNK_ROWS: Final = 64  # for large alphabets


def name_losses(tokens: NDArray[np.integer], block_size: int, predict: Predict, ids: int) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each name and its end, in nats, float64 [names].

    The terms of a name are added one by one, so that its loss does not depend on the other names.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        block_size: symbols in a context.
        predict: computes the logits.
        ids: number of ids, the boundary included.
    """
    losses = np.zeros(np.count_nonzero(tokens == BOUNDARY))
    chunk = max(_MIN_CHUNK_ROWS, _CHUNK_LOGITS // ids)
    first = 0
    for start in range(0, len(tokens), chunk):
        contexts, targets = windows(tokens, np.arange(start, min(start + chunk, len(tokens))), block_size)
        ends = targets == BOUNDARY
        names = first + np.cumsum(ends) - ends
        np.subtract.at(losses, names, log_softmax(predict(contexts))[np.arange(len(targets)), targets])
        first += int(ends.sum())
    return losses
