"""``sequentia score``: compute how probable names are."""

from pathlib import Path

import click

from .naming import where_option
from .options import StreamOrFile, engine_options, json_option, model_option
from .output import folder_for_ray, format_for, progress_bar, report_shards, writer_to
from .streams import STANDARD, notice, standard_input


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@model_option
@where_option
@click.option(
    "--input",
    "-i",
    "source",
    type=StreamOrFile(),
    help="A file of names: .txt (one per line), .csv, .jsonl or .parquet (column name). - is standard input. "
    "With Ray: .parquet only.",
)
@click.option(
    "--output",
    "-o",
    type=StreamOrFile(),
    help="File to write, in the format of its suffix: .txt, .csv, .json, .jsonl or .parquet. With Ray: a folder.",
)
@click.option("--unknown", is_flag=True, help="Add the words of each name that a model of words does not know.")
@click.option("--threads", type=click.IntRange(min=1), help="With Ray: cores to use.  [default: all]")
@engine_options
@json_option
def score(
    names: tuple[str, ...],
    model: str | None,
    where: dict[str, str] | None,
    as_json: bool,
    source: Path | str | None,
    output: Path | str | None,
    unknown: bool,
    threads: int | None,
    engine: str | None,
    address: str | None,
) -> None:
    """Print the natural logarithm of the probability of each NAME, or of each name in a file.

    With - as the only NAME, read names from standard input, one per line.

    With --engine ray, read the names from a Parquet file and write them with their scores to Parquet files in a
    folder. After an interruption, run the same command again: it scores only the missing names.
    """
    from sequentia.input import score_file, score_lines
    from sequentia.model import load

    if names == (STANDARD,) and source is None:
        names, source = (), STANDARD
    if bool(names) == (source is not None):
        raise click.UsageError(
            "give either names or --input FILE, not both" if names else "give names, or a file of names: --input FILE"
        )
    if STANDARD in names:
        raise click.UsageError("- reads names from standard input, so it must be the only NAME, without --input")
    if engine is not None:
        folder = folder_for_ray(output)
        if not isinstance(source, Path) or as_json:
            raise click.UsageError("--engine ray needs a file of names, --input FILE, and does not work with --json")
        if unknown:
            raise click.UsageError("--unknown does not work with --engine ray")
        from sequentia import bulk

        with progress_bar(None, "names") as progress:
            made = bulk.score(
                load(model),
                source,
                folder,
                where=where,
                address=address,
                cores=threads,
                report=progress.update,
            )
        report_shards(folder, made)
        return
    if threads or address:
        raise click.UsageError("--threads and --address need --engine ray")

    kind = format_for(output, as_json=as_json)
    loaded = load(model)
    loaded.score([], where=where)  # checks the option, even if there are no names
    if source is None:
        scored = iter([(list(names), loaded.score(names, where=where))])
    elif isinstance(source, Path):
        scored = score_file(loaded, source, where)
    else:
        scored = score_lines(loaded, standard_input(), "standard input", where)
    lacking, watched = 0, loaded.vocabulary.unknown is not None and not unknown
    with writer_to(kind, output, loaded.vocabulary, scored=True, unknown=unknown, total=len(names) or None) as (
        writer,
        report,
    ):
        for texts, scores in scored:
            writer.write_texts(texts, scores)
            report(len(texts))
            lacking += sum(map(bool, loaded.unknown_words(texts))) if watched else 0
    if lacking:
        notice(f"Unknown words count as one in {lacking:,} of these names; --unknown adds them.")
