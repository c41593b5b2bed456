"""The ``sequentia`` command. Results go to stdout, all else to stderr; each subcommand loads what it needs."""

import os
import shlex
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from . import __version__
from ._files import naming, writing
from ._streams import (
    STANDARD,
    failed_output,
    flush_output,
    open_closed_descriptors,
    standard_input,
    standard_output,
    standard_streams,
)
from .errors import SequentiaError

if TYPE_CHECKING:
    from tqdm import tqdm

    from .artifact import Config, Metrics, SplitName
    from .bulk import Manifest
    from .model import SequenceModel
    from .novelty import KnownNames
    from .output import Writer
    from .training.descent import Report
    from .training.evaluation import Comparison
    from .training.trials import Report as SweepReport
    from .training.trials import Trial

_MANY = 100_000
_MODEL_HELP = (
    "A folder, the name of a bundled model, or owner/name of a repository on the hub, perhaps with @revision. "
    "[default: $SEQUENTIA_MODEL, else names]"
)


class _Commands(click.Group):
    """Reports an error in one line instead of a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        with standard_streams(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            flush_output()
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(_interrupted())
        except (SequentiaError, OSError, UnicodeError, ModuleNotFoundError) as error:
            if os.environ.get("SEQUENTIA_DEBUG"):
                raise
            raise click.ClickException(_message(failed_output() or error)) from error
        return result


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {message}", err=True)


def _message(error: Exception) -> str:
    """Return an error's message in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
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
    open_closed_descriptors()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, _end)
    cli(prog_name="sequentia")


_last_signal: int = signal.SIGINT


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """End the command as Ctrl-C does, so that it removes what it has begun; the same signal again kills it."""
    global _last_signal  # noqa: PLW0603 - for the exit status of this process
    _last_signal = number
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def _interrupted() -> int:
    """Return the exit status of a command that a signal ended."""
    return 128 + _last_signal


class _InputFile(click.Path):
    """A file to read; ``-`` is standard input, kept in a file while the command runs."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value != STANDARD or ctx is None:
            return super().convert(value, param, ctx)
        return ctx.with_resource(_kept_standard_input())


@contextmanager
def _kept_standard_input() -> Iterator[Path]:
    """Copy standard input to a file, and call it by its name in errors."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stdin")
        with naming(path), path.open("wb") as file:
            shutil.copyfileobj(standard_input(), file)
        show = warnings.showwarning
        warnings.showwarning = lambda message, *rest, **more: show(
            str(message).replace(str(path), "standard input"),
            *rest,
            **more,
        )
        try:
            yield path
        except SequentiaError as error:
            error.args = (str(error).replace(str(path), "standard input"), *error.args[1:])
            raise


