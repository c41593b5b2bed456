"""The sweep: what may be searched, what is remembered, and that nobody's death changes what is found."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from sequentia.training.search_space import Choices, Range, read_space
from sequentia.training.sweep import BEST, BEST_RECIPE, LEADERBOARD
from sequentia.training.trainer import METRICS
from sequentia.training.trials import JOURNAL, SWEEP, Job, Trial, read_journal, read_trials, write_journal
from sequentia.training.tuning import Study, suggest

from .conftest import MOONS, SMALL, python
from .test_bulk import CLUSTER, descendants
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
        ("rate = { low = 1, high = 2 }", "there is no key 'rate' for model mlp; valid keys: "),
        ("steps = { low = 2, high = 1 }", "steps: low = 2 is not below high = 1"),
        ("steps = { low = 1.5, high = 2.5 }", "steps = 1.5: Expected `int`"),
        ("steps = { low = 0, high = 5 }", "steps = 0: Expected `int` >= 1"),
        ("direct = { low = 0, high = 2, log = true }", "direct: a range by logarithms starts above 0, not at 0"),
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


# The journal


@pytest.fixture
def job(write_space: Callable[[str], Path]) -> Job:
    return Job(
        corpus=sequentia.training.read_corpus(MOONS).record,
        windows=914,
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


def played(study: Study, most: int) -> int:
    """Play trials one by one until so many were heard of, and return how many were."""
    said = 0
    while sum(trial.state != "running" for trial in study.trials) < study.job.trials:
        trial = study.next()
        for part in range(1, 10):
            if said == most:
                return said
            said += 1
            told = replace(trial, loss=loss_of(trial, part), step=part, steps=9)
            if part == 9 and trial.number % 10 == 7:
                told = replace(trial, state="failed", error="for a test")
            elif part == 9:
                told = replace(told, state="finished")
            over = study.tell(told)
            assert over or part < 9
            if over:
                break
    return said


def test_a_study_goes_on_from_its_journal_alone(job: Job, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Study(job, tmp_path / "whole", lambda *_: None)
    said = played(whole, 1000)
    journal = (tmp_path / "whole" / JOURNAL).read_bytes()
    assert read_trials(tmp_path / "whole") == whole.trials
    states = [trial.state for trial in whole.trials]
    assert len(states) == 40
    assert {"stopped", "finished", "failed"} == set(states)
    assert 40 < said < 40 * 9 / 2, "most are stopped early"
    for most in (1, 2, 9, 30, said - 1):
        folder = tmp_path / str(most)
        folder.mkdir()
        interrupted = Study(job, folder, lambda *_: None)
        assert played(interrupted, most) == most
        with (folder / JOURNAL).open("ab") as file:
            file.write(b'{"number":')
        resumed = Study(job, folder, lambda *_: None)
        assert resumed.trials == interrupted.trials
        played(resumed, 1000)
        assert (folder / JOURNAL).read_bytes() == journal, most


def test_suggestions_find_what_is_better(job: Job) -> None:
    """Uniform values would lie within 0.1 of the best with a probability of one half, 25 of 40 and more at 8 %."""
    trials: list[Trial] = []
    for number in range(60):
        trial = Trial(number=number, values=suggest(job, trials), state="finished", step=9, steps=9)
        trials.append(replace(trial, loss=loss_of(trial, 9)))
    assert all(set(trial.values) == set(job.space) for trial in trials)
    assert len({trial.values["average_decay"] for trial in trials}) == 60
    assert {str(trial.values["hidden_sizes"]) for trial in trials} == {"[8]", "[16, 16]"}
    assert {trial.values["direct"] for trial in trials} == {0, 1, 2}
    close = sum(abs(trial.values["average_decay"] - 0.8) < 0.1 for trial in trials[20:])
    assert close >= 32
    assert suggest(replace(job, seed=4), []) != trials[0].values


def test_a_damaged_journal(tmp_path: Path) -> None:
    trial = Trial(number=0, values={})
    write_journal(tmp_path, trial)
    (tmp_path / JOURNAL).write_bytes((tmp_path / JOURNAL).read_bytes() + b'{"number"')
    assert read_journal(tmp_path) == [trial]
    write_journal(tmp_path, trial)
    assert read_journal(tmp_path) == [trial, trial], "the torn line is gone"
    for damaged in (b'{"number":0}\n', b"\xff\n", b'{"number":1,"values":{}}\n'):
        (tmp_path / JOURNAL).write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"journal.jsonl is damaged"):
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
    with pytest.raises(TrainingError, match="is not empty: go on with its sweep by --resume, or choose another"):
        find_recipe(MOONS, tmp_path, space=space)
    (tmp_path / SWEEP).write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"sweep.json is damaged"):
        find_recipe(MOONS, tmp_path, resume=True)


def test_without_the_extra(write_space: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = write_space(SPACE)
    hidden = "import sys; sys.modules['ray'] = None; from sequentia.cli import main; main()"
    result = python("-c", hidden, "sweep", str(MOONS), "--space", str(space), "-o", str(tmp_path / "x"))
    message = "Error: this needs the package 'ray': install sequentia with its extra, sequentia[ray]\n"
    assert (result.returncode, result.stderr) == (1, message)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "sequentia.training.tuning")
    with pytest.raises(MissingExtraError, match=r"the package 'optuna': install .* sequentia\[ray\]"):
        find_recipe(MOONS, tmp_path / "x", space=space)
    assert not (tmp_path / "x").exists()


# With Ray

SWEEP_OPTIONS: dict[str, Any] = {"overrides": [*SMALL, "steps=900"], "seed": 2, "trials": 5, "concurrency": 1}
SWEEP_ARGUMENTS = [
    *(word for override in SWEEP_OPTIONS["overrides"] for word in ("--set", override)),
    *("--seed", "2", "--trials", "5", "--concurrency", "1"),
]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[tuple[str, int]]:
    """The address of a cluster on this machine, and its first process."""
    with subprocess.Popen([sys.executable, "-c", CLUSTER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
        process.terminate()


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: tuple[str, int]
) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """A space, the folder of a sweep that nobody disturbed, and what the command said."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    arguments = ["--space", folder / "space.toml", *SWEEP_ARGUMENTS, "--address", ray_cluster[0]]
    said = run_cli("sweep", MOONS, "-o", folder / "sweep", *arguments)
    return folder / "space.toml", folder / "sweep", said


