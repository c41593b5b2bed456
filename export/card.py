"""Write the model card. Every figure in it comes from the configuration of the artifact."""

import shlex
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from huggingface_hub import CardData, EvalResult, ModelCardData

from sequentia.arithmetic import Bounds
from sequentia.artifact import PICTURES, SHOWN, Artifact
from sequentia.config import Config, Loss
from sequentia.generation import stream_names
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.session import Session

_CAPTIONS: Final = dict(
    zip(SHOWN, ("Loss against step", "Embedding of the symbols", "Probability of the next symbol"), strict=True)
)

_PARTS: Final = {
    "train": "train",
    "dev": "dev",
    "dev_unseen": "dev, names unseen in training",
    "test": "test",
    "test_unseen": "test, names unseen in training",
}

_SPLITS: Final = {
    "lecture": "the lines are shuffled, then 80 % are for training, 10 % (dev) for choices and 10 % (test) for the "
    "figure to quote",
    "dedup": "repeated lines are dropped and the rest shuffled, then 80 % are for training, 10 % (dev) for choices and "
    "10 % (test) for the figure to quote",
    "all": "all lines are for training",
}

_EXAMPLES: Final = 10
_SEED: Final = 1


@dataclass(frozen=True)
class CardFacts:
    """Facts for a card that are not in the artifact.

    Attributes:
        license: an identifier such as ``mit``; https://huggingface.co/docs/hub/repositories-licenses lists them.
        language: ISO 639 codes.
        datasets: datasets on the hub, ``owner/name``.
    """

    license: str | None = None
    language: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: CardData | None) -> Self:
        """Return the facts in a card's metadata."""
        return cls() if data is None else cls.from_values(*map(data.get, ("license", "language", "datasets")))

    @classmethod
    def from_values(cls, license: object, language: object, datasets: object) -> Self:  # noqa: A002 - the hub's own word
        """Return facts from plain values, each a string, a list of strings or ``None``."""
        return cls(str(license) if license else None, _texts(language), _texts(datasets))

    def or_else(self, other: "CardFacts") -> "CardFacts":
        """Return these facts, with missing ones taken from ``other``."""
        return CardFacts(
            self.license or other.license, self.language or other.language, self.datasets or other.datasets
        )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value if isinstance(value, (list, tuple)) else [value] if value else []))


_ORIGINS: Final = {
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d": (
        CardFacts(license="mit", language=("en",)),
        "The list is that of the repository karpathy/makemore: the 32,000 or so most common first names given in the "
        "United States in 2018, by the records of the Social Security Administration, in the letters a to z alone. "
        "Names of other countries, languages and years are therefore rare, or spelt as they were registered there. No "
        "name has an accent, an apostrophe or a space. Rare names count as much as common ones.",
    )
}
"""Facts and a paragraph about well-known corpora, by SHA-256."""


def model_card(
    source: Artifact,
    pictures: Collection[str] = (),
    *,
    repo_id: str | None = None,
    facts: CardFacts = CardFacts(),
) -> str:
    """Return the card of a model, Markdown with the hub's YAML front matter.

    Args:
        source: artifact of the model.
        pictures: names of the files in the folder ``pictures`` next to the card.
        repo_id: the repository that the card is for, if any.
        facts: further facts; for a well-known corpus, missing ones are filled in.
    """
    config = source.config
    origin, about = _ORIGINS.get(config.training.corpus.sha256, (CardFacts(), None))
    sections = [
        f"---\n{_metadata(config, facts.or_else(origin)).to_yaml()}\n---",
        f"# {config.name}",
        _description(config),
        "## Use",
        _use(source, repo_id),
        "## Figures",
        _figures(config),
        "## Samples",
        _samples(config),
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
    losses = {part: getattr(config.metrics, part) for part in _PARTS}
    return ModelCardData(
        license=facts.license,
        language=list(facts.language) or None,
        library_name="sequentia",
        pipeline_tag="text-generation",
        tags=["sequentia", "onnx", "safetensors", "name-generation", "character-level"],
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
            if loss is not None
        ],
    )


