"""Write the model card. Every figure in it comes from the configuration of the artifact."""

import json
import shlex
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from huggingface_hub import EvalResult, ModelCardData

from sequentia.arithmetic import Bounds
from sequentia.artifact import PICTURES, SHOWN, Artifact
from sequentia.conditions import listed
from sequentia.config import SPLITS, Columns, Config, Loss
from sequentia.generation import stream_names
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.session import Session
from sequentia.training.mixing import INVENTED
from sequentia.training.starting import MODEL_PREFIX

from .origins import ORIGINS, CardFacts

_CAPTIONS: Final = dict(
    zip(
        SHOWN,
        (
            "Loss against step",
            "Embedding of the symbols",
            "Embeddings of the conditions' values",
            "Probability of the next symbol",
        ),
        strict=True,
    )
)

_PARTS: Final = {
    "train": "train",
    "dev": "dev",
    "dev_unseen": "dev, names unseen in training",
    "dev_not_said": "dev, no condition said",
    "test": "test",
    "test_unseen": "test, names unseen in training",
}

_UNKNOWN: Final = (
    "Words that the model does not know count as one and the same word, which is easier to predict than they are."
)

_FINAL: Final = (
    "These are the losses of a model that learnt from the training part alone. Then this model was trained with the "
    "same settings on the whole list, dev and test included, so its own losses on them would say nothing."
)

_INVENTED: Final = (
    "No list of real names was read: a mixture of models invented this one, and the run folder keeps it. So the losses "
    "say how well the model agrees with the mixture, not with any names that exist."
)

_EXAMPLES: Final = 10
_MOST_ROWS: Final = 24
_SEED: Final = 1


def model_card(
    source: Artifact,
    pictures: Collection[str] = (),
    *,
    repo_id: str | None = None,
    facts: CardFacts | None = None,
) -> str:
    """Return the card of a model, Markdown with the hub's YAML front matter.

    Args:
        source: artifact of the model.
        pictures: names of the files in the folder ``pictures`` next to the card.
        repo_id: the repository that the card is for, if any.
        facts: further facts; for a well-known corpus, missing ones are filled in.
    """
    config = source.config
    origin, about = ORIGINS.get(config.training.corpus.sha256, (CardFacts(), None))
    sections = [
        f"---\n{_metadata(config, (facts or CardFacts()).or_else(origin)).to_yaml()}\n---",
        f"# {config.name}",
        _description(config),
        "## Use",
        _use(source, repo_id),
        "## Figures",
        _figures(config),
        "## Samples",
        _samples(config),
        *_groups(config),
        "## Size and speed",
        _size_and_speed(source),
        "## Training",
        _training(config),
        *_pictures(pictures),
        "## Intended use, bias and limits",
        _limits(source),
        *([about] if about else []),
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(config: Config, facts: CardFacts) -> ModelCardData:
    """Return the front matter, which includes the losses: https://huggingface.co/docs/hub/model-cards."""
    corpus = config.training.corpus.file
    losses = {part: config.metrics.parts[part] for part in _PARTS if part in config.metrics.parts}
    return ModelCardData(
        license=facts.license,
        language=list(facts.language) or None,
        library_name="sequentia",
        pipeline_tag="text-generation",
        tags=["sequentia", "onnx", "safetensors", "name-generation", f"{config.symbols[:-1]}-level"],
        datasets=list(facts.datasets) or None,
        model_name=config.name,
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type=facts.datasets[0] if facts.datasets else corpus,
                dataset_name=corpus,
                dataset_split=part,
                metric_type="cross_entropy",
                metric_name=f"nats per symbol, {_PARTS[part]}",
                metric_value=round(loss.loss, 4),
            )
            for part, loss in losses.items()
        ],
    )


def _description(config: Config) -> str:
    architecture, vocabulary = config.architecture, config.alphabet
    unit = vocabulary.unit
    symbols = f"{unit} gives" if config.block_size == 1 else f"{config.block_size} {unit}s give"
    return (
        f"Invents names like those of `{config.training.corpus.file}`, {unit} by {unit}. "
        f"It is {architecture.summarize()}: the last {symbols} the probabilities of the next one, "
        f"through {architecture.describe()}. "
        f"{architecture.parameters:,} parameters; {vocabulary.summarize()}." + _conditions(config)
    )


def _conditions(config: Config) -> str:
    if not config.conditions:
        return ""
    told = "; ".join(f"`{name}`: {listed(values)}" for name, values in config.conditions.items())
    return f"\n\nIts conditions, each of which may be said or left to the model: {told}."


def _examples(source: Artifact) -> list[str]:
    """Return the names that ``generate`` gives for the seed shown on the card."""
    vocabulary, config = source.vocabulary, source.config
    methods = Methods(LogitCache(Session(source).logits, config.block_size, vocabulary.size))
    plan = Plan.of({"seed": _SEED}, vocabulary, config.max_length)
    return [name for batch in stream_names(methods, vocabulary, plan, _EXAMPLES) for name in vocabulary.decode(batch)]


