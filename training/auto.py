"""Plan what to train for a list: which models to mix, and which small network to teach.

A plan is a recipe of the kind ``mlp`` with teachers, so training, resuming and exporting need to know nothing of it. It
depends on the list and on the recipe ``auto`` alone, never on the speed of the machine: the same command gives the same
model.
"""

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import torch

from sequentia import artifact
from sequentia.resolve import locate

from .counts import count_ngrams
from .kinds import Recipe
from .kinds.auto import AutoRecipe
from .members import ModelMember, count_places
from .mixture import probabilities_of
from .parts import Part
from .recipes import read_recipe
from .starting import LEAST_KNOWN, MODEL_PREFIX
from .team import Team

_TRIED: Final = 150  # names that the prior's conditions are tried on
_SHORT: Final = 400  # names of a list that only what starts from the prior can learn
_MANY: Final = 100_000  # names of a list that needs no prior, and one network with hardly any dropout learns best
_MANY_IDS: Final = 800  # from here on, steps take longer in proportion
_MANY_COMBINATIONS: Final = 48
_LONG: Final = 20  # symbols of items that a recurrent network learns too slowly, on average
_PADDED: Final = 1500  # symbols, once all names are padded to the longest; with more, there are fewer steps
_SYMBOLS: Final = 1200  # in a minibatch of whole names
_HIGHEST_ORDER: Final = 8
_USUAL_ORDER: Final = 6
_MOST_RARE: Final = 1 << 10  # times that a context has to occur, at most
_MOST_ENTRIES: Final = 1 << 25  # in the two tables of an n-gram model, each: 256 MiB together
_WORD_COUNTS: Final = tuple(f"ngram order={order}" for order in (2, 3, 4, 6))
_WORD_PASSES: Final = 16  # over the training part, of the network that learns from a mixture for words
_WINDOWS: Final = 1 << 12  # least windows that the steps of a network are for


class Plan(NamedTuple):
    """What is done for a list.

    Attributes:
        recipe: of the network that learns from the others.
        lines: the plan in words.
    """

    recipe: Recipe
    lines: list[str]


class _Effort(NamedTuple):
    """How large the networks for a list are, and how many steps they take at most.

    Attributes:
        items: the longest list that it is for.
        minutes: how long the whole command takes, about.
        hidden: units of the feed-forward member.
        steps: its steps, of ``batch`` windows.
        batch: windows in its steps, and in those of the learner.
        recurrent: units of the recurrent member.
        recurrent_steps: its steps, of about 1,200 symbols.
        learner: units of the learner.
        learner_steps: its steps.
    """

    items: float
    minutes: float
    hidden: int
    steps: int
    batch: int
    recurrent: int
    recurrent_steps: int
    learner: int
    learner_steps: int


_EFFORTS: Final = (
    _Effort(5_000, 1, 512, 900, 256, 192, 400, 384, 2_000),
    _Effort(30_000, 5, 1_024, 2_500, 512, 256, 1_000, 512, 4_000),
    _Effort(float("inf"), 15, 2_048, 3_600, 1_024, 320, 1_700, 640, 5_500),
)


_WORDS: Final = {
    "memory": "counts of 6 symbols, smoothed less",
    "tune": "the same, trained on with the list",
    "wide": "a feed-forward network",
    "gru": "a recurrent network",
    "words": "a feed-forward network",
}


