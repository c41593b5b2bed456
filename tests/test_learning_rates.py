from itertools import pairwise
from pathlib import Path

import pytest

from sequentia import OptionError, RecipeError, TrainingError
from sequentia.training import find_learning_rate, plot
from sequentia.training.learning_rates import _smoothed, read_search

from .conftest import MOONS
from .test_cli import run_here


def test_the_rates_and_the_rule(tmp_path: Path) -> None:
    search = find_learning_rate(MOONS, tmp_path / "search", recipe="mlp-2d", overrides=["split=all"], steps=200)
    assert read_search(tmp_path / "search") == search
    assert [search.rates[0], search.rates[-1]] == pytest.approx([1e-3, 1])
    assert len(search.rates) == len(search.losses) == 200
    ratios = [after / before for before, after in pairwise(search.rates)]
    assert ratios == pytest.approx([ratios[0]] * 199)
    for i in (0, 50, 199):  # ten losses each, fewer at the ends
        window = search.losses[max(0, i - 5) : i + 5]
        assert search.smoothed[i] == pytest.approx(sum(window) / len(window))
    assert search.suggested == search.rates[search.smoothed.index(min(search.smoothed))]
    assert 0.01 < search.suggested < 1


def test_the_first_loss_is_that_of_training(tmp_path: Path) -> None:
    from sequentia.training import train

    from .test_training import history

    search = find_learning_rate(MOONS, tmp_path / "search", recipe="mlp-init", steps=40)
    train(MOONS, tmp_path / "run", recipe="mlp-init", overrides=["steps=1"])
    assert search.losses[0] == pytest.approx(history(tmp_path / "run")[0]["loss"], rel=1e-6)


def test_losses_that_run_away_end_it(tmp_path: Path) -> None:
    overrides = ["activation=relu", "hidden_sizes=[300, 300, 300]", "initialization=normal"]
    search = find_learning_rate(MOONS, tmp_path / "search", recipe="mlp", overrides=overrides, steps=100)
    assert len(search.rates) == len(search.losses) == len(search.smoothed) < 100
    assert max(search.losses) <= 10 * search.losses[0]
    assert len(find_learning_rate(MOONS, tmp_path / "again", recipe="mlp", overrides=overrides, steps=100).losses) < 100
    assert plot(tmp_path / "search")


def test_a_search_shorter_than_its_neighbourhood() -> None:
    assert _smoothed([3.0, 2.0, 4.0], 50) == pytest.approx([2.5, 3.0, 3.0])
    assert _smoothed([3.0], 50) == [3.0]
    assert _smoothed([3.0, 2.0, 4.0], 1) == [3.0, 2.0, 4.0]


def test_recipes_without_a_rate(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="steps"):
        find_learning_rate(MOONS, tmp_path / "search", recipe="mlp-2d", steps=39)
    with pytest.raises(RecipeError, match="recipe ngram has no learning rate"):
        find_learning_rate(MOONS, tmp_path / "search", recipe="ngram")
    with pytest.raises(RecipeError, match="no recipe 'mpl'"):
        find_learning_rate(MOONS, tmp_path / "search", recipe="mpl")
    assert not (tmp_path / "search").exists()
    with pytest.raises(TrainingError, match="is not empty: it holds no search to replace; choose another folder"):
        find_learning_rate(MOONS, MOONS.parent, recipe="mlp-2d", steps=40)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="file is a file; choose a folder"):
        find_learning_rate(MOONS, tmp_path / "file", recipe="mlp-2d", steps=40)


def test_on_the_command_line(tmp_path: Path) -> None:
    result = run_here("find-lr", MOONS, "-r", "mlp-2d", "--steps", 60, "-o", tmp_path / "search")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(read_search(tmp_path / "search").suggested, rel=1e-2)
    assert "averaged over a twentieth of the 60 rates, is lowest: " in result.stderr
    assert (tmp_path / "search" / "pictures" / "learning_rate.png").is_file()
    assert "end of the range" not in result.stderr
    result = run_here("find-lr", MOONS, "-r", "bigram", "--steps", 40, "-o", tmp_path / "search")
    assert float(result.stdout) == 1
    assert "This rate is at the end of the range: the best rate may lie beyond it." in result.stderr
