"""Symbols and their ids.

A symbol is one Unicode code point of NFC text, so a flag or an emoji with a skin tone is two symbols. Id 0 is the
boundary, which marks the start and the end of a name. It is not a symbol, so the alphabet may contain ".", spaces,
apostrophes or anything else.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .errors import VocabularyError
from .text import first_forbidden

BOUNDARY: Final = 0

Names = NDArray[np.unsignedinteger]
"""Ids of names, one name per row, [n, longest], padded with boundaries."""

_FIRST_COMBINING_MARK: Final = "\u0300"


class Vocabulary:
    """An ordered alphabet: symbol ``symbols[i]`` has the id ``i + 1``.

    Args:
        symbols: distinct single code points, in id order.

    Raises:
        VocabularyError: if a symbol is repeated, is not one code point, or is not allowed in a name, such as a control
            character or a line break; see :func:`sequentia.text.first_forbidden`.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols: tuple[str, ...] = tuple(symbols)
        self._ids: dict[str, int] = {}
        for position, symbol in enumerate(self.symbols):
            if len(symbol) != 1 or first_forbidden(symbol):
                raise VocabularyError(
                    f"symbol {position} of the vocabulary is {symbol!r}, not one code point that is allowed in a name",
                    symbol=symbol,
                    position=position,
                )
            if symbol in self._ids:
                raise VocabularyError(f"the vocabulary contains {symbol!r} twice", symbol=symbol, position=position)
            self._ids[symbol] = position + 1
        # The boundary's text is empty, because NumPy strips the NULs that pad its strings; `decode` relies on it.
        self._table: NDArray[np.str_] = np.array(["", *self.symbols], dtype="<U1")

    @property
    def size(self) -> int:
        """The number of ids: the symbols and the boundary."""
        return len(self.symbols) + 1

    @property
    def may_compose(self) -> bool:
        """Whether NFC might compose some of the symbols with each other; no symbol before U+0300 composes."""
        return max(self.symbols, default="") >= _FIRST_COMBINING_MARK

    def ids_of(self, symbols: Iterable[str]) -> list[int | None]:
        """Return the id of each symbol, or ``None`` for an unknown one."""
        return [self._ids.get(symbol) for symbol in symbols]

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned dtype that can represent every id."""
        return np.min_scalar_type(self.size - 1)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the ids of a text's symbols, int64 [symbols], without boundaries.

        Raises:
            VocabularyError: naming the first unknown symbol and its position.
        """
        text = unicodedata.normalize("NFC", text)
        try:
            return np.fromiter((self._ids[symbol] for symbol in text), dtype=np.int64, count=len(text))
        except KeyError as error:
            symbol = str(error.args[0])
            position = text.index(symbol)
        other = self.other_case(text)
        raise VocabularyError(
            f"{text!r} contains {symbol!r} at position {position}, which is not in the vocabulary ({self.describe()})"
            if other is None
            else f"the model's alphabet has no {symbol!r}; try {other!r}",
            symbol=symbol,
            position=position,
            text=text,
        )

    def other_case(self, text: str) -> str | None:
        """Return the text in lower, upper or title case, the first that the alphabet can spell, or None."""
        cases = (unicodedata.normalize("NFC", case) for case in (text.lower(), text.upper(), text.title()))
        return next((case for case in cases if case != text and None not in self.ids_of(case)), None)

    def tokens(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the concatenated ids of texts, each followed by the boundary, int64 [tokens].

        Raises:
            VocabularyError: naming the first unknown symbol and its position.
        """
        parts = [np.append(self.encode(text), BOUNDARY) for text in texts]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def padded(self, names: Sequence[Sequence[int]], length: int) -> Names:
        """Return the ids of names as rows padded with boundaries, unsigned [names, length]."""
        rows = [[*ids, *[BOUNDARY] * (length - len(ids))] for ids in names]
        return np.array(rows, dtype=self.dtype).reshape(len(rows), length)

    def rows(self, names: Names) -> list[bytes]:
        """Return the bytes of each row, a hashable key for names in rows of the same length."""
        rows: list[bytes] = np.ascontiguousarray(names).view(f"V{names.shape[1] * names.itemsize}")[:, 0].tolist()
        return rows

    def decode(self, ids: NDArray[np.integer]) -> list[str]:
        """Return the texts of rows of ids padded with boundaries, integer [n, length]."""
        if ids.size == 0:
            return [""] * len(ids)
        rows = np.ascontiguousarray(self._table[ids])
        texts: list[str] = rows.view(f"<U{ids.shape[1]}")[:, 0].tolist()
        return texts

    def to_utf8(self, names: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
        """Return the concatenated UTF-8 bytes of padded rows of ids, uint8 [bytes], and the bytes per row, [n]."""
        encoded = [symbol.encode() for symbol in self.symbols]
        widths = np.array([0, *map(len, encoded)])
        table = np.array([b"", *encoded], dtype=f"S{widths.max()}").view(np.uint8).reshape(len(widths), -1)
        if table.shape[1] == 1:
            flat = names[names != BOUNDARY]
            return table[flat, 0], np.count_nonzero(names, axis=1)
        bytes_of = table[names[names != BOUNDARY]]
        return bytes_of[bytes_of != 0], widths[names].sum(axis=1)

    def describe(self, most: int = 40) -> str:
        """Return a one-line summary of the alphabet for messages."""
        shown = "".join(self.symbols[:most])
        return f"{len(self.symbols)} symbols: {shown!r}" + (" …" if len(self.symbols) > most else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[Sequence[str]]]:
        return Vocabulary, (self.symbols,)

    def __repr__(self) -> str:
        return f"Vocabulary({self.describe()})"
