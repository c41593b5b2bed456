"""The layout of the hub client's cache: recognise a snapshot in it, and change what the client has no function for.

In the cache, ``models--owner--name/snapshots/<commit>/`` holds a commit's files as links to
``models--owner--name/blobs/``, and ``models--owner--name/refs/<branch or tag>`` holds the hash of a commit
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Snapshot:
    """The files of one commit in the cache.

    Attributes:
        cache_dir: the folder of the whole cache.
        repo_id: the repository.
        revision: the hash of the commit.
        folder: the folder of the files.
    """

    cache_dir: Path
    repo_id: str
    revision: str
    folder: Path

    @property
    def size(self) -> int:
        """The total size of the files in bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def snapshot_at(folder: Path) -> Snapshot | None:
    """Return the snapshot that is in a folder, or None if the folder is not one of the cache's.

    A repository's folder in the cache may itself be a link, so the path is tried as given, then resolved.
    """
    for place in (folder.absolute(), folder.resolve()):
        repository = place.parent.parent
        kind, *names = repository.name.split("--")
        if kind == "models" and names and place.parent.name == "snapshots":
            return Snapshot(repository.parent, "/".join(names), place.name, place)
    return None


def set_reference(folder: Path, revision: str) -> None:
    """Make a branch or tag stand for a snapshot's commit when offline; do nothing if the cache is read-only."""
    from ._files import write_file

    reference = folder.parents[1] / "refs" / revision
    with suppress(OSError):  # another process may be writing it too
        reference.parent.mkdir(parents=True, exist_ok=True)
        write_file(reference, folder.name.encode())


def remove_file(path: Path) -> None:
    """Remove a snapshot's file together with the blob that it links to, as far as the cache can be written."""
    with suppress(OSError):
        blob = path.parent / path.readlink() if path.is_symlink() else path
        path.unlink()
        blob.unlink(missing_ok=True)
