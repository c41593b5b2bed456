"""Start a network from the weights of a finished model, adapted to the symbols and conditions of another list."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sequentia import artifact
from sequentia.artifact import BUNDLED, CONFIG, WEIGHTS, Artifact
from sequentia.conditions import said_by
from sequentia.config import Config
from sequentia.errors import RecipeError, TrainingError
from sequentia.resolve import local_folder, locate
from sequentia.vocabulary import BOUNDARY
from sequentia.windows import windows

from .checkpoint import ModelRecord, RunRecord
from .kinds import DescentRecipe, Links, Network, predictor, restored, take_over
from .parts import Part

MODEL_PREFIX: Final = "model:"
"""In a recipe's teachers, what comes before the name of a model."""

LEAST_KNOWN: Final = 0.9
"""The share of a list's symbols that a model should know, for a network to start from it."""

_CONTEXTS: Final = 1 << 14
_LOGITS: Final = 1 << 24  # so that a large alphabet does not take gigabytes


def with_models(record: RunRecord) -> RunRecord:
    """Return a run's record with what it needs to know of the models that its recipe names."""
    recipe = record.recipe.descent
    if recipe is None:
        return record
    names = [recipe.start, *filter(None, map(model_of, recipe.teachers))]
    configs = {name: artifact.read_config(locate(name)) for name in names if name}
    models = {name: _model_record(name, config) for name, config in configs.items()}
    for name, config in configs.items():
        if config.symbols != record.recipe.alphabet:
            raise RecipeError(
                f"the model {name} is one of {config.symbols}, and this run learns {record.recipe.alphabet}: set "
                "symbols to those of the model, or leave it out",
                key="symbols",
            )
    for condition in _pairs(recipe.model_where, record.values):
        if not any(condition in config.conditions for config in configs.values()):
            raise RecipeError(f"model_where: no model has a condition {condition!r}", key="model_where")
    return msgspec.structs.replace(record, models=models)


def model_of(teacher: str) -> str | None:
    """Return the model that an entry of a recipe's teachers names, ``model:NAME``; None if it names a recipe."""
    return teacher.removeprefix(MODEL_PREFIX) if teacher.startswith(MODEL_PREFIX) else None


def _model_record(model: str, config: Config) -> ModelRecord:
    folder = local_folder(model)
    is_path = folder is not None and folder.parent != BUNDLED
    return ModelRecord(
        name=config.name if is_path else model,
        sha256=config.files[WEIGHTS].sha256,
        corpus=config.training.corpus.file,
    )


def read_recorded(model: str, record: ModelRecord) -> Artifact:
    """Return a model that a run uses.

    Raises:
        TrainingError: if it is no longer what the run recorded.
    """
    source = artifact.read(locate(model))
    sha256 = source.config.files[WEIGHTS].sha256
    if sha256 != record.sha256:
        raise TrainingError(
            f"the model {model} is not the one that the run started with (sha256 of {WEIGHTS} {sha256}, not "
            f"{record.sha256})"
        )
    return source


def keep_copy(model: str, record: ModelRecord, folder: Path) -> None:
    """Copy a model that a run uses into a folder, unless it is there already.

    Raises:
        TrainingError: if it is no longer what the run recorded.
    """
    if not (folder / CONFIG).is_file():
        source = read_recorded(model, record)
        files = {name: artifact.read_listed(source.folder, name, source.config) for name in source.config.files}
        artifact.write(folder, source.config, files)


