"""Named training recipes: TOML files with one key a line, every key of which ``--set`` can override."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from sequentia.errors import MissingExtraError, RecipeError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from .kinds import Recipe

DEFAULT_RECIPE: Final = "names"
_SUFFIX: Final = ".toml"
_FOLDER: Final = resources.files(__package__) / "recipes"


def checked(recipe: "Recipe", key: str, value: object, place: str) -> Any:
    """Return a value as a key of a recipe's kind of model takes it.

    Raises:
        RecipeError: naming the place, if the value or the key is wrong.
    """
    return _check(key, value, str(recipe.__struct_config__.tag), place)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX))


def recipe_path(recipe: str) -> "Traversable":
    """Return the file of a recipe, given its name or, ending in ``.toml``, its path.

    Raises:
        RecipeError: if there is none.
    """
    if recipe.endswith(_SUFFIX):
        return Path(recipe)
    if recipe not in recipe_names():
        raise RecipeError(
            f"no recipe {recipe!r}; there are {', '.join(recipe_names())}, or give the path of a .toml file"
        )
    return _FOLDER / f"{recipe}{_SUFFIX}"


def recipe_summary(recipe: str) -> str:
    """Return what a recipe that comes with the package is for, in one sentence."""
    return str(tomllib.loads(recipe_path(recipe).read_text(encoding="utf-8"))["summary"])


def read_recipe(recipe: str, overrides: Sequence[str] = ()) -> "Recipe":
    """Read a recipe.

    Args:
        recipe: the name of one that comes with the package, or the path of a ``.toml`` file.
        overrides: ``key=value`` strings, the value in TOML's syntax; quotes around a word may be left out.

    Raises:
        RecipeError: naming file, key and line, or the override, and the valid keys.
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
    """Return the recipe of some values, each of which has a place to name in an error."""
    for each in overrides:
        key, value = _parse_override(each)
        values[key], places[key] = value, "--set"
    kinds, kind = _kinds(), values.pop("model", "mlp")
    if not isinstance(kind, str) or kind not in kinds:
        raise RecipeError(f"{places['model']}: model = {kind!r}: it is one of {', '.join(kinds)}", key="model")
    for key, value in values.items():
        values[key] = _check(key, value, kind, places[key])
    required = [field.name for field in msgspec.structs.fields(kinds[kind]) if field.required]
    missing = [key for key in required if key not in values]
    if missing:
        raise RecipeError(f"{source}: the key {missing[0]} is missing; {_valid_keys(kind)}", key=missing[0])
    from .kinds import ConflictError

    try:
        return kinds[kind](**values)
    except ConflictError as error:
        raise RecipeError(f"{places.get(error.key, source)}: {error}", key=error.key) from error


def line_of(key: str, text: str) -> int:
    """Return the line where a key is set, or a table of that name begins."""
    name = re.escape(key)
    match = re.search(rf"(?m)^[ \t]*(?:[\"']?{name}[\"']?[ \t]*[=.]|\[+[ \t]*{name}\b)", text)
    return text[: match.start()].count("\n") + 1 if match else 1


def _kinds() -> "Mapping[str, type[Recipe]]":
    """Return the kinds of recipes by their key ``model``. They need PyTorch, and listing recipes does not."""
    try:
        from .kinds import RECIPES
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"reading a recipe needs the package {error.name!r}: install sequentia with its extra, sequentia[train]",
            extra="train",
        ) from error
    return RECIPES


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: give it as KEY=VALUE", key=key)
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip()


def _types(kind: str) -> dict[str, Any]:
    recipe = _kinds()[kind]
    hints = get_type_hints(recipe, include_extras=True)
    return {field: hints[field] for field in recipe.__struct_fields__}


def _check(key: str, value: object, kind: str, place: str) -> Any:
    types = _types(kind)
    if key not in types:
        raise RecipeError(f"{place}: there is no key {key!r} for model {kind}; {_valid_keys(kind)}", key=key)
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("Expected a finite number")
        return msgspec.convert(value, types[key])
    except msgspec.ValidationError as error:
        raise RecipeError(f"{place}: {key} = {value!r}: {error}; {_valid_keys(kind)}", key=key) from error


def _valid_keys(kind: str) -> str:
    listed = [f"{key} ({_describe(each)})" for key, each in _types(kind).items()]
    return ", ".join([f"valid keys: model ({'|'.join(_kinds())})", *listed])


def _describe(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _describe(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is list:
        return f"list of {_describe(get_args(kind)[0])}"
    return str(kind.__name__)
