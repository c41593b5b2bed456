"""The losses of a run on their way to ``history.jsonl``."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import torch
from torch import Tensor

from sequentia.errors import START_AGAIN, TrainingError

from .kinds import DescentRecipe
from .progress import TRAINING, Progress, Report
from .team import Team


class DivergenceError(TrainingError):
    """Raised when a loss or a weight is no longer finite."""


class History:
    """Losses on their way to ``history.jsonl``: fetched in groups, since each fetch waits for the device.

    Attributes:
        step: number of steps whose losses were fetched; all of them are finite.
        dev: the last loss on the dev part, in nats per symbol, if it was measured.

    Args:
        file: receives the lines.
        recipe: says which steps have a line.
        step: number of steps done before.
        team: the processes whose losses are averaged.
        report: called with the progress.
    """

    def __init__(self, file: BinaryIO, recipe: DescentRecipe, step: int, team: Team, report: Report) -> None:
        self._file, self._recipe, self._team, self._report = file, recipe, team, report
        self.step = step
        self.dev: float | None = None
        self._losses: list[Tensor] = []
        self._rates: list[float] = []
        self._ratios: dict[int, dict[str, Tensor]] = {}
        self._flushed = time.monotonic()

    def add(self, loss: Tensor, rate: float, update_ratios: dict[str, Tensor] | None) -> None:
        """Add the loss of a step, its learning rate, and perhaps the sizes of its updates."""
        if update_ratios is not None:
            self._ratios[self.step + len(self._losses)] = update_ratios
        self._losses.append(loss)
        self._rates.append(rate)

    @property
    def due(self) -> bool:
        """Whether it is time to fetch what is pending."""
        return self._team.due(len(self._losses), time.monotonic() - self._flushed)

    def save(self) -> int:
        """Bring the file to the disk, as a checkpoint that counts on it does, and return its length in bytes."""
        self.flush()
        if self._team.rank == 0:
            os.fsync(self._file.fileno())
        return self._file.tell()

    def flush(self, measure: Callable[[], float] | None = None) -> None:
        """Write what is pending.

        Args:
            measure: returns the loss on the dev part after the last of these steps, to write into its line.

        Raises:
            DivergenceError: naming the first step whose loss is not finite.
        """
        losses = self._team.mean(torch.stack(self._losses)).tolist() if self._losses else []
        rates, self._rates = self._rates, []
        self._losses.clear()
        for number, (loss, rate) in enumerate(zip(losses, rates, strict=True), start=1):
            if not math.isfinite(loss):
                raise DivergenceError(
                    f"the loss became {loss} at step {self.step}, at learning rate {rate:g}; try a lower learning_rate",
                    step=self.step,
                )
            self._write(loss, rate, measure() if measure and number == len(losses) else None)
            self.step += 1
        self._file.flush()
        self._flushed = time.monotonic()
        if losses:
            self._report(
                Progress(
                    phase=TRAINING,
                    done=self.step,
                    total=self._recipe.steps,
                    step=self.step,
                    steps=self._recipe.steps,
                    loss=losses[-1],
                    dev=self.dev,
                    rate=rates[-1],
                )
            )

    def _write(self, loss: float, rate: float, dev: float | None) -> None:
        """Write the line of a step, if it has one."""
        ratios = self._ratios.pop(self.step, None)
        if self.step % self._recipe.log_every and dev is None:
            return
        line: dict[str, object] = {"step": self.step, "loss": float(f"{loss:.9g}"), "learning_rate": rate}
        if ratios is not None:
            line["update_ratios"] = {name: _rounded(ratio) for name, ratio in ratios.items()}
        if dev is not None and math.isfinite(dev):
            line["dev"] = self.dev = float(f"{dev:.9g}")
        self._file.write(msgspec.json.encode(line) + b"\n")


def _rounded(ratio: Tensor) -> float | None:
    """Return a ratio for the history; a matrix that did not move, or was zero, or a single number, has none."""
    return round(ratio.item(), 4) if ratio.isfinite() else None


@contextmanager
def history_file(path: Path, length: int) -> Iterator[BinaryIO]:
    """Open the history, cut to the length it had at the checkpoint."""
    with path.open("ab") as file:
        if file.tell() < length:
            raise TrainingError(f"{path} is missing or shorter than the checkpoint says; {START_AGAIN}")
        if length < file.tell():
            file.truncate(length)
        yield file
