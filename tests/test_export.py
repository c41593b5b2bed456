"""The parity checks: they pass a trained network, and each stops a graph or weights that differ."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

import sequentia
from sequentia import ExportError, TrainingError, artifact, graph_check
from sequentia.config import Config
from sequentia.export import export, parity
from sequentia.export.graph import IR_VERSION, OPSET, TRACED_BATCH, graph_of
from sequentia.session import open_session
from sequentia.training import train
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.kinds import mlp
from sequentia.training.kinds.mlp import MLP

from .conftest import MOONS, SMALL


def network_of(folder: Path) -> MLP:
    network = Checkpoint.load(folder).network()
    assert isinstance(network, MLP)
    return network.eval()


def test_the_files_are_what_they_claim(trained: Path) -> None:
    config = artifact.read(trained).config
    graph = onnx.load(trained / artifact.GRAPH)
    assert (graph.ir_version, [(o.domain, o.version) for o in graph.opset_import]) == (
        IR_VERSION,
        [("", OPSET)],
    )
    assert {entry.key: entry.value for entry in graph.metadata_props} == artifact.metadata(config)
    own = network_of(trained).state_dict()
    stored = load_file(trained / artifact.WEIGHTS)
    assert stored.keys() == own.keys()
    assert all(torch.equal(stored[name], own[name]) for name in own)
    assert sum(tensor.numel() for tensor in stored.values()) == config.architecture.parameters
    assert config.name == "moons"
    assert config.training.recipe == "mlp"
    assert config.training.overrides == list(SMALL)
    assert config.training.settings["steps"] == 60


def test_the_graph_holds_no_node_for_training(trained: Path) -> None:
    config = artifact.read(trained).config
    network = MLP(len(config.vocabulary) + 1, config.block_size, network_of(trained).architecture, dropout=0.5).train()
    graph = onnx.load_model_from_string(graph_of(network, config)).graph
    operators = {node.op_type for node in graph.node}
    assert "Gather" in operators
    assert operators.isdisjoint({"Dropout", "BatchNormalization", "RandomUniformLike", "Bernoulli"})


def test_the_graph_tells_nothing_of_the_machine(trained: Path) -> None:
    data = (trained / artifact.GRAPH).read_bytes()
    for trace in (b"networks.py", b"torch", str(Path(sequentia.__file__).parent).encode()):
        assert trace not in data


def test_the_graph_alone_is_enough_for_another_runtime(trained: Path) -> None:
    session = open_session(trained / artifact.GRAPH)
    contexts = np.zeros((5, 4), dtype=np.int64)
    logits = session.run(None, {"context": contexts})[0]
    np.testing.assert_array_equal(logits[0], sequentia.load(trained).logits(contexts)[0])


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_direct_connections_are_exported(tmp_path: Path, precision: str) -> None:
    """Fill every row of the table, not only the rows that occur in the text."""
    run = tmp_path / "run"
    overrides = [*SMALL, "direct=2", f"precision={precision}"]
    trained = train(MOONS, run, recipe="mlp", overrides=overrides)
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(trained.tensors["network.direct.weight"].shape, generator=generator)
    Checkpoint(record=trained.record, tensors=trained.tensors | {"network.direct.weight": table}).save(run)
    config = export(run, tmp_path / "moons")
    ids = len(config.vocabulary) + 1
    graph = onnx.load(tmp_path / "moons" / artifact.GRAPH).graph
    assert {node.op_type for node in graph.node} <= {
        *("Add", "Cast", "Gather", "Gemm", "MatMul", "Mul", "ReduceSum", "Reshape", "Slice", "Tanh", "Unsqueeze")
    }
    dtypes = {tuple(tensor.dims): tensor.data_type for tensor in graph.initializer}
    half = precision == "float16"
    assert dtypes[ids**2, ids] == (onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT)
    stored = load_file(tmp_path / "moons" / artifact.WEIGHTS)
    assert torch.equal(stored["direct.weight"], table.half() if half else table)

    contexts = np.random.default_rng(1).integers(0, ids, (500, 4))
    session = open_session(tmp_path / "moons" / artifact.GRAPH)
    with torch.no_grad():
        expected = network_of(run)(torch.from_numpy(contexts)).numpy()
    np.testing.assert_allclose(session.run(None, {"context": contexts})[0], expected, atol=1e-4, rtol=1e-4)
    assert len(sequentia.generate(20, model=tmp_path / "moons", seed=1)) == 20
    card = (tmp_path / "moons" / artifact.CARD).read_text(encoding="utf-8")
    assert "units (tanh), and a table of logits for the last 2 symbols." in card
    assert f"A symbol takes {4 * 6 * 24 + 24 * ids:,} multiplications" in card


def test_every_kind_of_model_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they use every operator that the reader permits."""
    small = ["steps=5", "hidden_sizes=[8]"]
    kinds = [
        ("mlp", [*small, "block_size=1", "activation=relu", "direct=1"]),
        ("mlp", [*small, "block_size=4", "direct=2", "precision=float16"]),
        ("deep-batchnorm", ["steps=5", "hidden_sizes=[8, 8]", "activation=gelu"]),
        ("wide layer", [*small, "block_size=4", "embedding_dim=40"]),
        ("bigram", ["steps=5"]),
        ("bigram-counts", []),
        ("ngram", ["order=1"]),
        ("ngram", ["order=3"]),
        ("gru", ["steps=5", "hidden_size=8", "block_size=1"]),
        ("gru", ["steps=5", "hidden_size=8", "block_size=5"]),
    ]
    operators = set()
    for i, (recipe, overrides) in enumerate(kinds):
        folder = tmp_path / str(i)
        if recipe == "wide layer":
            monkeypatch.setattr(mlp, "_MAX_PAIR_TABLE_BYTES", 0)
        train(MOONS, folder, recipe=recipe.replace("wide layer", "mlp"), overrides=overrides)
        export(folder, folder)
        operators |= {node.op_type for node in onnx.load(folder / artifact.GRAPH).graph.node}
        assert len(sequentia.load(folder).generate(20, seed=1)) == 20
    assert operators == set(graph_check._OPERATORS)


