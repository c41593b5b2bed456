"""Export in whole numbers: the graph, the choice of bits, and the checks, each of which stops what it is there for."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save
from safetensors.torch import save_file

import sequentia
from sequentia import ArtifactError, ExportError, RecipeError, TrainingError, artifact
from sequentia.architectures import MLPArchitecture
from sequentia.arithmetic import LIMIT, Inputs, OnnxWriter
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.arithmetic.onnx import IR_VERSION, OPSET
from sequentia.config import Config
from sequentia.export import export, exporter, model_card, parity, precision
from sequentia.sampling import log_softmax
from sequentia.session import open_session
from sequentia.training import evaluate_model, read_recipe, recipe_names, train
from sequentia.training.checkpoint import CHECKPOINT, Checkpoint, _earlier_digest
from sequentia.training.kinds import Network, Recipe
from sequentia.training.kinds.gru import GRURecipe
from sequentia.training.kinds.mlp import MLPRecipe
from sequentia.vocabulary import Vocabulary
from sequentia.weights import read_tensors

from . import labelled
from .conftest import MOONS, SMALL

OPERATORS = {"Add", "Cast", "Clip", "Floor", "Gather", "MatMul", "Mul"}
OF_TREES = {"ConstantOfShape", "CumSum", "ScatterElements"}


def assert_close(found: NDArray[np.floating], expected: NDArray[np.floating]) -> None:
    """Check log probabilities after contexts that no name may have, for which no bits were chosen."""
    assert np.abs(found - expected).max() < 0.3, "whole numbers are coarse"
    assert np.abs(np.exp(found) - np.exp(expected)).max() < 0.03


def network_of(folder: Path) -> Network:
    return Checkpoint.load(folder).network().eval()


def plain_logits(
    config: Config, weights: bytes, contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return the logits by int64 arithmetic."""
    tensors = read_tensors(weights, config.architecture.tensors(config.inputs))
    steps = config.architecture.network(IntegerArithmetic(tensors, contexts, conditions), config.inputs)
    return (steps / 256).astype(np.float32)


def test_the_files_are_what_they_claim(trained: Path) -> None:
    config = artifact.read(trained).config
    graph = onnx.load(trained / artifact.GRAPH)
    assert (graph.ir_version, [(o.domain, o.version) for o in graph.opset_import]) == (
        IR_VERSION,
        [("", OPSET)],
    )
    assert {entry.key: entry.value for entry in graph.metadata_props} == artifact.metadata(config)
    stored = load_file(trained / artifact.WEIGHTS)
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.graph.initializer}
    assert {tensor.dtype for tensor in stored.values()} <= {np.dtype(kind) for kind in ("int8", "int16", "int32")}
    for name, tensor in stored.items():
        assert constants[name].dtype == tensor.dtype
        assert np.array_equal(constants[name], tensor), name
    network = Checkpoint.load(trained).network()
    assert config.architecture.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert config.name == "moons"
    assert config.training.recipe == "mlp"
    assert config.training.overrides == list(SMALL)
    assert config.training.settings["steps"] == 60


def test_a_reader_of_the_graph_understands_it(trained: Path) -> None:
    """Each node has the name of what it computes; places and layers are counted from 0."""
    graph = onnx.load(trained / artifact.GRAPH).graph
    assert all(node.name == node.output[0] for node in graph.node)
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert {"symbol.0", "symbol.3", "first.row.0", "layer.0.index", "layer.0.product", "layer.0.sums", "logits"} <= {
        *names
    }


def test_the_graph_tells_nothing_of_the_machine(trained: Path) -> None:
    data = (trained / artifact.GRAPH).read_bytes()
    for trace in (b".py", b"torch", str(Path(sequentia.__file__).parent).encode()):
        assert trace not in data


def test_the_graph_alone_is_enough_for_another_runtime(trained: Path) -> None:
    session = open_session(trained / artifact.GRAPH)
    contexts = np.zeros((5, 4), dtype=np.int64)
    logits = session.run(None, {"context": contexts})[0]
    np.testing.assert_array_equal(logits, sequentia.load(trained).logits(contexts))
    config, weights = artifact.read_config(trained), (trained / artifact.WEIGHTS).read_bytes()
    np.testing.assert_array_equal(logits, plain_logits(config, weights, contexts))


