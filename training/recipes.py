"""Named training recipes: TOML files with one key a line, every key of which ``--set`` can override."""

import math
import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from sequentia.architectures import MAX_ORDER, Activation, Direct, Discount, HiddenSizes, Normalized, Precision, Width
from sequentia.artifact import BlockSize, SplitName
from sequentia.errors import RecipeError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

DEFAULT_RECIPE: Final = "names"
_SUFFIX: Final = ".toml"
_FOLDER: Final = resources.files(__package__) / "recipes"

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
Rate = Annotated[float, Meta(gt=0)]


class _ConflictError(ValueError):
    """Keys that do not go together."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class _Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """What every recipe decides; the key ``model`` says which of the kinds below it is.

    Attributes:
        summary: what the recipe is for, in one sentence.
        source: where it comes from.
        split: which names it trains on; see :func:`sequentia.training.corpus.split`.
        first_names: only so many of them, the first; 0 for all. The alphabet is the whole corpus's nevertheless.
        novelty: whether the model can tell the names it was trained or measured on, by their hashes, and so avoid them;
            whoever has the model can then tell whether a name they think of is among them.
        seed: of every random number of the run.
    """

    summary: str
    source: str = ""
    split: SplitName = "lecture"
    first_names: Natural = 0
    novelty: bool = True
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 2147483647


class _DescentRecipe(_Recipe, frozen=True, kw_only=True):
    """What every recipe decides that descends the gradient of the loss.

    Attributes:
        optimizer: ``sgd``, or ``adamw`` (Loshchilov and Hutter 2019).
        weight_decay: as the optimizer understands it.
        learning_rate: the highest rate.
        schedule: ``constant``, or ``cosine``: down towards zero at the end.
        warmup_steps: steps over which the rate first rises, linearly.
        learning_rate_drops: steps from which on the rate is a tenth of what it was.
        average_decay: decay of an exponential moving average of the weights, which then is the result
            (Polyak and Juditsky 1992); 0 for none.
        batch_size: windows in a step, drawn with replacement; 0 for all windows of the training part.
        steps: how many, at most.
        epochs: passes over the training part after which the run ends, if that is before ``steps``; 0 for no limit.
        log_every: steps between two lines of ``history.jsonl``.
        checkpoint_every: steps between two checkpoints.
    """

    optimizer: Literal["sgd", "adamw"] = "adamw"
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    learning_rate: Rate
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Natural = 0
    learning_rate_drops: list[Positive] = []
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch_size: Annotated[int, Meta(ge=0, le=1 << 20)]
    steps: Positive
    epochs: Natural = 0
    log_every: Positive = 1
    checkpoint_every: Positive = 1000


class MLPRecipe(_DescentRecipe, frozen=True, kw_only=True, tag="mlp"):
    """The network of Bengio et al. 2003; the default where a recipe has no key ``model``.

    Attributes:
        block_size: symbols of context.
        embedding_dim: width of a symbol's embedding.
        hidden_sizes: widths of the hidden layers, in order.
        activation: nonlinearity after each hidden layer.
        hidden_bias: whether the hidden layers add a bias.
        batch_norm: the layers that are normalised (Ioffe and Szegedy 2015): ``none``, the ``hidden`` ones, or ``all``,
            the output too.
        direct: how many of the newest symbols choose, together, a row of logits that is added to the network's; fewer
            where the alphabet is large, so that the table never has more than 2**20 (a million) entries.
        initialization: see :func:`sequentia.training.networks.initialize`.
        dropout: share of the hidden units dropped in training (Srivastava et al. 2014), others in each minibatch: what
            is dropped need not be computed.
        precision: what the finished weights are rounded to, and stored as.
        teachers: names or paths of recipes. Each is trained first, with a seed of its own; then their mixture teaches
            this network; see :mod:`sequentia.training.distillation`. None: it learns from the text itself.
        teacher_weights: of each in the mixture, relative to one another; equal ones by default.
    """

    block_size: BlockSize
    embedding_dim: Width
    hidden_sizes: HiddenSizes
    activation: Activation = "tanh"
    hidden_bias: bool = True
    batch_norm: Normalized = "none"
    direct: Direct = 0
    initialization: Literal["normal", "scaled", "kaiming", "lecun"] = "kaiming"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    precision: Precision = "float32"
    teachers: list[str] = []
    teacher_weights: list[Rate] = []

    def __post_init__(self) -> None:
        if self.batch_norm != "none" and self.batch_size < 2:
            raise _ConflictError(
                "batch_size", "batch_norm takes mean and variance of minibatches: batch_size has to be 2 or more"
            )
        if self.batch_norm != "none" and self.dropout:
            raise _ConflictError("dropout", "batch_norm takes statistics of all units: dropout has to be 0")
        if self.batch_norm == "all" and self.direct:
            raise _ConflictError(
                "direct", "batch_norm = all normalises the logits, which a table would shift: direct has to be 0"
            )
        if self.teachers and not self.batch_size:
            raise _ConflictError("batch_size", "teachers give lessons without end: batch_size has to be 1 or more")
        if self.teacher_weights and len(self.teacher_weights) != len(self.teachers):
            raise _ConflictError(
                "teacher_weights", f"{len(self.teacher_weights)} weights for {len(self.teachers)} teachers"
            )


class BigramRecipe(_DescentRecipe, frozen=True, kw_only=True, tag="bigram"):
    """A row of logits for each symbol that may come before, every one drawn from N(0, 1).

    Attributes:
        l2: this times the mean of the squared logits is added to the loss.
    """

    l2: Annotated[float, Meta(ge=0)] = 0.0

    @property
    def block_size(self) -> int:
        """Symbols of context."""
        return 1


class BigramCountsRecipe(_Recipe, frozen=True, kw_only=True, tag="bigram-counts"):
    """Counts of the pairs of symbols, as probabilities.

    Attributes:
        pseudocount: added to each count, so that no pair is impossible.
    """

    pseudocount: Annotated[float, Meta(ge=1e-6)] = 1.0

    @property
    def block_size(self) -> int:
        """Symbols of context."""
        return 1


class NGramRecipe(_Recipe, frozen=True, kw_only=True, tag="ngram"):
    """Counts of n-grams with interpolated Kneser-Ney smoothing.

    Attributes:
        order: symbols in an n-gram: the context and the one that follows.
        discounts: subtracted from every count of order 1, 2 and so on; the last holds for all higher orders.
    """

    order: Annotated[int, Meta(ge=1, le=MAX_ORDER)] = 6
    discounts: Annotated[list[Discount], Meta(min_length=1)]

    @property
    def block_size(self) -> int:
        """Symbols of context; one, and unused, for unigrams."""
        return max(1, self.order - 1)


DescentRecipe = MLPRecipe | BigramRecipe
Recipe = DescentRecipe | BigramCountsRecipe | NGramRecipe
_KINDS: Final[dict[str, type[Recipe]]] = {
    str(kind.__struct_config__.tag): kind for kind in (MLPRecipe, BigramRecipe, BigramCountsRecipe, NGramRecipe)
}


def fitted(recipe: Recipe, windows: int) -> Recipe:
    """Return a recipe for so many windows: where its epochs allow fewer steps, warm-up and average shorten in step."""
    if not isinstance(recipe, DescentRecipe) or not recipe.epochs or not recipe.batch_size:
        return recipe
    steps = math.ceil(recipe.epochs * windows / recipe.batch_size)
    if steps >= recipe.steps:
        return recipe
    return msgspec.structs.replace(
        recipe,
        steps=steps,
        warmup_steps=recipe.warmup_steps * steps // recipe.steps,
        average_decay=max(0.0, 1 - (1 - recipe.average_decay) * recipe.steps / steps) if recipe.average_decay else 0.0,
    )


def checked(recipe: Recipe, key: str, value: object, place: str) -> Any:
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
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error}") from error
    places = {key: f"{path}, line {line_of(key, text)}" for key in values}
    return _overridden(values, places, overrides, str(path))


def override(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return a recipe with some keys changed by ``key=value`` strings; see :func:`read_recipe`."""
    values = msgspec.to_builtins(recipe)
    return _overridden(values, dict.fromkeys(values, "the run's recipe"), overrides, "the run's recipe")


