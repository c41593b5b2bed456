"""The recipe that looks at the list, the weights of a mixture, and the training on the whole list in the end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sequentia
from sequentia import RecipeError
from sequentia.arithmetic import Inputs
from sequentia.export import export
from sequentia.training import auto, evaluate_model, read_corpus, read_recipe, split, train
from sequentia.training.auto import plan
from sequentia.training.checkpoint import MEASURED, Checkpoint
from sequentia.training.counts import count_ngrams
from sequentia.training.final import _joined
from sequentia.training.kinds.backoff import BackOffTables
from sequentia.training.members import RunMember, read_members
from sequentia.training.mixture import Mixture, fitted
from sequentia.training.parts import Part
from sequentia.training.preparing import prepare
from sequentia.training.progress import Progress
from sequentia.training.runs import METRICS, TEACHERS

from . import labelled
from .conftest import MOONS
from .test_cli import fail, run_here

QUICK = ["minutes=0.05"]


def planned(path: Path, *overrides: str) -> tuple[Any, list[str]]:
    """Return the plan for a list."""
    recipe, data, parts, _ = prepare(path, read_recipe("auto", overrides))
    return plan(recipe, parts.train, data.vocabulary.symbols, data.values)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "auto"
    train(MOONS, folder, overrides=QUICK)
    return folder


@pytest.fixture
def cyrillic(tmp_path: Path) -> Path:
    """The moons in letters that the prior does not know."""
    path = tmp_path / "cyrillic.txt"
    path.write_text(
        "".join(chr(ord(c) + 0x3D0) if c.isalpha() else c for c in MOONS.read_text(encoding="utf-8")), "utf-8"
    )
    return path


def test_long_contexts_are_counted_without_the_rare_ones_if_tables_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = [each for each in planned(MOONS)[0].teachers if each.startswith("ngram")]
    assert orders == [f"ngram order={order}" for order in (2, 3, 4, 5, 6, 8)]
    most = 1 << 12
    monkeypatch.setattr(auto, "_MOST_ENTRIES", most)
    teachers = planned(MOONS)[0].teachers
    assert "memory" not in teachers
    *few, rare = (each for each in teachers if each.startswith("ngram"))
    assert few == ["ngram order=2"]
    assert rare.startswith("ngram order=6 least_count=")
    part, ids = split(read_corpus(MOONS), "lecture").train, read_corpus(MOONS).vocabulary.size
    least = int(rare.partition("least_count=")[2])
    sizes = [
        BackOffTables.of(*count_ngrams(part, 6), [0.5], ids, least_count=each).log_probabilities.size
        for each in (least, least - 1)
    ]
    assert sizes[0] <= most < sizes[1]


def test_the_plan_starts_from_the_prior_where_it_knows_the_letters(cyrillic: Path) -> None:
    recipe, lines = planned(MOONS)
    assert (recipe.start, recipe.final, recipe.teacher_weights) == ("prior", "all", "dev")
    assert "model:prior" in recipe.teachers
    assert "knows 100%" in lines[1]
    for other, overrides in ((MOONS, ["prior=''"]), (cyrillic, [])):
        recipe, lines = planned(other, *overrides)
        assert recipe.start == ""
        assert not any("prior" in each for each in recipe.teachers)
        assert any(each.startswith("gru ") for each in recipe.teachers)
    assert "knows 0%" in lines[1]
    assert "not used" in lines[1]


def test_the_plan_depends_on_the_list_and_the_minutes() -> None:
    assert planned(MOONS) == planned(MOONS)
    short, long = (planned(MOONS, f"minutes={minutes}")[0].steps for minutes in (0.5, 4))
    assert long == 8 * short
    assert planned(MOONS, "seed=7", "novelty=false", "final=measured")[0].seed == 7
    assert planned(MOONS, "final=measured")[0].final == "measured"


def test_capitals_alone_are_the_letters_of_lower_case(tmp_path: Path) -> None:
    path = tmp_path / "capitals.txt"
    path.write_text(MOONS.read_text(encoding="utf-8").upper(), encoding="utf-8")
    losses = []
    for place, name in ((MOONS, "lower"), (path, "upper")):
        train(place, tmp_path / name, recipe="tune", overrides=["start=prior", "steps=1", "novelty=false"])
        metrics = Checkpoint.load(tmp_path / name).record.metrics
        assert metrics is not None
        assert metrics.dev is not None
        losses.append(metrics.dev.loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_conditions_have_fewer_counts(tmp_path: Path) -> None:
    path, columns = labelled.write(tmp_path / "labelled.csv", labelled.rows()), labelled.columns()
    chosen, data, parts, _ = prepare(path, read_recipe("auto"), columns)
    recipe, _ = plan(chosen, parts.train, data.vocabulary.symbols, data.values)
    assert sum(each.startswith("ngram") for each in recipe.teachers) == 2
    train(path, tmp_path / "run", overrides=QUICK, columns=columns)
    config = export(tmp_path / "run", tmp_path / "model")
    assert config.conditions == data.values
    assert sequentia.load(tmp_path / "model").generate(
        3, seed=1, where={name: those[0] for name, those in data.values.items()}
    )


def test_it_is_measured_and_then_learns_from_the_whole_list(run: Path) -> None:
    record, measured = Checkpoint.load(run).record, Checkpoint.load(run / MEASURED).record
    assert record.metrics == measured.metrics
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert set(record.metrics.baselines) == {"uniform", "ngram", "prior"}
    assert record.metrics.dev.loss < min(record.metrics.baselines.values())
    stored = json.loads((run / METRICS).read_text(encoding="utf-8"))
    assert stored["dev"]["loss"] == record.metrics.dev.loss

    export(run, run.parent / "model")
    model = sequentia.load(run.parent / "model")
    assert model.config.training.split == "all"
    found = evaluate_model(model, MOONS)
    assert (found.dev, found.test) == (None, None)
    assert found.train is not None
    parts = split(read_corpus(MOONS), "lecture")
    of_dev = evaluate_model(model, MOONS, "lecture").dev
    assert of_dev is not None
    assert of_dev.loss < record.metrics.dev.loss - 0.05, "it has learnt them now"
    assert model.config.samples.in_train + model.config.samples.new == pytest.approx(1)
    assert _joined(parts).names == model.config.training.corpus.names


def test_two_runs_are_the_same(run: Path, tmp_path: Path) -> None:
    again = train(MOONS, tmp_path / "again", overrides=QUICK)
    first = Checkpoint.load(run)
    assert first.tensors.keys() == again.tensors.keys()
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in first.tensors.items())


@pytest.mark.parametrize("phase", ["teacher 2", "training", "on the whole list"])
def test_an_interrupted_run_goes_on(run: Path, tmp_path: Path, phase: str) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.phase.startswith(phase):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(MOONS, tmp_path / "run", overrides=QUICK, report=interrupt)
    assert Checkpoint.load(tmp_path / "run").record.metrics is None
    resumed = train(MOONS, tmp_path / "run", resume=True)
    first = Checkpoint.load(run)
    assert all(torch.equal(tensor, resumed.tensors[name]) for name, tensor in first.tensors.items())
    assert resumed.record.metrics == first.record.metrics


def test_the_best_teacher_is_the_result_if_the_learner_is_worse(tmp_path: Path) -> None:
    settings = [
        "teachers=['ngram order=3', 'ngram order=2']",
        "teacher_weights=dev",
        "steps=1",
        "batch_size=32",
        "epochs=0",
    ]
    result = train(MOONS, tmp_path / "run", recipe="names", overrides=[*settings, "final=all", "hidden_sizes=[8]"])
    assert result.record.recipe.__class__.__name__ == "NGramRecipe"
    assert result.record.recipe_name == "names"
    whole = train(MOONS, tmp_path / "ngram", recipe="ngram", overrides=["order=3", "split=all"])
    best = Checkpoint.load(tmp_path / "run" / MEASURED).record
    assert best.metrics is not None
    order = best.recipe.order  # type: ignore[union-attr]
    if order == 3:
        assert {tuple(row) for row in result.tensors["network.ngrams"].tolist()} == {
            tuple(row) for row in whole.tensors["network.ngrams"].tolist()
        }
    assert not (tmp_path / "run" / MEASURED / "history.jsonl").exists(), "it took no steps"
    export(tmp_path / "run", tmp_path / "model")


class _Fixed:
    """A member that gives each symbol the same probability everywhere."""

    def __init__(self, probabilities: list[float]) -> None:
        self.inputs, self._row = Inputs(1, len(probabilities), ()), torch.tensor(probabilities)

    def probabilities(self, contexts: torch.Tensor, _conditions: torch.Tensor) -> torch.Tensor:
        return self._row.expand(len(contexts), -1)


def test_the_weights_are_those_of_the_lowest_loss() -> None:
    """Of two fixed distributions, the mixture that gives the observed frequencies is the best one."""
    part = Part.of(np.array([1, 0] * 300 + [2, 0] * 100, dtype=np.uint8))
    members = [_Fixed([0.5, 0.5, 1e-9]), _Fixed([0.5, 1e-9, 0.5])]
    mixture = fitted(members, part, torch.device("cpu"))
    assert mixture.weights == pytest.approx([0.75, 0.25], abs=0.005)
    assert fitted(members, part.first(0), torch.device("cpu")) == Mixture([0.5, 0.5])


def test_weights_count(tmp_path: Path) -> None:
    tokens = np.array([1, 0, 2, 0], dtype=np.uint8)
    part = Part(tokens, np.zeros((2, 0), np.uint8), np.array([900, 100], dtype=np.uint16))
    mixture = fitted([_Fixed([0.5, 0.5, 1e-9]), _Fixed([0.5, 1e-9, 0.5])], part, torch.device("cpu"))
    assert mixture.weights[0] > 0.6
    mixture.save(tmp_path)
    assert Mixture.load(tmp_path) == mixture


def test_teachers_have_settings(tmp_path: Path) -> None:
    overrides = ["teachers=['ngram order=2', 'ngram order=4']", "teacher_weights=[1, 2]", "steps=20", "epochs=0"]
    train(MOONS, tmp_path / "run", recipe="names", overrides=[*overrides, "hidden_sizes=[8]", "batch_size=32"])
    places = sorted((tmp_path / "run" / TEACHERS).glob("*-ngram"))
    records = [Checkpoint.load(place).record for place in places]
    assert [record.recipe.block_size for record in records] == [1, 3]
    assert [record.overrides for record in records] == [["order=2"], ["order=4"]]
    record = Checkpoint.load(tmp_path / "run").record
    members = read_members(places, record, split(read_corpus(MOONS), "lecture").train, torch.device("cpu"))
    assert all(isinstance(member, RunMember) for member in members)
    assert Mixture.load(tmp_path / "run" / TEACHERS).weights == pytest.approx([1 / 3, 2 / 3])
    for teachers, message in (
        ("['ngram ordr=2']", "ordr"),
        ("['ngram \"']", "No closing quotation"),
        ("['auto']", "auto"),
    ):
        with pytest.raises(RecipeError, match=message):
            train(MOONS, tmp_path / "wrong", recipe="names", overrides=[f"teachers={teachers}", "teacher_weights=[]"])


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run_here("train", MOONS, "-o", out, "--minutes", "0.05", "--no-prior")
    assert "The list: 120 items in the training part" in result.stderr
    assert "The plan: 9 members (counts of 2, 3, 4, 5, 6, 8 symbols;" in result.stderr
    assert "generated names" in result.stdout
    config = sequentia.load(out).config
    assert "models" not in config.training.settings
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "learnt from the training part alone" in card
    assert "sequentia train moons.txt --recipe auto --set minutes=0.05 --set prior=" in card
    assert (out / "pictures" / "loss.png").is_file() or config.architecture.summarize().startswith("an n-gram")
    assert "--minutes" in fail("train", MOONS, "-o", tmp_path / "x", "--minutes", "0", code=2)
    for other in (["--recipe", "fast"], ["--from", "names"]):
        for option in (["--minutes", "1"], ["--no-prior"]):
            assert "are for the recipe auto" in fail("train", MOONS, "-o", tmp_path / "x", *other, *option, code=2)
    resumed = run_here("train", MOONS, "-o", out, "--minutes", "0.05", "--no-prior", "--resume")
    assert resumed.returncode == 0
    assert "planned by the recipe auto with --set minutes=0.05 --set prior=" in fail(
        "train", MOONS, "-o", out, "--minutes", "1", "--resume"
    )
    shown = run_here("evaluate", out, MOONS)
    assert "for comparison" not in shown.stdout
    assert "has learnt from this whole list" in shown.stderr
