"""Types of arguments and options that check or convert what the user wrote."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from sequentia._files import naming
from sequentia.errors import SequentiaError

from .streams import STANDARD, standard_input


class NonEmptyPath(click.Path):
    """A path. The empty string, which an unset shell variable gives, is an error."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not value:
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class Texts(click.ParamType):  # type: ignore[type-arg]  # is not generic in earlier versions
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


class Column(click.ParamType):  # type: ignore[type-arg]  # is not generic in earlier versions
    """A column. The empty string, which an unset shell variable gives, is an error."""

    name = "column"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the column."""
        if not value:
            self.fail("the column is empty", param, ctx)
        return value


@contextmanager
def copy_of_standard_input() -> Iterator[Path]:
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
            message = str(error).replace(f"train {path}", f"train {STANDARD}").replace(str(path), "standard input")
            error.args = (message, *error.args[1:])
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
