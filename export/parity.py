"""The checks that an exported model must pass before anyone may load it. Each is fatal and has a name of its own."""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from sequentia.arithmetic import Bounds, InexactError
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.artifact import graph_of
from sequentia.config import Config
from sequentia.errors import ExportError
from sequentia.session import open_session
from sequentia.weights import Tensors, read_tensors

BATCH_SIZES: Final = (1, 2, 7, 8, 64, 333, 1000)
LEVELS: Final = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def check_parity(config: Config, weights: bytes, graph: bytes) -> None:
    """Check the contents of ``model.safetensors`` and ``model.onnx`` against each other.

    Raises:
        ExportError: naming the first check that fails.
    """
    ids = len(config.vocabulary) + 1
    try:
        tensors = read_tensors(weights, config.architecture.tensors(config.block_size, ids))
    except ValueError as error:
        raise _failure("weights", "the tensors of the architecture", error) from error
    try:
        config.architecture.network(Bounds(tensors, ids), config.block_size, ids)
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
    contexts = random_contexts(config, max(BATCH_SIZES))
    network, block_size, ids = config.architecture.network, config.block_size, len(config.vocabulary) + 1
    expected = network(IntegerArithmetic(tensors, contexts), block_size, ids)
    for level in LEVELS:
        for threads in (1, 2):
            session = open_session(graph, threads=threads, level=level)
            for size in BATCH_SIZES:
                found = session.run(["logits"], {"context": contexts[:size]})[0]
                if not np.array_equal(found.astype(np.float64) * 256, expected[:size]):
                    where = f"batch size {size}, {level}, {threads} threads"
                    raise _failure("bits", "the logits of int64 arithmetic", f"others ({where})")


def random_contexts(config: Config, count: int) -> NDArray[np.int64]:
    """Return random contexts with paddings of all lengths, int64 [count, block_size], the same for each call."""
    random = np.random.Generator(np.random.PCG64(0))
    contexts = random.integers(1, len(config.vocabulary) + 1, (count, config.block_size))
    padding = random.integers(0, config.block_size + 1, (count, 1))
    contexts[np.arange(config.block_size) < padding] = 0
    return contexts


def _failure(rung: str, expected: object, found: object) -> ExportError:
    return ExportError(f"the exported model fails the check {rung!r}: expected {expected}, found {found}", rung=rung)
