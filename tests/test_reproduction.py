"""The published figures are reproduced, and a missed one is reported."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest

from sequentia.training.checkpoint import CHECKPOINT
from sequentia.training.reproduction import _RUNS, Row, reproduce

from .conftest import MOONS, NEEDS_NAMES, python, wait_for

DOCUMENT = Path(__file__).parents[1] / "docs" / "reproduction.md"


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what")]


def test_verdicts() -> None:
    assert Row.of("x", "2.45", [2.4548]).verdict == "exact"
    assert Row.of("x", "2.45 1.00", [2.4551, 1.0]).verdict == "MISSED"
    assert Row.of("x", "2.45 1.00", [2.4551, 1.0], 0.01) == Row("x", "2.45 1.00", "2.46 1.00", "within 0.01")
    assert Row.of("x", "2.45 1.00", [2.4551, 1.02], 0.01).verdict == "MISSED"
    assert Row.of("x", "2.45", [float("nan")], 0.01).verdict == "MISSED"
    assert Row.of("x", "ava. emma.", ["ava.", "eve."]).verdict == "MISSED"


@NEEDS_NAMES
def test_the_quick_part(names_txt: Path) -> None:
    result = python("-m", "sequentia", "reproduce", str(names_txt), "--quick")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = table(result.stdout)
    assert len(rows) >= 19
    assert set(rows) <= set(table(DOCUMENT.read_text(encoding="utf-8")))


def test_another_list_misses_them_and_runs_that_are_there_are_not_run_again(tmp_path: Path) -> None:
    result = python("-m", "sequentia", "reproduce", str(MOONS), "--quick", "-o", str(tmp_path))
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "| MISSED |" in result.stdout
    found = re.search(r"(\d+) rows: \d+ exact, \d+ within, (\d+) MISSED\. \d+ s on \d+ cores", result.stdout)
    assert found
    assert int(found[2]) > 10
    runs = {run.name for run in _RUNS if run.quick}
    assert {path.name for path in tmp_path.iterdir()} == runs

    lines: list[str] = []
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(CHECKPOINT)}
    assert len(stamps) == sum(run.quick and not run.search for run in _RUNS)
    again = [" | ".join(astuple(row)) for row in reproduce(MOONS, tmp_path, quick=True, report=lines.append)]
    assert [line.strip("| ") for line in table(result.stdout)] == again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob(CHECKPOINT)} == stamps
    assert lines[-1] == f"{len(runs)} of {len(runs)} runs done"


# The ladder without all but one of its quick runs, which would only delay the slow ones.
SLOW = """
from sequentia.cli import main
from sequentia.training import reproduction

reproduction._RUNS = tuple(run for run in reproduction._RUNS if run.name == "mlp-first" or not run.quick)
main()
"""


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_stopping_it(tmp_path: Path, how: str) -> None:
    """Ctrl-C goes to all its processes; when the first one dies, the others must notice."""
    slow = [tmp_path / run.name for run in _RUNS if not run.quick]
    command = [sys.executable, "-c", SLOW, "reproduce", str(MOONS), "-o", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_for(process, lambda: any(path.exists() for path in slow))
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.kill()
        _, errors = process.communicate(timeout=120)  # until none of them holds the pipe open
    assert process.returncode == (130 if how == "Ctrl-C" else -signal.SIGKILL), errors
    assert ("Interrupted." in errors) == (how == "Ctrl-C")
    assert "Traceback" not in errors
    assert sum(path.exists() for path in slow) < len(slow)


def test_the_document_is_of_the_whole_ladder() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = table(text)
    for run in _RUNS:
        for check in run.checks:
            (row,) = (row for row in rows if row.startswith(f"| {check.what} | {check.published} |"))
            assert row.endswith(("| exact |", f"| within {check.tolerance:g} |" if check.tolerance else "| exact |"))
    assert "Printed by `sequentia reproduce names.txt`" in text
    assert "0 MISSED" in text
