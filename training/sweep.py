"""Search for the best recipe: run trials with suggested values, and stop the poor ones early.

The sweep's folder receives ``sweep.json``, which says what is searched; the trials' runs, in ``trials``; and a file for
each trial in ``results``, with its values, losses and state. A sweep that was killed goes on from these files. Trials
are measured on the dev part, and only the best one on the test part.
"""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from sequentia._files import check_vacant, write_file
from sequentia._json import format_json
from sequentia.cluster import cluster
from sequentia.columns import ColumnRequest
from sequentia.errors import CorpusError, MissingExtraError, OptionError, RecipeError, TrainingError
from sequentia.options import check_int

from .checkpoint import Checkpoint
from .preparing import prepare
from .recipes import read_recipe
from .search_space import read_space
from .trainer import train
from .trials import SWEEP, Sweep, Trial, TrialReport, read_sweep, read_trials, toml_value

LEADERBOARD: Final = "leaderboard.csv"
BEST_RECIPE: Final = "best.toml"
BEST: Final = "best"
_DEFAULT_RECIPE: Final = "mlp"
_DEFAULT_TRIALS: Final = 20


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
    report: TrialReport = lambda *_: None,
    columns: ColumnRequest | None = None,
) -> list[Trial]:
    """Search for the values of a recipe's keys that give the lowest loss on the dev part.

    Optuna suggests values, Ray runs the trials, and the ASHA rule stops those that are poor after a ninth or a third
    of their steps. The folder receives ``leaderboard.csv``, the best trial's recipe as ``best.toml``, and its finished
    run, measured on the test part too, as ``best``.

    With a concurrency of 1 the same call gives the same trials, even if it was interrupted; with more, the suggestions
    depend on which trial ends first.

    Args:
        corpus: a UTF-8 text file, one item a line. All machines of a cluster must see it, and the folder.
        folder: the sweep's folder, new or empty unless the sweep is resumed.
        space: a TOML file; see :func:`sequentia.training.search_space.read_space`.
        recipe: name or path of the recipe whose keys vary; by default ``mlp``.
        overrides: ``key=value`` changes for all trials.
        seed: seed of the suggestions, by default 0. The runs use the recipe's seed.
        trials: number of trials, by default 20.
        concurrency: number of trials at a time, each on one core; by default the number of cores.
        address: address of a Ray cluster; see :func:`sequentia.cluster.cluster`.
        resume: go on with the sweep in the folder and its options; only ``trials`` may be higher.
        report: called with the progress.
        columns: those of a table to read; for a resumed sweep, by default its own.

    Returns:
        The trials, the best first.

    Raises:
        CorpusError: if the corpus cannot be used, or has no dev part.
        MissingExtraError: if Ray or Optuna is missing.
        OptionError: if an option is out of its range, or no cluster answers at the address.
        RecipeError: if the recipe or the space is malformed.
        TrainingError: if the folder is taken, the sweep to resume is another, or no trial finished.
    """
    for name, value, least in (("trials", trials, 1), ("concurrency", concurrency, 1), ("seed", seed, 0)):
        if value is not None:
            check_int(name, value, least=least)
    before = read_sweep(folder) if resume else None
    sweep = _sweep(
        corpus, before, space=space, recipe=recipe, overrides=overrides, seed=seed, trials=trials, columns=columns
    )
    if before is not None:
        _check_same(before, sweep, folder)
        if sweep.trials < before.trials:
            raise OptionError(
                f"trials: the sweep in {folder} has {before.trials}; resumed, it may have more, not {sweep.trials}",
                option="trials",
                value=trials,
            )
    else:
        go_on = "go on with its sweep by --resume" if (folder / SWEEP).is_file() else "it holds no sweep to go on with"
        check_vacant(folder, f"{go_on}; choose another folder for a new one")
    found = read_trials(folder)
    if len(found) < sweep.trials or any(trial.state == "running" for trial in found):
        try:
            from .tuning import tune
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(str(error.name), "ray") from error
        with cluster(address, concurrency) as ray:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / SWEEP, format_json(sweep))
            tune(sweep, corpus, folder, concurrency or int(ray.cluster_resources()["CPU"]), report)
    ranked = sorted(read_trials(folder), key=lambda trial: trial.rank)
    write_file(folder / LEADERBOARD, _table(ranked, sweep, _baselines(ranked[0], folder)))
    if ranked[0].state != "finished":
        raise TrainingError(f"{folder}: no trial finished, {LEADERBOARD} says why; the first: {ranked[0].error}")
    _keep(ranked[0], sweep, corpus, folder)
    return ranked