def _overridden(values: dict[str, Any], places: dict[str, str], overrides: Sequence[str], source: str) -> Recipe:
    """Return the recipe of some values, each of which has a place to name in an error."""
    for each in overrides:
        key, value = _parse_override(each)
        values[key], places[key] = value, "--set"
    kind = values.pop("model", "mlp")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise RecipeError(f"{places['model']}: model = {kind!r}: it is one of {', '.join(_KINDS)}", key="model")
    for key, value in values.items():
        values[key] = _check(key, value, kind, places[key])
    required = [field.name for field in msgspec.structs.fields(_KINDS[kind]) if field.required]
    missing = [key for key in required if key not in values]
    if missing:
        raise RecipeError(f"{source}: the key {missing[0]} is missing; {_valid_keys(kind)}", key=missing[0])
    try:
        return _KINDS[kind](**values)
    except _ConflictError as error:
        raise RecipeError(f"{places.get(error.key, source)}: {error}", key=error.key) from error


def line_of(key: str, text: str) -> int:
    """Return the line where a key is set, or a table of that name begins."""
    name = re.escape(key)
    match = re.search(rf"(?m)^[ \t]*(?:[\"']?{name}[\"']?[ \t]*[=.]|\[+[ \t]*{name}\b)", text)
    return text[: match.start()].count("\n") + 1 if match else 1


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: give it as KEY=VALUE", key=key)
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip()


def _types(kind: str) -> dict[str, Any]:
    hints = get_type_hints(_KINDS[kind], include_extras=True)
    return {field: hints[field] for field in _KINDS[kind].__struct_fields__}


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
    return ", ".join([f"valid keys: model ({'|'.join(_KINDS)})", *listed])


def _describe(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _describe(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is list:
        return f"list of {_describe(get_args(kind)[0])}"
    return str(kind.__name__)
