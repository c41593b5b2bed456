"""The logits of contexts: each distinct one once, and popular ones not again.

Names share their beginnings, so a thousand of them hold a few thousand different contexts, and the next thousand most
of them again. A context is known by its key, the number that its ids are the digits of.
"""

import math
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .likelihood import Predict
from .vocabulary import BOUNDARY

_CACHE_BYTES: Final = 1 << 25
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)


class Contexts:
    """What a network says after each context, remembered; safe to share between threads.

    The memory is a table with one place for each hash of a key, of at most 32 MiB. A context met by several names of a
    batch takes the place of what is there; one met once only fills an empty place.

    Args:
        predict: computes the logits; those of a context must not depend on the other contexts of a call.
        block_size: symbols in a context.
        ids: how many ids there are, the boundary included.
        remember: whether to keep logits from call to call; results do not depend on it.
    """

    def __init__(self, predict: Predict, block_size: int, ids: int, *, remember: bool = True) -> None:
        self.block_size, self.ids = block_size, ids
        self._predict = predict
        self._longest = min(block_size, int(63 / math.log2(ids)))  # symbols of which a key is a number below 2^63
        self._digits = ids ** np.arange(self._longest - 1, -1, -1, dtype=np.int64)
        places = _CACHE_BYTES // (8 + 4 * ids) if remember else 0
        self._bits = max(1, places).bit_length() - 1
        self._lock = threading.Lock()
        self._shift = np.uint64(64 - self._bits)
        self._tags = np.zeros(1 << self._bits, dtype=np.int64)  # keys plus one, so that 0 is an empty place
        self._logits: NDArray[np.float32] = np.empty((1 << self._bits, ids), dtype=np.float32)

    def keys(self, contexts: NDArray[np.integer]) -> NDArray[np.int64] | None:
        """Return the keys of contexts, integer [n, block_size], or ``None`` if some have too many symbols for one."""
        older = self.block_size - self._longest
        if older and contexts[:, :older].any():
            return None
        keys: NDArray[np.int64] = contexts[:, older:].astype(np.int64) @ self._digits
        return keys

    def logits(self, contexts: NDArray[np.integer], visits: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Return the logits after contexts, each of which is looked up, or computed, as often as it is given.

        Args:
            contexts: integer [n, block_size], oldest symbol first, left-padded with the boundary.
            visits: how many names are at each, integer [n]; by default one.

        Returns:
            float32 [n, ids].
        """
        keys = self.keys(contexts) if self._bits else None
        if keys is None:
            return self._predict(contexts.astype(np.int64))
        places = ((keys.view(np.uint64) * _MIXER) >> self._shift).view(np.int64)
        tags = keys + 1
        with self._lock:
            known = self._tags.take(places) == tags
            if known.all():
                return self._logits.take(places, axis=0)
            logits = np.empty((len(keys), self.ids), dtype=np.float32)
            logits[known] = self._logits.take(places[known], axis=0)
        unknown = np.flatnonzero(~known)
        found = logits[unknown] = self._predict(contexts[unknown].astype(np.int64))
        places, tags = places[unknown], tags[unknown]
        with self._lock:
            kept = self._tags[places] == 0
            if visits is not None:
                kept |= visits[unknown] > 1
            self._tags[places[kept]] = tags[kept]
            kept &= self._tags[places] == tags  # of two for one place, the last
            self._logits[places[kept]] = found[kept]
        return logits

    def logits_after(self, symbols: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after some symbols of a name, float32 [1, ids]."""
        newest = symbols[-self.block_size :]
        key = 0
        for symbol in newest:
            key = key * self.ids + symbol
        place = ((key * int(_MIXER)) % (1 << 64)) >> int(self._shift)
        remembered = self._bits > 0 and len(newest) <= self._longest
        if remembered:
            with self._lock:
                if self._tags[place] == key + 1:
                    return self._logits[place : place + 1].copy()
        context = np.array([[BOUNDARY] * (self.block_size - len(newest)) + [*newest]])
        logits = self._predict(context)
        if remembered:
            with self._lock:
                if self._tags[place] == 0:
                    self._tags[place], self._logits[place] = key + 1, logits[0]
        return logits

    def predict(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits after contexts that may repeat, float32 [n, ids]."""
        keys = self.keys(contexts)
        if keys is None:
            return self._predict(contexts)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return self.logits(contexts[first])[inverse]
