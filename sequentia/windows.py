"""Context windows, computed on demand from one flat array of tokens.

Names are concatenated, each followed by the boundary: ``emma, ava`` is ``5 13 13 1 0 1 22 1 0``. Every position is one
prediction: its token is the target, and the tokens before it, back to the last boundary, are the context.
"""

import numpy as np
from numpy.typing import NDArray

from .vocabulary import BOUNDARY


def windows(
    tokens: NDArray[np.integer], positions: NDArray[np.int64], block_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the contexts and targets at the given positions.

    Args:
        tokens: integer [tokens], each name followed by the boundary.
        positions: int64 [n], indices into ``tokens``.
        block_size: symbols in a context.

    Returns:
        contexts, int64 [n, block_size], oldest symbol first, left-padded with the boundary; targets, int64 [n].
    """
    nearest_first = positions[:, None] - np.arange(1, block_size + 1)
    context = tokens[np.maximum(nearest_first, 0)].astype(np.int64)
    context[nearest_first < 0] = BOUNDARY
    context *= np.logical_and.accumulate(context != BOUNDARY, axis=1)
    return context[:, ::-1].copy(), tokens[positions].astype(np.int64)


def context_after(ids: NDArray[np.int64], block_size: int) -> NDArray[np.int64]:
    """Return the context after the first ids of a name, int64 [1, block_size]."""
    newest = ids[-block_size:]
    context = np.full((1, block_size), BOUNDARY)
    context[0, block_size - len(newest) :] = newest
    return context
