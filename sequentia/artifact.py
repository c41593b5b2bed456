"""The artifact folder, format version 1: its schema, and how it is read, checked and written.

    config.json        everything about the model that is not a number of its network
    model.safetensors  the weights
    model.onnx         the network, in one self-contained file
    README.md          the model card

``config.json`` records the size and SHA-256 of the other three. Nothing here trusts a file: sizes are checked
before reading, hashes before parsing, and the graph before a session is opened on it.
"""

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta

from .errors import ArtifactError, ModelNotFoundError, VocabularyError
from .vocabulary import Vocabulary

FORMAT_VERSION: Final = 1
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
GRAPH: Final = "model.onnx"
CARD: Final = "README.md"
FILES: Final = (WEIGHTS, GRAPH, CARD)

MAX_BLOCK_SIZE: Final = 1024
MAX_LENGTH: Final = 4096
_MAX_BYTES: Final = {CONFIG: 16 << 20, WEIGHTS: 1 << 30, GRAPH: 1 << 30, CARD: 16 << 20}

BlockSize = Annotated[int, Meta(ge=1, le=MAX_BLOCK_SIZE)]
Count = Annotated[int, Meta(ge=0)]
Width = Annotated[int, Meta(ge=1, le=65_536)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Activation = Literal["tanh", "relu", "gelu"]
SplitName = Literal["lecture", "dedup", "all"]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A JSON object whose every key is known and typed."""


class Architecture(_Record, frozen=True):
    """The network, in enough detail to rebuild it around the weights."""

    network: Literal["mlp"]
    embedding_dim: Width
    hidden_sizes: list[Width]
    activation: Activation
    parameters: Count


class CorpusRecord(_Record, frozen=True):
    """What a model was trained on. The corpus itself is not part of an artifact."""

    file: str
    sha256: Sha256
    names: Count
    distinct: Count
    symbols: Count


class Training(_Record, frozen=True):
    """Where a model came from: enough to train it again."""

    corpus: CorpusRecord
    split: SplitName
    recipe: str
    overrides: list[str]
    settings: dict[str, bool | int | float | str | list[int]]
    seed: int
    versions: dict[str, str]


class Loss(_Record, frozen=True):
    """Mean negative log-likelihood in nats per symbol, the boundary after each name included."""

    loss: float
    names: Count
    symbols: Count


class Metrics(_Record, frozen=True):
    """Losses by part of the split; ``None`` where the part is empty. Unseen names are in no training part."""

    train: Loss | None
    dev: Loss | None
    test: Loss | None
    dev_unseen: Loss | None
    test_unseen: Loss | None


class FileRecord(_Record, frozen=True):
    """Size in bytes and hash of one file of the artifact."""

    size: Count
    sha256: Sha256


class Config(_Record, frozen=True):
    """``config.json``."""

    format_version: int
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    vocabulary: Annotated[list[str], Meta(min_length=1)]
    block_size: BlockSize
    max_length: Annotated[int, Meta(ge=1, le=MAX_LENGTH)]
    architecture: Architecture
    training: Training
    metrics: Metrics
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Artifact:
    """A checked artifact: all that inference needs, independent of the folder it came from."""

    config: Config
    vocabulary: Vocabulary
    graph: bytes


def metadata(config: Config) -> dict[str, str]:
    """Return what a graph carries of its config, so that ``model.onnx`` alone is enough for another runtime."""
    return {
        "sequentia.format_version": str(config.format_version),
        "sequentia.vocabulary": msgspec.json.encode(config.vocabulary).decode(),
        "sequentia.block_size": str(config.block_size),
        "sequentia.max_length": str(config.max_length),
    }


# Reading


def read(folder: Path) -> Artifact:
    """Read and check the artifact in a folder.

    Raises:
        ModelNotFoundError: if the folder does not exist or holds no ``config.json``.
        ArtifactError: naming the file that is not what it must be.
    """
    if not (folder / CONFIG).is_file():
        what = "holds no config.json" if folder.is_dir() else "does not exist"
        raise ModelNotFoundError(f"{folder}: no model here, the folder {what}", model=str(folder))
    config = read_config(folder)
    contents = {name: _read_file(folder, name, record) for name, record in config.files.items()}
    graph = contents[GRAPH]
    _check_graph(folder / GRAPH, graph)
    return Artifact(config=config, vocabulary=Vocabulary(config.vocabulary), graph=graph)


def read_config(folder: Path) -> Config:
    """Read and check ``config.json`` alone; see :func:`read`."""
    path = folder / CONFIG
    data = _read_bounded(path, _MAX_BYTES[CONFIG])
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            raise ArtifactError.at(
                path,
                expected=f"format_version {FORMAT_VERSION}",
                found=f"{version}: it was written by another version of sequentia",
            )
        config = msgspec.json.decode(data, type=Config)
        Vocabulary(config.vocabulary)
    except (msgspec.MsgspecError, VocabularyError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError.at(path, expected="the schema of an artifact", found=str(error)) from error
    if set(config.files) != set(FILES):
        raise ArtifactError.at(path, expected=f"files {sorted(FILES)}", found=f"{sorted(config.files)}")
    return config


class _Versioned(msgspec.Struct):
    format_version: int


def _read_file(folder: Path, name: str, record: FileRecord) -> bytes:
    path = folder / name
    data = _read_bounded(path, _MAX_BYTES[name])
    found = file_record(data)
    if found != record:
        raise ArtifactError.at(
            path,
            expected=f"{record.size} bytes of sha256 {record.sha256}, as config.json says",
            found=f"{found.size} bytes of sha256 {found.sha256}",
        )
    return data


def _read_bounded(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ArtifactError.at(path, expected="a readable file", found=error.strerror or str(error)) from error
    if len(data) > most:
        raise ArtifactError.at(path, expected=f"at most {most} bytes", found="more")
    return data


def file_record(data: bytes) -> FileRecord:
    """Return the size and hash under which ``config.json`` lists a file."""
    return FileRecord(size=len(data), sha256=hashlib.sha256(data).hexdigest())


# The graph file, looked through without the onnx package: where a protobuf message of onnx.proto holds others.
# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_NESTED: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_NODE_DOMAIN: Final = 7
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_RAW, _TENSOR_DOUBLES, _TENSOR_EXTERNAL, _TENSOR_LOCATION = (
    2,
    4,
    9,
    10,
    13,
    14,
)
_FLOAT_DTYPES: Final = {1: "<f4", 10: "<f2", 11: "<f8"}


def _check_graph(path: Path, graph: bytes) -> None:
    """Refuse external data, operators of foreign domains, and weights that are NaN or infinite."""
    try:
        for kind, message in _messages(memoryview(graph), "Model"):
            if kind == "Tensor":
                _check_tensor(path, list(_fields(message)))
            elif kind == "Node":
                for number, value in _fields(message):
                    if number == _NODE_DOMAIN and bytes(value) not in (b"", b"ai.onnx"):
                        raise ArtifactError.at(
                            path, expected="standard operators", found=f"the operator domain {bytes(value)!r}"
                        )
    except ArtifactError:
        raise
    except (ValueError, IndexError) as error:
        raise ArtifactError.at(path, expected="an ONNX model", found=f"a damaged file ({error})") from error


def _check_tensor(path: Path, fields: list[tuple[int, memoryview]]) -> None:
    dtype = ""
    for number, value in fields:
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and len(value)):
            raise ArtifactError.at(path, expected="one self-contained file", found="a tensor with external data")
        if number == _TENSOR_TYPE:
            dtype = _FLOAT_DTYPES.get(int.from_bytes(value, "little"), "")
    stored = {_TENSOR_RAW: dtype, _TENSOR_FLOATS: "<f4", _TENSOR_DOUBLES: "<f8"}
    for number, value in fields:
        if dtype and number in stored and not np.isfinite(np.frombuffer(value, stored[number])).all():
            raise ArtifactError.at(path, expected="finite weights", found="NaN or infinity")


def _messages(message: memoryview, kind: str, depth: int = 0) -> Iterator[tuple[str, memoryview]]:
    if depth > 32:
        raise ValueError("nested too deeply")
    yield kind, message
    nested = _NESTED.get(kind, {})
    if nested:
        for number, value in _fields(message):
            if number in nested:
                yield from _messages(value, nested[number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (field number, payload) of a protobuf message; a varint's payload is its value, little-endian."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield number, memoryview(value.to_bytes((value.bit_length() + 7) // 8, "little"))
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
        if length > len(message) - position:
            raise ValueError(f"a field of {length} bytes is cut short")
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"an overlong number at byte {position}")


# Writing


def write(folder: Path, config: Config, files: Mapping[str, bytes]) -> None:
    """Write an artifact, wholly or not at all: a killed process leaves what was there, or the new artifact.

    Other files of an existing folder (a run's checkpoint, say) are kept.

    Args:
        folder: the target; its parents are created.
        config: the configuration; its ``files`` are filled in here.
        files: the contents of the three other files, by name.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    records = {name: file_record(files[name]) for name in FILES}
    config = msgspec.structs.replace(config, files=records)
    contents = {**files, CONFIG: msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        staging = Path(temporary) / folder.name
        if folder.is_dir():
            shutil.copytree(folder, staging, copy_function=_link_or_copy, ignore=shutil.ignore_patterns(*contents))
        staging.mkdir(exist_ok=True)
        for name, data in contents.items():
            with (staging / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if folder.is_dir():
            _exchange(staging, folder)
        else:
            staging.rename(folder)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _exchange(staging: Path, folder: Path) -> None:
    """Swap two folders in one step where the system can (Linux, macOS), else in two renames."""
    libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    swap = getattr(libc, "renamex_np" if sys.platform == "darwin" else "renameat2", None)
    if swap is not None:
        old, new, rename_swap = os.fsencode(staging), os.fsencode(folder), ctypes.c_uint(2)
        here = () if sys.platform == "darwin" else (-100,)  # AT_FDCWD
        if swap(*here, old, *here, new, rename_swap) == 0:
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    previous = staging.with_name(staging.name + ".old")
    folder.rename(previous)
    staging.rename(folder)
