"""The network as one self-contained ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

import numpy as np
import onnx
import torch
from onnxscript.optimizer import optimize
from torch import Tensor, nn
from torch.nn import functional

from sequentia.artifact import Config, metadata
from sequentia.training.networks import MLP

OPSET: Final = 20
IR_VERSION: Final = 9
TRACED_BATCH: Final = 3
_WORTH_A_CAST: Final = 256
_LARGEST_FOLDED: Final = 16  # constants: what a runtime folds, tables among them, need not be in the file
_LARGEST_TABLES: Final = 16 << 20


def graph_of(network: nn.Module, config: Config) -> bytes:
    """Trace a network, in evaluation mode, and return its graph with the config's metadata, as a file's contents.

    The first layer of an MLP becomes look-ups, where their tables take no more than 16 MiB. Weights that float16 holds
    without loss are stored so. The input is ``context``, int64 [batch, block_size]; the output is ``logits``, float32
    [batch, 1 + symbols].
    """
    example = torch.zeros((TRACED_BATCH, config.block_size), dtype=torch.int64)
    if isinstance(network, MLP) and _LookedUp.size(network) <= _LARGEST_TABLES:
        network = _LookedUp.of(network)
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
    assert program is not None  # noqa: S101 - None is for the exporter's older interface
    optimize(program.model, input_size_limit=_LARGEST_FOLDED, output_size_limit=_LARGEST_FOLDED)
    model = program.model_proto
    model.ir_version = IR_VERSION
    model.producer_name = "sequentia"
    _strip_traces(model.graph)
    _halve(model.graph)
    onnx.helper.set_model_props(model, metadata(config))
    data: bytes = model.SerializeToString()
    return data


class _LookedUp(MLP):
    """An MLP whose first layer looks up what each two neighbouring symbols of the context contribute to its sums.

    The tables are expressions of the weights, which a runtime computes once, when it loads the graph: the file holds
    no more than the weights.
    """

    @classmethod
    def of(cls, network: MLP) -> Self:
        """Return an equal network of this kind."""
        with torch.device("meta"):
            looked_up = cls(network.embedding.num_embeddings, network.block_size, network.architecture)
        looked_up.load_state_dict(network.state_dict(), assign=True)
        return looked_up

    @staticmethod
    def size(network: MLP) -> int:
        """Return the bytes of the tables."""
        pairs, single = divmod(network.block_size, 2)
        ids, units = network.embedding.num_embeddings, network.architecture.hidden_sizes[0]
        return 4 * units * (pairs * ids**2 + single * ids)

    def first(self, context: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the first layer's sums, float32 [batch, units]."""
        assert bias is not None  # noqa: S101 - networks for inference have one
        tables = self.embedding.weight @ weight.T.reshape(self.block_size, -1, len(weight))
        odd = self.block_size % 2
        sums = functional.embedding(context[:, 0], tables[0]) + bias if odd else bias
        rows = context[:, odd::2] * self.embedding.num_embeddings + context[:, odd + 1 :: 2]
        for pair, place in enumerate(range(odd, self.block_size, 2)):
            table = (tables[place][:, None] + tables[place + 1]).flatten(end_dim=1)
            sums = sums + functional.embedding(rows[:, pair], table)
        return sums


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


def _halve(graph: onnx.GraphProto) -> None:
    """Store weights as float16 where each of them is one; a runtime casts them back once, when it loads the graph."""
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
