"""What a training tells of its progress, and what the command line shows of it."""

import os
import subprocess
import sys
import termios
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sequentia.cli.progress import TrainingProgress
from sequentia.training import find_learning_rate, train
from sequentia.training.progress import Progress, part_of

from .conftest import MOONS, SMALL


def is_steady(seen: list[Progress]) -> bool:
    """Return whether the total stays the same, and the work that is done never falls, except for rounding."""
    done = [round(progress.done, 9) for progress in seen]
    totals = {round(progress.total, 9) for progress in seen}
    return len(totals) == 1 and done == sorted(done) and done[-1] <= max(totals)


def phases(seen: list[Progress]) -> list[str]:
    return list(dict.fromkeys(progress.phase for progress in seen))


def test_one_total_for_the_teachers_and_all_phases(tmp_path: Path) -> None:
    seen: list[Progress] = []
    overrides = [*SMALL, 'teachers=["fast", "ngram"]']
    train(MOONS, tmp_path / "run", recipe="mlp", overrides=overrides, report=seen.append)
    assert phases(seen) == [
        "teacher 1 of 2: fast",
        "teacher 1 of 2: fast, measuring",
        "teacher 2 of 2: ngram, measuring",
        "training",
        "measuring",
    ]
    assert is_steady(seen)
    assert seen[-1].share == 1
    training = [progress for progress in seen if progress.phase == "training"]
    assert (training[-1].step, training[-1].steps) == (60, 60)
    assert all(progress.loss is not None and progress.rate is not None for progress in training)
    assert training[-1].dev is not None


def test_the_total_includes_the_export_if_it_follows(tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(MOONS, tmp_path / "run", recipe="mlp", overrides=SMALL, report=seen.append, exported=True)
    assert is_steady(seen)
    assert 0 < seen[-1].share < 1
    again: list[Progress] = []
    train(MOONS, tmp_path / "other", recipe="mlp", overrides=SMALL, report=again.append)
    assert again[-1].share == 1


def test_an_early_end_and_a_resumed_run(tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(done: int, _steps: int, _loss: float) -> None:
        if done >= 1000:
            raise Stop

    seen: list[Progress] = []
    overrides = [*SMALL, "steps=3000", "learning_rate=0.3", "hidden_sizes=[64]", "patience=7"]
    with pytest.raises(Stop):
        train(MOONS, tmp_path / "run", recipe="mlp", overrides=overrides, watch_dev=stop)
    train(MOONS, tmp_path / "run", resume=True, report=seen.append)
    assert is_steady(seen)
    assert seen[0].step > 900
    assert seen[0].share > 0.2
    assert seen[-1].share == 1
    assert seen[-1].step < 3000


def test_a_caller_names_its_own_phases() -> None:
    seen: list[Progress] = []
    inner = part_of(seen.append, before=10, size=30, total=100, phase="member 2 of 4: gru")
    for phase in ("training", "measuring"):
        inner(Progress(phase=phase, done=2, total=4, loss=2.5))
    assert [(each.phase, each.done, each.total, each.loss) for each in seen] == [
        ("member 2 of 4: gru", 25, 100, 2.5),
        ("member 2 of 4: gru, measuring", 25, 100, 2.5),
    ]


def test_the_search_for_a_rate(tmp_path: Path) -> None:
    seen: list[Progress] = []
    find_learning_rate(MOONS, tmp_path / "search", recipe="mlp-2d", steps=40, report=seen.append)
    assert is_steady(seen)
    assert phases(seen) == ["searching"]


@pytest.mark.parametrize(("seconds", "least", "most"), [(5, 0, 0), (60, 5, 10), (2400, 30, 48), (36_000, 30, 48)])
def test_a_log_has_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seconds: int, least: int, most: int
) -> None:
    now = 0.0
    monkeypatch.setattr("sequentia.cli.progress.time.monotonic", lambda: now)
    progress = Progress(phase="training", done=0, total=seconds, loss=2.34567, dev=2.4, rate=0.01)
    with TrainingProgress() as report:
        for tenth in range(10 * seconds):
            now = tenth / 10
            report(replace(progress, done=now))
        report.phase("exporting")
    lines = capsys.readouterr().err.splitlines()
    assert least <= len(lines) <= most
    assert all("% training, loss 2.3457, dev 2.4000, rate 0.01" in line for line in lines)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals of this kind")
def test_a_terminal_gets_one_bar(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    options = [word for override in SMALL for word in ("--set", override)]
    command = [sys.executable, "-m", "sequentia", "train", str(MOONS), "-o", str(tmp_path / "run"), "-r", "mlp"]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(controller, 1 << 16):
                shown += part
    os.close(controller)
    assert process.returncode == 0
    text = shown.decode()
    for phase in ("training", "measuring", "drawing", "exporting"):
        assert f"\r{phase}: " in text, phase
    assert "exporting: 100%" in text
    assert "dev " in text
    assert "Done. Try: sequentia generate" in text
