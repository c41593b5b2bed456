"""The standard streams of the command line: UTF-8 in pipes and files, also where a stream is closed or replaced."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import BinaryIO, cast

import click

from sequentia._files import naming

STANDARD = "-"
"""What stands for standard input or output where a file is expected."""


def open_closed_descriptors() -> None:
    """Point each standard descriptor that is closed to the null device.

    Otherwise the next file that is opened would get its number, and whatever a library prints would end up there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number, which is the one that open() gives
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make ``sys.stdout`` and ``sys.stderr`` safe to write any text to, and put them back afterwards.

    To a pipe or a file they write UTF-8. To a terminal they write what it can show, and replace the rest. A closed
    ``sys.stdout`` raises an OSError when something is written to it; a closed ``sys.stderr`` drops what it gets.
    """
    with ExitStack() as stack:
        if _is_closed(sys.stdout):
            stack.enter_context(redirect_stdout(_Closed()))
        if _is_closed(sys.stderr):
            null = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - there is no path
            stack.enter_context(redirect_stderr(null))
        for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
            if isinstance(stream, io.TextIOWrapper):
                stack.callback(_reconfigure, stream, stream.encoding, stream.errors)
                terminal = stream.isatty()
                _reconfigure(stream, stream.encoding if terminal else "utf-8", "replace" if terminal else errors)
        yield


def notice(text: str) -> None:
    """Write a line to standard error; one that cannot be written, to a full disk say, is dropped."""
    with suppress(OSError):
        click.echo(text, err=True)


def standard_input() -> BinaryIO:
    """Return standard input as a stream of bytes.

    Raises:
        OSError: if it is closed.
    """
    if _is_closed(sys.stdin):
        raise _closed("standard input")
    buffer = getattr(sys.stdin, "buffer", None)
    return io.BytesIO(sys.stdin.read().encode()) if buffer is None else cast("BinaryIO", buffer)


def standard_output() -> BinaryIO:
    """Return a stream of bytes that writes UTF-8 text to ``sys.stdout``, whatever that is."""
    return cast("BinaryIO", _Output())


def flush_output() -> None:
    """Write what standard output still holds.

    Raises:
        OSError: if that fails, on a full disk say; what is left is dropped, so that nothing fails again at exit.
    """
    try:
        with naming("standard output"):
            getattr(sys.stdout, "flush", bool)()  # a stream that a program has put there may have none
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def failed_output() -> OSError | None:
    """Return the error of flushing standard output, None if there is none."""
    try:
        flush_output()
    except OSError as error:
        return error
    return None


def _is_closed(stream: object) -> bool:
    return stream is None or bool(getattr(stream, "closed", False))


class _Output(io.RawIOBase):
    """Writes whole pieces of UTF-8 text to ``sys.stdout``."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        text = bytes(data).decode()  # type: ignore[call-overload]
        with naming("standard output"):
            sys.stdout.write(text)
        return len(text)


class _Closed(io.TextIOBase):
    """Standard output where there is none."""

    def write(self, _text: str) -> int:
        raise _closed("standard output")


def _closed(name: str) -> OSError:
    return OSError(errno.EBADF, "it is closed", name)


def _reconfigure(stream: io.TextIOWrapper, encoding: str, errors: str | None) -> None:
    with suppress(ValueError, OSError):  # it was closed in the meantime
        stream.reconfigure(encoding=encoding, errors=errors)
