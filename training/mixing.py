"""Distil several finished models into one, without any list: from the names that their mixture invents."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sequentia import artifact
from sequentia._files import check_vacant, write_file
from sequentia.artifact import Artifact
from sequentia.conditions import Said, bind
from sequentia.config import Columns, Config
from sequentia.errors import OptionError
from sequentia.generation import stream_names
from sequentia.likelihood import ConditionedPredict
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.resolve import locate
from sequentia.session import Session
from sequentia.vocabulary import Vocabulary

from .checkpoint import NOVELTY, Checkpoint
from .members import ModelMember, count_places
from .parts import Part
from .progress import Report
from .recipes import DEFAULT_RECIPE, read_recipe
from .starting import MODEL_PREFIX, links_to
from .team import Team
from .trainer import train

INVENTED: Final = "invented-by-the-mixture.csv"
"""The list that a mixture invents, in the run folder."""

_RECIPE: Final = "names"
_NAMES: Final = 30_000
_OWN_NAMES: Final = 5000
_ITEM: Final = "invented name"  # the heading of the list, which is no condition
_STEPS: Final = 6000
_CPU: Final = torch.device("cpu")


class _Alphabet(NamedTuple):
    """What the models of a mixture know together.

    Attributes:
        symbols: all of them, in order of code point. A letter that an earlier model has only in the other case is that.
        values: of each condition.
    """

    symbols: list[str]
    values: dict[str, list[str]]


def mix(
    models: Sequence[str],
    folder: Path,
    *,
    weights: Sequence[float] | None = None,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    report: Report | None = None,
    exported: bool = False,
) -> Checkpoint:
    """Distil a mixture of finished models into one network.

    Each next symbol is drawn from the weighted mean of what the models say. The mixture first invents a list of 30,000
    names, which is kept in the run folder. A network then learns from the mixture as from any teacher, and the losses
    are those on parts of this list. A symbol that occurs nowhere in the list is not in the model's alphabet.

    Args:
        models: bundled models, folders or repositories on the hub, of any kind.
        folder: the run folder; new or empty, unless the run is resumed.
        weights: the weight of each model; by default equal.
        recipe: name or path of the network's recipe, by default ``names``; its own teachers are replaced.
        overrides: ``key=value`` changes to it. Its ``seed`` is that of the list, too.
        device: as for :func:`sequentia.training.train`.
        resume: continue the run in the folder.
        report: called with the progress.
        exported: whether the caller then draws and exports the run; the total of the progress includes that work.

    Returns:
        The final checkpoint. It knows the names of all models' lists if all models do, and spell them alike.

    Raises:
        ModelNotFoundError: if a model does not exist.
        OptionError: if there are fewer than two models, or other weights than models.
        RecipeError: if the recipe is malformed.
        TrainingError: if the folder is not empty.
    """
    weights = [1.0] * len(models) if weights is None else list(weights)
    if len(models) < 2:
        raise OptionError("a mixture needs two models or more", option="models", value=list(models))
    if len(weights) != len(models) or not all(0 < weight < np.inf for weight in weights):
        raise OptionError(
            f"weights: give a positive number for each of the {len(models)} models, not {weights}",
            option="weights",
            value=weights,
        )
    changes = [
        "novelty=false",
        "epochs=0",
        f"steps={_STEPS}",
        *overrides,
        f"teachers={json.dumps([MODEL_PREFIX + model for model in models], ensure_ascii=False)}",
        f"teacher_weights={json.dumps(weights)}",
    ]
    name = recipe or _RECIPE
    if name == DEFAULT_RECIPE:
        raise OptionError(
            f"the recipe {name} looks at a list, and a mixture has none: choose another", option="recipe", value=name
        )
    sources = [artifact.read(locate(model)) for model in models]
    words = [source.config.name for source in sources if source.config.symbols != Vocabulary.kind]
    if words:
        raise OptionError(
            f"{words[0]} is a model of words; only models of characters can be mixed", option="models", value=words[0]
        )
    alphabet = _together([source.config for source in sources])
    path = folder / INVENTED
    if not resume:
        check_vacant(folder, "choose another folder, or go on with its run by --resume")
        names, said = _invented(sources, weights, alphabet, read_recipe(name, changes).seed)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, _table(names, said, alphabet.values))
    checkpoint = train(
        path,
        folder,
        recipe=None if resume else name,
        overrides=[] if resume else changes,
        device=device,
        resume=resume,
        report=report,
        exported=exported,
        columns=Columns(item=_ITEM, conditions={each: each for each in alphabet.values}),
    )
    known = [source.known for source in sources if set(source.config.vocabulary) <= set(alphabet.symbols)]
    if all(each is not None for each in known) and len(known) == len(sources):
        hashes = np.unique(np.concatenate([each.hashes for each in known if each is not None]))
        tensors = {**checkpoint.tensors, NOVELTY: torch.from_numpy(hashes.view(np.int32))}
        checkpoint = Checkpoint(record=checkpoint.record, tensors=tensors)
        checkpoint.save(folder)
    return checkpoint


def _together(configs: Sequence[Config]) -> _Alphabet:
    """Return what some models know together."""
    symbols: list[str] = []
    values: dict[str, list[str]] = {}
    for config in configs:
        before, own = Vocabulary(symbols), Vocabulary(config.vocabulary)
        for symbol in config.vocabulary:
            case = before.other_case(symbol)
            folded = case is not None and own.ids_of(case) == [None]
            symbols += [] if folded or symbol in before.symbols else [symbol]
        for name, those in config.conditions.items():
            known = values.setdefault(name, [])
            known += [value for value in those if value not in known]
    return _Alphabet(sorted(symbols), values)


def _invented(
    sources: Sequence[Artifact], weights: Sequence[float], alphabet: _Alphabet, seed: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return names that a mixture invents, and the id of each one's value of each condition, int64 [names, conditions].

    Every value is as likely as any other.
    """
    vocabulary, values = Vocabulary(alphabet.symbols), alphabet.values
    own = [
        name
        for source, weight in zip(sources, weights, strict=True)
        for name in _own_names(source, alphabet, seed, math.ceil(_OWN_NAMES * weight / sum(weights)))
    ]
    part = Part.of(vocabulary.tokens(own).astype(vocabulary.dtype))
    counts = count_places(part, alphabet.symbols, Team(), _CPU)
    members = [ModelMember(source, alphabet.symbols, values, (), counts) for source in sources]
    predict = _mixture(members, weights)
    block_size = max(member.inputs.block_size for member in members)
    longest = max(source.config.max_length for source in sources)
    random = np.random.default_rng(seed)
    said = random.integers(1, [len(each) + 1 for each in values.values()], (_NAMES, len(values)))
    combinations, numbers = np.unique(said, axis=0, return_counts=True)
    names: list[str] = []
    for combination, number in zip(map(tuple, combinations.tolist()), numbers.tolist(), strict=True):
        names += _drawn(predict, vocabulary, block_size, longest, f"{seed} {combination}", number, combination)
    return names, np.repeat(combinations, numbers, axis=0)


