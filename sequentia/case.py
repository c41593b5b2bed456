"""Letter case: names shown in lower, title or upper case, and texts that are told in any case.

Everything is by Unicode, without a locale.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .vocabulary import Vocabulary

Case = Literal["lower", "title", "upper"]
"""The option ``case``: how names are shown."""

CASES: Final[tuple[Case, ...]] = get_args(Case)

_BETWEEN_WORDS: Final = r"\s\-\u2010-\u2015"  # white space, hyphens and dashes
_START_OF_WORD: Final = re.compile(rf"(?<![^{_BETWEEN_WORDS}])(?:[^\w{_BETWEEN_WORDS}]|_)*[^\W_]")


def check_case(value: object) -> Case | None:
    """Return the option ``case``, or raise :class:`OptionError`."""
    found = next((case for case in CASES if case == value), None)
    if value is not None and found is None:
        raise OptionError(
            f"case must be {', '.join(map(repr, CASES))} or None, not {value!r}", option="case", value=value
        )
    return found


def in_case(texts: list[str], case: Case | None) -> list[str]:
    """Return texts in a letter case and in NFC, or as they are if it is None.

    Title case puts the first letter of each word in title case, unless a digit comes before it, and the others in lower
    case. A word stands between white space, hyphens or dashes, so that an apostrophe does not begin another one.

    Args:
        texts: texts without line breaks.
        case: the letter case.
    """
    if case is None or not texts:
        return texts
    text = "\n".join(texts)  # one call is faster than many; no rule of Unicode looks beyond a line break
    text = text.upper() if case == "upper" else text.lower()
    if case == "title":
        text = _START_OF_WORD.sub(lambda start: start[0][:-1] + start[0][-1].title(), text)
    return unicodedata.normalize("NFC", text).split("\n")


class Letters:
    """The symbols of a vocabulary, compared without regard to case.

    Args:
        vocabulary: the vocabulary.

    Attributes:
        same: for each id, the lowest id of the same symbol in any case, unsigned [size]; None if no two are the same.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._first: dict[str, int] = {}
        ids = [self._first.setdefault(symbol.casefold(), i) for i, symbol in enumerate(vocabulary.symbols, 1)]
        self._several = np.bincount(ids, minlength=vocabulary.size) > 1
        distinct = len(self._first) == len(ids)
        self.same = None if distinct else np.array([0, *ids], dtype=vocabulary.dtype)

    def spell(self, text: str) -> str:
        """Return a text in NFC with the symbols of the vocabulary, the first of those that are the same in any case.

        Symbols that the vocabulary has in no case are left as they are.
        """
        symbols, first = self._vocabulary.symbols, self._first
        parts = self._vocabulary.split(unicodedata.normalize("NFC", text))
        places = ((part, first.get(part.casefold())) for part in parts)
        return self._vocabulary.separator.join(part if i is None else symbols[i - 1] for part, i in places)

    def are_several(self, ids: NDArray[np.int64]) -> bool:
        """Return whether any symbol of a text spelled by :meth:`spell` is in the vocabulary in more than one case."""
        return bool(self._several[ids].any())


@lru_cache(maxsize=8)
def letters_of(vocabulary: Vocabulary) -> Letters:
    """Return the letters of a vocabulary, from a cache."""
    return Letters(vocabulary)
