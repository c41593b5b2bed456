"""The search for a recipe: trials of suggested values, run by Ray Tune, the poor ones of them stopped early.

A folder receives ``sweep.json``, which says what is searched, the runs of the trials under ``trials``, and
``journal.jsonl``, a line for each thing that is decided: a trial's values, whether it may go on after a measurement,
its end. Optuna suggests, from a seed and what the lines before say, and ASHA (Li et al. 2020) stops, from what they
say alone; so a sweep that was killed goes on by hearing its journal again. Trials are measured on the dev part; the
test part is for the best.
"""

import csv
import io
import math
import os
import shutil
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

import msgspec
import torch
from msgspec.structs import replace

from sequentia._files import write_file
from sequentia.artifact import CorpusRecord
from sequentia.cluster import cluster
from sequentia.errors import CorpusError, MissingExtraError, RecipeError, TrainingError
from sequentia.options import whole

from .checkpoint import CHECKPOINT
from .corpus import read_corpus, split
from .recipes import DEFAULT_RECIPE, DescentRecipe, Recipe, checked, line_of, read_recipe
from .trainer import train

SWEEP: Final = "sweep.json"
JOURNAL: Final = "journal.jsonl"
TRIALS: Final = "trials"
LEADERBOARD: Final = "leaderboard.csv"
BEST_RECIPE: Final = "best.toml"
BEST: Final = "best"
_TRIALS: Final = 20
_PARTS: Final = 9  # of a trial; poor ones are stopped after the first or the third
_KEPT: Final = 3  # one of so many goes on
_LIVES: Final = 3
_SCRATCH: Final = ".tune"


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="range", tag_field="kind"):
    """A key's values from ``low`` to ``high``; with ``log``, as many below their geometric mean as above."""

    low: int | float
    high: int | float
    log: bool = False


