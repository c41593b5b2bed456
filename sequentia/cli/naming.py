"""Options that say which names are wanted, and how they are shown."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import click

from .parameters import Texts, seed_of_word


def where_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--where``; the command receives a dict, or None without any."""
    return click.option(
        "--where",
        multiple=True,
        metavar="CONDITION=VALUE",
        callback=_pairs,
        help="What the names are to be, such as sex=f; repeatable. sequentia info lists a model's conditions.",
    )(command)


def _pairs(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str] | None:
    return conditions_of(texts, context, option)


def conditions_of(
    texts: Iterable[str], context: click.Context, option: click.Parameter, advice: str | None = None
) -> dict[str, str] | None:
    """Return texts of the form CONDITION=VALUE as a dict, or None if there are none.

    Args:
        texts: the texts.
        context: of the command.
        option: the option that they belong to.
        advice: the message for a text of another form.

    Raises:
        click.BadParameter: if a text has another form, or gives a condition another value than one before.
    """
    where: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(advice or f"{text!r}: give it as CONDITION=VALUE", context, option)
        if where.get(name, value) != value:
            raise click.BadParameter(f"{name} is given twice, as {where[name]!r} and {value!r}", context, option)
        where[name] = value
    return where or None


def texts_option(name: str, metavar: str, text: str) -> Callable[..., Any]:
    """Add a repeatable option for texts, given one by one or in files; the command receives a list of all."""
    return click.option(
        name,
        multiple=True,
        type=Texts(),
        metavar=metavar,
        callback=lambda _context, _option, lists: list(chain.from_iterable(lists)),
        help=f"{text}; repeatable. @FILE: those in a file, one per line.",
    )


def case_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--case``."""
    return click.option(
        "--case",
        type=click.Choice(["lower", "title", "upper"]),
        help="Letter case of the output; options then take text in any case.  [default: the model's own]",
    )(command)


def seed_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--seed`` for names."""
    return click.option(
        "--seed",
        type=seed_of_word,
        metavar="SEED",
        help="A whole number from 0 on, or any other text, not empty. The same seed gives the same names everywhere.",
    )(command)
