"""Files and folders that are written wholly or not at all."""

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_AT_FDCWD: Final = -100
_RENAME_SWAP: Final = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step; see :func:`writing`."""
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is whole: a killed process leaves what was there.

    What is there but is no regular file (a terminal, a pipe, ``/dev/null``) is written to directly.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _naming(path), temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not ((folder / last).exists() and not Path.cwd().is_relative_to(folder) and _swap_in(folder, files, removed)):
        _move_in(folder, files, last, removed)


def _move_in(folder: Path, files: Mapping[str, bytes], last: str, removed: Collection[str]) -> None:
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

    def replaced(directory: str, _names: list[str]) -> set[str]:
        return {*files, *removed} if Path(directory) == folder else set()

    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            staging = Path(temporary) / folder.name
            shutil.copytree(folder, staging, symlinks=True, copy_function=_link_or_copy, ignore=replaced)
            for name, data in files.items():
                _write_through(staging / name, data)
            return _exchange(staging, folder)
    except PermissionError:  # to write beside the folder
        return False


def printable_name(path: Path) -> str:
    """Return the last part of a path as text, also where it is not valid UTF-8."""
    return path.resolve().name.encode("utf-8", "replace").decode()


def _write_through(path: Path, data: bytes) -> None:
    with _naming(path), path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error of writing it, a full disk say, which does not by itself."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, if the system has one for them; return whether it had."""
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    swap = getattr(libc, "renamex_np" if sys.platform == "darwin" else "renameat2", None)
    here = () if sys.platform == "darwin" else (_AT_FDCWD,)
    paths = (*here, os.fsencode(one), *here, os.fsencode(other))
    return swap is not None and swap(*paths, ctypes.c_uint(_RENAME_SWAP)) == 0
