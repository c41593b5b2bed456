"""Export a network as one self-contained ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import onnx
import torch
from onnxscript.optimizer import optimize
from torch import nn

from sequentia.artifact import metadata
from sequentia.config import Config

OPSET: Final = 20
IR_VERSION: Final = 9
TRACED_BATCH: Final = 3
_WORTH_A_CAST: Final = 256
_LARGEST_FOLDED: Final = 16  # constants: a runtime folds larger ones, such as tables, when it loads the file


def graph_of(network: nn.Module, config: Config) -> bytes:
    """Trace a network in evaluation mode and return the contents of an ONNX file with metadata from the config.

    Weights that float16 represents exactly are stored as float16. The input is ``context``, int64 [batch, block_size];
    the output is ``logits``, float32 [batch, 1 + symbols].
    """
    example = torch.zeros((TRACED_BATCH, config.block_size), dtype=torch.int64)
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            input_names=["context"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamic_shapes={"context": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
            optimize=False,
        )
    assert program is not None  # noqa: S101 - only the older exporter returns None
    optimize(program.model, input_size_limit=_LARGEST_FOLDED, output_size_limit=_LARGEST_FOLDED)
    model = program.model_proto
    model.ir_version = IR_VERSION
    model.producer_name = "sequentia"
    _strip_traces(model.graph)
    _halve(model.graph)
    onnx.helper.set_model_props(model, metadata(config))
    data: bytes = model.SerializeToString()
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's log (it misses torchvision) and its deprecation warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (FutureWarning, DeprecationWarning))
            yield
    finally:
        logger.setLevel(level)


def _strip_traces(graph: onnx.GraphProto) -> None:
    """Remove the exporter's debugging notes. They double the file size and hold paths of this machine."""
    for part in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for item in part:
            del item.metadata_props[:]
            item.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    graph.doc_string = ""


def _halve(graph: onnx.GraphProto) -> None:
    """Store weights as float16 where that is exact; the runtime casts them back once, when it loads the graph."""
    casts = []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _WORTH_A_CAST:
            continue
        halves = values.astype(np.float16)
        if np.array_equal(halves, values):
            name, stored = weight.name, f"{weight.name}.float16"
            weight.CopyFrom(onnx.numpy_helper.from_array(halves, stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
