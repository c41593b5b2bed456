"""Symbols and their ids: how text is split into symbols, and how a name is made of them.

The symbols are characters, or words. A character is one Unicode code point of NFC text, so a flag or an emoji with a
skin tone is two symbols. Words stand between white space. Id 0 is the boundary, which marks the start and the end of a
name. It is not a symbol, so the alphabet may contain ".", spaces, apostrophes or anything else.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .errors import VocabularyError
from .text import first_forbidden

BOUNDARY: Final = 0
MAX_SYMBOLS: Final = 65_535

Names = NDArray[np.unsignedinteger]
"""Ids of names, one name per row, [n, longest], padded with boundaries."""

SymbolKind = Literal["characters", "words"]
"""What the symbols of a vocabulary are."""

UNKNOWN: Final = "\ufffd"
"""The last symbol of a vocabulary of words: it stands for every word that the vocabulary lacks. No text may hold it."""

_FIRST_COMBINING_MARK: Final = "\u0300"


class Vocabulary:
    """An ordered alphabet: symbol ``symbols[i]`` has the id ``i + 1``.

    Args:
        symbols: distinct single code points, in id order.

    Attributes:
        kind: what the symbols are.
        unit: what one symbol is called in messages.
        collection: what all of them are called.
        separator: what stands between two symbols of a text.
        takes_patterns: whether patterns over the characters of a text can be matched symbol by symbol.
        unknown: the id that stands for symbols that the vocabulary lacks, which is never drawn; None if there is none.

    Raises:
        VocabularyError: if a symbol is repeated, is not one code point, or is not allowed in a name, such as a control
            character or a line break; see :func:`sequentia.text.first_forbidden`.
    """

    kind: ClassVar[SymbolKind] = "characters"
    unit: ClassVar[str] = "symbol"
    collection: ClassVar[str] = "alphabet"
    separator: ClassVar[str] = ""
    takes_patterns: ClassVar[bool] = True
    unknown: int | None = None

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols: tuple[str, ...] = tuple(symbols)
        self._ids: dict[str, int] = {}
        for position, symbol in enumerate(self._known()):
            if not self._may_be(symbol):
                raise VocabularyError(
                    f"symbol {position} of the vocabulary is {symbol!r}, not {self._expected}",
                    symbol=symbol,
                    position=position,
                )
            if symbol in self._ids:
                raise VocabularyError(f"the vocabulary contains {symbol!r} twice", symbol=symbol, position=position)
            self._ids[symbol] = position + 1

    _expected: ClassVar[str] = "one code point that is allowed in a name"

    def _known(self) -> Sequence[str]:
        """Return the symbols that stand for themselves."""
        return self.symbols

    @staticmethod
    def _may_be(symbol: str) -> bool:
        """Return whether a text may be a symbol."""
        return len(symbol) == 1 and not first_forbidden(symbol)

    @cached_property
    def _table(self) -> NDArray[np.str_]:
        # The boundary's text is empty, because NumPy strips the NULs that pad its strings; `decode` relies on it.
        return np.array(["", *self.symbols], dtype="<U1")

    def split(self, text: str) -> Sequence[str]:
        """Return the symbols of a text in NFC."""
        return text

    @property
    def size(self) -> int:
        """The number of ids: the symbols and the boundary."""
        return len(self.symbols) + 1

    @property
    def may_compose(self) -> bool:
        """Whether NFC might compose some of the symbols with each other; no symbol before U+0300 composes."""
        return max(self.symbols, default="") >= _FIRST_COMBINING_MARK

    @property
    def drawable(self) -> NDArray[np.bool_] | None:
        """Which ids may be drawn, bool [size]; None if all may be."""
        if self.unknown is None:
            return None
        drawable = np.ones(self.size, dtype=bool)
        drawable[self.unknown] = False
        return drawable

    def ids_of(self, symbols: Iterable[str]) -> list[int | None]:
        """Return the id of each symbol, or ``None`` for one that the vocabulary lacks."""
        return [self._ids.get(symbol) for symbol in symbols]

    def lacking(self, text: str) -> list[str]:
        """Return the symbols of a text that the vocabulary lacks, in their order."""
        return [symbol for symbol in self.split(unicodedata.normalize("NFC", text)) if symbol not in self._ids]

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned dtype that can represent every id."""
        return np.min_scalar_type(self.size - 1)

    def encode(self, text: str, *, unknown: bool = False) -> NDArray[np.int64]:
        """Return the ids of a text's symbols, int64 [symbols], without boundaries.

        Args:
            text: the text.
            unknown: whether a symbol that the vocabulary lacks gets the id :attr:`unknown`, if there is one.

        Raises:
            VocabularyError: naming the first symbol without an id and its position.
        """
        text = unicodedata.normalize("NFC", text)
        symbols = self.split(text)
        try:
            return np.fromiter((self._ids[symbol] for symbol in symbols), dtype=np.int64, count=len(symbols))
        except KeyError as error:
            symbol = str(error.args[0])
        if unknown and self.unknown is not None:
            return np.array([self._ids.get(each, self.unknown) for each in symbols], dtype=np.int64)
        raise self.unknown_symbol(text, symbols.index(symbol))

    def unknown_symbol(self, text: str, position: int) -> VocabularyError:
        """Return the error for a text in NFC whose symbol at a position the vocabulary lacks."""
        symbol = self.split(text)[position]
        return VocabularyError(self._message(text, symbol, position), symbol=symbol, position=position, text=text)

    def _message(self, text: str, symbol: str, position: int) -> str:
        """Return what is wrong with a text whose symbol the vocabulary lacks, and what to do."""
        other = self.other_case(text)
        if other is None:
            known = self.describe()
            return f"{text!r} contains {symbol!r} at position {position}, which is not in the vocabulary ({known})"
        return f"the model's alphabet has no {symbol!r}; try {other!r}"

    def other_case(self, text: str) -> str | None:
        """Return the text in lower, upper or title case, the first that the vocabulary can spell, or None."""
        cases = (unicodedata.normalize("NFC", case) for case in (text.lower(), text.upper(), text.title()))
        return next((case for case in cases if case != text and None not in self.ids_of(self.split(case))), None)

    def nearest(self, symbol: str) -> int | None:
        """Return the id of a symbol or, in this order, of its letter in another case or without accents, or None."""
        for letter in (symbol, unicodedata.normalize("NFD", symbol)[0]):
            for text in (letter, self.other_case(letter)):
                if text is not None and len(text) == 1 and (found := self._ids.get(text)) is not None:
                    return found
        return None

    def tokens(self, texts: Iterable[str], *, unknown: bool = False) -> NDArray[np.int64]:
        """Return the concatenated ids of texts, each followed by the boundary, int64 [tokens].

        Args:
            texts: the texts.
            unknown: as for :meth:`encode`.

        Raises:
            VocabularyError: naming the first symbol without an id and its position.
        """
        parts = [np.append(self.encode(text, unknown=unknown), BOUNDARY) for text in texts]
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

    def learnt(self, counts: NDArray[np.integer], rare: int) -> tuple[Self, NDArray[np.unsignedinteger]]:  # noqa: ARG002
        """Return the vocabulary that a model learns, and the id there of each id here, unsigned [size].

        Args:
            counts: how often each id occurs in what the model learns from, [size].
            rare: symbols that occur so often or less become the unknown one, if there is one.

        Raises:
            VocabularyError: if no symbol is left, or too many are.
        """
        return self, np.arange(self.size, dtype=self.dtype)

    def summarize(self) -> str:
        """Return a phrase that says how many symbols there are."""
        return f"an {self.collection} of {len(self.symbols)} {self.unit}s"

    def describe(self, most: int = 40) -> str:
        """Return a one-line summary of the alphabet for messages."""
        shown = "".join(self.symbols[:most])
        return f"{len(self.symbols)} symbols: {shown!r}" + (" …" if len(self.symbols) > most else "")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[Sequence[str]]]:
        return type(self), (self.symbols,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"


class WordVocabulary(Vocabulary):
    """A vocabulary of words, which are split at white space and joined by single spaces.

    Args:
        symbols: distinct words in NFC, in id order, and last :data:`UNKNOWN`.

    Raises:
        VocabularyError: if a word is repeated, is empty, contains white space or a character that is not allowed in a
            name, or is not in NFC, or if the last symbol is not the unknown word.
    """

    kind = "words"
    unit = "word"
    collection = "vocabulary"
    separator = " "
    takes_patterns = False
    may_compose = False
    _expected = "a word in NFC, without white space and characters that are not allowed in a name"

    def __init__(self, symbols: Iterable[str]) -> None:
        super().__init__(symbols)
        if len(self.symbols) < 2 or self.symbols[-1] != UNKNOWN:
            raise VocabularyError(
                f"a vocabulary of words has one word or more, and ends in the unknown one, {UNKNOWN!r}"
            )
        self.unknown = len(self.symbols)

    def _known(self) -> Sequence[str]:
        return self.symbols[:-1]

    @staticmethod
    def _may_be(symbol: str) -> bool:
        return symbol.split() == [symbol] and unicodedata.is_normalized("NFC", symbol) and not first_forbidden(symbol)

    def split(self, text: str) -> Sequence[str]:
        """Return the words of a text."""
        return text.split()

    def _message(self, text: str, symbol: str, position: int) -> str:
        other = self.other_case(symbol)
        hint = f"; try {other!r}" if other else f" ({self.describe()})"
        return f"word {position + 1} of {text!r}, {symbol!r}, is not among those that the model knows{hint}"

    def nearest(self, symbol: str) -> int | None:
        """Return the id of a word, else of the same word in another case, or None."""
        if symbol == UNKNOWN:
            return self.unknown
        return self._ids.get(symbol) or self._ids.get(self.other_case(symbol) or "")

    def decode(self, ids: NDArray[np.integer]) -> list[str]:
        """Return the texts of rows of ids padded with boundaries, integer [n, length]."""
        words = ("", *self.symbols)
        return [" ".join([words[i] for i in row if i]) for row in ids.tolist()]

    @cached_property
    def _spaced(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """The UTF-8 bytes of all words, a space before each; by id, how many bytes that is, and where it starts."""
        encoded = [b"", *(f" {word}".encode() for word in self.symbols)]
        widths = np.array([*map(len, encoded)])
        return np.frombuffer(b"".join(encoded), dtype=np.uint8), widths, np.cumsum(widths) - widths

    def to_utf8(self, names: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
        """Return the concatenated UTF-8 bytes of padded rows of ids, uint8 [bytes], and the bytes per row, [n]."""
        text, widths, starts = self._spaced
        ids = names[names != BOUNDARY]
        sizes, lengths = widths[ids], widths[names].sum(axis=1)
        places = np.repeat(starts[ids] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
        leading = (np.cumsum(lengths) - lengths)[lengths > 0]
        return np.delete(text[places], leading), lengths - (lengths > 0)

    def learnt(self, counts: NDArray[np.integer], rare: int) -> tuple[Self, NDArray[np.unsignedinteger]]:
        """Return the vocabulary of the words that are not rare, the most frequent first; see :class:`Vocabulary`."""
        frequency = counts[1:-1].tolist()
        kept = [word for word in range(len(frequency)) if frequency[word] > rare]
        if not kept:
            raise VocabularyError(
                f"no word occurs more than {rare} times in what is trained on, so none is left to learn; lower rare, "
                "or learn characters"
            )
        if len(kept) >= MAX_SYMBOLS:
            most = sorted(frequency, reverse=True)[MAX_SYMBOLS - 1]
            raise VocabularyError(
                f"{len(kept):,} words occur more than {rare} times in what is trained on, and a vocabulary holds at "
                f"most {MAX_SYMBOLS - 1:,} and the unknown word; set rare={most}"
            )
        kept.sort(key=lambda word: (-frequency[word], self.symbols[word]))
        found = type(self)([*(self.symbols[word] for word in kept), UNKNOWN])
        numbers = np.full(self.size, found.unknown, dtype=found.dtype)
        numbers[BOUNDARY] = BOUNDARY
        numbers[np.array(kept) + 1] = np.arange(1, len(kept) + 1)
        return found, numbers

    def summarize(self) -> str:
        """Return a phrase that says how many words there are."""
        return (
            f"a vocabulary of {len(self._known()):,} words, and one more that stands for all others and is never drawn"
        )

    def describe(self, most: int = 8) -> str:
        """Return a one-line summary of the vocabulary for messages."""
        words = self._known()
        return f"{len(words):,} words: {', '.join(words[:most])}" + (", …" if len(words) > most else "")


_VOCABULARIES: Final[dict[SymbolKind, type[Vocabulary]]] = {"characters": Vocabulary, "words": WordVocabulary}


def vocabulary_of(kind: SymbolKind, symbols: Iterable[str]) -> Vocabulary:
    """Return the vocabulary of some symbols, in id order.

    Raises:
        VocabularyError: if these cannot be the symbols of such a vocabulary.
    """
    return _VOCABULARIES[kind](symbols)