def _description(config: Config) -> str:
    architecture = config.architecture
    symbols = "symbol gives" if config.block_size == 1 else f"{config.block_size} symbols give"
    return (
        f"Invents names like those of `{config.training.corpus.file}`, symbol by symbol. "
        f"It is {architecture.summarize()}: the last {symbols} the probabilities of the next one, "
        f"through {architecture.describe()}. "
        f"{architecture.parameters:,} parameters; an alphabet of {len(config.vocabulary)} symbols."
    )


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
            f"model.generate({_EXAMPLES}, seed={_SEED})",
            "```",
            "",
            f"gives {', '.join(f'`{name}`' for name in names)}.",
        ]
    )


def _figures(config: Config) -> str:
    losses = {what: getattr(config.metrics, part) for part, what in _PARTS.items()}
    lines = [
        "The loss is the mean negative log-likelihood of the next symbol, in nats (natural logarithms); lower is "
        "better. A symbol is a character, and the end of a name counts as one more. A window is one prediction: the "
        f"symbols before, and the one that follows. The split is "
        f"`{config.training.split}`: {_SPLITS[config.training.split]}.",
        "",
        "The model computes in whole numbers, so that a seed gives the same names on every machine; the figures are "
        "those of the network before its numbers were rounded, and its own losses differ from them by about 0.001 at "
        "most.",
        "",
        "| part | loss | names | windows |",
        "|---|---|---|---|",
        *(_row(what, loss) for what, loss in losses.items() if loss),
    ]
    return "\n".join(lines)


def _row(part: str, loss: Loss) -> str:
    return f"| {part} | {loss.loss:.4f} | {loss.names:,} | {loss.windows:,} |"


def _samples(config: Config) -> str:
    samples = config.samples
    frequent = ", ".join(f"`{name}` ({count})" for name, count in samples.most_frequent.items())
    return (
        f"Of {samples.names:,} names drawn with seed {samples.seed}, {samples.in_train:.1%} are in the training part, "
        f"{samples.in_dev_test:.1%} in dev or test alone, and {samples.new:.1%} are new. Their mean length is "
        f"{samples.mean_length:.2f} symbols. The most frequent: {frequent}."
    )


def _size_and_speed(source: Artifact) -> str:
    config, architecture = source.config, source.config.architecture
    ids = len(config.vocabulary) + 1
    bounds = Bounds(source.tensors, ids)
    architecture.network(bounds, config.block_size, ids)
    products = bounds.multiplications
    work = f"{products:,} multiplications and additions" if products else "look-ups in tables and no multiplication"
    return (
        f"`model.onnx` has {len(source.graph):,} bytes for {architecture.parameters:,} parameters. A symbol takes "
        f"{work}; "
        f"`time sequentia generate 10000 --model {config.name}` shows how fast that is on your machine."
    )


def _training(config: Config) -> str:
    training, corpus = config.training, config.training.corpus
    command = ["sequentia", "train", corpus.file, "--recipe", training.recipe]
    for override in training.overrides:
        command += ["--set", override]
    command += ["-o", config.name]
    names = training.settings.get("teachers")
    teachers = Counter(names if isinstance(names, list) else [])
    taught = ", ".join(f"`{recipe}` ({count})" if count > 1 else f"`{recipe}`" for recipe, count in teachers.items())
    versions = ", ".join(f"{package} {number}" for package, number in training.versions.items())
    return "\n".join(
        [
            f"Data: `{corpus.file}`, {corpus.names:,} names ({corpus.distinct:,} distinct), "
            f"{corpus.symbols:,} symbols, sha256 `{corpus.sha256}`.",
            "",
            "To train it again and print its figures, run",
            "",
            "```sh",
            shlex.join(command),
            shlex.join(["sequentia", "evaluate", config.name, corpus.file, "--split", training.split]),
            "```",
            "",
            *([f"It learnt from a mixture of the recipes {taught}, trained on the same names.", ""] if taught else []),
            f"Seed {training.seed}; {versions}. All settings are in `config.json`.",
        ]
    )


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
    return (
        "Use it to invent names: of characters, places, products, test data. Do not use it to tell who a name belongs "
        "to or whether a name is real. The model knows only the alphabet above and repeats the biases of its list: "
        f"what is rare there is rare here. Its names have at most {source.config.max_length} symbols unless you ask "
        f"for longer ones. It may invent names that exist, including names of its list{novelty}."
    )
