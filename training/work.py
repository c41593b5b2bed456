"""Estimates of the work of a run, in seconds on one core, so that progress has a total that is about true."""

from collections.abc import Sequence
from typing import Final

from .checkpoint import RunRecord
from .distillation import PASSES
from .parts import Split

# Measured on networks from 10,000 to a million parameters.
_STEP: Final = 3.5e-4
_PREDICTION: Final = 1.5e-6
_MULTIPLICATION: Final = 3e-11
_DRAWN: Final = 100_000  # symbols of the names drawn to describe a model
_EXPORTED: Final = 400_000  # predictions that choose bits and compare the result
_DRAWING: Final = 1.0


def training(record: RunRecord, teachers: Sequence[RunRecord] = ()) -> float:
    """Return the work of all steps of a run; with teachers, also of their lessons."""
    recipe = record.recipe.descent
    if recipe is None:
        return 0.0
    step = _STEP + _MULTIPLICATION * recipe.multiplications(record.inputs)
    lesson = recipe.batch_size / PASSES * sum(map(_prediction, teachers))
    return recipe.steps * (step + lesson)


def measuring(record: RunRecord, parts: Split) -> float:
    """Return the work of measuring a trained network and describing the names it generates."""
    windows = sum(part.windows for part in (parts.train, parts.dev, parts.test))
    return _prediction(record) * (windows + _DRAWN)


def exporting(record: RunRecord) -> float:
    """Return the work of drawing the pictures of a run and exporting its network."""
    return _DRAWING + _EXPORTED * _prediction(record)


def _prediction(record: RunRecord) -> float:
    return _PREDICTION + _MULTIPLICATION * record.structure.multiplications(record.inputs)
