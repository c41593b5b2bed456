"""Names invented for Faker beside Faker's own: how many are different, and how fast they come.

    python benchmarks/faker_names.py [--names 10000] [--rounds 5]

Prints the table of docs/faker.md as Markdown. Both take turns in one process; the speed is the median over the rounds,
in names per second of CPU time. Needs the extra ``[dev]``.
"""

import argparse
import time
from importlib.metadata import version
from statistics import median

from faker import Faker
from faker.providers.person.en_US import Provider as Person

import sequentia
from sequentia.faker import Provider

PAIRS = (
    ("first names", "first_name", "invented_first_name"),
    ("women's first names", "first_name_female", "invented_first_name_female"),
    ("men's first names", "first_name_male", "invented_first_name_male"),
    ("last names", "last_name", "invented_last_name"),
    ("full names", "name", "invented_name"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    fake = Faker("en_US")
    fake.add_provider(Provider)
    print(
        f"Faker {version('faker')}, whose lists for en_US have {len(set(Person.first_names))} first and "
        f"{len(set(Person.last_names))} last names, and sequentia {sequentia.__version__}\n"
    )
    print(f"| in {wanted.names:,} draws | Faker: different | per second | Sequentia: different | per second |")
    print("|---|---|---|---|---|")
    for what, *methods in PAIRS:
        speeds: dict[str, list[float]] = {method: [] for method in methods}
        different: dict[str, int] = {}
        for turn in range(wanted.rounds):
            for method in methods:
                fake.seed_instance(turn)
                call = getattr(fake, method)
                start = time.process_time()
                names = [call() for _ in range(wanted.names)]
                speeds[method].append(wanted.names / (time.process_time() - start))
                different.setdefault(method, len(set(names)))  # those of the first round
        cells = [f"{different[method]:,} | {median(speeds[method]):,.0f}" for method in methods]
        print(f"| {what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
