"""Read, check and write the artifact folder, format version 2.

    config.json        everything about the model except its weights; see :mod:`sequentia.config`
    model.safetensors  the weights
    model.onnx         the network, in one self-contained file
    README.md          the model card
    novelty.crc32      hashes of the names of the list, unless the recipe says novelty = false
    pictures/          pictures for the card; not part of the model

``config.json`` records the size and SHA-256 of the other files. No file is trusted: sizes are checked before
reading, hashes before parsing, and weights and graph before a library loads them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from ._json import format_json
from .arithmetic import Bounds, OnnxWriter
from .config import FORMAT_VERSION, Config, FileRecord
from .errors import COPY_AGAIN, ArtifactError, ModelNotFoundError, VocabularyError
from .hub_cache import snapshot_at
from .novelty import KnownNames
from .vocabulary import Vocabulary
from .weights import Tensors, read_tensors

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
GRAPH: Final = "model.onnx"
CARD: Final = "README.md"
NOVELTY: Final = "novelty.crc32"
PICTURES: Final = "pictures"
SHOWN: Final = ("loss.png", "embedding.png", "conditions.png", "next_symbols.png")
REQUIRED: Final = (WEIGHTS, GRAPH)
FILES: Final = (*REQUIRED, NOVELTY)

BUNDLED: Final = Path(__file__).parent / "models"
"""Folder of the bundled models, one subfolder each. It does not exist where the package is a zip file."""

MAX_BYTES: Final = {CONFIG: 4 << 20, WEIGHTS: 1 << 30, GRAPH: 1 << 30, CARD: 16 << 20, NOVELTY: 1 << 30}
MAX_PICTURE_BYTES: Final = 16 << 20
_PNG: Final = b"\x89PNG"


@dataclass(frozen=True)
class Artifact:
    """A checked artifact: everything that inference needs.

    Attributes:
        config: its configuration.
        vocabulary: its alphabet.
        tensors: the weights.
        graph: the contents of ``model.onnx``.
        known: hashes of the names of its list, if the artifact has them.
        folder: the folder that it was read from, for messages.
    """

    config: Config
    vocabulary: Vocabulary
    tensors: Tensors
    graph: bytes
    known: KnownNames | None
    folder: Path


def metadata(config: Config) -> dict[str, str]:
    """Return the metadata to store in the graph, so that another runtime needs ``model.onnx`` alone."""
    return {
        "sequentia.format_version": str(config.format_version),
        "sequentia.vocabulary": msgspec.json.encode(config.vocabulary).decode(),
        **({"sequentia.symbols": config.symbols} if config.symbols != Vocabulary.kind else {}),
        "sequentia.block_size": str(config.block_size),
        "sequentia.max_length": str(config.max_length),
        **({"sequentia.conditions": msgspec.json.encode(config.conditions).decode()} if config.conditions else {}),
    }


def graph_of(config: Config, tensors: Tensors) -> bytes:
    """Return the contents of ``model.onnx`` for a configuration and weights: always the same bytes."""
    writer = OnnxWriter(tensors, config.inputs)
    config.architecture.network(writer, config.inputs)
    return writer.file(metadata(config))


# Reading


def read(folder: Path) -> Artifact:
    """Read and check the artifact in a folder.

    Raises:
        ModelNotFoundError: if the folder does not exist or holds no ``config.json``.
        ArtifactError: naming the file that is missing or wrong.
    """
    config = read_config(folder)
    weights = read_listed(folder, WEIGHTS, config)
    try:
        tensors = read_tensors(weights, config.architecture.tensors(config.inputs))
        config.architecture.network(Bounds(tensors, config.inputs), config.inputs)
    except ValueError as error:
        raise ArtifactError.at(folder / WEIGHTS, expected="the model of config.json", found=str(error)) from error
    graph = graph_of(config, tensors)
    if read_listed(folder, GRAPH, config) != graph:
        raise ArtifactError.at(folder / GRAPH, expected=f"the graph of {CONFIG} and {WEIGHTS}", found="another")
    vocabulary, known = config.alphabet, _read_known(folder, config)
    return Artifact(config=config, vocabulary=vocabulary, tensors=tensors, graph=graph, known=known, folder=folder)


def bundled_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(each.name for each in _bundled().iterdir() if each.is_dir())


def _bundled(*names: str) -> "Traversable":
    """Return a file or folder of the bundled models, also from a zipped package."""
    if BUNDLED.is_dir():
        return BUNDLED.joinpath(*names)
    from importlib import resources  # imported here because it takes milliseconds

    return resources.files(__package__).joinpath(BUNDLED.name, *names)


def _read_known(folder: Path, config: Config) -> KnownNames | None:
    if NOVELTY not in config.files:
        return None
    data = read_listed(folder, NOVELTY, config)
    try:
        return KnownNames.from_bytes(data)
    except ValueError as error:
        raise ArtifactError.at(folder / NOVELTY, expected="sorted 32-bit hashes", found=str(error)) from error


def read_config(folder: Path) -> Config:
    """Read and check ``config.json`` alone; see :func:`read`."""
    path = folder / CONFIG
    if not _place(folder, CONFIG).is_file():
        what = "holds no config.json" if folder.is_dir() else "does not exist"
        raise ModelNotFoundError(f"{folder}: no model here, the folder {what}", model=str(folder))
    return _decode_config(path, _read_bounded(folder, CONFIG, MAX_BYTES[CONFIG]))


def _decode_config(path: Path, data: bytes) -> Config:
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            raise _other_version(path, version)
        config = msgspec.json.decode(data, type=Config)
        _ = config.alphabet
    except (msgspec.MsgspecError, VocabularyError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError.at(path, expected="the schema of an artifact", found=str(error)) from error
    if not set(REQUIRED) <= set(config.files) <= set(FILES):
        raise ArtifactError.at(
            path, expected=f"files {sorted(REQUIRED)}, perhaps {NOVELTY}", found=f"{sorted(config.files)}"
        )
    return config


class _Versioned(msgspec.Struct):
    format_version: int


class _OfAnyVersion(_Versioned):
    files: dict[str, FileRecord]


def _other_version(path: Path, version: int) -> ArtifactError:
    when, advice = "another", COPY_AGAIN
    if version > FORMAT_VERSION:
        when, advice = "a later", "install a newer sequentia"
    elif version >= 1:
        when, advice = "an earlier", "export it again: sequentia export RUN -o DIR (RUN: its run folder)"
    found = f"{version}: it was written by {when} version of sequentia"
    return ArtifactError.at(path, expected=f"format_version {FORMAT_VERSION}", found=found, advice=advice)


def read_listed(folder: Path, name: str, config: Config) -> bytes:
    """Return the contents of a file after checking them against the size and hash in ``config.json``."""
    path, record = folder / name, config.files[name]
    if record.size > MAX_BYTES[name]:
        raise ArtifactError.at(path, expected=f"at most {MAX_BYTES[name]} bytes", found=f"{record.size}")
    data = _read_bounded(folder, name, record.size)
    found = file_record(data)
    if found != record:
        raise ArtifactError.at(
            path,
            expected=f"{record.size} bytes of sha256 {record.sha256}, as config.json says",
            found=f"{found.size} bytes of sha256 {found.sha256}",
        )
    return data


def _place(folder: Path, name: str) -> "Traversable":
    """Return the path of a file of an artifact; for a bundled model, a resource of the package."""
    if folder.parent == BUNDLED:
        return _bundled(folder.name, name)
    return folder / name


def _read_bounded(folder: Path, name: str, most: int) -> bytes:
    path = folder / name
    try:
        if folder.parent != BUNDLED:
            _check_file(folder, path, most)
        with _place(folder, name).open("rb") as file:
            data: bytes = file.read(most)
            return data
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; {COPY_AGAIN}", path=path, expected="a file", found="nothing") from error
    except OSError as error:
        raise ArtifactError.at(path, expected="a readable file", found=error.strerror or str(error)) from error


def _check_file(folder: Path, path: Path, most: int) -> None:
    size = path.stat().st_size
    if not path.is_file():
        raise ArtifactError.at(path, expected="a file", found="a folder or a device")
    if size > most:
        raise ArtifactError.at(path, expected=f"at most {most} bytes", found=f"{size}")
    # In the hub's cache, files are links to blobs, which may be on another disk. In any other folder, a link could make
    # `push` send a private file.
    if not path.resolve().is_relative_to(folder.resolve()) and snapshot_at(folder) is None:
        raise ArtifactError.at(
            path,
            expected="a file of this folder",
            found=f"a link to {path.resolve()}",
            advice="replace the link by the file",
        )


def read_card(folder: Path) -> bytes | None:
    """Return the contents of a folder's ``README.md``, which anyone may edit; None if there is none.

    Raises:
        ArtifactError: if it cannot be read.
    """
    return _read_bounded(folder, CARD, MAX_BYTES[CARD]) if _place(folder, CARD).is_file() else None


def read_pictures(folder: Path) -> dict[str, bytes]:
    """Return the pictures of a folder that a model card shows, by file name.

    Raises:
        ArtifactError: naming a picture that cannot be read or is no PNG file.
    """
    pictures = {}
    for name in SHOWN:
        path = f"{PICTURES}/{name}"
        if _place(folder, path).is_file():
            pictures[name] = _read_bounded(folder, path, MAX_PICTURE_BYTES)
            if not pictures[name].startswith(_PNG):
                advice = "delete it, or draw it again: sequentia plot RUN"
                raise ArtifactError.at(folder / path, expected="a PNG picture", found="something else", advice=advice)
    return pictures


def file_record(data: bytes) -> FileRecord:
    """Return the size and hash of a file, as ``config.json`` records them."""
    return FileRecord(size=len(data), sha256=hashlib.sha256(data).hexdigest())


# Writing


def write(
    folder: Path,
    config: Config,
    files: Mapping[str, bytes],
    pictures: Mapping[str, bytes] = MappingProxyType({}),
    *,
    own: bool = False,
) -> Config:
    """Write an artifact atomically: after a crash, the folder holds the old artifact or the new one.

    Files of an earlier artifact are replaced; other files, such as a run's checkpoint, are kept.

    Args:
        folder: the target; it and its parents are created.
        config: the configuration; this function fills in its ``files``.
        files: the contents of the other files, by name; the card is not recorded in ``config.json``.
        pictures: the contents of the subfolder ``pictures``, by name.
        own: whether a ``config.json`` in the folder is known to be a model's, so that a damaged one is replaced too.

    Returns:
        The configuration as written.

    Raises:
        ArtifactError: if the artifact could not be read back, or would overwrite files of something else.
    """
    from ._files import write_file, write_folder  # imported here because only writing needs them

    _check_target(folder, own=own)
    contents = pack(folder, config, files)
    write_folder(folder, contents, last=CONFIG, removed={*FILES, CARD} - set(files))
    for name, picture in pictures.items():
        (folder / PICTURES).mkdir(exist_ok=True)
        write_file(folder / PICTURES / name, picture)
    return _decode_config(folder / CONFIG, contents[CONFIG])


def pack(folder: Path, config: Config, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the contents of all files of an artifact by name, including ``config.json``.

    Raises:
        ArtifactError: if they could not be read back; its ``path`` lies in ``folder``.
    """
    records = {name: file_record(data) for name, data in files.items() if name != CARD}
    contents = {**files, CONFIG: format_json(msgspec.structs.replace(config, files=records))}
    _decode_config(folder / CONFIG, contents[CONFIG])
    for name, data in contents.items():
        if len(data) > MAX_BYTES[name]:
            raise ArtifactError.at(
                folder / name,
                expected=f"at most {MAX_BYTES[name]} bytes",
                found=f"{len(data)}",
                advice="a model cannot hold more",
            )
    return contents


def _check_target(folder: Path, *, own: bool) -> None:
    """Refuse to overwrite a README.md or config.json that belongs to another project."""
    another = "choose another folder"
    if folder.exists() and not folder.is_dir():
        raise ArtifactError.at(folder, expected="a folder to write to", found="a file", advice=another)
    if (folder / CONFIG).exists():
        if not own and not _holds_model(folder):
            raise ArtifactError(
                f"{folder / CONFIG} is not a model of sequentia; delete it or {another}",
                path=folder / CONFIG,
                expected="no file, or a model's",
                found="another file",
            )
    elif (folder / CARD).exists() and not (
        folder / GRAPH
    ).exists():  # a crashed write moves the graph in before the card
        raise ArtifactError.at(
            folder / CARD,
            expected="no file, or a model card",
            found="the README.md of another project",
            advice=f"delete it or {another}",
        )


def _holds_model(folder: Path) -> bool:
    """Return whether a folder's ``config.json`` is that of a model of any version, which may be overwritten."""
    try:
        config = msgspec.json.decode(_read_bounded(folder, CONFIG, MAX_BYTES[CONFIG]), type=_OfAnyVersion)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return set(REQUIRED) <= set(config.files)
