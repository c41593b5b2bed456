"""Read the search space of a sweep: a TOML file of recipe keys, each with a range, choices or a value."""

import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from sequentia.errors import RecipeError

from .kinds import Recipe
from .recipes import check_value, line_of

_THE_SAME_FOR_ALL: Final = frozenset({"model", "split", "first_names", "symbols", "rare"})
_FORMS: Final = "give { low = …, high = …, log = true } or { choices = […] }"


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="range", tag_field="kind"):
    """Values from ``low`` to ``high``; with ``log``, uniform in their logarithm."""

    low: int | float
    high: int | float
    log: bool = False


class Choices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="choices", tag_field="kind"):
    """Values to choose from."""

    choices: list[Any]


Space = dict[str, Range | Choices]
"""The values to try, by key of a recipe."""


def read_space(path: Path, recipe: Recipe) -> Space:
    """Read a search space from a TOML file whose keys are a recipe's.

    ``{ low = 0.001, high = 0.1, log = true }`` is a range, ends included; it consists of whole numbers if the key takes
    whole numbers. ``{ choices = [[64], [128, 128]] }`` lists values. A plain value is the same for all trials. TOML
    tables may take the place of the braces.

    Args:
        path: the file.
        recipe: the recipe that has the keys.

    Raises:
        RecipeError: naming file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: cannot read the search space: {error}") from error
    space = {key: _dimension(recipe, key, value, f"{path}, line {line_of(key, text)}") for key, value in values.items()}
    if all(isinstance(each, Choices) and len(each.choices) == 1 for each in space.values()):
        raise RecipeError(f"{path}: there is nothing to search: for a key, {_FORMS}")
    return space


def _dimension(recipe: Recipe, key: str, value: object, place: str) -> Range | Choices:
    if key in _THE_SAME_FOR_ALL:
        raise RecipeError(f"{place}: {key} decides what losses mean, so all trials share it: set it by --set", key=key)
    named, model = f"{place}: {key}", str(recipe.__struct_config__.tag)
    if not isinstance(value, dict):
        return Choices([check_value(model, key, value, place)])
    kind = "choices" if "choices" in value else "range"
    try:
        asked = msgspec.convert({"kind": kind, **value}, Range | Choices)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{named}: {error}; {_FORMS}", key=key) from error
    if isinstance(asked, Choices):
        if not asked.choices:
            raise RecipeError(f"{named}: there is nothing to choose from", key=key)
        return Choices([check_value(model, key, each, place) for each in asked.choices])
    low, high = (check_value(model, key, end, place) for end in (asked.low, asked.high))
    if not low < high:
        raise RecipeError(f"{named}: low = {low} is not below high = {high}", key=key)
    if asked.log and low <= 0:
        raise RecipeError(f"{named}: a range with log = true starts above 0, not at {low}", key=key)
    return Range(low, high, asked.log)
