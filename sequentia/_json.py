"""JSON files: their layout, and the error when one cannot be decoded."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from .errors import START_AGAIN, TrainingError

_T = TypeVar("_T")


def format_json(value: object) -> bytes:
    """Return a value as indented JSON, with a line feed at the end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def read_json(path: Path, kind: type[_T], error: Callable[[str], Exception] = TrainingError) -> _T:
    """Return the contents of a JSON file as a value of some type.

    Args:
        path: the file.
        kind: the type.
        error: makes the exception to raise from its message.

    Raises:
        TrainingError: by default, naming the file and the reason, if it is damaged.
        OSError: if it cannot be read.
    """
    return decode_json(path.read_bytes(), kind, path, error)


def decode_json(data: bytes | str, kind: type[_T], path: Path, error: Callable[[str], Exception] = TrainingError) -> _T:
    """Return JSON from a file, one of its lines for example, as a value of some type; see :func:`read_json`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as reason:
        raise error(f"{path} is damaged, or of another version: {reason}; {START_AGAIN}") from reason
