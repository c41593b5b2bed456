"""Which drawn names are rejected, and how many rejections in a row end a stream."""

import unicodedata
from collections import Counter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import GenerationError
from .options import Plan
from .vocabulary import Names, Vocabulary

_PATIENCE: Final = 10_000
_MAX_ATTEMPTS: Final = 1 << 14  # at one name
REASONS: Final = ("constraints", "not NFC", "exclude", "novel")
_UNMET, _NOT_NFC, _EXCLUDED, _KNOWN = range(1, len(REASONS) + 1)


class Drawn(NamedTuple):
    """Consecutive names of a stream.

    Attributes:
        names: the names, unsigned [n, longest].
        rejected: number of rejected attempts at each name, int [n, reasons], or ``None`` if nothing can be rejected.
            It has one more row if all attempts at the next name were rejected.
    """

    names: Names
    rejected: NDArray[np.integer] | None = None


class Rejection:
    """Rejects names for what they are: by ``novel``, by ``exclude``, and if they are not in NFC.

    It has no state, so threads can share it.

    Args:
        plan: the options.
        vocabulary: the model's alphabet.

    Attributes:
        selective: whether the options can reject any name.
        max_attempts: number of attempts at a name, after which it is given up.
    """

    def __init__(self, plan: Plan, vocabulary: Vocabulary) -> None:
        self._plan, self._vocabulary = plan, vocabulary
        self.selective = bool(plan.exclude or plan.known is not None or vocabulary.may_compose)
        self.max_attempts = 1 if plan.constant else _MAX_ATTEMPTS

    def reasons(self, names: Names, met: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Return why names are rejected, int8 [names]: 1 and up for each of ``REASONS``, or 0 if a name passes.

        Names that are not in NFC are rejected, because encoding them again would give other symbols.

        Args:
            names: their ids.
            met: whether they meet the constraints, bool [names]; nothing else is asked of those that do not.
        """
        reasons = np.full(len(names), _UNMET, dtype=np.int8)
        reasons[met] = self._reasons(names if met.all() else names[met])
        return reasons

    def _reasons(self, names: Names) -> NDArray[np.int8]:
        plan, vocabulary = self._plan, self._vocabulary
        reasons = np.zeros(len(names), dtype=np.int8)
        texts = vocabulary.decode(names) if vocabulary.may_compose or plan.known is not None else []
        if plan.known is not None:
            reasons[plan.known.contains(texts)] = _KNOWN
        if plan.exclude:
            excluded = [name in plan.exclude for name in plan.told_apart(names, vocabulary)]
            reasons[np.array(excluded, dtype=bool)] = _EXCLUDED
        if vocabulary.may_compose and not unicodedata.is_normalized("NFC", "\n".join(texts)):
            normal = [unicodedata.is_normalized("NFC", text) for text in texts]
            reasons[~np.array(normal, dtype=bool)] = _NOT_NFC
        return reasons


class Acceptance:
    """Takes the names of a stream in index order, drops repeats if the options say so, and counts.

    The counts do not depend on how the stream is divided into batches.

    Args:
        plan: the options.
        vocabulary: the model's alphabet.
        wanted: number of names, or ``None`` if the stream is endless.

    Attributes:
        accepted: number of names that were kept.
        repeats_in_a_row: number of names dropped since the last one that was kept.
    """

    def __init__(self, plan: Plan, vocabulary: Vocabulary, wanted: int | None) -> None:
        self._plan, self._vocabulary = plan, vocabulary
        self._advice = "loosen the options" if wanted in {None, 1} else "ask for fewer names or loosen the options"
        self._seen: set[bytes | str] = set()
        self._rejected: Counter[str] = Counter()
        self._rejected_in_a_row = 0  # attempts and repeats
        self._missing = False
        self.accepted = self.repeats_in_a_row = 0

    def accept(self, drawn: Drawn, limit: int | None = None) -> Names:
        """Return the first ``limit`` names to keep; stop early after too many rejections in a row."""
        names, rejected = drawn
        if self._plan.unique:
            names, used = self._without_repeats(drawn, limit)
        else:
            names = names[:limit]
            used = len(names)
            self.accepted += used
        if rejected is not None:
            patient = self._rejected_in_a_row <= self._patience
            self._missing = patient and len(rejected) > len(drawn.names) == used
            counts = rejected[: used + self._missing]
            self._rejected.update(dict(zip(REASONS, counts.sum(axis=0).tolist(), strict=True)))
            if self._missing:
                self._rejected_in_a_row += int(rejected[-1].sum())
        return names

    def check_patience(self) -> None:
        """Raise :class:`GenerationError` after a name that cannot be found, or too many rejections in a row."""
        if not self._missing and self._rejected_in_a_row <= self._patience:
            return
        rejected = +self._rejected
        total = self.accepted + rejected.total()
        counts = ", ".join(f"{reason} {count:,}" for reason, count in rejected.items())
        candidates = "candidate" if self._rejected_in_a_row == 1 else "candidates"
        raise GenerationError(
            f"gave up after {self._rejected_in_a_row:,} rejected {candidates} in a row; {total:,} in total, "
            f"accepted: {self.accepted:,}, rejected: {counts}; {self._advice}",
            candidates=total,
            accepted=self.accepted,
            rejected=rejected,
        )

    def _without_repeats(self, drawn: Drawn, limit: int | None) -> tuple[Names, int]:
        """Return names without repeats, and how many names were looked at."""
        names, rejected = drawn
        attempts = np.zeros(len(names), dtype=int) if rejected is None else rejected[: len(names), _UNMET:].sum(axis=1)
        kept: list[int] = []
        used = 0
        compared = self._plan.told_apart(names, self._vocabulary)
        for name, attempts_at_name in zip(compared, attempts.tolist(), strict=True):
            used += 1
            if name not in self._seen:
                self._seen.add(name)
                kept.append(used - 1)
                self.accepted += 1
                self._rejected_in_a_row = self.repeats_in_a_row = 0
                if len(kept) == limit:
                    break
            else:
                self._rejected["unique"] += 1
                self.repeats_in_a_row += 1
                self._rejected_in_a_row += attempts_at_name + 1
                if self._rejected_in_a_row > self._patience:
                    break
        return names[kept], used

    @property
    def _patience(self) -> int:
        return 0 if self._plan.constant else _PATIENCE + self.accepted
