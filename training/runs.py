"""Complete a run: its teachers, its steps or counts, its losses and samples."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import torch

from sequentia._files import write_file
from sequentia._json import format_json
from sequentia.config import Metrics
from sequentia.errors import RecipeError, TrainingError
from sequentia.likelihood import ConditionedPredict
from sequentia.novelty import KnownNames
from sequentia.vocabulary import UNKNOWN, Vocabulary

from . import work
from .checkpoint import CHECKPOINT, NOVELTY, Checkpoint, RunRecord, library_versions
from .descent import HISTORY, Descent, WatchDev, isolated
from .dev_curve import names_to_measure
from .diagnostics import add_diagnostics
from .distillation import Teacher
from .evaluation import evaluate, lacking, losses_of
from .kinds import DescentRecipe, predictor
from .members import read_members
from .mixture import MIXTURE, Mixture, equal_or, fitted
from .parts import Part, Split, texts
from .progress import MEASURING, Progress, Report, part_of
from .recipes import read_teacher
from .samples import sample
from .starting import keep_copy, model_of, starting_weights, with_models
from .threads import threads_for

if TYPE_CHECKING:
    from .parallel import WorkerGroup

METRICS: Final = "metrics.json"
TEACHERS: Final = "teachers"
_CALIBRATION_TOKENS: Final = 1 << 15
_BRIEF: Final = 1 << 12  # windows


@dataclass(frozen=True)
class RunOptions:
    """Where a run computes, which callbacks it calls, what it is compared with, and which workers share its steps.

    Attributes:
        device: to compute on.
        report: called with the progress.
        baselines: losses to compare with, by name; see :func:`.baselines.measure_baselines`.
        watch_dev: called at each measurement of the dev curve.
        workers: that share the steps; None for this process alone.
        described: whether names are drawn to describe the model.
        brief: whether some names of the training part are enough to measure its loss on.
        tell: called with lines that say what came out, None for nobody.
    """

    device: torch.device
    report: Report
    baselines: Mapping[str, float]
    watch_dev: WatchDev | None = None
    workers: "WorkerGroup | None" = None
    described: bool = True
    brief: bool = False
    tell: Callable[[str], object] | None = None


def complete(
    record: RunRecord, checkpoint: Checkpoint | None, parts: Split, folder: Path, options: RunOptions
) -> Checkpoint:
    """Complete a run, from its start or from a checkpoint; the runs of its teachers come first."""
    folder.mkdir(parents=True, exist_ok=True)
    with threads_for(record):
        return _complete(record, checkpoint, parts, folder, options)


def _complete(
    record: RunRecord, checkpoint: Checkpoint | None, parts: Split, folder: Path, options: RunOptions
) -> Checkpoint:
    recipe, total = record.recipe.descent, work_of(record, parts)
    measuring = work.measuring(record, parts)
    last = Progress(phase=MEASURING, done=total - measuring, total=total)

    def report(progress: Progress) -> None:
        nonlocal last
        last = replace(progress, phase=MEASURING)
        options.report(progress)

    if recipe is not None:
        trained = _descend(recipe, record, checkpoint, parts, folder, replace(options, report=report))
    else:
        structure, tensors = record.recipe.count(parts.train, record.inputs)
        trained = Checkpoint.of(msgspec.structs.replace(record, structure=structure), {"network": tensors})
    options.report(replace(last, done=total - measuring, total=total))
    baselines = {**options.baselines, **_models_losses(record, folder)}
    final = finished(trained, parts, replace(options, baselines=baselines))
    final.save(folder)
    write_file(folder / METRICS, metrics_json(final.record))
    options.report(replace(last, done=total, total=total))
    return final


def work_of(record: RunRecord, parts: Split) -> float:
    """Return the work of a run, teachers included."""
    teachers = [each for each in teachers_of(record, parts.train) if each is not None]
    own = work.training(record, teachers) + work.measuring(record, parts)
    return own + sum(work_of(each, parts) for each in teachers)


def _descend(
    recipe: DescentRecipe,
    record: RunRecord,
    checkpoint: Checkpoint | None,
    parts: Split,
    folder: Path,
    options: RunOptions,
) -> Checkpoint:
    places = teachers_places(recipe, folder)
    dev = names_to_measure(parts.dev, recipe)
    total = work_of(record, parts)
    own = work.training(record, [each for each in teachers_of(record, parts.train) if each is not None])
    before = total - own - work.measuring(record, parts)
    with isolated(options.device):
        descent = Descent(recipe, record, options.device)
        if checkpoint is not None:
            descent.restore(checkpoint)
        else:
            descent.prepare(parts.train)
            if recipe.start:
                descent.start_from(starting_weights(recipe, record, parts.train, options.tell))
            descent.checkpoint(0).save(folder)
        if descent.step == 0:
            add_diagnostics(folder, 0, descent.network, parts.train)
        if places:
            report = part_of(options.report, before=0, size=before, total=total)
            descent.teacher = _teacher(recipe, record, parts, folder, replace(options, report=report))
        report = part_of(options.report, before=before, size=own, total=total)
        if options.workers is None:
            descent.run(parts.train, dev, folder, report, options.watch_dev)
        else:
            options.workers.run(parts.train, dev, folder, places, report)
            descent.restore(Checkpoint.load(folder))
        add_diagnostics(folder, descent.best_step, descent.network, parts.train)
        return descent.checkpoint((folder / HISTORY).stat().st_size)


def _teacher(recipe: DescentRecipe, record: RunRecord, parts: Split, folder: Path, options: RunOptions) -> Teacher:
    """Return the teacher of a run, once the runs of its members are complete."""
    records, places = teachers_of(record, parts.train), teachers_places(recipe, folder)
    sizes = [0.0 if each is None else work_of(each, parts) for each in records]
    for number, (name, start, place) in enumerate(zip(recipe.teachers, records, places, strict=True)):
        phase = f"teacher {number + 1} of {len(places)}: {place.name.partition('-')[2]}"
        report = part_of(options.report, before=sum(sizes[:number]), size=sizes[number], total=sum(sizes), phase=phase)
        brief = recipe.teacher_weights == "dev" or not options.described
        inner = replace(options, report=report, watch_dev=None, described=not brief, brief=brief)
        if start is not None:
            _complete_teacher(start, parts, place, inner)
        elif (model := model_of(name)) is not None:
            keep_copy(model, record.models[model], place)
    members, mixed = read_members(places, record, parts.train, options.device), folder / TEACHERS
    if (mixed / MIXTURE).is_file():
        mixture = Mixture.load(mixed)
    elif recipe.teacher_weights == "dev":
        mixture = fitted(members, parts.dev, options.device)
    else:
        mixture = Mixture(equal_or(recipe.teacher_weights, len(members)))
    teacher = Teacher(members, mixture.weights, recipe, parts.train, record.max_length, options.device)
    if not (mixed / MIXTURE).is_file():
        if recipe.teacher_weights != "dev":
            unknown = lacking(record.alphabet, record.alphabet)
            metrics = evaluate(parts, losses_of(teacher.inputs, teacher.predict), record.values, unknown)
            write_file(mixed / METRICS, format_json(metrics))
        mixture.save(mixed)
    return teacher


def _models_losses(record: RunRecord, folder: Path) -> dict[str, float]:
    """Return the losses on dev of the finished models among a run's teachers, by name, if they were measured."""
    if not (folder / TEACHERS / MIXTURE).is_file():
        return {}
    losses = Mixture.load(folder / TEACHERS).dev
    names = map(model_of, record.recipe.teachers)
    return {record.models[name].name: loss for name, loss in zip(names, losses, strict=False) if name is not None}


