"""Train a model: from a corpus and a recipe to the final checkpoint and its losses."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from sequentia._files import check_vacant, write_file
from sequentia.columns import ColumnRequest
from sequentia.config import Columns
from sequentia.errors import OptionError, TrainingError
from sequentia.options import check_int

from . import work
from .auto import plan
from .baselines import measure_baselines
from .checkpoint import CHECKPOINT, Checkpoint, RunRecord
from .corpus import Corpus
from .descent import WatchDev, device_named
from .final import complete_all, complete_best, is_measured_first
from .kinds import Recipe
from .preparing import for_corpus, prepare
from .progress import Report, part_of
from .recipes import DEFAULT_RECIPE, default_recipe, override, read_recipe
from .runs import METRICS, RunOptions, finished, metrics_json, teachers_of, work_of
from .starting import with_models


def train(
    corpus: Path,
    folder: Path,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    report: Report | None = None,
    exported: bool = False,
    workers: int = 1,
    address: str | None = None,
    test: bool = True,
    watch_dev: WatchDev | None = None,
    columns: ColumnRequest | Columns | None = None,
    tell: Callable[[str], object] | None = None,
) -> Checkpoint:
    """Train a model on a corpus.

    The run folder receives

    - ``checkpoint.safetensors``, and ``metrics.json`` with the losses and statistics of generated names;
    - ``history.jsonl``, one line per step, if the recipe takes steps;
    - ``diagnostics.json``, if the network has hidden layers;
    - ``teachers``, the run folders of the teachers and the losses of their mixture, if the recipe has teachers.

    On the same CPU with the same number of threads, the same corpus, recipe and seed give bit-identical results, even
    if the run was interrupted and resumed. A run whose steps are small uses one thread; see :mod:`.threads`.

    Args:
        corpus: a UTF-8 text file, one item per line, or a table.
        folder: the run folder; new or empty, unless the run is resumed.
        recipe: name or path of a recipe, by default ``auto``, or ``tune`` if an override says which model to ``start``
            from; for a resumed run, by default its own.
        overrides: ``key=value`` changes to the recipe.
        device: ``auto``, ``cpu``, ``cuda`` or another name that PyTorch knows.
        resume: continue the run in the folder.
        report: called with the progress: of the teachers, the training and the measuring.
        exported: whether the caller then draws and exports the run; the total of the progress includes that work.
        workers: number of Ray workers that share each step, one per core, or one per GPU on ``cuda``. The result is
            that of one process except for rounding. A worker that dies is started again.
        address: address of a Ray cluster, see :func:`sequentia.cluster.cluster`; all its machines must see the folder.
        test: whether to measure the test loss. Resuming a finished run measures it if it is missing.
        watch_dev: called at each measurement of the dev curve, if there is one; not with workers.
        columns: those of a table to read; for a resumed run, by default its own.
        tell: called with each line that says in words what will be done, if the recipe looks at the list first.

    Returns:
        The final checkpoint, its metrics included.

    Raises:
        CorpusError: if the corpus cannot be used.
        MissingExtraError: if workers are asked for and Ray is not installed.
        OptionError: if no cluster answers, or the steps cannot be shared among so many workers.
        RecipeError: if the recipe is malformed.
        TrainingError: if the folder is not empty, the run to resume has another corpus or recipe, or the loss is no
            longer finite.
        KeyboardInterrupt: after Ctrl-C, once the run is saved.
    """
    check_int("workers", workers, least=1)
    target = device_named(device)
    checkpoint = Checkpoint.load(folder) if resume else None
    if checkpoint is None:
        go_on = "go on with its run by --resume" if (folder / CHECKPOINT).is_file() else "it holds no run to go on with"
        check_vacant(folder, f"{go_on}; choose another folder for a new one", besides=corpus)
        name = recipe or default_recipe(overrides)
        chosen, data, parts, lines = prepare(corpus, read_recipe(name, overrides), columns)
    else:
        record = checkpoint.record
        own, data, parts, lines = prepare(corpus, record.recipe, columns or record.corpus.columns)
        _check_same_list(record, data, corpus, folder)
        asked = for_corpus(_asked(record, recipe, overrides), data)
        chosen = msgspec.structs.replace(asked, symbols=own.symbols) if asked.symbols == "auto" else asked
    planned = plan(chosen, parts.train, data.vocabulary.symbols, data.values)
    settings = planned.recipe.fitted(parts.train.windows, parts.train.names)
    if checkpoint is None:
        record = with_models(RunRecord.start(name, overrides, settings, data))
        teachers_of(record, parts.train)  # raises an error now if one is malformed
    del data  # the parts are copies; this frees the memory
    if not test:
        parts = replace(parts, test=parts.test.first(0))
    options = RunOptions(target, report or (lambda _: None), {}, watch_dev, tell=tell)
    if checkpoint is not None:
        _check_same_recipe(record.recipe, settings)
        if record.metrics is not None:
            if record.metrics.test is None and parts.test.names:
                checkpoint = finished(checkpoint, parts, replace(options, baselines=record.metrics.baselines))
                checkpoint.save(folder)
            write_file(folder / METRICS, metrics_json(checkpoint.record))
            return checkpoint
    if exported:
        size = work_of(record, parts) * (2 if is_measured_first(record, parts) else 1)
        options = replace(
            options, report=part_of(options.report, before=0, size=size, total=size + work.exporting(record))
        )
    options = replace(options, baselines=measure_baselines(parts, len(record.vocabulary) + 1))
    run = complete_all if is_measured_first(record, parts) else complete_best
    if workers == 1 and address is None:
        _tell([*lines, *planned.lines], checkpoint, tell)
        return run(record, checkpoint, parts, folder, options)
    _check_workers(workers, (record, *filter(None, teachers_of(record, parts.train))))
    from .parallel import worker_group

    with worker_group(workers, address, target) as group:
        _tell([*lines, *planned.lines], checkpoint, tell)
        return run(record, checkpoint, parts, folder, replace(options, workers=group))


def _asked(record: RunRecord, recipe: str | None, overrides: Sequence[str]) -> Recipe:
    """Return the recipe that a command asks to resume a run with; the run's own if the command is that of its start.

    Raises:
        TrainingError: if the run's recipe was planned for its list, and the command asks for another plan.
    """
    if recipe in {None, record.recipe_name} and sorted(overrides) in ([], sorted(record.overrides)):
        return record.recipe
    if record.recipe_name == DEFAULT_RECIPE:
        asked = " ".join([f"--set {each}" for each in record.overrides]) or "no settings"
        raise TrainingError(
            f"the run to resume was planned by the recipe {DEFAULT_RECIPE} with {asked}: resume without --recipe, "
            "--minutes, --no-prior and --set, or start another run"
        )
    return override(record.recipe, overrides) if recipe is None else read_recipe(recipe, overrides)


def _tell(lines: Sequence[str], checkpoint: Checkpoint | None, tell: Callable[[str], object] | None) -> None:
    """Say what a new run will do."""
    if checkpoint is None and tell is not None:
        for line in lines:
            tell(line)


def _check_same_list(record: RunRecord, data: Corpus, corpus: Path, folder: Path) -> None:
    if data.record.sha256 != record.corpus.sha256:
        raise TrainingError(
            f"{corpus} is not the text that the run in {folder} trains on "
            f"(sha256 {data.record.sha256}, not {record.corpus.sha256})"
        )
    if data.record.columns != record.corpus.columns:
        raise TrainingError(
            f"the run in {folder} reads other columns of {corpus}: go on without the options that choose columns, "
            "or start another run"
        )


def _check_workers(workers: int, runs: Sequence[RunRecord]) -> None:
    batches = [each.recipe.descent.batch_size for each in runs if each.recipe.descent is not None]
    if not batches:
        raise OptionError(
            f"the recipe {runs[0].recipe_name} counts: there are no steps for workers to share; leave them out",
            option="workers",
            value=workers,
        )
    if not all(each.recipe.descent.may_share_steps for each in runs if each.recipe.descent is not None):
        raise OptionError(
            f"the recipe {runs[0].recipe_name} takes steps that workers cannot share; leave them out",
            option="workers",
            value=workers,
        )
    if any(0 < batch < workers for batch in batches):
        raise OptionError(
            f"{workers} workers cannot share minibatches of {min(filter(None, batches))}: ask for fewer workers",
            option="workers",
            value=workers,
        )


def _check_same_recipe(own: Recipe, asked: Recipe) -> None:
    own_values, asked_values = msgspec.to_builtins(own), msgspec.to_builtins(asked)
    for key, value in own_values.items():
        if asked_values.get(key) != value and key not in {"summary", "source"}:
            raise TrainingError(
                f"the run to resume has {key} = {value!r}, not {asked_values.get(key)!r}; "
                f"{CHECKPOINT} keeps its recipe, so resume without --recipe and --set"
            )
