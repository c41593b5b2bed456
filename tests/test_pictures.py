"""Pictures of runs: all are drawn, for any list, without a display."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from sequentia import TrainingError
from sequentia.export import export
from sequentia.training import find_learning_rate, plot, read_corpus, split, train
from sequentia.training.counts import count_bigrams
from sequentia.training.descent import HISTORY
from sequentia.training.diagnostics import DIAGNOSTICS, _histogram, read_diagnostics
from sequentia.training.embedding_pictures import printable
from sequentia.training.learning_rates import LEARNING_RATES

from .conftest import MOONS, SMALL, python
from .test_cli import fail

OF_A_NETWORK = {"loss.png", "updates.png", "activations.png", "gradients.png", "embedding.png", "next_symbols.png"}


def looks_drawn(path: Path) -> bool:
    """Return whether a picture has a legible size and is neither blank nor black."""
    pixels = imread(path)
    height, width, _ = pixels.shape
    return min(height, width) >= 300 and bool(0.5 < pixels[..., :3].mean() < 0.995)


def test_all_of_a_network(run: Path) -> None:
    paths = plot(run)
    assert {path.name for path in paths} == OF_A_NETWORK
    assert all(path.parent == run / "pictures" and looks_drawn(path) for path in paths)
    before = {path: path.read_bytes() for path in paths}
    assert plot(run) == paths
    assert {path: path.read_bytes() for path in paths} == before


@pytest.mark.parametrize(
    ("recipe", "overrides", "expected"),
    [
        ("bigram-counts", [], {"next_symbols.png"}),
        ("ngram", ["order=3"], {"next_symbols.png"}),
        ("bigram", ["steps=3"], {"loss.png", "updates.png", "next_symbols.png"}),
        ("mlp-2d", ["steps=1"], OF_A_NETWORK),
        ("deep-batchnorm", ["steps=12", "log_every=5", "activation=relu"], OF_A_NETWORK),
        ("mlp", ["steps=5", "embedding_dim=1", "learning_rate_drops=[2]"], OF_A_NETWORK),
    ],
)
def test_what_each_recipe_has_to_show(tmp_path: Path, recipe: str, overrides: list[str], expected: set[str]) -> None:
    train(MOONS, tmp_path / "run", recipe=recipe, overrides=overrides)
    paths = plot(tmp_path / "run")
    assert {path.name for path in paths} == expected
    assert all(map(looks_drawn, paths))


def test_symbols_that_no_font_has(tmp_path: Path) -> None:
    """A warning about a missing glyph fails this test. The symbols are too many for the picture to show all."""
    corpus = tmp_path / "corpus.txt"
    names = [f"{chr(0x4E00 + i)} {chr(0x3B1 + i % 24)}\u0323{chr(0x1F600 + i % 40)}" for i in range(120)]
    corpus.write_text("\n".join(names), encoding="utf-8")
    train(corpus, tmp_path / "run", recipe="mlp-2d", overrides=["steps=3"])
    paths = plot(tmp_path / "run")
    assert {path.name for path in paths} == OF_A_NETWORK
    assert all(map(looks_drawn, paths))
    assert [printable(symbol) for symbol in ("a", "ž", " ", "王", "\u0323", "-")] == [
        *("a", "ž", "␣", "U+738B", "U+0323", "-"),
    ]


def test_the_search(tmp_path: Path) -> None:
    find_learning_rate(MOONS, tmp_path / "search", recipe="mlp-2d", steps=40)
    (path,) = plot(tmp_path / "search")
    assert path.name == "learning_rate.png"
    assert looks_drawn(path)


def test_folders_with_nothing_to_draw(tmp_path: Path, run: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to draw here; give the folder of a training run, of find-lr or"):
        plot(tmp_path)
    for name in (HISTORY, DIAGNOSTICS, LEARNING_RATES):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(b'{"step": \xff')
        with pytest.raises(TrainingError, match=f"{name} is damaged"):
            plot(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (DIAGNOSTICS, '[{"step":0,"layers":[]}]'),
        (LEARNING_RATES, '{"corpus":"","recipe":"","overrides":[],"rates":[],"losses":[],"smoothed":[],"suggested":1}'),
        (
            LEARNING_RATES,
            '{"corpus":"","recipe":"","overrides":[],"rates":[1],"losses":[],"smoothed":[],"suggested":1}',
        ),
        (HISTORY, '{"step":0,"loss":-1,"learning_rate":1}'),
    ],
)
def test_numbers_that_cannot_be(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=f"{name} is damaged"):
        plot(tmp_path)


def test_a_loss_of_zero(tmp_path: Path) -> None:
    lines = [f'{{"step":{step},"loss":{loss},"learning_rate":1}}' for step, loss in enumerate((2, 0.5, 0, 0))]
    (tmp_path / HISTORY).write_text("\n".join(lines), encoding="utf-8")
    assert [path.name for path in plot(tmp_path)] == ["loss.png"]


def test_on_the_command_line(run: Path, tmp_path: Path) -> None:
    result = python("-m", "sequentia", "plot", str(run), DISPLAY="", MPLBACKEND="TkAgg")
    assert result.returncode == 0, result.stderr
    assert {Path(line).name for line in result.stdout.splitlines()} == OF_A_NETWORK
    assert all(Path(line).is_file() for line in result.stdout.splitlines())
    assert "does not exist" in fail("plot", tmp_path / "nowhere", code=2)
    assert "nothing to draw" in fail("plot", tmp_path)


def test_the_card_shows_them(run: Path, tmp_path: Path) -> None:
    assert "pictures/" not in (run / "README.md").read_text(encoding="utf-8")
    plot(run)
    for folder in (run, tmp_path / "elsewhere"):
        export(run, folder)
        card = (folder / "README.md").read_text(encoding="utf-8")
        shown = {name for name in OF_A_NETWORK if f"](pictures/{name})" in card}
        assert shown == {"loss.png", "embedding.png", "next_symbols.png"}
        assert all((folder / "pictures" / name).is_file() for name in shown)


# The numbers behind them


def test_diagnostics(tmp_path: Path) -> None:
    train(MOONS, tmp_path / "run", recipe="mlp", overrides=["steps=30"])
    before, after = read_diagnostics(tmp_path / "run")
    assert (before.step, after.step) == (0, 30)
    (layer,) = before.layers
    windows = split(read_corpus(MOONS), "lecture").train.windows  # fewer than 1,024, so all of them
    assert layer.saturated is not None
    assert layer.saturated > 0.5  # unscaled weights
    assert sum(layer.activations.counts) == sum(layer.gradients.counts) == 200 * windows
    assert -1 <= layer.activations.low < layer.activations.high <= 1
    assert after.layers != before.layers
    train(MOONS, tmp_path / "scaled", recipe="mlp-init", overrides=["steps=1", "activation=relu"])
    assert read_diagnostics(tmp_path / "scaled")[0].layers[0].saturated is None


def test_update_ratios(tmp_path: Path) -> None:
    """Plain descent on a table: log10 of std(rate * gradient) / std(weights)."""
    train(MOONS, tmp_path / "run", recipe="bigram", overrides=["steps=1200", "learning_rate=20", "log_every=2"])
    lines = [json.loads(line) for line in (tmp_path / "run" / HISTORY).read_bytes().splitlines()]
    assert [line["step"] for line in lines] == list(range(0, 1200, 2))
    ratios = {line["step"]: line["update_ratios"]["weight"] for line in lines if "update_ratios" in line}
    assert list(ratios) == list(range(0, 1200, 4))

    corpus = read_corpus(MOONS)
    ids = corpus.vocabulary.size
    counts = torch.from_numpy(count_bigrams(split(corpus, "lecture").train, ids)).float()
    w = torch.randn((ids, ids), generator=torch.Generator().manual_seed(2147483647)).requires_grad_()
    for step in range(5):
        loss = -(counts * w.log_softmax(dim=1)).sum() / counts.sum() + 0.01 * (w**2).mean()
        (gradient,) = torch.autograd.grad(loss, [w])
        if step in ratios:
            assert ratios[step] == pytest.approx(((20 * gradient).std() / w.std()).log10().item(), abs=1e-3)
        w.data -= 20 * gradient

    train(MOONS, tmp_path / "still", recipe="mlp", overrides=[*SMALL, "learning_rate=1e-30"])
    first = msgspec.json.decode((tmp_path / "still" / HISTORY).read_bytes().splitlines()[0])
    assert set(first["update_ratios"].values()) == {None}


@pytest.mark.parametrize(
    "values", [[1.0, 0.99999999], [0.0, 1e-44], [3.0], [-1e30, 1e30], [np.float32(1), np.nextafter(np.float32(1), 0)]]
)
def test_values_too_close_for_bins(values: list[float]) -> None:
    histogram = _histogram(np.array(values, dtype=np.float64))
    assert sum(histogram.counts) == len(values)
    assert histogram.low < histogram.high


def test_layers_that_are_saturated_through_and_through(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("aa\nab\n", encoding="utf-8")
    overrides = ["split=all", "steps=2", "embedding_dim=2000", "hidden_sizes=[2, 2]"]
    train(corpus, tmp_path / "run", recipe="mlp", overrides=overrides)
    first = read_diagnostics(tmp_path / "run")[0].layers[0]
    assert first.saturated == first.dead == 1
    paths = plot(tmp_path / "run")
    assert "activations.png" in {path.name for path in paths}
    assert all(map(looks_drawn, paths))
