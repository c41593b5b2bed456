"""A provider of invented names for Faker. Needs the extra ``[faker]``.

from faker import Faker
from sequentia.faker import Provider

fake = Faker()
fake.add_provider(Provider)
fake.invented_name()
"""

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Unpack

from .errors import MissingExtraError, OptionError
from .loaded import loaded
from .namer import Namer
from .options import SamplingOptions, check_names
from .resolve import requested_model

try:
    from faker.providers import BaseProvider
except ModuleNotFoundError as error:
    raise MissingExtraError.of("Faker", "faker") from error

__all__ = ["Provider"]

_SEED_BITS: Final = 64
_FIRST, _LAST = "people", "surnames"

_Frozen = tuple[tuple[str, Any], ...]


class Provider(BaseProvider):
    """Invented names. Each takes its seed from Faker's own random numbers, which ``Faker.seed`` decides about."""

    def invented_first_name(self) -> str:
        """Return a first name in title case, of the bundled model ``people``."""
        return self._name(_FIRST, case="title")

    def invented_first_name_female(self) -> str:
        """Return a woman's first name in title case, of the bundled model ``people``."""
        return self._name(_FIRST, case="title", where={"sex": "f"})

    def invented_first_name_male(self) -> str:
        """Return a man's first name in title case, of the bundled model ``people``."""
        return self._name(_FIRST, case="title", where={"sex": "m"})

    def invented_last_name(self) -> str:
        """Return a last name in title case, of the bundled model ``surnames``."""
        return self._name(_LAST, case="title")

    def invented_name(self) -> str:
        """Return a first and a last name, as :meth:`invented_first_name` and :meth:`invented_last_name` do."""
        return f"{self.invented_first_name()} {self.invented_last_name()}"

    def invented(self, model: str | os.PathLike[str] | None = None, **options: Unpack[SamplingOptions]) -> str:
        """Return a name of any model.

        Args:
            model: as for :func:`sequentia.generate`. It is loaded once.
            options: as for :func:`sequentia.generate`, but ``seed`` and ``unique``, which are Faker's. Lists may be
                tuples, and ``where`` a tuple of pairs, which Faker's ``unique`` needs: ``where=(("sex", "f"),)``.

        Raises:
            SequentiaError: as :func:`sequentia.generate` does.
            TypeError: if an option does not exist.
        """
        seed, unique = options.get("seed"), options.get("unique", False)
        if seed is not None:
            raise OptionError(
                "seed: Faker draws the seeds; say its own, by fake.seed_instance(…) or Faker.seed(…)",
                option="seed",
                value=seed,
            )
        if unique is not False:
            raise OptionError("unique: call fake.unique.invented(…) instead", option="unique", value=unique)
        check_names(options, SamplingOptions, refused=("unique", "seed"))
        return self._name(model, **options)

    def _name(self, model: str | os.PathLike[str] | None, **options: Any) -> str:
        frozen = tuple((option, _frozen(value)) for option, value in options.items())
        source = None if model is None else requested_model(model)
        return _namer(source, frozen)(self.generator.random.getrandbits(_SEED_BITS))


def _frozen(value: object) -> object:
    """Return the value of an option as one that can be a key: mappings and lists as tuples."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return tuple(value.items())
    return tuple(value) if isinstance(value, Iterable) else value


@lru_cache(maxsize=64)
def _namer(model: str | None, options: _Frozen) -> Namer:
    said = dict(options)
    if isinstance(said.get("where"), tuple):
        said["where"] = dict(said["where"])
    return loaded(model).namer(**said)
