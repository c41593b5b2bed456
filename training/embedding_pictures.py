"""Draw the embeddings of symbols and of conditions' values in the two dimensions in which they differ most."""

import math
import unicodedata
from collections.abc import Collection, Sequence
from functools import cache
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from .checkpoint import RunRecord

INK, PALE, MARK = "#2a6fb0", "#c5d9ec", "#d1622b"
_CONDITIONS_IN_ROW: Final = 2
_LONGEST_LABEL: Final = 24
_MOST_LABELS: Final = 500
_SIDES: Final = (
    ("left", (5, 0), "center"),
    ("right", (-5, 0), "center"),
    ("center", (0, 5), "bottom"),
    ("center", (0, -5), "top"),
)


def symbol_embedding(weights: NDArray[np.float32], symbols: Sequence[str]) -> Figure:
    """Return a plot of the embeddings of the ids, float32 [1 + symbols, width]."""
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.add_subplot()
    points, x, y = _projected(weights)
    size = 11 if len(points) <= 100 else 7
    axes.scatter(points[1:, 0], points[1:, 1], s=20 * size, color=PALE)
    axes.scatter(points[:1, 0], points[:1, 1], s=20 * size, color=MARK)
    for (px, py), symbol in zip(points, ("end", *map(printable, symbols)), strict=True):
        axes.text(px, py, symbol, ha="center", va="center", fontsize=size if len(symbol) == 1 else 0.6 * size)
    axes.set(title="Embedding of the symbols", xlabel=x, ylabel=y)
    return figure


def _projected(vectors: NDArray[np.float32]) -> tuple[NDArray[np.floating], str, str]:
    """Return vectors in the two dimensions in which they differ most, [n, 2], and what these are called."""
    if vectors.shape[1] == 2:
        return vectors, "first dimension", "second dimension"
    if vectors.shape[1] == 1:
        return np.column_stack([vectors[:, 0], np.zeros(len(vectors))]), "first dimension", ""
    centred = vectors - vectors.mean(axis=0)
    _, deviations, directions = np.linalg.svd(centred, full_matrices=False)
    share = deviations**2 / (deviations**2).sum()
    x, y = (f"principal component {i + 1} ({share[i]:.0%} of the variance)" for i in range(2))
    return centred @ directions[:2].T, x, y


def value_embeddings(vectors: Sequence[NDArray[np.float32]], record: RunRecord) -> Figure:
    """Return a plot for each condition: how the embeddings of its values lie."""
    rows = math.ceil(len(vectors) / _CONDITIONS_IN_ROW)
    columns = min(len(vectors), _CONDITIONS_IN_ROW)
    figure = Figure(figsize=(7 * columns, 7 * rows), layout="constrained")
    for number, (each, (condition, values)) in enumerate(zip(vectors, record.values.items(), strict=True), start=1):
        axes = figure.add_subplot(rows, columns, number)
        points, x, y = _projected(each)
        axes.scatter(points[1:, 0], points[1:, 1], s=24, color=INK)
        axes.scatter(points[:1, 0], points[:1, 1], s=24, color=MARK)
        axes.margins(0.12)
        axes.set(title=f"Embedding of the values of {_shown(condition)}", xlabel=x, ylabel=y)
        losses = record.metrics.by_value.get(condition, {}) if record.metrics else {}
        names = {value: loss.names for value, loss in losses.items()}
        order = [0, *sorted(range(1, len(each)), key=lambda i: -names.get(values[i - 1], 0))]
        _label(figure, axes, points[order], [("not said", *map(_shown, values))[i] for i in order])
    return figure


def _label(figure: Figure, axes: Axes, points: NDArray[np.floating], labels: Sequence[str]) -> None:
    """Write labels beside points, the first ones first; leave out those that would cover another."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # settles the layout, which decides what overlaps
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in axes.transData.transform(points[:_MOST_LABELS])]
    for (x, y), label in zip(points[:_MOST_LABELS], labels, strict=False):
        for side, across, up in _SIDES:
            text = axes.annotate(label, (x, y), across, textcoords="offset points", ha=side, va=up, fontsize=9)
            box = text.get_window_extent()
            if not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def _shown(text: str) -> str:
    """Return a text as the font can draw it, shortened."""
    drawn = "".join(symbol if symbol == " " else printable(symbol) for symbol in text)
    return drawn if len(drawn) <= _LONGEST_LABEL else f"{drawn[: _LONGEST_LABEL - 1]}…"


@cache
def _drawable() -> Collection[int]:
    return FT2Font(findfont("DejaVu Sans")).get_charmap()


def printable(symbol: str) -> str:
    """Return a symbol that the font can draw, or its code point as text."""
    if symbol == " ":
        return "␣"
    return (
        symbol
        if ord(symbol) in _drawable() and unicodedata.category(symbol)[0] not in "CMZ"
        else f"U+{ord(symbol):04X}"
    )