def _own_names(source: Artifact, alphabet: _Alphabet, seed: int, count: int) -> list[str]:
    """Return names that a model draws, spelt in the alphabet of the mixture."""
    config = source.config
    links = links_to(config, alphabet.symbols, alphabet.values)
    spelt: dict[str, str] = {}
    for symbol, theirs in zip(alphabet.symbols, links.symbols[1:].tolist(), strict=True):
        if theirs > 0 and (symbol == config.vocabulary[theirs - 1] or config.vocabulary[theirs - 1] not in spelt):
            spelt[config.vocabulary[theirs - 1]] = symbol
    predict = Session(source).logits
    names = _drawn(predict, source.vocabulary, config.block_size, config.max_length, str(seed), count)
    return ["".join(spelt.get(symbol, "") for symbol in name) for name in names]


def _mixture(members: Sequence[ModelMember], weights: Sequence[float]) -> ConditionedPredict:
    """Return the log probabilities of a mixture as a function of contexts and conditions."""

    def predict(contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None) -> NDArray[np.floating]:
        said = np.zeros((len(contexts), len(members[0].inputs.values)), dtype=np.int64)
        given = torch.from_numpy(contexts), torch.from_numpy(said if conditions is None else conditions)
        mixed = sum(
            weight / sum(weights) * member.probabilities(given[0][:, -member.inputs.block_size :], given[1]).numpy()
            for member, weight in zip(members, weights, strict=True)
        )
        return np.log(mixed)

    return predict


def _drawn(
    predict: ConditionedPredict,
    vocabulary: Vocabulary,
    block_size: int,
    longest: int,
    seed: str,
    count: int,
    said: Said = (),
) -> list[str]:
    """Return names drawn from a distribution."""
    methods = Methods(LogitCache(bind(predict, said), block_size, vocabulary.size))
    batches = stream_names(methods, vocabulary, Plan.of({"seed": seed}, vocabulary, longest), count)
    return [name for batch in batches for name in vocabulary.decode(batch)]


def _table(names: Sequence[str], said: NDArray[np.int64], values: Mapping[str, Sequence[str]]) -> bytes:
    """Return a list with conditions as the contents of a .csv file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_ITEM, *values])
    for name, row in zip(names, said.tolist(), strict=True):
        writer.writerow([name, *(those[i - 1] for those, i in zip(values.values(), row, strict=True))])
    return text.getvalue().encode()
