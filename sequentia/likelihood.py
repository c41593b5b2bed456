"""The probability of names under whatever computes logits: a loaded model, or a network in training."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .sampling import log_softmax
from .windows import windows

Predict = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Contexts, int64 [n, block_size], to logits, float32 [n, ids]."""

# Logits computed at once: half a megabyte of them in float64, unless the alphabet is large.
_MOST_LOGITS: Final = 1 << 16
_FEWEST_ROWS: Final = 64


def log_probabilities(
    tokens: NDArray[np.integer], block_size: int, predict: Predict, ids: int
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield the natural-log probability of each token after those before it in its name, in slices.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        block_size: symbols in a context.
        predict: computes the logits.
        ids: how many ids there are, the boundary included.

    Yields:
        A slice of ``tokens``, and float64 [tokens in the slice].
    """
    chunk = max(_FEWEST_ROWS, _MOST_LOGITS // ids)
    for start in range(0, len(tokens), chunk):
        positions = np.arange(start, min(start + chunk, len(tokens)))
        contexts, targets = windows(tokens, positions, block_size)
        yield slice(start, start + len(positions)), log_softmax(predict(contexts))[np.arange(len(targets)), targets]
