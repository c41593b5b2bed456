"""``sequentia push`` and ``sequentia pull``: publish a model on the hub, and copy one from there."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .options import OutputFolder, token_option
from .streams import notice


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("repo_id")
@click.option("--private/--public", default=None, help="Visibility of a new repository.  [default: the hub's]")
@click.option("--revision", help="A branch, created if it does not exist.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead.")
@click.option("--commit-message", "-m", help="Title of the commit.")
@click.option("--license", help="For the card: mit, cc-by-4.0 …")
@click.option("--language", multiple=True, help="For the card, an ISO 639 code; repeatable.")
@click.option("--dataset", "datasets", multiple=True, help="For the card, a dataset on the hub; repeatable.")
@click.option("--page", is_flag=True, help="Add index.html, a page that invents names in a browser.")
@token_option
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
def push(
    folder: Path,
    repo_id: str,
    license: str | None,  # noqa: A002 - the hub's own word
    language: tuple[str, ...],
    datasets: tuple[str, ...],
    page: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Publish the model in DIR as the repository REPO_ID, owner/name, of the hub, and print its URL.

    The command checks the files, compares the graph with the weights, and writes a new card. It makes one commit, or
    none if nothing has changed. License, language and datasets stay as the card has them unless you give new ones.
    """
    from huggingface_hub.utils import disable_progress_bars

    from sequentia.export import CardFacts, assemble, check, publish

    if not getattr(sys.stderr, "isatty", bool)():
        disable_progress_bars()

    def announce(files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            notice(f"{len(data):>12,}  {path}")
        notice(f"{sum(map(len, files.values())):>12,}  bytes in all, for {repo_id}")

    facts = CardFacts.from_values(license, language, datasets)
    if dry_run:
        announce(assemble(check(folder), repo_id, facts, page=page))
        return
    published = publish(folder, repo_id, facts, page=page, announce=announce, **options)
    notice(f"Commit {published.commit}." if published.new else "Nothing has changed: no new commit.")
    click.echo(published.url)


@click.command()
@click.argument("repo_id")
@click.option("--output", "-o", type=OutputFolder(), required=True, help="The folder to write.")
@click.option("--revision", help="A branch, a tag or the hash of a commit.  [default: main]")
@click.option("--force-download", is_flag=True, help="Download also files that are in the cache.")
@token_option
def pull(repo_id: str, output: Path, **options: Any) -> None:
    """Copy the model of the repository REPO_ID of the hub, owner/name, perhaps with @revision, into a folder."""
    from sequentia import artifact
    from sequentia.hub import fetch
    from sequentia.model import SequenceModel

    SequenceModel(artifact.read(fetch(repo_id, pictures=True, **options))).save_pretrained(output)
    notice(f"Done. Try: sequentia generate --model {shlex.quote(str(output))}")
