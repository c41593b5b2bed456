"""``sequentia train``, ``export``, ``plot`` and ``find-lr``: from a list to a model, and pictures of it."""

import shlex
import sys
from pathlib import Path

import click

from .errors import interrupted_status
from .options import OutputFolder, address_option, corpus_argument, recipe_options, with_seed
from .output import print_metrics, training_progress
from .streams import notice


@click.command()
@corpus_argument
@click.option("--output", "-o", type=OutputFolder(), required=True, help="The run folder.")
@recipe_options
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Cores, or GPUs, to share each step.")
@address_option
def train(
    corpus: Path,
    output: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    resume: bool,
    workers: int,
    address: str | None,
) -> None:
    """Train on CORPUS, a UTF-8 text file with one item a line, draw pictures of the run, and export the model.

    The run folder then serves as a model: sequentia generate --model DIR.
    """
    from sequentia.export import export
    from sequentia.training import plot, train
    from sequentia.training.checkpoint import CHECKPOINT

    overrides = with_seed(overrides, seed)
    try:
        with training_progress("training") as report:
            train(
                corpus,
                output,
                recipe=recipe,
                overrides=overrides,
                device=device,
                resume=resume,
                report=report,
                workers=workers,
                address=address,
            )
        notice("Drawing and exporting …")
        plot(output)
        config = export(output, output)
    except KeyboardInterrupt as interrupt:
        if not (output / CHECKPOINT).is_file():
            raise
        command = ["sequentia", "train", str(corpus), "-o", str(output), "--resume"]
        command += ["--device", device] if device != "auto" else []
        command += ["--workers", str(workers)] if workers > 1 else []
        command += ["--address", address] if address else []
        saved = f"Interrupted, {interrupt}." if str(interrupt) else "Interrupted."
        notice(f"{saved} Go on with: {shlex.join(command)}")
        sys.exit(interrupted_status())
    print_metrics(config.metrics)
    notice(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}")


@click.command(name="export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=OutputFolder(), required=True, help="The artifact folder.")
def export(run: Path, output: Path) -> None:
    """Export the finished training run in folder RUN as a model."""
    from sequentia.export import export as export_run

    export_run(run, output)
    notice(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
def plot(folder: Path) -> None:
    """Draw the pictures of the training run or the learning-rate search in DIR, into DIR/pictures."""
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
    help="The folder for the numbers and the picture.",
)
@recipe_options
@click.option("--steps", type=click.IntRange(min=40), default=1000, show_default=True, help="Rates to try.")
def find_lr(
    corpus: Path,
    output: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    steps: int,
) -> None:
    """Suggest a learning rate for CORPUS and a recipe.

    A fresh network takes one minibatch at each rate from 0.001 to 1, rising exponentially. The suggestion is the rate
    where the loss, averaged over a twentieth of the steps, is lowest.
    """
    from sequentia.training import find_learning_rate, plot
    from sequentia.training.learning_rates import LEARNING_RATES

    overrides = with_seed(overrides, seed)
    with training_progress("searching") as report:
        search = find_learning_rate(
            corpus, output, recipe=recipe, overrides=overrides, device=device, steps=steps, report=report
        )
    *_, picture = plot(output)
    click.echo(f"{search.suggested:.3g}")
    notice(
        f"The loss, averaged over a twentieth of the {steps} rates, is lowest there, at {min(search.smoothed):.4f} "
        f"nats. Numbers: {output / LEARNING_RATES}, picture: {picture}",
    )
    if search.at_the_end:
        notice("That is the end of the range: the best rate may lie beyond it.")
