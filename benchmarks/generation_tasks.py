"""The tasks that generation_speed.py and constraints.py measure, each in a process of its own.

    python benchmarks/generation_tasks.py TASK '{"argument": ...}'

Prints the result of the task as JSON. The peers are onnxruntime alone; markovify, with three characters of state; and
the sampler of makemore.py (A. Karpathy, makemore) with its default MLP, restated here: for every symbol it runs the
network over all positions so far of all names, for as many steps as the longest name has symbols.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:  # each process loads only what it measures
    import numpy as np
    from numpy.typing import NDArray

    from sequentia.model import SequenceModel
    from sequentia.options import Plan


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def forgetful(model: "SequenceModel") -> "SequenceModel":
    """Return a model that remembers neither logits nor how names begin."""
    from sequentia.beginnings import Beginnings
    from sequentia.logit_cache import LogitCache
    from sequentia.lookahead import Methods

    class Forgetful(Methods):
        def beginnings(self, plan: "Plan") -> Beginnings:
            return Beginnings(self.cache, plan, 0)

    cache = LogitCache(model.logits, model.config.block_size, model.vocabulary.size, remember=False)
    model._bindings._known[()] = Forgetful(cache)
    return model


def session_of(graph: Path | bytes) -> Any:
    """Open a graph, its path or its contents, as a model does, on one thread."""
    from sequentia.session import open_session

    return open_session(graph)


def bundled_graph() -> Path:
    from sequentia import artifact
    from sequentia.resolve import locate

    return locate("names") / artifact.GRAPH


def facts() -> dict[str, Any]:
    import sequentia

    config = sequentia.load("names").config
    return {
        "graph": str(bundled_graph()),
        "block_size": config.block_size,
        "model": f"{config.architecture.describe()}; {config.architecture.parameters:,} parameters",
    }


def one_name(seeds: int) -> list[float]:
    """Return the mean seconds of a call with memory, of one without, of the bare runs, and the mean number of runs."""
    import sequentia
    from sequentia.windows import context_after

    warm, cold, session = sequentia.load("names"), forgetful(sequentia.load("names")), session_of(bundled_graph())
    config, spent = warm.config, []
    for seed in range(seeds):
        (name,) = cold.generate(seed=seed)
        ids = warm.vocabulary.encode(name)
        contexts = [context_after(ids[:end], config.block_size) for end in range(min(len(name) + 1, config.max_length))]
        spent.append(
            (
                seconds_of(lambda seed=seed: warm.generate(seed=seed)),  # type: ignore[misc]
                seconds_of(lambda seed=seed: cold.generate(seed=seed)),  # type: ignore[misc]
                seconds_of(lambda contexts=contexts: [session.run(["logits"], {"context": x}) for x in contexts]),  # type: ignore[misc]
                len(contexts),
            )
        )
    return [mean(column) for column in zip(*spent, strict=True)]


def to_arrow(names: int, threads: int, seed: int) -> float:
    import sequentia
    import sequentia.arrow

    model = sequentia.load("names", threads=threads)
    return names / seconds_of(lambda: model.generate_arrow(names, seed=seed))


def constrained(names: int, options: dict[str, Any]) -> list[float]:
    """Return the seconds to the first name, and the names a second after it."""
    import sequentia

    model = sequentia.load("names")
    first = seconds_of(lambda: model.generate(seed=0, **options))
    return [first, names / seconds_of(lambda: model.generate(names, seed=1, **options))]


def markov_chain(names: int, corpus: str) -> float:
    try:
        import markovify
    except ModuleNotFoundError:
        sys.exit("markovify is missing: pip install markovify")
    lines = Path(corpus).read_text(encoding="utf-8").split()
    chain = markovify.Chain([list(line) for line in lines], 3).compile()
    return names / seconds_of(lambda: ["".join(chain.gen()) for _ in range(names)])


def makemore(names: int, batch: int, threads: int, corpus: str) -> float:
    try:
        import torch
    except ModuleNotFoundError:
        sys.exit("torch is missing: pip install -c constraints.txt '.[train]'")
    from torch import nn

    torch.set_num_threads(threads)
    lines = Path(corpus).read_text(encoding="utf-8").split()
    letters = sorted({letter for line in lines for letter in line})
    ids, block_size, width = len(letters) + 1, max(map(len, lines)) + 1, 64
    embedding = nn.Embedding(ids + 1, width)  # one more, for what stands before the start
    layers = nn.Sequential(nn.Linear(block_size * width, width), nn.Tanh(), nn.Linear(width, ids))

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        embedded = []
        for _ in range(block_size):
            embedded.append(embedding(tokens))
            tokens = torch.roll(tokens, 1, 1)
            tokens[:, 0] = ids
        output: torch.Tensor = layers(torch.cat(embedded, -1))
        return output

    @torch.no_grad()
    def sample() -> list[str]:
        tokens = torch.zeros((batch, 1), dtype=torch.int64)
        for _ in range(block_size - 1):
            chances = torch.softmax(logits(tokens[:, -block_size:])[:, -1], dim=-1)
            tokens = torch.cat([tokens, torch.multinomial(chances, num_samples=1)], dim=1)
        rows = ([*row[1:], 0] for row in tokens.tolist())
        return ["".join(letters[symbol - 1] for symbol in row[: row.index(0)]) for row in rows]

    sample()
    return names / seconds_of(lambda: [sample() for _ in range(names // batch)])


def matrix_rate(width: int) -> float:
    """Return the float32 operations a second of a matrix product."""
    import numpy as np

    random = np.random.default_rng(0)
    left, right = (random.standard_normal((n, width), dtype=np.float32) for n in (4096, width))
    return 2 * left.size * width / min(seconds_of(lambda: left @ right) for _ in range(10))


def copy_rate(size: int, threads: int) -> float:
    """Return the bytes a second that copying reads and writes, in buffers of ``size`` bytes in all."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    blocks = [(np.ones(size // threads, dtype=np.uint8), np.ones(size // threads, dtype=np.uint8))] * threads
    times = max(1, (1 << 28) // size)

    def copy(block: "tuple[NDArray[np.uint8], NDArray[np.uint8]]") -> None:
        for _ in range(times):
            np.copyto(*block)

    with ThreadPoolExecutor(threads) as pool:
        return times * 2 * size / min(seconds_of(lambda: list(pool.map(copy, blocks))) for _ in range(10))


def distinct(contexts: "NDArray[np.unsignedinteger]", ids: int) -> "NDArray[np.unsignedinteger]":
    """Return the distinct contexts; each is turned into a number whose digits are its ids."""
    import numpy as np

    numbers, limit = np.zeros(len(contexts), dtype=np.int64), 1
    for column in contexts.T:
        if limit * ids > 1 << 62:  # go on with shorter numbers
            found, numbers = np.unique(numbers, return_inverse=True)
            limit = len(found)
        numbers, limit = numbers * ids + column, limit * ids
    return contexts[np.unique(numbers, return_index=True)[1]]


def counts(names: int) -> dict[str, Any]:
    """Return the numbers of contexts, drawn symbols and bytes of a stream, and the sizes of the network."""
    import numpy as np

    import sequentia
    from sequentia.architectures import MLPArchitecture

    model = sequentia.load("names")
    architecture, ids, block_size = model.config.architecture, model.vocabulary.size, model.config.block_size
    assert isinstance(architecture, MLPArchitecture)
    drawn = np.concatenate(list(model.batches(names, seed=0)))
    padded = np.pad(drawn, ((0, 0), (block_size, 0)))
    found, symbols = [], 0
    for place in range(drawn.shape[1]):
        going_on = np.ones(names, dtype=bool) if place == 0 else drawn[:, place - 1] != 0
        symbols += int(going_on.sum())
        found.append(distinct(padded[going_on, place : place + block_size], ids))
    return {
        "contexts": len(distinct(np.concatenate(found), ids)),
        "symbols": symbols,
        "bytes": int(np.count_nonzero(drawn)),
        "ids": ids,
        "block_size": block_size,
        "hidden": architecture.hidden_sizes,
        "direct": bool(architecture.direct),
    }


def streaming(names: int, ending: str) -> tuple[float, int]:
    """Return the seconds of a stream, and the peak of this process in bytes."""
    import sequentia
    from sequentia.output import format_of

    model = sequentia.load("names", threads=2)

    def stream() -> None:
        if not ending:
            for _ in model.batches(names, seed=1):
                pass
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"names{ending}")
            with path.open("wb") as file:
                writer = format_of(path)(file, model.vocabulary, scored=False)
                for batch in model.batches(names, seed=1):
                    writer.write(batch, None)
                writer.close()

    seconds = seconds_of(stream)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def plain_names(model: "SequenceModel", n: int, *, once: bool) -> Iterator[str]:
    """Yield the names of a stream, in batches of 1,024, with one row of the network for each symbol of a name.

    Args:
        model: computes the logits.
        n: number of names.
        once: whether names of a batch that have the same context share a row.
    """
    import numpy as np

    most = model.config.max_length
    for first in range(0, n, 1024):
        names = np.zeros((min(1024, n - first), most + 1), dtype=model.vocabulary.dtype)
        rows, attempt = np.arange(len(names)), 0
        while len(rows):  # a name that grows too long is drawn again
            names[rows] = plain_attempts(model, first, rows, attempt, once=once)
            rows, attempt = rows[names[rows, most] != 0], attempt + 1
        yield from model.vocabulary.decode(names[:, :most])


