"""A cache of logits: most contexts of a thousand names occur again in the next thousand.

It saves a fifth of the time or more from the second batch on; see docs/performance.md.
"""

import math
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._forks import renew_after_fork
from .arithmetic import LOGIT_BITS
from .likelihood import Predict
from .sampling import distances

_BYTES: Final = 1 << 25
_AT_ONCE: Final = 1 << 11  # contexts whose logits stay in the processor's cache
_HASH_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)


class LogitCache:
    """A cache in front of a network, safe to share between threads.

    Logits are kept as distances from the largest of their row, in 16 bits; rows that do not fit are computed each time.
    A context's key is the number whose digits are its ids. The cache is a hash table of at most 32 MiB. A context may
    take either slot of a pair, and the first to take one keeps it. The operating system allocates the table's memory
    page by page as it is written, so a few names use little of it.

    Args:
        predict: computes the logits; each row must depend on its own context alone.
        block_size: symbols in a context.
        ids: number of ids, the boundary included.
        remember: whether to keep logits from one call to the next; the results are the same.
    """

    def __init__(self, predict: Predict, block_size: int, ids: int, *, remember: bool = True) -> None:
        self.block_size, self.ids = block_size, ids
        self._predict = predict
        self._longest = min(block_size, int(63 / math.log2(ids)))  # the most symbols whose key is below 2^63
        self._digits = ids ** np.arange(self._longest - 1, -1, -1, dtype=np.int64)
        self._bits = (_BYTES // (8 + 2 * ids)).bit_length() - 1 if remember else 0
        self._shift = np.uint64(64 - self._bits)
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget all logits."""
        self._lock = threading.Lock()
        self._keys = np.zeros(1 << self._bits, dtype=np.int64)  # key + 1; 0 marks an empty slot
        self._distances: NDArray[np.uint16] = np.empty((1 << self._bits, self.ids), dtype=np.uint16)

    def keys(self, contexts: NDArray[np.integer]) -> NDArray[np.int64] | None:
        """Return the keys of contexts, integer [n, block_size], or ``None`` if a context does not fit in 63 bits."""
        older = self.block_size - self._longest
        if older and contexts[:, :older].any():
            return None
        keys: NDArray[np.int64] = contexts[:, older:].astype(np.int64) @ self._digits
        return keys

    def distances(self, contexts: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Return how far each logit is below the largest of its context; see :func:`.sampling.distances`.

        Repeated contexts are computed each time until the cache has them.

        Args:
            contexts: integer [n, block_size], oldest symbol first, left-padded with the boundary.

        Returns:
            uint16 or uint32 [n, ids].
        """
        keys = self.keys(contexts) if self._bits else None
        if keys is None:
            return self.computed(contexts)
        keys += 1
        slots = (keys.view(np.uint64) * _HASH_FACTOR >> self._shift).view(np.int64)
        with self._lock:
            slots ^= self._keys.take(slots) != keys  # the other slot of the pair
            cached = self._keys.take(slots) == keys
            (rows,) = cached.nonzero()
            known: NDArray[np.unsignedinteger] = self._distances.take(slots.take(rows), axis=0)
        if len(rows) == len(slots):
            return known
        if not len(rows):
            found = computed = self.computed(contexts)
        else:
            (missing,) = np.logical_not(cached, out=cached).nonzero()
            slots, keys = slots.take(missing), keys.take(missing)
            computed = self.computed(contexts.take(missing, axis=0))
            found = np.empty((len(contexts), self.ids), dtype=computed.dtype)
            found[rows] = known
            found[missing] = computed
        self._keep(slots, keys, computed)
        return found

    def _keep(self, slots: NDArray[np.int64], keys: NDArray[np.int64], computed: NDArray[np.unsignedinteger]) -> None:
        with self._lock:
            slots ^= self._keys.take(slots) != 0
            free = self._keys.take(slots) == 0
            if computed.dtype != self._distances.dtype:
                free &= computed.max(axis=1) < 1 << 16
            (rows,) = free.nonzero()
            self._keys[slots.take(rows)] = keys.take(rows)
            if len(rows) > 1:  # if two keys share a slot, the last one wins
                (rows,) = (self._keys.take(slots) == keys).nonzero()
            self._distances[slots.take(rows)] = computed.take(rows, axis=0)

    def distinct_logits(self, contexts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logits for contexts less the largest of each, float64 [n, ids]; compute repeats only once."""
        keys = self.keys(contexts)
        if keys is None:
            found = self.computed(contexts)
        else:
            _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
            found = self.distances(contexts[first])[inverse]
        return found.astype(np.float64) * -(2.0**-LOGIT_BITS)

    def computed(self, contexts: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Return what :meth:`distances` does, without looking at the cache or filling it."""
        found: NDArray[np.unsignedinteger] = np.empty((len(contexts), self.ids), dtype=np.uint16)
        for start in range(0, len(contexts), _AT_ONCE):
            part = distances(self._predict(contexts[start : start + _AT_ONCE].astype(np.int64)))
            if part.itemsize > found.itemsize:
                found = found.astype(part.dtype)
            found[start : start + _AT_ONCE] = part
        return found
