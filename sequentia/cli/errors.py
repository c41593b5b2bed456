"""Errors in one line, and the exit status after a signal."""

import errno
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from sequentia.errors import MissingExtraError, SequentiaError

from .streams import drop_output, flush_error, flush_output, notice, standard_streams

_OF_TRAINING = {"torch", "onnx", "onnxscript", "safetensors", "matplotlib", "sklearn"}


class Commands(click.Group):
    """A group of commands that print an error in one line instead of a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line with streams that accept any text and with one-line warnings."""
        with standard_streams(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().main(*arguments, **options)
            except OSError as error:  # from printing the help, which happens before invoke()
                if os.environ.get("SEQUENTIA_DEBUG") or not options.get("standalone_mode", True):
                    raise
                notice(f"Error: {message_of(flush_error() or error)}")
                sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn an error into a message and an exit status."""
        try:
            result = super().invoke(ctx)
            flush_output()
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            notice("Interrupted.")
            ctx.exit(interrupted_status())
        except (SequentiaError, OSError, UnicodeError, ModuleNotFoundError) as error:
            if os.environ.get("SEQUENTIA_DEBUG"):
                raise
            raise click.ClickException(message_of(flush_error() or error)) from error
        return result


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    notice(f"Warning: {message}")


def message_of(error: Exception) -> str:
    """Return an error's message in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or (
            "standard output" if error.errno == errno.ENOSPC else None
        )  # errors on files name them
        what = "a folder, not a file" if isinstance(error, IsADirectoryError) else error.strerror
        return what if where is None else f"{where}: {what}"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("sequentia."):
        return str(MissingExtraError.in_source_folder())
    if isinstance(error, ModuleNotFoundError) and error.name in _OF_TRAINING:
        return str(MissingExtraError.of(error.name, "train"))
    return " ".join(str(error).split())


_last_signal: int = signal.SIGINT


def end_by_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Interrupt the command as Ctrl-C does, so that it removes unfinished files; the same signal again kills it."""
    global _last_signal  # noqa: PLW0603 - for the exit status of this process
    _last_signal = number
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


@contextmanager
def resumable(record: Path, command: Sequence[object]) -> Iterator[None]:
    """When interrupted, say which command goes on, if this file records the work; then end with the signal's status.

    What the interrupt says, such as the step that was saved, is part of the message.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if not record.is_file():
            raise
        saved = f"Interrupted, {interrupt}." if str(interrupt) else "Interrupted."
        notice(f"{saved} Go on with: {shlex.join(map(str, command))}")
        sys.exit(interrupted_status())


@contextmanager
def ending_with_the_reader() -> Iterator[None]:
    """End quietly: with status 0 when the reader of standard output closes it, with 128 + n after signal n."""
    try:
        yield
    except BrokenPipeError:
        drop_output()
    except KeyboardInterrupt:
        drop_output()
        sys.exit(interrupted_status())


def interrupted_status() -> int:
    """Return the exit status for the signal that ended the command."""
    return 128 + _last_signal