def plain_attempts(
    model: "SequenceModel", first: int, rows: "NDArray[np.intp]", attempt: int, *, once: bool
) -> "NDArray[np.unsignedinteger]":
    """Return the ids of one attempt at some names, [rows, max_length + 1]."""
    import numpy as np

    from sequentia.sampling import distances, draws_per_name, uniforms_of, weights

    block_size, draws = model.config.block_size, model.config.max_length + 1
    (uniform,) = uniforms_of(1, first, rows, draws_per_name(draws), [attempt])
    names = np.zeros((len(rows), block_size + draws), dtype=model.vocabulary.dtype)
    active, allowed = np.arange(len(rows)), np.ones(model.vocabulary.size, dtype=bool)
    for length in range(draws):
        contexts = names[active, length : length + block_size]
        if once:
            texts = contexts.view(f"V{contexts.shape[1] * contexts.itemsize}")[:, 0]
            _, chosen, inverse = np.unique(texts, return_index=True, return_inverse=True)
            logits = model.logits(contexts[chosen].astype(np.int64))[inverse]
        else:
            logits = model.logits(contexts.astype(np.int64))
        allowed[0] = length > 0
        cumulative = np.cumsum(weights(distances(logits), allowed=allowed), axis=1)
        total = cumulative[:, -1]
        points = np.minimum(uniform[active, length] * total, np.nextafter(total, 0.0))
        symbols = (cumulative <= points[:, None]).sum(axis=1)
        names[active, block_size + length] = symbols
        active = active[symbols != 0]
        if not len(active):
            break
    return names[:, block_size:]


