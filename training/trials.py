"""The trials of a sweep, and the journal that keeps them: a line for each thing that happened to one.

A sweep that was killed goes on from these lines alone.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from sequentia._json import decode_json, read_json
from sequentia.config import CorpusRecord
from sequentia.errors import TrainingError

from .kinds import Recipe
from .search_space import Space

SWEEP: Final = "sweep.json"
JOURNAL: Final = "journal.jsonl"
TRIALS: Final = "trials"


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a folder's sweep is.

    Attributes:
        corpus: what it trains on.
        windows: of the training part.
        recipe: name or path of the recipe whose keys it changes.
        overrides: ``key=value`` changes for all trials.
        settings: the recipe with these.
        space: what the trials change.
        seed: of the suggestions.
        trials: how many.
    """

    corpus: CorpusRecord
    windows: int
    recipe: str
    overrides: list[str]
    settings: Recipe
    space: Space
    seed: int
    trials: int

    def overrides_of(self, trial: "Trial") -> list[str]:
        """Return the ``key=value`` changes that make the recipe a trial's."""
        return self.overrides + [f"{key}={toml_value(value)}" for key, value in trial.values.items()]


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A trial, as far as it came.

    Attributes:
        number: from 0.
        values: by key of the space.
        step: steps done.
        steps: in all.
        loss: on the dev part at that step, in nats a symbol.
        state: ``running``, ``stopped`` early, ``finished`` or ``failed``.
        error: why it failed.
    """

    number: int
    values: dict[str, Any]
    step: int = 0
    steps: int = 0
    loss: float | None = None
    state: Literal["running", "stopped", "finished", "failed"] = "running"
    error: str = ""

    @property
    def rank(self) -> tuple[int, float, int]:
        """What orders trials, the best first: the finished before the others, then the loss."""
        order = ("finished", "stopped", "running", "failed").index(self.state)
        return order, math.inf if self.loss is None else self.loss, self.number

    def folder(self, sweep: Path) -> Path:
        """Return its run folder."""
        return sweep / TRIALS / f"{self.number:05}"


Report = Callable[[Trial, int, int], object]
"""Called with a trial that has measured or ended, how many have ended, and how many there are to be."""


def read_job(folder: Path) -> Job:
    """Return what the sweep in a folder is.

    Raises:
        TrainingError: if there is none, or the file is damaged.
    """
    path = folder / SWEEP
    if not path.is_file():
        raise TrainingError(f"{folder}: no sweep here; `sequentia sweep CORPUS -o {folder}` makes one")
    return read_json(path, Job)


def read_trials(folder: Path) -> list[Trial]:
    """Return a folder's trials as far as its journal tells, by number.

    Raises:
        TrainingError: if it is damaged.
    """
    trials = {line.number: line for line in read_journal(folder)}
    if list(trials) != list(range(len(trials))):
        raise TrainingError(f"{folder / JOURNAL} is damaged: a trial is missing")
    return list(trials.values())


def read_journal(folder: Path) -> list[Trial]:
    """Return the lines of a folder's journal; one that a killed sweep left unfinished is none.

    Raises:
        TrainingError: if it is damaged.
    """
    path = folder / JOURNAL
    lines = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.is_file() else []
    return [decode_json(line, Trial, path) for line in lines]


def write_journal(folder: Path, line: Trial) -> None:
    """Add a line to a folder's journal, in place of one left unfinished, and bring it to the disk."""
    with (folder / JOURNAL).open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def toml_value(value: object) -> str:
    """Return a recipe's value in TOML, which is JSON for what a recipe may hold."""
    return msgspec.json.encode(value).decode()
