"""Draw the trials of a sweep: the loss against each key that varies."""

import math
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from .embedding_pictures import INK, MARK, PALE
from .search_space import Choices, Range
from .trials import Sweep, Trial

_PLOTS_IN_ROW: Final = 3
_MOST_CHOICES: Final = 12
_LETTERS_BELOW_PLOT: Final = 32


def losses_of_trials(trials: Sequence[Trial], sweep: Sweep) -> Figure:
    """Return a row of plots, the loss against each key that varies; the trials are ranked."""
    varied = {
        key: each for key, each in sweep.space.items() if not (isinstance(each, Choices) and len(each.choices) == 1)
    }
    rows, columns = math.ceil(len(varied) / _PLOTS_IN_ROW), min(len(varied), _PLOTS_IN_ROW)
    figure = Figure(figsize=(4 * columns + 1, 4.5 * rows), layout="constrained")
    figure.suptitle("Loss of the trials on the dev part", x=0.01, ha="left", fontsize=13)
    finished = [trial for trial in trials if trial.state == "finished"]
    groups = (
        ("ended early", PALE, [trial for trial in trials if trial.state != "finished"]),
        ("finished", INK, finished[1:]),
        ("best", MARK, finished[:1]),
    )
    for number, (key, dimension) in enumerate(varied.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        for label, color, group in groups:
            values = [trial.values[key] for trial in group]
            if isinstance(dimension, Choices):
                values = [dimension.choices.index(value) for value in values]
            axes.plot(values, [trial.loss for trial in group], "o", color=color, label=label)  # type: ignore[arg-type]
        if isinstance(dimension, Choices):
            _choices(axes, [str(choice) for choice in dimension.choices])
        else:
            _range(axes, dimension)
        axes.set(xlabel=key, ylabel="nats a symbol" if number % _PLOTS_IN_ROW == 1 or columns == 1 else None)
    figure.axes[0].legend()
    return figure


def _choices(axes: Axes, labels: Sequence[str]) -> None:
    """Label the choices 0, 1, … on the x axis: slanted if they are long, and not each one if they are many."""
    step = math.ceil(len(labels) / _MOST_CHOICES)
    axes.set_xticks(range(0, len(labels), step), labels[::step])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    if (max(map(len, labels)) + 2) * len(labels) > _LETTERS_BELOW_PLOT:
        for label in axes.get_xticklabels():
            label.set(rotation=45, rotation_mode="anchor", ha="right", va="center_baseline")


def _range(axes: Axes, dimension: Range) -> None:
    """Set the ticks of the x axis so far apart that their labels have room."""
    ratio = dimension.high / dimension.low if dimension.log else 1
    if dimension.log:
        axes.set_xscale("log")
        axes.set_xlim(dimension.low / ratio**0.05, dimension.high * ratio**0.05)
    if ratio <= 5:
        axes.xaxis.set_major_locator(MaxNLocator(3 if dimension.log else 5))
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if ratio <= 200 else (1,), numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