def route(names: int, which: str) -> tuple[float, str]:
    """Return the seconds of a route, and a checksum of its names."""
    import hashlib

    import sequentia

    model = sequentia.load("names")
    if "forgetful" in which:
        forgetful(model)
    start = time.perf_counter()
    drawn = list(plain_names(model, names, once="once" in which)) if "plain" in which else model.generate(names, seed=1)
    seconds = time.perf_counter() - start
    return seconds, hashlib.sha256("\n".join(drawn).encode()).hexdigest()


def first_layers() -> dict[str, list[float]]:
    """Return the seconds of runs of 256 and of 8 rows, for each way to look up the first layer."""
    import numpy as np

    from sequentia import artifact
    from sequentia.architectures import mlp

    source = artifact.read(bundled_graph().parent)
    contexts = np.random.default_rng(0).integers(0, source.vocabulary.size, (256, source.config.block_size))
    sessions = {"bundled": session_of(bundled_graph())}
    for kind, most in (("symbols", 0), ("pairs", 1 << 30)):
        with patch.object(mlp, "_LARGEST_TABLES", most):
            sessions[kind] = session_of(artifact.graph_of(source.config, source.tensors))
    spent: dict[str, list[float]] = {}
    for rows in (256, 8):
        runs: dict[str, list[float]] = {kind: [] for kind in sessions}
        for _ in range(100):
            for kind, session in sessions.items():
                runs[kind].append(seconds_of(lambda: session.run(["logits"], {"context": contexts[:rows]})))  # noqa: B023
        for kind, seconds in runs.items():
            spent.setdefault(kind, []).append(median(seconds))
    return spent


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        facts,
        one_name,
        to_arrow,
        constrained,
        markov_chain,
        makemore,
        matrix_rate,
        copy_rate,
        counts,
        streaming,
        route,
        first_layers,
    )
}


if __name__ == "__main__":
    _, chosen, given = sys.argv
    print(json.dumps(TASKS[chosen](**json.loads(given))))
