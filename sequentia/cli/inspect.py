"""``sequentia info``, ``evaluate``, ``models`` and ``recipes``: describe and measure a model, list what there is."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from .options import column_options, corpus_argument, json_option, model_option
from .output import print_metrics
from .streams import notice

if TYPE_CHECKING:
    from sequentia.columns import ColumnRequest
    from sequentia.config import Config, SplitName
    from sequentia.novelty import KnownNames
    from sequentia.training.evaluation import Comparison


@click.command()
@click.argument("name", required=False, metavar="[MODEL]")
@model_option
@json_option
def info(name: str | None, model: str | None, as_json: bool) -> None:
    """Describe a model: its network, training data and losses. MODEL takes the same values as --model."""
    import msgspec

    from sequentia import artifact
    from sequentia._json import format_json
    from sequentia.resolve import locate

    if name is not None and model is not None:
        raise click.UsageError("give MODEL or --model, not both")
    folder = locate(model if name is None else name)
    read = artifact.read(folder)
    config, cached = read.config, _cached(folder)
    if as_json:
        click.echo(format_json({"folder": str(folder), **cached, **msgspec.to_builtins(config)}), nl=False)
        return
    facts = _facts(folder, config, read.known, cached)
    width = max(12, *map(len, facts))
    for key, value in facts.items():
        click.echo(f"{key:<{width}} {value}")
    click.echo()
    print_metrics(config.metrics)


def _cached(folder: Path) -> dict[str, str | int]:
    """Return the repository, revision and size of a model in the hub's cache, and nothing for any other model."""
    from sequentia.hub_cache import snapshot_at

    found = snapshot_at(folder)
    return {} if found is None else {"repo_id": found.repo_id, "revision": found.revision, "size": found.size}


def _facts(
    folder: Path, config: "Config", known: "KnownNames | None", cached: Mapping[str, str | int]
) -> dict[str, str]:
    from sequentia.conditions import listed
    from sequentia.config import SPLITS
    from sequentia.text import counted

    architecture, training, samples, unit = config.architecture, config.training, config.samples, config.alphabet.unit
    corpus = training.corpus
    split = str(training.settings.get("split", training.split))
    again = "; then it learnt from the whole list" if training.settings.get("final") == "all" else ""
    return {
        "name": config.name,
        "folder": str(folder),
        **({"repository": str(cached["repo_id"]), "revision": str(cached["revision"])} if cached else {}),
        **({"cached": f"{cached['size']:,} bytes"} if cached else {}),
        "model": architecture.describe(),
        "parameters": f"{architecture.parameters:,}",
        "sees": f"the last {counted(config.block_size, unit)}",
        config.alphabet.collection: config.alphabet.describe(),
        **{f"where {name}=…": listed(values) for name, values in config.conditions.items()},
        "longest name": counted(config.max_length, unit),
        "learnt from": f"{corpus.file}: {counted(corpus.names, 'name')}, {corpus.distinct:,} of them different",
        "invents": f"{samples.new:.0%} new names, and {1 - samples.new:.0%} that are in its list"
        + ("" if known is None else "; --novel leaves these out"),
        "recipe": " ".join([training.recipe, *training.overrides]),
        "seed": str(training.seed),
        "parts": f"{SPLITS.get(split, split)}{again} ({split})",
    }


@click.command()
@click.argument("model")
@corpus_argument
@click.option(
    "--split",
    type=click.Choice(["lecture", "dedup", "all", "column"]),
    help="How to split CORPUS.  [default: as in the training of MODEL; not, if CORPUS is another list]",
)
@column_options
@click.option("--against", multiple=True, metavar="MODEL", help="Compare with this model; repeatable.")
@json_option
def evaluate(
    model: str,
    corpus: Path,
    split: str | None,
    against: tuple[str, ...],
    as_json: bool,
    columns: "ColumnRequest | None",
) -> None:
    """Print the loss of MODEL on the names of CORPUS, in nats (natural-logarithm units) per symbol.

    The loss, in the column "nats/symbol", says how badly MODEL predicts the next symbol (a character or a word) on
    average: 0 is perfect, and lower is better. "windows" is the number of predictions: one for each symbol of a name
    and one for its end.

    The list that MODEL was trained on is split into parts: train to learn from, dev and test to measure on. Their names
    that do not also occur in train are dev_unseen and test_unseen. Another list, or table, is measured as a whole.

    --against compares another model with MODEL on the dev and test parts, or on the other list. It prints how much
    higher the other model's loss is, a 95 % interval of that difference from 10,000 resamples of the names (paired
    bootstrap), and the share of resamples in which MODEL is better.
    """
    import msgspec

    from sequentia._json import format_json
    from sequentia.model import load
    from sequentia.training import compare, evaluate_model

    name = cast("SplitName | None", split)
    evaluated, *others = map(load, (model, *against))
    metrics = evaluate_model(evaluated, corpus, name, columns=columns)
    comparisons = [
        (label, compare(evaluated, other, corpus, name, columns=columns))
        for label, other in zip(against, others, strict=True)
    ]
    if as_json:
        rows = [{"model": label, **msgspec.to_builtins(comparison)} for label, comparison in comparisons]
        click.echo(format_json({**msgspec.to_builtins(metrics), **({"against": rows} if rows else {})}), nl=False)
        return
    print_metrics(metrics)
    if metrics.train is not None and metrics.dev is None and evaluated.config.metrics.dev is not None:
        notice(
            f"{model} has learnt from this whole list. The losses that were measured before are printed by: "
            f"sequentia info {shlex.quote(model)}"
        )
    if any(comparison.parts for _, comparison in comparisons):
        click.echo()
        _print_comparisons(comparisons)
    for label, comparison in comparisons:
        if comparison.learnt:
            notice(f"{label} has learnt from other parts of this list, so it may know dev and test by heart.")


def _print_comparisons(comparisons: "list[tuple[str, Comparison]]") -> None:
    width = max(len("against"), *(len(label) for label, _ in comparisons))
    click.echo(f"{'against':<{width}} {'part':<12} {'difference':>11} {'95 % interval':>18} {'better':>7}")
    for label, comparison in comparisons:
        for part, found in comparison.parts.items():
            interval = f"{found.low:+.4f} {found.high:+.4f}"
            click.echo(f"{label:<{width}} {part:<12} {found.difference:>+11.4f} {interval:>18} {found.better:>7.1%}")


@click.command()
def models() -> None:
    """List the models that come with the package."""
    from sequentia import artifact
    from sequentia.resolve import DEFAULT_MODEL

    names = artifact.bundled_models()
    for name in names:
        config = artifact.read_config(artifact.BUNDLED / name)
        corpus = config.training.corpus
        conditions = f"; conditions: {', '.join(config.conditions)}" if config.conditions else ""
        default = "; the default" if name == DEFAULT_MODEL else ""
        click.echo(
            f"{name:<{max(map(len, names))}}  invents names like the {corpus.distinct:,} of {corpus.file}"
            f"{conditions}{default}"
        )


@click.command()
@click.argument("recipe", required=False)
def recipes(recipe: str | None) -> None:
    """List the training recipes, or print RECIPE."""
    from sequentia.training.recipes import recipe_names, recipe_path, recipe_summary

    if recipe is not None:
        click.echo(recipe_path(recipe).read_text(encoding="utf-8"), nl=False)
        return
    width = max(map(len, recipe_names()))
    for name in recipe_names():
        click.echo(f"{name:<{width}}  {recipe_summary(name)}")
