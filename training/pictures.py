"""Draw pictures of a run from the files in its folder; no display is needed."""

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import matplotlib as mpl
import msgspec
import numpy as np
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from msgspec import Meta
from numpy.typing import NDArray
from PIL import Image

from sequentia._files import write_file
from sequentia._json import decode_json
from sequentia.artifact import PICTURES
from sequentia.errors import TrainingError
from sequentia.sampling import log_softmax
from sequentia.vocabulary import BOUNDARY

from .checkpoint import CHECKPOINT, MEASURED, Checkpoint, RunRecord
from .descent import HISTORY
from .diagnostics import SATURATED, Histogram, Snapshot, read_diagnostics
from .embedding_pictures import INK, MARK, PALE, value_embeddings, vocabulary_embedding
from .fonts import Fonts
from .kinds import Network, predictor
from .learning_rates import LEARNING_RATES, Search, read_search
from .sweep_picture import losses_of_trials
from .trials import SWEEP, read_sweep, read_trials

_STYLE: Final = {
    "font.size": 11,
    "figure.dpi": 100,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "axes.prop_cycle": cycler(color=["#2a6fb0", "#d1622b", "#3b8f4d", "#8a5ab0", "#a8324a", "#6b6b6b", "#b8962e"]),
}
_CURVE_POINTS: Final = 200
_DOTS: Final = 4000
_LEAST_LOSS: Final = 1e-6  # the lowest value on a log scale
_BASELINES: Final = {"uniform": "uniform guess", "ngram": "counted n-grams"}
_MOST_SYMBOLS: Final = 40


class _Line(msgspec.Struct, frozen=True):
    """The fields of a line of ``history.jsonl`` that are drawn."""

    step: int
    loss: Annotated[float, Meta(ge=0)]
    learning_rate: float
    update_ratios: dict[str, float | None] = {}
    dev: float | None = None


def plot(folder: Path) -> list[Path]:
    """Draw every picture that a folder has data for, into its subfolder ``pictures``.

    For a training run: ``loss.png`` and ``updates.png`` from the history, ``activations.png`` and ``gradients.png``
    from the diagnostics, ``embedding.png``, ``conditions.png`` and ``next_symbols.png`` from the checkpoint. For a
    learning-rate search: ``learning_rate.png``. For a sweep: ``sweep.png``.

    Returns:
        The files written.

    Raises:
        TrainingError: if there is nothing to draw, or a file is damaged.
    """
    checkpoint = Checkpoint.load(folder) if (folder / CHECKPOINT).is_file() else None
    fonts = Fonts(_texts(checkpoint.record) if checkpoint else ())
    with mpl.rc_context(_STYLE), mpl.rc_context({"font.family": fonts.families}):  # type: ignore[arg-type]
        figures = dict(_figures(folder, checkpoint, fonts))
        if not figures:
            raise TrainingError(
                f"{folder}: nothing to draw here; give the folder of a training run, of find-lr or of a sweep"
            )
        (folder / PICTURES).mkdir(exist_ok=True)
        for name, figure in figures.items():
            write_file(folder / PICTURES / name, _png(figure))
    return [folder / PICTURES / name for name in figures]


def _png(figure: Figure) -> bytes:
    """Return a picture as PNG with 256 colours: two fifths of the bytes, and it looks the same."""
    drawn, packed = BytesIO(), BytesIO()
    figure.savefig(drawn, format="rgba")
    picture = Image.frombytes("RGBA", figure.canvas.get_width_height(), drawn.getvalue()).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(packed, format="png", optimize=True)
    return packed.getvalue()


def _texts(record: RunRecord) -> Iterator[str]:
    """Yield every text of a run that may stand in a picture."""
    yield from record.vocabulary
    for condition, values in record.values.items():
        yield condition
        yield from values


def _figures(folder: Path, checkpoint: Checkpoint | None, fonts: Fonts) -> Iterator[tuple[str, Figure]]:
    measured = folder / MEASURED
    source = measured if (measured / HISTORY).is_file() and (measured / CHECKPOINT).is_file() else folder
    if (source / HISTORY).is_file() and (lines := _read_history(source / HISTORY)):
        shown = checkpoint if source == folder else Checkpoint.load(source)
        yield "loss.png", _loss(lines, None if shown is None else shown.record)
    if (folder / HISTORY).is_file():
        lines = _read_history(folder / HISTORY)
        if any(line.update_ratios for line in lines):
            yield "updates.png", _updates([line for line in lines if line.update_ratios])
    snapshots = read_diagnostics(folder)
    if snapshots:
        yield "activations.png", _activations(snapshots)
        yield "gradients.png", _gradients(snapshots)
    if checkpoint is not None:
        record, network = checkpoint.record, checkpoint.network()
        counts = np.bincount(checkpoint.calibration.tokens, minlength=len(record.vocabulary) + 1)
        vectors = network.symbol_vectors()
        if vectors is not None:
            yield "embedding.png", vocabulary_embedding(vectors, record, counts, fonts)
        values = network.value_vectors()
        if values:
            yield "conditions.png", value_embeddings(values, record, fonts)
        yield "next_symbols.png", _next_symbols(network, record, counts, fonts)
    if (folder / LEARNING_RATES).is_file():
        yield "learning_rate.png", _learning_rate(read_search(folder))
    if (folder / SWEEP).is_file():
        trials = sorted((trial for trial in read_trials(folder) if trial.loss is not None), key=lambda each: each.rank)
        if trials:
            yield "sweep.png", losses_of_trials(trials, read_sweep(folder))


