"""Reproduce published figures: train each model of docs/ladder.md and compare its losses with the source.

The figures come from the public lectures "neural networks: zero to hero" (A. Karpathy; parts 1 to 3 of makemore) and
the notebooks that accompany them, on the list names.txt of karpathy/makemore. Those of the two counting models were
measured with another implementation.
"""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from sequentia.arithmetic import Inputs
from sequentia.cluster import available_cores
from sequentia.errors import TrainingError
from sequentia.vocabulary import Vocabulary
from sequentia.windows import windows

from .checkpoint import CHECKPOINT, Checkpoint
from .corpus import Corpus, read_corpus
from .descent import HISTORY
from .diagnostics import read_diagnostics
from .kinds import Recipe
from .learning_rates import find_learning_rate, read_search
from .parts import split
from .recipes import read_recipe
from .trainer import train

_SEED: Final = 2147483647
_NAMES_SHA256: Final = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

Values = Sequence[float | str]


@dataclass(frozen=True)
class Row:
    """Published figures beside our own.

    Attributes:
        what: the quantity and its recipe.
        published: the published figures.
        ours: our figures, with as many digits.
        verdict: ``exact`` if every digit agrees, ``within`` and the tolerance, or ``MISSED``.
    """

    what: str
    published: str
    ours: str
    verdict: str

    @classmethod
    def of(cls, what: str, published: str, measured: Values, tolerance: float | None = None) -> "Row":
        """Compare measured with published figures; they may differ only by the tolerance, if there is one."""
        texts = published.split()
        ours = [_like(text, value) for text, value in zip(texts, measured, strict=True)]
        near = tolerance is not None and all(
            abs(float(text) - float(value)) <= tolerance for text, value in zip(texts, measured, strict=True)
        )
        verdict = "exact" if ours == texts else f"within {tolerance:g}" if near else "MISSED"
        return cls(what, published, " ".join(ours), verdict)


def _like(published: str, value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.{len(published.partition('.')[2])}f}"


@dataclass(frozen=True)
class _Check:
    what: str
    published: str
    measure: Callable[[Path], Values]
    tolerance: float | None = None


@dataclass(frozen=True)
class _Run:
    """A training run or learning-rate search, and its checks. Runs that are not ``quick`` take minutes."""

    name: str
    recipe: str
    checks: tuple[_Check, ...]
    overrides: tuple[str, ...] = ()
    quick: bool = False
    search: bool = False


# Figures read from a run folder


def _losses(*steps: int) -> Callable[[Path], Values]:
    def measure(folder: Path) -> Values:
        lines = (folder / HISTORY).read_bytes().splitlines()
        return [msgspec.json.decode(lines[step])["loss"] for step in steps]

    return measure


def _parts(*parts: str) -> Callable[[Path], Values]:
    def measure(folder: Path) -> Values:
        metrics = Checkpoint.load(folder).record.metrics
        losses = [getattr(metrics, part) for part in parts]
        return [math.nan if loss is None else loss.loss for loss in losses]

    return measure


def _dead_units(folder: Path) -> Values:
    return [math.nan if layer.dead is None else layer.dead for layer in read_diagnostics(folder)[0].layers]


def _suggested_exponent(folder: Path) -> Values:
    return [math.log10(read_search(folder).suggested)]


def _samples(folder: Path) -> Values:
    """Draw five names the way the lecture does; this package draws them differently."""
    checkpoint = Checkpoint.load(folder)
    symbols = (".", *checkpoint.record.vocabulary)
    probabilities = checkpoint.weights["weight"].softmax(dim=1)
    generator = torch.Generator().manual_seed(_SEED)
    names = []
    for _ in range(5):
        ids = [0]
        while not ids[1:] or ids[-1]:
            ids.append(int(torch.multinomial(probabilities[ids[-1]], 1, replacement=True, generator=generator)))
        names.append("".join(symbols[i] for i in ids[1:]))
    return names


