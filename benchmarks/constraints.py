"""Whether constrained names come as often as the model invents them, and how fast.

    python benchmarks/constraints.py [--quick]

Prints the figures of docs/constraints.md as Markdown, and its progress to stderr. The truth is what remains of many
free names when those that do not match are dropped. Speeds are measured in fresh processes, one at a time.
"""

import argparse
import math
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import generation_tasks as tasks
import numpy as np
from generation_speed import fresh, print_table
from numpy.typing import NDArray

import sequentia
from sequentia.model import SequenceModel
from sequentia.options import Plan
from sequentia.sampling import log_softmax
from sequentia.windows import context_after

Options = Mapping[str, Any]

_AVOIDED = ["ma", "xx", "sex"]
_CONSTRAINTS: tuple[Options, ...] = (
    {"pattern": ".*son"},
    {"pattern": ".*anna"},
    {"pattern": ".*(a|ie|elle)"},
    {"pattern": "ma[rt].*a"},
    {"min_length": 3, "max_length": 3},
    {"min_length": 8, "max_length": 8},
    {"min_length": 12, "max_length": 12},
    {"max_length": 5},
    {"suffix": "a", "avoid": _AVOIDED},
    {"suffix": "son", "avoid": _AVOIDED},
    {"temperature": 0.7, "pattern": ".*son"},
    {"temperature": 0.7, "min_length": 8, "max_length": 8},
)
_TIMED: tuple[tuple[Options, float], ...] = (  # with the goal, in names a second
    ({}, 0),
    ({"pattern": ".*son"}, 10_000),
    ({"min_length": 12, "max_length": 12}, 2_000),
    ({"pattern": ".*anna", "min_length": 11, "max_length": 11}, 500),
    ({"pattern": ".*q.*x.*a"}, 50),
)
_FIRST = 0.150  # seconds
_CLOSE = 0.05  # nats, and symbols
_RATIO = 1.1
_SPLITS = 50


class Scale(NamedTuple):
    """The number of names and rounds."""

    free: int
    compared: int
    masked: int
    timed: int
    rounds: int


_FULL = Scale(10_000_000, 50_000, 20_000, 10_000, 3)
_QUICK = Scale(1_000_000, 10_000, 2_000, 1_000, 2)


def label(options: Options) -> str:
    shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"`{shown}`".replace("|", r"\|") if options else "none"


def matcher(options: Options) -> re.Pattern[str]:
    """Return what finds the names that meet constraints in lines, without the library's automata."""
    shortest, longest = options.get("min_length", 1), options.get("max_length", "")
    avoided = "".join(f"(?!.*{text})" for text in options.get("avoid", ()))
    ending = f"(?=.*{options.get('suffix', '')}$)"
    return re.compile(f"^(?=.{{{shortest},{longest}}}$){ending}{avoided}(?:{options.get('pattern', '.*')})$", re.M)


def filtered(model: SequenceModel, scale: Scale) -> list[tuple[int, list[str]]]:
    """Return for each constraint how many free names meet it, and the first of them."""
    counts, kept = [0] * len(_CONSTRAINTS), [list[str]() for _ in _CONSTRAINTS]
    matchers = [matcher(options) for options in _CONSTRAINTS]
    temperatures = [options.get("temperature", 1.0) for options in _CONSTRAINTS]
    for temperature in sorted(set(temperatures)):
        print(f"{scale.free} free names, temperature {temperature}", file=sys.stderr)
        for batch in model.batches(scale.free, seed="truth", temperature=temperature):
            lines = "\n".join(model.vocabulary.decode(batch))
            for i, find in enumerate(matchers):
                if temperatures[i] == temperature:
                    found = [match[0] for match in find.finditer(lines)]
                    counts[i] += len(found)
                    kept[i] += found[: scale.compared - len(kept[i])]
    return list(zip(counts, kept, strict=True))


def masked_names(model: SequenceModel, options: Options, count: int) -> list[str]:
    """Draw names as the former method did: each symbol of those that can still lead to a match."""
    plan, random = Plan.of(options, model.vocabulary, model.config.max_length), np.random.default_rng(1)
    contexts = np.repeat(context_after(plan.prefix, model.config.block_size), count, axis=0)
    states, names = np.full(count, plan.start), np.zeros((count, plan.max_length), dtype=np.int64)
    going = np.arange(count)
    for length in range(plan.max_length):
        scaled = np.where(plan.constraint.allowed(length, states), model.logits(contexts) / plan.temperature, -np.inf)
        ids = (log_softmax(scaled) + random.gumbel(size=scaled.shape)).argmax(axis=1)
        names[going, length] = ids
        going, states, contexts, ids = (each[ids > 0] for each in (going, states, contexts, ids))
        states, contexts = plan.constraint.after(states, ids), np.column_stack([contexts[:, 1:], ids])
    return model.vocabulary.decode(names)


def comparison(*values: NDArray[np.float64]) -> list[str]:
    """Return cells for the means of true, drawn and masked names."""
    true, drawn, masked = [f"{each.mean():.3f}" for each in values]
    apart = float(values[1].mean() - values[0].mean())
    error = math.sqrt(sum(each.var() / len(each) for each in values[:2]))
    return [true, drawn, f"{apart:+.3f} ± {error:.3f}", met(abs(apart), _CLOSE), masked]


