"""Hashes of the names of the list, so that ``novel`` can avoid these names without storing them.

The file ``novelty.crc32`` of an artifact contains the distinct CRC-32 hashes of the names' UTF-8 bytes, in increasing
order, as little-endian unsigned 32-bit numbers. The names are those of all parts of the list: train, dev and test.
``novel`` never returns one of them. It drops any other name with a probability of about the number of hashes divided by
2^32.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_DTYPE: Final = np.dtype("<u4")


class KnownNames:
    """A set of names, stored as hashes.

    Args:
        hashes: uint32 [names], sorted and distinct.
    """

    def __init__(self, hashes: NDArray[np.uint32]) -> None:
        self.hashes = hashes

    @classmethod
    def of(cls, names: Iterable[str], count: int = -1) -> "KnownNames":
        """Return the set of names, given in NFC; passing their ``count`` saves memory."""
        hashes = _hashes(names, count)
        hashes.sort()
        first = np.ones(len(hashes), dtype=bool)
        np.not_equal(hashes[1:], hashes[:-1], out=first[1:])
        return cls(hashes[first])

    @classmethod
    def from_bytes(cls, data: bytes) -> "KnownNames":
        """Return the set from the contents of ``novelty.crc32``.

        Raises:
            ValueError: if the data are not distinct 32-bit numbers in increasing order.
        """
        if len(data) % _DTYPE.itemsize:
            raise ValueError(f"{len(data)} bytes, which is not a multiple of {_DTYPE.itemsize}")
        hashes = np.frombuffer(data, _DTYPE)
        if not (hashes[1:] > hashes[:-1]).all():
            raise ValueError("numbers that are not in increasing order")
        return cls(hashes)

    def to_bytes(self) -> bytes:
        """Return the contents of ``novelty.crc32``."""
        return self.hashes.astype(_DTYPE).tobytes()

    def contains(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which names, given in NFC, are in the set, bool [names]; false positives are rare."""
        hashes = _hashes(names)
        if not len(self):
            return np.zeros(len(hashes), dtype=bool)
        nearest = np.searchsorted(self.hashes, hashes).clip(max=len(self) - 1)
        found: NDArray[np.bool_] = self.hashes[nearest] == hashes
        return found

    def __len__(self) -> int:
        return len(self.hashes)


def _hashes(names: Iterable[str], count: int = -1) -> NDArray[np.uint32]:
    return np.fromiter((crc32(name.encode()) for name in names), dtype=np.uint32, count=count)
