"""Files and folders that are written wholly or not at all."""

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
    """Open a file that appears under its name only when it is whole: a killed process leaves what was there.

    What is there but is no regular file (a terminal, a pipe, ``/dev/null``), or is open already (``/dev/stdout``), is
    written to directly. A file that is replaced keeps its permissions.
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
    """Delete the partial files of killed processes from a folder that only one job writes to.

    A process holds a lock on each file that it is writing, so the files of running processes stay.

    Args:
        folder: the folder.
        name: what the names of the files start with that were to be written.
    """
    for path in folder.glob(f".{name}*{_PARTIAL}"):
        with suppress(OSError), path.open("rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _open_descriptor(path: Path) -> int | None:
    """Return the number of the open file that a path such as ``/dev/stdout`` or ``/dev/fd/3`` stands for."""
    for _ in range(_MOST_LINKS):
        found = re.fullmatch(r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)", str(path))
        if found:
            return int(found[1])
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def _copy_permissions(path: Path, file: BinaryIO) -> None:
    """Give a new file the owner and mode of the one that it replaces, as far as the system lets us."""
    if path.exists() and hasattr(os, "fchown"):
        before = path.stat()
        with suppress(PermissionError):
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))


def _create_beside(path: Path) -> tuple[Path, BinaryIO]:
    """Create and lock a hidden file next to ``path`` under a random name, one that no other process can have."""
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
        if temporary.exists():  # else it was taken for abandoned before it was locked
            return temporary, file
        file.close()


def check_vacant(folder: Path, advice: str, error: Callable[[str], Exception] = TrainingError) -> None:
    """Raise an error unless a folder is new or empty; hidden files do not count.

    Args:
        folder: the folder that is to be written.
        advice: what the message says to do about a folder that holds something.
        error: makes the exception to raise from its message.

    Raises:
        TrainingError: by default, if the folder holds something or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise error(f"{folder} is a file; choose a folder")
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise error(f"{folder} is not empty: {advice}")


def write_folder(folder: Path, files: Mapping[str, bytes], *, last: str, removed: Collection[str] = ()) -> None:
    """Write several files into a folder, all or none; what else it holds is kept, but for the files to be removed.

    Where the folder does not yet have the file ``last``, without which the others count for nothing, the files move in
    one by one and that one last. Where it has, a whole new folder takes the place of the old in one step. Where that
    cannot be (a mount point, the current folder, a system without such a step), ``last`` goes first and comes last.

    Args:
        folder: the folder; it and its parents are created.
        files: contents by name, in the order to move them.
        last: one of them.
        removed: names of files that must not stay.
    """
    folder = Path(os.path.realpath(folder))
    folder.mkdir(parents=True, exist_ok=True)
    if not ((folder / last).exists() and not Path.cwd().is_relative_to(folder) and _swap_in(folder, files, removed)):
        _move_in(folder, files, last, removed)


def _move_in(folder: Path, files: Mapping[str, bytes], last: str, removed: Collection[str]) -> None:
    import tempfile  # here and below: loading it takes milliseconds, and most commands write no folder

    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
        staging = Path(temporary)
        for name, data in files.items():
            _write_through(staging / name, data)
        for name in (last, *removed):
            (folder / name).unlink(missing_ok=True)
        for name in sorted(files, key=lambda name: name == last):
            (staging / name).replace(folder / name)


def _swap_in(folder: Path, files: Mapping[str, bytes], removed: Collection[str]) -> bool:
    """Put a copy of the folder with new files in its place, if the system lets us; the other files are only linked."""
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
    """Return the last part of a path as text, also where it is not valid UTF-8."""
    return Path(os.path.realpath(path)).name.encode("utf-8", "replace").decode()


def _write_through(path: Path, data: bytes) -> None:
    with naming(path), path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def naming(file: Path | str) -> Iterator[None]:
    """Name the file in an error of writing it, a full disk say, which does not by itself."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # else it is not the system's
            error.filename = error.filename or str(file)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, if the system has one for them; return whether it had."""
    import ctypes  # only here: loading it takes milliseconds

    libc = ctypes.CDLL(None) if os.name == "posix" else None
    swap = getattr(libc, "renamex_np" if sys.platform == "darwin" else "renameat2", None)
    here = () if sys.platform == "darwin" else (_AT_FDCWD,)
    paths = (*here, os.fsencode(one), *here, os.fsencode(other))
    return swap is not None and swap(*paths, ctypes.c_uint(_RENAME_SWAP)) == 0
