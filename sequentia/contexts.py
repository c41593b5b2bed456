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
_FIRST_BITS: Final = 10  # a single name should not pay for memory that only thousands fill
_GROWTH_BITS: Final = 4
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, TAOCP 3, section 6.4)


class Contexts:
    """What a network says after each context, remembered; safe to share between threads.

    The memory is a table with one place for each hash of a key, which grows to at most 32 MiB. A context met by several
    names of a batch takes the place of what is there; one met once only fills an empty place.

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
        self._most_bits = (_CACHE_BYTES // (8 + 4 * ids)).bit_length() - 1 if remember else 0
        self._lock = threading.Lock()
        self._allocate(min(_FIRST_BITS, self._most_bits))

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
        keys = self.keys(contexts) if self._most_bits else None
        if keys is None:
            return self._predict(contexts.astype(np.int64))
        hashes, tags = keys.view(np.uint64) * _MIXER, keys + 1
        with self._lock:
            places = (hashes >> self._shift).view(np.int64)
            known = self._tags.take(places) == tags
            if known.all():
                return self._logits.take(places, axis=0)
            logits = np.empty((len(keys), self.ids), dtype=np.float32)
            logits[known] = self._logits.take(places[known], axis=0)
        unknown = np.flatnonzero(~known)
        found = logits[unknown] = self._predict(contexts[unknown].astype(np.int64))
        popular = None if visits is None else visits[unknown] > 1
        with self._lock:
            self._keep(hashes[unknown], tags[unknown], found, popular)
        return logits

    def logits_after(self, symbols: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after some symbols of a name, float32 [1, ids]."""
        newest = symbols[-self.block_size :]
        key = 0
        for symbol in newest:
            key = key * self.ids + symbol
        remembered = self._most_bits > 0 and len(newest) <= self._longest
        if remembered:
            with self._lock:
                place = (key * int(_MIXER) % (1 << 64)) >> int(self._shift)
                if self._tags[place] == key + 1:
                    return self._logits[place : place + 1].copy()
        logits = self._predict(np.array([[BOUNDARY] * (self.block_size - len(newest)) + [*newest]]))
        if remembered:
            with self._lock:
                self._make_room(1)
                place = (key * int(_MIXER) % (1 << 64)) >> int(self._shift)
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

    def _keep(
        self,
        hashes: NDArray[np.uint64],
        tags: NDArray[np.int64],
        logits: NDArray[np.float32],
        popular: NDArray[np.bool_] | None,
    ) -> None:
        """Remember the logits of contexts, as far as there is room for them; the lock is held."""
        self._make_room(len(tags))
        places = (hashes >> self._shift).view(np.int64)
        kept = self._tags[places] == 0
        if popular is not None:
            kept |= popular
        self._tags[places[kept]] = tags[kept]
        kept &= self._tags[places] == tags  # of two for one place, the last
        self._logits[places[kept]] = logits[kept]

    def _make_room(self, contexts: int) -> None:
        """Grow, if so many more contexts would fill more than a quarter of the table; the lock is held."""
        self._kept += contexts
        if self._kept > len(self._tags) // 4 and self._bits < self._most_bits:
            full = np.flatnonzero(self._tags)
            tags, logits = self._tags[full], self._logits[full]
            self._allocate(min(max(self._bits + _GROWTH_BITS, (4 * self._kept).bit_length()), self._most_bits))
            self._keep((tags - 1).view(np.uint64) * _MIXER, tags, logits, None)

    def _allocate(self, bits: int) -> None:
        self._bits, self._kept, self._shift = bits, 0, np.uint64(64 - bits)
        self._tags = np.zeros(1 << bits, dtype=np.int64)  # keys plus one, so that 0 is an empty place
        self._logits: NDArray[np.float32] = np.empty((1 << bits, self.ids), dtype=np.float32)
