"""Trials on Ray Tune: Optuna suggests them by TPE (Bergstra et al. 2011), ASHA (Li et al. 2020) stops the poor ones.

Both are told what the journal of the sweep holds and nothing else, so that a sweep that was killed goes on as if it had
not been. Tune's own snapshots would not do: they come every few seconds, and without what ASHA has seen.
"""

import logging
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import optuna
import torch
from msgspec.structs import replace
from optuna.trial import TrialState
from ray import tune as ray_tune
from ray.exceptions import RayError
from ray.tune import FailureConfig, RunConfig, Stopper, TuneConfig, TuneError
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from sequentia.errors import TrainingError

from .checkpoint import CHECKPOINT
from .recipes import read_recipe
from .search_space import Choices, Range
from .trainer import train
from .trials import Job, Report, Trial, read_journal, read_trials, write_journal

_PARTS: Final = 9  # of a trial's steps: it is measured after each
_KEPT: Final = 3  # after the first part and the third, one trial of so many goes on
_MOST_FAILURES: Final = 2  # of a trial's worker
_RAYS_OWN: Final = ".tune"
_STATES: Final = {"stopped": TrialState.PRUNED, "finished": TrialState.COMPLETE, "failed": TrialState.FAIL}


def tune(job: Job, corpus: Path, folder: Path, concurrency: int, report: Report) -> None:
    """Bring the trials of a sweep to their ends, on the cluster that is connected.

    Args:
        job: what is searched.
        corpus: its text.
        folder: its folder, with the journal if there is one.
        concurrency: trials at a time.
        report: called with the progress.

    Raises:
        TrainingError: if the journal is damaged, or the trials cannot go on, as on a full disk.
    """
    study = Study(job, folder, report)
    left = job.trials - sum(trial.state != "running" for trial in study.trials)
    os.environ |= {
        "RAY_AIR_NEW_OUTPUT": "0",  # the old one can be silent
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    }
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    rays_own = folder.resolve() / _RAYS_OWN
    shutil.rmtree(rays_own, ignore_errors=True)
    try:
        ray_tune.Tuner(
            ray_tune.with_resources(_run, {"cpu": 1}),
            tune_config=TuneConfig(
                search_alg=_Suggestions(study, corpus.resolve(), folder.resolve()),
                num_samples=left,
                max_concurrent_trials=concurrency,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                storage_path=str(rays_own),
                stop=_Decisions(study),
                failure_config=FailureConfig(max_failures=_MOST_FAILURES),
                verbose=0,
            ),
        ).fit()
    except (RayError, TuneError) as error:
        raise TrainingError(
            f"the sweep stopped: {str(error).strip().splitlines()[-1]}; {folder} holds its trials, go on by --resume"
        ) from error
    finally:
        shutil.rmtree(rays_own, ignore_errors=True)


class Study:
    """The trials of a sweep: what they are to try, and which of them are over.

    Args:
        job: what is searched.
        folder: that of the sweep, whose journal it reads and writes.
        report: called with the progress.

    Attributes:
        job: what is searched.
        trials: all so far, by number.
    """

    def __init__(self, job: Job, folder: Path, report: Report) -> None:
        self.job, self._folder, self._report = job, folder, report
        self._asha: Any = ASHAScheduler("part", "loss", "min", max_t=_PARTS, reduction_factor=_KEPT)
        self.trials = read_trials(folder)
        for line in read_journal(folder):
            self._asha_stops(line)
        self._interrupted = [trial for trial in self.trials if trial.state == "running"]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Leave it out of Tune's snapshots."""
        return SimpleNamespace, ()

    def next(self) -> Trial:
        """Return a trial that was interrupted, or a new one."""
        if self._interrupted:
            return self._interrupted.pop(0)
        trial = Trial(number=len(self.trials), values=suggest(self.job, self.trials))
        self._asha_stops(trial)
        write_journal(self._folder, trial)
        self.trials.append(trial)
        return trial

    def tell(self, trial: Trial) -> bool:
        """Take note of how far a trial came, and return whether it is over; what is known already changes nothing."""
        known = self.trials[trial.number]
        if known.state == "running" and (trial.state != "running" or trial.step > known.step):
            if self._asha_stops(trial):
                trial = replace(trial, state="stopped")
            write_journal(self._folder, trial)
            self.trials[trial.number] = trial
            self._report(trial, sum(each.state != "running" for each in self.trials), self.job.trials)
        return self.trials[trial.number].state != "running"

    def _asha_stops(self, trial: Trial) -> bool:
        """Tell ASHA of a trial that begins or has measured on its way, and return whether it stops the trial."""
        known = SimpleNamespace(trial_id=trial.number)
        if trial.state == "running" and trial.loss is None:
            self._asha.on_trial_add(None, known)
        elif trial.state in {"running", "stopped"}:
            measured = {"part": _part(trial), "loss": trial.loss}
            return bool(self._asha.on_trial_result(None, known, measured) == "STOP")
        return False