_RUNS: Final = (
    _Run(
        "bigram-counts",
        "bigram-counts",
        (
            _Check("bigram-counts: train", "2.45", _parts("train"), 0.01),
            _Check("bigram-counts: dev, test (of another implementation)", "2.453 2.458", _parts("dev", "test")),
        ),
        quick=True,
    ),
    _Run(
        "bigram-emma",
        "bigram",
        (_Check("bigram, emma alone, rate 0.1: loss at steps 0 to 2", "3.7693 3.7492 3.7292", _losses(0, 1, 2)),),
        ("split=all", "first_names=1", "learning_rate=0.1", "l2=0", "steps=3"),
        quick=True,
    ),
    _Run(
        "bigram-all",
        "bigram",
        (
            _Check(
                "bigram, all names: loss at steps 0, 1, 10, 99", "3.7686 3.3788 2.6965 2.4901", _losses(0, 1, 10, 99)
            ),
            _Check("the same: five samples", "cexze. momasurailezityha. konimittain. llayn. ka.", _samples),
        ),
        ("split=all", "steps=100"),
        quick=True,
    ),
    _Run(
        "mlp-2d-five",
        "mlp-2d",
        (
            _Check(
                "mlp-2d, first five names, full batch: loss at steps 0 to 9",
                "17.7697 13.6564 11.2988 9.4525 7.9843 6.8913 6.1000 5.4520 4.8982 4.4147",
                _losses(*range(10)),
            ),
        ),
        ("split=all", "first_names=5", "batch_size=0", "steps=10"),
        quick=True,
    ),
    _Run(
        "mlp-2d-all",
        "mlp-2d",
        (_Check("mlp-2d, all names, full batch: loss at steps 0, 1, 9", "19.5052 17.0845 11.0519", _losses(0, 1, 9)),),
        ("split=all", "batch_size=0", "steps=10"),
        quick=True,
    ),
    _Run(
        "find-lr",
        "mlp-2d",
        (_Check("mlp-2d, find-lr: exponent of the rate in the valley", "-1.0", _suggested_exponent, 0.3),),
        ("split=all",),
        quick=True,
        search=True,
    ),
    _Run("mlp-first", "mlp", (_Check("mlp: first loss", "27.8817", _losses(0)),), ("steps=1",), quick=True),
    _Run(
        "mlp-init-first",
        "mlp-init",
        (
            _Check("mlp-init: first loss, near ln 27 = 3.2958", "3.3179", _losses(0)),
            _Check("mlp-init: share of tanh units saturated on every window", "0.0000", _dead_units),
        ),
        ("steps=1",),
        quick=True,
    ),
    _Run(
        "mlp-batchnorm-first",
        "mlp-batchnorm",
        (_Check("mlp-batchnorm: first loss", "3.3239", _losses(0)),),
        ("steps=1",),
        quick=True,
    ),
    _Run(
        "deep-batchnorm-first",
        "deep-batchnorm",
        (_Check("deep-batchnorm: first loss, near ln 27 = 3.2958", "3.2870", _losses(0)),),
        ("steps=1",),
        quick=True,
    ),
    _Run(
        "ngram",
        "ngram",
        (_Check("ngram, order 6: dev, test (of another implementation)", "1.9835 1.9864", _parts("dev", "test")),),
        quick=True,
    ),
    _Run("mlp-2d", "mlp-2d", (_Check("mlp-2d: train, dev", "2.267 2.268", _parts("train", "dev"), 0.01),)),
    _Run(
        "mlp-2d-300", "mlp-2d-300", (_Check("mlp-2d-300: train, dev", "2.2070 2.2205", _parts("train", "dev"), 0.01),)
    ),
    _Run(
        "mlp-half",
        "mlp",
        (_Check("mlp, half the steps: train, dev", "2.1562 2.1875", _parts("train", "dev"), 0.01),),
        ("steps=100000", "learning_rate_drops=[80000]"),
    ),
    _Run("mlp", "mlp", (_Check("mlp: train, dev", "2.126 2.170", _parts("train", "dev"), 0.01),)),
    _Run("mlp-init", "mlp-init", (_Check("mlp-init: train, dev", "2.036 2.103", _parts("train", "dev"), 0.01),)),
    _Run(
        "mlp-batchnorm",
        "mlp-batchnorm",
        (
            _Check(
                "mlp-batchnorm: loss at every 10,000th step",
                "3.3239 2.0322 2.5675 2.0125 2.2446 1.8897 2.0785 2.3681 2.2918 2.0238 "
                "2.3673 2.3132 1.6414 1.9311 2.2231 2.0027 2.0997 2.4949 2.0199 2.1707",
                _losses(*range(0, 200_000, 10_000)),
                0.01,
            ),
            _Check("mlp-batchnorm: train, dev", "2.067 2.105", _parts("train", "dev"), 0.01),
        ),
    ),
    _Run(
        "deep-batchnorm",
        "deep-batchnorm",
        (_Check("deep-batchnorm: train, dev", "2.011 2.082", _parts("train", "dev"), 0.02),),
    ),
)


