"""Names of several parts: each field of a template is a stream of names of its own."""

import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, Final

from .case import check_case, in_case
from .errors import GenerationError, OptionError, SequentiaError
from .loaded import loaded
from .options import SamplingOptions, check_boolean, check_int, check_names, seed_number
from .output import NAME
from .sampling import seed_of

if TYPE_CHECKING:
    import pyarrow as pa

Columns = list[list[str]]
"""The names of each field, in the order of the fields: as many in each."""

_ROWS: Final = 1 << 14  # at once
_PATIENCE: Final = 10_000
_FOR_ALL: Final = ("n", "seed", "unique")


def compose(
    template: str, /, n: int = 1, *, seed: int | str | None = None, unique: bool = False, **fields: Mapping[str, Any]
) -> list[str]:
    """Invent texts of several parts, such as full names.

    With a seed, each field is a stream of its own, whose seed is made of that seed and the field's name. So another
    field changes no other, and ``compose(10)`` is the start of ``compose(1000)``.

    Args:
        template: the text, with the name of a field in braces where its names are to stand, as in
            ``"{first} {last}"``; ``{{`` and ``}}`` are braces.
        n: number of texts.
        seed: as for :func:`sequentia.generate`.
        unique: return no text twice. A field of its own may be ``unique`` too.
        fields: for each field of the template, a dict of the options of :func:`sequentia.generate`, ``model`` included,
            but for ``n`` and ``seed``, such as ``first=dict(model="people", where={"sex": "f"})``.

    Raises:
        OptionError: if the template is malformed or does not suit the fields, or an option is wrong.
        GenerationError: as for :func:`sequentia.generate`; ``error.names`` is the list of texts found.
    """
    texts: list[str] = []
    composition = _composition(template, fields)
    with _found(texts):
        for columns in composition.rows(n, seed=seed, unique=unique):
            texts += composition.texts(columns)
    return texts


def compose_arrow(
    template: str, /, n: int = 1, *, seed: int | str | None = None, unique: bool = False, **fields: Mapping[str, Any]
) -> "pa.Table":
    """Return the texts of :func:`compose` as an Arrow table, in the column ``name``, and a column for each field.

    Raises:
        OptionError: as for :func:`compose`, or if a field is called ``name``.
        GenerationError: as for :func:`compose`.
        MissingExtraError: if pyarrow is missing; the extra ``[arrow]`` installs it.
    """
    from .arrow import table_of_texts

    composition = _composition(template, fields)
    found: Columns = [[] for _ in composition.header]
    with _found(found[0]):
        for columns in composition.rows(n, seed=seed, unique=unique):
            for column, names in zip(found, [composition.texts(columns), *columns], strict=True):
                column.extend(names)
    return table_of_texts(composition.header, found)


