"""Rejection of drawn names by ``unique``, ``novel``, ``exclude`` and NFC normalisation."""

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
    """A filter of candidates that counts what it rejects.

    Args:
        plan: the options.
        vocabulary: the model's alphabet.

    Attributes:
        selective: whether the options can reject any candidate.
        accepted: number of accepted candidates.
        dropped_in_a_row: number of candidates rejected since the last accepted one.
        rejected: number of rejected candidates by reason.
    """

    def __init__(self, plan: Plan, vocabulary: Vocabulary) -> None:
        self._plan, self._vocabulary = plan, vocabulary
        self._seen: set[bytes] = set()
        self.selective = bool(plan.unique or plan.exclude or plan.known is not None or vocabulary.may_compose)
        self.accepted = self.dropped_in_a_row = 0
        self.rejected: Counter[str] = Counter()

    def accept(self, candidates: Names, limit: int | None) -> Names:
        """Return the first ``limit`` accepted candidates; stop early after too many rejections in a row."""
        if not self.selective:
            names = candidates[:limit]
            self.accepted += len(names)
            return names
        passed = []
        for row, reason in enumerate(self.reasons(candidates)):
            if reason is None:
                passed.append(row)
                self.accepted += 1
                self.dropped_in_a_row = 0
                if len(passed) == limit:
                    break
                continue
            self.rejected[reason] += 1
            self.dropped_in_a_row += 1
            if self.dropped_in_a_row > self._patience:
                break
        return candidates[passed]

    def passing(self, candidates: Names) -> NDArray[np.bool_]:
        """Return which candidates pass, bool [candidates], without counting them."""
        return np.fromiter((reason is None for reason in self.reasons(candidates)), dtype=bool, count=len(candidates))

    def reasons(self, candidates: Names) -> Iterator[str | None]:
        """Yield the reason for rejecting each candidate, or None if it passes.

        Names that are not in NFC are rejected, because encoding them again would give other symbols.
        """
        plan, vocabulary = self._plan, self._vocabulary
        needs_text = vocabulary.may_compose or plan.known is not None
        texts = vocabulary.decode(candidates) if needs_text else [""] * len(candidates)
        normal = not vocabulary.may_compose or unicodedata.is_normalized("NFC", "\n".join(texts))
        known = [False] * len(texts) if plan.known is None else plan.known.contains(texts).tolist()
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
        """Raise :class:`GenerationError` after too many rejections in a row."""
        if self.dropped_in_a_row <= self._patience:
            return
        total = self.accepted + self.rejected.total()
        counts = ", ".join(f"{reason} {count}" for reason, count in self.rejected.items())
        raise GenerationError(
            f"gave up after {self.dropped_in_a_row} rejected candidates in a row; {total} candidates in total, "
            f"accepted: {self.accepted}, rejected: {counts}; ask for fewer names or loosen the options",
            candidates=total,
            accepted=self.accepted,
            rejected=self.rejected,
        )

    @property
    def _patience(self) -> int:
        return 0 if self._plan.constant else _PATIENCE + self.accepted