class _File(click.Path):
    """A file to read or write; ``-``, which stands for a standard stream, stays a string."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == STANDARD else super().convert(value, param, ctx)


class _OutputFolder(click.Path):
    """A folder to write, which standard output cannot be."""

    name = "directory"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == STANDARD:
            self.fail("this is a folder, and - is standard output; for a folder of that name, write ./-", param, ctx)
        return super().convert(value, param, ctx)


def _model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--model", "-m", metavar="MODEL", help=_MODEL_HELP)(command)


def _corpus_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("corpus", type=_InputFile())(command)


def _address_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "Of a Ray cluster, host:port or auto.  [default: one is started here]"
    return click.option("--address", help=text)(command)


def _engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    engine = click.option("--engine", type=click.Choice(["ray"]), help="Use all cores of a cluster.")
    return engine(_address_option(command))


def _folder_for_ray(output: Path | str | None) -> Path:
    if not isinstance(output, Path):
        raise click.UsageError("--engine ray writes to a folder: -o DIR")
    return output


def _say_made(folder: Path, manifest: "Manifest") -> None:
    rows = sum(shard.rows for shard in manifest.shards)
    click.echo(f"{rows:,} names in {len(manifest.shards)} files; {folder / 'manifest.json'} lists them.", err=True)


def _token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--token", help="Of the hub.  [default: the stored one, or $HF_TOKEN]")(command)


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
@click.option("--pattern", help="A regular expression that every name matches in full.")
@click.option("--unique", is_flag=True, help="No name twice.")
@click.option("--novel", is_flag=True, help="No name that the model was trained on.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Not this name; repeatable.")
@click.option("--seed", type=int, help="A whole number; the same one gives the same names.")
@click.option("--scores", is_flag=True, help="Add the natural-log probability of each name.")
@click.option(
    "--threads",
    type=int,
    help="Cores to use.  [default: one, or all from 100,000 names on or with Ray]",
)
@click.option(
    "--output",
    "-o",
    type=_File(),
    help="Write to a file, as the end of its name says: .txt, .csv, .json, .jsonl or .parquet; with Ray, to a folder.",
)
@_engine_options
@_json_option
def generate(
    n: int,
    model: str | None,
    output: Path | str | None,
    as_json: bool,
    scores: bool,
    threads: int | None,
    engine: str | None,
    address: str | None,
    **options: Any,
) -> None:
    """Print N invented names (10 by default), one a line.

    With --engine ray, they go to Parquet files in a folder, drawn by all cores of a cluster; the same command goes on
    with what was interrupted.
    """
    from .model import load

    if engine is not None:
        folder = _folder_for_ray(output)
        if as_json or options.pop("unique"):
            raise click.UsageError("--engine ray has no --json and no --unique")
        from . import bulk

        loaded = load(model)
        with _bar(n, "names") as progress:
            made = bulk.generate(
                loaded,
                n,
                folder,
                options=options,
                scores=scores,
                address=address,
                cores=threads,
                report=progress.update,
            )
        _say_made(folder, made)
        return
    if address is not None:
        raise click.UsageError("--address needs --engine ray")

    kind = _kind(output, as_json=as_json)
    if threads is None:
        threads = _cores() if n >= _MANY else 1
    loaded = load(model, threads=threads)
    batches = loaded.batches(n, **options)
    if n < _MANY:  # so few come all, or not at all
        batches = iter(list(batches))
    with _written(kind, output, loaded, scored=scores, total=n) as (writer, report):
        for names in batches:
            writer.write(names, loaded.score(loaded.vocabulary.decode(names)) if scores else None)
            report(len(names))


def _kind(output: Path | str | None, *, as_json: bool) -> "type[Writer]":
    """Return the format of what goes to a file, or to standard output."""
    from .output import JsonArray, Lines, format_of

    if as_json:
        if isinstance(output, Path) and output.suffix.lower() not in {"", ".json"}:
            raise click.UsageError(f"--json contradicts -o {output}: the end of its name says the format")
        return JsonArray
    return format_of(output) if isinstance(output, Path) else Lines


@contextmanager
def _written(
    kind: "type[Writer]", output: Path | str | None, model: "SequenceModel", *, scored: bool, total: int | None
) -> "Iterator[tuple[Writer, Callable[[int], object]]]":
    """Open a writer of names to a file or to standard output, and a function that reports how many were written."""

    def report(count: int) -> None:
        if bar is not None:
            bar.update(count)

    with ExitStack() as stack:
        file, bar = standard_output(), None
        if isinstance(output, Path):
            file, bar = stack.enter_context(writing(output)), stack.enter_context(_bar(total, "names"))
        writer = kind(file, model.vocabulary, scored=scored)
        yield writer, report
        writer.close()


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_model_option
@click.option(
    "--input",
    "-i",
    "source",
    type=_File(),
    help="A file of names: .txt (one a line), .csv, .jsonl or .parquet (column name); - is standard input. "
    "With Ray: .parquet.",
)
@click.option(
    "--output",
    "-o",
    type=_File(),
    help="Write to a file, as the end of its name says: .txt, .csv, .json, .jsonl or .parquet; with Ray, to a folder.",
)
@click.option("--threads", type=click.IntRange(min=1), help="With Ray: cores to use.  [default: all]")
@_engine_options
@_json_option
def score(
    names: tuple[str, ...],
    model: str | None,
    as_json: bool,
    source: Path | str | None,
    output: Path | str | None,
    threads: int | None,
    engine: str | None,
    address: str | None,
) -> None:
    """Print the natural-log probability of each NAME, or of each name of a file.

    A single NAME - reads the names from standard input, one a line.

    With --engine ray, the names of a Parquet file go with their scores to Parquet files in a folder; the same command
    goes on with what was interrupted.
    """
    from .input import score_file, score_lines
    from .model import load

    if names == (STANDARD,) and source is None:
        names, source = (), STANDARD
    if bool(names) == (source is not None):
        raise click.UsageError(
            "give names, or a file of them by --input FILE, not both"
            if names
            else "give names, or a file of them: --input FILE"
        )
    if STANDARD in names:
        raise click.UsageError("- reads names from standard input, and stands alone")
    if engine is not None:
        folder = _folder_for_ray(output)
        if not isinstance(source, Path) or as_json:
            raise click.UsageError("--engine ray takes the names of a file, --input FILE, and has no --json")
        from . import bulk

        with _bar(None, "names") as progress:
            made = bulk.score(
                load(model),
                source,
                folder,
                address=address,
                cores=threads,
                report=progress.update,
            )
        _say_made(folder, made)
        return
    if threads or address:
        raise click.UsageError("--threads and --address need --engine ray")

    kind = _kind(output, as_json=as_json)
    loaded = load(model)
    if source is None:
        scored = iter([(list(names), loaded.score(names))])
    elif isinstance(source, Path):
        scored = score_file(loaded, source)
    else:
        scored = score_lines(loaded, standard_input(), "standard input")
    with _written(kind, output, loaded, scored=True, total=len(names) or None) as (writer, report):
        for texts, scores in scored:
            writer.write_texts(texts, scores)
            report(len(texts))


@cli.command()
@click.argument("name", required=False, metavar="[MODEL]")
@_model_option
@_json_option
def info(name: str | None, model: str | None, as_json: bool) -> None:
    """Print what a model is, what it was trained on and how good it is; MODEL is as for --model."""
    import msgspec

    from . import artifact
    from .resolve import locate

    if name is not None and model is not None:
        raise click.UsageError("give MODEL or --model, not both")
    folder = locate(model if name is None else name)
    read = artifact.read(folder)
    config, cached = read.config, _cached(folder)
    if as_json:
        click.echo(_json({"folder": str(folder), **cached, **msgspec.to_builtins(config)}), nl=False)
        return
    for key, value in _facts(folder, config, read.known, cached).items():
        click.echo(f"{key:<12} {value}")
    click.echo()
    _print_metrics(config.metrics)


def _cached(folder: Path) -> dict[str, str | int]:
    """Return the repository, revision and size of a model in the hub's cache, nothing of any other."""
    if folder.parent.name != "snapshots":
        return {}
    from .hub import cached_at

    found = cached_at(folder)
    return {} if found is None else vars(found)


