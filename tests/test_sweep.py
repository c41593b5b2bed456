"""Sweeps: the search space, the trials, and that a killed process does not change the result."""

import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

import sequentia
from sequentia import CorpusError, MissingExtraError, OptionError, RecipeError, TrainingError
from sequentia.training import find_recipe, plot, read_recipe, train
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.kinds.mlp import MLPRecipe
from sequentia.training.runs import METRICS
from sequentia.training.search_space import Choices, Range, read_space
from sequentia.training.sweep import BEST, BEST_RECIPE, LEADERBOARD
from sequentia.training.trials import RESULTS, SWEEP, Sweep, Trial, read_trial, read_trials, write_trial
from sequentia.training.tuning import is_poor, run_trial, suggest

from .conftest import MOONS, SMALL, RayCluster, processes_below, python
from .test_cli import run_cli
from .test_pictures import looks_drawn

MLP = read_recipe("mlp", SMALL)
SPACE = """
learning_rate = { choices = [0.05, 0.3, 1e38] }
direct = { low = 0, high = 2 }
average_decay = { low = 0.5, high = 0.9 }
[hidden_sizes]
choices = [[8], [16, 16]]
"""


@pytest.fixture
def write_space(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "space.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


# The search space


def test_a_space(write_space: Callable[[str], Path]) -> None:
    text = "learning_rate = { low = 1, high = 2.5, log = true }\nsteps = 7\n" + SPACE.replace("learning_rate", "seed")
    space = read_space(write_space(text.replace("[0.05, 0.3, 1e38]", "[1, 2]")), MLP)
    assert space == {
        "learning_rate": Range(1.0, 2.5, log=True),
        "steps": Choices([7]),
        "seed": Choices([1, 2]),
        "direct": Range(0, 2),
        "average_decay": Range(0.5, 0.9),
        "hidden_sizes": Choices([[8], [16, 16]]),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("zzz = { low = 1, high = 2 }", "there is no key 'zzz' for model mlp; valid keys: "),
        ("symbols = { choices = ['characters', 'words'] }", "symbols decides what losses mean"),
        ("steps = { low = 2, high = 1 }", "steps: low = 2 is not below high = 1"),
        ("steps = { low = 1.5, high = 2.5 }", "steps = 1.5: Expected `int`"),
        ("steps = { low = 0, high = 5 }", "steps = 0: Expected `int` >= 1"),
        ("direct = { low = 0, high = 2, log = true }", "direct: a range with log = true starts above 0, not at 0"),
        ("steps = { low = 1 }", "steps: Object missing required field `high`; give { low"),
        ("steps = { low = 1, high = 2, lag = true }", "steps: Object contains unknown field `lag`; give { low"),
        ("steps = { low = 1, high = nan }", "steps = nan: Expected a finite number"),
        ("steps = {}", "steps: Object missing required field `low`"),
        ("activation = { low = 1, high = 2 }", "activation = 1: Expected `str`"),
        ("novelty = { low = 0, high = 1 }", "novelty = 0: Expected `bool`"),
        ("activation = { choices = [] }", "activation: there is nothing to choose from"),
        ("activation = { choices = ['tanh', 'tan'] }", "activation = 'tan': Invalid enum value"),
        ("activation = { choices = 'tanh' }", "activation: Expected `array`, got `str`"),
        ("activation = 'tan'", "activation = 'tan': Invalid enum value"),
        ("split = { choices = ['lecture', 'all'] }", "split decides what losses mean"),
        ("first_names = { low = 10, high = 20 }", "first_names decides what losses mean"),
        ("model = 'ngram'", "model decides what losses mean"),
    ],
)
def test_a_wrong_line_of_a_space(write_space: Callable[[str], Path], line: str, message: str) -> None:
    path = write_space(f"seed = {{ choices = [1, 2] }}\n\n{line}\n")
    with pytest.raises(RecipeError) as caught:
        read_space(path, MLP)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert message in str(caught.value)
    assert caught.value.key == line.partition(" ")[0]