def _use(source: Artifact, repo_id: str | None) -> str:
    names, name = _examples(source), source.config.name
    where = "the model's folder, or the name of a bundled model" if repo_id is None else "fetched once, then kept"
    return "\n".join(
        [
            "```python",
            "import sequentia",
            "",
            f'model = sequentia.load("{repo_id or name}")  # {where}',
            *_use_of_conditions(source.config),
            f"model.generate({_EXAMPLES}, seed={_SEED})",
            "```",
            "",
            f"gives {', '.join(f'`{name}`' for name in names)}.",
        ]
    )


def _use_of_conditions(config: Config) -> list[str]:
    if not config.conditions:
        return []
    where = {name: values[len(values) // 2] for name, values in config.conditions.items()}
    return [f"model.generate({_EXAMPLES}, where={json.dumps(where, ensure_ascii=False)})"]


def _figures(config: Config) -> str:
    parts = config.metrics.parts
    losses = {what: parts[part] for part, what in _PARTS.items() if part in parts}
    lines = [
        "The loss is the mean negative log-likelihood of the next symbol, in nats (natural logarithms); lower is "
        f"better. A symbol is a {config.symbols[:-1]}, and the end of a name counts as one more. A window is one "
        "prediction: the symbols before, and the one that follows. The split is "
        f"`{_split(config)}`: {SPLITS[_split(config)]}.",
        "",
        *([_UNKNOWN, ""] if config.symbols == "words" else []),
        *([_FINAL, ""] if config.training.settings.get("final") == "all" else []),
        "The model computes in whole numbers, so that a seed gives the same names on every machine; the figures are "
        "those of the network before its numbers were rounded, and its own losses differ from them by about 0.001 at "
        "most.",
        "",
        *_table("part", losses),
        *_baselines(config),
    ]
    for condition, values in config.metrics.by_value.items():
        part = "dev" if config.metrics.dev else "train"
        shown = sorted(values, key=lambda value: -values[value].names)[:_MOST_ROWS]
        rest = f", of the {_MOST_ROWS} with the most names" if len(shown) < len(values) else ""
        lines += [
            "",
            f"By the value of `{condition}`, on {part}{rest}:",
            "",
            *_table(condition, {value: loss for value, loss in values.items() if value in shown}),
        ]
    return "\n".join(lines)


def _split(config: Config) -> str:
    """Return the split that the losses were measured on."""
    return str(config.training.settings["split"])


def _baselines(config: Config) -> list[str]:
    """Return lines that compare a model with the baselines, if they were measured."""
    metrics = config.metrics
    if not metrics.baselines:
        return []
    losses = ", ".join(f"{words} {loss:.4f}" for words, loss in metrics.compared_with.items())
    sentence = f"For comparison, on {metrics.compared}: {losses}."
    return ["", f"{sentence} {metrics.warning}".rstrip()]


def _table(what: str, losses: Mapping[str, Loss]) -> list[str]:
    """Return losses as the lines of a table, without columns that have nothing in them."""
    columns = {
        what: [_cell(name) for name in losses],
        "loss": [f"{loss.loss:.4f}" for loss in losses.values()],
        "loss, weighted": ["" if loss.weighted is None else f"{loss.weighted:.4f}" for loss in losses.values()],
        "names": [f"{loss.names:,}" for loss in losses.values()],
        "windows": [f"{loss.windows:,}" for loss in losses.values()],
        "unknown": ["" if loss.unknown is None else f"{loss.unknown / loss.windows:.0%}" for loss in losses.values()],
    }
    filled = {title: cells for title, cells in columns.items() if any(cells)}
    lines = [f"| {' | '.join(row)} |" for row in (filled, *zip(*filled.values(), strict=True))]
    return [lines[0], "|" + "---|" * len(filled), *lines[1:]]


def _samples(config: Config) -> str:
    samples = config.samples
    frequent = ", ".join(f"`{name}` ({count})" for name, count in samples.most_frequent.items())
    return (
        f"Of {samples.names:,} names drawn with seed {samples.seed}, {samples.in_train:.1%} are in the training part, "
        f"{samples.in_dev_test:.1%} in dev or test alone, and {samples.new:.1%} are new. Their mean length is "
        f"{samples.mean_length:.2f} {config.alphabet.unit}s. The most frequent: {frequent}."
    )


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return text.replace("|", r"\|")


def _groups(config: Config) -> list[str]:
    """Return a table of the names drawn for each group of values, beside those of the list."""
    samples = config.samples
    if not samples.groups:
        return []
    frequent = any(group.listed.most_frequent for group in samples.groups)
    lines = [
        f"For each of these, {samples.groups[0].drawn.names:,} names drawn with seed {samples.seed}, beside the names "
        f"of the training part{', each as often as it counts' if frequent else ''}: the mean length, the share that "
        f"ends in “{samples.ending}”, and {'the ten most frequent' if frequent else 'the first ten drawn'}.",
        "",
        "| | mean length, drawn | list | ending, drawn | list | drawn | list |"
        if frequent
        else "| | mean length, drawn | list | ending, drawn | list | drawn |",
        "|---|---|---|---|---|---|" + "---|" * frequent,
    ]
    for group in samples.groups:
        what = _cell(", ".join(group.where.values()))
        drawn = group.drawn.most_frequent if frequent else group.examples
        names = [drawn, group.listed.most_frequent] if frequent else [drawn]
        lines.append(
            f"| {what} | {group.drawn.mean_length:.2f} | {group.listed.mean_length:.2f} | {group.drawn.ending:.1%} | "
            f"{group.listed.ending:.1%} |" + "".join(f" {_cell(' '.join(each))} |" for each in names)
        )
    return ["\n".join(lines)]


def _size_and_speed(source: Artifact) -> str:
    config, architecture = source.config, source.config.architecture
    bounds = Bounds(source.tensors, config.inputs)
    architecture.network(bounds, config.inputs)
    products = bounds.multiplications
    work = f"{products:,} multiplications and additions" if products else "look-ups in tables and no multiplication"
    return (
        f"`model.onnx` has {len(source.graph):,} bytes for {architecture.parameters:,} parameters. A symbol takes "
        f"{work}; "
        f"`time sequentia generate 10000 --model {config.name}` shows how fast that is on your machine."
    )


def _training(config: Config) -> str:
    training, corpus = config.training, config.training.corpus
    columns = _column_options(corpus.columns)
    command = ["sequentia", "train", corpus.file, *columns, "--recipe", training.recipe]
    for override in training.overrides:
        command += ["--set", override]
    command += ["-o", config.name]
    versions = ", ".join(f"{package} {number}" for package, number in training.versions.items())
    commands = [command]
    if training.settings.get("final") != "all":
        commands.append(["sequentia", "evaluate", config.name, corpus.file, *columns, "--split", training.split])
    return "\n".join(
        [
            f"Data: `{corpus.file}`, {corpus.names:,} names ({corpus.distinct:,} distinct), "
            f"{corpus.symbols:,} {config.alphabet.unit}s, sha256 `{corpus.sha256}`.",
            "",
            "To train it again and print its figures, run",
            "",
            "```sh",
            *map(shlex.join, commands),
            "```",
            "",
            *([_INVENTED, ""] if corpus.file == INVENTED else []),
            *_sources(config),
            f"Seed {training.seed}; {versions}. All settings are in `config.json`.",
        ]
    )


def _sources(config: Config) -> list[str]:
    """Return paragraphs that say which models and recipes the model learnt from, if there are any."""
    settings, models = config.training.settings, _models(config)
    paragraphs = []
    start = settings.get("start")
    if start in models:
        paragraphs += [f"It learnt on from {models[start]}.", ""]
    names = settings.get("teachers")
    entries = [str(name).removeprefix(MODEL_PREFIX) for name in (names if isinstance(names, list) else [])]
    counted = Counter(entry if entry in models else entry.split()[0] for entry in entries)
    recipes = [f"`{name}`{f' ({count})' * (count > 1)}" for name, count in counted.items() if name not in models]
    mixed = [f"the recipes {', '.join(recipes)}, trained on the same names"] if recipes else []
    mixed += [about for name, about in models.items() if name in counted]
    if mixed:
        paragraphs += [f"It learnt from a mixture of {', and of '.join(mixed)}.", ""]
    return paragraphs


def _models(config: Config) -> dict[str, str]:
    """Return a phrase about each finished model that training used, by its name."""
    keys = ("models", "models_corpora", "models_sha256")
    names, corpora, hashes = (
        value if isinstance(value := config.training.settings.get(key), list) else [] for key in keys
    )
    return {
        str(name): f"the model `{name}`, which learnt from `{corpus}` (`model.safetensors`: sha256 `{sha256}`)"
        for name, corpus, sha256 in zip(names, corpora, hashes, strict=False)
    }


def _column_options(columns: Columns | None) -> list[str]:
    """Return the options of the command line that read the same columns of a table."""
    if columns is None:
        return []
    options = ["--column", columns.item]
    for name, column in columns.conditions.items():
        options += ["--condition", name if name == column else f"{name}={column}"]
    options += ["--weight", columns.weight] if columns.weight else []
    return options + (["--split-column", columns.split] if columns.split else [])


def _pictures(names: Collection[str]) -> list[str]:
    links = [f"![{caption}]({PICTURES}/{name})" for name, caption in _CAPTIONS.items() if name in names]
    return ["## Pictures", *links] if links else []


def _limits(source: Artifact) -> str:
    novelty = (
        "; `novel=True` leaves those out. It uses the hashes in `novelty.crc32`, which suffice to recognise a name but "
        "not to read one"
        if source.known is not None
        else ""
    )
    vocabulary = source.vocabulary
    return (
        "Use it to invent names: of characters, places, products, test data. Do not use it to tell who a name belongs "
        "to, to guess a person's sex, age or origin from a name, or to judge whether a name is real. The model knows "
        f"only the {vocabulary.collection} above and repeats the biases of its list: "
        f"what is rare there is rare here. Its names have at most {source.config.max_length} {vocabulary.unit}s unless "
        f"you ask for longer ones. It may invent names that exist, including names of its list{novelty}."
    )
