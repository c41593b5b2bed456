"""``sequentia reproduce``: compute the published figures again."""

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
@click.option("--quick", is_flag=True, help="Skip the runs that take minutes.")
@click.option(
    "--output", "-o", type=OutputFolder(), help="Folder to keep the runs in; runs already there are continued."
)
def reproduce(corpus: Path, quick: bool, output: Path | None) -> None:
    """Train the published recipes on CORPUS, the file names.txt, and compare the results with the published figures.

    Print a Markdown table. The exit status is 1 if a result is further from its figure than the tolerance allows.
    """
    import tempfile
    import time

    from sequentia.training.reproduction import reproduce

    started = time.monotonic()
    command = shlex.join(["sequentia", "reproduce", corpus.name, *(["--quick"] if quick else [])])
    click.echo(f"# Reproduction\n\nPrinted by `{command}`, in nats per symbol unless stated otherwise.\n")
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
