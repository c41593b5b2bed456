"""Names one by one, each of a seed of its own: what test data and requests ask for.

Drawing a single name step by step with NumPy takes some 300 microseconds, nearly all of it in calls for arrays of one
row. So the running sums of the weights are kept after each beginning of a name that occurred, as a tree, and a symbol
takes a look-up and a binary search.
"""

from array import array
from bisect import bisect_right
from dataclasses import replace
from typing import Final

import numpy as np

from .case import in_case
from .drawing import Nodes
from .errors import OptionError
from .generation import stream_names
from .lookahead import Methods
from .options import Plan, seed_number
from .rejection import Rejection
from .sampling import uniforms
from .vocabulary import BOUNDARY, Vocabulary

_MOST_SUMS: Final = 1 << 21  # kept: 16 MiB


class _Beginning:
    """The running sums of the weights of the ids that may follow a beginning of names, and the longer beginnings."""

    __slots__ = ("longer", "sums")

    def __init__(self, sums: "array[float]") -> None:
        self.sums = sums
        self.longer: dict[int, _Beginning] = {}


class Namer:
    """A function from a seed to the first name of its stream.

    Args:
        methods: how names are found.
        vocabulary: the alphabet.
        plan: the checked options; the seed plays no part.

    Raises:
        OptionError: if the plan is ``unique``.
    """

    def __init__(self, methods: Methods, vocabulary: Vocabulary, plan: Plan) -> None:
        if plan.unique:
            raise OptionError("unique: a single name has no others to differ from", option="unique", value=True)
        self._methods, self._vocabulary, self._plan = methods, vocabulary, plan
        self._rejection = Rejection(plan, vocabulary)
        self._quick = plan.trivial and not plan.constant  # the first attempt is drawn freely
        self._left = _MOST_SUMS // vocabulary.size
        self._start: _Beginning | None = None

    def __call__(self, seed: int | str | None = None) -> str:
        """Return the first name of a seed's stream, a random one if there is no seed.

        Raises:
            OptionError: if the seed is wrong.
            GenerationError: as for :func:`sequentia.generate`.
        """
        number = seed_number(seed)
        name = self._first_attempt(number) if self._quick else None
        if name is None:
            plan = replace(self._plan, seed=number)
            (name,) = self._vocabulary.decode(next(stream_names(self._methods, self._vocabulary, plan, 1)))
        return in_case([name], self._plan.case)[0]

    def _first_attempt(self, seed: int) -> str | None:
        """Return what the first attempt draws, or None if it is too long or rejected."""
        plan, vocabulary = self._plan, self._vocabulary
        ids: list[int] = plan.prefix.tolist()
        if self._start is None:
            self._start = self._beginning(ids)
        beginning = self._start
        for uniform in uniforms(seed, 0, 1, plan.draws_per_name)[0, : plan.max_length + 1 - len(ids)].tolist():
            sums = beginning.sums
            drawn = bisect_right(sums, uniform * sums[-1])
            if drawn == BOUNDARY:
                break
            ids.append(drawn)
            longer = beginning.longer.get(drawn)
            if longer is None:
                longer = self._beginning(ids)
                if self._left > 0:
                    self._left -= 1
                    beginning.longer[drawn] = longer
            beginning = longer
        else:
            return None
        if self._rejection.selective:
            row = vocabulary.padded([ids], plan.max_length)
            if self._rejection.reasons(row, np.ones(1, dtype=bool))[0]:
                return None
        return vocabulary.separator.join([vocabulary.symbols[i - 1] for i in ids])

    def _beginning(self, ids: list[int]) -> _Beginning:
        nodes = Nodes(self._methods.cache, replace(self._plan, prefix=np.array(ids, dtype=np.int64)), 1)
        cumulative, _ = nodes.distributions()
        return _Beginning(array("d", cumulative[:, 0].tolist()))
