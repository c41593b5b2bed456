"""Training recipes: TOML files with one key per line. ``--set`` overrides any key."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sequentia.errors import MissingExtraError, RecipeError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from .kinds import Recipe

DEFAULT_RECIPE: Final = "names"
_SUFFIX: Final = ".toml"
_FOLDER: Final = resources.files(__package__) / "recipes"


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX))


def recipe_path(recipe: str) -> "Traversable":
    """Return the file of a recipe.

    Args:
        recipe: the name of one that comes with the package, or a path that ends in ``.toml``.

    Raises:
        RecipeError: if no recipe has that name.
    """
    if recipe.endswith(_SUFFIX):
        return Path(recipe)
    if recipe not in recipe_names():
        raise RecipeError(
            f"no recipe {recipe!r}; there are {', '.join(recipe_names())}, or give the path of a .toml file"
        )
    return _FOLDER / f"{recipe}{_SUFFIX}"


def recipe_summary(recipe: str) -> str:
    """Return the one-sentence summary of a recipe that comes with the package."""
    return str(tomllib.loads(recipe_path(recipe).read_text(encoding="utf-8"))["summary"])


def read_recipe(recipe: str, overrides: Sequence[str] = ()) -> "Recipe":
    """Read a recipe.

    Args:
        recipe: the name of one that comes with the package, or the path of a ``.toml`` file.
        overrides: ``key=value`` strings. The value is written as in TOML, but a word needs no quotes.

    Raises:
        RecipeError: naming the key, its file and line or ``--set``, and what is allowed.
    """
    path = recipe_path(recipe)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error}") from error
    places = {key: f"{path}, line {line_of(key, text)}" for key in values}
    return _overridden(values, places, overrides, str(path))


def override(recipe: "Recipe", overrides: Sequence[str]) -> "Recipe":
    """Return a recipe with some keys changed by ``key=value`` strings; see :func:`read_recipe`."""
    values = msgspec.to_builtins(recipe)
    return _overridden(values, dict.fromkeys(values, "the run's recipe"), overrides, "the run's recipe")


def _overridden(values: dict[str, Any], places: dict[str, str], overrides: Sequence[str], source: str) -> "Recipe":
    """Return the recipe with some values; ``places`` says where each comes from, for error messages."""
    for each in overrides:
        key, value = _parse_override(each)
        values[key], places[key] = value, "--set"
    kinds, kind = _kinds(), values.pop("model", "mlp")
    if not isinstance(kind, str) or kind not in kinds:
        raise RecipeError(f"{places['model']}: model = {kind!r}: it is one of {', '.join(kinds)}", key="model")
    for key, value in values.items():
        values[key] = check_value(kind, key, value, places[key])
    for field in msgspec.structs.fields(kinds[kind]):
        if field.required and field.name not in values:
            raise RecipeError(f"{source}: the key {field.name} is missing", key=field.name)
    from .kinds import ConflictError

    try:
        return kinds[kind](**values)
    except ConflictError as error:
        raise RecipeError(f"{places.get(error.key, source)}: {error}", key=error.key) from error


def line_of(key: str, text: str) -> int:
    """Return the number of the line that sets a key or begins a table of that name."""
    name = re.escape(key)
    match = re.search(rf"(?m)^[ \t]*(?:[\"']?{name}[\"']?[ \t]*[=.]|\[+[ \t]*{name}\b)", text)
    return text[: match.start()].count("\n") + 1 if match else 1


def _kinds() -> "Mapping[str, type[Recipe]]":
    """Return the recipe classes by their key ``model``. Imported here, so that listing recipes needs no PyTorch."""
    try:
        from .kinds import RECIPES
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(str(error.name), "train") from error
    return RECIPES


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: give it as KEY=VALUE", key=key)
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip()


def check_value(kind: str, key: str, value: object, place: str) -> Any:
    """Return the value of a key as the recipes of a kind of model take it.

    Raises:
        RecipeError: naming the place and what is allowed, if the key is unknown or the value is wrong.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(_kinds()[kind])}
    if key not in types:
        similar = get_close_matches(key, types, n=1)
        hint = f" (did you mean {similar[0]!r}?)" if similar else ""
        valid = ", ".join(["model", *types])
        raise RecipeError(f"{place}: there is no key {key!r} for model {kind}{hint}; valid keys: {valid}", key=key)
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("Expected a finite number")
        return msgspec.convert(value, types[key])
    except msgspec.ValidationError as error:
        allowed = msgspec.json.schema(types[key]).get("enum")
        one_of = f"; it is one of {', '.join(allowed)}" if allowed else ""
        raise RecipeError(f"{place}: {key} = {value!r}: {error}{one_of}", key=key) from error
