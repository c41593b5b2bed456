"""Corrupted artifacts: none harms, and what is wrong with a bomb is said."""

from functools import partial
from pathlib import Path

import pytest

import sequentia
from sequentia import ArtifactError, graph_check, session

from .conftest import python
from .corruption import BOMBS, KINDS, arm
from .test_artifact import change_graph

MESSAGES = {
    "Loop": "found a subgraph",
    "If": "found a subgraph",
    "ConstantOfShape": "the operator 'ConstantOfShape', which no exported graph has",
    "Expand": "too much memory once, at the operator Expand",
    "Tile": "the operator 'Tile'",
    "Range": "the operator 'Range'",
    "Concat repeated": "the operator 'Concat'",
    "Gather repeated": "too much memory once, at the operator",
    "Add repeated": "too much memory once, at the operator",
    "MatMul repeated": "too much memory once, at the operator",
    "products": "too much memory once, at the operator MatMul",
    "products of each run": "too many multiplications for each 256 rows, at the operator MatMul",
    "many steps": r"1\d{4} operators",
    "runs of 64 rows": r"the operator Slice on shapes .*makes the shape \[0, 4\]",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(run: Path, name: str) -> None:
    change_graph(run, partial(arm, bomb=BOMBS[name]))
    with pytest.raises(ArtifactError, match=r"model\.onnx: expected .*" + MESSAGES[name]):
        sequentia.load(run)


def test_every_number_of_rows_is_followed() -> None:
    assert set(graph_check.RUNS) == {session.ROWS, *session.OTHER_ROWS}


def test_corrupted_artifacts(trained: Path) -> None:
    """The program fails where a kind that has to be refused is not."""
    done = python(
        *("-m", "tests.corruption", str(2 * len(KINDS)), "--model", str(trained), "--jobs", "2"),
        PYTHONPATH=str(Path(__file__).parents[1]),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(KINDS)}" == str(sum(map(int, done.stdout.split("\nall")[1].split()[:3])))