def teachers_places(recipe: DescentRecipe, folder: Path) -> list[Path]:
    """Return the folders of the teachers of a run."""
    names = [Path(model_of(each) or each.split()[0]).stem for each in recipe.teachers]
    return [folder / TEACHERS / f"{number}-{name}" for number, name in enumerate(names, start=1)]


def teachers_of(record: RunRecord, part: Part) -> list[RunRecord | None]:
    """Return the initial records of the runs of a recipe's teachers: the same windows, each with its own seed.

    A teacher that is a finished model has none.

    Args:
        record: the run.
        part: the names to train on.

    Raises:
        RecipeError: if one is malformed or has teachers itself.
    """
    recipe = record.recipe
    records: list[RunRecord | None] = []
    for number, entry in enumerate(recipe.teachers, start=1):
        if model_of(entry) is not None:
            records.append(None)
            continue
        name, settings, teacher = read_teacher(entry)
        if teacher.teachers:
            raise RecipeError(f"teachers: {name} has teachers itself", key="teachers")
        seed = (recipe.seed + number) % (1 << 63)
        teacher = msgspec.structs.replace(
            teacher.fitted(part.windows, part.names),
            split=recipe.split,
            first_names=recipe.first_names,
            weight_power=recipe.weight_power,
            novelty=recipe.novelty,
            symbols=recipe.symbols,
            rare=recipe.rare,
            seed=seed,
        )
        records.append(msgspec.structs.replace(record.of_teacher(name, teacher), overrides=settings))
    return records