def variations(truth: Sequence[str], drawn: Sequence[str]) -> tuple[float, float]:
    """Return the total variation over two symbols of drawn and true names, and of two halves of the truth.

    Every sample has half as many names as there are; the means of random halves. The two symbols are the first after
    those with which all names begin.
    """
    start = len(os.path.commonprefix([*truth, *drawn]))  # noqa: RUF071 - of strings, on purpose
    pairs, codes = np.unique([name[start : start + 2] for name in (*truth, *drawn)], return_inverse=True)
    random, half, found = np.random.default_rng(1), len(truth) // 2, []
    for _ in range(_SPLITS):
        both = [random.permutation(each)[: 2 * half].reshape(2, half) for each in np.split(codes, [len(truth)])]
        (a, b), (c, d) = [[np.bincount(x, minlength=len(pairs)) / half for x in halves] for halves in both]
        between = [np.abs(x - y).sum() / 2 for x in (a, b) for y in (c, d)]
        found.append((np.mean(between), np.abs(a - b).sum() / 2))
    between_mean, within = np.mean(found, axis=0).tolist()
    return between_mean, within


def met(value: float, most: float) -> str:
    return "yes" if value <= most else "**no**"


def print_truth(model: SequenceModel, scale: Scale) -> None:
    chances, likelihoods, lengths, starts = [list[Sequence[str]]() for _ in range(4)]
    for options, (count, true) in zip(_CONSTRAINTS, filtered(model, scale), strict=True):
        what, share, chance = label(options), count / scale.free, model.probability(**options)
        print(what, file=sys.stderr)
        drawn = model.generate(len(true), seed="drawn", **options)
        masked = masked_names(model, options, scale.masked)
        assert all(map(matcher(options).fullmatch, drawn + masked)), what
        error = math.sqrt(share * (1 - share) / scale.free)
        apart = (chance.value - share) / math.hypot(error, chance.error)
        estimates = f"{share:.4g} ± {error:.1g}", f"{chance.value:.4g} ± {chance.error:.1g}", f"{apart:+.1f}"
        chances.append((what, f"{count:,}", *estimates, f"{chance.clipped:.2%}"))
        samples = true, drawn, masked
        likelihoods.append((what, *comparison(*map(model.score, samples))))
        lengths.append((what, *comparison(*(np.array([float(len(x)) for x in names]) for names in samples))))
        between, within = variations(true, drawn)
        ratio = f"{between:.4f}", f"{within:.4f}", f"{between / within:.2f}", met(between / within, _RATIO)
        starts.append((what, f"{len(true) // 2:,}", *ratio))
    header = ["constraint", "free names", "by filtering", "`model.probability`", "apart", "clipped"]
    note = (
        f"The share of {scale.free:,} free names that meet the constraint, and the model's own estimate, with "
        "standard errors; how far they are apart, in standard errors of the difference. The clipped share is an "
        "estimate of what is missing from the drawn names."
    )
    print_table("How probable they are", note, header, chances)
    header = ["constraint", "true", "drawn", "drawn less true", f"within {_CLOSE}", "masked"]
    note = (
        f"The mean log-probability, in nats at temperature 1, of the first {scale.compared:,} true names, or as many "
        f"as there are; of as many drawn with the constraint and another seed; and of {scale.masked:,} names of the "
        "former method, which masks symbols. The differences have standard errors, which are large where true names "
        "are few."
    )
    print_table("How likely the names are", note, header, likelihoods)
    print_table("How long the names are", "The mean length of the same names, in symbols.", header, lengths)
    header = ["constraint", "names", "true, drawn", "true, true", "ratio", f"at most {_RATIO}"]
    note = (
        "The total variation between true and drawn names over the two symbols after those with which all names "
        "begin, and that between two halves of the truth. Each sample has as many names as half of the truth, since "
        f"the total variation depends on that; means of {_SPLITS} random halves."
    )
    print_table("How the names begin", note, header, starts)


def print_speed(model: SequenceModel, scale: Scale) -> None:
    rows = []
    for options, goal in _TIMED:
        chance = model.probability(**options)
        rounds = [fresh(tasks.constrained, names=scale.timed, options=options) for _ in range(scale.rounds)]
        first, rate = min(first for first, _ in rounds), max(rate for _, rate in rounds)
        shown = f"{chance.value:.2g} ± {chance.error:.1g}" if options else ""
        reached = (f"{goal:,}", met(goal, rate)) if goal else ("", "")
        rows.append((label(options), shown, f"{first * 1e3:.0f}", met(first, _FIRST), f"{rate:,.0f}", *reached))
    header = ["constraint", "probability", "first name, ms", f"at most {_FIRST * 1e3:.0f}", "names/s", "goal", "met"]
    note = (
        f"On one thread, best of {scale.rounds} fresh processes, without imports and loading. The first name includes "
        f"all that is done once for a constraint; the {scale.timed:,} names after it do not."
    )
    print_table("How fast", note, header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether constrained names are distributed as they should be.")
    parser.add_argument("--quick", action="store_true", help="fewer names and rounds")
    scale = _QUICK if parser.parse_args().quick else _FULL
    model = sequentia.load("names")
    print("<!-- figures -->")
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"{os.cpu_count()} cores, {system}, numpy {version('numpy')}, onnxruntime {version('onnxruntime')}.\n")
    print_truth(model, scale)
    print_speed(model, scale)
    print("<!-- end -->")


if __name__ == "__main__":
    main()
