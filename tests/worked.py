"""How one name of the bundled model is drawn, as docs/format.md shows it: ``python -m tests.worked``."""

import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import sequentia

from . import plain, plain_constraints, plain_names

SEED, NAME = 42, 42


def lines() -> Iterator[str]:
    """Yield the lines of the example."""
    model = plain.Plain(Path(sequentia.__file__).parent / "models" / "names")
    attempts = plain_names.attempts_of(model, {})
    draws = attempts.draws
    first = NAME * draws // 4 + 1
    yield f"seed {SEED}, name {NAME}, attempt 0; {draws} uniform numbers a name"
    words = " ".join(f"{word:016x}" for word in plain.philox(plain.key_of(SEED), (first, 0, 0, 0)))
    yield f"philox, key ({SEED}, 0), counter ({first}, 0, 0, 0): {words}"
    steps: list[plain_constraints.Step] = []
    ids = attempts.free(SEED, NAME, 0, steps)
    for number, (before, relative, uniform, symbol) in enumerate(steps):
        context = model.context(before)
        logits = model.after(context)
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
        below = sums[symbol - 1] if symbol else 0
        yield f"  {below} <= point < {sums[symbol]}: id {symbol}, {model.symbols[symbol] or 'the end'}"
    assert ids is not None
    yield f"name: {''.join(model.symbols[i] for i in ids)}"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in lines()))