def is_the_same(folder: Path, other: Path) -> None:
    """Hold the results of a sweep against another's."""
    for name in (JOURNAL, SWEEP, LEADERBOARD, BEST_RECIPE, f"{BEST}/{METRICS}"):
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
    undisturbed: tuple[Path, Path, subprocess.CompletedProcess[str]], ray_cluster: tuple[str, int], tmp_path: Path
) -> None:
    space, folder, _ = undisturbed
    address, pid = ray_cluster
    killed: list[int] = []

    def report(trial: Trial, ended: int, trials: int) -> None:
        assert trials == 5
        if ended == 1 and not killed and trial.step > trial.steps // 3:
            named = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in descendants(pid)}
            killed.extend(each for each, name in named.items() if name.startswith(b"ray::ImplicitFunc"))
            for each in killed:
                os.kill(each, signal.SIGKILL)

    found = find_recipe(MOONS, tmp_path / "sweep", space=space, address=address, report=report, **SWEEP_OPTIONS)
    assert len(killed) == 1
    assert found == sorted(read_trials(folder), key=lambda trial: trial.rank)
    is_the_same(tmp_path / "sweep", folder)


def ended(command: list[str], folder: Path, number: int, lines: int) -> tuple[int, str]:
    """Send a sweep's process and all of its terminal a signal in the middle of a trial; return its exit and errors."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        journal: list[Trial] = []
        while not (len(journal) > lines and journal[-1].state == "running" and journal[-1].step):
            assert process.poll() is None
            time.sleep(0.01)
            journal = read_journal(folder)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # warnings of Ray's own
def test_a_driver_that_is_interrupted_and_killed(
    undisturbed: tuple[Path, Path, subprocess.CompletedProcess[str]], ray_cluster: tuple[str, int], tmp_path: Path
) -> None:
    space, folder, _ = undisturbed
    disturbed = tmp_path / "sweep"
    command = [sys.executable, "-m", "sequentia", "sweep", str(MOONS), "-o", str(disturbed)]
    first = [*command, "--space", str(space), *SWEEP_ARGUMENTS, "--address", ray_cluster[0]]
    code, errors = ended(first, disturbed, signal.SIGINT, 2)
    assert code == 130
    *_, last = errors.splitlines()
    assert last.startswith(f"Interrupted. Go on with: sequentia sweep {MOONS} -o {disturbed} --resume --concurrency 1")
    assert "Traceback" not in errors
    code, errors = ended([*command, "--resume", "--concurrency", "1"], disturbed, signal.SIGKILL, 12)
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
        address=ray_cluster[0],
        report=lambda trial, *_: reported.append(trial),
    )
    assert min(trial.number for trial in reported) == before[-1].number, "no finished trial is run again"
    is_the_same(disturbed, folder)
