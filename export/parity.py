"""The checks that an exported model must pass before anyone may load it. Each is fatal and has a name of its own."""

from contextlib import suppress
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from sequentia.arithmetic import Bounds, InexactError, Inputs
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.artifact import graph_of
from sequentia.conditions import bind
from sequentia.config import Config
from sequentia.errors import ExportError, GenerationError
from sequentia.generation import stream_names
from sequentia.likelihood import ConditionedPredict
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.session import open_session, run
from sequentia.vocabulary import Vocabulary
from sequentia.weights import Tensors, read_tensors
from sequentia.windows import windows

BATCH_SIZES: Final = (1, 2, 7, 8, 64, 333, 1000)
LEVELS: Final = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")

_LOGITS: Final = 1 << 24  # in a batch, so that a large vocabulary does not take gigabytes
_LONGEST: Final = 64  # symbols of the names that contexts are taken from


def check_parity(config: Config, weights: bytes, graph: bytes) -> None:
    """Check the contents of ``model.safetensors`` and ``model.onnx`` against each other.

    Raises:
        ExportError: naming the first check that fails.
    """
    try:
        tensors = read_tensors(weights, config.architecture.tensors(config.inputs))
    except ValueError as error:
        raise _failure("weights", "the tensors of the architecture", error) from error
    try:
        config.architecture.network(Bounds(tensors, config.inputs), config.inputs)
    except InexactError as error:
        raise _failure("bounds", "numbers that float32 holds exactly", error) from error
    if graph_of(config, tensors) != graph:
        raise _failure("graph", "the graph of the architecture and the weights", "another")
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _failure("checker", "a valid ONNX model", error) from error
    _bits(config, tensors, graph)


def _bits(config: Config, tensors: Tensors, graph: bytes) -> None:
    """Compare onnxruntime with int64 arithmetic, bit for bit: all batch sizes, levels of optimisation, and threads."""
    contexts, conditions = compared_inputs(config, graph)
    expected = config.architecture.network(IntegerArithmetic(tensors, contexts, conditions), config.inputs)
    for level in LEVELS:
        for threads in (1, 2):
            session = open_session(graph, threads=threads, level=level)
            for size in batch_sizes(config.inputs.ids):
                found = run(session, contexts[:size], conditions[:size])
                if not np.array_equal(found.astype(np.float64) * 256, expected[:size]):
                    where = f"batch size {size}, {level}, {threads} threads"
                    raise _failure("bits", "the logits of int64 arithmetic", f"others ({where})")


def batch_sizes(ids: int) -> list[int]:
    """Return the sizes of the batches that are compared, fewer of a large vocabulary."""
    return [size for size in BATCH_SIZES if size * ids <= _LOGITS]


def compared_inputs(config: Config, graph: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what a model is compared at, as much as in the largest batch.

    Half of the contexts are random, and half those of names that the model draws: an n-gram model hardly knows a random
    one. Conditions are random, and some are not said.

    Returns:
        Contexts, int64 [n, block_size]; conditions, int64 [n, conditions].
    """
    plain = open_session(graph, threads=1, level=LEVELS[-1])

    def predict(contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        nothing = np.zeros((len(contexts), len(config.conditions)), dtype=np.int64)
        return run(plain, contexts, nothing if conditions is None else conditions)

    contexts = random_contexts(config, max(batch_sizes(config.inputs.ids)))
    random = np.random.Generator(np.random.PCG64(1))
    conditions = random.integers(0, config.inputs.values, (len(contexts), len(config.conditions)))
    tokens = names_of(predict, config.alphabet, config.inputs, config.max_length, len(contexts))
    if len(tokens):
        contexts[::2] = windows(tokens, np.arange(len(contexts))[::2], config.block_size)[0]
    return contexts, conditions


def random_contexts(config: Config, count: int) -> NDArray[np.int64]:
    """Return random contexts with paddings of all lengths, int64 [count, block_size], the same for each call."""
    random = np.random.Generator(np.random.PCG64(0))
    contexts = random.integers(1, len(config.vocabulary) + 1, (count, config.block_size))
    padding = random.integers(0, config.block_size + 1, (count, 1))
    contexts[np.arange(config.block_size) < padding] = 0
    return contexts


def names_of(
    predict: ConditionedPredict, vocabulary: Vocabulary, inputs: Inputs, max_length: int, symbols: int
) -> NDArray[np.int64]:
    """Return names that a network draws, as tokens, each followed by the boundary; none if it draws none in NFC.

    Args:
        predict: computes the logits.
        vocabulary: the alphabet.
        inputs: what the network reads; no condition is said.
        max_length: the most symbols of a name.
        symbols: the names have at least so many tokens.
    """
    cache = LogitCache(bind(predict, (0,) * len(inputs.values)), inputs.block_size, vocabulary.size, remember=False)
    longest = min(max_length, _LONGEST)
    plan = Plan.of({"seed": 0, "max_length": longest}, vocabulary, longest)
    parts: list[NDArray[np.int64]] = []
    with suppress(GenerationError):
        for batch in stream_names(Methods(cache), vocabulary, plan):
            parts.append(vocabulary.tokens(vocabulary.decode(batch)))
            if sum(map(len, parts)) >= symbols:
                break
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _failure(rung: str, expected: object, found: object) -> ExportError:
    return ExportError(f"the exported model fails the check {rung!r}: expected {expected}, found {found}", rung=rung)
