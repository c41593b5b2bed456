"""Train a model: from a corpus and a recipe to the final checkpoint and its losses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import torch

from sequentia._files import check_vacant, write_file
from sequentia._json import format_json
from sequentia.columns import ColumnRequest
from sequentia.config import Columns
from sequentia.errors import OptionError, RecipeError, TrainingError
from sequentia.likelihood import ConditionedPredict
from sequentia.novelty import KnownNames
from sequentia.options import check_int
from sequentia.vocabulary import Vocabulary

from .checkpoint import CHECKPOINT, NOVELTY, Checkpoint, RunRecord, library_versions
from .corpus import Corpus, read_corpus
from .descent import HISTORY, Descent, StepCallback, device_named, isolated
from .diagnostics import add_diagnostics
from .distillation import Teacher
from .evaluation import Losses, evaluate, losses_of
from .kinds import DescentRecipe, Recipe, predictor
from .parts import Part, Split, split, texts
from .recipes import DEFAULT_RECIPE, override, read_recipe
from .samples import sample

if TYPE_CHECKING:
    from .parallel import WorkerGroup

METRICS: Final = "metrics.json"
TEACHERS: Final = "teachers"
_CALIBRATION_TOKENS: Final = 1 << 15

WatchDev = Callable[[int, int, float], object]
"""Called with the number of steps done, the total, and the loss on the dev part in nats per symbol."""


def train(
    corpus: Path,
    folder: Path,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    report: StepCallback | None = None,
    workers: int = 1,
    address: str | None = None,
    test: bool = True,
    watch_dev: WatchDev | None = None,
    columns: ColumnRequest | Columns | None = None,
) -> Checkpoint:
    """Train a model on a corpus.

    The run folder receives

    - ``checkpoint.safetensors``, and ``metrics.json`` with the losses and statistics of generated names;
    - ``history.jsonl``, one line per step, if the recipe takes steps;
    - ``diagnostics.json``, if the network has hidden layers;
    - ``teachers``, the run folders of the teachers and the losses of their mixture, if the recipe has teachers.

    On the same CPU with the same number of threads, the same corpus, recipe and seed give bit-identical results, even
    if the run was interrupted and resumed.

    Args:
        corpus: a UTF-8 text file, one item per line, or a table.
        folder: the run folder; new or empty, unless the run is resumed.
        recipe: name or path of a recipe, by default ``names``; for a resumed run, by default its own.
        overrides: ``key=value`` changes to the recipe.
        device: ``auto``, ``cpu``, ``cuda`` or another name that PyTorch knows.
        resume: continue the run in the folder.
        report: called with the progress of the steps.
        workers: number of Ray workers that share each step, one per core, or one per GPU on ``cuda``. The result is
            that of one process except for rounding. A worker that dies is started again.
        address: address of a Ray cluster, see :func:`sequentia.cluster.cluster`; all its machines must see the folder.
        test: whether to measure the test loss. Resuming a finished run measures it if it is missing.
        watch_dev: called at each checkpoint, if the recipe takes steps.
        columns: those of a table to read; for a resumed run, by default its own.

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
        check_vacant(folder, f"{go_on}; choose another folder for a new one")
        settings = read_recipe(recipe or DEFAULT_RECIPE, overrides)
        data = read_corpus(corpus, columns)
        settings = for_corpus(settings, data)
        record = RunRecord.start(recipe or DEFAULT_RECIPE, overrides, settings, data)
    else:
        record = checkpoint.record
        data = read_corpus(corpus, columns or record.corpus.columns)
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
    if checkpoint is not None:
        asked = override(record.recipe, overrides) if recipe is None else read_recipe(recipe, overrides)
        asked = for_corpus(asked, data)
    parts = split(data, record.recipe.split, record.recipe.first_names, record.recipe.weight_power)
    del data  # the parts are copies; this frees the memory
    if not test:
        parts = replace(parts, test=parts.test.first(0))
    windows = parts.train.windows
    if checkpoint is None:
        record = msgspec.structs.replace(record, recipe=record.recipe.fitted(windows))
        _teachers(record, windows)  # raises an error now if one is malformed
    else:
        _check_same_recipe(record.recipe, asked.fitted(windows))
        if record.metrics is not None:
            if record.metrics.test is None and parts.test.names:
                checkpoint = _finished(checkpoint, parts, target)
                checkpoint.save(folder)
            write_file(folder / METRICS, _metrics_json(checkpoint.record))
            return checkpoint
    options = _RunOptions(target, report or (lambda *_: None), watch_dev)
    if workers == 1 and address is None:
        return _run(record, checkpoint, parts, folder, options)
    _check_workers(workers, (record, *_teachers(record, windows)))
    from .parallel import worker_group

    with worker_group(workers, address, target) as group:
        return _run(record, checkpoint, parts, folder, replace(options, workers=group))


@dataclass(frozen=True)
class _RunOptions:
    """Where a run computes, which callbacks it calls, and which workers share its steps."""

    device: torch.device
    report: StepCallback
    watch_dev: WatchDev | None = None
    workers: "WorkerGroup | None" = None


