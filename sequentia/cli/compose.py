"""``sequentia compose``: invent texts of several parts, such as full names."""

from pathlib import Path
from typing import Any

import click

from .naming import case_option, conditions_of, seed_option
from .options import StreamOrFile, json_option
from .output import format_for, writer_to

_FORM = "FIELD=MODEL[:CONDITION=VALUE]"


def _fields(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the options of each field."""
    from sequentia.resolve import local_folder

    fields: dict[str, dict[str, Any]] = {}
    for text in texts:
        field, equals, rest = text.partition("=")
        model, *conditions = rest.split(":")
        advice = f"{text!r}: give it as {_FORM}, such as first=people:sex=f"
        while conditions and "=" not in conditions[0]:
            model += ":" + conditions.pop(0)  # as after the letter of a drive
        if not field or not equals or not model or (":" in model and local_folder(model) is None):
            raise click.BadParameter(advice, context, option)
        if field in fields:
            raise click.BadParameter(f"{field} is given twice", context, option)
        fields[field] = {"model": model, "where": conditions_of(conditions, context, option, advice)}
    return fields


@click.command()
@click.argument("template")
@click.argument("n", type=click.IntRange(min=0), default=10, metavar="[N]")
@click.option(
    "--field",
    "-f",
    "fields",
    multiple=True,
    required=True,
    metavar=_FORM,
    callback=_fields,
    help="The model that a field's names are of, and what they are to be, such as first=people:sex=f:decade=1920; "
    "once for each field.",
)
@case_option
@click.option("--unique", is_flag=True, help="Print no text twice.")
@seed_option
@click.option(
    "--output",
    "-o",
    type=StreamOrFile(),
    help="File to write, in the format of its suffix: .txt, .csv, .json, .jsonl or .parquet.",
)
@json_option
def compose(
    template: str,
    n: int,
    fields: dict[str, dict[str, Any]],
    case: str | None,
    unique: bool,
    seed: int | str | None,
    output: Path | str | None,
    as_json: bool,
) -> None:
    """Print N texts of several parts (10 by default), one per line.

    TEMPLATE has the name of a field in braces where its names are to stand:

        sequentia compose '{first} {last}' --field first=people:sex=f --field last=surnames --case title

    Formats other than lines have a column for each field, too.
    """
    from sequentia.composing import Composition
    from sequentia.output import Lines
    from sequentia.vocabulary import Vocabulary

    kind = format_for(output, as_json=as_json)
    with_case = {name: {**options, "case": case} for name, options in fields.items()}
    composition = Composition.of(template, with_case, "--field {}=names")
    others = [] if kind is Lines else composition.header[1:]
    rows = composition.rows(n, seed=seed, unique=unique)
    with writer_to(kind, output, Vocabulary(()), scored=False, others=others, total=n) as (writer, report):
        for columns in rows:
            texts = composition.texts(columns)
            writer.write_texts(texts, None, *(columns if others else []))
            report(len(texts))
