"""``sequentia generate``: invent names."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from .errors import ending_with_the_reader
from .naming import case_option, seed_option, texts_option, where_option
from .options import StreamOrFile, engine_options, json_option, model_option
from .output import folder_for_ray, format_for, progress_bar, report_shards, writer_to

_MANY = 100_000
_DEFAULT = 10


@click.command()
@click.argument("n", type=click.IntRange(min=0), required=False, metavar="[N]")
@model_option
@where_option
@click.option("--prefix", default="", help="Text that every name starts with.")
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="Below 1: more usual names. Above 1: more unusual ones.",
)
@click.option("--top-k", type=int, help="Choose each symbol from this many of the most probable.")
@click.option(
    "--top-p", type=float, help="Choose each symbol from the most probable that together have this probability."
)
@click.option("--min-length", type=int, default=1, show_default=True, help="Fewest symbols (characters) in a name.")
@click.option("--max-length", type=int, help="Most symbols in a name.  [default: as in the longest name of the list]")
@click.option("--suffix", default="", help="Text that every name ends in.")
@click.option("--pattern", help="A regular expression that every name matches in full.")
@texts_option("--avoid", "TEXT", "Generate no name that contains this text")
@click.option("--unique", is_flag=True, help="Generate no name twice.")
@click.option("--novel", is_flag=True, help="Generate no name from the list that the model was made from.")
@texts_option("--exclude", "NAME", "Never generate this name")
@case_option
@seed_option
@click.option(
    "--stream",
    is_flag=True,
    help="Print names until Ctrl-C, or until the program that reads them ends. With --json: an object per line.",
)
@click.option("--scores", is_flag=True, help="Add the natural logarithm of each name's probability.")
@click.option(
    "--threads",
    type=int,
    help="Cores to use; --stream uses one.  [default: 1; all for 100,000 names or more, or with Ray]",
)
@click.option(
    "--output",
    "-o",
    type=StreamOrFile(),
    help="File to write, in the format of its suffix: .txt, .csv, .json, .jsonl or .parquet. With Ray: a folder.",
)
@engine_options
@json_option
def generate(
    n: int | None,
    model: str | None,
    output: Path | str | None,
    as_json: bool,
    stream: bool,
    scores: bool,
    threads: int | None,
    engine: str | None,
    address: str | None,
    **options: Any,
) -> None:
    """Print N invented names (10 by default), one per line; with --stream, never stop.

    With --prefix, --suffix, --pattern, --avoid and lengths: names that match, as often as the model would invent them.

    With --engine ray, all cores of this machine or a cluster write them to Parquet files in a folder. After an
    interruption, run the same command again: it generates only the missing files.
    """
    from sequentia.model import load

    if stream:
        _check_endless(n, output, engine, threads)
    count = _DEFAULT if n is None else n
    if engine is not None:
        folder = folder_for_ray(output)
        if as_json or options.pop("unique"):
            raise click.UsageError("--engine ray works with neither --json nor --unique")
        from sequentia import bulk

        loaded = load(model)
        with progress_bar(count, "names") as progress:
            made = bulk.generate(
                loaded,
                count,
                folder,
                options=options,
                scores=scores,
                address=address,
                cores=threads,
                report=progress.update,
            )
        report_shards(folder, made)
        return
    if address is not None:
        raise click.UsageError("--address needs --engine ray")

    kind = format_for(output, as_json=as_json, endless=stream)
    if threads is None:
        from sequentia.cluster import available_cores

        threads = available_cores() if count >= _MANY else 1
    with ending_with_the_reader() if stream else nullcontext():
        loaded = load(model, threads=threads)
        batches = loaded.batches(None if stream else count, **options)
        case = options["case"]
        with writer_to(kind, output, loaded.vocabulary, scored=scores, case=case, total=count) as (writer, report):
            for names in batches:
                found = loaded.score(loaded.vocabulary.decode(names), where=options["where"]) if scores else None
                writer.write(names, found)
                report(len(names))


def _check_endless(n: int | None, output: Path | str | None, engine: str | None, threads: int | None) -> None:
    """Raise a usage error for what has an end, or draws many names at once."""
    if n is not None:
        raise click.UsageError(f"--stream never ends, so it takes no number of names: leave out {n} or --stream")
    if isinstance(output, Path):
        raise click.UsageError(f"--stream never ends, so it writes no file: leave out -o {output} or --stream")
    if engine is not None:
        raise click.UsageError(f"--stream does not work with --engine {engine}")
    if threads not in {None, 1}:
        raise click.UsageError(f"--stream uses one core: leave out --threads {threads} or --stream")