def _complete_teacher(record: RunRecord, parts: Split, folder: Path, options: RunOptions) -> None:
    """Complete the run of a teacher. What was trained of it before is not trained again."""
    checkpoint = Checkpoint.load(folder) if (folder / CHECKPOINT).is_file() else None
    if checkpoint is None:
        complete(with_models(record), None, parts, folder, options)
    elif checkpoint.record.metrics is None:
        complete(checkpoint.record, checkpoint, parts, folder, options)


def teachers_metrics(folder: Path) -> dict[str, Metrics]:
    """Return the losses of the teachers of a finished run, by the names of their folders."""
    found = {}
    for path in sorted((folder / TEACHERS).glob(f"*/{METRICS}")):
        values = msgspec.json.decode(path.read_bytes())
        values.pop("samples", None)
        found[path.parent.name] = msgspec.convert(values, Metrics)
    return found


def finished(trained: Checkpoint, parts: Split, options: RunOptions, metrics: Metrics | None = None) -> Checkpoint:
    """Return a checkpoint with losses, samples and, unless the recipe forbids it, the hashes of the names added.

    Args:
        trained: the checkpoint after the last step.
        parts: of the split.
        options: of the run.
        metrics: losses that were measured elsewhere; by default, they are measured.

    Raises:
        TrainingError: if a loss is not finite.
    """
    record = trained.record
    predict, vocabulary = _predict(trained, options.device), record.alphabet
    if metrics is None:
        some = parts.train.spread(_BRIEF) if options.brief else None
        unknown = lacking(vocabulary, vocabulary)
        metrics = evaluate(parts, losses_of(record.inputs, predict), record.values, unknown, some)
        baselines = dict(options.baselines)
        if record.recipe.descent is None:  # a model of counts is a baseline itself
            baselines.pop("ngram", None)
        metrics = msgspec.structs.replace(metrics, baselines=baselines)
    for part, loss in metrics.parts.items():
        if not math.isfinite(loss.loss):
            raise TrainingError(f"the loss of the part {part} is {loss.loss}; try a lower learning_rate")
    samples = None
    if options.described:
        samples = sample(parts, record.inputs, predict, vocabulary, record.max_length, record.values)
    final = msgspec.structs.replace(record, metrics=metrics, samples=samples, versions=library_versions())
    result = Checkpoint(record=final, tensors=trained.tensors).with_calibration(_calibration(parts))
    if not record.recipe.novelty:
        return result
    tensors = {**result.tensors, NOVELTY: torch.from_numpy(_known_names(parts, vocabulary).hashes.view(np.int32))}
    return Checkpoint(record=final, tensors=tensors)


def _known_names(parts: Split, vocabulary: Vocabulary) -> KnownNames:
    """Return the names of all parts that the vocabulary can spell; others are never generated."""
    everything = (parts.train, parts.dev, parts.test)
    names = (name for part in everything for name in texts(part.tokens, vocabulary))
    if vocabulary.unknown is None:
        return KnownNames.of(names, sum(part.names for part in everything))
    return KnownNames.of(name for name in names if UNKNOWN not in name)


def _calibration(parts: Split) -> Part:
    """Return the first names of the dev part, or without one of the training part."""
    part = parts.dev if parts.dev.names else parts.train
    return part.first(max(1, int(np.searchsorted(part.ends, _CALIBRATION_TOKENS))))


def _predict(checkpoint: Checkpoint, device: torch.device) -> ConditionedPredict:
    return predictor(checkpoint.network().for_inference(), device)


def metrics_json(record: RunRecord) -> bytes:
    """Return the contents of ``metrics.json``."""
    return format_json({**msgspec.to_builtins(record.metrics), "samples": record.samples})
