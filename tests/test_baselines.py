"""What a model is compared with, and the warning if it is worse."""

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

import sequentia
from sequentia.config import Loss, Metrics
from sequentia.export import export
from sequentia.training import evaluate_model, read_corpus, split, train
from sequentia.training.baselines import measure_baselines, ngram_losses
from sequentia.training.parts import Part
from sequentia.training.runs import teachers_metrics

from . import labelled
from .conftest import MOONS, SMALL
from .test_cli import succeed


def dev_loss(folder: Path, corpus: Path, *overrides: str) -> float:
    metrics = train(corpus, folder, recipe="ngram", overrides=overrides).record.metrics
    assert metrics is not None
    assert metrics.dev is not None
    return metrics.dev.loss


def test_the_ngrams_are_those_of_the_recipe(tmp_path: Path) -> None:
    data = read_corpus(MOONS)
    parts, ids = split(data, "lecture"), data.vocabulary.size
    expected = [dev_loss(tmp_path / str(order), MOONS, f"order={order}") for order in range(1, 7)]
    assert ngram_losses(parts.train, parts.dev, 6, [0.1, 0.85], ids) == pytest.approx(expected, abs=1e-5)
    assert measure_baselines(parts, ids) == pytest.approx({"uniform": math.log(ids), "ngram": min(expected[1:])})


def test_weights_count_and_conditions_do_not(tmp_path: Path) -> None:
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    data = read_corpus(table, labelled.columns(2, weight=True))
    weighted = split(data, "lecture")
    metrics = train(table, tmp_path / "run", recipe="ngram", columns=labelled.columns(0, weight=True)).record.metrics
    assert metrics is not None
    assert metrics.dev is not None
    losses = ngram_losses(weighted.train, weighted.dev, 6, [0.1, 0.85], data.vocabulary.size)
    assert losses[5] == pytest.approx(metrics.dev.loss, abs=1e-5)


def test_no_alphabet_is_too_large() -> None:
    tokens = np.arange(1, 60_001, dtype=np.uint16)
    part = Part.of(np.column_stack([tokens, np.zeros_like(tokens)]).reshape(-1))
    losses = ngram_losses(part, part.first(1000), 6, [0.1, 0.85], 60_001)
    assert all(0 < loss < math.log(60_001) for loss in losses[1:])


def test_without_a_dev_part_there_is_the_uniform_guess_alone() -> None:
    parts = split(read_corpus(MOONS), "all")
    assert measure_baselines(parts, 25) == {"uniform": math.log(25)}
    empty = replace(parts, dev=parts.train.first(5), train=Part(parts.train.tokens, parts.train.conditions, None))
    assert set(measure_baselines(empty, 25)) == {"uniform", "ngram"}


@pytest.mark.parametrize(
    ("train", "dev", "said"),
    [
        (1.9, 2.0, ""),
        (2.55, 2.6, "worse than counting n-grams (dev 2.6000 against 2.5000). It has learnt too little"),
        (1.0, 2.6, "worse than counting n-grams (dev 2.6000 against 2.5000). It has learnt its list by heart"),
        (
            1.0,
            4.0,
            "worse than guessing every symbol alike (dev 4.0000 against 3.3000). It has learnt its list by heart",
        ),
        (4.3, 7.4, "worse than guessing every symbol alike (dev 7.4000 against 3.3000). It has learnt too little"),
        (2.0, None, ""),
        (3.4, None, "worse than guessing every symbol alike (train 3.4000 against 3.3000). It has learnt too little"),
    ],
)
def test_a_model_that_is_worse_is_said_to_be(train: float, dev: float | None, said: str) -> None:
    def loss(value: float) -> Loss:
        return Loss(loss=value, names=1, windows=1)

    measured = None if dev is None else loss(dev)
    baselines = {"uniform": 3.3, "ngram": 2.5} if dev is not None else {"uniform": 3.3}
    metrics = Metrics(train=loss(train), dev=measured, test=None, dev_unseen=None, test_unseen=None)
    assert metrics.warning == "", "nothing is said of a model without baselines"
    warning = msgspec.structs.replace(metrics, baselines=baselines).warning
    assert warning.startswith(f"This model is {said}" if said else "")
    assert bool(warning) == bool(said)


def test_every_command_says_so(tmp_path: Path) -> None:
    """The recipe fast learns a list of 150 names by heart."""
    folder = tmp_path / "run"
    train(MOONS, folder, recipe="fast")
    config = export(folder, folder)
    assert config.metrics.warning.startswith("This model is worse than guessing every symbol alike (dev ")
    assert config.metrics.baselines.keys() == {"uniform", "ngram"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert config.metrics.warning in card
    assert f"guessing every symbol alike {config.metrics.baselines['uniform']:.4f}" in card
    assert config.metrics.warning in succeed("info", folder)
    shown = succeed("evaluate", folder, MOONS)
    assert "\nngram " in shown
    assert "This model is worse than guessing every symbol alike (dev " in shown
    assert "worse" not in succeed("evaluate", folder, MOONS, "--split", "dedup")
    assert "worse" not in succeed("info", "names")
    assert evaluate_model(sequentia.load(folder), MOONS).baselines == config.metrics.baselines


def test_counts_are_compared_with_the_uniform_guess_and_teachers_with_both(tmp_path: Path) -> None:
    overrides = [*SMALL, 'teachers=["ngram", "fast"]']
    metrics = train(MOONS, tmp_path / "run", recipe="mlp", overrides=overrides).record.metrics
    assert metrics is not None
    teachers = teachers_metrics(tmp_path / "run")
    assert {name: each.baselines.keys() for name, each in teachers.items()} == {
        "1-ngram": {"uniform"},
        "2-fast": {"uniform", "ngram"},
    }
    assert not teachers["1-ngram"].warning
    assert "worse" in teachers["2-fast"].warning
    assert teachers["2-fast"].baselines == metrics.baselines
