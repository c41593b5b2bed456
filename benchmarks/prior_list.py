"""Make the list that the bundled model ``prior`` learns from: given names, surnames and places, lower and title case.

Its sources are those that docs/record.md names. Each name of a kind counts alike.
"""

import argparse
import csv
import gzip
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

KINDS: Final = {"given": 300_000, "place": 420_000, "surname": 300_000}
"""How often all names of a kind count together."""

CASES: Final = {"lower": 0.4, "title": 0.6}

LEAST_BIRTHS: Final = 10
LEAST_NAMES: Final = 250
"""In how many names a lower-case symbol has to be."""

LEAST_CAPITALS: Final = 100
LEAST_PLACES: Final = 150
"""How many places a country needs; those of the others are of the country ``other``."""

LENGTHS: Final = range(2, 31)

COUNTRIES: Final = {
    "Arabic": "SA",
    "Chinese": "CN",
    "Czech": "CZ",
    "Dutch": "NL",
    "English": "GB",
    "French": "FR",
    "German": "DE",
    "Greek": "GR",
    "Irish": "IE",
    "Italian": "IT",
    "Japanese": "JP",
    "Korean": "KR",
    "Polish": "PL",
    "Portuguese": "PT",
    "Russian": "RU",
    "Scottish": "GB",
    "Spanish": "ES",
    "Vietnamese": "VN",
}
"""The country of each nationality."""

Names = dict[str, dict[str, set[str]]]
"""The countries of each name, by kind."""


def read(folder: Path) -> Names:
    """Read the sources: births and censuses of the US, surnames of 18 nationalities, and the world's places."""
    names: Names = {kind: defaultdict(set) for kind in KINDS}
    births: Counter[str] = Counter()
    with gzip.open(folder / "us-baby-names-decade.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            births[row["name"]] += int(row["births"])
    for name, count in births.items():
        if count >= LEAST_BIRTHS:
            names["given"][name] = {"US"}
    with (folder / "us-census-surnames-2020.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names["surname"][row["name"].lower()] = {"US"}
    with (folder / "surnames-by-nationality.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names["surname"][row["surname"].lower().strip()].add(COUNTRIES[row["nationality"]])
    with gzip.open(folder / "places-geonames.tsv.gz", "rt", encoding="utf-8") as file:
        for line in file:
            name, country, _ = line.split("\t")
            names["place"][unicodedata.normalize("NFC", name.strip())].add(country)
    places = Counter(country for countries in names["place"].values() for country in countries)
    known = {"US", *COUNTRIES.values(), *(country for country, count in places.items() if count >= LEAST_PLACES)}
    for of_kind in names.values():
        for name, countries in of_kind.items():
            of_kind[name] = {country if country in known else "other" for country in countries}
    return names


def in_title_case(name: str) -> str:
    """Return a name with a capital at the start of each word."""
    letters, before = [], " "
    for letter in name:
        starts = not before.isalpha() and before not in "'\u2019"
        letters.append(letter.upper() if starts and len(letter.upper()) == 1 else letter)
        before = letter
    return "".join(letters)


def rows(names: Names) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the rows of the list: the name, its kind, case and country, and how often it counts."""
    in_names = Counter(symbol for of_kind in names.values() for name in of_kind for symbol in set(name.lower()))
    allowed = {symbol for symbol, count in in_names.items() if count >= LEAST_NAMES and not symbol.isdigit()}
    kept = {
        kind: sorted(name for name in of_kind if set(name.lower()) <= allowed and len(name) in LENGTHS)
        for kind, of_kind in names.items()
    }
    titled = {
        kind: {name: name if kind == "place" else in_title_case(name) for name in of_kind}
        for kind, of_kind in kept.items()
    }
    capitals = Counter(letter for of_kind in titled.values() for name in of_kind.values() for letter in name)
    rare = {letter for letter, count in capitals.items() if letter != letter.lower() and count < LEAST_CAPITALS}
    for kind, of_kind in titled.items():
        for name, title in of_kind.items():
            countries = sorted(names[kind][name])
            share = KINDS[kind] / len(of_kind) / len(countries)
            for case, text in (("lower", unicodedata.normalize("NFC", name.lower())), ("title", title)):
                if rare.isdisjoint(text):
                    for country in countries:
                        yield text, kind, case, country, f"{share * CASES[case]:.3f}"


def shuffled(found: Iterator[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows in a random order, always the same, so that the first ones are like the others."""
    ordered = list(found)
    random.Random(0).shuffle(ordered)
    return ordered


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the sources are")
    parser.add_argument("output", type=Path, help="the list to write, a .csv file")
    arguments = parser.parse_args()
    with arguments.output.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "kind", "case", "country", "count"])
        table.writerows(shuffled(rows(read(arguments.folder))))


if __name__ == "__main__":
    main()
