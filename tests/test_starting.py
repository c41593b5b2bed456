"""Training on from a finished model: its weights come back, fit another list, and get better there."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import sequentia
from sequentia import ModelNotFoundError, OptionError, RecipeError, TrainingError, artifact
from sequentia.architectures import MLPArchitecture
from sequentia.artifact import Artifact
from sequentia.columns import ColumnRequest
from sequentia.conditions import said_by
from sequentia.export import export
from sequentia.sampling import log_softmax
from sequentia.session import Session
from sequentia.training import find_learning_rate, read_corpus, read_recipe, split, train
from sequentia.training.checkpoint import Checkpoint, RunRecord
from sequentia.training.kinds import Network, predictor, restored
from sequentia.training.kinds.gru import GRURecipe
from sequentia.training.kinds.mlp import MLPRecipe
from sequentia.training.kinds.restoring import factorised
from sequentia.training.members import ModelMember, count_places
from sequentia.training.parts import Part
from sequentia.training.starting import adapt, links_to, shares, starting_weights, with_models
from sequentia.training.team import Team
from sequentia.vocabulary import Vocabulary
from sequentia.windows import windows

from . import labelled
from .conftest import MOONS
from .test_cli import fail, run_here, succeed

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parent / "data" / "golden" / "models"


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recurrent model with conditions."""
    folder = tmp_path_factory.mktemp("runs") / "recurrent"
    table = labelled.write(folder.parent / "moons.csv", labelled.rows())
    sizes = ["hidden_size=32", "embedding_dim=8", "block_size=8", "steps=150", "batch_size=32"]
    train(table, folder, recipe="gru", overrides=sizes, columns=labelled.columns())
    export(folder, folder)
    return folder


def bundled(name: str) -> Artifact:
    return artifact.read(artifact.BUNDLED / name)


def network_of(source: Artifact) -> Network:
    return restored(source.config.architecture, source.tensors, source.config.inputs)


def log_probabilities(network: Network, contexts: np.ndarray, conditions: np.ndarray | None = None) -> np.ndarray:
    return log_softmax(predictor(network.for_inference(), torch.device("cpu"))(contexts, conditions))


def contexts_of(source: Artifact, names: list[str]) -> np.ndarray:
    tokens = source.vocabulary.tokens(names)
    return windows(tokens, np.arange(len(tokens)), source.config.block_size)[0]


def difference(source: Artifact, contexts: np.ndarray) -> float:
    """Return how far the log probabilities of an artifact and its network are apart, the mean over all values."""
    random = np.random.default_rng(1)
    said = random.integers(0, source.config.inputs.values, (len(contexts), len(source.config.conditions)))
    expected = log_softmax(Session(source).logits(contexts, said))
    found = log_probabilities(network_of(source), contexts, said)
    return float((np.exp(expected) * np.abs(found - expected)).sum(axis=1).mean())


@pytest.mark.parametrize("name", ["names", "people", "surnames"])
def test_a_bundled_model_comes_back_as_a_network(name: str) -> None:
    source = bundled(name)
    names = sequentia.generate(300, model=name, seed=1)
    assert difference(source, contexts_of(source, names)) < 0.02


def test_a_recurrent_model_with_conditions_comes_back_as_a_network(recurrent: Path) -> None:
    source = artifact.read(recurrent)
    assert difference(source, contexts_of(source, sequentia.generate(300, model=str(recurrent), seed=1))) < 0.01


@pytest.mark.parametrize("name", ["mlp-relu", "mlp-tanh", "mlp-gelu", "mlp-where"])
def test_every_form_of_layer_comes_back(name: str) -> None:
    """The golden models' tables are random numbers, so their embeddings have to be as wide as they have symbols."""
    source = artifact.read(GOLDEN / name)
    wide = msgspec.structs.replace(source.config.architecture, embedding_dim=16)
    inputs, random = source.config.inputs, np.random.default_rng(1)
    contexts = random.integers(0, inputs.ids, (500, inputs.block_size))
    said = random.integers(0, inputs.values, (500, len(inputs.values)))
    expected = Session(source).logits(contexts, said)
    network = restored(wide, source.tensors, inputs)
    found = predictor(network.for_inference(), torch.device("cpu"))(contexts, said)
    assert np.abs(found - expected).mean() < 0.03


