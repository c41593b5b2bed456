"""How far a command has come, as callers are told."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

TRAINING: Final = "training"
MEASURING: Final = "measuring"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a command has come.

    Attributes:
        phase: what it is doing, such as ``training`` or ``teacher 2 of 5: wide``.
        done: work done so far, in units of about a second on one core.
        total: the work of the whole command, in the same units.
        step: steps done of the run that trains.
        steps: the most steps that it takes.
        loss: the last loss of a step, in nats per symbol; None where there is none yet.
        dev: the last loss measured on the dev part, in nats per symbol.
        rate: the last learning rate.
    """

    phase: str
    done: float
    total: float
    step: int = 0
    steps: int = 0
    loss: float | None = None
    dev: float | None = None
    rate: float | None = None

    @property
    def share(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


Report = Callable[[Progress], object]
"""Called now and then with the progress."""


def part_of(report: Report, *, before: float, size: float, total: float, phase: str = "") -> Report:
    """Return a callback for a part of a larger work.

    Args:
        report: takes the progress of the whole.
        before: the work that comes before the part.
        size: the work of the part, whatever total it reports itself.
        total: the work of the whole.
        phase: the name of the part. By default, its own phases are shown; else this name stands for ``training``, and
            before its other phases.
    """

    def inner(progress: Progress) -> None:
        name = progress.phase
        if phase:
            name = phase if name == TRAINING else f"{phase}, {name}"
        report(replace(progress, phase=name, done=before + size * progress.share, total=total))

    return inner
