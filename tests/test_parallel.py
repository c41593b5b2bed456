"""Workers take the same steps as a single process, and go on after one of them dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from sequentia import MissingExtraError, OptionError
from sequentia.columns import ColumnRequest
from sequentia.training import train
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.descent import HISTORY
from sequentia.training.progress import Progress
from sequentia.training.runs import METRICS

from . import labelled
from .conftest import MOONS, SMALL, RayCluster, processes_below

MIX = ("optimizer=adamw", "learning_rate=0.01", "dropout=0.3", "average_decay=0.9", "schedule=cosine", "direct=2")
CASES = {
    "sgd": ("mlp", SMALL),
    "dropout": ("mlp", (*SMALL, "dropout=0.5", "hidden_sizes=[24, 24]", "initialization=kaiming")),
    "adamw": ("mlp", (*SMALL, *MIX)),
    "batch norm": ("mlp", (*SMALL, "batch_norm=all", "initialization=kaiming")),
    "large batches": ("mlp", (*SMALL, "batch_size=999")),
    "few names": ("mlp", (*SMALL, "first_names=2")),  # of three workers, one has none
    "all windows": ("bigram", ("steps=60", "checkpoint_every=20")),
    "taught": ("mlp", (*SMALL, 'teachers=["ngram", "bigram-counts"]')),
    "diverging": ("mlp", (*SMALL, "learning_rate=1e38")),
}


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines()]


def steps_written(folder: Path) -> int:
    """Count the whole lines of a history that another process may still be writing."""
    return (folder / HISTORY).read_bytes().count(b"\n") if (folder / HISTORY).is_file() else 0


WORK = """
import json, sys
from itertools import accumulate
from pathlib import Path
import torch
from torch import distributed
from sequentia.training import read_corpus, split
from sequentia.training.checkpoint import CHECKPOINT, Checkpoint
from sequentia.training.parallel import take_part
from sequentia.training.team import Workers
rank, size, store, stop, corpus, *folders = sys.argv[1:]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(size))
ends = []
for folder in map(Path, folders):
    teachers = sorted(path.parent for path in folder.glob(f"teachers/*/{CHECKPOINT}"))
    recipe = Checkpoint.load(folder).record.recipe
    data = read_corpus(Path(corpus), Checkpoint.load(folder).record.corpus.columns)
    parts = split(data, recipe.split, recipe.first_names, recipe.weight_power)
    shards = parts.train.shards(int(size))
    cuts = [0, *accumulate(shard.size for shard in shards)]
    cpu = torch.device("cpu")
    team = Workers(cpu, cuts, lambda _: stop == "stop")
    end = take_part(team, shards[int(rank)], parts.dev, folder, teachers, cpu, team.report)
    ends.append(None if end is None else str(end))
print(json.dumps(ends))
distributed.destroy_process_group()
"""


def together(
    size: int, store: Path, *folders: Path, stop: bool = False, corpus: Path = MOONS
) -> list[list[str | None]]:
    """Finish some runs in several processes, without Ray, or stop them; return each process's ends of the runs."""
    tail = [str(size), str(store), "stop" if stop else "go", str(corpus), *map(str, folders)]
    processes = [
        subprocess.Popen([sys.executable, "-c", WORK, str(rank), *tail], stdout=subprocess.PIPE) for rank in range(size)
    ]
    return [json.loads(process.communicate(timeout=100)[0]) for process in processes]


