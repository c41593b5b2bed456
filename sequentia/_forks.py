"""What a forked process has to make anew: it has none of its parent's threads, and the locks they held stay held."""

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """An object that holds locks or threads."""

    def renew(self) -> None:
        """Replace them; a forked process calls this before anything else."""


_renewables: "WeakSet[Renewable]" = WeakSet()


def renew_after_fork(each: Renewable) -> None:
    """Have forked processes renew an object for as long as it exists."""
    _renewables.add(each)
    _register()


@cache
def _register() -> None:
    def renew() -> None:
        for each in _renewables:
            each.renew()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
