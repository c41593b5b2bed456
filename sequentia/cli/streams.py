"""The standard streams of the command line: UTF-8 in pipes and files, even if a stream is closed or replaced."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import BinaryIO, cast

import click

from sequentia._files import naming

STANDARD = "-"
"""The argument that means standard input or output instead of a file."""

_ATOMIC = getattr(select, "PIPE_BUF", 512)  # bytes that a pipe takes as a whole or not at all


def open_closed_descriptors() -> None:
    """Point each closed standard descriptor to the null device.

    Otherwise the next opened file would take its number, and anything a library prints would end up in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # open() returns the lowest free number: this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make ``sys.stdout`` and ``sys.stderr`` accept any text, and restore them afterwards.

    In a pipe or a file, they write UTF-8. On a terminal, they replace the characters that it cannot show. Writing to a
    closed ``sys.stdout`` raises an OSError; text written to a closed ``sys.stderr`` is dropped.
    """
    with ExitStack() as stack:
        if _is_closed(sys.stdout):
            stack.enter_context(redirect_stdout(_ClosedOutput()))
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
    """Write a line to standard error, or drop it if writing fails (for example on a full disk)."""
    with suppress(OSError):
        click.echo(text, err=True)


def standard_input() -> BinaryIO:
    """Return standard input as a binary stream.

    Raises:
        OSError: if standard input is closed.
    """
    if _is_closed(sys.stdin):
        raise _closed_error("standard input")
    buffer = getattr(sys.stdin, "buffer", None)
    return io.BytesIO(sys.stdin.read().encode()) if buffer is None else cast("BinaryIO", buffer)


def standard_output() -> BinaryIO:
    """Return a binary stream that takes lines of UTF-8 text and writes them to the current ``sys.stdout`` at once.

    The reader of a pipe gets no part of a line, even if a signal interrupts the writing.
    """
    return cast("BinaryIO", _StandardOutput())


def flush_output() -> None:
    """Flush standard output.

    Raises:
        OSError: if that fails (for example on a full disk). The unwritten rest is dropped, so that the flush at exit
            cannot fail again.
    """
    try:
        with naming("standard output"):
            getattr(sys.stdout, "flush", bool)()  # a stream that replaces it may have no flush
    except OSError:
        drop_output()
        raise


def drop_output() -> None:
    """Drop what is not yet written, so that the flush at exit neither fails nor waits for a reader."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def flush_error() -> OSError | None:
    """Flush standard output and return the error, or None if it succeeds."""
    try:
        flush_output()
    except OSError as error:
        return error
    return None


def _is_closed(stream: object) -> bool:
    return stream is None or bool(getattr(stream, "closed", False))


class _StandardOutput(io.RawIOBase):
    """A binary stream that writes to ``sys.stdout``; each write must be whole lines of UTF-8 text."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        text = bytes(data)  # type: ignore[call-overload]
        start = 0
        with naming("standard output"):
            while start < len(text):
                limit = start + _ATOMIC
                stop = len(text) if len(text) <= limit else text.rfind(b"\n", start, limit) + 1
                stop = stop or text.find(b"\n", limit) + 1 or len(text)  # a longer line
                sys.stdout.write(text[start:stop].decode())
                getattr(sys.stdout, "flush", bool)()  # a stream that replaces it may have no flush
                start = stop
        return len(text)


class _ClosedOutput(io.TextIOBase):
    """A replacement for a closed standard output; writing to it raises an OSError."""

    def write(self, _text: str) -> int:
        raise _closed_error("standard output")


def _closed_error(name: str) -> OSError:
    return OSError(errno.EBADF, "it is closed", name)


def _reconfigure(stream: io.TextIOWrapper, encoding: str, errors: str | None) -> None:
    with suppress(ValueError, OSError):  # it has been closed since
        stream.reconfigure(encoding=encoding, errors=errors)
