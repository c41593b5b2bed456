"""The ``sequentia`` command. Results go to stdout, all else to stderr; each subcommand loads what it needs."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from . import __version__
from ._files import write_file
from .errors import SequentiaError

if TYPE_CHECKING:
    from .artifact import Config, Metrics, SplitName

_MODEL_HELP = "A model folder, or the name of a bundled model. [default: $SEQUENTIA_MODEL, else names]"


class _Commands(click.Group):
    """Reports an error in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except (SequentiaError, OSError, UnicodeError, ModuleNotFoundError) as error:
            if os.environ.get("SEQUENTIA_DEBUG"):
                raise
            raise click.ClickException(_message(error)) from error


def _message(error: Exception) -> str:
    """Return an error's message in one line."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("sequentia."):
        here = Path(__file__).parent
        return f"{here} is a checkout's folder and hides the installed package: run from another folder"
    return " ".join(str(error).split())


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def cli() -> None:
    """Invent names, and train the models that do."""


def main() -> None:
    """Run the command line and exit."""
    cli(prog_name="sequentia")


def _model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--model", "-m", metavar="MODEL", help=_MODEL_HELP)(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@cli.command()
@click.argument("n", type=click.IntRange(min=0), default=10, metavar="[N]")
@_model_option
@click.option("--prefix", default="", help="What every name starts with.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Below 1 usual, above 1 unusual.")
@click.option("--top-k", type=int, help="Draw each symbol from this many of the most probable.")
@click.option("--top-p", type=float, help="Draw each symbol from the most probable of this total probability.")
@click.option("--min-length", type=int, default=1, show_default=True, help="Fewest symbols of a name.")
@click.option("--max-length", type=int, help="Most symbols of a name.  [default: the longest name trained on]")
@click.option("--unique", is_flag=True, help="No name twice.")
@click.option("--seed", type=int, help="A whole number; the same one gives the same names.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@_json_option
def generate(n: int, model: str | None, output: Path | None, as_json: bool, **options: Any) -> None:
    """Print N invented names (10 by default), one a line."""
    from .model import load

    names = load(model).generate(n, **options)
    text = _json(names) if as_json else "".join(f"{name}\n" for name in names)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_file(output, text.encode())


@cli.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_model_option
@_json_option
def score(names: tuple[str, ...], model: str | None, as_json: bool) -> None:
    """Print the natural-log probability of each NAME."""
    from .model import load

    scores = load(model).score(names).tolist()
    if as_json:
        rows = [{"name": name, "log_probability": value} for name, value in zip(names, scores, strict=True)]
        click.echo(_json(rows), nl=False)
    else:
        for name, value in zip(names, scores, strict=True):
            click.echo(f"{value:.4f}\t{name}")


@cli.command()
@_model_option
@_json_option
def info(model: str | None, as_json: bool) -> None:
    """Print what a model is, what it was trained on and how good it is."""
    import msgspec

    from . import artifact
    from .model import locate

    folder = locate(model)
    config = artifact.read(folder).config
    if as_json:
        click.echo(_json({"folder": str(folder), **msgspec.to_builtins(config)}), nl=False)
        return
    for key, value in _facts(folder, config).items():
        click.echo(f"{key:<12} {value}")
    click.echo()
    _print_metrics(config.metrics)


@cli.command()
@click.argument("model")
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["lecture", "dedup", "all"]), help="[default: the model's own]")
@_json_option
def evaluate(model: str, corpus: Path, split: str | None, as_json: bool) -> None:
    """Print the loss of MODEL on the names of CORPUS, in nats per symbol."""
    import msgspec

    from .model import load
    from .training import evaluate_model

    metrics = evaluate_model(load(model), corpus, cast("SplitName | None", split))
    if as_json:
        click.echo(_json(msgspec.to_builtins(metrics)), nl=False)
    else:
        _print_metrics(metrics)


@cli.command()
@click.argument("recipe", required=False)
def recipes(recipe: str | None) -> None:
    """List the training recipes, or print one."""
    from .training.recipes import read_recipe, recipe_names, recipe_path

    if recipe is not None:
        read_recipe(recipe)
        click.echo(recipe_path(recipe).read_text(encoding="utf-8"), nl=False)
        return
    for name in recipe_names():
        click.echo(f"{name:<12} {read_recipe(name).summary}")


@cli.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="The run folder.")
@click.option("--recipe", "-r", help="A recipe's name, or the path of a .toml file.  [default: names]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
@click.option("--seed", type=int, help="Short for --set seed=…")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
def train(
    corpus: Path,
    output: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    resume: bool,
) -> None:
    """Train on CORPUS, a UTF-8 text file with one item a line, and export the model.

    The run folder then serves as a model: sequentia generate --model DIR.
    """
    from tqdm import tqdm

    from .export import export
    from .training import train
    from .training.checkpoint import CHECKPOINT

    if seed is not None:
        overrides = (*overrides, f"seed={seed}")
    try:
        with tqdm(desc="training", unit=" steps", disable=None, dynamic_ncols=True, file=sys.stderr) as bar:

            def report(step: int, steps: int, loss: float, rate: float) -> None:
                bar.total = steps
                bar.set_postfix(loss=f"{loss:.4f}", rate=f"{rate:.3g}", refresh=False)
                bar.update(step - bar.n)

            train(corpus, output, recipe=recipe, overrides=overrides, device=device, resume=resume, report=report)
        click.echo("Exporting …", err=True)
        config = export(output, output)
    except KeyboardInterrupt as interrupt:
        if not (output / CHECKPOINT).is_file():
            raise
        command = ["sequentia", "train", str(corpus), "-o", str(output), "--resume"]
        command += ["--device", device] if device != "auto" else []
        saved = f"Interrupted, {interrupt}." if str(interrupt) else "Interrupted."
        click.echo(f"{saved} Go on with: {shlex.join(command)}", err=True)
        sys.exit(130)
    _print_metrics(config.metrics)
    click.echo(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}", err=True)


@cli.command(name="export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="The artifact folder.")
def export_(run: Path, output: Path) -> None:
    """Export the finished training run in folder RUN as a model."""
    from .export import export

    export(run, output)
    click.echo(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}", err=True)


def _facts(folder: Path, config: "Config") -> dict[str, str]:
    from .vocabulary import Vocabulary

    architecture, training, corpus = config.architecture, config.training, config.training.corpus
    layers = ", ".join(map(str, architecture.hidden_sizes))
    return {
        "name": config.name,
        "folder": str(folder),
        "network": f"{architecture.network}, hidden {layers}, {architecture.activation}",
        "parameters": f"{architecture.parameters:,}",
        "context": f"{config.block_size} symbols",
        "alphabet": Vocabulary(config.vocabulary).describe(),
        "longest name": f"{config.max_length} symbols",
        "corpus": f"{corpus.file}, {corpus.names:,} names, {corpus.distinct:,} distinct",
        "recipe": " ".join([training.recipe, *training.overrides]),
        "seed": str(training.seed),
        "split": training.split,
    }


def _print_metrics(metrics: "Metrics") -> None:
    click.echo(f"{'part':<12} {'nats/symbol':>11} {'names':>9} {'windows':>10}")
    for part in metrics.__struct_fields__:
        loss = getattr(metrics, part)
        if loss is not None:
            click.echo(f"{part:<12} {loss.loss:>11.4f} {loss.names:>9,} {loss.windows:>10,}")


def _json(value: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
