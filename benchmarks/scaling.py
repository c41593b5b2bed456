"""How generation in bulk, training by workers and sweeps grow from one core to two.

    python benchmarks/scaling.py names.txt [--names 10000000] [--steps 300] [--trials 16] [--only training]

Prints the figures of docs/scaling.md as Markdown, and its progress to stderr. Each figure comes from commands in
processes of their own, one at a time. Needs the extras ``[train,ray,arrow]``.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

_CORES = (1, 2)
_ROUNDS = 2
_START = "import sys; from sequentia.cluster import cluster\nwith cluster(None, int(sys.argv[1])): pass"
_SHARD = """
import resource, sys, tracemalloc
from pathlib import Path
import sequentia
from sequentia.bulk import ROWS_OF_SHARD, Job, Shard, write_shard
rows = ROWS_OF_SHARD
job = Job(command="generate", model="", names=rows, rows_of_shard=rows, scores=False, options={"seed": 1})
shard = write_shard(sequentia.load("names"), job, Path(sys.argv[1]), 0)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tracemalloc.start()
shards = {i: Shard(file=f"part-{i:07}.parquet", rows=rows, size=10**7 + i, sha256=f"{i:064x}") for i in range(10_000)}
print(shard.size / shard.rows, peak / 1000, tracemalloc.get_traced_memory()[0] / len(shards))
"""
_SPACE = "learning_rate = { low = 0.01, high = 1.0, log = true }\nhidden_sizes = { choices = [[32], [64], [32, 32]] }\n"


def command(*words: object) -> float:
    """Run a command of this library, and return the seconds it took."""
    print("sequentia", *words, file=sys.stderr)
    executable = str(Path(sys.executable).with_name("sequentia"))
    started = time.perf_counter()
    subprocess.run([executable, *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def start_of_ray(cores: int) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", _START, str(cores)], check=True)
    return time.perf_counter() - started


def print_table(title: str, note: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"### {title}\n\n{note}\n")
    print("\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)) + "\n", flush=True)


def print_bulk(names: int, starts: dict[int, float], scratch: Path) -> None:
    rounds: dict[tuple[str, int], list[float]] = {}
    for number in range(_ROUNDS):
        for cores in _CORES:
            plain, folder = scratch / f"{number}-{cores}.parquet", scratch / f"{number}-{cores}"
            common = ("--seed", 1, "--threads", cores, "-o")
            rounds.setdefault(("plain engine", cores), []).append(command("generate", names, *common, plain))
            spent = command("generate", names, "--engine", "ray", *common, folder) - starts[cores]
            rounds.setdefault(("Ray", cores), []).append(spent)
    seconds = {what: min(spent) for what, spent in rounds.items()}
    rows = [
        (
            engine,
            str(cores),
            f"{spent:.1f}",
            f"{names / spent:,.0f}",
            f"{seconds[engine, 1] / spent:.2f}",
            f"{spent / seconds['plain engine', cores]:.2f}",
        )
        for (engine, cores), spent in sorted(seconds.items())
    ]
    note = (
        f"{names:,} names to Parquet, whole commands, best of {_ROUNDS} in turn, less what it takes Ray to start and "
        f"stop: {' and '.join(f'{starts[cores]:.1f} s' for cores in _CORES)}, on one core and on two."
    )
    task = [sys.executable, "-c", _SHARD, str(scratch)]
    size, peak, record = subprocess.run(task, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    note += (
        f" A name takes {float(size):.1f} bytes, a process that draws a shard {float(peak):.0f} MB of memory, and the "
        f"first process {float(record):.0f} bytes for each shard that is there."
    )
    header = ["engine", "cores", "s", "names/s", "times one core", "time / plain engine"]
    print_table("Names in bulk", note, header, rows)


def print_scoring(names: int, starts: dict[int, float], scratch: Path) -> None:
    source = scratch / "names.parquet"
    command("generate", names, "--seed", 1, "--threads", max(_CORES), "-o", source)
    rows, rates = [], []
    for cores in _CORES:
        folder = scratch / f"scores{cores}"
        spent = command("score", "--engine", "ray", "--threads", cores, "-i", source, "-o", folder) - starts[cores]
        rates.append(names / spent)
        rows.append((str(cores), f"{spent:.1f}", f"{rates[-1]:,.0f}", f"{rates[-1] / rates[0]:.2f}"))
    note = f"{names:,} names with their log-probabilities from Parquet to Parquet; whole commands, less Ray's start."
    print_table("Scores in bulk", note, ["cores", "s", "names/s", "times one core"], rows)


def time_steps(corpus: str, folder: str, recipe: str, overrides: list[str], workers: int) -> None:
    """Print the steps a second of a training, from the first that are reported to the last."""
    from sequentia.training import train

    seen: list[tuple[int, float]] = []
    train(
        Path(corpus),
        Path(folder),
        recipe=recipe,
        overrides=overrides,
        workers=workers,
        report=lambda progress: seen.append((progress.step, time.perf_counter())),
    )
    (first, started), (last, ended) = seen[0], seen[-1]
    print((last - first) / (ended - started))


def steps_a_second(corpus: Path, folder: Path, recipe: str, overrides: list[str], workers: int, threads: int) -> float:
    print(f"train {recipe}, {', '.join(overrides)}: {workers} workers, {threads} threads", file=sys.stderr)
    arguments = json.dumps([str(corpus), str(folder), recipe, overrides, workers])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    task = [sys.executable, __file__, "--task", arguments]
    return float(subprocess.run(task, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)


def print_training(corpus: Path, steps: int, scratch: Path) -> None:
    rows = []
    for recipe, batch, number in (("wide", 16_384, steps // 5), ("wide", 1024, steps), ("mlp", 32, 40 * steps)):
        overrides = [f"batch_size={batch}", f"steps={number}", f"checkpoint_every={number}"]
        overrides += ["epochs=0"] if recipe == "wide" else []
        rates = {}
        for what, workers, threads in (
            ("1 process, 1 thread", 1, 1),
            ("1 process, 2 threads", 1, 2),
            ("2 workers", 2, 1),
        ):
            folder = scratch / f"{recipe}-{batch}-{workers}-{threads}"
            rates[what] = steps_a_second(corpus, folder, recipe, overrides, workers, threads)
        rows += [
            (recipe, f"{batch:,}", what, f"{rate:,.1f}", f"{rate / rates['1 process, 1 thread']:.2f}")
            for what, rate in rates.items()
        ]
    note = "Steps a second, without what it takes to start. The minibatch is that of all workers together."
    print_table("Training", note, ["recipe", "minibatch", "who", "steps/s", "times one core"], rows)


def print_sweep(corpus: Path, trials: int, starts: dict[int, float], scratch: Path) -> None:
    space = scratch / "space.toml"
    space.write_text(_SPACE, encoding="utf-8")
    rows, rates = [], []
    for cores in _CORES:
        folder = scratch / f"sweep{cores}"
        settings = ("--set", "steps=6000", "--trials", trials, "--space", space, "--concurrency", cores)
        spent = command("sweep", corpus, "-o", folder, *settings) - starts[cores]
        last = command("sweep", corpus, "-o", folder, "--resume")
        rates.append(trials / (spent - last) * 3600)
        rows.append(
            (str(cores), f"{spent - last:.1f}", f"{last:.1f}", f"{rates[-1]:,.0f}", f"{rates[-1] / rates[0]:.2f}")
        )
    note = (
        f"{trials} trials of at most 6,000 steps of the recipe mlp; whole commands less what it takes Ray to start and "
        "stop, and less what comes after the trials, on one core: to measure the best on the test part, to draw and to "
        "export. The two sweeps try other values from the second trial on."
    )
    header = ["trials at a time", "trials, s", "then, s", "trials/h", "times one"]
    print_table("Sweeps", note, header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?", help="the list of names")
    parser.add_argument("--names", type=int, default=10_000_000, help="to generate, and to score")
    parser.add_argument("--steps", type=int, default=300, help="of the recipe wide; of mlp 40 times as many")
    parser.add_argument("--trials", type=int, default=16, help="of a sweep")
    parser.add_argument("--only", choices=["bulk", "scoring", "training", "sweep"], help="measure one of these")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        time_steps(*json.loads(options.task))
        return
    if options.corpus is None:
        parser.error("which list of names?")
    versions = ", ".join(f"{package} {version(package)}" for package in ("numpy", "onnxruntime", "torch", "ray"))
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, {versions}.\n")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        starts = {cores: min(start_of_ray(cores) for _ in range(2)) for cores in _CORES}
        if options.only in {None, "bulk"}:
            print_bulk(options.names, starts, scratch)
        if options.only in {None, "scoring"}:
            print_scoring(options.names, starts, scratch)
        if options.only in {None, "training"}:
            print_training(options.corpus, options.steps, scratch)
        if options.only in {None, "sweep"}:
            print_sweep(options.corpus, options.trials, starts, scratch)


if __name__ == "__main__":
    main()
