"""The recurrent network: training on whole names, and export over a window."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sequentia
from sequentia import OptionError, RecipeError
from sequentia.architectures import GRUArchitecture
from sequentia.arithmetic import Inputs
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.export import export
from sequentia.training import read_corpus, read_recipe, split, train
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.kinds.gru import GRU, GRURecipe, whole_names
from sequentia.training.parts import Part
from sequentia.training.progress import Progress

from .conftest import MOONS
from .labelled import embed

SMALL = [
    "embedding_dim=6",
    "hidden_size=24",
    "block_size=6",
    "steps=60",
    "batch_size=16",
    "warmup_steps=0",
    "average_decay=0.0",
]


def new_network(block_size: int) -> GRU:
    recipe = read_recipe("gru", ["embedding_dim=5", "hidden_size=16", f"block_size={block_size}", "dropout=0.0"])
    assert isinstance(recipe, GRURecipe)
    return recipe.new_network(Inputs(block_size, 27), torch.Generator().manual_seed(1))


def test_whole_names_are_read_and_followed() -> None:
    part = Part.of(np.array([1, 2, 0, 3, 0, 4, 5, 6, 0], dtype=np.uint8))
    read, follows = whole_names(part, part.names_of(np.array([0, 4, 8])))
    assert read.tolist() == [[0, 1, 2, 0], [0, 3, 0, 0], [0, 4, 5, 6]]
    assert follows.tolist() == [1, 2, 0, 3, 0, 4, 5, 6, 0]


def test_every_name_is_as_likely_as_any_other() -> None:
    """A long name is drawn as often as a short one."""
    part = split(read_corpus(MOONS), "lecture").train
    read, _ = whole_names(part, part.names_of(np.arange(part.size)))
    _, counts = np.unique(read, axis=0, return_counts=True)
    assert len(counts) == np.count_nonzero(part.tokens == 0), "no moon has the name of another"
    assert counts.max() - counts.min() <= 1


@torch.no_grad()
def test_a_window_says_what_the_whole_name_does() -> None:
    """They agree as long as the window holds the start of the name."""
    network = new_network(6)
    part = split(read_corpus(MOONS), "lecture").train
    read, _ = whole_names(part, part.names_of(np.arange(0, part.size, 50)))
    lengths = 1 + (read != 0).sum(axis=1)
    together = torch.split(network.train()(torch.from_numpy(read)), lengths.tolist())
    network.eval()
    for name, rows in zip(read, together, strict=True):
        for place in range(min(len(rows), 6)):
            context = np.zeros((1, 6), dtype=np.int64)
            context[0, 6 - place :] = name[1 : place + 1]
            torch.testing.assert_close(network(torch.from_numpy(context))[0], rows[place])


@torch.no_grad()
def test_a_window_says_what_the_whole_name_does_with_conditions() -> None:
    recipe = read_recipe("gru", ["embedding_dim=5", "hidden_size=16", "block_size=6", "dropout=0.0"])
    assert isinstance(recipe, GRURecipe)
    network = recipe.new_network(Inputs(6, 27, (3, 4)), torch.Generator().manual_seed(1))
    embed(network)
    part = split(read_corpus(MOONS), "lecture").train
    read, _ = whole_names(part, part.names_of(np.arange(0, part.size, 50)))
    conditions = torch.from_numpy(np.random.default_rng(0).integers(0, (3, 4), (len(read), 2)))
    ends = np.cumsum(1 + (read != 0).sum(axis=1))
    together = network.train()(torch.from_numpy(read), conditions)
    network.eval()
    for place in range(6):
        contexts = np.zeros((len(read), 6), dtype=np.int64)
        contexts[:, 6 - place :] = read[:, 1 : place + 1]
        rows = np.flatnonzero((read[:, 1 : place + 1] > 0).all(axis=1))
        after = network(torch.from_numpy(contexts), conditions)
        starts = np.append(0, ends)[rows]
        torch.testing.assert_close(after[rows], together[starts + place])
    assert not torch.allclose(network(torch.from_numpy(contexts)), after)


@pytest.mark.parametrize("overrides", [[], ["tied=true", "embedding_dropout=0.1", "learning_rate=0.01"]])
def test_it_learns_and_is_exported(tmp_path: Path, overrides: list[str]) -> None:
    """The artifact's losses are the run's, but for what rounding to whole numbers moves."""
    losses = [
        train(MOONS, tmp_path / str(steps), recipe="gru", overrides=[*SMALL, f"steps={steps}", *overrides])
        for steps in (1, 60)
    ]
    first, last = (checkpoint.record.metrics for checkpoint in losses)
    assert first is not None
    assert first.train is not None
    assert last is not None
    assert last.train is not None
    assert abs(first.train.loss - np.log(27)) < 0.1
    assert last.train.loss < first.train.loss - 0.3
    config = export(tmp_path / "60", tmp_path / "model")
    model = sequentia.load(tmp_path / "model")
    assert config.architecture.parameters == sum(
        parameter.numel() for parameter in Checkpoint.load(tmp_path / "60").network().parameters()
    )
    names = MOONS.read_text(encoding="utf-8").split()
    loss = -model.score(names).sum() / sum(len(name) + 1 for name in names)
    everything = [getattr(last, part) for part in ("train", "dev", "test")]
    expected = sum(part.loss * part.windows for part in everything) / sum(part.windows for part in everything)
    assert loss == pytest.approx(expected, abs=0.001)
    assert model.generate(20, seed=1)[:5] == model.generate(5, seed=1)
    assert "gated recurrent units" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_a_boundary_leaves_the_state_as_it_is() -> None:
    """However few bits the weights have: rounded, they may add more to a gate than the network's own."""
    network = new_network(3)
    with torch.no_grad():
        weight = network.gru.get_parameter("weight_hh_l0")
        weight.copy_(torch.where(weight < 0, -0.51, 0.51))
    for weight_bits in range(4):
        bits = {**network.precisions(), "weights": weight_bits}
        architecture, tensors = network.in_whole_numbers(
            bits, np.zeros((1, 3), dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
        )
        assert isinstance(architecture, GRUArchitecture)
        rows = np.random.default_rng(0).integers(-1, 2, (200, 16)) << architecture.state_bits  # the most extreme states
        context = np.zeros((200, 3), dtype=np.int64)
        arithmetic = IntegerArithmetic(tensors, context)
        np.testing.assert_array_equal(architecture._read(arithmetic, "0", rows, context[:, 0], {}), rows)


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(progress: Progress) -> None:
        if progress.step >= 20:
            raise Stop

    overrides = [*SMALL, "steps=40", "checkpoint_every=10"]
    uninterrupted = train(MOONS, tmp_path / "uninterrupted", recipe="gru", overrides=overrides)
    with pytest.raises(Stop):
        train(MOONS, tmp_path / "run", recipe="gru", overrides=overrides, report=stop)
    assert 0 < Checkpoint.load(tmp_path / "run").record.step < 40
    resumed = train(MOONS, tmp_path / "run", resume=True)
    assert all(torch.equal(tensor, uninterrupted.tensors[name]) for name, tensor in resumed.tensors.items())


def test_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="a minibatch is a number of whole names: batch_size must be 1 or more, not 0"
    ):
        read_recipe("gru", ["batch_size=0"])
    with pytest.raises(OptionError, match="takes steps that workers cannot share"):
        train(MOONS, tmp_path / "run", recipe="gru", overrides=SMALL, workers=2)
