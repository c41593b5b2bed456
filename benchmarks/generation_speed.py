"""The speed of generating names: against other generators, against the machine, and route by route.

    python benchmarks/generation_speed.py names.txt [--pictures FOLDER] [--quick]

Prints the figures of docs/performance.md as Markdown, and its progress to stderr. generation_tasks.py holds the
measured tasks and the peers. Each task runs in a fresh process, one at a time; Sequentia and its peers take turns.
Needs the extra ``[dev]`` and the package markovify.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import generation_tasks as tasks  # loads nothing large, since the peak memory of a process starts at that of its parent

_BARE_RUN = """\
import os
import sys
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
session.run(["logits"], {"context": numpy.zeros((1, int(sys.argv[2])), dtype=numpy.int64)})
"""
_STREAMS = {"batches": "", "text file": ".txt", "Parquet file": ".parquet"}


class Scale(NamedTuple):
    """The number of names, seeds and rounds to measure."""

    rounds: int
    starts: int
    seeds: int
    most: int
    streamed: tuple[int, ...]
    routed: int


_FULL = Scale(3, 21, 2_000, 1_000_000, (10_000, 100_000, 1_000_000, 10_000_000), 100_000)
_QUICK = Scale(2, 5, 300, 200_000, (10_000, 100_000, 1_000_000), 20_000)


def fresh(task: Callable[..., Any], *, blas_threads: int | None = None, **arguments: Any) -> Any:
    """Return what a task returns in a process of its own."""
    print(f"{task.__name__} {arguments or ''}", file=sys.stderr)
    environment = dict(os.environ)
    if blas_threads is not None:
        environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(blas_threads))
    command = [sys.executable, tasks.__file__, task.__name__, json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)


def print_table(title: str, note: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"### {title}\n\n{note}\n")
    print("\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)) + "\n", flush=True)


def print_starts(scale: Scale, graph: str, block_size: int) -> None:
    python = [sys.executable, "-c"]
    bare = "bare: import numpy and onnxruntime, open the graph, run it once"
    commands = {
        bare: [*python, _BARE_RUN, graph, str(block_size)],
        "`sequentia generate`": [str(Path(sys.executable).with_name("sequentia")), "generate"],
        '`python -c "import sequentia; sequentia.generate()"`': [*python, "import sequentia; sequentia.generate()"],
        "`python -c pass`": [*python, "pass"],
    }
    spent: dict[str, list[float]] = {what: [] for what in commands}
    with tempfile.TemporaryDirectory() as folder:
        for attempt in range(scale.starts + 1):  # the first one fills the file cache
            for what, command in commands.items():
                seconds = tasks.seconds_of(
                    lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)  # noqa: B023
                )
                if attempt:
                    spent[what].append(seconds)
    rows = [
        (what, f"{median(x) * 1e3:.0f}", f"{min(x) * 1e3:.0f}", f"{median(x) / median(spent[bare]):.2f}")
        for what, x in spent.items()
    ]
    note = f"The whole process, {scale.starts} times, in turn. The ratio is that of the medians, to the bare run."
    print_table("A fresh process", note, ["process", "median, ms", "best, ms", "ratio"], rows)


def print_one_name(scale: Scale) -> None:
    rounds = [fresh(tasks.one_name, seeds=scale.seeds) for _ in range(scale.rounds)]
    warm, cold, bare, runs = map(min, zip(*rounds, strict=True))
    rows = [
        (what, f"{seconds * 1e6:.0f}", f"{seconds / bare:.2f}")
        for what, seconds in (
            (f"bare: the {runs:.2f} runs of the network, a row each, that a name needs", bare),
            ("`model.generate()`", warm),
            ("`model.generate()` that remembers nothing", cold),
        )
    ]
    note = (
        f"Means of {scale.seeds:,} seeds, best of {scale.rounds} rounds, on one thread. The model remembers nothing at "
        "first; the calls teach it how names begin."
    )
    print_table("One name from a loaded model", note, ["call", "µs", "ratio"], rows)


def print_many_names(scale: Scale, corpus: str) -> float:
    """Print the table, and return the seconds that all names take on two threads."""
    batches = {10: 1_000, 1_000: 5_000, 10_000: 10_000}
    two, one, markovify = "ours to Arrow, 2 threads", "ours to Arrow, 1 thread", "markovify, 1 process"
    rates: dict[str, list[float]] = {}
    for seed in range(scale.rounds):
        measured = {
            two: fresh(tasks.to_arrow, names=scale.most, threads=2, seed=seed),
            one: fresh(tasks.to_arrow, names=scale.most, threads=1, seed=seed),
            markovify: fresh(tasks.markov_chain, names=scale.most // 5, corpus=corpus),
        }
        for batch, names in batches.items():
            for threads in (2, 1):
                label = f"makemore, batches of {batch:,}, {threads} thread{'s' * (threads > 1)}"
                measured[label] = fresh(tasks.makemore, names=names, batch=batch, threads=threads, corpus=corpus)
        for what, rate in measured.items():
            rates.setdefault(what, []).append(rate)
    best = {what: max(rate) for what, rate in rates.items()}
    best["markovify, 2 processes (computed)"] = 2 * best[markovify]
    rows = [
        (what, f"{rate:,.0f}", f"{best[two] / rate:,.1f}")
        for what, rate in sorted(best.items(), key=lambda item: -item[1])
    ]
    note = (
        f"{scale.most:,} names of ours, {scale.most // 5:,} of markovify's, 1,000 to 10,000 of makemore's, whose "
        f"weights are random, which costs the same. Best of {scale.rounds} fresh processes, without imports and "
        "loading. The last column says how many times as quick ours is on 2 threads."
    )
    print_table(f"{scale.most:,} names", note, ["generator", "names/s", "ours is"], rows)
    return scale.most / best[two]


def print_floor(scale: Scale, measured: float) -> None:
    c = fresh(tasks.counts, names=scale.most)
    contexts, ids, hidden = c["contexts"], c["ids"], c["hidden"]
    adds = sum(a * b for a, b in zip(hidden, [*hidden[1:], ids], strict=True))
    rates = {threads: fresh(tasks.matrix_rate, blas_threads=threads, width=hidden[0]) for threads in (1, 2)}
    pairs = -(-c["block_size"] // 2)
    columns = []
    for rows, table_rows in ((c["block_size"], c["block_size"] * ids), (pairs, pairs * ids**2)):
        tables = 4 * hidden[0] * table_rows
        copies = {threads: fresh(tasks.copy_rate, size=tables, threads=threads) for threads in (1, 2)}
        operations = 2 * adds + (rows - 1) * hidden[0]
        read = 4 * rows * hidden[0] + 4 * ids * c["direct"]
        drawn = 8 + 8 * math.ceil(math.log2(ids))
        moved = contexts * (read + 4 * ids) + c["symbols"] * drawn + c["bytes"]
        computing, moving = contexts * operations / rates[2], moved / copies[2]
        columns.append(
            {
                "distinct contexts": f"{contexts:,}",
                "operations a context": f"{operations:,}",
                "matrix product, 2 threads (1), GFLOP/s": f"{rates[2] / 1e9:.0f} ({rates[1] / 1e9:.0f})",
                "**seconds of arithmetic**": f"{computing:.3f}",
                "bytes read a context": f"{read:,}",
                "bytes written a context": f"{4 * ids:,}",
                "symbols drawn": f"{c['symbols']:,}",
                "bytes a symbol: random number, search": f"{drawn}",
                "bytes of text": f"{c['bytes']:,}",
                "tables, MB": f"{tables / 1e6:.1f}",
                "copying as much, 2 threads (1), GB/s": f"{copies[2] / 1e9:.1f} ({copies[1] / 1e9:.1f})",
                "**seconds of moving bytes**": f"{moving:.3f}",
                "**floor, s**": f"{computing + moving:.3f}",
                "measured, s": f"{measured:.3f}",
                "**floor / measured**": f"{(computing + moving) / measured:.2f}",
            }
        )
    note = (
        f"What {scale.most:,} names cannot do without on 2 threads: for each distinct context the first layer's sums "
        "from look-up tables and the other layers' products, at the rate of a large matrix product, and all bytes, at "
        "the rate of copying as many as the tables have. The first layer looks up one row a symbol, or one for each "
        "two neighbours."
    )
    print_table(
        "How far from the machine",
        note,
        ["term", "one row a symbol", "one row a pair"],
        [(what, value, columns[1][what]) for what, value in columns[0].items()],
    )


def print_streams(scale: Scale, pictures: Path | None) -> None:
    results: dict[str, dict[int, tuple[float, float]]] = {what: {} for what in _STREAMS}
    for names in scale.streamed:
        rounds = scale.rounds if names < 10_000_000 else 1
        runs: dict[str, list[list[float]]] = {what: [] for what in _STREAMS}
        for _ in range(rounds):
            for what, ending in _STREAMS.items():
                runs[what].append(fresh(tasks.streaming, names=names, ending=ending))
        for what, found in runs.items():
            seconds, peaks = zip(*found, strict=True)
            results[what][names] = min(seconds) / names * 1e6, max(peaks) / 1e6
    rows = [
        (
            f"{names:,}",
            *(f"{found[names][i]:{form}}" for i, form in ((0, ".2f"), (1, ".0f")) for found in results.values()),
        )
        for names in scale.streamed
    ]
    header = [f"{what}, {unit}" for unit in ("µs a name", "MB") for what in _STREAMS]
    note = (
        f"On 2 threads, best of {scale.rounds} fresh processes (10,000,000 names: one), without imports and loading. "
        "The memory is the peak of the whole process. `batches` are consumed and dropped."
    )
    print_table("Any number of names in constant memory", note, ["names", *header], rows)
    if pictures is not None:
        draw_streams(results, pictures)


def draw_streams(results: dict[str, dict[int, tuple[float, float]]], folder: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for i, (axes, label) in enumerate(zip(figure.subplots(1, 2), ("µs a name", "peak memory, MB"), strict=True)):
        for what, found in results.items():
            axes.plot(list(found), [point[i] for point in found.values()], marker="o", label=what)
        axes.set(xscale="log", yscale="log" if i == 0 else "linear", xlabel="names", ylabel=label)
        axes.set_ylim(bottom=None if i == 0 else 0)
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "generation.png", dpi=100, metadata={"Software": None})


def print_routes(scale: Scale) -> None:
    routes = {
        "plain": "a: a row of the network for each name, in batches of 1,024, whole rows compared",
        "plain, once": "b: a, and each distinct context of a batch once",
        "forgetful": "c: ours, without the cache of logits",
        "ours": "d: ours",
    }
    spent: dict[str, list[float]] = {which: [] for which in routes}
    drawn = set()
    for _ in range(scale.rounds):
        for which in routes:
            seconds, names = fresh(tasks.route, names=scale.routed, which=which)
            spent[which].append(seconds)
            drawn.add(names)
    assert len(drawn) == 1, "routes disagree about the names"
    rows = [
        (text, f"{min(spent[which]) / scale.routed * 1e6:.2f}", f"{min(spent['plain']) / min(spent[which]):.1f}")
        for which, text in routes.items()
    ]
    note = (
        f"{scale.routed:,} names as text on one thread, best of {scale.rounds} fresh processes; all are the same names."
    )
    print_table("Route by route", note, ["route", "µs a name", "times as quick as a"], rows)

    layers = fresh(tasks.first_layers)
    labels = {"symbols": "a row for each symbol", "pairs": "a row for each two", "bundled": "the bundled graph's own"}
    print_table(
        "The first layer",
        "Medians of 100 runs of the network in turn, on one thread, in µs a row.",
        ["e: first layer", "runs of 256 rows", "runs of 8 rows"],
        [(text, f"{layers[k][0] / 256 * 1e6:.2f}", f"{layers[k][1] / 8 * 1e6:.2f}") for k, text in labels.items()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The speed of generating names.")
    parser.add_argument("corpus", type=Path, help="the list names.txt of karpathy/makemore")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw generation.png into this folder")
    parser.add_argument("--quick", action="store_true", help="fewer names and rounds")
    options = parser.parse_args()
    scale, found = _QUICK if options.quick else _FULL, fresh(tasks.facts)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "onnxruntime", "torch", "markovify"))
    print("<!-- figures -->")
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"{os.cpu_count()} cores, {system}, {versions}.")
    print(f"The bundled model: {found['model']}.\n")
    print_starts(scale, found["graph"], found["block_size"])
    print_one_name(scale)
    print_floor(scale, print_many_names(scale, str(options.corpus.resolve())))
    print_streams(scale, options.pictures)
    print_routes(scale)
    print("<!-- end -->")


if __name__ == "__main__":
    main()
