"""Options and arguments that several commands share."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from .parameters import Column, NonEmptyPath, copy_of_standard_input
from .streams import STANDARD

_MODEL_HELP = (
    "A model folder, the name of a bundled model, or a repository on the hub: owner/name or owner/name@revision. "
    "[default: $SEQUENTIA_MODEL, else names]"
)
_RECIPE_HELP = "A recipe: its name, or the path of a .toml file.  [default: auto; find-lr and mix: names]"


class InputFile(NonEmptyPath):
    """A file to read. ``-`` is standard input, copied to a temporary file while the command runs."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; for standard input, the path of the copy."""
        if value == STANDARD and ctx is not None:
            return ctx.with_resource(copy_of_standard_input())
        return super().convert(value, param, ctx)


class StreamOrFile(NonEmptyPath):
    """A file to read or write. ``-``, which means a standard stream, stays a string."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or ``-`` for a standard stream."""
        return value if value == STANDARD else super().convert(value, param, ctx)


class OutputFolder(NonEmptyPath):
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


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--column``, ``--condition``, ``--weight`` and ``--split-column``.

    The command receives one argument ``columns``, a :class:`sequentia.columns.ColumnRequest`, or None without options.
    """

    @wraps(command)
    def with_columns(
        *arguments: Any,
        column: str | None,
        conditions: tuple[str, ...],
        weight: str | None,
        split_column: str | None,
        **options: Any,
    ) -> Any:
        from sequentia.columns import columns_of

        return command(*arguments, columns=columns_of(column, conditions, weight, split_column), **options)

    decorated: Callable[..., Any] = with_columns
    for option in (
        click.option(
            "--split-column",
            type=Column(),
            help="Column of a table that says train, dev (or val) or test.",
        ),
        click.option("--weight", type=Column(), help="Column of a table that says how often an item counts."),
        click.option(
            "--condition",
            "conditions",
            multiple=True,
            type=Column(),
            metavar="[NAME=]COLUMN",
            help="Column of a table whose values the model learns to tell apart; repeatable.",
        ),
        click.option(
            "--column",
            type=Column(),
            help="Column of a table that holds the items: its name, or its position from 1 if the table has no header. "
            "0: each line is an item.  [default: the only text column]",
        ),
    ):
        decorated = option(decorated)
    return decorated


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
    """Add ``--recipe``, ``--set``, ``--symbols``, ``--seed`` and ``--device``.

    The command receives what ``--symbols`` and ``--seed`` say among the overrides.
    """

    @wraps(command)
    def with_overrides(
        *arguments: Any, overrides: tuple[str, ...], symbols: str | None, seed: int | None, **options: Any
    ) -> Any:
        short = {"symbols": symbols, "seed": seed}
        overrides += tuple(f"{key}={value}" for key, value in short.items() if value is not None)
        return command(*arguments, overrides=overrides, **options)

    decorated: Callable[..., Any] = with_overrides
    for option in (
        click.option("--device", default="auto", show_default=True, help="Device to train on: auto, cpu, cuda …"),
        click.option("--seed", type=int, help="Random seed; short for --set seed=…"),
        click.option(
            "--symbols",
            type=click.Choice(["characters", "words", "auto"]),
            help="What the model learns one by one; short for --set symbols=…",
        ),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a recipe's key; repeatable."
        ),
        click.option("--recipe", "-r", help=_RECIPE_HELP),
    ):
        decorated = option(decorated)
    return decorated