@pytest.mark.parametrize("text", ["", "steps = 5", "steps = { choices = [5] }"])
def test_a_space_without_a_choice(write_space: Callable[[str], Path], text: str) -> None:
    with pytest.raises(RecipeError, match="there is nothing to search"):
        read_space(write_space(text), MLP)


def test_a_space_that_cannot_be_read(write_space: Callable[[str], Path], tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path, write_space("steps = {")):
        with pytest.raises(RecipeError, match="cannot read the search space"):
            read_space(path, MLP)


def test_the_space_of_the_document(write_space: Callable[[str], Path]) -> None:
    text = (Path(__file__).parents[1] / "docs" / "train.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert set(read_space(write_space(example), read_recipe("mlp"))) == {"learning_rate", "hidden_sizes", "steps"}


# The trials


@pytest.fixture
def sweep(write_space: Callable[[str], Path]) -> Sweep:
    return Sweep(
        corpus=sequentia.training.read_corpus(MOONS).record,
        windows=914,
        names=117,
        recipe="mlp",
        overrides=list(SMALL),
        settings=MLP,
        space=read_space(write_space(SPACE.replace("1e38", "0.7")), MLP),
        seed=3,
        trials=40,
    )


def loss_of(trial: Trial, part: int) -> float:
    """A made-up loss that falls with each part, lowest at average_decay = 0.8."""
    return float(2 + abs(trial.values["average_decay"] - 0.8) + trial.values["learning_rate"] / part)


def test_trials_follow_from_their_files(sweep: Sweep, tmp_path: Path) -> None:
    """Each suggestion and each stop is the same when it is repeated, as it is after a crash."""
    for number in range(sweep.trials):
        trial = Trial(number=number, values=suggest(sweep, read_trials(tmp_path)), steps=9)
        for part in range(1, 10):
            trial = replace(trial, losses=[*trial.losses, (part, loss_of(trial, part))])
            write_trial(tmp_path, trial)
            poor = part < 9 and is_poor(trial, tmp_path)
            assert not poor or part in {1, 3}
            assert part == 9 or is_poor(read_trial(tmp_path, number), tmp_path) == poor
            if poor:
                break
        assert suggest(sweep, read_trials(tmp_path)[:number]) == trial.values
        state = "stopped" if poor else "failed" if number % 10 == 7 else "finished"
        write_trial(tmp_path, replace(trial, state=state))
    trials = read_trials(tmp_path)
    assert [trial.number for trial in trials] == list(range(40))
    assert {trial.state for trial in trials} == {"stopped", "finished", "failed"}
    assert sum(len(trial.losses) for trial in trials) < 40 * 9 / 2, "most are stopped early"


def test_suggestions_find_what_is_better(sweep: Sweep) -> None:
    """Uniform values would lie within 0.1 of the best with a probability of one half, 25 of 40 and more at 8 %."""
    trials: list[Trial] = []
    for number in range(60):
        trial = Trial(number=number, values=suggest(sweep, trials), state="finished", steps=9)
        trials.append(replace(trial, losses=[(9, loss_of(trial, 9))]))
    assert all(set(trial.values) == set(sweep.space) for trial in trials)
    assert len({trial.values["average_decay"] for trial in trials}) == 60
    assert {str(trial.values["hidden_sizes"]) for trial in trials} == {"[8]", "[16, 16]"}
    assert {trial.values["direct"] for trial in trials} == {0, 1, 2}
    close = sum(abs(trial.values["average_decay"] - 0.8) < 0.1 for trial in trials[20:])
    assert close >= 32
    assert suggest(replace(sweep, seed=4), []) != trials[0].values


@pytest.mark.parametrize(
    ("losses", "poor"),
    [
        ([], False),
        ([2.0], True),
        ([3.0], False),
        ([1.0, 2.4, 2.5, 2.6], False),  # a third of the way from 1.0 to 2.6 lies 2.4
        ([1.0, 2.2, 2.5, 2.6], True),
    ],
)
def test_a_poor_trial_is_not_in_the_lowest_third(tmp_path: Path, losses: list[float], poor: bool) -> None:
    for number, loss in enumerate(losses):
        write_trial(tmp_path, Trial(number=number, values={}, steps=12, losses=[(1, 0.0), (2, loss), (4, 0.0)]))
    trial = Trial(number=len(losses), values={}, steps=12, losses=[(2, 2.3)])
    write_trial(tmp_path, trial)
    assert is_poor(trial, tmp_path) == poor
    assert not is_poor(replace(trial, losses=[(2, 0.0), (3, 9.0)]), tmp_path), "between two rungs"


def test_a_trial_whose_end_was_written_is_not_run_again(sweep: Sweep, tmp_path: Path) -> None:
    trial = Trial(number=0, values={}, state="failed", error="for a test")
    write_trial(tmp_path, trial)
    assert run_trial(sweep, 0, MOONS, tmp_path) == trial
    assert not trial.folder(tmp_path).exists()


def test_a_full_disk_is_no_failure_of_the_trial(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    trial = Trial(number=0, values={})
    write_trial(tmp_path, trial)
    monkeypatch.setattr("sequentia.training.tuning.train", full)
    with pytest.raises(OSError, match="No space left"):
        run_trial(sweep, 0, MOONS, tmp_path)
    assert read_trials(tmp_path) == [trial]


def test_damaged_trials(tmp_path: Path) -> None:
    trial = Trial(number=0, values={})
    write_trial(tmp_path, trial)
    (tmp_path / RESULTS / ".00001.json.0.partial").write_bytes(b'{"number"')
    assert read_trials(tmp_path) == [trial], "a file that a killed process left unfinished"
    for damaged in (b'{"number":0}', b"\xff", b'{"number":1,"values":{}}'):
        (tmp_path / RESULTS / "00000.json").write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"results.* is damaged"):
            read_trials(tmp_path)


# What cannot be


def test_what_cannot_be_searched(write_space: Callable[[str], Path], tmp_path: Path) -> None:
    space, folder = write_space(SPACE), tmp_path / "sweep"
    for name in ("trials", "concurrency"):
        with pytest.raises(OptionError, match=f"{name} must be a whole number, 1 or more"):
            find_recipe(MOONS, folder, space=space, **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="seed must be a whole number, 0 or more"):
        find_recipe(MOONS, folder, space=space, seed=-1)
    with pytest.raises(OptionError, match="no Ray cluster answers at 'nowhere:1'"):
        find_recipe(MOONS, folder, space=space, address="nowhere:1")
    with pytest.raises(RecipeError, match="a sweep needs a search space: --space"):
        find_recipe(MOONS, folder)
    with pytest.raises(CorpusError, match="the split all leaves no dev part"):
        find_recipe(MOONS, folder, space=space, overrides=["split=all"])
    with pytest.raises(TrainingError, match="no sweep here"):
        find_recipe(MOONS, folder, resume=True)
    assert not folder.exists()
    with pytest.raises(TrainingError, match="is a file; choose a folder"):
        find_recipe(MOONS, space, space=space)
    with pytest.raises(TrainingError, match="is not empty: it holds no sweep to go on with; choose another folder"):
        find_recipe(MOONS, tmp_path, space=space)
    (tmp_path / SWEEP).write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError, match="is not empty: go on with its sweep by --resume; choose another folder"):
        find_recipe(MOONS, tmp_path, space=space)
    with pytest.raises(TrainingError, match=r"sweep.json is damaged"):
        find_recipe(MOONS, tmp_path, resume=True)


