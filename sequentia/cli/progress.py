"""The progress of a training: a bar on a terminal, in a log a line now and then."""

import sys
import time
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from .streams import notice

if TYPE_CHECKING:
    from tqdm import tqdm

    from sequentia.training.progress import Progress

_LEAST_SECONDS: Final = 10.0
_LEAST_SHARE: Final = 1 / 40
_BAR: Final = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class TrainingProgress:
    """Shows how far a command has come, as the callback ``report`` of a training.

    A terminal gets one bar for the whole command. Elsewhere, a line is written once ten seconds and a fortieth of the
    work have passed since the last one: six lines for a minute, forty for an hour.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._last: Progress | None = None
        self._written, self._share = time.monotonic(), 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(None, total=1.0, desc="starting", bar_format=_BAR, dynamic_ncols=True, file=sys.stderr)
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        if kind is None and self._last is not None:
            self(replace(self._last, done=self._last.total))
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: "Progress") -> None:
        """Show the progress."""
        if self._bar is not None:
            if self._last is None:  # what an earlier command has done says nothing of the speed
                self._bar.initial = self._bar.n = progress.share
            self._bar.set_description_str(progress.phase, refresh=False)
            self._bar.set_postfix_str(", ".join(_losses(progress)), refresh=self._last is None)
            self._bar.update(max(0.0, progress.share - self._bar.n))
        elif self._last is None:
            self._share = progress.share
        elif time.monotonic() - self._written >= _LEAST_SECONDS and progress.share - self._share >= _LEAST_SHARE:
            self._written, self._share = time.monotonic(), progress.share
            notice(", ".join([f"{progress.share:4.0%} {progress.phase}", *_losses(progress)]))
        self._last = progress

    def phase(self, name: str) -> None:
        """Show what the command does next."""
        if self._last is not None:
            self(replace(self._last, phase=name))
            if self._bar is not None:
                self._bar.refresh()


def _losses(progress: "Progress") -> list[str]:
    """Return what is known of the losses and the learning rate."""
    shown = {"loss": (progress.loss, ".4f"), "dev": (progress.dev, ".4f"), "rate": (progress.rate, ".3g")}
    return [f"{name} {value:{digits}}" for name, (value, digits) in shown.items() if value is not None]
