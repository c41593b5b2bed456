"""Small models of every kind, with invented weights, for the golden vectors.

``python -m tests.golden`` writes their folders to ``tests/data/golden/models``.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sequentia import artifact
from sequentia.architectures import (
    Architecture,
    BigramArchitecture,
    GRUArchitecture,
    MLPArchitecture,
    NGramArchitecture,
)
from sequentia.architectures.gru import GATES
from sequentia.architectures.mlp import Activation, Layer, Skip
from sequentia.architectures.tree import Tree
from sequentia.config import FORMAT_VERSION, Config, CorpusRecord, Metrics, Samples, Training
from sequentia.novelty import KnownNames
from sequentia.weights import Tensors, narrowest

from . import plain, plain_names

LETTERS = "abcdefgh"
WORDS = ("the", "of", "Zoë", "O'Neil,", "n°5", "a", "😀", "THE", "—", "\ufffd")  # the last one is the unknown word
UNUSUAL = "aex\u0301é😀 ß"  # a letter and U+0301 may compose, so that some names are not in NFC
MAX_LENGTH = 10
NO_HASH = "0" * 64

Integers = NDArray[np.int64]
Conditions = dict[str, list[str]]
Made = tuple[int, Sequence[str], Architecture, dict[str, Integers]]
"""The block size, alphabet, architecture and tensors of a model."""

SEX_AND_DECADE: Conditions = {"sex": ["f", "m"], "decade": ["1990", "2000", "2010"]}
REGION: Conditions = {"région": ["Île", "a=b", "x, y"]}
CONDITIONS = {"mlp-where": SEX_AND_DECADE, "gru-where": SEX_AND_DECADE, "ngram-where": REGION}
"""What the models read besides a context, by the model's name."""


class Numbers:
    """Whole numbers that look random and are the same everywhere."""

    def __init__(self, seed: str) -> None:
        self._uniforms = (uniform for name in count() for uniform in plain.uniforms(seed, name, 4))

    def __call__(self, low: int, high: int, *shape: int) -> Integers:
        """Return numbers from ``low`` to ``high``, both included."""
        values = [low + (uniform * (high - low + 1) >> 53) for uniform in islice(self._uniforms, math.prod(shape))]
        return np.array(values, dtype=np.int64).reshape(shape)


def steps(numbers: Numbers, longest: int, first: int, ids: int) -> tuple[Integers, int]:
    """Return the steps from context to longer context, and how many contexts there are; ``first`` are the shortest."""
    rows: list[int] = []
    before, states = 0, first  # the states of one length, and how many there are so far
    for length in range(longest):
        level = range(before, states)
        before = states
        for _ in level:
            there = numbers(0, 3, ids) > (0 if length == 0 else 1)
            rows += [
                states + int(found) - 1 if is_there else 0
                for found, is_there in zip(there.cumsum(), there, strict=True)
            ]
            states += int(there.sum())
    return np.array(rows or [0] * ids, dtype=np.int64), states


