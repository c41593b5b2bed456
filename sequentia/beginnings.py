"""Names one by one: the distributions after the beginnings of names that occurred, kept as a tree.

Drawing a single name step by step with NumPy takes some 300 microseconds, nearly all of it in calls for arrays of one
row. With the running sums at hand, a symbol takes a look-up and a binary search.
"""

from array import array
from bisect import bisect_right

import numpy as np

from .drawing import weights_after
from .logit_cache import LogitCache
from .options import Plan
from .sampling import running_sums, uniforms
from .vocabulary import BOUNDARY
from .windows import context_after


class _Beginning:
    """The running sums of the weights of the ids that may follow a beginning of names, and the longer beginnings."""

    __slots__ = ("longer", "sums")

    def __init__(self, sums: "array[float]") -> None:
        self.sums = sums
        self.longer: dict[int, _Beginning] = {}


class Beginnings:
    """Draws names without constraints one by one, and remembers how they begin. Threads can share it.

    Args:
        cache: computes the logits.
        plan: the options; neither the seed nor what rejects names plays a part.
        most: how many running sums to keep, of 8 bytes each.
    """

    def __init__(self, cache: LogitCache, plan: Plan, most: int) -> None:
        self._cache, self._plan = cache, plan
        self._left = most // cache.ids
        self._start: _Beginning | None = None

    def draw(self, seed: int) -> list[int] | None:
        """Return the ids of the first attempt at the first name of a seed, or None if it is too long."""
        plan = self._plan
        ids: list[int] = plan.prefix.tolist()
        if self._start is None:
            self._start = self._after(ids)
        beginning = self._start
        for uniform in uniforms(seed, 0, 1, plan.draws_per_name)[0, : plan.max_length + 1 - len(ids)].tolist():
            sums = beginning.sums
            drawn = bisect_right(sums, uniform * sums[-1])
            if drawn == BOUNDARY:
                return ids
            ids.append(drawn)
            longer = beginning.longer.get(drawn)
            if longer is None:
                longer = self._after(ids)
                if self._left > 0:
                    self._left -= 1
                    beginning.longer[drawn] = longer
            beginning = longer
        return None

    def _after(self, ids: list[int]) -> _Beginning:
        context = context_after(np.array(ids, dtype=np.int64), self._cache.block_size)
        # What is kept here need not be kept in the cache as well.
        below = (self._cache.computed if self._left > 0 else self._cache.distances)(context)
        relative = weights_after(below, self._plan, len(ids))
        return _Beginning(array("d", running_sums(relative)[:, 0].tolist()))
