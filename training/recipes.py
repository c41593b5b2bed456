"""Training recipes: TOML files with one key per line. ``--set`` overrides any key."""

import math
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sequentia.artifact import read_config
from sequentia.errors import MissingExtraError, RecipeError
from sequentia.resolve import locate

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from .kinds import Recipe

DEFAULT_RECIPE: Final = "auto"
_DEFAULT_TO_START: Final = "tune"
_SUFFIX: Final = ".toml"
_SET: Final = "--set"
_FOLDER: Final = resources.files(__package__) / "recipes"


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX))


def default_recipe(overrides: Sequence[str], otherwise: str = DEFAULT_RECIPE) -> str:
    """Return the name of the recipe for a run that names none: another one if it starts from a model."""
    starts = any(key == "start" and value for key, value in map(_parse_override, overrides))
    return _DEFAULT_TO_START if starts else otherwise


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
    for each in overrides:
        key, value = _parse_override(each)
        values[key], places[key] = value, _SET
    if values.get("start"):
        _take_sizes(values, places)
    return _recipe_of(values, places, str(path))


def read_teacher(entry: str) -> tuple[str, list[str], "Recipe"]:
    """Return the name, the settings and the recipe of a teacher: ``NAME KEY=VALUE …``.

    Raises:
        RecipeError: if it is malformed.
    """
    try:
        name, *settings = shlex.split(entry)
    except ValueError as error:
        raise RecipeError(f"teachers: {entry!r}: {error}", key="teachers") from error
    recipe = read_recipe(name, settings)
    if recipe.auto is not None:
        raise RecipeError(f"teachers: {name} looks at the list itself, and cannot be a teacher", key="teachers")
    return name, settings, recipe


def override(recipe: "Recipe", overrides: Sequence[str]) -> "Recipe":
    """Return a recipe with some keys changed by ``key=value`` strings; see :func:`read_recipe`."""
    values = msgspec.to_builtins(recipe)
    changes = dict(map(_parse_override, overrides))
    places = {**dict.fromkeys(values, "the run's recipe"), **dict.fromkeys(changes, _SET)}
    return _recipe_of(values | changes, places, "the run's recipe")


def _take_sizes(values: dict[str, Any], places: dict[str, str]) -> None:
    """Replace the kind and the sizes in a recipe by those of the model that it starts from.

    Raises:
        RecipeError: if ``--set`` asks for others, or the model cannot be trained on.
    """
    start = check_value("mlp", "start", values["start"], places["start"])
    config = read_config(locate(start))
    _kinds()  # raises an error if PyTorch is missing
    from .kinds import ConflictError, structure_of

    try:
        structure = structure_of(config.architecture)
    except ConflictError as error:
        raise RecipeError(f"{places['start']}: the model {start}: {error}", key=error.key) from error
    sizes = {**msgspec.to_builtins(structure), "block_size": config.block_size, "symbols": config.symbols}
    del sizes["parameters"]
    for key, value in sizes.items():
        if places.get(key) == _SET and values[key] != value:
            raise RecipeError(f"{_SET}: {key} is that of the model {start}, {value!r}: leave it out", key=key)
    if values.get("model", sizes["model"]) != sizes["model"]:
        raise RecipeError(
            f"{places['model']}: model = {values['model']!r}, but the model {start} is of the kind {sizes['model']!r}",
            key="model",
        )
    values |= sizes
    places |= {key: places.get(key, places["start"]) for key in sizes}


def _recipe_of(values: dict[str, Any], places: dict[str, str], source: str) -> "Recipe":
    """Return the recipe with some values; ``places`` says where each comes from, for error messages.

    A table under the name of a kind of model holds keys for models of that kind alone.
    """
    kinds, kind = _kinds(), values.pop("model", "mlp")
    if not isinstance(kind, str) or kind not in kinds:
        raise RecipeError(f"{places['model']}: model = {kind!r}: it is one of {', '.join(kinds)}", key="model")
    tables = {name: values.pop(name) for name in kinds if isinstance(values.get(name), dict)}
    for key, value in tables.get(kind, {}).items():
        if places.get(key) != _SET:
            values[key], places[key] = value, places[kind]
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