def test_direct_connections_are_exported(tmp_path: Path) -> None:
    """Fill every row of the table, not only the rows that occur in the text."""
    run = tmp_path / "run"
    trained = train(MOONS, run, recipe="mlp", overrides=[*SMALL, "direct=2"])
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(trained.tensors["network.direct.weight"].shape, generator=generator)
    Checkpoint(record=trained.record, tensors=trained.tensors | {"network.direct.weight": table}).save(run)
    config = export(run, tmp_path / "moons")
    ids = len(config.vocabulary) + 1
    assert isinstance(config.architecture, MLPArchitecture)
    stored = load_file(tmp_path / "moons" / artifact.WEIGHTS)["direct"]
    bits = config.architecture.direct_bits
    assert np.array_equal(stored, np.floor(table.double().numpy() * 2**bits + 0.5))

    contexts = np.random.default_rng(1).integers(0, ids, (500, 4))
    session = open_session(tmp_path / "moons" / artifact.GRAPH)
    with torch.no_grad():
        expected = network_of(run)(torch.from_numpy(contexts)).numpy()
    found = session.run(None, {"context": contexts})[0]
    assert np.abs(found - expected).max() < 0.3, "whole numbers are coarse"
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
    assert len(sequentia.generate(20, model=tmp_path / "moons", seed=1)) == 20
    card = (tmp_path / "moons" / artifact.CARD).read_text(encoding="utf-8")
    assert "units (tanh), and a table of logits for the last 2 symbols." in card
    products = sum(name.startswith("layer.0.weight") for name in load_file(tmp_path / "moons" / artifact.WEIGHTS))
    assert f"A symbol takes {products * 24 * ids:,} multiplications" in card, "the first layer is looked up"


@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_skip_connections_are_exported_and_restored(tmp_path: Path, scale: float) -> None:
    """With large weights, their lowest bits stand in tensors of their own."""
    run = tmp_path / "run"
    trained = train(MOONS, run, recipe="mlp", overrides=[*SMALL, "skip=true"])
    weights = torch.randn(trained.tensors["network.skip.weight"].shape, generator=torch.Generator().manual_seed(1))
    changed = {"network.skip.weight": scale * weights}
    Checkpoint(record=trained.record, tensors=trained.tensors | changed).save(run)
    config = export(run, tmp_path / "moons")
    assert isinstance(config.architecture, MLPArchitecture)
    assert config.architecture.skip is not None
    assert config.architecture.skip.low_bits
    contexts = np.random.default_rng(1).integers(0, len(config.vocabulary) + 1, (500, 4))
    model = sequentia.load(tmp_path / "moons")
    with torch.no_grad():
        expected = network_of(run)(torch.from_numpy(contexts)).log_softmax(dim=1).numpy()
    assert_close(log_softmax(model.logits(contexts)), expected)

    again = train(MOONS, tmp_path / "again", overrides=[f"start={tmp_path / 'moons'}", "steps=1", "learning_rate=1e-9"])
    network = network_of(tmp_path / "again")
    assert again.record.metrics is not None
    with torch.no_grad():
        restored = network(torch.from_numpy(contexts)).log_softmax(dim=1).numpy()
    assert_close(log_softmax(model.logits(contexts)), restored)


