"""Teachers: the probabilities of their mixture, the names it draws, and how near its learner comes."""

import json
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import sequentia
from sequentia import RecipeError
from sequentia.export import export
from sequentia.training import evaluate_model, read_corpus, read_recipe, split, train
from sequentia.training.checkpoint import CHECKPOINT, Checkpoint
from sequentia.training.descent import HISTORY
from sequentia.training.distillation import Teacher
from sequentia.training.kinds.gru import GRURecipe
from sequentia.training.kinds.mlp import MLPRecipe
from sequentia.training.members import RunMember, read_members
from sequentia.training.recipes import recipe_path
from sequentia.training.runs import METRICS, TEACHERS
from sequentia.windows import windows

from . import labelled
from .conftest import MOONS
from .test_training import RUN, history

NETWORK = """
summary = "A small network."
block_size = 3
embedding_dim = 4
hidden_sizes = [16]
activation = "gelu"
dropout = 0.5
learning_rate = 0.01
batch_size = 32
steps = 300
checkpoint_every = 20
"""
LEARNER = """
summary = "Taught by it, and by counts."
block_size = 5
embedding_dim = 8
hidden_sizes = [128]
activation = "gelu"
teachers = ["{folder}/network.toml", "{folder}/network.toml", "ngram"]
teacher_weights = [1, 1, 2]
learning_rate = 0.01
schedule = "cosine"
batch_size = 256
steps = 600
checkpoint_every = 20
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "network.toml").write_text(NETWORK, encoding="utf-8")
    (folder / "learner.toml").write_text(LEARNER.format(folder=folder.as_posix()), encoding="utf-8")
    return str(folder / "learner.toml")


@pytest.fixture(scope="module")
def taught(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "taught"
    train(MOONS, folder, recipe=recipe)
    return folder


@pytest.fixture(scope="module")
def teacher(taught: Path) -> Teacher:
    learner = Checkpoint.load(taught).record
    assert isinstance(learner.recipe, MLPRecipe)
    part = split(read_corpus(MOONS), "lecture").train
    members = read_members(sorted((taught / TEACHERS).glob("[123]-*")), learner, part, torch.device("cpu"))
    weights = [0.25, 0.25, 0.5]
    return Teacher(members, weights, learner.recipe, part, learner.max_length, torch.device("cpu"))


def nothing(contexts: torch.Tensor) -> torch.Tensor:
    """Return the conditions of some contexts in a model that has none."""
    return torch.zeros((len(contexts), 0), dtype=torch.int64)


def test_the_mixture_is_weighted_probabilities(taught: Path, teacher: Teacher) -> None:
    contexts = torch.randint(0, 27, (500, 5), generator=torch.Generator().manual_seed(0))
    contexts = contexts.clamp(max=len(Checkpoint.load(taught).record.vocabulary))
    expected = np.zeros((500, len(Checkpoint.load(taught).record.vocabulary) + 1))
    for place, weight in (("1-network", 0.25), ("2-network", 0.25), ("3-ngram", 0.5)):
        network = Checkpoint.load(taught / TEACHERS / place).network().eval()
        with torch.no_grad():
            logits = network(contexts[:, -network.block_size :]).double().numpy()
        expected += weight * np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(teacher.probabilities(contexts, nothing(contexts)).numpy(), expected, atol=2e-6)


def test_the_losses_of_the_mixture_are_kept(taught: Path, teacher: Teacher) -> None:
    stored = json.loads((taught / TEACHERS / METRICS).read_text(encoding="utf-8"))
    dev = split(read_corpus(MOONS), "lecture").dev
    contexts, targets = windows(dev.tokens, np.arange(dev.windows), 5)
    expected = -teacher.predict(contexts)[np.arange(dev.windows), targets].mean(dtype=np.float64)
    assert stored["dev"]["loss"] == pytest.approx(expected, rel=1e-6)


def test_teachers_have_seeds_of_their_own_and_see_the_same_text(taught: Path) -> None:
    first, second, ngram = (Checkpoint.load(taught / TEACHERS / name) for name in ("1-network", "2-network", "3-ngram"))
    seed = Checkpoint.load(taught).record.recipe.seed
    assert [member.record.recipe.seed for member in (first, second, ngram)] == [seed + 1, seed + 2, seed + 3]
    assert not torch.equal(first.weights["output.weight"], second.weights["output.weight"])
    assert {member.record.corpus.sha256 for member in (first, second, ngram)} == {read_corpus(MOONS).record.sha256}


def test_a_lesson_is_half_text_and_half_inventions(teacher: Teacher) -> None:
    contexts, conditions, probabilities = teacher.lesson(0)
    again, other = teacher.lesson(0).contexts, teacher.lesson(1).contexts
    assert torch.equal(conditions, nothing(contexts))
    assert torch.equal(contexts, again)
    assert contexts.shape[1:] == (5,)
    assert not torch.equal(contexts[: len(other)], other[: len(contexts)])
    torch.testing.assert_close(probabilities, teacher.probabilities(contexts, conditions))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(len(contexts)))

    half = 256 * 600 // 4 // 2
    text = {tuple(row) for row in contexts[:half].tolist()}
    words = MOONS.read_text(encoding="utf-8").split()
    symbols = sorted(set("".join(words)))
    possible = set()
    for word in words:
        ids = [0] * 5 + [symbols.index(symbol) + 1 for symbol in word]
        possible |= {tuple(ids[i : i + 5]) for i in range(len(word) + 1)}
    assert text <= possible
    invented = {tuple(row) for row in contexts[half:].tolist()}
    assert invented - possible
    assert len(contexts) == pytest.approx(2 * half, rel=0.2)


def test_lessons_of_names_with_conditions_and_weights(tmp_path: Path) -> None:
    """Half of a lesson is text, each name with its own values as often as it counts; some values are hidden."""
    table, columns = labelled.write(tmp_path / "moons.csv", labelled.rows()), labelled.columns(weight=True)
    member = train(table, tmp_path / "run", recipe="ngram", columns=columns)
    recipe = read_recipe("mlp", ["block_size=5", "batch_size=512", "steps=600", "condition_dropout=0.5"])
    assert isinstance(recipe, MLPRecipe)
    part = split(read_corpus(table, columns), "lecture").train
    assert part.counts is not None
    assert not part.counts.all(), "some names count 0 times"
    teacher = Teacher(
        [RunMember(member, torch.device("cpu"))], [1.0], recipe, part, member.record.max_length, torch.device("cpu")
    )
    assert teacher.inputs == member.record.inputs
    contexts, conditions, probabilities = teacher.lesson(0)
    torch.testing.assert_close(probabilities, teacher.probabilities(contexts, conditions))
    again = teacher.lesson(0)
    assert torch.equal(again.contexts, contexts)
    assert torch.equal(again.conditions, conditions)
    assert not torch.equal(teacher.lesson(1).conditions[:100], conditions[:100])

    half, positions = 512 * 600 // 4 // 2, np.arange(part.windows)
    text, _ = windows(part.tokens, positions, recipe.block_size)
    said, weights = part.conditions_at(positions), part.weights_at(positions)
    expected: dict[tuple[int, ...], float] = defaultdict(float)
    for row, values, weight in zip(text.tolist(), said.tolist(), weights.tolist(), strict=True):
        for shown, share in ((values, 0.5), ([0, 0], 0.25), ([0, values[1]], 0.125), ([values[0], 0], 0.125)):
            expected[(*row, *shown)] += share * weight / weights.sum()
    found = Counter(map(tuple, torch.cat([contexts, conditions], dim=1)[:half].tolist()))
    assert sum(found.values()) == half
    for key in found.keys() | expected.keys():
        share = expected[key]  # the odds of a false alarm are 1e-6 or so for each
        assert abs(found[key] - share * half) <= 5.5 * np.sqrt(share * (1 - share) * half) + 1.5 * (share > 0), key
    invented = conditions[half:]
    shares = torch.tensor([(invented[:, column] == 0).double().mean() for column in range(2)])
    torch.testing.assert_close(shares, torch.full_like(shares, 0.375), atol=0.05, rtol=0)


def test_a_learner_may_look_less_far_back_than_its_teachers(taught: Path, teacher: Teacher) -> None:
    checkpoint = Checkpoint.load(taught)
    assert isinstance(checkpoint.record.recipe, MLPRecipe)
    recipe = msgspec.structs.replace(checkpoint.record.recipe, block_size=2)
    part = split(read_corpus(MOONS), "lecture").train
    members = read_members(sorted((taught / TEACHERS).glob("[123]-*")), checkpoint.record, part, torch.device("cpu"))
    short = Teacher(members, [0.25, 0.25, 0.5], recipe, part, checkpoint.record.max_length, torch.device("cpu"))
    assert short.block_size == max(member.inputs.block_size for member in members) == 5
    contexts, _, probabilities = short.lesson(3)
    full, _, same = teacher.lesson(3)
    assert torch.equal(contexts, full[:, -2:])
    assert torch.equal(probabilities, same)


def test_names_are_invented_as_often_as_the_mixture_says(teacher: Teacher) -> None:
    """Check the share of each first symbol; the odds of a false alarm are about 1e-6 for each."""
    contexts, _, probabilities = teacher._invent(0, np.random.default_rng(0))
    starts = int((contexts == 0).all(dim=1).sum())
    expected = probabilities[0].numpy()
    seconds = contexts[(contexts[:, :-1] == 0).all(dim=1) & (contexts[:, -1] > 0)][:, -1]
    counts = np.bincount(seconds.numpy(), minlength=len(expected))
    assert len(seconds) > 1000
    for symbol, share in enumerate(expected[1:], start=1):
        assert abs(counts[symbol] - share * starts) < 5 * np.sqrt(share * (1 - share) * starts) + 2


def test_the_learner_comes_near_its_teacher(taught: Path, teacher: Teacher) -> None:
    """On names not drawn before, its Kullback-Leibler divergence is lower than that of its best teacher."""
    contexts, _, probabilities = teacher._invent(10**6, np.random.default_rng(0))

    @torch.no_grad()
    def divergence(run: Path) -> float:
        checkpoint = Checkpoint.load(run)
        network = checkpoint.network().for_inference()
        logits = network(contexts[:, -checkpoint.record.recipe.block_size :])
        difference = probabilities.log() - logits.log_softmax(dim=1)
        return float((probabilities * difference).sum(dim=1).mean())

    others = [divergence(place) for place in (taught / TEACHERS).glob("[123]-*")]
    assert divergence(taught) < min(others)
    losses = [line["loss"] for line in history(taught)]
    assert 0 < min(losses) < max(losses) < 3.5


@pytest.mark.parametrize("place", ["2-network", "."])
def test_an_interrupted_run_goes_on_bit_for_bit(taught: Path, recipe: str, tmp_path: Path, place: str) -> None:
    """Kill the run while a teacher trains, and while the learner does."""
    folder = tmp_path / "disturbed"
    phase = {"2-network": "teacher 2 of 3: network", ".": "training"}[place]
    run = RUN.replace('recipe="mlp"', f"recipe={recipe!r}")
    with subprocess.Popen(
        [sys.executable, "-c", run, str(MOONS), str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            step, reached = line.rstrip().split(" ", 1)
            if reached == phase and int(step) >= 50:
                break
        process.send_signal(signal.SIGKILL)
    assert Checkpoint.load(folder / (place if place == "." else f"{TEACHERS}/{place}")).record.metrics is None
    train(MOONS, folder, resume=True)
    for path in sorted(taught.rglob("*")):
        again = folder / path.relative_to(taught)
        if path.name in {METRICS, HISTORY}:
            assert again.read_bytes() == path.read_bytes(), path
        elif path.name == CHECKPOINT:
            expected, found = Checkpoint.load(path.parent), Checkpoint.load(again.parent)
            assert found.record == expected.record
            assert found.tensors.keys() == expected.tensors.keys()
            assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.tensors.items()), path


def test_an_exported_learner_keeps_its_loss(taught: Path, tmp_path: Path) -> None:
    metrics = export(taught, tmp_path / "model").metrics
    assert metrics.dev is not None
    measured = evaluate_model(sequentia.load(tmp_path / "model"), MOONS).dev
    assert measured is not None
    assert measured.loss == pytest.approx(metrics.dev.loss, abs=0.001)


def test_teachers_that_cannot_be(tmp_path: Path, recipe: str) -> None:
    folder = tmp_path / "run"
    for teachers, message in (
        (["nobody"], "no recipe 'nobody'"),
        ([recipe], "has teachers itself"),
    ):
        with pytest.raises(RecipeError, match=message):
            train(MOONS, folder, recipe=recipe, overrides=[f"teachers={json.dumps(teachers)}", "teacher_weights=[]"])
    with pytest.raises(RecipeError, match=r"learner\.toml, line 8: 3 weights for 1 teachers"):
        read_recipe(recipe, ['teachers=["ngram"]'])
    with pytest.raises(RecipeError, match="teachers invent new names without end: batch_size must be"):
        read_recipe(recipe, ["batch_size=0"])
    with pytest.raises(RecipeError, match="Expected `float` > 0"):
        read_recipe(recipe, ["teacher_weights=[0, 1, 1]"])
    assert not folder.exists()


def test_epochs_limit_the_steps() -> None:
    recipe = read_recipe("mlp", ["steps=100", "warmup_steps=20", "epochs=3", "batch_size=10"])
    assert isinstance(recipe, MLPRecipe)
    short, long = recipe.fitted(101, 9), recipe.fitted(1000, 90)
    assert isinstance(short, MLPRecipe)
    assert (short.steps, short.warmup_steps) == (31, 6)
    assert short.fitted(101, 9) == short
    assert long == recipe
    recurrent = read_recipe("gru", ["steps=100", "epochs=3", "batch_size=10"]).fitted(101, 9)
    assert isinstance(recurrent, GRURecipe)
    assert recurrent.steps == 3, "its minibatches are of names"
    assert read_recipe("ngram").fitted(10, 2) == read_recipe("ngram")


def test_the_default_recipe_is_taught() -> None:
    recipe = read_recipe("names")
    assert isinstance(recipe, MLPRecipe)
    assert recipe.teacher_weights == "dev"
    assert len(recipe.teachers) > 1
    for teacher in recipe.teachers:
        name, *settings = teacher.split()
        assert recipe_path(name).is_file()
        assert read_recipe(name, settings).auto is None