def plan(recipe: Recipe, part: Part, vocabulary: Sequence[str], values: Mapping[str, Sequence[str]]) -> Plan:
    """Return what to do for a list: for a recipe of another kind than ``auto``, that recipe.

    Args:
        recipe: as the user chose it.
        part: the names to train on.
        vocabulary: the symbols of the list, in id order.
        values: those of each condition, by its name.
    """
    auto = recipe.auto
    if auto is None:
        return Plan(recipe, [])
    if recipe.alphabet == "words":
        return _of_words(recipe, part, len(vocabulary), values)
    effort = next(each for each in _EFFORTS if part.names <= 0.8 * each.items)
    scale = (auto.minutes or effort.minutes) / effort.minutes * min(1.0, _MANY_IDS / (len(vocabulary) + 1))
    lengths = part.lengths - 1
    lines = [
        f"The list: {part.names:,} items in the training part, up to {lengths.max():,} symbols long, with an alphabet "
        f"of {len(vocabulary):,}."
    ]
    prior = auto.prior if part.names <= _MANY else ""
    known, where = _prior(prior, part, vocabulary, values)
    if prior:
        what = "training starts from it" if known >= LEAST_KNOWN else "it is not used"
        lines.append(f"The model {prior} knows {known:.0%} of the symbols in these items: {what}.")
    starts = prior if known >= LEAST_KNOWN else ""
    teachers = [*_counts(part, len(vocabulary) + 1, values), *_networks(effort, scale, part, starts, where)]
    lines.append(
        f"The plan: {len(teachers)} members ({_describe(teachers)}); then one small network that learns from their "
        "mixture. What is best on dev is the result."
    )
    lines += _again(recipe)
    settings = [
        f"teachers={_toml(teachers)}",
        "teacher_weights=dev",
        f"steps={_at_least(scale * effort.learner_steps, 200)}",
        "patience=6",
        f"batch_size={2 * effort.batch}",
        "epochs=0",
        "warmup_steps=50",
        "average_decay=0.995",
    ]
    if starts:
        settings += [f"start={_toml(starts)}", f"model_where={_toml(where)}", "learning_rate=0.002"]
    else:
        block = int(np.clip(np.quantile(lengths, 0.9), 3, 8))
        width = max(64, min(effort.learner, (1 << 18) // (len(vocabulary) + 1)))
        settings += [f"block_size={block}", f"hidden_sizes=[{width}]", "direct=3", "tree=0", "learning_rate=0.004"]
    return Plan(_with_own_keys(read_recipe("names", settings), recipe), lines)


def _of_words(recipe: Recipe, part: Part, words: int, values: Mapping[str, Sequence[str]]) -> Plan:
    """Return the plan for a list of words: a network, and counts where their tables are not too large.

    Args:
        recipe: as the user chose it.
        part: the names to train on.
        words: how many there are, the unknown one included.
        values: those of each condition, by its name.
    """
    single, effort = read_recipe("words"), _EFFORTS[0]
    teachers = [entry for entry in _counts(part, words + 1, values) if entry in _WORD_COUNTS]
    lines = [
        f"The list: {part.names:,} items in the training part, up to {part.lengths.max() - 1:,} words long, with a "
        f"vocabulary of {words - 1:,}."
    ]
    if teachers:
        teachers.append("words")
        passes = _WORD_PASSES * part.windows / single.descent.batch_size if single.descent else 0
        steps = _at_least(passes, round(effort.learner_steps * min(1.0, _MANY_IDS / words)))
        settings = [f"teachers={_toml(teachers)}", "teacher_weights=dev", f"steps={steps}", "epochs=0", "dropout=0"]
        single = read_recipe("words", settings)
        lines.append(
            f"The plan: {len(teachers)} members ({_describe(teachers, 'words')}); then one small network that learns "
            "from their mixture. What is best on dev is the result."
        )
    else:
        lines.append("The plan: one network, because tables of counts would be too large for so many words.")
    return Plan(_with_own_keys(single, recipe), lines + _again(recipe))


def _again(recipe: Recipe) -> list[str]:
    """Return the line that says that all is done twice, if it is."""
    if recipe.final == "all" and recipe.split != "all":
        return ["Once that is measured, the same again with the whole list."]
    return []


def _with_own_keys(planned: Recipe, recipe: Recipe) -> Recipe:
    """Return a planned recipe with the keys that the recipe ``auto`` has too."""
    own = {key: getattr(recipe, key) for key in AutoRecipe.__struct_fields__ if key in planned.__struct_fields__}
    return msgspec.structs.replace(planned, **own)


def _prior(
    prior: str, part: Part, vocabulary: Sequence[str], values: Mapping[str, Sequence[str]]
) -> tuple[float, list[str]]:
    """Return the share of a list's symbols that a model knows, and its conditions that suit the list best."""
    if not prior:
        return 0.0, []
    source = artifact.read(locate(prior))
    counts = count_places(part, vocabulary, Team(), torch.device("cpu"))
    member = ModelMember(source, vocabulary, values, [], counts)
    occurring = np.bincount(part.tokens, minlength=len(vocabulary) + 1)[1:]
    known = float(occurring[member.known[1:]].sum() / occurring.sum())
    if known < LEAST_KNOWN:
        return known, []
    tried = part.spread(int(_TRIED * part.windows / part.names))

    def loss(where: list[str]) -> float:
        return float(-np.log(probabilities_of(member.told(where), tried)).mean())

    where: list[str] = []
    lowest = loss(where)
    conditions = {name: each for name, each in source.config.conditions.items() if name not in values}
    for name, each in sorted(conditions.items(), key=lambda pair: len(pair[1])):
        found, best = min((loss([*where, f"{name}={value}"]), value) for value in each)
        if found < lowest:
            lowest, where = found, [*where, f"{name}={best}"]
    return known, where


def _counts(part: Part, ids: int, values: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the n-gram models of a plan: those whose tables are not too large, and one without rare contexts.

    With conditions, they are fewer, because the names of each combination of values are counted apart.
    """
    combinations = len(np.unique(part.conditions, axis=0)) if values else 1
    if combinations > _MANY_COMBINATIONS:
        return []
    orders = (2, 3, 4, 5, 6, 8) if combinations == 1 else (3, 5)
    ngrams, counts = count_ngrams(part, _HIGHEST_ORDER)
    contexts = ngrams[:, -_HIGHEST_ORDER:-1]
    totals = [counts.sum(keepdims=True)]  # how often each context of a length occurs
    lengths = range(1, _HIGHEST_ORDER)
    labels = (np.unique(contexts[:, -length:], axis=0, return_inverse=True)[1] for length in lengths)
    totals += [np.bincount(label.reshape(-1), counts) for label in labels]

    def fits(order: int, least: int) -> bool:
        states = sum(int(np.count_nonzero(each >= least)) for each in totals[:order])
        return states * ids * combinations <= _MOST_ENTRIES

    fitting = [order for order in orders if fits(order, 0)]
    found = [f"ngram order={order}" for order in fitting]
    highest = max(order for order in orders if order <= _USUAL_ORDER)
    if highest not in fitting:
        least = next((least for least in range(2, _MOST_RARE) if fits(highest, least)), 0)
        found += [f"ngram order={highest} least_count={least}"] if least else []
    return [*found, "memory"] if combinations == 1 and highest in fitting else found


def _networks(effort: _Effort, scale: float, part: Part, prior: str, where: Sequence[str]) -> list[str]:
    windows, networks = max(part.windows, _WINDOWS), []
    stops = "epochs=0 average_decay=0.98 patience=8"
    if part.names > _MANY:
        return [
            f"wide hidden_sizes=[{effort.hidden // 2}] block_size=8 embedding_dim=24 dropout=0.1 learning_rate=0.004 "
            f"warmup_steps=200 batch_size={effort.batch} steps={_at_least(2 * scale * effort.steps, 100)} {stops}"
        ]
    if prior:
        start = shlex.join([f"start={_toml(prior)}", f"model_where={_toml(where)}"])
        steps = min(_at_least(30 * part.windows / effort.batch, 100), _at_least(scale * effort.steps, 100))
        tune = f"tune {start} steps={steps} batch_size={effort.batch} {stops}"
        networks += [
            f"{MODEL_PREFIX}{prior}",
            f"{tune} dropout=0.2 weight_decay=0.5",
            f"{tune} dropout=0.4 weight_decay=0.5",
        ]
    steps = min(_at_least(60 * windows / effort.batch, 100), _at_least(scale * effort.steps, 100))
    if prior and part.names < _SHORT:
        return networks
    networks.append(
        f"wide hidden_sizes=[{effort.hidden}] block_size=8 dropout=0.6 learning_rate=0.004 warmup_steps=50 "
        f"batch_size={effort.batch} steps={steps} {stops}"
    )
    if part.windows > _LONG * part.names:
        return networks
    batch = int(np.clip(_SYMBOLS * part.names / part.windows, 16, 128))
    padded = batch * float(np.quantile(part.lengths, 0.99))
    most = scale * effort.recurrent_steps * min(1.0, _PADDED / padded)
    steps = min(_at_least(60 * part.names / batch, 60), _at_least(most, 60))
    networks.append(
        f"gru hidden_size={effort.recurrent} embedding_dim=32 dropout=0.4 learning_rate=0.004 schedule=cosine "
        f"warmup_steps=30 batch_size={batch} steps={steps} {stops}"
    )
    return networks


def _toml(value: str | Sequence[str]) -> str:
    """Return a text or texts as a recipe has them."""
    return json.dumps(value, ensure_ascii=False)


def _at_least(number: float, least: int) -> int:
    return max(least, round(number))


def _describe(teachers: Sequence[str], symbols: str = "symbols") -> str:
    """Return what the teachers are, in words: ``symbols`` says what they count."""
    names = [teacher.split()[0] for teacher in teachers]
    orders = [match[1] for teacher in teachers if (match := re.search(r"order=(\d+)", teacher))]
    words = [f"counts of {', '.join(orders)} {symbols}"] if orders else []
    for name, count in Counter(name for name in names if name != "ngram").items():
        if name.startswith(MODEL_PREFIX):
            words.append(f"{name.removeprefix(MODEL_PREFIX)} as it is")
        else:
            words.append(f"{_WORDS[name]}{f' ({count} times)' * (count > 1)}")
    return "; ".join(words)
