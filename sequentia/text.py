"""Reading items from UTF-8 text, one per line, without the stray characters that editors and spreadsheets add.

docs/lists.md says which characters are removed, kept or refused.
"""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

MAX_LINE_BYTES: Final = 1 << 16
_BYTE_ORDER_MARK: Final = "\ufeff"

# Invisible characters that no word needs: soft hyphen; zero-width space, word joiner, invisible operators; directional
# marks, embeddings and isolates; byte-order mark; interlinear annotation. The zero-width joiner and non-joiner are not
# included, because Persian, Indic scripts and emoji need them.
_INVISIBLE: Final = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")

# Control characters, line and paragraph separators, surrogates, replacement characters and noncharacters.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffc-\uffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)
_ORDINARY_WHITE_SPACE: Final = " \t\r\n"
_MOST_LISTED: Final = 3
_HINTS: Final = {
    "\0": "NUL: if the file is UTF-16, save it as UTF-8",
    "\t": "a tab: if the file is a table, keep only the column with the items",
    "\n": "a line feed",
    "\r": "a carriage return",
    "\ufffd": "U+FFFD, which replaces a lost character: correct the line",
}


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: ``1 name``, ``1,000 names``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class TextError(ValueError):
    """A line that cannot be read; the message does not name the file, so the caller adds it.

    Attributes:
        line: its 1-based number, or that of the row of a Parquet file, if known.
        byte: 0-based offset of the offending byte in the file, if known.
    """

    def __init__(self, message: str, line: int | None = None, byte: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.byte = byte


class RemovedCharacters:
    """Counts of the characters removed from the items of a file.

    Attributes:
        counts: number of removals by character.
        first_line: 1-based number of the first line that lost a character; 0 if none did.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first_line = 0

    def add(self, characters: str, line: int) -> None:
        """Count characters removed from a line."""
        if characters:
            self.first_line = self.first_line or line
            self.counts.update(characters)

    def warn(self, source: object) -> None:
        """Issue one warning with the counts if anything was removed."""
        if not self.counts:
            return
        total = self.counts.total()
        kinds = [f"{count:,} x {describe(character)}" for character, count in self.counts.most_common(_MOST_LISTED)]
        kinds += ["…"] if len(self.counts) > _MOST_LISTED else []
        warnings.warn(
            f"{source}: removed {counted(total, 'invisible character')} ({', '.join(kinds)}), "
            f"the first in line {self.first_line:,}",
            stacklevel=2,
        )


def read_lines(file: BinaryIO, on_line: Callable[[bytes], object] = lambda _line: None) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and its text; skip a byte-order mark at the start of the file.

    Args:
        file: UTF-8 text.
        on_line: called with the bytes of each line.

    Raises:
        TextError: if a line is not UTF-8 or is longer than 65,536 bytes.
    """
    start = number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        on_line(line)
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise TextError(f"line {number} is longer than {MAX_LINE_BYTES:,} bytes", number)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            byte = start + error.start
            reason = f"byte {byte} (line {number}) is not UTF-8: {error.reason}; save the file as UTF-8"
            raise TextError(reason, number, byte) from error
        start += len(line)
        yield number, text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text


def clean(text: str, line: int, removed: RemovedCharacters) -> str:
    """Return a text as :func:`normalise` does.

    Args:
        text: a line, or a cell of a table.
        line: its number, for errors.
        removed: counts the removed characters, except ordinary white space.

    Raises:
        TextError: if the text contains a character that is not allowed in a name.
    """
    item = normalise(text, line, removed)
    character = None if item.isascii() and item.isprintable() else first_forbidden(item)
    if character is not None:
        raise TextError(f"line {line} contains {_HINTS.get(character) or describe(character)}", line)
    return item


def normalise(text: str, line: int, removed: RemovedCharacters) -> str:
    """Return a text in NFC, without invisible characters or surrounding white space.

    Args:
        text: a line, or a cell of a table.
        line: its number.
        removed: counts the removed characters, except ordinary white space.
    """
    if text.isascii() and (item := text.strip(_ORDINARY_WHITE_SPACE)).isprintable():
        return item
    visible = _INVISIBLE.sub("", text)
    if len(visible) < len(text):
        removed.add("".join(_INVISIBLE.findall(text)), line)
    item = visible.strip()
    if len(item) < len(visible):
        ends = visible.partition(item)[::2] if item else (visible, "")
        removed.add("".join(ends).translate(dict.fromkeys(map(ord, _ORDINARY_WHITE_SPACE))), line)
    return unicodedata.normalize("NFC", item)


def first_forbidden(text: str) -> str | None:
    """Return the first character of a text that is not allowed in a name, or None.

    Such characters end a line, control a terminal or do not represent text.
    """
    found = _FORBIDDEN.search(text)
    return None if found is None else found[0]


def describe(character: str) -> str:
    """Return the code point and the name of a character."""
    fallback = "a control character" if unicodedata.category(character) == "Cc" else "not a character"
    name = unicodedata.name(character, fallback)
    return f"U+{ord(character):04X} ({name.lower()})"
