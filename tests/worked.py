"""How one name of the bundled model is drawn, as docs/format.md shows it: ``python -m tests.worked``."""

import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import sequentia

from . import plain

SEED, NAME = 42, 42


def lines() -> Iterator[str]:
    """Yield the lines of the example."""
    model = plain.Plain(Path(sequentia.__file__).parent / "models" / "names")
    draws = -(-model.longest // 4) * 4
    first = NAME * draws // 4 + 1
    yield f"seed {SEED}, name {NAME}, attempt 0; {draws} uniform numbers a name"
    words = " ".join(f"{word:016x}" for word in plain.philox(plain.key_of(SEED), (first, 0, 0, 0)))
    yield f"philox, key ({SEED}, 0), counter ({first}, 0, 0, 0): {words}"
    steps: list[tuple[list[int], list[int], list[int], int, int]] = []
    text = model.candidate(SEED, NAME, 0, {}, lambda *step: steps.append(step))
    for number, (context, logits, relative, uniform, symbol) in enumerate(steps):
        sums = list(accumulate(relative))
        point = uniform * 2.0**-53 * sums[-1]
        if number == 0:
            yield f"logits {' '.join(map(str, logits))}"
            yield f"weights {' '.join(map(str, relative))}"
            yield f"sums {' '.join(map(str, sums))}"
        yield (
            f"draw {number}: context {' '.join(map(str, context))}, largest logit {max(logits)}, total {sums[-1]}, "
            f"uniform {uniform} / 2^53, point {point:.4f}"
        )
        before = sums[symbol - 1] if symbol else 0
        yield f"  {before} <= point < {sums[symbol]}: id {symbol}, {model.symbols[symbol] or 'the end'}"
    yield f"name: {text}"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in lines()))