def test_without_the_extra(write_space: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = write_space(SPACE)
    hidden = "import sys; sys.modules['ray'] = None; from sequentia.cli import main; main()"
    result = python("-c", hidden, "sweep", str(MOONS), "--space", str(space), "-o", str(tmp_path / "x"))
    message = f"Error: {MissingExtraError.of('ray', 'ray')}\n"
    assert (result.returncode, result.stderr) == (1, message)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "sequentia.training.tuning")
    with pytest.raises(MissingExtraError, match=r"the package 'optuna': install the extra \[ray\]"):
        find_recipe(MOONS, tmp_path / "x", space=space)
    assert not (tmp_path / "x").exists()


# With Ray

SWEEP_OPTIONS: dict[str, Any] = {"overrides": [*SMALL, "steps=900"], "seed": 2, "trials": 5, "concurrency": 1}
SWEEP_ARGUMENTS = [
    *(word for override in SWEEP_OPTIONS["overrides"] for word in ("--set", override)),
    *("--seed", "2", "--trials", "5", "--concurrency", "1"),
]


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: RayCluster
) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """A space, the folder of an undisturbed sweep, and the command's result."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    arguments = ["--space", folder / "space.toml", *SWEEP_ARGUMENTS, "--address", ray_cluster.address]
    said = run_cli("sweep", MOONS, "-o", folder / "sweep", *arguments)
    return folder / "space.toml", folder / "sweep", said


def is_the_same(folder: Path, other: Path) -> None:
    """Compare the results of two sweeps."""
    assert read_trials(folder) == read_trials(other)
    for name in (SWEEP, LEADERBOARD, BEST_RECIPE, f"{BEST}/{METRICS}"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    ours, theirs = Checkpoint.load(folder / BEST), Checkpoint.load(other / BEST)
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(tensor, theirs.tensors[key]) for key, tensor in ours.tensors.items())


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # warnings of Ray's own
def test_the_command(undisturbed: tuple[Path, Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    _, folder, said = undisturbed
    assert said.returncode == 0, said.stderr
    with (folder / LEADERBOARD).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    states = [row["state"] for row in rows]
    assert sorted(row["trial"] for row in rows) == ["0", "1", "2", "3", "4"]
    assert states == sorted(states, key=["finished", "stopped", "failed"].index)
    assert set(states) == {"finished", "stopped", "failed"}
    baselines = json.loads((folder / BEST / METRICS).read_bytes())["baselines"]
    for row in rows:
        worse = [name for name, loss in baselines.items() if row["dev"] and float(row["dev"]) > loss]
        assert row["worse_than"].split() == worse
    assert "This model is worse than" in said.stdout
    finished = [float(row["dev"]) for row in rows if row["state"] == "finished"]
    assert finished == sorted(finished)
    failed = [row for row in rows if row["state"] == "failed"]
    assert all("try a lower learning_rate" in row["error"] for row in failed)
    assert {row["learning_rate"] for row in failed} == {"1e38"}
    assert all(f"| {row['trial']} | {row['state']} | " in said.stdout for row in rows)
    assert said.stderr.count("Trial ") == 5
    assert "Traceback" not in said.stderr

    for trial in read_trials(folder):
        metrics = trial.folder(folder) / METRICS
        assert metrics.is_file() == (trial.state == "finished")
        if metrics.is_file():
            measured = json.loads(metrics.read_bytes())
            assert measured["dev"]["loss"] == trial.loss
            assert not measured.get("test")
            assert not measured.get("test_unseen")
    best = json.loads((folder / BEST / METRICS).read_bytes())
    assert best["dev"]["loss"] == finished[0]
    assert best["test"]["loss"] > 0
    assert f"{best['test']['loss']:.4f}" in said.stdout

    recipe = read_recipe(str(folder / BEST_RECIPE))
    assert isinstance(recipe, MLPRecipe)
    assert (recipe.steps, str(recipe.learning_rate), recipe.direct) == (
        900,
        rows[0]["learning_rate"],
        int(rows[0]["direct"]),
    )
    again = train(MOONS, tmp_path / "again", recipe=str(folder / BEST_RECIPE))
    weights = Checkpoint.load(folder / BEST).weights
    assert all(torch.equal(tensor, weights[key]) for key, tensor in again.weights.items())
    assert len(sequentia.generate(3, model=folder / BEST, seed=1)) == 3
    (picture,) = plot(folder)
    assert picture.name == "sweep.png"
    assert looks_drawn(picture)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # warnings of Ray's own
def test_a_finished_sweep_is_left_as_it_is(
    undisturbed: tuple[Path, Path, subprocess.CompletedProcess[str]], write_corpus: Callable[[bytes | str], Path]
) -> None:
    space, folder, _ = undisturbed
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match="is not empty: go on with its sweep by --resume"):
        find_recipe(MOONS, folder, space=space, **SWEEP_OPTIONS)
    other = write_corpus(MOONS.read_bytes() + b"another\n")
    with pytest.raises(TrainingError, match="has another text: choose another folder"):
        find_recipe(other, folder, resume=True)
    with pytest.raises(TrainingError, match="has another recipe: choose another folder"):
        find_recipe(MOONS, folder, overrides=["steps=7"], resume=True)
    with pytest.raises(TrainingError, match="has another seed: choose another folder"):
        find_recipe(MOONS, folder, seed=5, resume=True)
    space_file = other.with_name("other.toml")
    space_file.write_text("seed = { low = 1, high = 5 }", encoding="utf-8")
    with pytest.raises(TrainingError, match="has another search space: choose another folder"):
        find_recipe(MOONS, folder, space=space_file, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # warnings of Ray's own
def test_a_worker_that_is_killed(
    undisturbed: tuple[Path, Path, subprocess.CompletedProcess[str]], ray_cluster: RayCluster, tmp_path: Path
) -> None:
    space, folder, _ = undisturbed
    killed: list[int] = []

    def report(trial: Trial, ended: int, trials: int) -> None:
        assert trials == 5
        if ended and not killed and trial.state == "running" and trial.step > trial.steps // 3:
            killed.extend(processes_below(ray_cluster.pid, "ray::run_trial"))
            for each in killed:
                os.kill(each, signal.SIGKILL)

    found = find_recipe(
        MOONS, tmp_path / "sweep", space=space, address=ray_cluster.address, report=report, **SWEEP_OPTIONS
    )
    assert len(killed) == 1
    assert found == sorted(read_trials(folder), key=lambda trial: trial.rank)
    is_the_same(tmp_path / "sweep", folder)


def ended(command: list[str], folder: Path, number: int, trial: int) -> tuple[int, str]:
    """Send a sweep a signal in the middle of a trial, or of one after it; return the exit status and the errors."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        trials: list[Trial] = []
        while not (len(trials) > trial and trials[-1].state == "running" and trials[-1].losses):
            assert process.poll() is None
            time.sleep(0.01)
            trials = read_trials(folder)
        # Ctrl-C in a terminal reaches all processes of the command.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # warnings of Ray's own
