"""Corrupted artifacts: none harms, and those that are consistent are refused for what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest

import sequentia
from sequentia import ArtifactError, artifact

from . import golden
from .conftest import python
from .corruption import KINDS, Case

MESSAGES = {
    "sealed bytes: the graph": r"model\.onnx: expected the graph of config\.json and model\.safetensors, found another",
    "config: another format_version": r"format_version 2, found|the schema of an artifact, found",
    "config: another scale": (
        r"only whole numbers below|model\.onnx: expected the graph|schema of an artifact|tensor '.*' of shape|no tensor"
    ),
    "config: conditions": (
        r"conditions: |\$\.conditions|Input data was truncated"
        r"|no tensor|an unknown tensor|tensor '.*' of shape .*, not \("
    ),
    "another model: conditions that it cannot have": r"combinations of values, more than|bigram model with conditions",
    "config: layers of another number": r"layers for \d hidden_sizes|Expected `array` of length >= 1|missing required",
    "weights: other dtypes": r"of dtype (F64|F32|F16|I64|U8|U16|U32|BOOL), not one of I8, I16, I32",
    "weights: other shapes": r"tensor '.*' of shape .*, not \(",
    "weights: a number that float32 may not hold": r"can reach [\d,]{10,}, and only whole numbers",
    "weights: a sum that reaches 2^24": r"layer\.0\.product can reach [\d,]{10,}, and only whole numbers",
    "another model: an index outside its table": r"(row|places) -?\d+ to -?\d+ of \d+|(reached|start) can reach",
    "another model: a context too short": r"direct 3, more than block_size 2|order \d+, too high for block_size",
    "another model: a context too long": r"a recurrent network of block_size \d+, more than 256|takes more steps than",
    "another model: look-ups without end": r"takes more steps than 268,435,456 multiplications",
    "graph: a bomb": r"model\.onnx: expected the graph .* found another",
    "graph: written by another program": r"model\.onnx: expected the graph .* found another",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_wrong_is_said(trained: Path, tmp_path: Path, name: str) -> None:
    files = {each: (trained / each).read_bytes() for each in (artifact.CONFIG, *artifact.FILES)}
    for seed in range(4):
        case = Case(files, np.random.Generator(np.random.PCG64(seed)))
        KINDS[name].corrupt(case)
        case.write(tmp_path / f"{seed}")
        with pytest.raises(ArtifactError, match=MESSAGES[name]):
            sequentia.load(tmp_path / f"{seed}")


def test_a_model_with_nothing_wrong_is_loaded(trained: Path, tmp_path: Path) -> None:
    """So those of the same making that are refused are refused for what is wrong with them."""
    files = {each: (trained / each).read_bytes() for each in (artifact.CONFIG, *artifact.FILES)}
    found = set()
    for seed in range(24):
        case = Case(files, np.random.Generator(np.random.PCG64(seed)))
        KINDS["another model: nothing wrong"].corrupt(case)
        case.write(tmp_path / f"{seed}")
        config = sequentia.load(tmp_path / f"{seed}").config
        found.add((type(config.architecture).__name__, bool(config.conditions)))
    assert len(found) == 7, found


@pytest.mark.parametrize("model", ["trained", "gru-where"])
def test_corrupted_artifacts(trained: Path, model: str) -> None:
    """The program fails where a kind that has to be refused is not."""
    folder = trained if model == "trained" else golden.MODELS / model
    done = python(
        *("-m", "tests.corruption", str(2 * len(KINDS)), "--model", str(folder), "--jobs", "2"),
        PYTHONPATH=str(Path(__file__).parents[1]),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(KINDS)}" == str(sum(map(int, done.stdout.split("\nall")[1].split()[:3])))
