"""The model card: every figure in it comes from the artifact's own configuration."""

import shlex

from huggingface_hub import ModelCardData

from sequentia.artifact import Config, Loss
from sequentia.model import SequenceModel

_EXAMPLES = 10
_SEED = 1


def model_card(model: SequenceModel) -> str:
    """Return the card of a model, Markdown with the hub's YAML front matter."""
    config = model.config
    front = ModelCardData(
        library_name="sequentia",
        pipeline_tag="text-generation",
        tags=["sequentia", "onnx", "safetensors", "name-generation", "character-level"],
    )
    sections = [
        f"---\n{front.to_yaml()}\n---",
        f"# {config.name}",
        _description(config),
        "## Use",
        _use(model),
        "## Figures",
        _figures(config),
        "## Training",
        _training(config),
        "## Intended use and limits",
        _limits(config),
    ]
    return "\n\n".join(sections) + "\n"


def _description(config: Config) -> str:
    architecture = config.architecture
    layers = " and ".join(str(width) for width in architecture.hidden_sizes)
    return (
        f"Invents names like those of `{config.training.corpus.file}`, symbol by symbol. It is the "
        'feed-forward network of Bengio et al. 2003, "A neural probabilistic language model": the last '
        f"{config.block_size} symbols, embedded in {architecture.embedding_dim} dimensions each, give the "
        f"probabilities of the next one through hidden layers of {layers} units ({architecture.activation}). "
        f"{architecture.parameters:,} parameters; an alphabet of {len(config.vocabulary)} symbols."
    )


def _use(model: SequenceModel) -> str:
    names = model.generate(_EXAMPLES, seed=_SEED)
    return "\n".join(
        [
            "```python",
            "import sequentia",
            "",
            f'model = sequentia.load("{model.config.name}")  # the model\'s folder, or the name of a bundled model',
            f"model.generate({_EXAMPLES}, seed={_SEED})",
            "```",
            "",
            f"gives {', '.join(f'`{name}`' for name in names)}.",
        ]
    )


def _figures(config: Config) -> str:
    metrics = config.metrics
    rows = {
        "train": metrics.train,
        "dev": metrics.dev,
        "dev, names unseen in training": metrics.dev_unseen,
        "test": metrics.test,
        "test, names unseen in training": metrics.test_unseen,
    }
    lines = [
        f"Mean negative log-likelihood in nats per symbol, the end of each name included, on the split "
        f"`{config.training.split}`:",
        "",
        "| part | loss | names | windows |",
        "|---|---|---|---|",
        *(_row(part, loss) for part, loss in rows.items() if loss),
    ]
    return "\n".join(lines)


def _row(part: str, loss: Loss) -> str:
    return f"| {part} | {loss.loss:.4f} | {loss.names:,} | {loss.windows:,} |"


def _training(config: Config) -> str:
    training, corpus = config.training, config.training.corpus
    command = ["sequentia", "train", corpus.file, "--recipe", training.recipe]
    for override in training.overrides:
        command += ["--set", override]
    command += ["-o", config.name]
    versions = ", ".join(f"{package} {number}" for package, number in training.versions.items())
    return "\n".join(
        [
            f"Data: `{corpus.file}`, {corpus.names:,} names ({corpus.distinct:,} distinct), "
            f"{corpus.symbols:,} symbols, sha256 `{corpus.sha256}`.",
            "",
            "Rebuild it, and print its figures again, by",
            "",
            "```sh",
            shlex.join(command),
            shlex.join(["sequentia", "evaluate", config.name, corpus.file, "--split", training.split]),
            "```",
            "",
            f"Seed {training.seed}; {versions}. All settings are in `config.json`.",
        ]
    )


def _limits(config: Config) -> str:
    return (
        "For inventing names: of characters, places, products, test data. The model knows only the alphabet above and "
        "repeats the biases of its list: what is rare there is rare here. It may invent names that exist, names of "
        f"its list among them, and none is longer than {config.max_length} symbols unless asked for."
    )