def test_a_network_of_an_artifact_is_exported_as_it_was_trained(trained: Path, tmp_path: Path) -> None:
    """Train a step at next to no rate: the losses are those of the model that it started from."""
    folder = tmp_path / "again"
    same = ["steps=1", "learning_rate=1e-9", "average_decay=0.0", f"start={trained}"]
    before, after = Checkpoint.load(trained).record, train(MOONS, folder, overrides=same).record
    assert before.metrics is not None
    assert after.metrics is not None
    for part, loss in before.metrics.parts.items():
        assert after.metrics.parts[part].loss == pytest.approx(loss.loss, abs=0.003)
    config = export(folder, folder)
    assert config.training.settings["hidden_sizes"] == [24]


def test_a_table_of_low_rank_is_factorised_exactly() -> None:
    random = np.random.default_rng(1)
    table = random.standard_normal((20, 3)) @ random.standard_normal((3, 50))
    vectors, parts = factorised(table, 5)
    np.testing.assert_allclose(vectors @ parts, table, atol=1e-12)
    assert (vectors[:, 3:] == 0).all()
    assert (parts[3:] != 0).all(), "training can use them"


def test_symbols_correspond_to_letters_in_another_case_or_without_accents() -> None:
    links = links_to(bundled("names").config, ["A", "a", "É", "ß", "-"], {})
    assert links.symbols.tolist() == [0, 1, 1, 5, -1, -1]
    assert shares(links.symbols, np.array([4.0, 1, 3, 9, 7, 7])).tolist() == [1, 0.25, 0.75, 1, 0.5, 0.5]


def adapted(
    source: Artifact, recipe: MLPRecipe | GRURecipe, names: list[str], where: list[str]
) -> tuple[Network, Part]:
    """Return a network of a list without conditions, and the list."""
    symbols = sorted(set("".join(names)))
    vocabulary = Vocabulary(symbols)
    inputs = source.config.inputs._replace(ids=len(symbols) + 1, values=())
    network = recipe.new_network(inputs, torch.Generator().manual_seed(1))
    part = Part.of(vocabulary.tokens(names).astype(np.uint8))
    adapt(network, network_of(source), links_to(source.config, symbols, {}, where), part)
    return network, part


@pytest.mark.parametrize("kind", ["people", "recurrent"])
def test_an_adapted_network_says_of_known_letters_what_the_model_does(kind: str, recurrent: Path) -> None:
    """It knows fewer letters and no conditions. The value that was said once and for all is the model's."""
    place = recurrent if kind == "recurrent" else artifact.BUNDLED / kind
    source, where = artifact.read(place), {"sex": "f"}
    recipe = read_recipe("tune", [f"start={place}"])
    assert isinstance(recipe, MLPRecipe | GRURecipe)
    names = ["ariel", "elara", "lira", "leda"]
    network, part = adapted(source, recipe, names, ["sex=f"])
    contexts, _ = windows(part.tokens, np.arange(part.windows), network.block_size)
    ids = np.array([0, *source.vocabulary.encode("".join(sorted(set("".join(names)))))])
    said = np.tile(said_by(where, source.config.conditions), (len(contexts), 1))
    expected = log_softmax(Session(source).logits(contexts_of(source, names), said)[:, ids])
    found = log_probabilities(network, contexts)
    assert (np.exp(expected) * np.abs(found - expected)).sum(axis=1).mean() < 0.02


