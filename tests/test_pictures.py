"""Pictures of runs: all are drawn, for any list, without a display."""

import json
import math
import sys
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.text import Text
from PIL import Image

from sequentia import TrainingError
from sequentia.columns import ColumnRequest
from sequentia.export import export
from sequentia.training import find_learning_rate, plot, read_corpus, read_recipe, split, train
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.counts import count_bigrams
from sequentia.training.descent import HISTORY
from sequentia.training.diagnostics import DIAGNOSTICS, _histogram, read_diagnostics
from sequentia.training.embedding_pictures import symbol_embedding, vocabulary_embedding
from sequentia.training.fonts import _PACKAGES, Fonts
from sequentia.training.learning_rates import LEARNING_RATES
from sequentia.training.pictures import _loss, _read_history
from sequentia.training.search_space import Choices, Range
from sequentia.training.trials import SWEEP, Sweep, Trial, write_trial

from .conftest import MOONS, SMALL, python
from .test_cli import fail

OF_A_NETWORK = {"loss.png", "updates.png", "activations.png", "gradients.png", "embedding.png", "next_symbols.png"}


def looks_drawn(path: Path) -> bool:
    """Return whether a picture has a legible size, is neither blank nor black, and is packed with a palette."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")) / 255
        return picture.mode == "P" and min(picture.size) >= 300 and bool(0.5 < pixels.mean() < 0.995)


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


def test_the_loss_has_the_dev_curve_and_what_it_is_compared_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    record = train(MOONS, run, recipe="mlp", overrides=[*SMALL, "steps=600", "learning_rate=0.3", "patience=1"]).record
    lines = _read_history(run / HISTORY)
    (axes,) = _loss(lines, record).axes
    shown = {str(line.get_label()): line for line in axes.lines}
    measured = [(line.step + 1, line.dev) for line in lines if line.dev is not None]
    np.testing.assert_array_equal(shown["dev"].get_xydata(), measured)
    assert record.metrics is not None
    levels = {np.asarray(line.get_ydata())[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert levels == set(record.metrics.baselines.values())
    assert {text.get_text() for text in axes.texts} == {"uniform guess", "counted n-grams"}
    assert record.best is not None
    assert f"best network: step {record.best.step:,}" in shown
    (axes,) = _loss(lines[:1], None).axes
    assert not axes.texts


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


# Every alphabet


HAN = "".join(chr(0x4E00 + i) for i in range(600))
SCRIPTS = "až жψ مع कि ก\u0e38 가あ🦊❤\ufe0f\u200d"


@pytest.fixture
def only_the_font_of_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no fonts and without the extra ``[fonts]``."""
    monkeypatch.setattr(fontManager, "ttflist", [font for font in fontManager.ttflist if font.name == "DejaVu Sans"])
    for package in _PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that were saved, by title."""
    saved: dict[str, Figure] = {}
    save = Figure.savefig

    def remember(figure: Figure, *arguments: Any, **options: Any) -> None:
        save(figure, *arguments, **options)
        saved[figure.get_suptitle() or figure.axes[0].get_title(loc="left")] = figure

    monkeypatch.setattr(Figure, "savefig", remember)
    return saved


def in_scripts(path: Path, symbols: Sequence[str]) -> Path:
    """Write a table of names in which each symbol is rarer than the one before, with values in several scripts."""
    rows = [
        f"{symbol}{symbols[(i * 7) % len(symbols)]},{SCRIPTS[:20]} $1 {i % 9} $" for i, symbol in enumerate(symbols)
    ]
    repeated = [row for i, row in enumerate(rows) for _ in range(1 + len(rows) // (i + 1))]
    path.write_text("\n".join(["имя,भाषा", *repeated]), encoding="utf-8")
    return path


def words(axes: Axes) -> list[Text]:
    """Return the labels inside the axes."""
    return [text for text in axes.texts if text.get_text()]


def overlaps(texts: list[Text]) -> list[tuple[str, str]]:
    """Return the pairs of texts of which one covers a part of the other, by more than half a pixel."""
    boxes = [text.get_window_extent().padded(-0.25) for text in texts]
    return [
        (texts[i].get_text(), texts[j].get_text())
        for i, j in combinations(range(len(texts)), 2)
        if boxes[i].overlaps(boxes[j])
    ]


def test_fonts_for_every_script() -> None:
    """The extra ``[fonts]`` draws what the system does not."""
    fonts = Fonts([SCRIPTS, HAN, "王", "मुंबई"])
    assert [fonts.symbol(symbol) for symbol in "ažжψعक가あ🦊王"] == list("ažжψعक가あ🦊王")
    assert [fonts.symbol(symbol) for symbol in "\u093f\u0e38"] == ["\u25cc\u093f", "\u25cc\u0e38"]
    assert [fonts.symbol(symbol) for symbol in " \u200d\ufe0f"] == ["␣", "U+200D", "U+FE0F"]
    assert fonts.text("मुंबई 가 ❤\ufe0f") == "मुंबई 가 ❤\ufe0f"
    assert fonts.text("a" * 30) == "a" * 23 + "…"


def test_symbols_that_no_font_has(only_the_font_of_matplotlib: None) -> None:
    fonts = Fonts([SCRIPTS, HAN, "$ \u0323\ue000\U00013000"])
    assert fonts.families == ["DejaVu Sans"]
    assert [fonts.symbol(symbol) for symbol in "ažжψع王🦊क"] == [*"ažжψع", "U+738B", "U+1F98A", "U+0915"]
    assert [fonts.symbol(symbol) for symbol in "\u0323\ue000\U00013000"] == ["\u25cc\u0323", "U+E000", "U+13000"]
    assert fonts.text("a 王 $ a$") == r"a U+738B \$ a\$"


def test_a_font_that_was_removed(only_the_font_of_matplotlib: None, tmp_path: Path) -> None:
    """Matplotlib's list of fonts may be older than the system's last change."""
    fontManager.ttflist.append(FontEntry(fname=str(tmp_path / "gone.ttf"), name="Noto Sans Gone", weight=400))
    assert Fonts([HAN]).families == ["DejaVu Sans"]


def test_ascii_asks_no_other_font() -> None:
    before = list(fontManager.ttflist)
    assert Fonts(["emma", "o'hara"]).families == ["DejaVu Sans"]
    assert fontManager.ttflist == before


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize(
    ("symbols", "recipe"),
    [(HAN[:60], "mlp"), (HAN, "bigram-counts"), (SCRIPTS.replace(" ", "") + "\U00013000", "mlp")],
    ids=["60", "600", "scripts"],
)
def test_lists_in_other_scripts(
    tmp_path: Path, figures: dict[str, Figure], request: pytest.FixtureRequest, symbols: str, recipe: str, extra: bool
) -> None:
    """A warning about a missing glyph fails this test."""
    if not extra:
        request.getfixturevalue("only_the_font_of_matplotlib")
    network = recipe == "mlp"
    columns = ColumnRequest(item="имя", conditions=("भाषा",) if network else ())
    table = in_scripts(tmp_path / "table.csv", symbols)
    train(table, tmp_path / "run", recipe=recipe, overrides=["steps=3"] if network else [], columns=columns)
    paths = plot(tmp_path / "run")
    expected = OF_A_NETWORK | {"conditions.png"} if network else {"next_symbols.png"}
    assert {path.name for path in paths} == expected
    assert all(map(looks_drawn, paths))

    (title,) = (title for title in figures if title.startswith("Probability"))
    table_axes = figures[title].axes[0]
    across, down = table_axes.get_xticklabels(), table_axes.get_yticklabels()
    assert overlaps(across) == overlaps(down) == []
    if len(symbols) > 40:
        assert title == f"Probability of the next symbol (the 40 most frequent of {len(symbols)})"
        assert len(across) == len(down) == 41
        assert [label.get_text() for label in across[1:11]] == [
            symbol if extra else f"U+{ord(symbol):04X}" for symbol in symbols[:10]
        ]
    for name, figure in figures.items():
        if name.startswith("Embedding"):
            for axes in figure.axes:
                assert overlaps(words(axes)) == []


@pytest.mark.parametrize("crowd", [0.02, 0.3])
def test_labels_of_a_crowd(crowd: float) -> None:
    """The more frequent symbols are labelled if not all have room; no label leaves the axes or covers a point."""
    generator = np.random.default_rng(0)
    points = generator.normal(size=(121, 2))
    points[21:] *= crowd
    counts = np.arange(121)
    symbols = [chr(0x3B1 + i) for i in range(120)]
    with mpl.rc_context({"font.family": "DejaVu Sans", "axes.titlelocation": "left"}):
        figure = symbol_embedding(points.astype(np.float32), symbols, counts, Fonts(symbols))
        figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = words(axes)
    assert overlaps(texts) == []
    written = [text.get_text() for text in texts]
    assert len(written) < 121
    assert written[:2] == ["end", symbols[-1]]
    assert axes.get_title(loc="left").endswith(f"({len(written) - 1} of 120 have room for a label)")
    places = axes.transData.transform(points)
    for text in texts:
        box = text.get_window_extent()
        assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1
        covered = [i for i, (x, y) in enumerate(places) if box.contains(x, y)]
        assert covered in ([], [([*symbols].index(text.get_text()) + 1) if text.get_text() != "end" else 0])


def test_words_that_are_alike_lie_together(tmp_path: Path) -> None:
    """The most frequent words are drawn, in groups as their embeddings are, with labels that cover no other."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"w{i} w{i // 2} w{i // 3}" for i in range(300)), encoding="utf-8")
    train(path, tmp_path / "run", recipe="words", overrides=["steps=2", "rare=0"])
    record = Checkpoint.load(tmp_path / "run").record
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, 4, 301)
    vectors = generator.normal(size=(301, 16)) + 8 * generator.normal(size=(4, 16))[kinds]
    with mpl.rc_context({"font.family": "DejaVu Sans", "axes.titlelocation": "left"}):
        fonts = Fonts(record.vocabulary)
        counts = np.arange(len(record.vocabulary) + 1)
        embedding = np.resize(vectors, (len(counts), 16)).astype(np.float32)
        figure = vocabulary_embedding(embedding, record, counts, fonts)
        figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_title(loc="left").startswith("Embedding of the 200 most frequent words")
    assert overlaps(words(axes)) == []
    points = np.concatenate([np.asarray(each.get_offsets()) for each in axes.collections[1:]])
    assert len(points) == 201
    order = [0, *range(200, 0, -1)]
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    assert (kinds[order] == kinds[order][nearest]).mean() > 0.95


