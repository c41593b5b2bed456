"""Check that an exported model computes the same logits as the trained network.

The checks run in order, from the form of the file to its numbers, and the first that fails raises an error. Logits are
compared by the largest difference in a row, divided by the largest logit of the row or by 1, whichever is greater,
because the rounding error of a float32 sum grows with its largest terms.
"""

from typing import Final

import numpy as np
import onnx
import torch
from safetensors.torch import load

from sequentia.artifact import metadata
from sequentia.config import Config
from sequentia.errors import ExportError
from sequentia.graph_check import fault_of_graph
from sequentia.session import open_session
from sequentia.training.kinds import Network

from .graph import IR_VERSION, OPSET

BATCH_SIZES: Final = (1, 2, 7, 1000)
"""None of them is the traced one, so that a batch size frozen into the graph is detected."""

TOLERANCE: Final = 1e-5
"""Largest difference of a logit, scaled as above."""


def check_parity(network: Network, config: Config, weights: bytes, graph: bytes) -> None:
    """Compare the contents of the two files with the network that they were exported from.

    Raises:
        ExportError: naming the first check that fails.
    """
    model = onnx.load_model_from_string(graph)
    _interface(model, config)
    _checker(graph)
    _weights(network, weights)
    _logits(network, config, graph)
    _reader(config, graph)


def _fail(rung: str, expected: object, found: object) -> ExportError:
    return ExportError(f"the exported model fails the check {rung!r}: expected {expected}, found {found}", rung=rung)


def _interface(model: onnx.ModelProto, config: Config) -> None:
    """Check versions, names, dtypes, the dynamic axis and the metadata, and that no data is outside the file."""
    versions = (model.ir_version, {opset.domain: opset.version for opset in model.opset_import})
    if versions != (IR_VERSION, {"": OPSET}):
        raise _fail("interface", f"IR {IR_VERSION} and the standard operators, version {OPSET}", versions)
    ids = len(config.vocabulary) + 1
    for values, name, dtype, width in (
        (model.graph.input, "context", onnx.TensorProto.INT64, config.block_size),
        (model.graph.output, "logits", onnx.TensorProto.FLOAT, ids),
    ):
        found = [
            (
                value.name,
                value.type.tensor_type.elem_type,
                [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
            )
            for value in values
        ]
        if found != [(name, dtype, ["batch", width])]:
            raise _fail("interface", (name, dtype, ["batch", width]), found)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise _fail("interface", "one self-contained file", "external data")
    found_metadata = {entry.key: entry.value for entry in model.metadata_props}
    if found_metadata != metadata(config):
        raise _fail("interface", metadata(config), found_metadata)


def _checker(graph: bytes) -> None:
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _fail("checker", "a valid ONNX model", error) from error


def _weights(network: Network, weights: bytes) -> None:
    """Check that names, dtypes, shapes and bytes are the same."""
    stored, own = load(weights), network.stored()
    if stored.keys() != own.keys():
        raise _fail("weights", sorted(own), sorted(stored))
    for name, tensor in own.items():
        here, there = tensor.numpy(), stored[name].numpy()
        if (here.dtype, here.shape, here.tobytes()) != (there.dtype, there.shape, there.tobytes()):
            raise _fail("weights", f"{name} as it was", "other values")


def _reader(config: Config, graph: bytes) -> None:
    fault = fault_of_graph(graph, config.block_size, len(config.vocabulary) + 1)
    if fault:
        raise _fail("reader", "a graph that the library opens", fault)


@torch.no_grad()
def _logits(network: Network, config: Config, graph: bytes) -> None:
    """Compare onnxruntime with PyTorch at batch sizes other than the traced one.

    The contexts are random, with every amount of padding. Half of them are familiar ones for an n-gram model, which has
    seen hardly any random context.
    """
    session = open_session(graph)
    random = np.random.Generator(np.random.PCG64(0))
    for batch in BATCH_SIZES:
        contexts = random.integers(1, len(config.vocabulary) + 1, (batch, config.block_size))
        padding = random.integers(0, config.block_size + 1, (batch, 1))
        contexts[np.arange(config.block_size) < padding] = 0
        familiar = network.familiar_contexts((batch + 1) // 2, random)
        if familiar is not None:
            contexts[::2] = familiar
        expected = network(torch.from_numpy(contexts)).numpy()
        found = session.run(["logits"], {"context": contexts})[0]
        if found.shape != expected.shape:
            raise _fail("logits", f"shape {expected.shape}", found.shape)
        scale = np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))
        difference = float((np.abs(found - expected) / scale).max())
        if not difference <= TOLERANCE:  # also when it is NaN
            raise _fail("logits", f"differences up to {TOLERANCE:g} at batch size {batch}", f"{difference:.3g}")