def test_new_symbols_start_as_frequent_as_in_the_list() -> None:
    names = ["anna-mae", "lee-ann", "mary", "rose", "Nora", "Nell"]
    recipe = read_recipe("tune")
    assert isinstance(recipe, MLPRecipe)
    network, part = adapted(bundled("names"), recipe, names, [])
    contexts, _ = windows(part.tokens, np.arange(part.windows), network.block_size)
    mean = np.exp(log_probabilities(network, contexts)).mean(axis=0)
    symbols = sorted(set("".join(names)))
    frequency = np.bincount(part.tokens) / part.windows
    hyphen, capital, small = (symbols.index(symbol) + 1 for symbol in "-Nn")
    assert mean[hyphen] == pytest.approx(frequency[hyphen], rel=0.5)
    assert mean[capital] / mean[small] == pytest.approx(2.5 / 4.5, rel=0.01), "N is n, 2 times beside 4"


def test_direct_connections_of_fewer_symbols_are_averages_of_rows(tmp_path: Path) -> None:
    """With 45 ids, only two symbols choose a row, and three did. One symbol precedes bc in the list, so that is it."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    path = tmp_path / "letters.txt"
    path.write_text("".join(f"{letters[i:]}{letters[:i]}\n" for i in range(26)), encoding="utf-8")
    train(path, tmp_path / "run", recipe="mlp", overrides=["direct=3", "steps=20", "hidden_sizes=[8]"])
    export(tmp_path / "run", tmp_path / "run")
    source, recipe = artifact.read(tmp_path / "run"), read_recipe("tune", [f"start={tmp_path / 'run'}"])
    assert isinstance(recipe, MLPRecipe)
    symbols = [*letters, *"ABCDEFGHIJKLMNOPQR"]
    inputs = source.config.inputs._replace(ids=len(symbols) + 1)
    network = recipe.new_network(inputs, torch.Generator().manual_seed(1))
    part = Part.of(np.array([1, 2, 3, 0], dtype=np.uint8))
    adapt(network, network_of(source), links_to(source.config, symbols, {}), part)
    assert recipe.structure(inputs).direct == 2
    mine, theirs = network.get_parameter("direct.weight"), network_of(source).get_parameter("direct.weight")
    after_abc, after_bc = (1 * 27 + 2) * 27 + 3, 2 * 45 + 3
    assert theirs[after_abc].any()
    torch.testing.assert_close(mine[after_bc, :27], theirs[after_abc])
    assert (mine[3 * 45 + 2] == 0).all()


def test_training_on_beats_training_anew(tmp_path: Path) -> None:
    record = train(MOONS, tmp_path / "on", overrides=["start=names"]).record
    sizes = ["block_size=7", "embedding_dim=24", "hidden_sizes=[256]", "direct=5", "tree=22500", "activation=relu"]
    anew = train(MOONS, tmp_path / "anew", recipe="tune", overrides=["start=", *sizes]).record
    assert record.metrics is not None
    assert anew.metrics is not None
    for part in ("dev", "test"):
        assert record.metrics.parts[part].loss < anew.metrics.parts[part].loss


def test_new_symbols_are_learnt(tmp_path: Path) -> None:
    """At first about one symbol in nine is the new one, wherever it stands. The record says which model it was."""
    path = tmp_path / "moons.txt"
    path.write_text("".join(f"{line.title()}!\n" for line in MOONS.read_text(encoding="utf-8").split()), "utf-8")
    train(path, tmp_path / "on", overrides=["start=names", "batch_size=32"])
    config = export(tmp_path / "on", tmp_path / "on")
    names = sequentia.generate(100, model=str(tmp_path / "on"), seed=1)
    assert sum(name.endswith("!") for name in names) > 40, "it has learnt where the new symbol stands"
    source = bundled("names").config
    reached = artifact.read(tmp_path / "on").tensors["direct.reached"]
    assert isinstance(config.architecture, MLPArchitecture)
    assert config.architecture.tree is not None
    assert config.architecture.tree.states == len(np.unique(reached)) + 1, "and no context that cannot occur"
    assert config.training.recipe == "tune"
    assert config.training.settings["models"] == ["names"]
    assert config.training.settings["models_corpora"] == ["names.txt"]
    assert config.training.settings["models_sha256"] == [source.files[artifact.WEIGHTS].sha256]
    card = (tmp_path / "on" / artifact.CARD).read_text(encoding="utf-8")
    assert "It learnt on from the model `names`, which learnt from `names.txt`" in card


@pytest.mark.parametrize("kind", ["names", "recurrent"])
def test_new_conditions_are_learnt(kind: str, recurrent: Path, tmp_path: Path) -> None:
    """Of one value, all names end in x; of the other, none do. The recurrent model knows a sex, but no x of it."""
    moons = [line.lower() for line in MOONS.read_text(encoding="utf-8").split() if line.isascii() and line.isalpha()]
    rows = [f"{name}{'x' * number},{'mx'[number]}" for name in moons for number in range(2)]
    path = tmp_path / "moons.csv"
    path.write_text("\n".join(["name,sex", *rows]) + "\n", encoding="utf-8")
    place = str(recurrent) if kind == "recurrent" else kind
    columns = ColumnRequest("name", ("sex",))
    # The recurrent network is tiny, and its minibatches are of names.
    fast = ["learning_rate=0.01", "epochs=400"] if kind == "recurrent" else ["epochs=60"]
    train(path, tmp_path / "on", overrides=[f"start={place}", *fast], columns=columns)
    export(tmp_path / "on", tmp_path / "on")
    model = sequentia.load(tmp_path / "on")
    shares = [np.mean([name.endswith("x") for name in model.generate(200, where={"sex": sex}, seed=1)]) for sex in "mx"]
    assert shares[1] - shares[0] > 0.3


def test_a_run_goes_on_without_the_model(trained: Path, tmp_path: Path) -> None:
    """The whole run, and one that is interrupted and loses its source, end alike."""
    source, whole, broken = (tmp_path / name for name in ("source", "whole", "broken"))
    shutil.copytree(trained, source)
    taught = ['teachers=["wide", "memory"]', "teacher_weights=[]"]
    changes = ["steps=20", "checkpoint_every=5", f"start={source}", *taught]
    train(MOONS, whole, recipe="names", overrides=changes)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(MOONS, broken, recipe="names", overrides=changes, watch_dev=interrupt)
    shutil.rmtree(source)
    train(MOONS, broken, resume=True)
    resumed, through = Checkpoint.load(broken), Checkpoint.load(whole)
    assert resumed.record == through.record
    assert all(torch.equal(tensor, through.tensors[name]) for name, tensor in resumed.tensors.items())
    config = export(broken, broken)
    assert config.training.settings["start"] == "moons", "no folder of this machine gets into the model"
    assert str(tmp_path) not in (broken / artifact.CONFIG).read_text(encoding="utf-8")


def test_a_folder_that_is_another_model_by_then_is_refused(trained: Path) -> None:
    recipe = read_recipe("tune", [f"start={trained}"])
    corpus = read_corpus(MOONS)
    record = with_models(RunRecord.start("tune", [], recipe, corpus))
    other = {key: msgspec.structs.replace(each, sha256="0" * 64) for key, each in record.models.items()}
    assert recipe.descent is not None
    with pytest.raises(TrainingError, match="not the one that the run started with"):
        starting_weights(recipe.descent, msgspec.structs.replace(record, models=other), split(corpus, "lecture").train)


def test_a_learning_rate_is_sought_from_the_model(tmp_path: Path) -> None:
    """The first loss is that of the model, not that of a uniform guess."""
    search = find_learning_rate(MOONS, tmp_path / "lr", overrides=["start=names"], steps=40)
    assert search.recipe == "tune"
    assert search.losses[0] < 3.0 < np.log(27)


def test_sizes_are_those_of_the_model(recurrent: Path) -> None:
    recipe = read_recipe("wide", ["start=names"])
    assert isinstance(recipe, MLPRecipe)
    assert (recipe.hidden_sizes, recipe.activation, recipe.direct, recipe.block_size) == ([256], "relu", 5, 7)
    assert recipe.learning_rate == 0.003, "the schedule is the recipe's"
    again = read_recipe("tune", [f"start={recurrent}"])
    assert isinstance(again, GRURecipe)
    assert again.batch_size == 32, "of names; other kinds take 256 symbols"
    own = read_recipe("tune", [f"start={recurrent}", "batch_size=9"]).descent
    assert own is not None
    assert own.batch_size == 9


def test_what_cannot_be_started_from_is_refused(recurrent: Path, tmp_path: Path) -> None:
    counted = fail("train", MOONS, "--from", GOLDEN / "ngram-4", "-o", tmp_path / "out")
    assert "cannot be trained on, because its counts are not in it" in counted
    other = fail("train", MOONS, "--from", "names", "--set", "hidden_sizes=[3]", "-o", tmp_path / "out")
    assert "--set: hidden_sizes is that of the model names, [256]: leave it out" in other
    kind = fail("train", MOONS, "--from", recurrent, "--set", "model=mlp", "-o", tmp_path / "out")
    assert "model is that of the model" in kind
    (tmp_path / "mlp.toml").write_text('model = "mlp"\nsummary = "x"\n', encoding="utf-8")
    kind = fail("train", MOONS, "--from", recurrent, "--recipe", tmp_path / "mlp.toml", "-o", tmp_path / "out")
    assert "is of the kind 'gru'" in kind
    nothing = fail("train", MOONS, "--from", "nothing", "-o", tmp_path / "out")
    assert "no model 'nothing'" in nothing
    assert not (tmp_path / "out").exists()
    with pytest.raises(OptionError, match="sex must be one of 'f', 'm', not 'q'"):
        train(MOONS, tmp_path / "where", overrides=["start=people", 'model_where=["sex=q"]'])
    with pytest.raises(RecipeError, match="CONDITION=VALUE"):
        train(MOONS, tmp_path / "pairs", overrides=["start=people", 'model_where=["sex"]'])


def test_the_command_line_trains_on(tmp_path: Path) -> None:
    out = tmp_path / "moons"
    result = run_here("train", MOONS, "--from", "names", "--set", "epochs=1", "--seed", "5", "-o", out)
    assert result.returncode == 0, result
    settings = json.loads(succeed("info", out, "--json"))["training"]["settings"]
    assert (settings["start"], settings["seed"]) == ("names", 5)


# Finished models as teachers


def member_of(name: str | Path, names: list[str], where: tuple[str, ...] = ()) -> tuple[ModelMember, Part, list[str]]:
    """Return a model as a member of a mixture for a list, the list, and its symbols."""
    symbols = sorted(set("".join(names)))
    part = Part.of(Vocabulary(symbols).tokens(names).astype(np.uint8))
    counts = count_places(part, symbols, Team(), CPU)
    source = artifact.read(artifact.BUNDLED / name if isinstance(name, str) else name)
    return ModelMember(source, symbols, {}, where, counts), part, symbols


def all_contexts(part: Part, block_size: int) -> np.ndarray:
    """Return all contexts of a list."""
    return windows(part.tokens, np.arange(part.windows), block_size)[0]


def said_by_member(member: ModelMember, part: Part) -> np.ndarray:
    contexts = all_contexts(part, member.inputs.block_size)
    nothing = torch.zeros((len(contexts), 0), dtype=torch.int64)
    return member.probabilities(torch.from_numpy(contexts), nothing).numpy()


@pytest.mark.parametrize("place", ["names", "people", GOLDEN / "ngram-4", GOLDEN / "bigram", GOLDEN / "gru-where"])
def test_a_model_of_any_kind_says_what_it_knows_of_known_symbols(place: str | Path) -> None:
    source = artifact.read(artifact.BUNDLED / place if isinstance(place, str) else place)
    names = ["abba", "badab", "fade"] if "b" in source.config.vocabulary else ["aex", "xea"]
    member, part, symbols = member_of(place, names)
    logits = Session(source).logits(contexts_of(source, names))
    expected = np.exp(log_softmax(logits[:, [0, *source.vocabulary.encode("".join(symbols))]]))
    np.testing.assert_allclose(said_by_member(member, part), expected, rtol=1e-5)


def test_a_model_shares_a_letter_among_its_cases_by_their_place() -> None:
    """A capital is likely at the start alone; a hyphen is as likely as in the list, and after it a name starts anew."""
    member, part, symbols = member_of("names", ["Anna-Mae", "Lee-Ann", "Nora", "Nell", "Ella-Rae"] * 20)
    found = said_by_member(member, part)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    capital, small, hyphen = (symbols.index(symbol) + 1 for symbol in "Nn-")
    first, behind_a, behind_hyphen = (found[i] for i in (0, 1, 5))
    assert part.tokens[4] == hyphen
    assert first[capital] > 100 * first[small]
    assert behind_a[small] > 100 * behind_a[capital]
    letters = sum(character.isalpha() for character in "Anna-MaeLee-AnnNoraNellElla-Rae")
    assert behind_a[hyphen] == pytest.approx(3 / letters, rel=0.01)
    assert behind_hyphen[symbols.index("M") + 1] > 0.03


def test_a_model_that_teaches_is_told_what_the_list_leaves_out() -> None:
    told, part, symbols = member_of("people", ["mary", "john"], ("sex=f",))
    silent, _, _ = member_of("people", ["mary", "john"])
    m, j = (symbols.index(symbol) + 1 for symbol in "mj")
    before, after = said_by_member(silent, part)[0], said_by_member(told, part)[0]
    assert after[m] / after[j] > 1.2 * before[m] / before[j]


TAUGHT = ["teachers=['model:names', 'ngram']", "teacher_weights=[0.3, 0.7]", "hidden_sizes=[32]", "steps=40"]


def test_a_network_is_taught_by_a_model_and_goes_on_without_it(tmp_path: Path, trained: Path) -> None:
    source, whole, broken = (tmp_path / name for name in ("source", "whole", "broken"))
    shutil.copytree(trained, source)
    changes = [
        *TAUGHT,
        f"teachers=['model:{source}', 'ngram']",
        "teacher_weights=[0.3, 0.7]",
        "checkpoint_every=10",
    ]
    train(MOONS, whole, recipe="names", overrides=changes)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(MOONS, broken, recipe="names", overrides=changes, watch_dev=interrupt)
    shutil.rmtree(source)
    train(MOONS, broken, resume=True)
    resumed, through = Checkpoint.load(broken), Checkpoint.load(whole)
    assert all(torch.equal(tensor, through.tensors[name]) for name, tensor in resumed.tensors.items())
    config = export(broken, broken)
    assert config.training.settings["teachers"] == ["model:moons", "ngram"]
    card = (broken / artifact.CARD).read_text(encoding="utf-8")
    assert (
        "It learnt from a mixture of the recipes `ngram`, trained on the same names, and of the model `moons`" in card
    )


def test_a_teacher_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'nothing'"):
        train(MOONS, tmp_path / "run", recipe="names", overrides=["teachers=['model:nothing']", "teacher_weights=[]"])
    with pytest.raises(RecipeError, match="no model has a condition 'sex'"):
        train(MOONS, tmp_path / "run", recipe="names", overrides=[*TAUGHT, "model_where=['sex=f']"])
    assert not (tmp_path / "run").exists()
