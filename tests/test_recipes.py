from pathlib import Path

import msgspec
import pytest
import torch

from sequentia import RecipeError
from sequentia.arithmetic import Inputs
from sequentia.training import read_recipe, recipe_names
from sequentia.training.kinds import network_of
from sequentia.training.kinds.bigram import BigramCountsRecipe, BigramRecipe
from sequentia.training.kinds.gru import GRURecipe
from sequentia.training.kinds.mlp import MLPRecipe, MLPStructure
from sequentia.training.kinds.ngram import NGramRecipe
from sequentia.training.recipes import override, recipe_path


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_and_says_what_it_is(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.summary.endswith(".")
    assert recipe.source


@pytest.mark.parametrize(
    ("recipe", "parameters"),
    [
        ("bigram-counts", 729),
        ("bigram", 729),
        ("mlp-2d", 3_481),
        ("mlp-2d-300", 10_281),
        ("mlp", 11_897),
        ("mlp-init", 11_897),
        ("mlp-batchnorm", 12_097),
        ("deep-batchnorm", 47_551),
    ],
)
def test_the_published_sizes(recipe: str, parameters: int) -> None:
    settings = read_recipe(recipe)
    assert settings.structure(Inputs(settings.block_size, 27)).parameters == parameters


def test_overrides_take_the_syntax_of_toml() -> None:
    recipe = read_recipe(
        "mlp", ["steps=7", "hidden_sizes=[5, 6]", "learning_rate=1", "split=all", 'activation = "relu"']
    )
    assert isinstance(recipe, MLPRecipe)
    assert (recipe.steps, recipe.hidden_sizes, recipe.learning_rate) == (7, [5, 6], 1.0)
    assert (recipe.split, recipe.activation) == ("all", "relu")


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        (
            "stps=5",
            "stps",
            r"--set: there is no key 'stps' for model mlp \(did you mean 'steps'\?\); valid keys: model, .*steps",
        ),
        ("steps=many", "steps", "steps = 'many': Expected `int`, got `str`"),
        ("steps=0", "steps", "Expected `int` >= 1"),
        ("dropout=1.0", "dropout", "Expected `float` < 1.0"),
        (
            "split=lectures",
            "split",
            "split = 'lectures': Invalid enum value 'lectures'; it is one of all, column, dedup, lecture",
        ),
        ("hidden_sizes=[]", "hidden_sizes", "length >= 1"),
        ("hidden_sizes=200", "hidden_sizes", "Expected `array`, got `int`"),
        ("block_size=1.5", "block_size", "Expected `int`, got `float`"),
        ("steps", "steps", "give it as KEY=VALUE"),
        ("learning_rate=inf", "learning_rate", "Expected a finite number"),
        ("=5", "", r"there is no key '' for model \w+"),
        ("model=transformer", "model", r"--set: model = 'transformer': it is one of mlp, bigram, .*ngram, auto"),
        ("model=3", "model", "model = 3: it is one of"),
        (
            "model=ngram",
            "block_size",
            r"mlp\.toml, line 5: there is no key 'block_size' for model \w+; valid keys: .*order",
        ),
        ("hidden_bias=1", "hidden_bias", "Expected `bool`, got `int`"),
    ],
)
def test_an_override_that_is_malformed(override: str, key: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe("mlp", [override])
    assert caught.value.key == key


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = recipe_path("mlp").read_text(encoding="utf-8")
    path.write_text(text.replace("steps = 200_000", "steps = 11"), encoding="utf-8")
    assert read_recipe(str(path)) == msgspec.structs.replace(read_recipe("mlp"), steps=11)

    path.write_text(text.replace("steps = 200_000", 'steps = "many"'), encoding="utf-8")
    line = text[: text.index("steps = 200_000")].count("\n") + 1
    with pytest.raises(RecipeError, match=rf"mine\.toml, line {line}: steps = 'many': Expected `int`"):
        read_recipe(str(path))

    path.write_text(text.replace("batch_size", "batchsize"), encoding="utf-8")
    line = text[: text.index("batch_size")].count("\n") + 1
    with pytest.raises(
        RecipeError,
        match=rf"mine\.toml, line {line}: there is no key 'batchsize' for model mlp \(did you mean 'batch_size'\?\)",
    ):
        read_recipe(str(path))

    path.write_text(text.replace("batch_size = 32", ""), encoding="utf-8")
    with pytest.raises(RecipeError, match="the key batch_size is missing"):
        read_recipe(str(path))

    path.write_text(text + '"(" = 1\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"there is no key '\('"):
        read_recipe(str(path))

    quoted = "\ufeff" + text.replace("batch_size = 32", '"batch_size" = "many"') + "\n[schedules]\na = 1\n"
    path.write_text(quoted, encoding="utf-8")
    with pytest.raises(RecipeError, match=rf"mine\.toml, line {line}: batch_size = 'many': Expected `int`"):
        read_recipe(str(path))
    path.write_text(quoted.replace('"many"', "32"), encoding="utf-8")
    line = quoted[: quoted.index("[schedules]")].count("\n") + 1
    with pytest.raises(RecipeError, match=rf"mine\.toml, line {line}: there is no key 'schedules' for model mlp"):
        read_recipe(str(path))

    path.write_text("steps = = 3\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine\.toml: cannot read the recipe: .*line 1"):
        read_recipe(str(path))

    path.write_bytes(b"\xff")
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        read_recipe(str(path))


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'mpl'; there are .*mlp"):
        read_recipe("mpl")
    with pytest.raises(RecipeError, match="No such file"):
        read_recipe("nowhere.toml")


@pytest.mark.parametrize("kind", [MLPRecipe, BigramRecipe, BigramCountsRecipe, GRURecipe, NGramRecipe])
def test_every_key_is_documented(kind: type) -> None:
    lines = "\n".join(str(base.__doc__) for base in kind.__mro__).splitlines()
    documented = {line.split(":")[0].strip() for line in lines}
    assert set(kind.__struct_fields__) <= documented  # type: ignore[attr-defined]


def test_what_counts_has_no_steps() -> None:
    for recipe in ("ngram", "bigram-counts"):
        with pytest.raises(
            RecipeError,
            match=rf"there is no key 'steps' for model {recipe}; valid keys: model, summary",
        ):
            read_recipe(recipe, ["steps=3"])
    with pytest.raises(RecipeError, match=r"discounts = .*Expected `float` >= 1e-06"):
        read_recipe("ngram", ["discounts=[0.0]"])


@pytest.mark.parametrize("size", [0, 1])
def test_what_is_normalised_needs_minibatches(size: int) -> None:
    with pytest.raises(RecipeError, match=r"--set: .* batch_size must be 2 or more"):
        read_recipe("mlp-batchnorm", [f"batch_size={size}"])
    with pytest.raises(RecipeError, match=r"--set: .* batch_size must be 2 or more"):
        override(read_recipe("mlp-batchnorm"), [f"batch_size={size}"])


def test_a_normalised_output_has_no_direct_connections() -> None:
    with pytest.raises(RecipeError, match=r"--set: batch_norm = all normalises the logits, .* direct must be 0"):
        read_recipe("deep-batchnorm", ["direct=1"])
    recipe = read_recipe("mlp-batchnorm", ["direct=1"])
    with pytest.raises(RecipeError, match="direct must be 0") as caught:
        override(recipe, ["batch_norm=all"])
    assert caught.value.key == "direct"
    with pytest.raises(RecipeError, match="Expected `int` <= 8"):
        read_recipe("mlp", ["direct=9"])


@pytest.mark.parametrize(
    ("ids", "block_size", "expected"),
    [(27, 15, 3), (27, 2, 2), (4, 15, 8), (32, 15, 3), (33, 15, 2), (1024, 15, 1), (1025, 15, 0)],
)
def test_direct_connections_are_fewer_where_the_alphabet_is_large(ids: int, block_size: int, expected: int) -> None:
    recipe = read_recipe("mlp", ["direct=8", f"block_size={block_size}"])
    inputs = Inputs(block_size, ids)
    structure, plain = recipe.structure(inputs), override(recipe, ["direct=0"]).structure(inputs)
    assert isinstance(structure, MLPStructure)
    assert structure.direct == expected
    table = ids ** (expected + 1) if expected else 0
    assert structure.parameters == plain.parameters + table
    assert table <= 2**20
    with torch.device("meta"):
        tensors = network_of(structure, inputs).state_dict().values()
    assert sum(tensor.numel() for tensor in tensors) == structure.parameters
    assert sum(tuple(tensor.shape) == (ids**expected, ids) for tensor in tensors) == (expected > 0)


def test_overriding_a_runs_recipe() -> None:
    recipe = read_recipe("mlp")
    assert override(recipe, ["model=mlp", "steps=3"]) == msgspec.structs.replace(recipe, steps=3)
    with pytest.raises(RecipeError, match=r"the run's recipe: there is no key 'block_size' for model \w+"):
        override(recipe, ["model=bigram"])


def test_a_recipe_without_a_model_is_an_mlp(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(recipe_path("mlp").read_text(encoding="utf-8").replace('model = "mlp"\n', ""), encoding="utf-8")
    assert read_recipe(str(path)) == read_recipe("mlp")