def starting_weights(
    recipe: DescentRecipe, record: RunRecord, part: Part, tell: Callable[[str], object] | None = None
) -> dict[str, Tensor]:
    """Return the weights that a run's network starts with: those of the model ``recipe.start``.

    Args:
        recipe: the run's recipe.
        record: the run, about to start.
        part: the names to train on.
        tell: called with a line if the model does not know much of the list.

    Raises:
        OptionError: if ``model_where`` names a value that the model does not have.
        RecipeError: if ``model_where`` is malformed.
        TrainingError: if the model is no longer the one of the record.
    """
    source = read_recorded(recipe.start, record.models[recipe.start])
    links = links_to(source.config, record.vocabulary, record.values, recipe.model_where)
    occurring = np.bincount(part.tokens, minlength=len(links.symbols))[1:]
    known = float(occurring[links.symbols[1:] >= 0].sum() / occurring.sum())
    if tell is not None and known < LEAST_KNOWN:
        tell(f"The model {recipe.start} knows only {known:.0%} of the {record.alphabet.unit}s in this list.")
    network = recipe.new_network(record.inputs, torch.Generator().manual_seed(recipe.seed))
    adapt(network, restored(source.config.architecture, source.tensors, source.config.inputs), links, part)
    return network.state_dict()


def links_to(
    config: Config, vocabulary: Sequence[str], values: Mapping[str, Sequence[str]], where: Sequence[str] = ()
) -> Links:
    """Return how the ids of a list correspond to those of a model.

    A symbol that the model lacks corresponds to the same letter in another case or without its accents, or to the same
    word in another case.

    Args:
        config: the model's.
        vocabulary: the list's symbols, in id order.
        values: those of each of the list's conditions.
        where: what is said of conditions that the list lacks, as ``condition=value``; those of others are left out.

    Raises:
        OptionError: if ``where`` names a value that the model does not have.
        RecipeError: if ``where`` is malformed, or names a condition that the list has too.
    """
    known = config.alphabet
    capitals = not any(symbol.islower() for symbol in vocabulary)  # then the letters are those of lower-case names
    nearest = [known.nearest(symbol.lower() if capitals else symbol) for symbol in vocabulary]
    symbols = [BOUNDARY, *(-1 if i is None else i for i in nearest)]
    columns = list(config.conditions)
    linked = []
    for name, own in values.items():
        theirs = {value: number for number, value in enumerate(config.conditions.get(name, []), start=1)}
        ids = np.array([BOUNDARY, *(theirs.get(value, -1) for value in own)])
        linked.append((columns.index(name) if name in columns else -1, ids))
    said = {name: value for name, value in _pairs(where, values).items() if name in columns}
    return Links(np.array(symbols), linked, list(said_by(said, config.conditions)))


def _pairs(where: Sequence[str], values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    pairs = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"model_where: {text!r}: give it as CONDITION=VALUE", key="model_where")
        if name in values:
            raise RecipeError(f"model_where: the list says the {name} of each item itself", key="model_where")
        pairs[name] = value
    return pairs


def adapt(network: Network, source: Network, links: Links, part: Part) -> None:
    """Give a network the weights of another, with new symbols about as probable as they are frequent in a list.

    Args:
        network: the network.
        source: the other one.
        links: how the ids of the network correspond to those of the other.
        part: names of the list.
    """
    most = max(1, min(_CONTEXTS, _LOGITS // network.ids))
    positions = np.unique(np.linspace(0, part.windows - 1, most, dtype=np.int64))
    contexts, _ = windows(part.tokens, positions, network.block_size)
    take_over(network, source, links, torch.from_numpy(contexts))
    counts = np.bincount(part.tokens, minlength=network.ids).astype(np.float64) + 0.5
    new = links.symbols < 0
    logits = predictor(network.for_inference(), torch.device("cpu"))(contexts, part.conditions_at(positions))
    mass = float(np.logaddexp.reduce(logits[:, ~new].astype(np.float64), axis=1).mean())
    change = np.log(shares(links.symbols, counts))
    change[new] = mass + np.log(counts[new] / counts[~new].sum())
    with torch.no_grad():
        network.get_parameter("output.bias").add_(torch.from_numpy(change).float())
    network.train()


def shares(symbols: NDArray[np.int64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each id in the counts of all ids that correspond to the same symbol, float64 [ids].

    Args:
        symbols: what the ids correspond to, [ids].
        counts: [ids].
    """
    _, groups = np.unique(symbols, return_inverse=True)
    found: NDArray[np.float64] = counts / np.bincount(groups, weights=counts)[groups]
    return found