@cli.command()
@click.argument("model")
@_corpus_argument
@click.option("--split", type=click.Choice(["lecture", "dedup", "all"]), help="[default: the model's own]")
@click.option("--against", multiple=True, metavar="MODEL", help="Compare with this model; repeatable.")
@_json_option
def evaluate(model: str, corpus: Path, split: str | None, against: tuple[str, ...], as_json: bool) -> None:
    """Print the loss of MODEL on the names of CORPUS, in nats per symbol.

    --against adds how much higher another model's loss is on the dev and test parts, an interval that holds it in 95 %
    of 10,000 resamples of their names (the paired bootstrap), and the share of resamples in which MODEL is better.
    """
    import msgspec

    from .model import load
    from .training import compare, evaluate_model

    name = cast("SplitName | None", split)
    evaluated, *others = map(load, (model, *against))
    metrics = evaluate_model(evaluated, corpus, name)
    comparisons = [
        (label, compare(evaluated, other, corpus, name)) for label, other in zip(against, others, strict=True)
    ]
    if as_json:
        rows = [{"model": label, **msgspec.to_builtins(comparison)} for label, comparison in comparisons]
        click.echo(_json({**msgspec.to_builtins(metrics), **({"against": rows} if rows else {})}), nl=False)
        return
    _print_metrics(metrics)
    if comparisons:
        click.echo()
        _print_comparisons(comparisons)


@cli.command()
@click.argument("recipe", required=False)
def recipes(recipe: str | None) -> None:
    """List the training recipes, or print one."""
    from .training import read_recipe, recipe_names
    from .training.recipes import recipe_path

    if recipe is not None:
        read_recipe(recipe)
        click.echo(recipe_path(recipe).read_text(encoding="utf-8"), nl=False)
        return
    width = max(map(len, recipe_names()))
    for name in recipe_names():
        click.echo(f"{name:<{width}}  {read_recipe(name).summary}")