def _read_history(path: Path) -> list[_Line]:
    return [decode_json(line, _Line, path) for line in path.read_bytes().splitlines()]


def _axes(width: float = 8, height: float = 4.5) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


# Over the steps


def _loss(lines: Sequence[_Line], record: RunRecord | None) -> Figure:
    """Return the loss against the step; the record of the run adds what it is compared with, and its best step."""
    figure, axes = _axes()
    steps = np.array([line.step for line in lines])
    losses = np.array([max(line.loss, _LEAST_LOSS) for line in lines])
    dots = np.linspace(0, len(lines) - 1, min(len(lines), _DOTS)).astype(int)
    axes.plot(steps[dots], losses[dots], ".", color=PALE, markersize=3, label="of a step")
    at, smooth = _smoothed(steps, losses)
    axes.plot(at, smooth, color=INK, label="smoothed")
    measured = [(line.step + 1, max(line.dev, _LEAST_LOSS)) for line in lines if line.dev is not None]
    if measured:
        weighted = record is not None and record.corpus.columns is not None and record.corpus.columns.weight is not None
        label = "dev, each name once" if weighted else "dev"
        axes.plot(*zip(*measured, strict=True), ".-", color=MARK, markersize=4, label=label)
    if record is not None:
        _compare(axes, record)
    apart, labelled = 0.15 * float(steps[-1]), -math.inf
    for before, after in pairwise(lines):
        if math.isclose(after.learning_rate, before.learning_rate / 10):
            axes.axvline(after.step, color=MARK, linestyle=":")
            at_end = steps[-1] - after.step < apart  # the label then stands before the line
            if after.step - labelled > apart * (1 + at_end):
                labelled = after.step
                axes.text(
                    after.step,
                    0.8,
                    f" rate {after.learning_rate:g} ",
                    color=MARK,
                    va="top",
                    ha="right" if at_end else "left",
                    transform=axes.get_xaxis_transform(),
                )
    _logarithmic(axes)
    title = "Loss in training" + (", against what the teachers say" if record and record.recipe.teachers else "")
    axes.set(title=title, xlabel="step", ylabel="nats a symbol (log scale)")
    _thousands(axes)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
    return figure


def _compare(axes: Axes, record: RunRecord) -> None:
    """Draw the losses of the baselines, and the step of the best network if the run stopped by patience."""
    for name, loss in record.metrics.baselines.items() if record.metrics is not None else ():
        axes.axhline(loss, color="black", linestyle="--", linewidth=1)
        place = axes.get_yaxis_transform()
        axes.text(0.99, loss, _BASELINES.get(name, name), fontsize=9, ha="right", va="bottom", transform=place)
    if record.best is not None and record.best.ended:
        label = f"best network: step {record.best.step:,}"
        axes.axvline(record.best.step, color="black", linestyle=":", label=label)


