"""Replacing locks and threads after a fork: the child has no other threads, and their locks stay locked."""

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """An object with locks or threads."""

    def renew(self) -> None:
        """Replace the locks and threads; called first in a forked process."""


_renewables: "WeakSet[Renewable]" = WeakSet()


def renew_after_fork(renewable: Renewable) -> None:
    """Call ``renewable.renew`` in every forked process while the object exists."""
    _renewables.add(renewable)
    _register()


@cache
def _register() -> None:
    def renew() -> None:
        for renewable in _renewables:
            renewable.renew()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
