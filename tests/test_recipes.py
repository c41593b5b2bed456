from pathlib import Path

import msgspec
import pytest

from sequentia import RecipeError
from sequentia.training import read_recipe, recipe_names
from sequentia.training.networks import architecture_of
from sequentia.training.recipes import Recipe, recipe_path


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_and_says_what_it_is(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.summary.endswith(".")
    assert recipe.source


def test_the_published_size_of_the_network() -> None:
    recipe = read_recipe("mlp")
    assert architecture_of(recipe, 27).parameters == 11_897
    small = read_recipe("mlp", ["embedding_dim=2", "hidden_sizes=[100]"])
    assert architecture_of(small, 27).parameters == 3_481


def test_overrides_take_the_syntax_of_toml() -> None:
    recipe = read_recipe(
        "mlp", ["steps=7", "hidden_sizes=[5, 6]", "learning_rate=1", "split=all", 'activation = "relu"']
    )
    assert (recipe.steps, recipe.hidden_sizes, recipe.learning_rate) == (7, [5, 6], 1.0)
    assert (recipe.split, recipe.activation) == ("all", "relu")


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("stps=5", "stps", r"--set: there is no key 'stps'; valid keys: .*steps \(int\)"),
        (
            "steps=many",
            "steps",
            r"steps = 'many': Expected `int`, got `str`; valid keys: .*activation \(tanh\|relu",
        ),
        ("steps=0", "steps", "Expected `int` >= 1"),
        ("dropout=1.0", "dropout", "Expected `float` < 1.0"),
        ("split=lectures", "split", "Invalid enum value 'lectures'"),
        ("hidden_sizes=[]", "hidden_sizes", "length >= 1"),
        (
            "hidden_sizes=200",
            "hidden_sizes",
            r"Expected `array`, got `int`; valid keys: .*hidden_sizes \(list of int\)",
        ),
        ("block_size=1.5", "block_size", "Expected `int`, got `float`"),
        ("steps", "steps", "give it as KEY=VALUE"),
        ("learning_rate=inf", "learning_rate", "Expected a finite number"),
        ("=5", "", "there is no key ''"),
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
    with pytest.raises(RecipeError, match=r"mine\.toml, line 13: there is no key 'batchsize'; valid keys"):
        read_recipe(str(path))

    path.write_text(text.replace("batch_size = 32", ""), encoding="utf-8")
    with pytest.raises(RecipeError, match="the key batch_size is missing"):
        read_recipe(str(path))

    path.write_text(text + '"(" = 1\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"there is no key '\('"):
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


def test_every_key_is_documented() -> None:
    documented = {line.split(":")[0].strip() for line in str(Recipe.__doc__).splitlines()}
    assert set(Recipe.__struct_fields__) <= documented
