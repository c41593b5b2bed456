"""The names that a model was trained on, as hashes: enough to avoid them, too little to read them.

``novelty.crc32`` of an artifact holds the CRC-32 of each name's UTF-8 bytes, sorted, each once, as little-endian
unsigned 32-bit numbers. A name that is there is always recognised; another is taken for one of them with a probability
of about their number over 2^32, so that ``novel`` may drop a name too many, and never lets one through.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_DTYPE: Final = np.dtype("<u4")


class KnownNames:
    """A set of names, known by their hashes.

    Args:
        hashes: uint32 [names], sorted, each once.
    """

    def __init__(self, hashes: NDArray[np.uint32]) -> None:
        self.hashes = hashes

    @classmethod
    def of(cls, names: Iterable[str], count: int = -1) -> "KnownNames":
        """Return the set of some names, in NFC; to know how many there are saves memory."""
        hashes = _hashes(names, count)
        hashes.sort()
        first = np.ones(len(hashes), dtype=bool)
        np.not_equal(hashes[1:], hashes[:-1], out=first[1:])
        return cls(hashes[first])

    @classmethod
    def from_bytes(cls, data: bytes) -> "KnownNames":
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: if the data are not sorted 32-bit numbers.
        """
        if len(data) % _DTYPE.itemsize:
            raise ValueError(f"{len(data)} bytes, which is no multiple of {_DTYPE.itemsize}")
        hashes = np.frombuffer(data, _DTYPE)
        if not (hashes[1:] > hashes[:-1]).all():
            raise ValueError("numbers that are not in rising order")
        return cls(hashes)

    def to_bytes(self) -> bytes:
        """Return the contents of ``novelty.crc32``."""
        return self.hashes.astype(_DTYPE).tobytes()

    def holds(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which names, in NFC, are in the set, bool [names]: of those that are not, hardly ever one too many."""
        hashes = _hashes(names)
        if not len(self):
            return np.zeros(len(hashes), dtype=bool)
        nearest = np.searchsorted(self.hashes, hashes).clip(max=len(self) - 1)
        held: NDArray[np.bool_] = self.hashes[nearest] == hashes
        return held

    def __len__(self) -> int:
        return len(self.hashes)


def _hashes(names: Iterable[str], count: int = -1) -> NDArray[np.uint32]:
    return np.fromiter((crc32(name.encode()) for name in names), dtype=np.uint32, count=count)
