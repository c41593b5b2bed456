"""``sequentia reproduce``: the published figures, computed again."""

import os
import shlex
import sys
from collections import Counter
from pathlib import Path

import click

from .options import OutputFolder, corpus_argument
from .streams import notice


@click.command()
@corpus_argument
@click.option("--quick", is_flag=True, help="Leave out the runs that take minutes.")
@click.option("--output", "-o", type=OutputFolder(), help="Keep the runs in this folder, and go on with those in it.")
def reproduce(corpus: Path, quick: bool, output: Path | None) -> None:
    """Run the ladder of recipes on CORPUS, names.txt, and compare with the published figures.

    Prints a table in Markdown, and exits with 1 if a figure is missed.
    """
    import tempfile
    import time

    from sequentia.training.reproduction import reproduce

    started = time.monotonic()
    command = shlex.join(["sequentia", "reproduce", corpus.name, *(["--quick"] if quick else [])])
    click.echo(f"# Reproduction\n\nPrinted by `{command}`, in nats per symbol where not said otherwise.\n")
    click.echo("| what | published | ours | verdict |\n|---|---|---|---|")
    verdicts = Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        rows = reproduce(corpus, output or Path(temporary), quick=quick, report=notice)
        for row in rows:
            click.echo(f"| {row.what} | {row.published} | {row.ours} | {row.verdict} |")
            verdicts[row.verdict.split()[0]] += 1
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("exact", "within", "MISSED"))
    click.echo(f"\n{verdicts.total()} rows: {counts}. {time.monotonic() - started:,.0f} s on {os.cpu_count()} cores.")
    if verdicts["MISSED"]:
        sys.exit(1)
