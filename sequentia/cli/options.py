"""Options and arguments that several commands share."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import click

from sequentia._files import naming
from sequentia.errors import SequentiaError

from .streams import STANDARD, standard_input

_MODEL_HELP = (
    "A model folder, the name of a bundled model, or a repository on the hub: owner/name or owner/name@revision. "
    "[default: $SEQUENTIA_MODEL, else names]"
)


class _NonEmptyPath(click.Path):
    """A path. The empty string, which an unset shell variable gives, is an error."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not value:
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class InputFile(_NonEmptyPath):
    """A file to read. ``-`` is standard input, copied to a temporary file while the command runs."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; for standard input, the path of the copy."""
        if value == STANDARD and ctx is not None:
            return ctx.with_resource(_copy_of_standard_input())
        return super().convert(value, param, ctx)


@contextmanager
def _copy_of_standard_input() -> Iterator[Path]:
    """Copy standard input to a file, which errors and warnings call "standard input"."""
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


def seed_of_word(word: str) -> int | str:
    """Return the seed that a word on the command line means: a whole number if it is all digits, else itself.

    The empty word, which an unset shell variable gives, is an error, and so is a word that looks like another number.
    """
    if not word:
        raise click.BadParameter("the seed is empty")
    if word.isascii() and word.isdecimal():
        return int(word)
    if re.fullmatch(r"[+-]?[\d_.]*\d[\d_.]*", word):
        raise click.BadParameter(f"{word!r} looks like a number, but a seed is a whole number from 0 on, or a text")
    return word


class StreamOrFile(_NonEmptyPath):
    """A file to read or write. ``-``, which means a standard stream, stays a string."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or ``-`` for a standard stream."""
        return value if value == STANDARD else super().convert(value, param, ctx)


class _Texts(click.ParamType):  # type: ignore[type-arg]  # is not generic in earlier versions
    """A text, or after ``@`` a file of texts, one per line; a text that begins with ``@`` is written with two."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the texts as a list."""
        if not isinstance(value, str):
            return value
        if not value.startswith("@"):
            return [value]
        if value.startswith("@@"):
            return [value[1:]]
        from sequentia.text import RemovedCharacters, TextError, clean, read_lines

        path = Path(value[1:])
        try:
            with path.open("rb") as file:
                removed = RemovedCharacters()
                texts = [clean(text, number, removed) for number, text in read_lines(file)]
        except OSError as error:
            self.fail(f"{path}: {error.strerror or error}", param, ctx)
        except TextError as error:
            self.fail(f"{path}: {error}", param, ctx)
        removed.warn(path)
        return [text for text in texts if text]


def texts_option(name: str, metavar: str, text: str) -> Callable[..., Any]:
    """Add a repeatable option for texts, given one by one or in files; the command receives a list of all."""
    return click.option(
        name,
        multiple=True,
        type=_Texts(),
        metavar=metavar,
        callback=lambda _context, _option, lists: list(chain.from_iterable(lists)),
        help=f"{text}; repeatable. @FILE: those in a file, one per line.",
    )


class OutputFolder(_NonEmptyPath):
    """A folder to write; ``-`` is an error."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of the folder."""
        if value == STANDARD:
            self.fail("expected a folder, but - is standard output; for a folder named -, write ./-", param, ctx)
        return super().convert(value, param, ctx)


def model_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--model``."""
    return click.option("--model", "-m", metavar="MODEL", help=_MODEL_HELP)(command)


def corpus_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument CORPUS."""
    return click.argument("corpus", type=InputFile())(command)


def address_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--address``."""
    text = "Ray cluster to use: host:port or auto.  [default: start one on this machine]"
    return click.option("--address", help=text)(command)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--engine`` and ``--address``."""
    engine = click.option(
        "--engine", type=click.Choice(["ray"]), help="Use all cores of this machine or a Ray cluster."
    )
    return engine(address_option(command))


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--token``."""
    return click.option("--token", help="Access token for the hub.  [default: $HF_TOKEN, or the stored one]")(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--recipe``, ``--set``, ``--seed`` and ``--device``."""
    for option in (
        click.option("--device", default="auto", show_default=True, help="Device to train on: auto, cpu, cuda …"),
        click.option("--seed", type=int, help="Random seed; short for --set seed=…"),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe; repeatable."
        ),
        click.option("--recipe", "-r", help="A recipe: its name, or the path of a .toml file.  [default: names]"),
    ):
        command = option(command)
    return command


def with_seed(overrides: tuple[str, ...], seed: int | None) -> tuple[str, ...]:
    """Return a recipe's overrides, with ``--seed`` added if it is given."""
    return overrides if seed is None else (*overrides, f"seed={seed}")