def suggest(job: Job, trials: list[Trial]) -> dict[str, Any]:
    """Return the values of the next trial by key: what follows from the seed, its number, and how others ended."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int(np.random.SeedSequence((job.seed, len(trials))).generate_state(1)[0])
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    distributions = {key: _distribution(each) for key, each in job.space.items()}
    for trial in trials:
        if trial.state != "running":
            study.add_trial(
                optuna.trial.create_trial(
                    state=_STATES[trial.state],
                    value=trial.loss if trial.state == "finished" else None,
                    params={
                        key: each.choices.index(trial.values[key]) if isinstance(each, Choices) else trial.values[key]
                        for key, each in job.space.items()
                    },
                    distributions=distributions,
                    intermediate_values={} if trial.loss is None else {_part(trial): trial.loss},
                )
            )
    params = study.ask(distributions).params
    return {
        key: each.choices[params[key]] if isinstance(each, Choices) else params[key] for key, each in job.space.items()
    }


def _part(trial: Trial) -> int:
    return _PARTS * trial.step // max(1, trial.steps)


def _distribution(dimension: Range | Choices) -> optuna.distributions.BaseDistribution:
    """Return a dimension as Optuna has it; of choices, the index."""
    if isinstance(dimension, Choices):
        return optuna.distributions.CategoricalDistribution(range(len(dimension.choices)))
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return optuna.distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


# What Tune asks


class _Suggestions(Searcher):
    """Hands out the trials of a study."""

    def __init__(self, study: Study, corpus: Path, folder: Path) -> None:
        super().__init__(metric="loss", mode="min")
        self._study, self._corpus, self._folder = study, corpus, folder
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        trial, job = self._study.next(), self._study.job
        self._numbers[trial_id] = trial.number
        return {
            "number": trial.number,
            "corpus": self._corpus,
            "folder": trial.folder(self._folder),
            "recipe": job.recipe,
            "overrides": job.overrides_of(trial),
            "windows": job.windows,
        }

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:  # noqa: ARG002
        if error:
            trial = self._study.trials[self._numbers[trial_id]]
            message = f"its worker died {_MOST_FAILURES + 1} times"
            self._study.tell(replace(trial, state="failed", error=message))

    def save_to_dir(self, *_: object, **__: object) -> None:
        """Save nothing; the journal is there."""


class _Decisions(Stopper):
    """Passes on what trials report."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __call__(self, _trial_id: str, result: dict[str, Any]) -> bool:
        if "stop" in result:
            raise OSError(result["stop"])
        trial = self._study.trials[result["config"]["number"]]
        said = {key: result[key] for key in ("step", "steps", "loss", "state", "error") if key in result}
        return self._study.tell(replace(trial, **said))

    def stop_all(self) -> bool:
        return False


def _run(order: dict[str, Any]) -> None:
    """Train in a worker, from the trial's last checkpoint if there is one; an error is the result of the trial."""
    torch.set_num_threads(1)
    folder, overrides = order["folder"], list(order["overrides"])

    def watch(step: int, steps: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss of the part dev is {loss} after {step} steps; try a lower learning_rate")
        if step < steps:
            ray_tune.report({"step": step, "steps": steps, "loss": loss})

    try:
        recipe = read_recipe(order["recipe"], overrides).fitted(order["windows"])
        if recipe.steps:
            overrides.append(f"checkpoint_every={-(-recipe.steps // _PARTS)}")
        record = train(
            order["corpus"],
            folder,
            recipe=order["recipe"],
            overrides=overrides,
            device="cpu",
            resume=(folder / CHECKPOINT).is_file(),
            test=False,
            watch_dev=watch,
        ).record
        assert record.metrics is not None  # noqa: S101 - it is finished
        assert record.metrics.dev is not None  # noqa: S101 - there is a dev part
    except OSError as error:  # not the trial's fault
        ray_tune.report({"stop": str(error)})
    except Exception as error:  # noqa: BLE001 - whatever it is, the sweep goes on
        ray_tune.report({"state": "failed", "error": _message(error)})
    else:
        steps = max(1, record.step)
        ray_tune.report({"step": steps, "steps": steps, "loss": record.metrics.dev.loss, "state": "finished"})


def _message(error: Exception) -> str:
    return " ".join(str(error).removeprefix("--set: ").split()) or type(error).__name__
