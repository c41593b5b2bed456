"""``sequentia page``: write a web page that invents a model's names."""

from pathlib import Path

import click

from .options import StreamOrFile
from .streams import STANDARD, notice


@click.command()
@click.argument("model", required=False)
@click.option("--output", "-o", type=StreamOrFile(), required=True, help="The file to write; - is standard output.")
@click.option("--title", help="Its headline.  [default: the model's name]")
def page(model: str | None, output: Path | str, title: str | None) -> None:
    """Write one file that invents names in any browser, with MODEL inside and without any network.

    MODEL is a bundled model, a folder, or a repository on the hub; by default, names.
    """
    from sequentia import artifact
    from sequentia._files import write_file
    from sequentia.page import page as page_of
    from sequentia.resolve import locate

    text = page_of(artifact.read(locate(model)), title)
    if output == STANDARD:
        click.echo(text, nl=False)
        return
    data = text.encode()
    write_file(Path(output), data)
    notice(f"Done: {output} has {len(data):,} bytes. Open it in a browser.")
