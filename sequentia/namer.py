"""A function from seeds to names: what test data and requests ask for."""

from dataclasses import replace
from typing import Final

import numpy as np

from .beginnings import Beginnings
from .case import in_case
from .generation import stream_names
from .lookahead import Methods
from .options import Plan, seed_number
from .rejection import Rejection
from .vocabulary import Vocabulary

_MOST_SUMS: Final = 1 << 21  # kept: 16 MiB


class Namer:
    """A function from a seed to the first name of its stream.

    Args:
        methods: how names are found.
        vocabulary: the alphabet.
        plan: the checked options, without ``unique``; the seed plays no part.
        beginnings: what is known of how names begin; by default, nothing.
    """

    def __init__(
        self, methods: Methods, vocabulary: Vocabulary, plan: Plan, beginnings: Beginnings | None = None
    ) -> None:
        self._methods, self._vocabulary, self._plan = methods, vocabulary, plan
        self._rejection = Rejection(plan, vocabulary)
        self._quick = plan.trivial and not plan.constant  # the first attempt is drawn freely
        self._beginnings = beginnings or Beginnings(methods.cache, plan, _MOST_SUMS)

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
        ids = self._beginnings.draw(seed)
        if ids is None:
            return None
        vocabulary = self._vocabulary
        if self._rejection.selective:
            row = vocabulary.padded([ids], self._plan.max_length)
            if self._rejection.reasons(row, np.ones(1, dtype=bool))[0]:
                return None
        return vocabulary.separator.join([vocabulary.symbols[i - 1] for i in ids])
