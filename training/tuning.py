"""Run the trials of a sweep on Ray: Optuna suggests their values, the ASHA rule stops the poor ones.

Each trial has a file in the sweep's folder. Suggestions and stops follow from these files alone, so that a sweep that
was killed goes on as if nothing had happened. Optuna's own storage could not do this: it writes a suggestion and a stop
in several steps, and a process may die between two of them.
"""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import ray
import torch
from msgspec.structs import replace
from optuna.trial import TrialState
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, WorkerCrashedError

from sequentia._files import remove_abandoned
from sequentia.errors import TrainingError

from .checkpoint import CHECKPOINT
from .recipes import read_recipe
from .search_space import Choices, Range
from .trainer import train
from .trials import RESULTS, Sweep, Trial, TrialReport, read_trial, read_trials, write_trial

_PARTS: Final = 9  # a trial is measured after each ninth of its steps
_RUNGS: Final = (1, 3)  # the parts after which a poor trial stops
_REDUCTION: Final = 3  # one trial in three goes on from a rung
_ATTEMPTS: Final = 3  # how often a trial may start before the death of its worker counts as its failure
_SECONDS_BETWEEN: Final = 0.2
_STATES: Final = {"stopped": TrialState.PRUNED, "finished": TrialState.COMPLETE, "failed": TrialState.FAIL}


def tune(sweep: Sweep, corpus: Path, folder: Path, concurrency: int, report: TrialReport) -> None:
    """Run all trials of a sweep that have not ended, on the connected cluster.

    Args:
        sweep: what to search.
        corpus: the text.
        folder: the sweep's folder; all machines must see it.
        concurrency: number of trials at a time.
        report: called with the progress.

    Raises:
        TrainingError: if a trial's file is damaged, or the trials cannot go on, for example on a full disk.
    """
    corpus, folder = corpus.resolve(), folder.resolve()
    remove_abandoned(folder / RESULTS, "")
    trials = read_trials(folder)
    pending = _pending(sweep, folder, trials)
    worker = ray.remote(num_cpus=1, max_retries=_ATTEMPTS - 1)(run_trial)
    running: dict[Any, int] = {}
    try:
        while True:
            for number in islice(pending, concurrency - len(running)):
                running[worker.remote(sweep, number, corpus, folder)] = number
            if not running:
                return
            ended, _ = ray.wait(list(running), timeout=_SECONDS_BETWEEN)
            for task, number in running.items():
                trial = _outcome(task, folder, number) if task in ended else read_trial(folder, number)
                if trial != trials[number]:
                    trials[number] = trial
                    report(trial, sum(each.state != "running" for each in trials), sweep.trials)
            for task in ended:
                del running[task]
    except (OSError, RayError) as error:
        reason = str(getattr(error, "cause", error)).strip().splitlines()[-1]
        raise TrainingError(f"the sweep stopped: {reason}; {folder} holds its trials, go on by --resume") from error


def _pending(sweep: Sweep, folder: Path, trials: list[Trial]) -> Iterator[int]:
    """Yield the numbers of the interrupted trials, then of new ones; each is suggested when it is asked for."""
    yield from [trial.number for trial in trials if trial.state == "running"]
    for number in range(len(trials), sweep.trials):
        trials.append(Trial(number=number, values=suggest(sweep, trials)))
        write_trial(folder, trials[number])
        yield number


def _outcome(task: Any, folder: Path, number: int) -> Trial:
    """Return the trial that a task has run; if its worker died too often, the trial has failed."""
    try:
        trial: Trial = ray.get(task)
    except (WorkerCrashedError, NodeDiedError, OutOfMemoryError):
        trial = replace(read_trial(folder, number), state="failed", error=f"its worker died {_ATTEMPTS} times")
        write_trial(folder, trial)
    return trial


# Suggestions