def test_a_tree_of_contexts_is_exported_and_restored(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = train(MOONS, run, recipe="mlp", overrides=[*SMALL, "direct=4", "tree=300", "steps=60"])
    config = export(run, tmp_path / "moons")
    assert isinstance(config.architecture, MLPArchitecture)
    assert config.architecture.tree is not None
    assert config.architecture.tree.states == 300
    tensors = artifact.read(tmp_path / "moons").tensors
    parents = np.cumsum(tensors["direct.gaps"]) // (len(config.vocabulary) + 1)
    inner = config.architecture.tree.inner_states
    assert np.array_equal(np.unique(parents), np.arange(inner)), "contexts that are part of longer ones come first"
    assert inner < 300
    reached = np.sort(tensors["direct.reached"])
    assert np.array_equal(reached, np.arange(1, 300)), "each context is reached by one step"
    contexts = np.random.default_rng(1).integers(0, len(config.vocabulary) + 1, (500, 4))
    model = sequentia.load(tmp_path / "moons")
    with torch.no_grad():
        expected = network_of(run)(torch.from_numpy(contexts)).log_softmax(dim=1).numpy()
    assert_close(log_softmax(model.logits(contexts)), expected)
    weights = trained.weights["direct.weight"]
    assert (weights.abs().sum(dim=1) > 0).sum() > 200, "most contexts have learnt something"

    train(MOONS, tmp_path / "again", overrides=[f"start={tmp_path / 'moons'}", "steps=1", "learning_rate=1e-9"])
    with torch.no_grad():
        restored = network_of(tmp_path / "again")(torch.from_numpy(contexts)).log_softmax(dim=1).numpy()
    assert_close(log_softmax(model.logits(contexts)), restored)

    letters = "".join(sorted({*MOONS.read_text(encoding="utf-8")} - {"\n", "a"}, reverse=True))
    other = tmp_path / "other.txt"  # other symbols, in another order
    other.write_text("\n".join([letters[:9], letters[9:], "é" + letters[:5]]), encoding="utf-8")
    train(other, tmp_path / "third", overrides=[f"start={tmp_path / 'moons'}", "steps=1", "learning_rate=1e-9"])
    export(tmp_path / "third", tmp_path / "others")
    assert sequentia.generate(3, model=tmp_path / "others", seed=1)


# Each kind and each recipe


KINDS = {
    "one place, ReLU": ("mlp", ["hidden_sizes=[8]", "block_size=1", "activation=relu", "direct=1"]),
    "no pairs": ("mlp", ["hidden_sizes=[8]", "block_size=3", "direct=2"]),
    "tanh layers": ("mlp", ["hidden_sizes=[12, 8, 16]", "block_size=4", "initialization=kaiming"]),
    "ReLU layers": ("mlp", ["hidden_sizes=[12, 8, 16]", "activation=relu", "initialization=kaiming"]),
    "GELU layers": ("mlp", ["hidden_sizes=[12, 8, 16]", "activation=gelu", "initialization=kaiming"]),
    "normalised ReLU": ("deep-batchnorm", ["hidden_sizes=[8, 8]", "activation=relu"]),
    "normalised GELU": ("mlp-batchnorm", ["hidden_sizes=[8, 8]", "activation=gelu"]),
    "more places than symbols": ("mlp", ["hidden_sizes=[8]", "block_size=40", "initialization=kaiming"]),
    "unigrams": ("ngram", ["order=1"]),
    "bigrams": ("ngram", ["order=2"]),
    "trigrams": ("ngram", ["order=3"]),
    "recurrent, one place": ("gru", ["hidden_size=8", "block_size=1"]),
}
SMALLER = {
    "auto": ["minutes=0.02", "final=measured"],
    "bengio": ["symbols=characters"],
    "bengio-direct": ["symbols=characters"],
    "deep-batchnorm": ["hidden_sizes=[20, 20, 20]"],
    "fast": ["hidden_sizes=[32]"],
    "gru": ["hidden_size=16", "embedding_dim=6", "block_size=5"],
    "names": ['teachers=["ngram"]', "teacher_weights=[]", "hidden_sizes=[32]"],
    "weighted": ["hidden_sizes=[32, 16]", "split=lecture"],
    "wide": ["hidden_sizes=[32]"],
    "words": ["hidden_sizes=[32]", "symbols=characters"],  # tests/test_words.py has lists of words
    "words-gru": ["hidden_size=16", "embedding_dim=6", "block_size=5", "symbols=characters"],
}
EVERY = KINDS | {name: (name, SMALLER.get(name, [])) for name in recipe_names()}


def test_a_tree_counts_the_contexts_that_there_are(tmp_path: Path) -> None:
    train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "direct=2", "tree=20000", "steps=2"])
    config = export(tmp_path / "run", tmp_path / "moons")
    assert isinstance(config.architecture, MLPArchitecture)
    assert config.architecture.tree is not None
    (units,), width = config.architecture.hidden_sizes, config.architecture.embedding_dim
    ids, states = len(config.vocabulary) + 1, config.architecture.tree.states
    assert states < 20_000
    learnt = ids * width + (config.block_size * width + 1) * units + (units + 1) * ids + states * ids
    assert config.architecture.parameters == learnt
    assert f"{states:,} contexts of up to 2 symbols" in config.architecture.describe()


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_trained_is_exported_with_the_same_loss(kind: str, tmp_path: Path) -> None:
    """The exporter's checks pass, and ``evaluate`` agrees with the network in floating point."""
    recipe, overrides = EVERY[kind]
    steps = ["steps=20"] if read_recipe(recipe).steps else []
    metrics = train(MOONS, tmp_path / "run", recipe=recipe, overrides=[*overrides, *steps]).record.metrics
    config = export(tmp_path / "run", tmp_path / "model")
    assert config.metrics == metrics
    model = sequentia.load(tmp_path / "model")
    measured = evaluate_model(model, MOONS)
    assert metrics is not None
    assert metrics.dev is not None
    assert measured.dev is not None
    assert measured.dev.loss == pytest.approx(metrics.dev.loss, abs=0.001)
    assert measured.dev.windows == metrics.dev.windows
    assert len(model.generate(20, seed=1)) == 20
    graph = onnx.load(tmp_path / "model" / artifact.GRAPH).graph
    assert {node.op_type for node in graph.node} <= OPERATORS | OF_TREES | {"Flatten", "Max", "Sub", "Unsqueeze"}
    contexts = parity.random_contexts(config, 50)
    expected = plain_logits(config, (tmp_path / "model" / artifact.WEIGHTS).read_bytes(), contexts)
    np.testing.assert_array_equal(model.logits(contexts), expected)


