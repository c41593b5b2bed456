"""Draw the embeddings of symbols, words and conditions' values in two dimensions."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .checkpoint import RunRecord
from .fonts import Fonts

Projected = tuple[NDArray[np.floating], str, str]
"""Points, [n, 2], and what their two dimensions are called."""

INK, PALE, MARK = "#2a6fb0", "#c5d9ec", "#d1622b"
_CONDITIONS_IN_ROW: Final = 2
_MOST_LABELS: Final = 500
_MOST_WORDS: Final = 200
_FEW_WORDS: Final = 50
_NEIGHBOURS: Final = 10
_SIDES: Final = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])
_DOT: Final = 4  # half the side of the square at a point that no other's label may cover, in pixels


def vocabulary_embedding(
    vectors: NDArray[np.float32], record: RunRecord, counts: NDArray[np.int64], fonts: Fonts
) -> Figure:
    """Return a plot of the embeddings of the symbols, or of the most frequent words, which are the first ones."""
    if record.alphabet.unknown is None or len(record.vocabulary) <= _FEW_WORDS:
        return symbol_embedding(vectors, record.vocabulary, counts, fonts)
    words = record.vocabulary[:-1][:_MOST_WORDS]
    shown = slice(len(words) + 1)
    return symbol_embedding(
        vectors[shown], words, counts[shown], fonts, f"{len(words)} most frequent words", _neighbourhoods
    )


def symbol_embedding(
    weights: NDArray[np.float32],
    symbols: Sequence[str],
    counts: NDArray[np.int64],
    fonts: Fonts,
    what: str = "symbols",
    project: Callable[[NDArray[np.float32]], Projected] | None = None,
) -> Figure:
    """Return a plot of the embeddings of the ids, float32 [1 + symbols, width], labelled with the most frequent ones.

    Args:
        weights: the embeddings.
        symbols: the symbol of each id but the first, which is the boundary.
        counts: how often each id occurs, [1 + symbols].
        fonts: what draws the symbols.
        what: which symbols these are.
        project: how to draw words in two dimensions; symbols are drawn in those in which they differ most.
    """
    side = 10 if project else 7
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    points, x, y = (project or _projected)(weights)
    axes.scatter(points[:, 0], points[:, 1], s=0)  # sets the limits of the axes
    axes.set(title=f"Embedding of the {what}", xlabel=x, ylabel=y)
    size = 11 if len(points) <= 100 else 9 if project else 7
    order = np.array([0, *(1 + np.argsort(-counts[1:], kind="stable"))])
    labels = ["end", *map(fonts.symbol, symbols)]
    places = _label(figure, axes, points[order], [labels[i] for i in order], size, disc=0 if project else 1.4 * size)
    color = np.where(order == 0, MARK, PALE)
    for chosen, area in ((places == "inside", (1.4 * size) ** 2), (places != "inside", 12)):
        x_of, y_of = points[order][chosen].T
        axes.scatter(x_of, y_of, s=area, color=color[chosen].tolist())
    written = int((places[1:] != "").sum())
    if written < len(symbols):
        axes.set_title(f"Embedding of the {what} ({written:,} of {len(symbols):,} have room for a label)", wrap=True)
    return figure


def _projected(vectors: NDArray[np.float32]) -> Projected:
    """Return vectors in the two dimensions in which they differ most."""
    if vectors.shape[1] == 2:
        return vectors, "first dimension", "second dimension"
    if vectors.shape[1] == 1:
        return np.column_stack([vectors[:, 0], np.zeros(len(vectors))]), "first dimension", ""
    centred = vectors - vectors.mean(axis=0)
    _, deviations, directions = np.linalg.svd(centred, full_matrices=False)
    share = deviations**2 / (deviations**2).sum()
    x, y = (f"principal component {i + 1} ({share[i]:.0%} of the variance)" for i in range(2))
    return centred @ directions[:2].T, x, y


def _neighbourhoods(vectors: NDArray[np.float32]) -> Projected:
    """Return points that are near each other where the angle between vectors is small: t-SNE (Maaten and Hinton 2008).

    Words differ in so many ways that the two largest ones show little of them.
    """
    from sklearn.manifold import TSNE  # takes a second to import

    nearness = TSNE(perplexity=_NEIGHBOURS, metric="cosine", init="random", random_state=0, n_jobs=1)
    return nearness.fit_transform(vectors), "words that are used alike lie near each other", ""


def value_embeddings(vectors: Sequence[NDArray[np.float32]], record: RunRecord, fonts: Fonts) -> Figure:
    """Return a plot for each condition: how the embeddings of its values lie."""
    rows = math.ceil(len(vectors) / _CONDITIONS_IN_ROW)
    columns = min(len(vectors), _CONDITIONS_IN_ROW)
    figure = Figure(figsize=(7 * columns, 7 * rows), layout="constrained")
    panels = []
    for number, (each, (condition, values)) in enumerate(zip(vectors, record.values.items(), strict=True), start=1):
        axes = figure.add_subplot(rows, columns, number)
        points, x, y = _projected(each)
        axes.scatter(points[1:, 0], points[1:, 1], s=24, color=INK)
        axes.scatter(points[:1, 0], points[:1, 1], s=24, color=MARK)
        axes.margins(0.12)
        axes.set(title=f"Embedding of the values of {fonts.text(condition)}", xlabel=x, ylabel=y)
        losses = record.metrics.by_value.get(condition, {}) if record.metrics else {}
        names = {value: loss.names for value, loss in losses.items()}
        order = [0, *sorted(range(1, len(each)), key=lambda i: -names.get(values[i - 1], 0))]
        panels.append((axes, points[order], [("not said", *map(fonts.text, values))[i] for i in order]))
    for axes, points, labels in panels:  # once all are there, since each makes the others smaller
        _label(figure, axes, points, labels, 9)
    return figure


def _label(
    figure: Figure, axes: Axes, points: NDArray[np.floating], labels: Sequence[str], size: float, disc: float = 0
) -> NDArray[np.str_]:
    """Write labels at points, the first ones first; leave out those that would cover another label or point.

    Args:
        figure: what the axes are part of.
        axes: where the points lie.
        points: their coordinates, [points, 2].
        labels: one for each.
        size: of the letters.
        disc: width, in typographic points, of the disc that a label may stand inside; 0 if it has to stand beside.

    Returns:
        ``inside``, ``beside`` or nothing for each label, [points].
    """
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # settles the layout, which decides what overlaps
    pixels = figure.dpi / 72
    dots = axes.transData.transform(points)
    squares = np.hstack([dots - _DOT, dots + _DOT])
    taken = np.empty((0, 4))
    places = np.full(len(points), "", dtype="<U6")
    for i, label in enumerate(labels[:_MOST_LABELS]):
        text = axes.annotate(
            label,
            points[i],
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=0.6 * size if disc and len(label) > 2 else size,
            in_layout=False,
        )
        extent = text.get_window_extent()
        half = np.array([extent.width, extent.height]) / 2
        for side in _SIDES if disc else _SIDES[1:]:
            centre = dots[i] + side * (half + 5 * pixels)
            around = half if side.any() else np.maximum(half, disc * pixels / 2)
            box = np.concatenate([centre - around, centre + around])
            if _within(box, axes) and not _covers(box, taken) and not _covers(box, np.delete(squares, i, axis=0)):
                text.xyann = (centre - dots[i]) / pixels
                taken = np.vstack([taken, box])
                places[i] = "beside" if side.any() else "inside"
                break
        else:
            text.remove()
    return places


def _within(box: NDArray[np.floating], axes: Axes) -> bool:
    return bool((box[:2] >= axes.bbox.min).all() and (box[2:] <= axes.bbox.max).all())


def _covers(box: NDArray[np.floating], others: NDArray[np.floating]) -> bool:
    """Return whether a box, [left, bottom, right, top], overlaps one of others, [n, 4]."""
    return bool(((box[:2] < others[:, 2:]) & (box[2:] > others[:, :2])).all(axis=1).any())
