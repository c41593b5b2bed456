"""Files and folders that are written wholly or not at all."""

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_RENAME_SWAP: Final = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step: a killed process leaves the old file or the new one.

    What is there but is no regular file (a terminal, a pipe, ``/dev/null``) is written to directly.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write_through(temporary, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_folder(folder: Path, files: Mapping[str, bytes], *, last: str) -> None:
    """Write several files into a folder in one step; whatever else it holds is kept.

    Args:
        folder: the folder; it and its parents are created.
        files: contents by name.
        last: the file without which the others count for nothing. Where the folder has none yet, the files move in one
            by one and this one last; where it has one, a whole new folder takes the place of the old.
    """
    folder = folder.resolve()
    replaces = (folder / last).exists()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent if replaces else folder, prefix=f".{folder.name}-") as temporary:
        staging = Path(temporary) / folder.name
        if replaces:
            shutil.copytree(
                folder, staging, symlinks=True, copy_function=_link_or_copy, ignore=shutil.ignore_patterns(*files)
            )
        else:
            staging.mkdir()
        for name, data in files.items():
            _write_through(staging / name, data)
        if replaces:
            _exchange(staging, folder)
        else:
            for name in sorted(files, key=lambda name: name == last):
                (staging / name).replace(folder / name)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(staging: Path, folder: Path) -> None:
    """Swap two folders in one step where the system can; elsewhere in two, between which a kill leaves neither."""
    libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    swap = getattr(libc, "renamex_np" if sys.platform == "darwin" else "renameat2", None)
    if swap is not None:
        here = () if sys.platform == "darwin" else (_AT_FDCWD,)
        paths = (*here, os.fsencode(staging), *here, os.fsencode(folder))
        if swap(*paths, ctypes.c_uint(_RENAME_SWAP)) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(folder))
    previous = folder.with_name(f".{folder.name}.{os.getpid()}.previous")
    folder.rename(previous)
    try:
        staging.rename(folder)
    except BaseException:
        previous.rename(folder)
        raise
    shutil.rmtree(previous)