class Choices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="choices", tag_field="kind"):
    """A key's values."""

    choices: list[Any]


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a folder's sweep is.

    Attributes:
        corpus: what it trains on.
        recipe: name or path of the recipe whose keys it changes.
        overrides: ``key=value`` changes for all trials.
        settings: the recipe with these.
        space: ranges and choices by key.
        seed: of the suggestions.
        trials: how many.
    """

    corpus: CorpusRecord
    recipe: str
    overrides: list[str]
    settings: Recipe
    space: dict[str, Range | Choices]
    seed: int
    trials: int


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A trial, as far as it came.

    Attributes:
        number: from 0.
        values: by key of the space.
        step: steps done.
        steps: in all.
        loss: on the dev part at that step, in nats.
        state: ``stopped`` by ASHA, ``finished``, or ``failed``.
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
        """Its place among others: the finished come first, by their losses."""
        order = ("finished", "stopped", "running", "failed").index(self.state)
        return order, math.inf if self.loss is None else self.loss, self.number


Report = Callable[[Trial], object]


def find_recipe(
    corpus: Path,
    folder: Path,
    *,
    space: Path | None = None,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    trials: int | None = None,
    concurrency: int | None = None,
    address: str | None = None,
    resume: bool = False,
    report: Report = lambda _trial: None,
) -> list[Trial]:
    """Search for the values of a recipe's keys that give the lowest loss on the dev part.

    The folder receives ``leaderboard.csv``, the best trial's recipe as ``best.toml``, and its finished run, the test
    part measured, as ``best``. With a concurrency of one the same call gives the same trials; with more, the
    suggestions depend on which trial ends first.

    Args:
        corpus: a UTF-8 text file, one item a line; all machines of a cluster must see it, and the folder.
        folder: new or empty, unless the sweep is resumed.
        space: a TOML file of recipe keys; see :func:`read_space`.
        recipe: name or path of the recipe whose keys are changed, by default ``names``.
        overrides: ``key=value`` changes for all trials.
        seed: of the suggestions, by default 0; the runs have the recipe's.
        trials: how many, by default 20.
        concurrency: trials at a time, a core each; by default as many as there are cores.
        address: of a cluster; see :func:`sequentia.cluster.cluster`.
        resume: go on with the sweep in the folder, whose options are its own unless given; ``trials`` may be changed.
        report: called with each trial that has ended.

    Returns:
        The trials, the best first.

    Raises:
        CorpusError: if the corpus cannot be used, or has no dev part.
        MissingExtraError: if Ray or Optuna is missing.
        OptionError: if an option is out of its range, or no cluster answers at the address.
        RecipeError: if the recipe or the space is malformed.
        TrainingError: if the folder is taken, the sweep to resume is another, or no trial finished.
    """
    whole("trials", 1 if trials is None else trials, least=1)
    whole("concurrency", 1 if concurrency is None else concurrency, least=1)
    job = _job(corpus, folder, space, recipe, overrides, seed, trials, resume=resume)
    study = _Study(job, corpus.resolve(), folder.resolve(), report)
    if study.left:
        with cluster(address, concurrency) as ray:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / SWEEP, _json(job))
            study.run(concurrency or int(ray.cluster_resources()["CPU"]))
    ranked = sorted(study.trials, key=lambda trial: trial.rank)
    write_file(folder / LEADERBOARD, _table(ranked, job))
    best = ranked[0]
    if best.state != "finished":
        raise TrainingError(f"{folder}: no trial finished; one said: {ranked[-1].error or ranked[-1].state}")
    _keep(best, job, corpus, folder)
    return ranked


# What is wanted


def read_space(path: Path, recipe: str, overrides: Sequence[str]) -> tuple[list[str], dict[str, Range | Choices]]:
    """Read a space: a TOML file of recipe keys, each with a value, ``{ low, high, log }`` or ``{ choices }``.

    Returns:
        ``key=value`` changes of the recipe for all trials, and the ranges and choices by key.

    Raises:
        RecipeError: naming file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: cannot read the space: {error}") from error
    fixed = [f"{key}={_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    base = read_recipe(recipe, [*overrides, *fixed])
    space = {
        key: _dimension(base, key, value, f"{path}, line {line_of(key, text)}")
        for key, value in values.items()
        if isinstance(value, dict)
    }
    if not space:
        raise RecipeError(f"{path}: nothing to search: give a key as {{ low = …, high = … }} or {{ choices = […] }}")
    return fixed, space


def _dimension(base: Recipe, key: str, value: dict[str, Any], place: str) -> Range | Choices:
    if key in {"model", "split"}:
        raise RecipeError(f"{place}: {key} is the same for all trials, whose losses would not compare", key=key)
    try:
        if "choices" in value:
            choices = [checked(base, key, each, place) for each in msgspec.convert(value, Choices).choices]
            if not choices:
                raise ValueError("there is nothing to choose")
            return Choices(choices)
        asked = msgspec.convert(value, Range)
        low, high = (checked(base, key, end, place) for end in (asked.low, asked.high))
        if not low < high:
            raise ValueError(f"low = {low} is not below high = {high}")
        if asked.log and low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, not at {low}")
        return Range(low, high, asked.log)
    except (RecipeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(
            f"{place}: {key}: {error}; give {{ low = …, high = …, log = … }} or {{ choices = […] }}", key=key
        ) from error


def _job(
    corpus: Path,
    folder: Path,
    space: Path | None,
    recipe: str | None,
    overrides: Sequence[str],
    seed: int | None,
    trials: int | None,
    *,
    resume: bool,
) -> Job:
    """Return the job asked for, the same as the folder's if that is resumed."""
    before = read_job(folder) if resume else None
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; choose a folder for the sweep")
    if before is None and folder.is_dir() and any(folder.iterdir()):
        raise TrainingError(f"{folder} is not empty: go on with its sweep by --resume, or choose another folder")
    data = read_corpus(corpus)
    name = recipe or (before.recipe if before else DEFAULT_RECIPE)
    name = str(Path(name).resolve()) if name.endswith(".toml") else name
    changes = list(overrides)
    if space is not None:
        fixed, dimensions = read_space(space, name, changes)
        changes += fixed
    elif before is not None:
        dimensions, changes = before.space, changes or before.overrides
    else:
        raise RecipeError("a sweep needs a space: --space FILE.toml")
    job = Job(
        corpus=data.record,
        recipe=name,
        overrides=changes,
        settings=read_recipe(name, changes),
        space=dimensions,
        seed=seed if seed is not None else before.seed if before else 0,
        trials=trials or (before.trials if before else _TRIALS),
    )
    if before is not None:
        for field in ("corpus", "settings", "space", "seed"):
            if _json(getattr(job, field)) != _json(getattr(before, field)):
                raise TrainingError(f"the sweep in {folder} has another {field}: resume it without its options")
    elif not len(split(data, job.settings.split, job.settings.first_names).dev):
        raise CorpusError(f"{corpus}: the {job.settings.split} split leaves no dev part to compare trials on")
    return job


def read_job(folder: Path) -> Job:
    """Return what the sweep in a folder is.

    Raises:
        TrainingError: if there is none, or the file is damaged.
    """
    path = folder / SWEEP
    if not path.is_file():
        raise TrainingError(f"{folder}: no sweep here; `sequentia sweep CORPUS -o {folder}` makes one")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: damaged: {error}") from error


def read_trials(folder: Path) -> list[Trial]:
    """Return a folder's trials as far as its journal tells, in their order.

    Raises:
        TrainingError: if it is damaged.
    """
    return list({trial.number: trial for trial in _read_journal(folder)}.values())


def _read_journal(folder: Path) -> list[Trial]:
    path = folder / JOURNAL
    whole_lines = path.read_bytes().rpartition(b"\n")[0] if path.is_file() else b""
    try:
        return [msgspec.json.decode(line, type=Trial) for line in whole_lines.splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: damaged: {error}") from error


# The search


class _Study:
    """Suggestions and decisions, each of them in the journal before it takes effect."""

    def __init__(self, job: Job, corpus: Path, folder: Path, report: Report) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import optuna
            from ray.tune.schedulers import ASHAScheduler
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"this needs the package {error.name!r}: install sequentia with its extra, sequentia[ray]", extra="ray"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.job, self.corpus, self.folder, self.report = job, corpus, folder, report
        self.trials: list[Trial] = []
        self._asha: Any = ASHAScheduler("part", "loss", "min", max_t=_PARTS, reduction_factor=_KEPT)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=job.seed))
        self._asked: list[Any] = []
        self._distributions = {key: _distribution(optuna.distributions, each) for key, each in job.space.items()}
        for line in _read_journal(folder):
            heard = line.number == len(self.trials)
            again = self._suggest() if heard else self._decide(replace(line, state=_before(line)))
            if again != line:
                raise TrainingError(
                    f"{folder / JOURNAL}: another version of Ray or Optuna wrote it, it does not repeat"
                )
            self.trials[line.number :] = [line, *self.trials[line.number + 1 :]]
        self.waiting = [trial for trial in self.trials if trial.state == "running"]

    @property
    def left(self) -> int:
        """How many trials are to be run, wholly or to their end."""
        return len(self.waiting) + max(0, self.job.trials - len(self.trials))

    def next(self) -> Trial:
        """Return a trial that was interrupted, or a new one."""
        if self.waiting:
            return self.waiting.pop(0)
        trial = self._suggest()
        self._write(trial)
        self.trials.append(trial)
        return trial

    def tell(self, trial: Trial) -> bool:
        """Take down how far a trial came, and return whether it is over."""
        before = self.trials[trial.number]
        if before.state != "running" or (trial.state == "running" and trial.step <= before.step):
            return before.state != "running"
        trial = self._decide(trial)
        self._write(trial)
        self.trials[trial.number] = trial
        if trial.state == "running":
            return False
        self.report(trial)
        return True

    def _suggest(self) -> Trial:
        asked = self._study.ask(self._distributions)
        self._asked.append(asked)
        number = len(self._asked) - 1
        self._asha.on_trial_add(None, SimpleNamespace(trial_id=number))
        values = {
            key: each.choices[asked.params[key]] if isinstance(each, Choices) else asked.params[key]
            for key, each in self.job.space.items()
        }
        return Trial(number=number, values=values)

    def _decide(self, trial: Trial) -> Trial:
        from optuna.trial import TrialState

        asked, part = self._asked[trial.number], _PARTS * trial.step // max(1, trial.steps)
        if trial.state == "running":
            told = {"part": part, "loss": trial.loss}
            if self._asha.on_trial_result(None, SimpleNamespace(trial_id=trial.number), told) == "STOP":
                trial = replace(trial, state="stopped")
                asked.report(trial.loss, part)
        if trial.state == "stopped":
            self._study.tell(asked, state=TrialState.PRUNED)
        elif trial.state == "finished":
            self._study.tell(asked, trial.loss)
        elif trial.state == "failed":
            self._study.tell(asked, state=TrialState.FAIL)
        return trial

    def _write(self, trial: Trial) -> None:
        path = self.folder / JOURNAL
        with path.open("a+b") as file:
            end = file.tell()
            if end:  # a line that a killed sweep left unfinished goes
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(msgspec.json.encode(trial) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def run(self, concurrency: int) -> None:
        """Run what is left."""
        from ray import tune
        from ray.tune.schedulers import FIFOScheduler
        from ray.tune.search import Searcher

        study, count = self, self.left

        class Suggestions(Searcher):
            numbers: Final[dict[str, int]] = {}

            def suggest(self, trial_id: str) -> dict[str, Any]:
                trial = study.next()
                self.numbers[trial_id] = trial.number
                return study.order(trial)

            def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:  # noqa: ARG002
                if error:
                    trial = study.trials[self.numbers[trial_id]]
                    study.tell(replace(trial, state="failed", error=f"its worker died {_LIVES} times"))

            def save_to_dir(self, *_: object) -> None:
                pass  # the journal knows

        class Decisions(FIFOScheduler):
            def on_trial_result(self, _controller: object, trial: Any, result: dict[str, Any]) -> str:
                number = trial.config["number"]
                said = {key: result[key] for key in ("step", "steps", "loss", "state", "error") if key in result}
                return self.STOP if study.tell(replace(study.trials[number], **said)) else self.CONTINUE

        os.environ |= {
            "RAY_AIR_NEW_OUTPUT": "0",  # the old one can be silent
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "TUNE_DISABLE_SIGINT_HANDLER": "1",
            "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        }
        scratch = self.folder / _SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            tune.Tuner(
                tune.with_resources(_run_trial, {"cpu": 1}),
                tune_config=tune.TuneConfig(
                    search_alg=Suggestions(metric="loss", mode="min"),
                    scheduler=Decisions(),  # type: ignore[no-untyped-call]
                    num_samples=count,
                    max_concurrent_trials=concurrency,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=str(scratch),
                    failure_config=tune.FailureConfig(max_failures=_LIVES - 1),
                    verbose=0,
                ),
            ).fit()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def order(self, trial: Trial) -> dict[str, Any]:
        """Return all that a worker needs to know."""
        return {
            "number": trial.number,
            "corpus": str(self.corpus),
            "folder": str(self.folder / TRIALS / f"{trial.number:05}"),
            "recipe": self.job.recipe,
            "overrides": _overrides(self.job, trial),
        }


def _distribution(kinds: Any, dimension: Range | Choices) -> Any:
    """Return a dimension as Optuna has it; of choices, the index."""
    if isinstance(dimension, Choices):
        return kinds.CategoricalDistribution(range(len(dimension.choices)))
    kind = kinds.IntDistribution if isinstance(dimension.low, int) else kinds.FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def _before(line: Trial) -> Any:
    """Return the state of a trial before a line was decided."""
    return "running" if line.state == "stopped" else line.state


def _overrides(job: Job, trial: Trial) -> list[str]:
    return job.overrides + [f"{key}={_toml(value)}" for key, value in trial.values.items()]


def _run_trial(order: dict[str, Any]) -> None:
    """Train in a worker, from the trial's last checkpoint if there is one; an error is the result of the trial."""
    from ray import tune

    torch.set_num_threads(1)
    folder, overrides = Path(order["folder"]), list(order["overrides"])

    def watch(step: int, steps: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss of the part dev is {loss} after {step} steps; try a lower learning_rate")
        if step < steps:
            tune.report({"step": step, "steps": steps, "loss": loss})

    try:
        recipe = read_recipe(order["recipe"], overrides)
        if isinstance(recipe, DescentRecipe) and not any(each.startswith("checkpoint_every=") for each in overrides):
            overrides.append(f"checkpoint_every={-(-recipe.steps // _PARTS)}")
        record = train(
            Path(order["corpus"]),
            folder,
            recipe=order["recipe"],
            overrides=overrides,
            device="cpu",
            resume=(folder / CHECKPOINT).is_file(),
            test=False,
            watch_dev=watch,
        ).record
        assert record.metrics is not None  # noqa: S101 - it is finished
        assert record.metrics.dev is not None  # noqa: S101 - the driver has seen that there is one
    except Exception as error:  # noqa: BLE001 - whatever it is, the sweep goes on
        tune.report({"state": "failed", "error": " ".join(str(error).split()) or type(error).__name__})
    else:
        steps = max(1, record.step)
        tune.report({"step": steps, "steps": steps, "loss": record.metrics.dev.loss, "state": "finished"})


# What came of it


def _table(trials: Sequence[Trial], job: Job) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "dev", "step", "steps", *job.space, "error"])
    for trial in trials:
        values = [each if isinstance(each, str) else _toml(each) for each in trial.values.values()]
        writer.writerow([trial.number, trial.state, trial.loss, trial.step, trial.steps, *values, trial.error])
    return text.getvalue().encode()


def _keep(best: Trial, job: Job, corpus: Path, folder: Path) -> None:
    """Write the recipe of a trial, and a copy of its run that is measured on the test part too."""
    recipe = read_recipe(job.recipe, _overrides(job, best))
    summary = f"The best of {job.trials} trials that began from the recipe {Path(job.recipe).name}."
    values = {**msgspec.to_builtins(recipe), "summary": summary}
    write_file(folder / BEST_RECIPE, "".join(f"{key} = {_toml(value)}\n" for key, value in values.items()).encode())
    shutil.rmtree(folder / BEST, ignore_errors=True)
    shutil.copytree(folder / TRIALS / f"{best.number:05}", folder / BEST)
    train(corpus, folder / BEST, device="cpu", resume=True)


def _toml(value: object) -> str:
    """Return a recipe's value in TOML, which is JSON for what a recipe may hold."""
    return msgspec.json.encode(value).decode()


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