def _smoothed(steps: NDArray[np.int64], losses: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the mean step and the geometric mean loss of consecutive groups of steps."""
    size = max(1, len(steps) // _CURVE_POINTS)
    groups = len(steps) // size
    at = steps[: groups * size].reshape(groups, size).mean(axis=1)
    return at, np.exp(np.log(losses[: groups * size]).reshape(groups, size).mean(axis=1))


def _updates(lines: Sequence[_Line]) -> Figure:
    figure, axes = _axes()
    steps = [line.step for line in lines]
    for name in lines[0].update_ratios:
        ratios = [line.update_ratios.get(name) for line in lines]
        axes.plot(steps, [np.nan if ratio is None else ratio for ratio in ratios], linewidth=1, label=_layer(name))
    axes.axhline(-3, color="black", linestyle="--", linewidth=1, label="a thousandth, a usual aim")
    axes.set(title="Size of the updates", xlabel="step", ylabel="log10 (deviation of update / of weights)")
    _thousands(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _layer(name: str) -> str:
    """Return a readable name for a weight matrix."""
    kind, *rest = name.removesuffix(".weight").split(".")
    words = [str(int(each) + 1) if each.isdigit() else each for each in rest]
    return " ".join([{"weight": "table"}.get(kind, kind), *words])


# Inside the layers


def _activations(snapshots: Sequence[Snapshot]) -> Figure:
    figure, columns = _columns(snapshots, "Activations")
    for axes, snapshot in zip(columns, snapshots, strict=True):
        for number, layer in enumerate(snapshot.layers, start=1):
            label = f"hidden {number}: deviation {layer.deviation:.2f}"
            if layer.saturated is not None:
                label += f", saturated {layer.saturated:.1%}"
            _histogram(axes, layer.activations, label)
        axes.set_xlabel(
            "activation" + (f" (saturated: beyond ±{SATURATED})" if snapshot.layers[0].saturated is not None else "")
        )
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure


def _gradients(snapshots: Sequence[Snapshot]) -> Figure:
    figure, columns = _columns(snapshots, "Gradients of the loss by the activations")
    for axes, snapshot in zip(columns, snapshots, strict=True):
        for number, layer in enumerate(snapshot.layers, start=1):
            _histogram(axes, layer.gradients, f"hidden {number}: deviation {layer.gradient_deviation:.1e}")
        widest = max(layer.gradient_deviation for layer in snapshot.layers)
        axes.set_xlim(-4 * widest or None, 4 * widest or None)
        axes.set_xlabel("gradient")
        axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure


def _columns(snapshots: Sequence[Snapshot], title: str) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5 * len(snapshots) + 1, 5), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    columns = [figure.add_subplot(1, len(snapshots), i + 1) for i in range(len(snapshots))]
    for axes, snapshot in zip(columns, snapshots, strict=True):
        axes.set_title("before the first step" if snapshot.step == 0 else f"after {snapshot.step:,} steps", fontsize=11)
        axes.set_yticks([])
        axes.set_ylabel("density")
    return figure, columns


def _histogram(axes: Axes, histogram: Histogram, label: str) -> None:
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    density = np.array(histogram.counts) / max(1, sum(histogram.counts)) / (edges[1] - edges[0])
    axes.plot((edges[1:] + edges[:-1]) / 2, density, label=label)


# What was learnt


def _next_symbols(network: Network, record: RunRecord, counts: NDArray[np.int64], fonts: Fonts) -> Figure:
    """Return a table of the probabilities of the most frequent symbols after each other; ``counts`` is by id."""
    symbols = len(record.vocabulary)
    frequent = 1 + np.argsort(-counts[1:], kind="stable")[:_MOST_SYMBOLS]
    shown = np.array([BOUNDARY, *sorted(frequent.tolist())])
    contexts = np.zeros((len(shown), record.recipe.block_size), dtype=np.int64)
    contexts[:, -1] = shown
    logits = predictor(network.for_inference(), torch.device("cpu"))(contexts)
    labels = [fonts.symbol(record.vocabulary[i - 1]) for i in shown[1:]]
    side = max(4.5, 0.27 * len(shown) + 1.5)
    figure, axes = _axes(side + 0.8, side)
    image = axes.imshow(np.exp(log_softmax(logits))[:, shown], cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    axes.set_xticks(range(len(shown)), ["end", *labels])
    axes.set_yticks(range(len(shown)), ["start", *labels])
    axes.tick_params(length=0, labelsize=10)
    for label in axes.get_xticklabels():
        label.set_rotation(90 if len(label.get_text()) > 3 else 0)
    axes.grid(visible=False)
    before = "the symbol before" if record.recipe.block_size == 1 else "all of the name so far"
    which = f"the {len(labels)} most frequent" if counts.any() else f"{len(labels)}"  # an unfinished run has no counts
    left_out = f" ({which} of {symbols:,})" if len(labels) < symbols else ""
    axes.set(title=f"Probability of the next symbol{left_out}", xlabel="next", ylabel=before)
    figure.colorbar(image, shrink=0.8, ticks=[0, 0.05, 0.2, 0.5, 1])
    return figure


# Learning-rate search


def _learning_rate(search: Search) -> Figure:
    figure, axes = _axes()
    axes.plot(
        search.rates, np.maximum(search.losses, _LEAST_LOSS), ".", color=PALE, markersize=4, label="of one minibatch"
    )
    axes.plot(search.rates, np.maximum(search.smoothed, _LEAST_LOSS), color=INK, label="smoothed")
    axes.axvline(search.suggested, color=MARK, linestyle=":", label=f"suggested: {search.suggested:.2g}")
    axes.set_xscale("log")
    _logarithmic(axes)
    axes.set_ylim(top=1.2 * max(_LEAST_LOSS, *search.smoothed[: max(1, len(search.smoothed) // 2)]))
    axes.set(title="Loss as the learning rate rises", xlabel="learning rate", ylabel="nats a symbol (log scale)")
    axes.legend(loc="lower left")
    return figure


# Axes


def _logarithmic(axes: Axes) -> None:
    """Make the y axis logarithmic, with round tick labels even if it spans less than a decade."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5), numticks=20) if high / low > 4 else MaxNLocator(8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _thousands(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
