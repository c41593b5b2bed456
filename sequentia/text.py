"""A list of items as people have it: a UTF-8 file, one item a line, with whatever editors and spreadsheets put in.

docs/lists.md says which characters are left out, which stay, and which are refused.
"""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

MAX_LINE_BYTES: Final = 1 << 16
_BYTE_ORDER_MARK: Final = "\ufeff"

# Characters that nobody sees and that no word needs: soft hyphen; zero-width space, word joiner, invisible operators;
# directional marks, embeddings and isolates; byte-order mark; interlinear annotation. The zero-width joiner and
# non-joiner are not among them: Persian, the scripts of India and emoji need them.
_INVISIBLE: Final = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")

# Control characters, line and paragraph separators, surrogates, the signs of a character that was lost, and code
# points that are no characters.
_REFUSED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffc-\uffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)
_ORDINARY: Final = " \t\r\n"
_SHOWN: Final = 3
_KNOWN: Final = {
    "\0": "NUL: if the file is UTF-16, save it as UTF-8",
    "\t": "a tab: if the file is a table, keep the column of the items alone",
    "\n": "a line feed",
    "\r": "a carriage return",
    "\ufffd": "U+FFFD, which stands for a character that was lost: mend the line",
}


class TextError(ValueError):
    """A line that cannot be read; ``str(error)`` says what is wrong with it, and the caller which file it is in.

    Attributes:
        line: its 1-based number.
        byte: 0-based offset of the offending byte in the file, where there is one.
    """

    def __init__(self, message: str, line: int, byte: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.byte = byte


class Stripped:
    """Counts the characters that were left out of a file's items.

    Attributes:
        counts: how many of each character.
        first_line: the 1-based number of the first line that one was left out of; 0 if there is none.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first_line = 0

    def add(self, characters: str, line: int) -> None:
        """Count characters of a line."""
        if characters:
            self.first_line = self.first_line or line
            self.counts.update(characters)

    def warn(self, source: object) -> None:
        """Warn once, with the counts, if anything was left out."""
        if not self.counts:
            return
        total = self.counts.total()
        kinds = [f"{count:,} x {_described(character)}" for character, count in self.counts.most_common(_SHOWN)]
        kinds += ["…"] if len(self.counts) > _SHOWN else []
        warnings.warn(
            f"{source}: left out {total:,} invisible character{'' if total == 1 else 's'} ({', '.join(kinds)}), "
            f"the first in line {self.first_line:,}",
            stacklevel=2,
        )


def read_lines(file: BinaryIO, see: Callable[[bytes], object] = lambda _line: None) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and its text, without a byte-order mark at the start of the file.

    Args:
        file: UTF-8 text.
        see: called with the bytes of each line.

    Raises:
        TextError: if a line is not UTF-8, or longer than 65,536 bytes.
    """
    start = number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        see(line)
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


def clean(text: str, line: int, stripped: Stripped) -> str:
    """Return an item as it counts: in NFC, without invisible characters and without white space around it.

    Args:
        text: a line, or a cell of a table.
        line: its number, for errors.
        stripped: counts what is left out, but for ordinary white space.

    Raises:
        TextError: if there is a character in it that a name cannot hold.
    """
    if text.isascii() and (item := text.strip(_ORDINARY)).isprintable():
        return item
    visible = _INVISIBLE.sub("", text)
    if len(visible) < len(text):
        stripped.add("".join(_INVISIBLE.findall(text)), line)
    item = visible.strip()
    if len(item) < len(visible):
        ends = visible.partition(item)[::2] if item else (visible, "")
        stripped.add("".join(ends).translate(dict.fromkeys(map(ord, _ORDINARY))), line)
    item = unicodedata.normalize("NFC", item)
    character = refused(item)
    if character is not None:
        raise TextError(f"line {line} holds {_KNOWN.get(character) or _described(character)}", line)
    return item


def refused(text: str) -> str | None:
    """Return the first character of a text that no name may hold, or None.

    Such a character would end a line, steer a terminal, or stand for no character at all.
    """
    found = _REFUSED.search(text)
    return None if found is None else found[0]


def _described(character: str) -> str:
    nameless = "a control character" if unicodedata.category(character) == "Cc" else "no character"
    name = unicodedata.name(character, nameless)
    return f"U+{ord(character):04X} ({name.lower()})"