def reproduce(corpus: Path, folder: Path, *, quick: bool = False, report: Callable[[str], None]) -> Iterator[Row]:
    """Reproduce the published figures, one run per core at a time, and yield a row for each comparison.

    Args:
        corpus: the list of names that the figures were measured on.
        folder: receives the runs. Finished runs in it are not repeated, and unfinished ones are continued.
        quick: skip the runs that take minutes.
        report: called with lines of progress.

    Raises:
        CorpusError: if the corpus cannot be used.
        TrainingError: if a run fails.
    """
    data = read_corpus(corpus)
    if data.record.sha256 != _NAMES_SHA256:
        report(f"{corpus} is not the list that the figures were measured on: expect to miss them")
    yield from _data_rows(data)
    runs = [run for run in _RUNS if run.quick or not quick]
    workers = min(len(runs), available_cores())
    slow = [run for run in reversed(runs) if not run.quick]  # the slowest first
    waiting = iter([*(run for run in runs if run.quick), *slow])
    shown, done = iter(runs), set[str]()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    running: dict[Future[None], _Run] = {}
    try:
        running = {_submit(pool, corpus, folder, run): run for run in islice(waiting, workers)}
        upcoming = next(shown, None)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                done.add(running.pop(future).name)
                running |= {_submit(pool, corpus, folder, run): run for run in islice(waiting, 1)}
            report(f"{len(done)} of {len(runs)} runs done")
            while upcoming is not None and upcoming.name in done:
                for check in upcoming.checks:
                    yield Row.of(check.what, check.published, check.measure(folder / upcoming.name), check.tolerance)
                upcoming = next(shown, None)
    except BrokenProcessPool as error:
        raise TrainingError(f"a process that trained was killed; the runs so far are in {folder}") from error
    finally:
        if running:
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown()


def _start_worker() -> None:
    """Use one thread per run, and leave Ctrl-C to the main process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _submit(pool: ProcessPoolExecutor, corpus: Path, folder: Path, run: _Run) -> Future[None]:
    return pool.submit(_run, corpus, folder / run.name, run.recipe, run.overrides, run.search)


def _run(corpus: Path, folder: Path, recipe: str, overrides: Sequence[str], search: bool) -> None:
    if search:
        find_learning_rate(corpus, folder, recipe=recipe, overrides=overrides, device="cpu")
    else:
        train(corpus, folder, recipe=recipe, overrides=overrides, resume=(folder / CHECKPOINT).is_file(), device="cpu")


def _data_rows(corpus: Corpus) -> Iterator[Row]:
    everything = split(corpus, "all").train
    yield Row.of("names, context windows", "32033 228146", [str(len(corpus)), str(everything.windows)])
    five = split(corpus, "all", first_names=5).train
    contexts, targets = windows(five.tokens, np.arange(five.windows), 3)
    described = [_describe(contexts[i], int(targets[i]), corpus.vocabulary) for i in (0, -1)]
    yield Row.of(
        "first five names: windows of three symbols, the first, the last",
        "32 ...→e hia→.",
        [str(five.windows), *described],
    )
    parts = split(corpus, "lecture")
    each = (parts.train, parts.dev, parts.test)
    yield Row.of("lecture split: names", "25626 3203 3204", [str(part.names) for part in each])
    yield Row.of("lecture split: windows", "182625 22655 22866", [str(part.windows) for part in each])
    recipes = ("mlp-2d", "mlp-2d-300", "mlp", "mlp-init", "mlp-batchnorm", "deep-batchnorm")
    yield Row.of(
        f"parameters of {', '.join(recipes)}",
        "3481 10281 11897 11897 12097 47551",
        [str(_parameters(read_recipe(recipe), corpus)) for recipe in recipes],
    )


def _parameters(recipe: Recipe, corpus: Corpus) -> int:
    return recipe.structure(Inputs(recipe.block_size, corpus.vocabulary.size)).parameters


def _describe(context: NDArray[np.int64], target: int, vocabulary: Vocabulary) -> str:
    symbols = (".", *vocabulary.symbols)
    return "".join(symbols[i] for i in context) + "→" + symbols[target]