def _recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …"),
        click.option("--seed", type=int, help="Short for --set seed=…"),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key; repeatable."),
        click.option("--recipe", "-r", help="A recipe's name, or the path of a .toml file.  [default: names]"),
    ):
        command = option(command)
    return command


def _with_seed(overrides: tuple[str, ...], seed: int | None) -> tuple[str, ...]:
    return overrides if seed is None else (*overrides, f"seed={seed}")


def _cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bar(total: int | None, unit: str, what: str | None = None) -> "tqdm[Any]":
    """Return a progress bar, shown on a terminal only."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=f" {unit}", disable=None, dynamic_ncols=True, file=sys.stderr)


@contextmanager
def _progress(what: str) -> Iterator["Report"]:
    """Show the steps of a training as a bar."""
    with _bar(None, "steps", what) as bar:

        def report(step: int, steps: int, loss: float, rate: float) -> None:
            bar.total = steps
            bar.set_postfix(loss=f"{loss:.4f}", rate=f"{rate:.3g}", refresh=False)
            bar.update(step - bar.n)

        yield report


@cli.command()
@_corpus_argument
@click.option("--output", "-o", type=_OutputFolder(), required=True, help="The run folder.")
@_recipe_options
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Cores, or GPUs, to share each step.")
@_address_option
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
    from .export import export
    from .training import plot, train
    from .training.checkpoint import CHECKPOINT

    overrides = _with_seed(overrides, seed)
    try:
        with _progress("training") as report:
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
        click.echo("Drawing and exporting …", err=True)
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
        click.echo(f"{saved} Go on with: {shlex.join(command)}", err=True)
        sys.exit(_interrupted())
    _print_metrics(config.metrics)
    click.echo(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}", err=True)


@cli.command()
@_corpus_argument
@click.option("--output", "-o", type=_OutputFolder(), required=True, help="The folder of the sweep.")
@click.option("--space", type=_InputFile(), help="A .toml file of what to search.")
@click.option("--recipe", "-r", help="A recipe's name, or the path of a .toml file.  [default: mlp]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key for all trials; repeatable.")
@click.option("--seed", type=int, help="Of the suggestions; that of the runs is --set seed=…  [default: 0]")
@click.option("--trials", type=click.IntRange(min=1), help="How many.  [default: 20]")
@click.option("--concurrency", type=click.IntRange(min=1), help="Trials at a time, a core each.  [default: all cores]")
@_address_option
@click.option("--resume", is_flag=True, help="Go on with the sweep in the folder; --trials may ask for more.")
def sweep(corpus: Path, output: Path, **options: Any) -> None:
    """Search for the recipe with the lowest dev loss on CORPUS: Optuna suggests, Ray Tune runs.

    The space is a TOML file of recipe keys, each with { low = 0.001, high = 0.1, log = true },
    { choices = [[64], [128, 128]] }, or a value. Trials that are poor after a ninth or a third of their steps are
    stopped (ASHA). With --concurrency 1 the same command finds the same.

    The table of trials goes to stdout and leaderboard.csv, the best recipe to best.toml, its model to best.
    """
    from .export import export
    from .training import find_recipe, plot
    from .training.sweep import BEST, BEST_RECIPE
    from .training.trials import SWEEP, TRIALS

    try:
        with _trials() as report:
            trials = find_recipe(corpus, output, report=report, **options)
        click.echo("Drawing and exporting …", err=True)
        plot(output)
        plot(output / BEST)
        config = export(output / BEST, output / BEST)
    except KeyboardInterrupt:
        if not (output / SWEEP).is_file():
            raise
        command = ["sequentia", "sweep", str(corpus), "-o", str(output), "--resume"]
        command += ["--concurrency", str(options["concurrency"])] if options["concurrency"] else []
        command += ["--address", options["address"]] if options["address"] else []
        click.echo(f"Interrupted. Go on with: {shlex.join(command)}", err=True)
        sys.exit(_interrupted())
    click.echo(f"| trial | state | dev | step | {' | '.join(trials[0].values)} |")
    click.echo("|---" * (4 + len(trials[0].values)) + "|")
    for trial in trials:
        values = " | ".join(f"{each:.4g}" if isinstance(each, float) else str(each) for each in trial.values.values())
        loss = "" if trial.loss is None else f"{trial.loss:.4f}"
        click.echo(f"| {trial.number} | {trial.state} | {loss} | {trial.step} | {values} |")
    click.echo()
    _print_metrics(config.metrics)
    click.echo(
        f"Done. The best recipe is {output / BEST_RECIPE}; {output / TRIALS} may go. "
        f"Try: sequentia generate --model {shlex.quote(str(output / BEST))}",
        err=True,
    )


@contextmanager
def _trials() -> Iterator["SweepReport"]:
    """Show the trials of a sweep: those that end as lines, those on their way beside a bar."""
    with _bar(None, "trials", "sweep") as bar:

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


@cli.command(name="find-lr")
@_corpus_argument
@click.option(
    "--output",
    "-o",
    type=_OutputFolder(),
    default=Path("find-lr"),
    show_default=True,
    help="The folder for the numbers and the picture.",
)
@_recipe_options
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
    from .training import find_learning_rate, plot
    from .training.learning_rates import LEARNING_RATES

    overrides = _with_seed(overrides, seed)
    with _progress("searching") as report:
        search = find_learning_rate(
            corpus, output, recipe=recipe, overrides=overrides, device=device, steps=steps, report=report
        )
    *_, picture = plot(output)
    click.echo(f"{search.suggested:.3g}")
    click.echo(
        f"The loss, averaged over a twentieth of the {steps} rates, is lowest there, at {min(search.smoothed):.4f} "
        f"nats. Numbers: {output / LEARNING_RATES}, picture: {picture}",
        err=True,
    )
    if search.at_the_end:
        click.echo("That is the end of the range: the best rate may lie beyond it.", err=True)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
def plot(folder: Path) -> None:
    """Draw the pictures of the training run or the learning-rate search in DIR, into DIR/pictures."""
    from .training import plot

    for path in plot(folder):
        click.echo(str(path))


@cli.command()
@_corpus_argument
@click.option("--quick", is_flag=True, help="Leave out the runs that take minutes.")
@click.option("--output", "-o", type=_OutputFolder(), help="Keep the runs in this folder, and go on with those in it.")
def reproduce(corpus: Path, quick: bool, output: Path | None) -> None:
    """Run the ladder of recipes on CORPUS, names.txt, and compare with the published figures.

    Prints a table in Markdown, and exits with 1 if a figure is missed.
    """
    import tempfile
    import time

    from .training.reproduction import reproduce

    started = time.monotonic()
    command = shlex.join(["sequentia", "reproduce", corpus.name, *(["--quick"] if quick else [])])
    click.echo(f"# Reproduction\n\nPrinted by `{command}`, in nats per symbol where not said otherwise.\n")
    click.echo("| what | published | ours | verdict |\n|---|---|---|---|")
    verdicts = Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        rows = reproduce(corpus, output or Path(temporary), quick=quick, report=lambda line: click.echo(line, err=True))
        for row in rows:
            click.echo(f"| {row.what} | {row.published} | {row.ours} | {row.verdict} |")
            verdicts[row.verdict.split()[0]] += 1
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("exact", "within", "MISSED"))
    click.echo(f"\n{verdicts.total()} rows: {counts}. {time.monotonic() - started:,.0f} s on {os.cpu_count()} cores.")
    if verdicts["MISSED"]:
        sys.exit(1)


@cli.command(name="export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=_OutputFolder(), required=True, help="The artifact folder.")
def export_(run: Path, output: Path) -> None:
    """Export the finished training run in folder RUN as a model."""
    from .export import export

    export(run, output)
    click.echo(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}", err=True)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("repo_id")
@click.option("--private/--public", default=None, help="What a new repository is.  [default: the hub's]")
@click.option("--revision", help="A branch, made if need be.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead.")
@click.option("--commit-message", "-m", help="Title of the commit.")
@click.option("--license", help="For the card: mit, cc-by-4.0 …")
@click.option("--language", multiple=True, help="For the card, an ISO 639 code; repeatable.")
@click.option("--dataset", "datasets", multiple=True, help="For the card, a dataset on the hub; repeatable.")
@_token_option
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def push(
    folder: Path,
    repo_id: str,
    license: str | None,  # noqa: A002 - the hub's own word
    language: tuple[str, ...],
    datasets: tuple[str, ...],
    dry_run: bool,
    **options: Any,
) -> None:
    """Publish the model in DIR as the repository REPO_ID, owner/name, of the hub, and print its URL.

    Its files are checked, its graph is held against its weights, and its card is written anew. All goes into one
    commit; where nothing has changed, there is none. What the card said of license, language and datasets stays unless
    told otherwise.
    """
    from huggingface_hub.utils import disable_progress_bars

    from .export import CardFacts, assemble, check, publish

    if not sys.stderr.isatty():
        disable_progress_bars()

    def announce(files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            click.echo(f"{len(data):>12,}  {path}", err=True)
        click.echo(f"{sum(map(len, files.values())):>12,}  bytes in all, for {repo_id}", err=True)

    facts = CardFacts.told(license, language, datasets)
    if dry_run:
        announce(assemble(check(folder), repo_id, facts))
        return
    published = publish(folder, repo_id, facts, announce=announce, **options)
    click.echo(f"Commit {published.commit}." if published.new else "Nothing has changed: no new commit.", err=True)
    click.echo(published.url)


@cli.command()
@click.argument("repo_id")
@click.option("--output", "-o", type=_OutputFolder(), required=True, help="The folder.")
@click.option("--revision", help="A branch, a tag or the hash of a commit.  [default: main]")
@click.option("--force-download", is_flag=True, help="Download also what the cache holds.")
@_token_option
def pull(repo_id: str, output: Path, **options: Any) -> None:
    """Copy the model of the repository REPO_ID of the hub, owner/name, perhaps with @revision, into a folder."""
    from . import artifact
    from .hub import fetch
    from .model import SequenceModel

    SequenceModel(artifact.read(fetch(repo_id, pictures=True, **options))).save_pretrained(output)
    click.echo(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}", err=True)


def _facts(
    folder: Path, config: "Config", known: "KnownNames | None", cached: Mapping[str, str | int]
) -> dict[str, str]:
    from .vocabulary import Vocabulary

    architecture, training, corpus = config.architecture, config.training, config.training.corpus
    return {
        "name": config.name,
        "folder": str(folder),
        **({"repository": str(cached["repo_id"]), "revision": str(cached["revision"])} if cached else {}),
        **({"cached": f"{cached['size']:,} bytes"} if cached else {}),
        "model": architecture.describe(),
        "parameters": f"{architecture.parameters:,}",
        "context": f"{config.block_size} symbol{'' if config.block_size == 1 else 's'}",
        "alphabet": Vocabulary(config.vocabulary).describe(),
        "longest name": f"{config.max_length} symbols",
        "corpus": f"{corpus.file}, {corpus.names:,} names, {corpus.distinct:,} distinct",
        "recipe": " ".join([training.recipe, *training.overrides]),
        "seed": str(training.seed),
        "split": training.split,
        "novel names": "cannot be asked for" if known is None else f"avoid {len(known):,} known ones",
    }


def _print_metrics(metrics: "Metrics") -> None:
    click.echo(f"{'part':<12} {'nats/symbol':>11} {'names':>9} {'windows':>10}")
    for part in metrics.__struct_fields__:
        loss = getattr(metrics, part)
        if loss is not None:
            click.echo(f"{part:<12} {loss.loss:>11.4f} {loss.names:>9,} {loss.windows:>10,}")


def _print_comparisons(comparisons: "list[tuple[str, Comparison]]") -> None:
    width = max(len("against"), *(len(label) for label, _ in comparisons))
    click.echo(f"{'against':<{width}} {'part':<12} {'difference':>11} {'95 % interval':>18} {'better':>7}")
    for label, comparison in comparisons:
        for part in comparison.__struct_fields__:
            found = getattr(comparison, part)
            if found is not None:
                interval = f"{found.low:+.4f} {found.high:+.4f}"
                click.echo(
                    f"{label:<{width}} {part:<12} {found.difference:>+11.4f} {interval:>18} {found.better:>7.1%}"
                )


def _json(value: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