def test_a_model_that_the_reader_would_refuse(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_check, "MOST_BYTES_OF_ROW", 100)
    with pytest.raises(ExportError, match=r"the check 'reader': .* too much memory for each 256 rows"):
        export(trained, trained.parent / "refused")


def test_exporting_again_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    config = export(trained, tmp_path / "moons")
    assert config == artifact.read(tmp_path / "moons").config
    for name in (*artifact.FILES, artifact.CONFIG):
        assert (tmp_path / "moons" / name).read_bytes() == (trained / name).read_bytes(), name


def test_no_tested_batch_size_is_the_traced_one() -> None:
    assert parity.BATCH_SIZES == (1, 2, 7, 1000)
    assert TRACED_BATCH not in parity.BATCH_SIZES


# A network that is not the exported one, or a graph that is not the network's


def edit(folder: Path, change: Any) -> None:
    model = onnx.load(folder / artifact.GRAPH)
    change(model)
    (folder / artifact.GRAPH).write_bytes(model.SerializeToString())


def check(network: MLP, config: Config, folder: Path) -> None:
    contents = [(folder / name).read_bytes() for name in (artifact.WEIGHTS, artifact.GRAPH)]
    parity.check_parity(network, config, *contents)


def failing(network: MLP, config: Config, folder: Path) -> str:
    with pytest.raises(ExportError) as caught:
        check(network, config, folder)
    return caught.value.rung


@pytest.mark.parametrize(
    ("rung", "change"),
    [
        ("interface", lambda m: setattr(m, "ir_version", 8)),
        ("interface", lambda m: setattr(m.opset_import[0], "version", 19)),
        ("interface", lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 3)),
        ("interface", lambda m: setattr(m.graph.input[0], "name", "tokens")),
        ("interface", lambda m: m.metadata_props.pop()),
        ("interface", lambda m: setattr(m.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL)),
        ("checker", lambda m: m.graph.node[-1].input.pop(0)),
        ("checker", lambda m: setattr(m.graph.node[0], "op_type", "NoSuchOperator")),
    ],
)
def test_a_malformed_graph(run: Path, rung: str, change: Any) -> None:
    network, config = network_of(run), artifact.read(run).config
    check(network, config, run)
    edit(run, change)
    assert failing(network, config, run) == rung


def test_weights_that_differ_by_a_bit(run: Path) -> None:
    network, config = network_of(run), artifact.read(run).config
    weights = load_file(run / artifact.WEIGHTS)
    weights["output.bias"][0] = torch.nextafter(weights["output.bias"][0], torch.tensor(9.0))
    save_file(weights, run / artifact.WEIGHTS)
    assert failing(network, config, run) == "weights"
    del weights["output.bias"]
    save_file(weights, run / artifact.WEIGHTS)
    assert failing(network, config, run) == "weights"


@pytest.mark.parametrize("value", [1e-3, float("nan")])
def test_logits_that_differ(run: Path, value: float) -> None:
    network, config = network_of(run), artifact.read(run).config

    def nudge(model: onnx.ModelProto) -> None:
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "output.bias")
        changed = onnx.numpy_helper.to_array(bias).copy()
        changed[-1] += value
        bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))

    edit(run, nudge)
    assert failing(network, config, run) == "logits"


def test_a_batch_size_frozen_into_the_graph(run: Path) -> None:
    """The interface says that the batch is dynamic, but a node inside has the traced size."""
    network, config = network_of(run), artifact.read(run).config

    class Frozen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, context: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(context)
            return logits[:TRACED_BATCH]

    (run / artifact.GRAPH).write_bytes(graph_of(Frozen(), config))
    edit(run, lambda m: setattr(m.graph.output[0].type.tensor_type.shape.dim[0], "dim_param", "batch"))
    assert failing(network, config, run) in {"checker", "logits"}


def test_a_failed_export_leaves_the_old_artifact(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="fails the check 'logits'"):
        export(run, run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    with pytest.raises(ExportError):
        export(run, run.parent / "new")
    assert sorted(path.name for path in run.parent.iterdir()) == ["moons"]


def test_only_a_finished_run_is_exported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training run here"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(TrainingError, match="the loss became"):
        train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "learning_rate=1e38"])
    with pytest.raises(TrainingError, match=r"stopped at step \d+; finish it by `sequentia train .* --resume`"):
        export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The card


def test_the_card_states_the_figures_of_the_config(trained: Path) -> None:
    card = (trained / artifact.CARD).read_text(encoding="utf-8")
    config = artifact.read(trained).config
    for part in config.metrics.__struct_fields__:
        loss = getattr(config.metrics, part)
        assert f"| {loss.loss:.4f} | {loss.names:,} | {loss.windows:,} |" in card
    assert config.training.corpus.sha256 in card
    assert "sequentia train moons.txt --recipe mlp --set block_size=4" in card
    assert "--set 'hidden_sizes=[24]'" in card
    for name in sequentia.load(trained).generate(10, seed=1):
        assert f"`{name}`" in card


def test_the_bundled_models_card_is_that_of_the_project() -> None:
    card = Path(sequentia.__file__).parent / "models" / "names" / artifact.CARD
    there = card.read_text(encoding="utf-8").replace("](pictures/", "](sequentia/models/names/pictures/")
    assert (Path(__file__).parents[1] / "MODEL_CARD.md").read_text(encoding="utf-8") == there
