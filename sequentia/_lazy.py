"""Importing a public name's module on first use, so that importing the package is fast."""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import PyTorch in the block without the garbage collector, which ignores what is imported ever after.

    It would go through all that several times and find nothing: a fifth of a short training run. For programs, not for
    a library in one: the collector ignores what the program had before, too.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
