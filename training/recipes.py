"""Named training recipes: TOML files with one key a line, every key of which ``--set`` can override."""

import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from sequentia.artifact import Activation, BlockSize, SplitName, Width
from sequentia.errors import RecipeError

DEFAULT_RECIPE: Final = "names"
_FOLDER: Final = Path(__file__).parent / "recipes"

Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides what a training run does to a corpus.

    Attributes:
        summary: what the recipe is for, in one sentence.
        source: where it comes from.
        split: which names it trains on; see :func:`sequentia.training.corpus.split`.
        block_size: symbols of context.
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        initialization: ``normal`` draws every parameter from N(0, 1), as the published runs do; ``kaiming`` scales
            the hidden weights to keep the variance (He et al. 2015) and starts the output near uniform.
        dropout: share of hidden units dropped in training (Srivastava et al. 2014).
        optimizer: ``sgd``, or ``adamw`` (Loshchilov and Hutter 2019).
        weight_decay: as the optimizer understands it.
        learning_rate: the highest rate.
        schedule: ``constant``, or ``cosine``: down towards zero at the end.
        warmup_steps: steps over which the rate first rises, linearly.
        learning_rate_drops: steps from which on the rate is a tenth of what it was.
        average_decay: decay of an exponential moving average of the weights, which then is the result
            (Polyak and Juditsky 1992); 0 for none.
        batch_size: windows in a step, drawn with replacement.
        steps: how many.
        seed: of every random number of the run.
        log_every: steps between two lines of ``history.jsonl``.
        checkpoint_every: steps between two checkpoints.
    """

    summary: str
    source: str = ""
    split: SplitName = "lecture"
    block_size: BlockSize
    embedding_dim: Width
    hidden_sizes: Annotated[list[Width], Meta(min_length=1)]
    activation: Activation = "tanh"
    initialization: Literal["normal", "kaiming"] = "kaiming"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    optimizer: Literal["sgd", "adamw"] = "adamw"
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    learning_rate: Rate
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Annotated[int, Meta(ge=0)] = 0
    learning_rate_drops: list[Positive] = []
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch_size: Annotated[int, Meta(ge=1, le=1 << 20)]
    steps: Positive
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 2147483647
    log_every: Positive = 1
    checkpoint_every: Positive = 1000


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def recipe_path(recipe: str) -> Path:
    """Return the file of a recipe, given its name or, ending in ``.toml``, its path.

    Raises:
        RecipeError: if there is none.
    """
    if recipe.endswith(".toml"):
        return Path(recipe)
    if recipe not in recipe_names():
        raise RecipeError(
            f"no recipe {recipe!r}; there are {', '.join(recipe_names())}, or give the path of a .toml file"
        )
    return _FOLDER / f"{recipe}.toml"


def read_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        recipe: the name of one that comes with the package, or the path of a ``.toml`` file.
        overrides: ``key=value`` strings, the value in TOML's syntax; quotes around a word may be left out.

    Raises:
        RecipeError: naming file, key and line, or the override, and the valid keys.
    """
    path = recipe_path(recipe)
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error}") from error
    for key, value in values.items():
        line = (
            text[: match.start()].count("\n") + 1 if (match := re.search(rf"(?m)^\s*{re.escape(key)}\b", text)) else 1
        )
        values[key] = _check(key, value, f"{path}, line {line}")
    values |= read_overrides(overrides)
    missing = sorted(_TYPES.keys() - values.keys() - _OPTIONAL)
    if missing:
        raise RecipeError(f"{path}: the key {missing[0]} is missing; {_valid_keys()}", key=missing[0])
    return Recipe(**values)


def read_overrides(overrides: Sequence[str]) -> dict[str, object]:
    """Return the values of ``key=value`` strings by key; see :func:`read_recipe`."""
    parsed = dict(_parse_override(override) for override in overrides)
    return {key: _check(key, value, "--set") for key, value in parsed.items()}


def _parse_override(override: str) -> tuple[str, object]:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: give it as KEY=VALUE", key=key)
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip()


def _check(key: str, value: object, place: str) -> object:
    if key not in _TYPES:
        raise RecipeError(f"{place}: there is no key {key!r}; {_valid_keys()}", key=key)
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("Expected a finite number")
        return msgspec.convert(value, _TYPES[key])
    except msgspec.ValidationError as error:
        raise RecipeError(f"{place}: {key} = {value!r}: {error}; {_valid_keys()}", key=key) from error


def _valid_keys() -> str:
    return "valid keys: " + ", ".join(f"{key} ({_describe(kind)})" for key, kind in _TYPES.items())


def _describe(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _describe(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is list:
        return f"list of {_describe(get_args(kind)[0])}"
    return str(kind.__name__)


_TYPES: Final[dict[str, Any]] = get_type_hints(Recipe, include_extras=True)
_OPTIONAL: Final = {field.name for field in msgspec.structs.fields(Recipe) if not field.required}