def _sweep(
    corpus: Path,
    before: Sweep | None,
    *,
    space: Path | None,
    recipe: str | None,
    overrides: Sequence[str],
    seed: int | None,
    trials: int | None,
    columns: ColumnRequest | None,
) -> Sweep:
    """Return the requested sweep; options left out are those of the sweep before, or defaults."""
    name = recipe or (before.recipe if before else _DEFAULT_RECIPE)
    name = str(Path(name).resolve()) if name.endswith(".toml") else name
    changes = list(overrides) or (before.overrides if before else [])
    settings = read_recipe(name, changes)
    if space is not None:
        dimensions = read_space(space, settings)
    elif before is not None:
        dimensions = before.space
    else:
        raise RecipeError("a sweep needs a search space: --space FILE.toml")
    settings, data, parts, _ = prepare(corpus, settings, columns or (before.corpus.columns if before else None))
    if not parts.dev.names:
        raise CorpusError(f"{corpus}: the split {settings.split} leaves no dev part to compare trials on")
    return Sweep(
        corpus=data.record,
        windows=parts.train.windows,
        names=parts.train.names,
        recipe=name,
        overrides=changes,
        settings=settings,
        space=dimensions,
        seed=seed if seed is not None else before.seed if before else 0,
        trials=trials or (before.trials if before else _DEFAULT_TRIALS),
    )


def _check_same(before: Sweep, sweep: Sweep, folder: Path) -> None:
    same = {
        "text": before.corpus.sha256 == sweep.corpus.sha256,
        "recipe": format_json(before.settings) == format_json(sweep.settings),
        "search space": format_json(before.space) == format_json(sweep.space),
        "seed": before.seed == sweep.seed,
    }
    for what, is_same in same.items():
        if not is_same:
            raise TrainingError(f"the sweep to resume in {folder} has another {what}: choose another folder for this")


def _baselines(best: Trial, folder: Path) -> dict[str, float]:
    """Return the losses that the trials should beat."""
    metrics = Checkpoint.load(best.folder(folder)).record.metrics if best.state == "finished" else None
    return {} if metrics is None else metrics.baselines


def _table(trials: Sequence[Trial], sweep: Sweep, baselines: Mapping[str, float]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "dev", "step", "last_step", *sweep.space, "worse_than", "error"])  # no such keys
    for trial in trials:
        values = [each if isinstance(each, str) else toml_value(each) for each in trial.values.values()]
        worse = " ".join(name for name, loss in baselines.items() if trial.loss is not None and trial.loss > loss)
        writer.writerow([trial.number, trial.state, trial.loss, trial.step, trial.steps, *values, worse, trial.error])
    return text.getvalue().encode()


def _keep(best: Trial, sweep: Sweep, corpus: Path, folder: Path) -> None:
    """Write the recipe of the best trial, and a copy of its run that is measured on the test part too."""
    recipe = read_recipe(sweep.recipe, sweep.overrides_of(best))
    summary = f"The best of {sweep.trials} trials that began from the recipe {Path(sweep.recipe).name}."
    values = {**msgspec.to_builtins(recipe), "summary": summary}
    write_file(
        folder / BEST_RECIPE, "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items()).encode()
    )
    shutil.rmtree(folder / BEST, ignore_errors=True)
    shutil.copytree(best.folder(folder), folder / BEST)
    train(corpus, folder / BEST, device="cpu", resume=True, columns=sweep.corpus.columns)
