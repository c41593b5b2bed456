"""Write files and folders atomically: after a crash, either the old or the new contents are there."""

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

try:
    import fcntl
except ModuleNotFoundError:  # Windows, which deletes no file that a process has open
    fcntl = None  # type: ignore[assignment]

from .errors import TrainingError

_PARTIAL: Final = ".partial"
_LONGEST_STEM: Final = 40
_MOST_LINKS: Final = 40
_AT_FDCWD: Final = -100
_RENAME_SWAP: Final = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step; see :func:`writing`."""
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is complete. A killed process leaves the old file.

    A path that is not a regular file (a terminal, a pipe, ``/dev/null``) or that is open already (``/dev/stdout``) is
    written to directly. A replaced file keeps its permissions.
    """
    descriptor = _open_descriptor(path)
    if descriptor is not None or (path.exists() and not path.is_file()):
        with naming(path), path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not path.parent.is_dir():
        reason = "this is no folder" if path.parent.exists() else "there is no such folder"
        raise FileNotFoundError(errno.ENOENT, reason, str(path.parent))
    temporary, file = _create_beside(path)
    try:
        with naming(path), file:
            _copy_permissions(path, file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_abandoned(folder: Path, name: str) -> None:
    """Delete the partial files that killed processes left in a folder.

    A running process locks each file that it is writing, so its files stay.

    Args:
        folder: a folder that only one job writes to.
        name: the start of the names of the files to be written.
    """
    for path in folder.glob(f".{name}*{_PARTIAL}"):
        with suppress(OSError), path.open("rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _open_descriptor(path: Path) -> int | None:
    """Return the file descriptor that a path such as ``/dev/stdout`` or ``/dev/fd/3`` stands for, else None."""
    for _ in range(_MOST_LINKS):
        found = re.fullmatch(r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)", str(path))
        if found:
            return int(found[1])
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def _copy_permissions(path: Path, file: BinaryIO) -> None:
    """Give a new file the owner and mode of the file that it replaces, as far as the system permits."""
    if path.exists() and hasattr(os, "fchown"):
        before = path.stat()
        with suppress(PermissionError):
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))


def _create_beside(path: Path) -> tuple[Path, BinaryIO]:
    """Create and lock a hidden file with a random name next to ``path``."""
    while True:
        temporary = path.with_name(f".{path.name[:_LONGEST_STEM]}.{secrets.token_hex(8)}{_PARTIAL}")
        try:
            file = temporary.open("xb")
        except OSError as error:
            error.filename = str(path)
            raise
        if fcntl is not None:
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():  # else remove_abandoned deleted it before it was locked
            return temporary, file
        file.close()


def check_vacant(
    folder: Path, advice: str, error: Callable[[str], Exception] = TrainingError, besides: Path | None = None
) -> None:
    """Raise an error unless a folder is new or empty; hidden files do not count.

    Args:
        folder: the folder that is to be written.
        advice: what the message says to do about a folder that holds something.
        error: makes the exception to raise from its message.
        besides: a file that may be there.

    Raises:
        TrainingError: by default, if the folder holds something or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise error(f"{folder} is a file; choose a folder")
    if folder.is_dir() and any(not path.name.startswith(".") and path != besides for path in folder.iterdir()):
        raise error(f"{folder} is not empty: {advice}")


def write_folder(folder: Path, files: Mapping[str, bytes], *, last: str, removed: Collection[str] = ()) -> None:
    """Write several files into a folder: after a crash, the folder holds all of the old files or all of the new.

    Other files in the folder are kept. A reader ignores a folder that lacks the file ``last``, so:

    - If ``last`` is not there yet, the files are moved in one by one, ``last`` at the end.
    - If it is, a complete new folder is swapped with the old one in a single system call. Renaming cannot do this:
      between two renames, a crash would leave no folder at all.
    - If they cannot be swapped (the current folder, a mount point, a system without such a call), ``last`` is deleted
      first and moved in at the end. A crash then leaves the folder without it.

    Args:
        folder: the folder; it and its parents are created.
        files: contents by name, in the order to move them.
        last: the name of one of them.
        removed: names of files to delete.
    """
    folder = Path(os.path.realpath(folder))
    folder.mkdir(parents=True, exist_ok=True)
    if not ((folder / last).exists() and not Path.cwd().is_relative_to(folder) and _swap_in(folder, files, removed)):
        _move_in(folder, files, last, removed)


def _move_in(folder: Path, files: Mapping[str, bytes], last: str, removed: Collection[str]) -> None:
    import tempfile  # imported here and below because it takes milliseconds, and most commands write no folder

    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
        staging = Path(temporary)
        for name, data in files.items():
            _write_through(staging / name, data)
        for name in (last, *removed):
            (folder / name).unlink(missing_ok=True)
        for name in sorted(files, key=lambda name: name == last):
            (staging / name).replace(folder / name)


def _swap_in(folder: Path, files: Mapping[str, bytes], removed: Collection[str]) -> bool:
    """Replace the folder by one with the new files and links to the others. Return whether that was possible."""
    import shutil
    import tempfile

    def replaced(directory: str, _names: list[str]) -> set[str]:
        return {*files, *removed} if Path(directory) == folder else set()

    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            staging = Path(temporary) / folder.name
            shutil.copytree(folder, staging, symlinks=True, copy_function=os.link, ignore=replaced)
            for name, data in files.items():
                _write_through(staging / name, data)
            return _exchange(staging, folder)
    except (PermissionError, shutil.Error):  # no permission to write beside the folder, or no hard links
        return False


def printable_name(path: Path) -> str:
    """Return the last part of a path as text; bytes that are not UTF-8 are replaced."""
    return Path(os.path.realpath(path)).name.encode("utf-8", "replace").decode()


def _write_through(path: Path, data: bytes) -> None:
    with naming(path), path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def naming(file: Path | str) -> Iterator[None]:
    """Add the file's name to an OSError that lacks it, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # else the system did not raise it
            error.filename = error.filename or str(file)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in a single system call. Return whether the system supports that here."""
    import ctypes  # imported here because it takes milliseconds

    libc = ctypes.CDLL(None) if os.name == "posix" else None
    swap = getattr(libc, "renamex_np" if sys.platform == "darwin" else "renameat2", None)
    here = () if sys.platform == "darwin" else (_AT_FDCWD,)
    paths = (*here, os.fsencode(one), *here, os.fsencode(other))
    return swap is not None and swap(*paths, ctypes.c_uint(_RENAME_SWAP)) == 0
