"""``sequentia train``, ``export``, ``plot`` and ``find-lr``: train a model on a list, and draw pictures of it."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sequentia._lazy import quick_imports

from .errors import resumable
from .options import OutputFolder, address_option, column_options, corpus_argument, recipe_options
from .output import print_metrics
from .progress import TrainingProgress
from .streams import notice

if TYPE_CHECKING:
    from sequentia.columns import ColumnRequest
    from sequentia.config import Config


@click.command()
@corpus_argument
@click.option("--output", "-o", type=OutputFolder(), required=True, help="Folder for the run and the model.")
@recipe_options
@click.option("--from", "start", metavar="MODEL", help="Start from this model's weights; short for --set start=…")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="How long it may take; short for --set minutes=…"
)
@click.option("--no-prior", is_flag=True, help="Learn from this list alone; short for --set prior=.")
@click.option("--resume", is_flag=True, help="Continue the run in the output folder.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Cores, or GPUs, that share each step.")
@address_option
@column_options
def train(
    corpus: Path,
    output: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    start: str | None,
    minutes: float | None,
    no_prior: bool,
    resume: bool,
    workers: int,
    address: str | None,
    columns: "ColumnRequest | None",
) -> None:
    """Train a model on CORPUS, a UTF-8 text file with one item per line, or a table: .csv, .tsv, .jsonl or .parquet.

    The output folder also gets pictures of the run and the exported model: sequentia generate --model DIR.
    """
    with quick_imports():
        from sequentia.export import export
        from sequentia.training import plot, train
        from sequentia.training.checkpoint import CHECKPOINT
        from sequentia.training.runs import teachers_metrics

    if (minutes is not None or no_prior) and (start is not None or recipe not in {None, "auto"}):
        raise click.UsageError("--minutes and --no-prior are for the recipe auto, without --from")
    if start == "":
        raise click.UsageError("--from: give the name of a model")
    if start is not None:
        overrides += (f"start={json.dumps(start, ensure_ascii=False)}",)
    if minutes is not None:
        overrides += (f"minutes={minutes}",)
    if no_prior:
        overrides += ("prior=",)
    go_on: list[object] = ["sequentia", "train", corpus, "-o", output, "--resume"]
    go_on += ["--device", device] if device != "auto" else []
    go_on += ["--workers", workers] if workers > 1 else []
    go_on += ["--address", address] if address else []
    with resumable(output / CHECKPOINT, go_on), TrainingProgress() as report:
        trained = train(
            corpus,
            output,
            recipe=recipe,
            overrides=overrides,
            device=device,
            resume=resume,
            report=report,
            exported=True,
            workers=workers,
            address=address,
            columns=columns,
            tell=notice,
        )
        report.phase("drawing")
        plot(output)
        report.phase("exporting")
        config = export(output, output)
    for name, metrics in teachers_metrics(output).items():
        if metrics.warning:
            notice(f"Teacher {name}: {metrics.warning}")
    best = trained.record.best
    if best is not None:
        notice(f"Took {trained.record.step:,} steps; the loss on dev was lowest after {best.step:,}.")
    print_metrics(config.metrics)
    samples = config.samples
    click.echo(
        f"\nOf {samples.names:,} generated names, {samples.new:.0%} are new, and {1 - samples.new:.0%} are in the list."
    )
    say_done(output, config)


@click.command(name="export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=OutputFolder(), required=True, help="Folder for the model.")
def export(run: Path, output: Path) -> None:
    """Export the model of the finished training run in the folder RUN."""
    with quick_imports():
        from sequentia.export import export as export_run

    say_done(output, export_run(run, output))


def say_done(output: Path, config: "Config") -> None:
    """Tell how to generate names with a new model."""
    command = ["sequentia", "generate", "--model", str(output)]
    for name, values in config.conditions.items():
        command += ["--where", f"{name}={values[0]}"]
    notice(f"Done. Try: {shlex.join(command)}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
def plot(folder: Path) -> None:
    """Draw pictures of the training run, sweep or learning-rate search in DIR, and save them in DIR/pictures."""
    with quick_imports():
        from sequentia.training import plot

    for path in plot(folder):
        click.echo(str(path))


@click.command(name="find-lr")
@corpus_argument
@click.option(
    "--output",
    "-o",
    type=OutputFolder(),
    default=Path("find-lr"),
    show_default=True,
    help="Folder for the numbers and the picture.",
)
@recipe_options
@column_options
@click.option("--steps", type=click.IntRange(min=40), default=1000, show_default=True, help="Number of rates to try.")
def find_lr(
    corpus: Path,
    output: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    steps: int,
    columns: "ColumnRequest | None",
) -> None:
    """Suggest a learning rate for CORPUS and a recipe.

    A new network takes one training step at each rate; the rates rise exponentially from 0.001 to 1. The suggestion is
    the rate with the lowest loss, averaged over a twentieth of the steps.
    """
    with quick_imports():
        from sequentia.training import find_learning_rate, plot
        from sequentia.training.learning_rates import LEARNING_RATES

    with TrainingProgress() as report:
        search = find_learning_rate(
            corpus,
            output,
            recipe=recipe,
            overrides=overrides,
            device=device,
            steps=steps,
            report=report,
            columns=columns,
        )
    *_, picture = plot(output)
    click.echo(f"{search.suggested:.3g}")
    notice(
        f"At this rate the loss, averaged over a twentieth of the {steps} rates, is lowest: "
        f"{min(search.smoothed):.4f} nats. Numbers: {output / LEARNING_RATES}, picture: {picture}",
    )
    if search.at_the_end:
        notice("This rate is at the end of the range: the best rate may lie beyond it.")