def test_rates_that_drop_soon_after_each_other(tmp_path: Path, figures: dict[str, Figure]) -> None:
    rates = [10.0 ** -(step // 30) for step in range(120)]
    lines = [f'{{"step":{step},"loss":2.5,"learning_rate":{rate}}}' for step, rate in enumerate(rates)]
    lines += [f'{{"step":{120 + i},"loss":2.5,"learning_rate":{10.0 ** -(4 + i)}}}' for i in range(3)]
    (tmp_path / HISTORY).write_text("\n".join(lines), encoding="utf-8")
    plot(tmp_path)
    (axes,) = figures["Loss in training"].axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text().strip() for text in axes.texts] == ["rate 0.1", "rate 0.01", "rate 0.001"]
    assert overlaps([*axes.texts, *legend.get_texts()]) == []
    assert all(text.get_window_extent().x1 <= axes.figure.bbox.x1 for text in axes.texts)


def test_ticks_of_a_sweep(tmp_path: Path, figures: dict[str, Figure]) -> None:
    space: dict[str, Range | Choices] = {
        "learning_rate": Range(1e-5, 1.0, log=True),
        "weight_decay": Range(0.00012, 0.0005, log=True),
        "average_decay": Range(0.002, 0.35, log=True),
        "smoothing": Range(0.00001, 0.00009),
        "steps": Range(100_000, 190_000),
        "hidden_sizes": Choices([[64], [128, 128], [128, 128, 128, 128], [8, 8, 8, 8, 8, 8]]),
        "batch_size": Choices([1000 + i for i in range(40)]),
        "activation": Choices(["tanh", "relu"]),
    }
    sweep = Sweep(
        corpus=read_corpus(MOONS).record,
        windows=914,
        names=117,
        recipe="mlp",
        overrides=[],
        settings=read_recipe("mlp"),
        space=space,
        seed=0,
        trials=2,
    )
    (tmp_path / SWEEP).write_bytes(msgspec.json.encode(sweep))
    for number in range(2):
        values = {
            key: each.choices[-number] if isinstance(each, Choices) else (each.low, each.high)[number]
            for key, each in space.items()
        }
        write_trial(
            tmp_path, Trial(number=number, values=values, steps=9, losses=[(9, 2.0 + number)], state="finished")
        )
    plot(tmp_path)
    (figure,) = figures.values()
    assert [axes.get_xlabel() for axes in figure.axes] == list(space)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        labels = [
            label
            for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low <= place <= high
        ]
        assert len(labels) >= 2
        if {label.get_rotation() for label in labels} == {0.0}:
            assert overlaps(labels) == []
        else:  # slanted lines are as far apart as their ends, seen at an angle
            ends = [axes.transData.transform((place, 0))[0] for place in axes.get_xticks()]
            height = 11 * 100 / 72  # of the letters, in pixels
            assert all((b - a) * math.sin(math.radians(45)) > height for a, b in pairwise(ends))
    assert overlaps([axes.xaxis.label for axes in figure.axes]) == []


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
    assert [line["step"] for line in lines if "dev" not in line or line["step"] % 2 == 0] == list(range(0, 1200, 2))
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
