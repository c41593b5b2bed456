"""The probability of names under whatever computes logits: a loaded model, or a network in training."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .sampling import log_softmax
from .vocabulary import BOUNDARY
from .windows import windows

Predict = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Contexts, int64 [n, block_size], to logits, float32 [n, ids]."""

# Logits computed at once: half a megabyte of them in float64, unless the alphabet is large.
_MOST_LOGITS: Final = 1 << 16
_FEWEST_ROWS: Final = 64


def name_losses(tokens: NDArray[np.integer], block_size: int, predict: Predict, ids: int) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each name, the boundary after it included, in nats: float64 [names].

    A name's symbols are added up one after the other, so that its loss does not depend on the names around it.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        block_size: symbols in a context.
        predict: computes the logits.
        ids: how many ids there are, the boundary included.
    """
    losses = np.zeros(np.count_nonzero(tokens == BOUNDARY))
    chunk = max(_FEWEST_ROWS, _MOST_LOGITS // ids)
    first = 0
    for start in range(0, len(tokens), chunk):
        contexts, targets = windows(tokens, np.arange(start, min(start + chunk, len(tokens))), block_size)
        closes = targets == BOUNDARY
        names = first + np.cumsum(closes) - closes
        np.subtract.at(losses, names, log_softmax(predict(contexts))[np.arange(len(targets)), targets])
        first += int(closes.sum())
    return losses