@dataclass(frozen=True)
class Composition:
    """A checked template and its fields.

    Attributes:
        parts: what stands one after the other: texts, and indices of fields.
        fields: the options of each field, in the order of the template.
    """

    parts: tuple[str | int, ...]
    fields: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls, template: str, fields: Mapping[str, Mapping[str, Any]], given: str = "{}=dict(model='names')"
    ) -> "Composition":
        """Check a template and its fields.

        Args:
            template: the text.
            fields: the options of each field.
            given: for messages, how the model of a field is given; ``{}`` stands for the field.

        Raises:
            OptionError: if the template is malformed or does not suit the fields.
        """
        parts: list[str | int] = []
        names: list[str] = []
        for text, name in _parsed(template):
            parts += [text] if text else []
            if name is not None:
                names += [name] if name not in names else []
                parts.append(names.index(name))
        missing = next((name for name in names if name not in fields), None)
        if missing is not None:
            raise _error(
                f"nothing says what {{{missing}}} is: give it a model, as by {given.format(missing)}", template
            )
        unused = next((name for name in fields if name not in names), None)
        if unused is not None or not names:
            raise _error(f"{template!r} contains no {{{unused or 'field'}}}", template)
        for name, options in fields.items():
            if not isinstance(options, Mapping):
                raise OptionError(
                    f"field {name!r} must be a dict of options, such as dict(model='names'), not {options!r}",
                    option=name,
                    value=options,
                )
            if "seed" in options:
                raise OptionError(
                    f"field {name!r}: its seed is made of that of all and its name; leave it out",
                    option=name,
                    value=options,
                )
            if "n" in options:
                raise OptionError(
                    f"field {name!r}: it has as many names as there are texts; leave out n", option=name, value=options
                )
        return cls(tuple(parts), {name: fields[name] for name in names})

    @property
    def header(self) -> list[str]:
        """The names of the columns of a table: that of the texts, and the fields.

        Raises:
            OptionError: if a field has the name of the column of texts.
        """
        if NAME in self.fields:
            raise OptionError(
                f"a table has the whole text in the column {NAME!r}: give the field {{{NAME}}} another name",
                option=NAME,
                value=NAME,
            )
        return [NAME, *self.fields]

    def texts(self, columns: Sequence[Sequence[str]]) -> list[str]:
        """Return the text of each row."""
        parts = (repeat(part) if isinstance(part, str) else columns[part] for part in self.parts)
        return list(map("".join, zip(*parts, strict=False)))

    def rows(self, n: int, *, seed: int | str | None = None, unique: bool = False) -> Iterator[Columns]:
        """Return the names of the first ``n`` rows, in batches that are drawn on demand."""
        n, number, unique = check_int("n", n, least=0), seed_number(seed), check_boolean("unique", unique)
        streams = [_names(name, options, number, None if unique else n) for name, options in self.fields.items()]
        rows = zip(*streams, strict=False)
        return self._batches(islice(self._without_repeats(rows), n) if unique else rows)

    @staticmethod
    def _batches(rows: Iterator[tuple[str, ...]]) -> Iterator[Columns]:
        """Yield rows in batches, also those before an error."""
        error: GenerationError | None = None
        while error is None:
            batch: list[tuple[str, ...]] = []
            try:
                for row in islice(rows, _ROWS):
                    batch.append(row)  # noqa: PERF402 - an error keeps the rows before it
            except GenerationError as raised:
                error = raised
            if batch:
                yield [list(column) for column in zip(*batch, strict=True)]
            elif error is None:
                return
        raise error

    def _without_repeats(self, rows: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
        seen: set[str] = set()
        repeats = 0
        for row in rows:
            (text,) = self.texts([[name] for name in row])
            if text not in seen:
                seen.add(text)
                repeats = 0
                yield row
                continue
            repeats += 1
            if repeats > _PATIENCE + len(seen):
                raise GenerationError(
                    f"unique: gave up after {repeats:,} repeats in a row; ask for fewer texts or loosen the options",
                    candidates=len(seen) + repeats,
                    accepted=len(seen),
                    rejected={"unique": repeats},
                )


def _composition(template: str, fields: Mapping[str, Mapping[str, Any]]) -> Composition:
    """Check a template and its fields, which are keywords, so that a misplaced option looks like a field.

    Raises:
        OptionError: as :meth:`Composition.of`, or if a keyword is no field but an option of fields.
    """
    names = [name for _, name in _parsed(template) if name is not None]
    options = {"model", *SamplingOptions.__annotations__} - {*names}
    misplaced = next((name for name in fields if name in options), None)
    if misplaced is not None:
        value, field = fields[misplaced], names[0] if names else "field"
        raise OptionError(
            f"{misplaced} is an option of a field: put it into the field's dict, as in "
            f"{field}=dict({misplaced}={value!r})",
            option=misplaced,
            value=value,
        )
    return Composition.of(template, fields)


def _parsed(template: str) -> Iterator[tuple[str, str | None]]:
    """Yield each text of a template and the name of the field after it, if there is one; nothing is evaluated."""
    if not isinstance(template, str):
        raise _error(f"it must be a string, not {template!r}", template)
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise _error(f"{template!r}: {error}; write {{{{ and }}}} for braces", template) from None
    for text, name, form, conversion in parts:
        if name is not None:
            if form or conversion or not name.isidentifier():
                shown = "{" + name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "") + "}"
                raise _error(f"{shown} is not the name of a field in braces, such as {{first}}", template)
            if name in _FOR_ALL:
                raise _error(f"{{{name}}} cannot be a field, because {name} is an option", template)
        yield text, name


def _names(field: str, options: Mapping[str, Any], seed: int, n: int | None) -> Iterator[str]:
    """Return the names of a field: ``n``, or endlessly many."""
    said = {option: value for option, value in options.items() if option != "model"}
    with _naming(field):
        check_names(said, SamplingOptions, refused=("seed",))
        model = loaded(options.get("model"))
        options = {**said, "seed": seed_of(f"{seed}:{field}")}
        if n is None:
            return _named(field, model.stream(**options))
        batches, case = model.batches(n, **options), check_case(options.get("case"))
    return _named(field, chain.from_iterable(in_case(model.vocabulary.decode(batch), case) for batch in batches))


def _named(field: str, names: Iterator[str]) -> Iterator[str]:
    with _naming(field):
        yield from names


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Say in errors which field they are about."""
    try:
        yield
    except (SequentiaError, TypeError) as error:
        error.args = (f"field {field!r}: {error}", *error.args[1:])
        raise


@contextmanager
def _found(texts: list[str]) -> Iterator[None]:
    """Give a :class:`GenerationError` the texts that were found before it."""
    try:
        yield
    except GenerationError as error:
        raise error.with_names(texts) from error.__cause__


def _error(message: str, template: object) -> OptionError:
    return OptionError(f"template: {message}", option="template", value=template)
