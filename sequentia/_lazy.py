"""Importing a public name's module on first use, so that importing the package is fast."""

from collections.abc import Mapping
from importlib import import_module

from .errors import MissingExtraError


def resolve(package: str, name: str, modules: Mapping[str, str], *, extra: str | None = None) -> object:
    """Return the object with a public name from the submodule that defines it.

    Raises:
        AttributeError: if the package has no such name.
        MissingExtraError: if the submodule needs packages that only an extra installs.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    try:
        return getattr(import_module(modules[name], package), name)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").startswith("sequentia"):
            raise
        raise MissingExtraError.of(str(error.name), extra) from error