def test_a_driver_that_is_interrupted_and_killed(
    undisturbed: tuple[Path, Path, subprocess.CompletedProcess[str]], ray_cluster: RayCluster, tmp_path: Path
) -> None:
    space, folder, _ = undisturbed
    disturbed = tmp_path / "sweep"
    command = [sys.executable, "-m", "sequentia", "sweep", str(MOONS), "-o", str(disturbed)]
    code, errors = ended([*command, "--space", str(space), *SWEEP_ARGUMENTS], disturbed, signal.SIGINT, 0)
    assert code == 130
    *_, last = errors.splitlines()
    assert last.startswith(f"Interrupted. Go on with: sequentia sweep {MOONS} -o {disturbed} --resume --concurrency 1")
    assert "Traceback" not in errors
    again = [*command, "--resume", "--concurrency", "1", "--address", ray_cluster.address]
    code, errors = ended(again, disturbed, signal.SIGKILL, 1)
    assert code == -signal.SIGKILL
    before = read_trials(disturbed)
    assert before[-1].state == "running"
    assert not (disturbed / LEADERBOARD).exists()
    reported: list[Trial] = []
    find_recipe(
        MOONS,
        disturbed,
        resume=True,
        concurrency=1,
        address=ray_cluster.address,
        report=lambda trial, *_: reported.append(trial),
    )
    assert min(trial.number for trial in reported) == before[-1].number, "no finished trial is run again"
    is_the_same(disturbed, folder)
