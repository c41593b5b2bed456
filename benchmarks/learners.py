"""Measure the learners of docs/record.md, and draw their loss against the time that a context takes.

    python benchmarks/learners.py names.txt [--page docs/record.md] [--picture docs/pictures/learners.png]

The losses are those of the page's table of shapes. The times are measured here, from untrained networks of these
shapes: they depend on nothing else. The sizes of trained ones differ a little. The contexts are those of the list; a
run of the graph takes 512, on one thread, and the graphs take turns. Prints the table with both, and marks the
*frontier*: learners that none is both better and faster than. The bundled model is measured as it is. Run nothing else
meanwhile. Needs the extra ``[train]``.
"""

import argparse
import re
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import sequentia
from sequentia.arithmetic import Inputs
from sequentia.arithmetic.onnx import OnnxWriter
from sequentia.export.precision import in_whole_numbers
from sequentia.session import open_session, run
from sequentia.training.parts import Part
from sequentia.training.preparing import prepare
from sequentia.training.recipes import read_recipe
from sequentia.windows import windows

_ROW: Final = re.compile(
    r"\| (\d+) \| ([\d,]+) \| (?:tree of up to|last) (\d+)(?: symbols)? \| ([\d,]+) \| ([\d.]+) \|"
)
_ROWS: Final = 512  # in a run
_RUNS: Final = 40
_ROUNDS: Final = 7
_CALIBRATION: Final = 100  # names
_TICKS: Final = (0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3)  # µs
_HIGHEST: Final = 1.92  # loss in the picture


class Learner(NamedTuple):
    """A row of the table: sizes, and the loss on dev in nats a symbol."""

    symbols: int
    units: int
    direct: int
    rows: int
    dev: float

    def overrides(self) -> list[str]:
        """Return its settings of the recipe `names`."""
        tree = 0 if self.rows == 27**self.direct else self.rows
        sizes = [f"block_size={self.symbols}", f"hidden_sizes=[{self.units}]", f"direct={self.direct}", f"tree={tree}"]
        return [*sizes, "teachers=[]", "teacher_weights=[]"]

    def describe(self) -> str:
        """Return its sizes in a few words."""
        return f"{self.symbols} symbols, {self.units} units, {self.rows:,} rows"

    def label(self) -> str:
        """Return its sizes as the picture has them."""
        return f"{self.symbols} / {self.units} / {self.rows / 1000:.0f}k"


def learners_of(page: str) -> list[Learner]:
    """Return the learners of the page's tables whose rows are counted."""
    return [
        Learner(int(symbols), int(units.replace(",", "")), int(direct), int(rows.replace(",", "")), float(dev))
        for symbols, units, direct, rows, dev in _ROW.findall(page)
    ]


def graph_of(learner: Learner, part: Part, ids: int) -> bytes:
    """Return the graph of an untrained network."""
    recipe = read_recipe("names", learner.overrides()).descent
    assert recipe is not None
    inputs = Inputs(learner.symbols, ids)
    network = recipe.new_network(inputs, torch.Generator().manual_seed(0)).eval()
    network.prepare(part)
    architecture, tensors, _ = in_whole_numbers(network, part.select(np.arange(_CALIBRATION)))
    writer = OnnxWriter(tensors, inputs)
    architecture.network(writer, inputs)
    return writer.file({})


def microseconds(sessions: list[Any], contexts: NDArray[np.int64]) -> list[float]:
    """Return the microseconds a context of each session, the best of some rounds in turn."""
    best = [float("inf")] * len(sessions)
    none = np.zeros((_ROWS, 0), dtype=np.int64)
    for _ in range(_ROUNDS):
        for place, session in enumerate(sessions):
            width = session.get_inputs()[0].shape[1]
            batches = [np.ascontiguousarray(batch[:, -width:]) for batch in contexts]
            start = time.perf_counter()
            for batch in batches:
                run(session, batch, none)
            best[place] = min(best[place], (time.perf_counter() - start) / (len(batches) * _ROWS) * 1e6)
    return best


def frontier(points: list[tuple[float, float]]) -> list[bool]:
    """Return which points, of a time and a loss, no other is both below and left of."""
    return [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def draw(points: list[tuple[float, float]], best: list[bool], labels: list[str], path: Path) -> None:
    """Draw the points, and a line through the frontier."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    others = [point for point, is_best in zip(points[:-1], best[:-1], strict=True) if not is_best]
    line = sorted(point for point, is_best in zip(points, best, strict=True) if is_best)
    axes.plot(*zip(*others, strict=True), "o", color="tab:gray", label="others")
    axes.plot(*zip(*line, strict=True), "o-", color="tab:blue", label="frontier")
    for number, point in enumerate(line):  # in turn below and above, where neighbours do not hide each other's
        side, ha, va = ((-4, "right", "top"), (4, "left", "bottom"))[number % 2]
        label = labels[points.index(point)]
        axes.annotate(label, point, (side, side), textcoords="offset points", fontsize=7, ha=ha, va=va)
    *_, (time_of_bundled, loss_of_bundled) = points
    axes.plot(time_of_bundled, loss_of_bundled, "*", color="tab:red", markersize=12, label="the bundled model")
    axes.set(
        xlabel="µs a context, in runs of 512, one thread",
        ylabel="loss on dev, nats a symbol",
        title="Symbols / hidden units / rows of the table",
        xscale="log",
    )
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.minorticks_off()
    axes.set_xlim(right=max(point[0] for point in points) * 1.25)
    axes.set_ylim(line[-1][1] - 0.002, _HIGHEST)
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Loss against time, of the learners of docs/record.md.")
    parser.add_argument("corpus", type=Path, help="the list names.txt of karpathy/makemore")
    parser.add_argument("--page", type=Path, default=Path("docs/record.md"))
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    learners = learners_of(arguments.page.read_text(encoding="utf-8"))
    _, corpus, parts, _ = prepare(arguments.corpus, read_recipe("names"))
    bundled = sequentia.load("names")
    graphs = [graph_of(learner, parts.train, corpus.vocabulary.size) for learner in learners]
    graphs.append(bundled._artifact.graph)
    contexts, _ = windows(parts.train.tokens, np.arange(parts.train.windows), 8)
    order = np.random.default_rng(0).permutation(len(contexts))[: _RUNS * _ROWS]
    times = microseconds([open_session(graph) for graph in graphs], contexts[order].reshape(_RUNS, _ROWS, -1))
    assert bundled.config.metrics.dev is not None
    losses = [*(learner.dev for learner in learners), bundled.config.metrics.dev.loss]
    labels = [*(learner.describe() for learner in learners), "the bundled model"]
    points = list(zip(times, losses, strict=True))
    best = [*frontier(points[:-1]), False]  # the bundled model has had better teachers
    print("| learner | model.onnx, bytes | µs a context | dev | on the frontier |\n|---|---|---|---|---|")
    for label, graph, (spent, loss), is_best in sorted(
        zip(labels, graphs, points, best, strict=True), key=lambda each: each[2]
    ):
        print(f"| {label} | {len(graph):,} | {spent:.2f} | {loss:.4f} | {'yes' if is_best else ''} |")
    if arguments.picture:
        draw(points, best, [*(learner.label() for learner in learners), ""], arguments.picture)


if __name__ == "__main__":
    main()
