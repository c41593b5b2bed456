"""Which drawn names are kept: the rules that look at a whole name, not at its next symbol."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .errors import GenerationError
from .options import Plan
from .vocabulary import Names, Vocabulary

_PATIENCE: Final = 10_000


class Filter:
    """Drops candidates in index order, and counts why.

    Args:
        plan: the options.
        vocabulary: the model's alphabet.

    Attributes:
        selective: whether it may drop any.
        accepted: how many passed.
        dropped_in_a_row: how many were dropped since the last that passed.
        rejected: how many were dropped, by reason.
    """

    def __init__(self, plan: Plan, vocabulary: Vocabulary) -> None:
        self._plan, self._vocabulary = plan, vocabulary
        self._seen: set[bytes] = set()
        self.selective = bool(plan.unique or plan.exclude or plan.known is not None or vocabulary.may_compose)
        self.accepted = self.dropped_in_a_row = 0
        self.rejected: Counter[str] = Counter()

    def accept(self, candidates: Names, missing: int | None) -> Names:
        """Return the candidates that pass, up to as many as are missing, or until too many in a row do not."""
        if not self.selective:
            names = candidates[:missing]
            self.accepted += len(names)
            return names
        passed = []
        for place, reason in enumerate(self.reasons(candidates)):
            if reason is None:
                passed.append(place)
                self.accepted += 1
                self.dropped_in_a_row = 0
                if len(passed) == missing:
                    break
                continue
            self.rejected[reason] += 1
            self.dropped_in_a_row += 1
            if self.dropped_in_a_row > self._patience:
                break
        return candidates[passed]

    def passing(self, candidates: Names) -> NDArray[np.bool_]:
        """Return which candidates pass, bool [candidates]; nothing is counted."""
        return np.fromiter((reason is None for reason in self.reasons(candidates)), dtype=bool, count=len(candidates))

    def reasons(self, candidates: Names) -> Iterator[str | None]:
        """Yield why each candidate is dropped, or None if it passes.

        A name that is not in NFC is dropped: reading it back would give other symbols than were drawn.
        """
        plan, vocabulary = self._plan, self._vocabulary
        needs_text = vocabulary.may_compose or plan.known is not None
        texts = vocabulary.decode(candidates) if needs_text else [""] * len(candidates)
        normal = not vocabulary.may_compose or unicodedata.is_normalized("NFC", "\n".join(texts))
        known = [False] * len(texts) if plan.known is None else plan.known.holds(texts).tolist()
        for row, text, is_known in zip(vocabulary.rows(candidates), texts, known, strict=True):
            if not normal and not unicodedata.is_normalized("NFC", text):
                yield "not NFC"
            elif row in plan.exclude:
                yield "exclude"
            elif is_known:
                yield "novel"
            elif plan.unique and row in self._seen:
                yield "unique"
            else:
                if plan.unique:
                    self._seen.add(row)
                yield None

    def check_patience(self) -> None:
        """Raise GenerationError after too many rejected candidates in a row."""
        if self.dropped_in_a_row <= self._patience:
            return
        total = self.accepted + self.rejected.total()
        counts = ", ".join(f"{reason} {count}" for reason, count in self.rejected.items())
        raise GenerationError(
            f"gave up after {self.dropped_in_a_row} rejected candidates in a row; of {total} in all, accepted: "
            f"{self.accepted}, rejected: {counts}; ask for fewer names, or loosen the options",
            candidates=total,
            accepted=self.accepted,
            rejected=self.rejected,
        )

    @property
    def _patience(self) -> int:
        return 0 if self._plan.constant else _PATIENCE + self.accepted
