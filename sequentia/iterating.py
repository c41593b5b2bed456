"""Iterators that threads can share."""

import threading
from collections.abc import Iterator
from typing import TypeVar

from ._forks import renew_after_fork

_Item = TypeVar("_Item")


class SharedIterator(Iterator[_Item]):
    """An iterator whose every item goes to exactly one of the threads that ask for it, in the order of its items.

    An iterator of Python's own is not safe to share: a generator that two threads run raises an error, and one of
    :mod:`itertools` may crash the interpreter.

    Args:
        source: a generator, which no one else may use.
    """

    def __init__(self, source: Iterator[_Item]) -> None:
        self._source = source
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock; a signal handler that asks for an item meanwhile gets an error instead of a deadlock."""
        self._lock = threading.RLock()

    def __next__(self) -> _Item:
        with self._lock:
            return next(self._source)