def _run(
    record: RunRecord, checkpoint: Checkpoint | None, parts: Split, folder: Path, options: _RunOptions
) -> Checkpoint:
    """Complete a run, from its start or from a checkpoint; the runs of its teachers come first."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = record.recipe.descent
    if recipe is not None:
        trained = _descend(recipe, record, checkpoint, parts, folder, options)
    else:
        structure, tensors = record.recipe.count(parts.train, record.inputs)
        trained = Checkpoint.of(msgspec.structs.replace(record, structure=structure), {"network": tensors})
    final = _finished(trained, parts, options.device)
    final.save(folder)
    write_file(folder / METRICS, _metrics_json(final.record))
    return final


def _descend(
    recipe: DescentRecipe,
    record: RunRecord,
    checkpoint: Checkpoint | None,
    parts: Split,
    folder: Path,
    options: _RunOptions,
) -> Checkpoint:
    teachers = _teachers(record, parts.train.windows)
    places = [folder / TEACHERS / f"{i}-{Path(each.recipe_name).stem}" for i, each in enumerate(teachers, start=1)]
    steps = [each.recipe.steps for each in (*teachers, record)]

    def reporting(number: int) -> StepCallback:
        done, total = sum(steps[:number]), sum(steps)
        return lambda step, _, loss, rate: options.report(done + step, total, loss, rate)

    def watch(tell: WatchDev, checkpoint: Checkpoint) -> None:
        losses = _losses(checkpoint, options.device)(parts.dev)
        tell(checkpoint.record.step, recipe.steps, float(losses.sum()) / parts.dev.windows)

    with isolated(options.device):
        descent = Descent(recipe, record, options.device)
        if checkpoint is not None:
            descent.restore(checkpoint)
        else:
            descent.checkpoint(0).save(folder)
        if descent.step == 0:
            add_diagnostics(folder, 0, descent.network, parts.train)
        if teachers:
            members = [
                _member(start, parts, place, replace(options, report=reporting(number), watch_dev=None))
                for number, (start, place) in enumerate(zip(teachers, places, strict=True))
            ]
            descent.teacher = Teacher(members, recipe, parts.train, record.max_length, options.device)
            if not (folder / TEACHERS / METRICS).is_file():
                teacher = descent.teacher
                mixture = evaluate(parts, losses_of(teacher.inputs, teacher.predict), record.values)
                write_file(folder / TEACHERS / METRICS, format_json(mixture))
        if options.workers is None:
            watching = partial(watch, options.watch_dev) if options.watch_dev else None
            descent.run(parts.train, folder, reporting(len(teachers)), watching)
        else:
            options.workers.run(parts.train, folder, places, reporting(len(teachers)))
            descent.restore(Checkpoint.load(folder))
        add_diagnostics(folder, descent.step, descent.network, parts.train)
        return descent.checkpoint((folder / HISTORY).stat().st_size)


def for_corpus(recipe: Recipe, corpus: Corpus) -> Recipe:
    """Return a recipe that splits a corpus as the corpus says, if it does."""
    return recipe if corpus.parts is None else msgspec.structs.replace(recipe, split="column")


def _teachers(record: RunRecord, windows: int) -> list[RunRecord]:
    """Return the initial records of the runs of a recipe's teachers: the same windows, each with its own seed.

    Raises:
        RecipeError: if one is malformed or has teachers itself.
    """
    recipe = record.recipe
    records = []
    for number, name in enumerate(recipe.teachers, start=1):
        teacher = read_recipe(name).fitted(windows)
        if teacher.teachers:
            raise RecipeError(f"teachers: {name} has teachers itself", key="teachers")
        seed = (recipe.seed + number) % (1 << 63)
        teacher = msgspec.structs.replace(
            teacher,
            split=recipe.split,
            first_names=recipe.first_names,
            weight_power=recipe.weight_power,
            novelty=recipe.novelty,
            seed=seed,
        )
        records.append(record.of_teacher(name, teacher))
    return records


def _member(record: RunRecord, parts: Split, folder: Path, options: _RunOptions) -> Checkpoint:
    """Return the finished run of a teacher. What was trained of it before is not trained again."""
    checkpoint = Checkpoint.load(folder) if (folder / CHECKPOINT).is_file() else None
    if checkpoint is not None and checkpoint.record.metrics is not None:
        return checkpoint
    return _run(record if checkpoint is None else checkpoint.record, checkpoint, parts, folder, options)


def _finished(trained: Checkpoint, parts: Split, device: torch.device) -> Checkpoint:
    """Return a checkpoint with losses, samples and, unless the recipe forbids it, the hashes of the names added."""
    record = trained.record
    predict, vocabulary = _predict(trained, device), Vocabulary(record.vocabulary)
    metrics = evaluate(parts, losses_of(record.inputs, predict), record.values)
    for part, loss in metrics.parts.items():
        if not math.isfinite(loss.loss):
            raise TrainingError(f"the loss of the part {part} is {loss.loss}; try a lower learning_rate")
    samples = sample(parts, record.inputs, predict, vocabulary, record.max_length, record.values)
    final = msgspec.structs.replace(record, metrics=metrics, samples=samples, versions=library_versions())
    finished = Checkpoint(record=final, tensors=trained.tensors).with_calibration(_calibration(parts))
    if not record.recipe.novelty:
        return finished
    everything = (parts.train, parts.dev, parts.test)
    known = KnownNames.of(
        (name for part in everything for name in texts(part.tokens, vocabulary)),
        sum(part.names for part in everything),
    )
    tensors = {**finished.tensors, NOVELTY: torch.from_numpy(known.hashes.view(np.int32))}
    return Checkpoint(record=final, tensors=tensors)


def _calibration(parts: Split) -> Part:
    """Return the first names of the dev part, or without one of the training part."""
    part = parts.dev if parts.dev.names else parts.train
    return part.first(max(1, int(np.searchsorted(part.ends, _CALIBRATION_TOKENS))))


def _losses(checkpoint: Checkpoint, device: torch.device) -> Losses:
    return losses_of(checkpoint.record.inputs, _predict(checkpoint, device))


def _predict(checkpoint: Checkpoint, device: torch.device) -> ConditionedPredict:
    return predictor(checkpoint.network().for_inference(), device)


def _metrics_json(record: RunRecord) -> bytes:
    return format_json({**msgspec.to_builtins(record.metrics), "samples": record.samples})


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
