"""Options and arguments that several commands share."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from sequentia._files import naming
from sequentia.errors import SequentiaError

from .streams import STANDARD, standard_input

_MODEL_HELP = (
    "A folder, the name of a bundled model, or owner/name of a repository on the hub, perhaps with @revision. "
    "[default: $SEQUENTIA_MODEL, else names]"
)


class _GivenPath(click.Path):
    """A path, which a shell's empty variable is not."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not value:
            self.fail("its name is empty", param, ctx)
        return super().convert(value, param, ctx)


class InputFile(_GivenPath):
    """A file to read; ``-`` is standard input, kept in a file while the command runs."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, of a copy if it is standard input."""
        if value == STANDARD and ctx is not None:
            return ctx.with_resource(_kept_standard_input())
        return super().convert(value, param, ctx)


@contextmanager
def _kept_standard_input() -> Iterator[Path]:
    """Copy standard input to a file, and call it by its name in errors."""
    import shutil
    import tempfile

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


class StreamOrFile(_GivenPath):
    """A file to read or write; ``-``, which stands for a standard stream, stays a string."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the string for a standard stream."""
        return value if value == STANDARD else super().convert(value, param, ctx)


class OutputFolder(_GivenPath):
    """A folder to write, which standard output cannot be."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of a folder."""
        if value == STANDARD:
            self.fail("this is a folder, and - is standard output; for a folder of that name, write ./-", param, ctx)
        return super().convert(value, param, ctx)


def model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--model``."""
    return click.option("--model", "-m", metavar="MODEL", help=_MODEL_HELP)(command)


def corpus_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument CORPUS."""
    return click.argument("corpus", type=InputFile())(command)


def address_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--address``."""
    text = "Of a Ray cluster, host:port or auto.  [default: one is started here]"
    return click.option("--address", help=text)(command)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--engine`` and ``--address``."""
    engine = click.option("--engine", type=click.Choice(["ray"]), help="Use all cores of a cluster.")
    return engine(address_option(command))


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--token``."""
    return click.option("--token", help="Of the hub.  [default: the stored one, or $HF_TOKEN]")(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--recipe``, ``--set``, ``--seed`` and ``--device``."""
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …"),
        click.option("--seed", type=int, help="Short for --set seed=…"),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key; repeatable."),
        click.option("--recipe", "-r", help="A recipe's name, or the path of a .toml file.  [default: names]"),
    ):
        command = option(command)
    return command


def with_seed(overrides: tuple[str, ...], seed: int | None) -> tuple[str, ...]:
    """Return the overrides of a recipe, ``--seed`` among them."""
    return overrides if seed is None else (*overrides, f"seed={seed}")
