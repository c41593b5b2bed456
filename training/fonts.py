"""Find the fonts that draw some texts, and write a code point for a symbol that no font has."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font, LoadFlags

from sequentia.vocabulary import UNKNOWN

_FIRST: Final = "DejaVu Sans"  # comes with Matplotlib
_PACKAGES: Final = ("manimgx_fonts", "noto_cjk_sans_jp_regular")  # those of the extra [fonts]
_LAST_RESORT: Final = re.compile("last ?resort", re.IGNORECASE)  # has a box for every code point
_SERIFS: Final = re.compile("serif|mono", re.IGNORECASE)
_PLAIN: Final = ("normal", 400, "normal")  # style, weight and stretch
_SELECTOR: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_DOTTED_CIRCLE: Final = "\u25cc"
_LONGEST: Final = 24


class Fonts:
    """The fonts that draw some texts: Matplotlib's own, then the system's, then those of the extra ``[fonts]``.

    Attributes:
        families: the value for Matplotlib's ``font.family``; each symbol comes from the first of them that has it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        missing: set[str] = set().union(*texts)
        self.families: list[str] = []
        self._drawn: set[str] = set()
        for family, path in _candidates():
            drawn = _drawn(FT2Font(path), missing)
            if any(map(_has_shape, drawn)) or not self.families:
                self.families.append(family)
                self._drawn |= drawn
                missing -= drawn
            if not any(map(_has_shape, missing)):
                break

    def symbol(self, symbol: str) -> str:
        """Return what a picture shows for a symbol alone: itself, or its code point, such as ``U+4E2D``.

        A combining mark stands on a dotted circle. A word is a text.
        """
        if symbol == UNKNOWN:
            return "(unknown)"
        if len(symbol) > 1:
            return self.text(symbol)
        if symbol == " ":
            return "␣"
        if symbol not in self._drawn or not _has_shape(symbol):
            return _code_point(symbol)
        return _DOTTED_CIRCLE + symbol if unicodedata.category(symbol)[0] == "M" else symbol

    def text(self, text: str) -> str:
        """Return what a picture shows for a text of several symbols, shortened."""
        drawn = "".join(symbol if symbol in self._drawn else _code_point(symbol) for symbol in text)
        shortened = drawn if len(drawn) <= _LONGEST else f"{drawn[: _LONGEST - 1]}…"
        return shortened.replace("$", r"\$")  # two bare ones would mark a formula


def _candidates() -> Iterator[tuple[str, str]]:
    """Yield font families and the file of each, in the order in which to ask them."""
    yield _FIRST, findfont(_FIRST)
    installed = {
        font.name: font.fname
        for font in reversed(fontManager.ttflist)  # of files alike, Matplotlib takes the first
        if (font.style, font.weight, font.stretch) == _PLAIN and not _LAST_RESORT.search(font.name)
    }
    for family, path in sorted(installed.items(), key=lambda item: _preference(item[0])):
        if Path(path).is_file():  # the list of fonts may be older than the last change of the system's fonts
            yield family, path
    known = {font.fname for font in fontManager.ttflist}
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for file in sorted(Path(folder).glob("*.[ot]tf")):
                if str(file) not in known:
                    fontManager.addfont(file)
                family = FT2Font(file).family_name
                yield family, findfont(family)


def _preference(family: str) -> tuple[bool, bool, str]:
    return bool(_SERIFS.search(family)), not family.startswith("Noto Sans"), family


def _drawn(font: FT2Font, symbols: Iterable[str]) -> set[str]:
    """Return those symbols that a font draws; a colour font may have a glyph for one, but no shape."""
    return {
        symbol
        for symbol in symbols
        if font.get_char_index(ord(symbol)) and (not _has_shape(symbol) or _is_shaped(font, symbol))
    }


def _has_shape(symbol: str) -> bool:
    """Return whether there is something to see of a symbol; not of spaces, joiners and selectors."""
    return unicodedata.category(symbol)[0] not in "CZ" and not _SELECTOR.match(symbol)


def _is_shaped(font: FT2Font, symbol: str) -> bool:
    left, _, right, _ = font.load_char(ord(symbol), flags=LoadFlags.NO_SCALE).bbox
    return left < right


def _code_point(symbol: str) -> str:
    return f"U+{ord(symbol):04X}"
