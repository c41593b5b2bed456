"""The network as one self-contained ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import onnx
import torch
from torch import nn

from sequentia.artifact import Config, metadata

OPSET: Final = 20
IR_VERSION: Final = 9
TRACED_BATCH: Final = 3


def write_graph(network: nn.Module, config: Config, path: Path) -> None:
    """Trace a network, in evaluation mode, and write its graph with the config's metadata.

    The input is ``context``, int64 [batch, block_size]; the output is ``logits``, float32 [batch, 1 + symbols].
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
        )
    assert program is not None  # noqa: S101 - None is for the exporter's older interface
    model = program.model_proto
    model.ir_version = IR_VERSION
    model.producer_name = "sequentia"
    _strip_traces(model.graph)
    onnx.helper.set_model_props(model, metadata(config))
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's log (torchvision is absent) and its own deprecation warnings."""
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
    """Drop the exporter's debugging notes: they double the file, and hold paths of the machine it ran on."""
    for part in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for item in part:
            del item.metadata_props[:]
            item.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    graph.doc_string = ""