def suggest(sweep: Sweep, trials: list[Trial]) -> dict[str, Any]:
    """Return values for the next trial, by key, as TPE suggests them (Bergstra et al. 2011).

    They depend on the sweep's seed, the trial's number, and how the ended trials ended.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int(np.random.SeedSequence((sweep.seed, len(trials))).generate_state(1)[0])
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    distributions = {key: _distribution(each) for key, each in sweep.space.items()}
    for trial in trials:
        if trial.state != "running":
            study.add_trial(
                optuna.trial.create_trial(
                    state=_STATES[trial.state],
                    value=trial.loss if trial.state == "finished" else None,
                    params={
                        key: each.choices.index(trial.values[key]) if isinstance(each, Choices) else trial.values[key]
                        for key, each in sweep.space.items()
                    },
                    distributions=distributions,
                    intermediate_values={} if trial.loss is None else {_PARTS * trial.step // trial.steps: trial.loss},
                )
            )
    params = study.ask(distributions).params
    return {
        key: each.choices[params[key]] if isinstance(each, Choices) else params[key]
        for key, each in sweep.space.items()
    }


def _distribution(dimension: Range | Choices) -> optuna.distributions.BaseDistribution:
    """Return a dimension as Optuna's distribution; for choices, that of their indices."""
    if isinstance(dimension, Choices):
        return optuna.distributions.CategoricalDistribution(range(len(dimension.choices)))
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return optuna.distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


# One trial


class _PoorTrialError(Exception):
    """Raised out of a training to stop it."""


def is_poor(trial: Trial, folder: Path) -> bool:
    """Return whether the last measurement stops a trial, by the asynchronous rule of ASHA (Li et al. 2020).

    At a rung, a trial stops if its loss is above the lowest third of those that other trials had there.
    """
    for rung in _RUNGS:
        if _measured_at(rung, trial) == trial.losses[-1]:
            others = [_measured_at(rung, other) for other in read_trials(folder) if other.number != trial.number]
            losses = [measured[1] for measured in others if measured is not None]
            if losses and trial.losses[-1][1] > np.percentile(losses, 100 / _REDUCTION):
                return True
    return False


def _measured_at(rung: int, trial: Trial) -> tuple[int, float] | None:
    """Return a trial's first measurement, steps and loss, after so many parts of its steps."""
    return next((each for each in trial.losses if _PARTS * each[0] >= rung * trial.steps), None)


def run_trial(sweep: Sweep, number: int, corpus: Path, folder: Path) -> Trial:
    """Run a trial to its end, from its last checkpoint if it has one, and keep its file up to date.

    An error of the training is the trial's result; only an error of the system, such as a full disk, is raised.
    """
    torch.set_num_threads(1)
    trial = read_trial(folder, number)
    if trial.state != "running":  # a worker died after it had written the end
        return trial
    run, overrides = trial.folder(folder), sweep.overrides_of(trial)

    def watch(step: int, steps: int, loss: float) -> None:
        nonlocal trial
        if not math.isfinite(loss):
            raise TrainingError(f"the loss of the part dev is {loss} after {step} steps; try a lower learning_rate")
        if step == steps:
            return
        if _PARTS * step // steps > _PARTS * trial.step // steps:
            trial = replace(trial, steps=steps, losses=[*trial.losses, (step, loss)])
            write_trial(folder, trial)
        if step == trial.step and is_poor(trial, folder):  # also if a worker died before it asked this
            raise _PoorTrialError

    try:
        recipe = read_recipe(sweep.recipe, overrides).fitted(sweep.windows, sweep.names)
        if recipe.steps:
            overrides.append(f"checkpoint_every={-(-recipe.steps // _PARTS)}")
        record = train(
            corpus,
            run,
            recipe=sweep.recipe,
            overrides=overrides,
            device="cpu",
            resume=(run / CHECKPOINT).is_file(),
            test=False,
            watch_dev=watch,
            columns=sweep.corpus.columns,
        ).record
        assert record.metrics is not None  # noqa: S101 - it is finished
        assert record.metrics.dev is not None  # noqa: S101 - there is a dev part
    except OSError:
        raise
    except _PoorTrialError:
        trial = replace(trial, state="stopped")
    except Exception as error:  # noqa: BLE001 - the sweep goes on whatever the error
        message = " ".join(str(error).removeprefix("--set: ").split())
        trial = replace(trial, state="failed", error=message or type(error).__name__)
    else:
        steps = max(1, record.step)
        trial = replace(trial, steps=steps, losses=[*trial.losses, (steps, record.metrics.dev.loss)], state="finished")
    write_trial(folder, trial)
    return trial
