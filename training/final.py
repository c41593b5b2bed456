"""Measure a model that learns from the training part, then train one with the same settings on the whole list."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from sequentia._files import write_file

from .checkpoint import CHECKPOINT, MEASURED, Checkpoint, RunRecord
from .descent import HISTORY
from .diagnostics import DIAGNOSTICS
from .kinds import Recipe
from .mixture import Mixture
from .parts import Part, Split
from .progress import part_of
from .runs import METRICS, TEACHERS, RunOptions, complete, finished, metrics_json, teachers_places, work_of
from .starting import model_of, with_models


def is_measured_first(record: RunRecord, parts: Split) -> bool:
    """Return whether a run ends with a training on the whole list, and has something to measure before."""
    return record.recipe.final == "all" and parts.dev.names + parts.test.names > 0


def complete_all(
    record: RunRecord, checkpoint: Checkpoint | None, parts: Split, folder: Path, options: RunOptions
) -> Checkpoint:
    """Complete a run that is measured on a part of the list, and then repeated with the whole list.

    The folder ``measured`` gets the first of the two runs. The result is the second one, with the losses of the first.

    Args:
        record: the run, about to start.
        checkpoint: of the run in the folder, as far as it came.
        parts: of the split.
        folder: the run folder.
        options: of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoint is None:
        Checkpoint.of(record, {}).save(folder)  # so that the run can be resumed
    size = work_of(record, parts)
    first = replace(options, described=False, report=part_of(options.report, before=0, size=size, total=2 * size))
    measured = _measured(record, parts, folder / MEASURED, first)
    settled, nothing = _settled(record, measured, folder / MEASURED), parts.train.first(0)
    everything = Split(_joined(parts), nothing, nothing)
    begun = checkpoint is not None and checkpoint.record.recipe == settled.recipe
    second = replace(
        options,
        baselines={},
        described=False,
        brief=True,
        watch_dev=None,
        report=part_of(options.report, before=size, size=size, total=2 * size, phase="on the whole list"),
    )
    trained = complete(settled, checkpoint if begun else None, everything, folder, second)
    done = msgspec.structs.replace(trained.record, recipe_name=record.recipe_name)
    result = finished(Checkpoint(done, trained.tensors), everything, options, measured.record.metrics)
    result.save(folder)
    write_file(folder / METRICS, metrics_json(result.record))
    return result


def _measured(record: RunRecord, parts: Split, folder: Path, options: RunOptions) -> Checkpoint:
    """Return the run that is measured, completed from where it is."""
    checkpoint = Checkpoint.load(folder) if (folder / CHECKPOINT).is_file() else None
    if checkpoint is None:
        recipe = msgspec.structs.replace(record.recipe, final="measured")
        return complete_best(msgspec.structs.replace(record, recipe=recipe), None, parts, folder, options)
    if checkpoint.record.metrics is None:
        return complete_best(checkpoint.record, checkpoint, parts, folder, options)
    return checkpoint


def complete_best(
    record: RunRecord, checkpoint: Checkpoint | None, parts: Split, folder: Path, options: RunOptions
) -> Checkpoint:
    """Complete a run, or return its best teacher if the weights are found on dev and that one has a lower loss there.

    Args:
        record: the run, about to start.
        checkpoint: of the run in the folder, as far as it came.
        parts: of the split.
        folder: the run folder.
        options: of the run.
    """
    trained = complete(record, checkpoint, parts, folder, options)
    recipe = record.recipe.descent
    if recipe is None or recipe.teacher_weights != "dev":
        return trained
    places = [folder, *(place for place in teachers_places(recipe, folder) if (place / CHECKPOINT).is_file())]
    runs = [trained, *map(Checkpoint.load, places[1:])]
    best, place = min(zip(runs, places, strict=True), key=lambda pair: _dev_loss(pair[0]))
    if options.tell is not None and len(runs) > 1:
        member, where = min(zip(runs[1:], places[1:], strict=True), key=lambda pair: _dev_loss(pair[0]))
        chosen = "the small network" if best is trained else "that member"
        options.tell(
            f"Loss on dev: the small network {_dev_loss(trained):.4f}, the best member ({where.name}) "
            f"{_dev_loss(member):.4f}. The result is {chosen}."
        )
    if best is trained:
        return trained
    _take_history(place, folder)
    done = msgspec.structs.replace(best.record, recipe_name=record.recipe_name, overrides=record.overrides)
    metrics = best.record.metrics
    if metrics is not None and trained.record.metrics is not None:
        metrics = msgspec.structs.replace(metrics, baselines=trained.record.metrics.baselines)
    result = finished(Checkpoint(done, best.tensors), parts, options, metrics)
    result.save(folder)
    write_file(folder / METRICS, metrics_json(result.record))
    return result


def _take_history(place: Path, folder: Path) -> None:
    """Replace what a folder says of how its network was trained by what another one says of its own."""
    for name in (HISTORY, DIAGNOSTICS):
        (folder / name).unlink(missing_ok=True)
        if (place / name).is_file():
            write_file(folder / name, (place / name).read_bytes())


def _dev_loss(checkpoint: Checkpoint) -> float:
    metrics = checkpoint.record.metrics
    return np.inf if metrics is None or metrics.dev is None else metrics.dev.loss


def _settled(record: RunRecord, measured: Checkpoint, folder: Path) -> RunRecord:
    """Return the record of the run on the whole list: what was found on dev is given."""
    recipe = _stopped(measured)
    if recipe.teachers:
        mixture, entries, weights = Mixture.load(folder / TEACHERS), list[str](), list[float]()
        descent = recipe.descent
        assert descent is not None  # noqa: S101 - it has teachers
        for entry, place, weight in zip(
            recipe.teachers, teachers_places(descent, folder), mixture.weights, strict=True
        ):
            if weight:
                entries.append(entry if model_of(entry) is not None else _with_stop(entry, Checkpoint.load(place)))
                weights.append(weight)
        recipe = msgspec.structs.replace(recipe, teachers=entries, teacher_weights=weights)
    settled = msgspec.structs.replace(
        record,
        recipe=msgspec.structs.replace(recipe, final="all", seed=record.recipe.seed),
        structure=measured.record.structure,
    )
    return with_models(settled)


def _stopped(measured: Checkpoint) -> Recipe:
    """Return the recipe of a run, which now ends where the loss on dev was lowest."""
    recipe, best = measured.record.recipe, measured.record.best
    return recipe if best is None else msgspec.structs.replace(recipe, patience=0, stop=best.step)


def _with_stop(entry: str, checkpoint: Checkpoint) -> str:
    best = checkpoint.record.best
    return entry if best is None else f"{entry} patience=0 stop={best.step}"


def _joined(parts: Split) -> Part:
    """Return the names of all parts."""
    each = [part for part in (parts.train, parts.dev, parts.test) if part.names]
    counts = [part.counts for part in each if part.counts is not None]
    return Part(
        np.concatenate([part.tokens for part in each]),
        np.concatenate([part.conditions for part in each]),
        np.concatenate(counts) if counts else None,
        each[0].scale,
    )
