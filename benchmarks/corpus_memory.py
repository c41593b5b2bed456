"""Peak memory of training on a large corpus, against the size of its file.

    python benchmarks/corpus_memory.py [--names 10000000] [--block-size 16] [--split lecture]
    python benchmarks/corpus_memory.py --table births.csv.gz [--names 1000000]

Writes a corpus of random names of two to ten letters. Trains the network of the recipe ``mlp`` on it in a process of
its own: reading, splitting, 300 steps, the losses of all parts. Does the same with 100 names. The difference of the two
peaks is the memory that the corpus takes. Prints its ratio to the size of the text, and fails if that is above 3. Linux
only: other systems report peaks in other units.

With ``--table``, the corpus is a CSV file whose rows are those of a table ``name,sex,decade,births``, repeated as often
as needed. The recipe ``fast`` takes 3,000 steps on it, with both conditions and the weights.
"""

import argparse
import gzip
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_NAMES_AT_ONCE = 100_000


def write_corpus(path: Path, names: int) -> None:
    random = np.random.Generator(np.random.PCG64(1))
    with path.open("wb") as file:
        for first in range(0, names, _NAMES_AT_ONCE):
            count = min(_NAMES_AT_ONCE, names - first)
            letters = random.integers(ord("a"), ord("z") + 1, (count, 11), dtype=np.uint8)
            ends = random.integers(2, 11, count)
            letters[np.arange(count), ends] = ord("\n")
            file.write(letters[np.arange(11) <= ends[:, None]].tobytes())


def write_table(path: Path, rows: int, source: Path) -> None:
    with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as file:
        header, *lines = file.read().splitlines(keepends=True)
    with path.open("wb") as table:
        table.write(header)
        for first in range(0, rows, len(lines)):
            table.writelines(lines[: rows - first])


def train_and_print_peak(corpus: Path, folder: Path, block_size: int, split: str) -> None:
    from sequentia.columns import columns_of
    from sequentia.training import train

    if corpus.suffix == ".csv":
        columns = columns_of("name", ["sex", "decade"], "births")
        train(corpus, folder, recipe="fast", overrides=[f"split={split}", "steps=3000"], columns=columns)
    else:
        overrides = [f"block_size={block_size}", f"split={split}", "steps=300", "batch_size=256"]
        train(corpus, folder, recipe="mlp", overrides=overrides)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(peak)


def peak_of_process(corpus: Path, folder: Path, options: argparse.Namespace) -> int:
    command = [sys.executable, __file__, "--corpus", str(corpus), "--run", str(folder)]
    command += ["--block-size", str(options.block_size), "--split", options.split]
    shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return int(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of training on a large corpus.")
    parser.add_argument("--names", type=int)
    parser.add_argument("--table", type=Path, help="a table with the columns name, sex, decade and births")
    parser.add_argument("--block-size", type=int, default=16)
    parser.add_argument("--split", choices=["lecture", "dedup", "all"], default="lecture")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus is not None:
        train_and_print_peak(options.corpus, options.run, options.block_size, options.split)
        return
    with tempfile.TemporaryDirectory() as temporary:
        names = options.names or (10_000_000 if options.table is None else 1_000_000)
        suffix = "txt" if options.table is None else "csv"
        large, small = Path(temporary, f"large.{suffix}"), Path(temporary, f"small.{suffix}")
        for path, count in ((large, names), (small, 100)):
            if options.table is None:
                write_corpus(path, count)
            else:
                write_table(path, count, options.table)
        text = large.stat().st_size
        empty = peak_of_process(small, Path(temporary, "small"), options)
        peak = peak_of_process(large, Path(temporary, "large"), options)
    print(f"file of {names:,} names      {text / 1e6:8.1f} MB")
    print(f"peak of an empty run         {empty / 1e6:8.1f} MB")
    print(f"peak above it                {(peak - empty) / 1e6:8.1f} MB")
    print(f"ratio to the file            {(peak - empty) / text:8.2f}")
    if peak - empty > 3 * text:
        sys.exit("more than 3 times the file")


if __name__ == "__main__":
    main()
