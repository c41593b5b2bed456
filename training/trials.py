"""A sweep and its trials, as the files of the sweep's folder hold them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from sequentia._files import write_file
from sequentia._json import read_json
from sequentia.config import CorpusRecord
from sequentia.errors import START_AGAIN, TrainingError

from .kinds import Recipe
from .search_space import Space

SWEEP: Final = "sweep.json"
RESULTS: Final = "results"
TRIALS: Final = "trials"


class Sweep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a sweep searches.

    Attributes:
        corpus: the text that trials train on.
        windows: number of windows in its training part.
        names: number of names there.
        recipe: name or path of the recipe whose keys vary.
        overrides: ``key=value`` changes for all trials.
        settings: the recipe after these changes.
        space: the values to try, by key.
        seed: seed of the suggestions.
        trials: number of trials.
    """

    corpus: CorpusRecord
    windows: int
    names: int
    recipe: str
    overrides: list[str]
    settings: Recipe
    space: Space
    seed: int
    trials: int

    def overrides_of(self, trial: "Trial") -> list[str]:
        """Return the ``key=value`` changes that turn the recipe into a trial's."""
        return self.overrides + [f"{key}={toml_value(value)}" for key, value in trial.values.items()]


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A trial and its results so far.

    Attributes:
        number: its number, from 0.
        values: its values, by key of the space.
        steps: number of training steps in all; 0 before the first measurement.
        losses: for each measurement, the steps done and the loss on the dev part in nats per symbol.
        state: ``running``, ``stopped`` early, ``finished`` or ``failed``.
        error: why it failed.
    """

    number: int
    values: dict[str, Any]
    steps: int = 0
    losses: list[tuple[int, float]] = []
    state: Literal["running", "stopped", "finished", "failed"] = "running"
    error: str = ""

    @property
    def step(self) -> int:
        """The steps done at the last measurement."""
        return self.losses[-1][0] if self.losses else 0

    @property
    def loss(self) -> float | None:
        """The last loss measured on the dev part, in nats per symbol."""
        return self.losses[-1][1] if self.losses else None

    @property
    def rank(self) -> tuple[int, float, int]:
        """A key that sorts trials, the best first: finished trials before others, then by loss."""
        order = ("finished", "stopped", "running", "failed").index(self.state)
        return order, math.inf if self.loss is None else self.loss, self.number

    def folder(self, sweep: Path) -> Path:
        """Return its run folder."""
        return sweep / TRIALS / f"{self.number:05}"


TrialReport = Callable[[Trial, int, int], object]
"""Called with a trial that was measured or ended, the number of ended trials, and the number of all."""


def read_sweep(folder: Path) -> Sweep:
    """Return what the sweep in a folder searches.

    Raises:
        TrainingError: if the folder holds no sweep, or its file is damaged.
    """
    path = folder / SWEEP
    if not path.is_file():
        raise TrainingError(f"{folder}: no sweep here; `sequentia sweep CORPUS -o {folder}` makes one")
    return read_json(path, Sweep)


def read_trial(folder: Path, number: int) -> Trial:
    """Return a trial of the sweep in a folder.

    Raises:
        TrainingError: if its file is damaged.
    """
    return read_json(_result(folder, number), Trial)


def read_trials(folder: Path) -> list[Trial]:
    """Return the trials of the sweep in a folder, by number.

    Raises:
        TrainingError: if a file is damaged or missing.
    """
    trials = sorted(
        (read_json(path, Trial) for path in (folder / RESULTS).glob("[0-9]*.json")), key=lambda trial: trial.number
    )
    if [trial.number for trial in trials] != list(range(len(trials))):
        raise TrainingError(f"{folder / RESULTS} is damaged: a trial is missing; {START_AGAIN}")
    return trials


def write_trial(folder: Path, trial: Trial) -> None:
    """Write a trial's file in one step, so that a killed process leaves the old file or the new one."""
    path = _result(folder, trial.number)
    path.parent.mkdir(exist_ok=True)
    write_file(path, msgspec.json.encode(trial) + b"\n")


def toml_value(value: object) -> str:
    """Return a recipe's value in TOML, which is the same as JSON for every value that a recipe may hold."""
    return msgspec.json.encode(value).decode()


def _result(folder: Path, number: int) -> Path:
    return folder / RESULTS / f"{number:05}.json"
