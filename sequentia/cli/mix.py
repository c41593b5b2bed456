"""``sequentia mix``: distil several models into one."""

from pathlib import Path

import click

from .errors import resumable
from .options import OutputFolder, recipe_options
from .output import print_metrics
from .progress import TrainingProgress
from .train import say_done


class _Mix(click.Command):
    """A command whose option ``--weights`` takes all numbers that follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the numbers after ``--weights`` into one argument."""
        if "--weights" in args:
            first = last = args.index("--weights") + 1
            while last < len(args) and all(map(_is_number, args[last].split(","))):
                last += 1
            args = [*args[:first], *([",".join(args[first:last])] if last > first else []), *args[last:]]
        return super().parse_args(ctx, args)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(context: click.Context, option: click.Parameter, text: str | None) -> list[float] | None:
    if text is None:
        return None
    if not all(map(_is_number, text.split(","))):
        raise click.BadParameter(f"{text!r}: give a number for each model, such as 0.7 0.3", context, option)
    return [float(number) for number in text.split(",")]


@click.command(cls=_Mix)
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL …")
@click.option("--output", "-o", type=OutputFolder(), required=True, help="Folder for the run and the model.")
@click.option("--weights", callback=_numbers, metavar="NUMBER NUMBER …", help="A weight for each model.  [default: 1]")
@recipe_options
@click.option("--resume", is_flag=True, help="Continue the run in the output folder.")
def mix(
    models: tuple[str, ...],
    output: Path,
    weights: list[float] | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    resume: bool,
) -> None:
    """Distil the mixture of some models into one, without any list.

    Each MODEL is a folder, a bundled model or a repository on the hub. The mixture invents a list of names, and a
    network learns from the mixture: what each model says of the next symbol counts by its weight.
    """
    from sequentia.export import export
    from sequentia.training import mix, plot
    from sequentia.training.checkpoint import CHECKPOINT

    go_on = ["sequentia", "mix", *models, "-o", output, "--resume"]
    with resumable(output / CHECKPOINT, go_on), TrainingProgress() as report:
        mix(
            models,
            output,
            weights=weights,
            recipe=recipe,
            overrides=overrides,
            device=device,
            resume=resume,
            report=report,
            exported=True,
        )
        report.phase("drawing")
        plot(output)
        report.phase("exporting")
        config = export(output, output)
    print_metrics(config.metrics)
    say_done(output, config)