def leaves_last(longer: Integers, states: int, ids: int) -> tuple[Integers, int]:
    """Return steps whose states that lead nowhere have the highest numbers, and how many states these steps are of."""
    steps = np.zeros((states, ids), dtype=np.int64)
    steps[: len(longer) // ids] = longer.reshape(-1, ids)
    inner = [state for state in range(states) if steps[state].any()]
    order = inner + [state for state in range(states) if not steps[state].any()]
    numbers = {state: number for number, state in enumerate(order)}
    rows = [[numbers[state] for state in steps[each]] for each in inner]
    return np.array(rows).reshape(-1), len(inner)


def step_tensors(name: str, longer: Integers) -> dict[str, Integers]:
    """Return steps as a model holds them: where they are, and where they lead."""
    places = longer.nonzero()[0] if longer.any() else np.array([0])
    return {f"{name}.gaps": np.diff(places, prepend=0), f"{name}.reached": longer[places]}


def bigram(numbers: Numbers) -> Made:
    ids = len(UNUSUAL) + 1
    return 1, UNUSUAL, BigramArchitecture(parameters=ids**2), {"table": numbers(-700, 300, ids, ids)}


def ngram(order: int, start: Sequence[int] = ()) -> Callable[[Numbers], Made]:
    """Return what makes an n-gram model; ``start`` is the state of each combination of values."""

    def make(numbers: Numbers) -> Made:
        ids = len(LETTERS) + 1
        longer, states = steps(numbers, order - 1, max(start, default=0) + 1, ids)
        architecture = NGramArchitecture(
            parameters=states * ids,
            order=order,
            discounts=[0.5, 0.75],
            tree=Tree(states=states, inner_states=len(longer) // ids, edges=max(1, states - max(start, default=0) - 1)),
        )
        tensors = {**step_tensors("table", longer), "table": numbers(-900, 0, states, ids)}
        if start:
            tensors["start"] = np.array(start)
        return max(1, order - 1), LETTERS, architecture, tensors

    return make


def mlp(
    activation: Activation,
    block_size: int,
    hidden_sizes: list[int],
    direct: int,
    low_bits: int,
    conditions: Sequence[int] = (),
    symbols: Sequence[str] = LETTERS,
    *,
    with_tree: bool = False,
    skip: Skip | None = None,
) -> Callable[[Numbers], Made]:
    """Return what makes a feed-forward network; ``conditions`` says how many ids each one's value may have."""

    def make(numbers: Numbers) -> Made:
        ids, first_bits, position_bits, unit_bits, weight_bits, direct_bits = len(symbols) + 1, 7, 5, 6, 8, 5
        widths = [*hidden_sizes, ids]
        tensors = {f"first.{place}": numbers(-90, 90, ids, widths[0]) for place in range(block_size)}
        tensors |= {f"condition.{column}": numbers(-70, 70, rows, widths[0]) for column, rows in enumerate(conditions)}
        largest = 128
        if activation != "relu":
            tensors["first.0"] += 64 << first_bits - position_bits  # so that the middle of the table stands for 0
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            if activation != "relu":
                sums = [(position - 64) / 2**position_bits for position in range(largest + 1)]
                function = math.tanh if activation == "tanh" else lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2
                values = [math.floor(function(x) * 2**unit_bits + 0.5) for x in sums]
                tensors[f"layer.{layer}.activation"] = np.array(values, dtype=np.int64)
            most = 400 >> low_bits
            tensors[f"layer.{layer}.weight"] = numbers(-most, most, inputs, outputs)
            if low_bits:
                half = 1 << low_bits - 1
                tensors[f"layer.{layer}.weight.low"] = numbers(-half, half - 1, inputs, outputs)
            middle = 64 << unit_bits + weight_bits - low_bits - position_bits
            is_last = layer == len(hidden_sizes) - 1
            bias = numbers(-600, 600, outputs)
            tensors[f"layer.{layer}.bias"] = bias if is_last or activation == "relu" else bias + middle
        tree, rows = None, ids**direct
        if with_tree:
            longer, rows = steps(numbers, direct, 1, ids)
            longer, inner = leaves_last(longer, rows, ids)
            tensors |= step_tensors("direct", longer)
            tree = Tree(states=rows, inner_states=inner, edges=rows - 1)
        if direct:
            tensors["direct"] = numbers(-40, 40, rows, ids)
        if skip:
            tensors["skip.embedding"] = numbers(-50, 50, ids, 2)
            for place in range(block_size):
                tensors[f"skip.{place}.weight"] = numbers(-30, 30, 2, ids)
                tensors[f"skip.{place}.weight.low"] = numbers(-2, 1, 2, ids)
        one_layer = Layer(
            position_bits=position_bits,
            largest=largest,
            unit_bits=position_bits if activation == "relu" else unit_bits,
            weight_bits=weight_bits,
            low_bits=low_bits,
        )
        architecture = MLPArchitecture(
            parameters=0,
            embedding_dim=2,
            hidden_sizes=hidden_sizes,
            activation=activation,
            batch_norm="none",
            direct=direct,
            first_bits=first_bits,
            layers=[one_layer] * len(hidden_sizes),
            direct_bits=direct_bits if direct else 0,
            tree=tree,
            skip=skip,
        )
        return block_size, symbols, architecture, tensors

    return make


def gru(conditions: Sequence[int] = ()) -> Callable[[Numbers], Made]:
    """Return what makes a recurrent network; ``conditions`` says how many ids each one's value may have."""
    return partial(make_gru, conditions)


def make_gru(conditions: Sequence[int], numbers: Numbers) -> Made:
    ids, units, position_bits, gate_bits, state_bits = len(LETTERS) + 1, 6, 4, 6, 7
    sigmoid = [math.floor(2**gate_bits / (1 + math.exp((64 - x) / 2**position_bits)) + 0.5) for x in range(129)]
    tanh = [math.floor(2**state_bits * math.tanh((48 - x) / -(2**position_bits)) + 0.5) for x in range(97)]
    tensors = {
        "sigmoid": np.array(sigmoid),
        "tanh": np.array(tanh),
        "start": numbers(-100, 100, math.prod(conditions), units),
        "new.bias": numbers(-8, 8, units),
        "output.weight": numbers(-150, 150, units, ids),
        "output.weight.low": numbers(-1, 0, units, ids),
        "output.bias": numbers(-5000, 5000, ids),
    }
    for gate in GATES:
        middle = 48 if gate == "new" else 64
        tensors[f"{gate}.given"] = middle + numbers(-32, 32, ids, units)
        tensors[f"{gate}.weight"] = numbers(-16, 16, units, units)
        tensors[f"{gate}.weight.low"] = numbers(-2, 1, units, units)
        tensors |= {
            f"{gate}.condition.{column}": numbers(-20, 20, rows, units) for column, rows in enumerate(conditions)
        }
    tensors["update.given"][0] = 500  # another boundary leaves the state as it is
    architecture = GRUArchitecture(
        parameters=0,
        embedding_dim=2,
        hidden_size=units,
        position_bits=position_bits,
        largest_sigmoid=len(sigmoid) - 1,
        largest_tanh=len(tanh) - 1,
        gate_bits=gate_bits,
        state_bits=state_bits,
        weight_bits=6,
        low_bits=2,
        output_bits=7,
        output_low_bits=1,
    )
    return 4, LETTERS, architecture, tensors


MODELS: dict[str, Callable[[Numbers], Made]] = {
    "bigram": bigram,
    "ngram-1": ngram(1),
    "ngram-4": ngram(4),
    "mlp-relu": mlp("relu", block_size=3, hidden_sizes=[12], direct=2, low_bits=0),
    "mlp-tanh": mlp("tanh", block_size=4, hidden_sizes=[8, 6], direct=0, low_bits=3),
    "mlp-gelu": mlp("gelu", block_size=2, hidden_sizes=[8], direct=1, low_bits=0),
    "mlp-skip": mlp(
        "tanh",
        block_size=3,
        hidden_sizes=[7],
        direct=0,
        low_bits=1,
        skip=Skip(embedding_bits=5, weight_bits=7, low_bits=2),
    ),
    "mlp-tree": mlp("relu", block_size=4, hidden_sizes=[6], direct=3, low_bits=1, with_tree=True),
    "gru": gru(),
    "mlp-where": mlp("tanh", block_size=3, hidden_sizes=[9], direct=1, low_bits=2, conditions=[3, 4]),
    "gru-where": gru([3, 4]),
    "ngram-where": ngram(3, start=[0, 2, 1, 2]),  # nothing is known of the last value but what is of the first
    "words": mlp("gelu", block_size=3, hidden_sizes=[7], direct=1, low_bits=2, symbols=WORDS),
}


def write(folder: Path, name: str) -> None:
    """Write a model's folder."""
    from safetensors.numpy import save

    block_size, alphabet, architecture, numbers = MODELS[name](Numbers(f"the golden model {name}"))
    tensors: Tensors = {key: narrowest(values) for key, values in numbers.items()}
    corpus = CorpusRecord(file="invented.txt", sha256=NO_HASH, names=0, distinct=0, symbols=0)
    training = Training(
        corpus=corpus, split="all", first_names=0, recipe="golden", overrides=[], settings={}, seed=0, versions={}
    )
    config = Config(
        format_version=FORMAT_VERSION,
        name=name,
        vocabulary=list(alphabet),
        block_size=block_size,
        max_length=MAX_LENGTH,
        conditions=CONDITIONS.get(name, {}),
        architecture=architecture,
        training=training,
        metrics=Metrics(train=None, dev=None, test=None, dev_unseen=None, test_unseen=None),
        samples=Samples(seed=0, names=0, in_train=0.0, in_dev_test=0.0, new=0.0, mean_length=0.0, most_frequent={}),
        files={},
        symbols="words" if alphabet is WORDS else "characters",
    )
    files = {artifact.WEIGHTS: save(tensors), artifact.GRAPH: artifact.graph_of(config, tensors)}
    artifact.write(folder, config, files)
    if name != "ngram-1":  # novelty.crc32 is optional
        known = KnownNames.of(plain_names.names(plain.Plain(folder), "known", 0, 20, {}))
        artifact.write(folder, config, {**files, artifact.NOVELTY: known.to_bytes()})