def test_logits_are_those_of_the_network_but_for_rounding(tmp_path: Path) -> None:
    """With all the bits that it may have, a network in whole numbers says the same of every context."""
    for i, kind in enumerate(KINDS):
        recipe, overrides = KINDS[kind]
        steps = ["steps=20"] if read_recipe(recipe).steps else []
        checkpoint = train(MOONS, tmp_path / str(i), recipe=recipe, overrides=[*overrides, *steps])
        network = checkpoint.network().eval()
        contexts = np.random.default_rng(0).integers(0, network.ids, (300, network.block_size))
        contexts *= np.logical_and.accumulate(contexts[:, ::-1] > 0, axis=1)[:, ::-1]
        nothing = np.zeros((len(contexts), 0), dtype=np.int64)
        architecture, tensors = network.in_whole_numbers(network.precisions(), contexts, nothing)
        steps_found = architecture.network(IntegerArithmetic(tensors, contexts), network.inputs)
        with torch.no_grad():
            expected = network(torch.from_numpy(contexts)).numpy()
        assert np.abs(steps_found / 256 - expected).max() < 0.06, kind


CONDITIONED = {
    "no layers to fold": ("mlp", ["hidden_sizes=[12, 8]", "initialization=kaiming"]),
    "direct connections": ("mlp", ["hidden_sizes=[8]", "direct=2", "activation=gelu", "initialization=kaiming"]),
    "normalised": ("mlp-batchnorm", ["hidden_sizes=[20]"]),
    "normalised ReLU": ("deep-batchnorm", ["hidden_sizes=[8, 8]", "activation=relu"]),
    "large batches": ("fast", ["hidden_sizes=[32]"]),
    "recurrent": ("gru", ["hidden_size=16", "embedding_dim=6", "block_size=5", "dropout=0.0"]),
    "recurrent, one place": ("gru", ["hidden_size=8", "block_size=1", "dropout=0.0"]),
    "unigrams": ("ngram", ["order=1"]),
    "bigrams": ("ngram", ["order=2"]),
    "6-grams": ("ngram", []),
    "taught": ("names", ['teachers=["ngram"]', "teacher_weights=[]", "hidden_sizes=[32]"]),
}


