"""Two models on the same names: the paired bootstrap by hand, by its definition, and its properties."""

import random
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import sequentia
from sequentia import SequenceModel, VocabularyError
from sequentia.export import export
from sequentia.training import compare, evaluate_model, evaluation, train
from sequentia.training.evaluation import Comparison, Difference

from .conftest import MOONS

GROUPS = ("dev", "test", "dev_unseen", "test_unseen")


@dataclass(frozen=True)
class Simulated:
    """Simulated names: the gap of a name, and its noise, grow with the name's length."""

    gaps: NDArray[np.float64]
    windows: NDArray[np.int64]

    @classmethod
    def of(cls, names: int, seed: int) -> "Simulated":
        source = np.random.Generator(np.random.PCG64(seed))
        windows = source.integers(2, 12, names)
        return cls(windows * source.normal(0.02, 0.1, names), windows)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose dev and test parts hold names of the training part."""
    words = MOONS.read_text(encoding="utf-8").split()
    path = tmp_path_factory.mktemp("corpus") / "repeated.txt"
    path.write_text("\n".join(words + words[:40]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(repeated: Path) -> SequenceModel:
    """A model that was trained on that corpus."""
    folder = repeated.parent / "model"
    train(repeated, folder, recipe="bigram-counts")
    export(folder, folder)
    return sequentia.load(folder)


def test_a_case_by_hand() -> None:
    """Half of the resamples of two names hold each once; a quarter each hold the one or the other twice."""
    found = evaluation._difference(np.array([-1.0, 3.0]), np.array([1, 4]))
    assert (found.difference, found.low, found.high, found.names) == (2 / 5, -2 / 2, 6 / 8, 2)
    assert found.better == pytest.approx(3 / 4, abs=0.022)  # five standard deviations: 6e-7


def test_a_model_against_itself(model: SequenceModel, repeated: Path) -> None:
    found = compare(model, model, repeated)
    metrics = evaluate_model(model, repeated)
    for group in GROUPS:
        none = Difference(difference=0, low=0, high=0, better=0.5, names=getattr(metrics, group).names)
        assert getattr(found, group) == none


def test_differences_are_those_of_the_definition(model: SequenceModel, repeated: Path) -> None:
    """Resample the models' scores name by name; the other model has another alphabet and context."""
    other = sequentia.load("names")
    assert (other.vocabulary.size, other.config.block_size) != (model.vocabulary.size, model.config.block_size)
    found = compare(model, other, repeated)
    words = repeated.read_text(encoding="utf-8").split()
    random.Random(42).shuffle(words)
    first, second = int(0.8 * len(words)), int(0.9 * len(words))
    parts = {"dev": words[first:second], "test": words[second:]}
    for part in ("dev", "test"):
        parts[f"{part}_unseen"] = [word for word in parts[part] if word not in words[:first]]
    assert 0 < len(parts["dev_unseen"]) < len(parts["dev"])
    resampling = random.Random(5)
    for part, names in parts.items():
        gaps = dict(zip(names, model.score(names) - other.score(names), strict=True))
        draws = [names, *(resampling.choices(names, k=len(names)) for _ in range(2000))]
        difference, *resampled = (sum(gaps[n] for n in draw) / sum(len(n) + 1 for n in draw) for draw in draws)
        group = getattr(found, part)
        assert group.names == len(names)
        assert group.difference == pytest.approx(difference, rel=1e-9)
        # Two estimates of a quantile differ by 0.066 standard errors, of a share by 0.012: six times that, 2e-9.
        tolerance = 0.4 * np.std(resampled)
        assert group.low == pytest.approx(np.quantile(resampled, 0.025), abs=tolerance)
        assert group.high == pytest.approx(np.quantile(resampled, 0.975), abs=tolerance)
        assert group.better == pytest.approx(np.mean(np.array(resampled) > 0), abs=0.08)


def test_it_repeats_and_mirrors(model: SequenceModel, repeated: Path) -> None:
    """The other model's own list is another, so it has seen an unknown part of this one."""
    other = sequentia.load("names")
    found, mirrored = compare(model, other, repeated), compare(other, model, repeated, "lecture")
    assert found == compare(model, other, repeated)
    assert mirrored.parts.keys() == {"dev", "test"}
    assert compare(other, model, repeated).parts.keys() == {"names"}
    for group in ("dev", "test"):
        one, two = getattr(found, group), getattr(mirrored, group)
        assert (one.difference, one.names) == (-two.difference, two.names)
        assert (one.low, one.high) == pytest.approx((-two.high, -two.low), rel=1e-9)
        assert one.better + two.better == pytest.approx(1)


def test_the_split_is_the_first_models_or_as_asked(moons: SequenceModel, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    train(MOONS, folder, recipe="bigram-counts", overrides=["split=all"])
    export(folder, folder)
    other = sequentia.load(folder)
    assert compare(other, moons, MOONS) == Comparison(learnt=True)
    assert compare(moons, other, MOONS, "all") == Comparison()
    found = compare(moons, other, MOONS)
    assert found.learnt
    assert found == compare(moons, other, MOONS, "lecture")
    metrics = evaluate_model(moons, MOONS)
    theirs = evaluate_model(other, MOONS, "lecture")
    for group in ("dev", "test"):
        gap = getattr(theirs, group).loss - getattr(metrics, group).loss
        assert getattr(found, group).difference == pytest.approx(gap, rel=1e-9)


def test_a_corpus_that_one_of_them_does_not_know(moons: SequenceModel, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("ana\nwanda\n", encoding="utf-8")
    names = sequentia.load("names")
    for pair in ((moons, names), (names, moons)):
        with pytest.raises(VocabularyError, match="holds 'w', which model 'moons' does not know"):
            compare(*pair, path, "all")


def test_intervals_are_those_of_normal_theory() -> None:
    """With many names, an interval is 1.96 standard errors to each side, by the delta method for a ratio."""
    data = Simulated.of(2000, seed=1)
    found = evaluation._difference(data.gaps, data.windows)
    residuals = data.gaps - found.difference * data.windows
    error = np.sqrt((residuals**2).sum()) / data.windows.sum()
    # A quantile of 10,000 resamples is off by 0.027 standard errors: five times that, and the skew left.
    assert found.low == pytest.approx(found.difference - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.difference + 1.96 * error, abs=0.15 * error)


def test_intervals_cover_the_truth() -> None:
    """About 95 % of 300 intervals do, a little less for 40 names; fewer than 88 % do with odds of 1e-4."""
    found = [evaluation._difference(data.gaps, data.windows) for data in (Simulated.of(40, seed=i) for i in range(300))]
    assert 0.88 < np.mean([interval.low < 0.02 < interval.high for interval in found]) < 0.99


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(1, 20)), min_size=1, max_size=6))
def test_intervals_lie_within_the_differences_of_single_names(names: list[tuple[float, int]]) -> None:
    gaps, windows = np.array([gap for gap, _ in names]), np.array([window for _, window in names])
    found = evaluation._difference(gaps, windows)
    assert (gaps / windows).min() - 1e-9 <= found.low <= found.high <= (gaps / windows).max() + 1e-9
    assert 0 <= found.better <= 1


def test_memory_is_bounded_whatever_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """All resamples at once would take half a gigabyte. How many are drawn at once does not change the result."""
    data = Simulated.of(2000, seed=2)
    tracemalloc.start()
    found = evaluation._difference(data.gaps, data.windows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
    monkeypatch.setattr(evaluation, "_MOST_DRAWS", 1)
    assert evaluation._difference(data.gaps, data.windows) == found
