"""A cache of logits: names begin alike, so most contexts of a thousand names come up again in the next thousand.

docs/performance.md says what it saves: nothing in a first batch, a fifth of the time or more in those after it.
"""

import math
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._forks import renew_after_fork
from .likelihood import Predict

_BYTES: Final = 1 << 25
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)


class LogitCache:
    """A network that remembers what it computed; safe to share between threads.

    A context's key is the number whose digits are its ids. The cache is a table of at most 32 MiB, in which the hash of
    a key gives the place of its logits. The first context to come to a place keeps it. The operating system hands out
    the table's memory page by page as it is written, so a few names use little of it.

    Args:
        predict: computes the logits; those of a context must not depend on the other contexts of a call.
        block_size: symbols in a context.
        ids: how many ids there are, the boundary included.
        remember: whether to keep logits from one call to the next; results do not depend on it.
    """

    def __init__(self, predict: Predict, block_size: int, ids: int, *, remember: bool = True) -> None:
        self.block_size, self.ids = block_size, ids
        self._predict = predict
        self._longest = min(block_size, int(63 / math.log2(ids)))  # the most symbols whose key is below 2^63
        self._digits = ids ** np.arange(self._longest - 1, -1, -1, dtype=np.int64)
        self._bits = (_BYTES // (8 + 4 * ids)).bit_length() - 1 if remember else 0
        self._shift = np.uint64(64 - self._bits)
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget all logits."""
        self._lock = threading.Lock()
        self._keys = np.zeros(1 << self._bits, dtype=np.int64)  # keys plus one: 0 marks an empty place
        self._logits: NDArray[np.float32] = np.empty((1 << self._bits, self.ids), dtype=np.float32)

    def keys(self, contexts: NDArray[np.integer]) -> NDArray[np.int64] | None:
        """Return the keys of contexts, integer [n, block_size], or ``None`` if some hold too many symbols for one."""
        older = self.block_size - self._longest
        if older and contexts[:, :older].any():
            return None
        keys: NDArray[np.int64] = contexts[:, older:].astype(np.int64) @ self._digits
        return keys

    def logits(self, contexts: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the logits after contexts; repeated contexts that are not in the cache are computed each time.

        Args:
            contexts: integer [n, block_size], oldest symbol first, left-padded with the boundary.

        Returns:
            float32 [n, ids].
        """
        keys = self.keys(contexts) if self._bits else None
        if keys is None:
            return self._predict(contexts.astype(np.int64))
        keys += 1
        places = (keys.view(np.uint64) * _MIXER >> self._shift).view(np.int64)
        with self._lock:
            known = self._keys.take(places) == keys
            logits = self._logits.take(places, axis=0)
        if known.all():
            return logits
        unknown = np.flatnonzero(~known)
        found = logits[unknown] = self._predict(contexts[unknown].astype(np.int64))
        places, keys = places[unknown], keys[unknown]
        with self._lock:
            empty = np.flatnonzero(self._keys.take(places) == 0)
            places, keys, found = places[empty], keys[empty], found[empty]
            self._keys[places] = keys
            kept = np.flatnonzero(self._keys.take(places) == keys)  # where two want one place, the last has it
            self._logits[places[kept]] = found[kept]
        return logits

    def distinct_logits(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits after contexts that may repeat, each of them computed once, float32 [n, ids]."""
        keys = self.keys(contexts)
        if keys is None:
            return self._predict(contexts)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return self.logits(contexts[first])[inverse]