def _embedded(original: Callable[..., Network]) -> Callable[..., Network]:
    """Return a function that makes new networks whose conditions matter before they are trained."""

    def new_network(recipe: Recipe, inputs: Inputs, generator: torch.Generator) -> Network:
        network = original(recipe, inputs, generator)
        labelled.embed(network)
        return network

    return new_network


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", CONDITIONED)
def test_a_network_with_conditions_is_exported_with_the_same_loss(
    kind: str, columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, overrides = CONDITIONED[kind]
    for each in (MLPRecipe, GRURecipe):
        monkeypatch.setattr(each, "new_network", _embedded(each.new_network))
    steps = ["steps=20"] if read_recipe(recipe).steps else []
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    run, asked = tmp_path / "run", labelled.columns(columns)
    metrics = train(table, run, recipe=recipe, overrides=[*overrides, *steps], columns=asked).record.metrics
    config = export(run, tmp_path / "model")
    assert config.inputs.values == (4, 4)[:columns]
    assert config.metrics == metrics
    model = sequentia.load(tmp_path / "model")
    measured = evaluate_model(model, table)
    assert metrics is not None
    assert measured.parts.keys() == metrics.parts.keys() >= {"train", "dev", "test", "dev_not_said"}
    for part in ("dev", "dev_not_said"):
        assert measured.parts[part].loss == pytest.approx(metrics.parts[part].loss, abs=0.001)
        assert measured.parts[part].windows == metrics.parts[part].windows
    assert {name: [*losses] for name, losses in measured.by_value.items()} == {
        name: [*losses] for name, losses in metrics.by_value.items()
    }
    random = np.random.default_rng(0)
    contexts = parity.random_contexts(config, 500)
    conditions = random.integers(0, config.inputs.values, (500, columns))
    weights = (tmp_path / "model" / artifact.WEIGHTS).read_bytes()
    expected = plain_logits(config, weights, contexts, conditions)
    np.testing.assert_array_equal(model.logits(contexts, conditions), expected)
    np.testing.assert_array_equal(model.logits(contexts), plain_logits(config, weights, contexts, 0 * conditions))
    assert not np.array_equal(model.logits(contexts), expected), "the conditions matter"
    with torch.no_grad():
        floating = network_of(run).for_inference()(torch.from_numpy(contexts), torch.from_numpy(conditions)).numpy()
    error = log_softmax(floating) - log_softmax(expected)
    assert abs(error).max() < 0.3, "whole numbers are coarse"
    assert abs((np.exp(log_softmax(floating)) * error).sum(axis=1).mean()) < 0.001


def test_logits_of_networks_with_conditions_are_those_of_the_network_but_for_rounding(tmp_path: Path) -> None:
    """With all the bits that it may have, a network in whole numbers says the same of every context and condition."""
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    for kind, (recipe, overrides) in CONDITIONED.items():
        steps = ["steps=20"] if read_recipe(recipe).steps else []
        trained = train(
            table, tmp_path / kind, recipe=recipe, overrides=[*overrides, *steps], columns=labelled.columns()
        )
        network = trained.network().eval()
        random = np.random.default_rng(0)
        contexts = random.integers(0, network.ids, (300, network.block_size))
        contexts *= np.logical_and.accumulate(contexts[:, ::-1] > 0, axis=1)[:, ::-1]
        conditions = random.integers(0, network.inputs.values, (300, 2))
        architecture, tensors = network.in_whole_numbers(network.precisions(), contexts, conditions)
        found = architecture.network(IntegerArithmetic(tensors, contexts, conditions), network.inputs)
        with torch.no_grad():
            expected = network(torch.from_numpy(contexts), torch.from_numpy(conditions)).numpy()
        assert np.abs(found / 256 - expected).max() < 0.06, kind


@pytest.mark.parametrize("recipe", ["bigram", "bigram-counts"])
def test_a_bigram_model_refuses_conditions(recipe: str, tmp_path: Path) -> None:
    table, asked = labelled.write(tmp_path / "moons.csv", labelled.rows()), labelled.columns()
    with pytest.raises(RecipeError, match=rf"recipe {recipe}: a bigram model has no room for conditions") as caught:
        train(table, tmp_path / "run", recipe=recipe, columns=asked)
    assert caught.value.key == "model"
    overrides = [f'teachers=["{recipe}"]', "teacher_weights=[]"]
    with pytest.raises(RecipeError, match=rf"recipe {recipe}: a bigram model has no room for conditions"):
        train(table, tmp_path / "run", recipe="names", overrides=overrides, columns=asked)
    assert not (tmp_path / "run").exists()
    train(table, tmp_path / "run", recipe=recipe, overrides=["split=all"], columns=labelled.columns(0))


def test_exporting_again_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    config = export(trained, tmp_path / "moons")
    assert config == artifact.read(tmp_path / "moons").config
    for name in (*artifact.FILES, artifact.CARD, artifact.CONFIG):
        assert (tmp_path / "moons" / name).read_bytes() == (trained / name).read_bytes(), name


# The choice of bits


def test_fewer_bits_are_taken_where_they_do(run: Path) -> None:
    """Of a network that has learnt little, no number has to be as exact as it may be."""
    network, part = network_of(run), Checkpoint.load(run).calibration
    chosen = precision.in_whole_numbers(network, part).architecture
    assert isinstance(chosen, MLPArchitecture)
    most = network.precisions()
    (layer,) = chosen.layers
    assert chosen.first_bits < most["first"]
    assert layer.position_bits < most["positions"]
    assert layer.unit_bits + layer.weight_bits < most["units"] + most["output"]


def test_bits_are_traded_for_fewer_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer bits of the units leave the weights behind them in one part."""
    train(MOONS, tmp_path, recipe="mlp", overrides=["steps=300", "hidden_sizes=[64, 64]", "activation=relu"])
    network, part = network_of(tmp_path), Checkpoint.load(tmp_path).calibration
    chosen = precision.in_whole_numbers(network, part)
    monkeypatch.setattr(precision, "_with_fewer_steps", lambda *arguments: arguments[1])
    lowered = precision.in_whole_numbers(network, part)
    assert chosen.steps < lowered.steps
    for each, low_bits in ((chosen, False), (lowered, True)):
        assert isinstance(each.architecture, MLPArchitecture)
        assert bool(each.architecture.layers[-1].low_bits) == low_bits


def test_a_stricter_limit_takes_more_bits(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, part = network_of(run), Checkpoint.load(run).calibration
    sizes = []
    for limits in ((0.1,), (1e-7,)):
        monkeypatch.setattr(precision, "_LIMITS", limits)
        monkeypatch.setattr(precision, "MOST_LOSS", 1.0)
        chosen = precision.in_whole_numbers(network, part)
        sizes.append(sum(tensor.nbytes for tensor in chosen.tensors.values()))
    assert sizes[0] < sizes[1]


def test_a_limit_that_proves_too_high_gives_way_to_a_lower_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, part = network_of(run), Checkpoint.load(run).calibration
    monkeypatch.setattr(precision, "_LIMITS", (1e-4, 0.0))
    strict = precision.in_whole_numbers(network, part)
    monkeypatch.setattr(precision, "_LIMITS", (10.0, 1e-4, 0.0))  # the first allows anything
    chosen = precision.in_whole_numbers(network, part)
    assert chosen.architecture == strict.architecture


def test_how_large_the_pieces_are_changes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large alphabet is compared in small pieces."""
    network, part = network_of(run), Checkpoint.load(run).calibration
    expected = precision.in_whole_numbers(network, part).architecture
    monkeypatch.setattr(precision, "_LOGITS_AT_ONCE", 50 * network.ids)
    assert part.windows > 2 * 50
    assert precision.in_whole_numbers(network, part).architecture == expected


# Checks


def files(folder: Path) -> tuple[Config, bytes, bytes]:
    config = artifact.read_config(folder)
    return config, (folder / artifact.WEIGHTS).read_bytes(), (folder / artifact.GRAPH).read_bytes()


def failing(config: Config, weights: bytes, graph: bytes) -> str:
    with pytest.raises(ExportError) as caught:
        parity.check_parity(config, weights, graph)
    return caught.value.rung


def changed(weights: bytes, config: Config, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a model.safetensors with other tensors."""
    shapes = config.architecture.tensors(config.inputs)
    tensors = {name: tensor.copy() for name, tensor in read_tensors(weights, shapes).items()}
    change(tensors)
    return save(tensors)


def test_the_batch_sizes_and_levels_that_are_compared() -> None:
    assert parity.BATCH_SIZES == (1, 2, 7, 8, 64, 333, 1000)
    assert len(set(parity.LEVELS)) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("layer.0.bias"),
        lambda tensors: tensors.update(more=np.zeros(3, dtype=np.int8)),
        lambda tensors: tensors.update({"layer.0.bias": tensors["layer.0.bias"][1:].copy()}),
        lambda tensors: tensors.update({"layer.0.bias": tensors["layer.0.bias"].astype(np.float32)}),
        lambda tensors: tensors.update({"layer.0.bias": tensors["layer.0.bias"].astype(np.int64)}),
    ],
)
def test_weights_that_are_not_the_architectures(trained: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config, weights, graph = files(trained)
    parity.check_parity(config, weights, graph)
    assert failing(config, changed(weights, config, change), graph) == "weights"


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer.0.bias", LIMIT), ("layer.0.bias", LIMIT - 1), ("first.0", LIMIT), ("layer.0.weight", LIMIT // 10)],
)
def test_weights_that_could_reach_the_limit(trained: Path, name: str, value: int) -> None:
    config, weights, _ = files(trained)

    def enlarge(tensors: dict[str, Any]) -> None:
        tensors[name] = tensors[name].astype(np.int32)
        tensors[name].flat[-1] = value

    enlarged = changed(weights, config, enlarge)
    tensors = read_tensors(enlarged, config.architecture.tensors(config.inputs))
    assert failing(config, enlarged, artifact.graph_of(config, tensors)) == "bounds"


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: setattr(m, "ir_version", 9),
        lambda m: setattr(m.opset_import[0], "version", 19),
        lambda m: setattr(m.graph.input[0], "name", "tokens"),
        lambda m: setattr(m.graph.node[3], "name", "another"),
        lambda m: setattr(m.graph.node[-1], "op_type", "Add"),
        lambda m: m.metadata_props.pop(),
        lambda m: setattr(m.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL),
        lambda m: setattr(m, "producer_version", "1"),
    ],
)
def test_a_graph_that_is_another(trained: Path, edit: Callable[[onnx.ModelProto], object]) -> None:
    config, weights, graph = files(trained)
    model = onnx.load_model_from_string(graph)
    edit(model)
    assert failing(config, weights, model.SerializeToString()) == "graph"


def test_a_weight_that_differs_by_one(trained: Path) -> None:
    config, weights, graph = files(trained)

    def nudge(tensors: dict[str, Any]) -> None:
        tensors["layer.0.bias"][0] += 1

    assert failing(config, changed(weights, config, nudge), graph) == "graph"


class Malformed(OnnxWriter):
    """Writes an operator that ONNX does not have."""

    def maximum(self, name: str, x: str, y: str) -> str:
        return self._node("Maximum", name, x, y)

    def logits(self, x: str) -> str:
        return super().logits(self.maximum("more", x, x))


class Different(OnnxWriter):
    """Writes a valid graph of another function: halves are rounded to even numbers."""

    def shift(self, name: str, x: str, bits: int) -> str:
        scaled = self._node("Mul", f"{name}.scaled", self._number_of(x), self._float(2.0**-bits))
        return self._node("Round", name, scaled)


@pytest.mark.parametrize(("writer", "rung"), [(Malformed, "checker"), (Different, "bits")])
def test_a_writer_of_graphs_that_is_wrong(
    trained: Path, monkeypatch: pytest.MonkeyPatch, writer: type[OnnxWriter], rung: str
) -> None:
    """The graph equals the one written anew, so that only the later checks can notice."""
    config, weights, _ = files(trained)
    monkeypatch.setattr(artifact, "OnnxWriter", writer)
    tensors = read_tensors(weights, config.architecture.tensors(config.inputs))
    assert failing(config, weights, artifact.graph_of(config, tensors)) == rung


def test_an_ngram_model_is_compared_at_contexts_that_it_knows(tmp_path: Path) -> None:
    """At the full length, without padding, random contexts are hardly ever known."""
    train(MOONS, tmp_path / "run", recipe="ngram")
    config = export(tmp_path / "run", tmp_path / "run")
    vocabulary, size = Vocabulary(config.vocabulary), config.block_size
    names = MOONS.read_text(encoding="utf-8").split()
    known = {name[i : i + size] for name in names for i in range(len(name) - size + 1)}

    def known_ones(contexts: NDArray[np.int64]) -> int:
        return sum(text in known for text in vocabulary.decode(contexts[contexts[:, 0] > 0]))

    assert known_ones(parity.random_contexts(config, 1000)) < 5
    assert known_ones(parity.compared_inputs(config, files(tmp_path / "run")[2])[0]) > 20


@pytest.mark.parametrize("where", ["batch size 333", "ORT_ENABLE_EXTENDED", "2 threads"])
def test_logits_that_differ_in_some_runs_alone(trained: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    class Other:
        """A session whose last logit is off by 1/256 in some runs."""

        def __init__(self, graph: bytes, *, threads: int, level: str) -> None:
            self.name, self.session = f"{level}, {threads} threads", open_session(graph, threads=threads, level=level)

        def run(self, outputs: list[str], inputs: Mapping[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
            logits = self.session.run(outputs, inputs)[0]
            logits[-1, -1] += (where in f"batch size {len(logits)}, {self.name}") / 256
            return [logits]

    monkeypatch.setattr(parity, "open_session", Other)
    with pytest.raises(ExportError, match=f"fails the check 'bits': .*{where}"):
        parity.check_parity(*files(trained))


def with_weights(run: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """Change the tensors of a run's network."""
    checkpoint = Checkpoint.load(run)
    tensors = {
        name: change(name, tensor) if name.startswith("network.") else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    Checkpoint(record=checkpoint.record, tensors=tensors).save(run)


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unchanged_after(folder: Path, action: Callable[[], object], message: str) -> str:
    """Return the rung of an export that fails and leaves every file of a folder as it was."""
    before = files_in(folder)
    with pytest.raises(ExportError, match=message) as caught:
        action()
    assert files_in(folder) == before
    return caught.value.rung


@pytest.mark.parametrize("factor", [1e9, 1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_a_run_that_diverged(tmp_path: Path, factor: float, activation: str) -> None:
    """Huge weights fail as such; nothing is left behind."""
    run = tmp_path / "run"
    train(MOONS, run, recipe="mlp", overrides=[*SMALL, "steps=2", f"activation={activation}"])
    with_weights(run, lambda name, tensor: tensor * factor if name.endswith("weight") else tensor)
    rung = unchanged_after(tmp_path, lambda: export(run, tmp_path / "new"), "cannot be exported in whole numbers: its")
    assert rung == "precision"
    assert not (tmp_path / "new").exists()


def test_a_table_of_huge_logits(tmp_path: Path) -> None:
    """A table has no bits to choose: its logits are in steps of 1/256 nat."""
    run = tmp_path / "run"
    train(MOONS, run, recipe="bigram", overrides=["steps=2"])
    with_weights(run, lambda _, tensor: tensor * 1e6)
    rung = unchanged_after(tmp_path, lambda: export(run, tmp_path / "new"), "its weights are too large")
    assert rung == "precision"


def test_a_loss_that_moves_too_far(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "MOST_LOSS", 1e-6)
    monkeypatch.setattr(precision, "_OF_ONE", 0.0)
    monkeypatch.setattr(precision, "_OF_ALL_BITS", 0.0)
    message = r"its loss would move by 0\.\d+ nats per symbol, and at most 0\.00000 is allowed"
    assert unchanged_after(run.parent, lambda: export(run, run), message) == "precision"


@pytest.mark.parametrize("rung", ["weights", "bounds", "graph", "checker", "bits"])
def test_a_failed_export_leaves_the_old_artifact(run: Path, monkeypatch: pytest.MonkeyPatch, rung: str) -> None:
    def fail(*_: object) -> None:
        raise ExportError(f"the exported model fails the check {rung!r}", rung=rung)

    monkeypatch.setattr(exporter, "check_parity", fail)
    for folder in (run, run.parent / "new"):
        found = unchanged_after(run.parent, lambda: export(run, folder), f"fails the check '{rung}'")  # noqa: B023
        assert found == rung
    assert sorted(path.name for path in run.parent.iterdir()) == ["moons"]


@pytest.mark.parametrize("content", ["", "{}", '{"format_version": 2'])
def test_a_damaged_config_is_replaced_by_an_export_in_place(run: Path, tmp_path: Path, content: str) -> None:
    """The checkpoint shows that the folder is a run's; in any other folder the file may be somebody else's."""
    intact = (run / artifact.CONFIG).read_bytes()
    (run / artifact.CONFIG).write_text(content, encoding="utf-8")
    train(MOONS, run, resume=True)
    export(run, run)
    assert (run / artifact.CONFIG).read_bytes() == intact
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / artifact.CONFIG).write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"config\.json is not a model of sequentia; delete it or choose another"):
        export(run, tmp_path / "other")


def test_only_a_finished_run_is_exported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training run here"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(TrainingError, match="the loss became"):
        train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "learning_rate=1e38"])
    with pytest.raises(TrainingError, match=r"stopped at step \d+; finish it by `sequentia train .* --resume`"):
        export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_model_of_another_run_is_not_overwritten(trained: Path, run: Path) -> None:
    before = files_in(run)
    with pytest.raises(TrainingError, match="holds another training run; choose another folder"):
        export(trained, run)
    assert files_in(run) == before


# The card


def test_the_card_states_the_figures_of_the_config(trained: Path) -> None:
    card = (trained / artifact.CARD).read_text(encoding="utf-8")
    config = artifact.read(trained).config
    assert config.metrics.parts.keys() == {"train", "dev", "test", "dev_unseen", "test_unseen"}
    for loss in config.metrics.parts.values():
        assert f"| {loss.loss:.4f} | {loss.names:,} | {loss.windows:,} |" in card
    assert config.training.corpus.sha256 in card
    assert "sequentia train moons.txt --recipe mlp --set block_size=4" in card
    assert "--set 'hidden_sizes=[24]'" in card
    for name in sequentia.load(trained).generate(10, seed=1):
        assert f"`{name}`" in card


@pytest.mark.parametrize("name", artifact.bundled_models())
def test_a_bundled_model_is_small_and_its_card_up_to_date(name: str) -> None:
    folder = artifact.BUNDLED / name
    read, pictures = artifact.read(folder), artifact.read_pictures(folder)
    assert len(read.graph) <= 800_000
    assert (folder / artifact.CARD).read_text(encoding="utf-8") == model_card(read, pictures)


def test_the_card_of_people_compares_its_names_with_those_of_the_list() -> None:
    config = sequentia.load("people").config
    card = (artifact.BUNDLED / "people" / artifact.CARD).read_text(encoding="utf-8")
    groups = {(group.where["sex"], group.where["decade"]): group for group in config.samples.groups}
    assert groups.keys() == {(sex, f"{year}") for sex in "fm" for year in range(1880, 2021, 10)}
    assert config.samples.ending == "a"
    for (sex, decade), group in groups.items():
        assert f"| {sex}, {decade} | {group.drawn.mean_length:.2f} | {group.listed.mean_length:.2f} |" in card
        assert group.drawn.names == 1000
        assert group.drawn.mean_length == pytest.approx(group.listed.mean_length, abs=0.2)
        assert group.drawn.ending == pytest.approx(group.listed.ending, abs=0.05)
        assert len({*group.drawn.most_frequent} & {*group.listed.most_frequent}) >= 3


def test_the_bundled_models_card_is_that_of_the_project() -> None:
    card = Path(sequentia.__file__).parent / "models" / "names" / artifact.CARD
    there = card.read_text(encoding="utf-8").replace("](pictures/", "](sequentia/models/names/pictures/")
    assert (Path(__file__).parents[1] / "MODEL_CARD.md").read_text(encoding="utf-8") == there


def test_a_run_of_the_earlier_version_is_exported_again(run: Path) -> None:
    """Its record has an architecture and a precision, no names to choose the bits on, and another hash."""
    with safe_open(run / CHECKPOINT, framework="pt") as file:
        record = json.loads(file.metadata()["sequentia.run"])
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "calibration"}  # noqa: SIM118
    record["architecture"] = {**record.pop("structure"), "precision": "float16"}
    record["recipe"]["precision"] = "float16"
    metadata = {"sequentia.run": json.dumps(record), "sequentia.sha256": _earlier_digest(tensors)}
    save_file(tensors, run / CHECKPOINT, metadata=metadata)
    before = sequentia.load(run).generate(20, seed=1)
    config = json.loads((run / artifact.CONFIG).read_bytes())
    (run / artifact.CONFIG).write_text(json.dumps({**config, "format_version": 1}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="export"):
        sequentia.load(run)
    export(run, run)
    after = sequentia.load(run).generate(20, seed=1)
    assert len(set(before) & set(after)) > 10, "other bits, the same network"
