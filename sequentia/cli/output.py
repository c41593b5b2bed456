"""Output shared by commands: progress bars, tables, and names in a file format."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from sequentia._files import writing
from sequentia.errors import GenerationError
from sequentia.text import counted

from .streams import notice, standard_output

if TYPE_CHECKING:
    from tqdm import tqdm

    from sequentia.bulk import Manifest
    from sequentia.config import Loss, Metrics
    from sequentia.output import Writer, WriterOptions
    from sequentia.vocabulary import Vocabulary

_MOST_ROWS = 24


def progress_bar(total: int | None, unit: str, what: str | None = None) -> "tqdm[Any]":
    """Return a progress bar, shown on a terminal only."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=f" {unit}", disable=None, dynamic_ncols=True, file=sys.stderr)


def format_for(output: Path | str | None, *, as_json: bool, endless: bool = False) -> "type[Writer]":
    """Return the writer for a file or for standard output; an endless one writes lines, also of JSON."""
    from sequentia.output import JsonArray, JsonLines, Lines, format_of

    if endless:
        return JsonLines if as_json else Lines
    if as_json:
        if isinstance(output, Path) and output.suffix.lower() not in {"", ".json"}:
            raise click.UsageError(f"--json contradicts -o {output}: the end of its name says the format")
        return JsonArray
    return format_of(output) if isinstance(output, Path) else Lines


@contextmanager
def writer_to(
    kind: "type[Writer]",
    output: Path | str | None,
    vocabulary: "Vocabulary",
    *,
    total: int | None,
    **options: "Unpack[WriterOptions]",
) -> "Iterator[tuple[Writer, Callable[[int], object]]]":
    """Open a writer of names to a file or to standard output, and a function that advances the progress bar.

    A file appears only when it is complete. Standard output keeps the names found before a :class:`GenerationError`.
    """

    def report(count: int) -> None:
        if bar is not None:
            bar.update(count)

    with ExitStack() as stack:
        file, bar = standard_output(), None
        if isinstance(output, Path):
            file, bar = stack.enter_context(writing(output)), stack.enter_context(progress_bar(total, "names"))
        writer = kind(file, vocabulary, **options)
        try:
            yield writer, report
        except BaseException as error:
            if isinstance(error, GenerationError) and not isinstance(output, Path):
                writer.close()
            else:
                writer.abandon()
            raise
        writer.close()


def report_shards(folder: Path, manifest: "Manifest") -> None:
    """Print how many names Ray wrote, and where they are."""
    rows = sum(shard.rows for shard in manifest.shards)
    names, files = counted(rows, "name"), counted(len(manifest.shards), "file")
    notice(f"{names} in {files}; {folder / 'manifest.json'} lists them.")


def folder_for_ray(output: Path | str | None) -> Path:
    """Return the folder that Ray writes to, or raise a usage error."""
    if not isinstance(output, Path):
        raise click.UsageError("--engine ray writes to a folder: -o DIR")
    return output


def print_metrics(metrics: "Metrics") -> None:
    """Print losses as a table, with those of the baselines, and warn of a model that is worse."""
    _print_losses("part", metrics.parts)
    if metrics.baselines:
        click.echo(f"\nfor comparison, on {metrics.compared}:")
    for (name, loss), words in zip(metrics.baselines.items(), metrics.compared_with, strict=True):
        click.echo(f"{name:<12} {loss:>11.4f} {words}")
    if metrics.warning:
        click.echo(metrics.warning)
    for condition, losses in metrics.by_value.items():
        click.echo()
        _print_losses(condition, losses)


def _print_losses(what: str, losses: Mapping[str, "Loss"]) -> None:
    """Print losses as a table, those of the groups with the most names if there are many."""
    shown = sorted(losses, key=lambda name: -losses[name].names)[:_MOST_ROWS]
    width = max(12, *map(len, (what, *shown)))
    weighted = any(loss.weighted is not None for loss in losses.values())
    title = "weighted" if weighted else ""
    unknown = any(loss.unknown is not None for loss in losses.values())
    header = f"{what:<{width}} {'nats/symbol':>11} {title:>{9 * weighted}}{'names':>10} {'windows':>10}"
    click.echo(f"{header} {'unknown':>8}" if unknown else header)
    for name, loss in losses.items():
        if name in shown:
            mean = "" if loss.weighted is None else f"{loss.weighted:.4f}"
            row = f"{name:<{width}} {loss.loss:>11.4f} {mean:>{9 * weighted}}{loss.names:>10,} {loss.windows:>10,}"
            click.echo(row if loss.unknown is None else f"{row} {loss.unknown / loss.windows:>8.0%}")
    if len(shown) < len(losses):
        click.echo(f"… and {len(losses) - len(shown):,} with fewer names; --json prints all")