class Stop(Exception):  # noqa: N818 - it is none
    """Ends a run before its first step."""


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that makes a run folder as workers find it, teachers included."""

    def stop(*_: object) -> None:
        raise Stop

    def begin(
        name: str,
        recipe: str,
        overrides: Sequence[str],
        corpus: Path = MOONS,
        columns: ColumnRequest | None = None,
    ) -> Path:
        monkeypatch.setattr("sequentia.training.descent.Descent.run", stop)
        with pytest.raises(Stop):
            train(corpus, tmp_path / name, recipe=recipe, overrides=overrides, columns=columns)
        monkeypatch.undo()
        return tmp_path / name

    return begin


@pytest.mark.parametrize("size", [2, 3])
def test_workers_take_the_steps_of_one(size: int, tmp_path: Path, begun: Callable[..., Path]) -> None:
    folders = [begun(name, recipe, overrides) for name, (recipe, overrides) in CASES.items()]
    ends = together(size, tmp_path / "store", *folders)
    assert all(end == ends[0] for end in ends)
    *others, diverging = ends[0]
    assert others == [None] * (len(CASES) - 1)
    assert diverging is not None
    assert "lower learning_rate" in diverging
    for name, (recipe, overrides) in list(CASES.items())[:-1]:
        train(MOONS, tmp_path / "alone" / name, recipe=recipe, overrides=overrides)
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "alone" / name), abs=1e-4), name
        ours, theirs = Checkpoint.load(tmp_path / name), Checkpoint.load(tmp_path / "alone" / name)
        assert ours.record.step == theirs.record.step
        for key, tensor in theirs.weights.items():
            assert torch.allclose(ours.weights[key], tensor, atol=1e-3), (name, key)
        for key, tensor in theirs.part("random").items():
            assert torch.equal(ours.part("random")[key], tensor)


def test_workers_stop_together_with_the_best_network(tmp_path: Path, begun: Callable[..., Path]) -> None:
    overrides = (*SMALL, "steps=3000", "learning_rate=0.3", "hidden_sizes=[64]", "patience=3")
    folder = begun("run", "mlp", overrides)
    assert together(3, tmp_path / "store", folder) == [[None]] * 3
    lines = [json.loads(line) for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines()]
    curve = {line["step"] + 1: line["dev"] for line in lines if "dev" in line}
    record = train(MOONS, folder, resume=True).record
    assert record.best is not None
    assert record.best.step == min(curve, key=curve.__getitem__) < record.step == list(curve)[-1] < 3000
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert record.metrics.dev.loss == pytest.approx(record.best.dev, abs=1e-5)


LABELLED = {
    "sgd": ("mlp", SMALL, 2),
    "batch norm": ("mlp", (*SMALL, "batch_norm=all", "initialization=kaiming"), 2),
    "adamw": ("mlp", (*SMALL, *MIX), 1),
    "everything": ("mlp", (*SMALL, "batch_size=0", "condition_dropout=0.0"), 2),
    "all windows": ("bigram", ("steps=60", "checkpoint_every=20"), 0),
    "taught": ("mlp", (*SMALL, 'teachers=["ngram"]'), 2),
    "fewer weights": ("mlp", (*SMALL, "weight_power=0.5", "first_names=9"), 2),
}


@pytest.mark.parametrize("size", [2, 3])
def test_workers_share_names_with_conditions_and_weights(size: int, tmp_path: Path, begun: Callable[..., Path]) -> None:
    """Each draws the places of all names, and has the conditions and weights of its own."""
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    folders = [
        begun(name, recipe, overrides, table, labelled.columns(columns, weight=True))
        for name, (recipe, overrides, columns) in LABELLED.items()
    ]
    assert together(size, tmp_path / "store", *folders, corpus=table) == [[None] * len(folders)] * size
    for name, (recipe, overrides, columns) in LABELLED.items():
        asked = labelled.columns(columns, weight=True)
        train(table, tmp_path / "alone" / name, recipe=recipe, overrides=overrides, columns=asked)
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "alone" / name), abs=1e-4), name
        ours, theirs = Checkpoint.load(tmp_path / name), Checkpoint.load(tmp_path / "alone" / name)
        assert ours.record.step == theirs.record.step
        for key, tensor in theirs.weights.items():
            assert torch.allclose(ours.weights[key], tensor, atol=1e-3), (name, key)
        for key, tensor in theirs.part("random").items():
            assert torch.equal(ours.part("random")[key], tensor)


@pytest.mark.parametrize("batch_size", [32, 0])
def test_workers_that_start_again_hide_the_same_conditions(
    batch_size: int, tmp_path: Path, begun: Callable[..., Path]
) -> None:
    table, overrides = labelled.write(tmp_path / "moons.csv", labelled.rows()), [*SMALL, f"batch_size={batch_size}"]
    uninterrupted, stopped = (
        begun(name, "mlp", overrides, table, labelled.columns(weight=True)) for name in ("uninterrupted", "stopped")
    )
    together(2, tmp_path / "store", uninterrupted, corpus=table)
    together(2, tmp_path / "again", stopped, stop=True, corpus=table)
    assert 0 < Checkpoint.load(stopped).record.step < 60
    together(2, tmp_path / "and again", stopped, corpus=table)
    ours, theirs = Checkpoint.load(stopped), Checkpoint.load(uninterrupted)
    for key, tensor in theirs.tensors.items():
        assert torch.equal(ours.tensors[key], tensor), key


@pytest.mark.parametrize("extra", [(), ("patience=2", "learning_rate=0.1")])
def test_workers_that_start_again_go_on_bit_for_bit(
    tmp_path: Path, begun: Callable[..., Path], extra: tuple[str, ...]
) -> None:
    recipe, overrides = CASES["adamw"]
    uninterrupted, stopped = (begun(name, recipe, [*overrides, *extra]) for name in ("uninterrupted", "stopped"))
    together(3, tmp_path / "store", uninterrupted)
    ends = together(3, tmp_path / "again", stopped, stop=True)
    step = Checkpoint.load(stopped).record.step
    assert 0 < step < 60
    assert ends == [[f"saved at step {step} of 60"]] * 3
    together(3, tmp_path / "and again", stopped)
    ours, theirs = Checkpoint.load(stopped), Checkpoint.load(uninterrupted)
    for key, tensor in theirs.tensors.items():
        assert torch.equal(ours.tensors[key], tensor), key
    assert (stopped / HISTORY).read_bytes() == (uninterrupted / HISTORY).read_bytes()


def test_what_workers_cannot_do(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(OptionError, match="3 workers cannot share minibatches of 2: ask for fewer"):
        train(MOONS, folder, recipe="mlp", overrides=["batch_size=2"], workers=3)
    with pytest.raises(OptionError, match="the recipe ngram counts: there are no steps for workers to share"):
        train(MOONS, folder, recipe="ngram", workers=2)
    with pytest.raises(OptionError, match="workers"):
        train(MOONS, folder, workers=0)
    assert not folder.exists()


def test_without_ray(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from sequentia.cli import main; main()"
    command = [sys.executable, "-c", code, "train", str(MOONS), "-o", str(tmp_path / "run"), "--workers", "2"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr == f"Error: {MissingExtraError.of('ray', 'ray')}\n"
    assert not (tmp_path / "run").exists()


# With Ray

LONG = (*SMALL, *MIX, "steps=600", "checkpoint_every=50")


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_is_started_again(tmp_path: Path, begun: Callable[..., Path], ray_cluster: RayCluster) -> None:
    undisturbed = begun("undisturbed", "mlp", LONG)
    together(2, tmp_path / "store", undisturbed)
    train(MOONS, undisturbed, resume=True)
    killed: list[int] = []

    def report(progress: Progress) -> None:
        if progress.step > 200 and not killed:
            killed.append(processes_below(ray_cluster.pid, "RayTrainWorker")[0])
            os.kill(killed[0], signal.SIGKILL)

    final = train(
        MOONS, tmp_path / "run", recipe="mlp", overrides=LONG, workers=2, address=ray_cluster.address, report=report
    )
    assert killed
    for key, tensor in Checkpoint.load(undisturbed).tensors.items():
        assert torch.equal(final.tensors[key], tensor), key
    for name in (HISTORY, METRICS):
        assert (tmp_path / "run" / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not list((tmp_path / "run").glob(".workers"))


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_an_interrupted_command_saves_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = [word for override in (*LONG, "steps=20000") for word in ("--set", override)]
    command = [sys.executable, "-m", "sequentia", "train", str(MOONS), "-o", str(folder), "--recipe", "mlp", *options]
    with subprocess.Popen(
        [*command, "--workers", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        while process.poll() is None and steps_written(folder) < 100:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=60)
    step = Checkpoint.load(folder).record.step
    assert 100 <= step < 20000
    assert errors.startswith(f"Interrupted, saved at step {step} of 20000. Go on with: sequentia train ")
    assert errors.endswith("--resume --workers 2\n")
    assert process.returncode == 130


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_address(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        train(MOONS, tmp_path / "run", recipe="mlp", overrides=SMALL, workers=2, address="127.0.0.1:1")
    assert not (tmp_path / "run").exists()
