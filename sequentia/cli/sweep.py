"""``sequentia sweep``: search for the best recipe."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import resumable
from .options import InputFile, OutputFolder, address_option, column_options, corpus_argument
from .output import print_metrics, progress_bar
from .streams import notice

if TYPE_CHECKING:
    from sequentia.training.trials import Trial, TrialReport


@click.command()
@corpus_argument
@click.option("--output", "-o", type=OutputFolder(), required=True, help="Folder of the sweep.")
@click.option("--space", type=InputFile(), help="A .toml file with the keys to vary.")
@click.option("--recipe", "-r", help="A recipe's name, or the path of a .toml file.  [default: mlp]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key for all trials; repeatable.")
@click.option("--seed", type=int, help="Seed of the suggestions; --set seed=… sets that of the runs.  [default: 0]")
@click.option("--trials", type=click.IntRange(min=1), help="Number of trials.  [default: 20]")
@click.option("--concurrency", type=click.IntRange(min=1), help="Trials at a time, a core each.  [default: all cores]")
@address_option
@column_options
@click.option("--resume", is_flag=True, help="Go on with the sweep in the folder; --trials may be higher.")
def sweep(corpus: Path, output: Path, **options: Any) -> None:
    """Search for the recipe with the lowest dev loss on CORPUS: Optuna suggests values, Ray runs the trials.

    The space is a TOML file of recipe keys, each with { low = 0.001, high = 0.1, log = true },
    { choices = [[64], [128, 128]] }, or a value. Trials that are poor after a ninth or a third of their steps are
    stopped (ASHA). With --concurrency 1, the same command gives the same result.

    The table of trials goes to stdout and leaderboard.csv, the best recipe to best.toml, its model to best.
    """
    from sequentia.export import export
    from sequentia.training import find_recipe, plot
    from sequentia.training.sweep import BEST, BEST_RECIPE
    from sequentia.training.trials import SWEEP, TRIALS

    go_on: list[object] = ["sequentia", "sweep", corpus, "-o", output, "--resume"]
    go_on += ["--concurrency", options["concurrency"]] if options["concurrency"] else []
    go_on += ["--address", options["address"]] if options["address"] else []
    with resumable(output / SWEEP, go_on):
        with _trials() as report:
            trials = find_recipe(corpus, output, report=report, **options)
        notice("Drawing and exporting …")
        plot(output)
        plot(output / BEST)
        config = export(output / BEST, output / BEST)
    click.echo(f"| trial | state | dev | step | {' | '.join(trials[0].values)} |")
    click.echo("|---" * (4 + len(trials[0].values)) + "|")
    for trial in trials:
        values = " | ".join(f"{each:.4g}" if isinstance(each, float) else str(each) for each in trial.values.values())
        loss = "" if trial.loss is None else f"{trial.loss:.4f}"
        click.echo(f"| {trial.number} | {trial.state} | {loss} | {trial.step} | {values} |")
    click.echo()
    print_metrics(config.metrics)
    notice(
        f"Done. The best recipe is {output / BEST_RECIPE}; {output / TRIALS} may be deleted. "
        f"Try: sequentia generate --model {shlex.quote(str(output / BEST))}",
    )


@contextmanager
def _trials() -> Iterator["TrialReport"]:
    """Show a progress bar with the last measured trial, and a line for each trial that has ended."""
    with progress_bar(None, "trials", "sweep") as bar:

        def report(trial: "Trial", ended: int, trials: int) -> None:
            loss = (
                "" if trial.loss is None else f", {trial.loss:.4f} nats after {trial.step:,} of {trial.steps:,} steps"
            )
            line = f"Trial {trial.number}: {trial.state}{loss}{trial.error and f': {trial.error}'}"
            if trial.state != "running":
                bar.write(line, file=sys.stderr)
            bar.total = trials
            bar.set_postfix_str(line, refresh=False)
            bar.update(ended - bar.n)
            bar.refresh()

        yield report
