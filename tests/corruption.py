"""Corrupt artifacts in many ways, and load and use each one in its own process.

    python -m tests.corruption 2000 --seed 1

A corrupted artifact must either be refused with an ``ArtifactError`` or work as a model, within 5 seconds and one
gigabyte, and without a crash. Most are sealed: their ``config.json`` has the hashes of the corrupted files. Many are
also rebuilt: their ``model.onnx`` is the graph of the corrupted weights and config.
"""

import argparse
import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load, save

import sequentia
from sequentia import ArtifactError, GenerationError, ModelNotFoundError, artifact
from sequentia.architectures import (
    Architecture,
    BigramArchitecture,
    GRUArchitecture,
    MLPArchitecture,
    NGramArchitecture,
)
from sequentia.architectures.mlp import Layer
from sequentia.architectures.tree import Tree
from sequentia.arithmetic import LIMIT, Inputs
from sequentia.arithmetic.integers import IntegerArithmetic
from sequentia.config import Config
from sequentia.weights import read_tensors

SECONDS: Final = 5.0
BYTES: Final = 10**9
ADDRESS_SPACE: Final = 16 << 30  # bytes; protects the machine from a failing case
BUNDLED: Final = Path(sequentia.__file__).parent / "models" / "names"

OPTIONAL: Final = {"dev_not_said", "by_value", "baselines", "ending", "groups", "low_bits", "conditions"}
"""Keys of config.json that may be absent: at least in some models, or with the same effect."""

CONDITIONS: Final = {"sex": ["f", "m"], "decade": ["1990", "2000", "2010"]}

Json = dict[str, Any]
Tensors = dict[str, NDArray[Any]]


class Case:
    """An artifact to corrupt and write.

    Attributes:
        files: the contents of each file, by name.
        special: for a file to be replaced by something else, a function that creates it at a path, by name.
        random: source of every random choice.
    """

    def __init__(self, files: dict[str, bytes], random: np.random.Generator) -> None:
        self.files, self.random = dict(files), random
        self.special: dict[str, Callable[[Path], object]] = {}

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.random.integers(len(options)))]

    def pick_file(self, *, config: bool = True) -> str:
        return str(self.pick([name for name in self.files if config or name != artifact.CONFIG]))

    def seal(self) -> None:
        """Update the sizes and hashes of the files in the config."""
        config = json.loads(self.files[artifact.CONFIG])
        for name in self.files.keys() & set(artifact.FILES):
            config["files"][name] = msgspec.to_builtins(artifact.file_record(self.files[name]))
        self.files[artifact.CONFIG] = json.dumps(config).encode()

    def rebuild(self) -> None:
        """Write the graph of the config and the weights, if they have one, and seal."""
        with suppress(ValueError, UnicodeError, msgspec.MsgspecError):
            config = msgspec.json.decode(self.files[artifact.CONFIG], type=Config)
            shapes = config.architecture.tensors(config.inputs)
            self.files[artifact.GRAPH] = artifact.graph_of(config, read_tensors(self.files[artifact.WEIGHTS], shapes))
            self.seal()

    def change_config(self, change: Callable[[Json], object]) -> None:
        config = json.loads(self.files[artifact.CONFIG])
        change(config)
        self.files[artifact.CONFIG] = json.dumps(config).encode()

    def change_graph(self, change: Callable[[onnx.ModelProto], object]) -> None:
        """Change the graph until its bytes differ."""
        before = self.files[artifact.GRAPH]
        while self.files[artifact.GRAPH] == before:
            model = onnx.load_from_string(before)
            change(model)
            self.files[artifact.GRAPH] = model.SerializeToString()
        self.seal()

    def change_header(self, change: Callable[[Json], object], *, prefix: int | None = None) -> None:
        """Change the header of the weights."""
        data = self.files[artifact.WEIGHTS]
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        text = change(header) or json.dumps(header, separators=(",", ":"))
        encoded = str(text).encode()
        count = len(encoded) if prefix is None else prefix
        self.files[artifact.WEIGHTS] = count.to_bytes(8, "little") + encoded + data[8 + length :]
        self.seal()

    def change_tensors(self, change: Callable[[Tensors], object]) -> None:
        """Change the tensors, and the graph with them."""
        tensors = load(self.files[artifact.WEIGHTS])
        change(tensors)
        self.files[artifact.WEIGHTS] = save({name: np.ascontiguousarray(values) for name, values in tensors.items()})
        self.seal()
        self.rebuild()

    def become(
        self,
        architecture: Architecture,
        block_size: int,
        tensors: Tensors | None = None,
        conditions: Mapping[str, list[str]] = MappingProxyType({}),
    ) -> None:
        """Become another model of small random numbers, and the given tensors; nothing is wrong with it."""
        ids = len(json.loads(self.files[artifact.CONFIG])["vocabulary"]) + 1
        parts = {"architecture": msgspec.to_builtins(architecture), "conditions": dict(conditions)}
        self.change_config(lambda config: config.update(parts, block_size=block_size))
        values = tuple(len(each) + 1 for each in conditions.values())
        shapes = architecture.tensors(Inputs(1 if block_size > 256 else block_size, ids, values))
        numbers = {name: self.random.integers(-3, 4, shape, dtype=np.int8) for name, shape in shapes.items()}
        self.files[artifact.WEIGHTS] = save({**numbers, **(tensors or {})})
        self.seal()
        self.rebuild()

    def write(self, folder: Path) -> None:
        folder.mkdir()
        for name, data in self.files.items():
            if name not in self.special:
                (folder / name).write_bytes(data)
        for name, make in self.special.items():
            make(folder / name)


@dataclass(frozen=True)
class Kind:
    """A kind of corruption.

    Attributes:
        corrupt: function that corrupts a case.
        refused: whether every such artifact must be refused.
    """

    corrupt: Callable[[Case], object]
    refused: bool


KINDS: Final[dict[str, Kind]] = {}


def kind(name: str, *, refused: bool = False) -> Callable[[Callable[[Case], object]], Callable[[Case], object]]:
    def register(corrupt: Callable[[Case], object]) -> Callable[[Case], object]:
        KINDS[name] = Kind(corrupt, refused)
        return corrupt

    return register


# Bytes


def flip(case: Case, data: bytes, places: Sequence[int] | None = None) -> bytes:
    changed = bytearray(data)
    for _ in range(case.pick([1, 1, 2, 8])):
        place = case.random.integers(len(data)) if places is None else case.pick(places)
        changed[place] ^= 1 << case.random.integers(8)
    return bytes(changed) if bytes(changed) != data else flip(case, data, places)


def cut(case: Case, data: bytes) -> bytes:
    return data[: case.random.integers(len(data))]


def extend(case: Case, data: bytes) -> bytes:
    return data + case.random.bytes(case.pick([1, 4, 100, 1 << 16]))


def splice(case: Case, data: bytes) -> bytes:
    """Overwrite, insert, repeat or remove some bytes."""
    start, length = case.random.integers(len(data)), int(2 ** case.random.uniform(0, 12))
    middle = case.pick(
        [b"", case.random.bytes(length), data[start : start + length] * 2, bytes(length), b"\xff" * length]
    )
    return bytes(data[:start] + middle + data[start + case.pick([0, length]) :])


@kind("bytes: flipped bits", refused=True)
def _(case: Case) -> None:
    name = case.pick_file(config=False)
    case.files[name] = flip(case, case.files[name])


@kind("bytes: cut or emptied", refused=True)
def _(case: Case) -> None:
    name = case.pick_file()
    case.files[name] = case.pick([b"", cut(case, case.files[name])])


@kind("bytes: extended", refused=True)
def _(case: Case) -> None:
    name = case.pick_file()
    case.files[name] = extend(case, case.files[name])


@kind("bytes: missing file", refused=True)
def _(case: Case) -> None:
    del case.files[case.pick_file()]


@kind("bytes: swapped files", refused=True)
def _(case: Case) -> None:
    one, other = case.random.permutation(sorted(case.files))[:2]
    case.files[one], case.files[other] = case.files[other], case.files[one]


@kind("sealed bytes: swapped files", refused=True)
def _(case: Case) -> None:
    graph, weights = case.files[artifact.GRAPH], case.files[artifact.WEIGHTS]
    case.files |= {artifact.WEIGHTS: graph, artifact.GRAPH: weights}
    case.seal()


def damage(case: Case, data: bytes) -> bytes:
    """Return other bytes."""
    changed = case.pick([flip, cut, extend, splice])(case, data)
    return changed if changed != data else damage(case, data)


@kind("sealed bytes: the graph", refused=True)
def _(case: Case) -> None:
    case.files[artifact.GRAPH] = damage(case, case.files[artifact.GRAPH])
    case.seal()


@kind("sealed bytes: the weights or the list of names")
def _(case: Case) -> None:
    name = case.pick([artifact.WEIGHTS, artifact.WEIGHTS, *case.files.keys() & {artifact.NOVELTY}])
    case.files[name] = damage(case, case.files[name])
    case.seal()
    case.rebuild()


# config.json


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def odd_values() -> list[Any]:
    integers = [0, -1, 1, 2, 3, 9, 65_536, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**100]
    texts = ["", "x", "../../etc/passwd", "/dev/zero", "\0", "\ud800", "a" * 1_000_000]
    return [*integers, *texts, 0.5, 1e308, math.nan, math.inf, None, True, [], {}, [1] * 100_000, {"a": {"a": 1}}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) for every value inside a JSON value."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@kind("config: flipped bits")
def _(case: Case) -> None:
    case.files[artifact.CONFIG] = flip(case, case.files[artifact.CONFIG])


@kind("config: spliced")
def _(case: Case) -> None:
    case.files[artifact.CONFIG] = splice(case, case.files[artifact.CONFIG])


@kind("config: another value")
def _(case: Case) -> None:
    def change(config: Json) -> None:
        container, key = case.pick([*places({key: v for key, v in config.items() if key != "files"})])
        container[key] = case.pick(odd_values())

    case.change_config(change)
    if case.random.integers(2):
        case.rebuild()


@kind("config: a key added or removed", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        records = [config, config["architecture"], config["training"], config["metrics"], config["samples"]]
        record = case.pick(records)
        if case.random.integers(2):
            record[case.pick(["x", "", "__class__", "\0", "path"])] = case.pick([1, [], {}, "x" * 1_000_000])
        else:
            del record[case.pick(sorted(record.keys() - OPTIONAL))]

    case.change_config(change)


@kind("config: no config", refused=True)
def _(case: Case) -> None:
    texts = [
        "null",
        "[]",
        "{}",
        "1",
        '"x"',
        "{",
        nested(100_000),
        '{"a":' * 100_000,
        "\ufeff{}",
        "NaN",
        "x",
        "\0",
        "{}{}",
    ]
    case.files[artifact.CONFIG] = case.pick(
        [*map(str.encode, texts), b"\xff\xfe", b" " * (1 << 22), b"{" + b" " * 2**25]
    )


@kind("config: deep or long JSON", refused=True)
def _(case: Case) -> None:
    long = "[" + "1," * 1_900_000 + "1]"
    dictionary = "{" + ",".join(f'"{i}":1' for i in range(300_000)) + "}"
    text = case.files[artifact.CONFIG].decode()
    keys = ["settings", "vocabulary", "hidden_sizes", "samples", "conditions"]
    key = case.pick([key for key in keys if f'"{key}"' in text])
    value = case.pick(
        [nested(500), nested(1_000_000), '{"a":' * 1_000_000, long, dictionary if key == "samples" else long]
    )
    place = text.index(f'"{key}"')
    case.files[artifact.CONFIG] = f'{text[:place]}"{key}": {value}, {text[place:]}'.encode()


@kind("config: huge sizes", refused=True)
def _(case: Case) -> None:
    layer = {"position_bits": 0, "largest": 1, "unit_bits": 0, "weight_bits": 0}
    hidden_sizes = case.pick([[65_536] * 256, [1] * 1_000_000, [2**40], [65_536, 65_536]])
    values = [
        {**msgspec.to_builtins(mlp()), "hidden_sizes": hidden_sizes, "layers": [layer] * len(hidden_sizes)},
        {**msgspec.to_builtins(mlp()), "embedding_dim": 2**62},
        {**msgspec.to_builtins(mlp()), "direct": 8},
        {
            **msgspec.to_builtins(ngram()),
            "tree": dict.fromkeys(["states", "inner_states", "edges"], case.pick([1 << 23, 2**31, 10**30])),
        },
        {**msgspec.to_builtins(ngram()), "discounts": [0.5] * 500_000},
        {**msgspec.to_builtins(gru()), "hidden_size": 65_536},
    ]
    size = case.pick([1, 64, 1024])
    case.change_config(lambda config: config.update(architecture=case.pick(values), block_size=size))


@kind("config: another kind of model", refused=True)
def _(case: Case) -> None:
    old = json.loads(case.files[artifact.CONFIG])["architecture"]
    kinds = [msgspec.to_builtins(each()) for each in (mlp, ngram, gru, bigram)]
    values = [each for each in kinds if each["model"] != old["model"]]
    values += [{**old, "model": each["model"]} for each in values if len(old) > 2] + [{**old, "model": "x"}]
    case.change_config(lambda config: config.update(architecture=case.pick(values)))


def scales(architecture: Json) -> list[tuple[Json, str]]:
    """Return (object, key) of every number of bits and every largest position of an architecture."""
    records = [architecture, *architecture.get("layers", [])]
    return [(each, key) for each in records for key in each if key.endswith("bits") or key.startswith("largest")]


def change_scale(case: Case, values: Sequence[Any]) -> None:
    def change(config: Json) -> None:
        architecture = config["architecture"]
        found = scales(architecture)
        record, key = case.pick(found) if found else (architecture, "weight_bits")
        record[key] = case.pick([value for value in values if value != record.get(key)])

    case.change_config(change)


@kind("config: another scale", refused=True)
def _(case: Case) -> None:
    change_scale(case, [-1, 0, 1, 5, 13, 23, 24, 65_535, 65_536, 2**62, 2**64, 1.5, None])


@kind("config: another scale, with its graph")
def _(case: Case) -> None:
    change_scale(case, [0, 1, 2, 5, 9, 13, 22, 23])
    case.rebuild()


@kind("config: layers of another number", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        layers = config["architecture"].get("layers", [])
        config["architecture"]["layers"] = case.pick([[], layers[1:], [*layers, *layers, {}], [layers] * 2, layers * 2])

    if json.loads(case.files[artifact.CONFIG])["architecture"]["model"] != "mlp":
        case.become(mlp(), 3)
    case.change_config(change)
    case.rebuild()


@kind("config: another format_version", refused=True)
def _(case: Case) -> None:
    case.change_config(lambda config: config.update(format_version=case.pick([1, 0, 3, -1, 2**63, "2", 2.5, None])))
    case.rebuild()


@kind("config: another vocabulary", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        symbols = config["vocabulary"]
        more = [symbols[0], "\0", "\n", "\r", "ab", "", "!", "\ud800", 1, None, "é"]
        many = [chr(i) for i in range(0x20000, 0x20000 + case.pick([1, 1000, 400_000]))]
        config["vocabulary"] = case.pick([symbols[1:], [*symbols, case.pick(more)], [*symbols, *many], many])

    case.change_config(change)
    if case.random.integers(2):
        case.rebuild()


@kind("config: symbols exchanged")
def _(case: Case) -> None:
    """Change one symbol of the alphabet; the model is valid if its metadata change too."""

    def change(config: Json) -> None:
        symbols = config["vocabulary"]
        place = case.random.integers(len(symbols))
        symbols[place] = case.pick(["!", "\u0301", "\U0001f600", "é", symbols[0], "\n", "\u202e", " ", "ab", "\udfff"])

    case.change_config(change)
    if case.random.integers(4):
        case.rebuild()


@kind("config: conditions", refused=True)
def _(case: Case) -> None:
    """A model with conditions, of other values than its tensors have rows for, or such as may not be."""
    many = [f"{i}" for i in range(case.pick([4, 4096, 4097, 300_000]))]
    decades = CONDITIONS["decade"]
    texts = ["1990", "", "x" * 257, "x" * 2_000_000, "e\u0301", "\0", "a\nb", "\x1b[2J", "\ud800", 1990, None, []]
    wrong: list[Any] = [[], decades[:2], [*decades, "2020"], many, None, "1990", {}, 3]
    changes: list[Json] = [
        *({"decade": [*decades[:2], text]} for text in texts),
        *({"decade": value} for value in wrong),
        *({text: decades} for text in ("", "x" * 257, "e\u0301", "\0", "another")),
        {f"{i}": ["x"] for i in range(case.pick([15, 100_000]))},
    ]
    change = case.pick(changes)
    case.pick([lambda: case.become(mlp(), 3, None, CONDITIONS), lambda: case.become(gru(), 3, None, CONDITIONS)])()
    if case.random.integers(8):
        case.change_config(lambda config: config["conditions"].update(change))
    else:
        swapped = {"decade": decades, "sex": CONDITIONS["sex"]}
        others: list[Any] = [{}, [], None, "sex", {"sex": CONDITIONS["sex"]}, swapped]
        case.change_config(lambda config: config.update(conditions=case.pick(others)))
    case.rebuild()


@kind("config: max_length")
def _(case: Case) -> None:
    case.change_config(lambda config: config.update(max_length=case.pick([0, -1, 1, 2, 4096, 4097, 2**40, 1.0])))
    if case.random.integers(4):
        case.rebuild()


@kind("config: block_size", refused=True)
def _(case: Case) -> None:
    size = json.loads(case.files[artifact.CONFIG])["block_size"]
    sizes = [0, -1, size + 1, size * 2, 1024, 1025, 2**40]
    case.change_config(lambda config: config.update(block_size=case.pick(sizes)))


@kind("config: paths", refused=True)
def _(case: Case) -> None:
    name = case.pick(
        ["../secret", "/etc/passwd", "pictures/../../secret", ".", "..", "", "README.md/", "./model.onnx", "a\0"]
    )

    def change(config: Json) -> None:
        record = config["files"][artifact.GRAPH]
        if case.random.integers(2):
            del config["files"][artifact.GRAPH]
        config["files"][name] = record

    case.change_config(change)


@kind("config: records of files", refused=True)
def _(case: Case) -> None:
    values = [
        {"size": 2**62},
        {"size": -1},
        {"size": 0},
        {"size": 1.5},
        {"sha256": "0" * 64},
        {"sha256": ""},
        {"path": "/"},
    ]
    name = case.pick_file(config=False)
    case.change_config(lambda config: config["files"][name].update(case.pick(values)))


# Links, folders and other replacements of files


def link_to_copy(path: Path, data: bytes) -> None:
    """Make a link to a file outside the folder that has the right contents."""
    secret = path.parent.parent / "secret"
    secret.write_bytes(data)
    path.symlink_to(absolute_or_relative(secret, path))


def absolute_or_relative(target: Path, path: Path) -> Path:
    return target if len(str(path)) % 2 else Path(os.path.relpath(target, path.parent))


@kind("files: links out of the folder", refused=True)
def _(case: Case) -> None:
    name = case.pick_file()
    case.special[name] = partial(link_to_copy, data=case.files[name])


@kind("files: links to devices, folders and nothing", refused=True)
def _(case: Case) -> None:
    target = case.pick(["/dev/zero", "/dev/stdin", "/proc/self/mem", "/", ".", "nothing", artifact.GRAPH])
    case.special[artifact.GRAPH if target == artifact.GRAPH else case.pick_file()] = lambda path: path.symlink_to(
        target
    )


@kind("files: folders, pipes and sockets", refused=True)
def _(case: Case) -> None:
    case.special[case.pick_file()] = case.pick([os.mkfifo, Path.mkdir])


@kind("files: sparse and huge", refused=True)
def _(case: Case) -> None:
    size = case.pick([5 << 20, 1 << 31, 1 << 40])
    name = case.pick_file()

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    case.special[name] = make
    if name != artifact.CONFIG:
        case.change_config(lambda config: config["files"][name].update(size=size))


@kind("files: links within the folder")
def _(case: Case) -> None:
    name = case.pick_file()
    case.files["copy"] = case.files[name]
    case.special[name] = lambda path: path.symlink_to("copy")


# model.safetensors


@kind("weights: header", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> None:
        name = case.pick(sorted(header))
        entry = header[name]
        values = [
            {"shape": [2**62, 4]}, {"shape": [-1]}, {"shape": []}, {"shape": [1] * 100_000}, {"shape": [10**30]},
            {"dtype": "F64"}, {"dtype": "BF16"}, {"dtype": "I64"}, {"dtype": "x" * 100_000}, {"dtype": None},
            {"data_offsets": [0, 2**63]}, {"data_offsets": [-8, 0]}, {"data_offsets": [8, 4]}, {"data_offsets": [0]},
            {"x": 1},
        ]  # fmt: skip
        entry.update(case.pick(values))

    case.change_header(change)


@kind("weights: a tensor renamed or added", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> None:
        name = case.pick(sorted(header))
        entry = header[name] if case.random.integers(2) else header.pop(name)
        header[case.pick(["x", "", "../x", "a" * 100_000])] = entry

    case.change_header(change)


@kind("weights: tensors over the same bytes", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> None:
        entry = header[case.pick(sorted(header))]
        start, end = entry["data_offsets"]
        shift = case.pick([-start, 4, -4]) or 4
        entry["data_offsets"] = [start + shift, end + shift]

    case.change_header(change)


@kind("weights: repeated keys", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> str:
        name = case.pick(sorted(header))
        entry = json.dumps(header[name])
        inner = entry[:-1] + ',"dtype":"I8"}'
        text = json.dumps({**header, name: 0})
        return text.replace(f'"{name}": 0', case.pick([f'"{name}": {entry}, "{name}": {entry}', f'"{name}": {inner}']))

    case.change_header(change)


@kind("weights: long, deep or false header", refused=True)
def _(case: Case) -> None:
    texts = [
        nested(100_000),
        '{"a":' * 100_000,
        "{" + ",".join(f'"{i}":1' for i in range(400_000)) + "}",
        "{}",
        " ",
        "\0",
    ]
    metadata = '{"__metadata__":{"a":"' + "x" * (2 << 20) + '"}}'
    case.change_header(
        lambda _: case.pick([*texts, metadata]), prefix=case.pick([None, None, 0, 2**32, 2**63, 2**64 - 1])
    )


def replace(case: Case, make: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """Replace one tensor."""

    def change(tensors: Tensors) -> None:
        name = case.pick(sorted(tensors))
        tensors[name] = make(tensors[name])

    case.change_tensors(change)


@kind("weights: other dtypes", refused=True)
def _(case: Case) -> None:
    dtype = case.pick([np.float64, np.float32, np.float16, np.int64, np.uint8, np.uint16, np.uint32, np.bool_])
    replace(case, lambda values: values.astype(dtype))


@kind("weights: wider whole numbers")
def _(case: Case) -> None:
    replace(case, lambda values: values.astype(np.int32))


@kind("weights: other shapes", refused=True)
def _(case: Case) -> None:
    makes: list[Callable[[NDArray[Any]], NDArray[Any]]] = [
        lambda values: values[None],
        lambda values: values[:-1],
        lambda values: np.concatenate([values, values[:1]]),
        lambda values: values.reshape(-1, 1, 1),
        lambda values: values[:0],
    ]
    replace(case, case.pick(makes))


@kind("weights: a number that float32 may not hold", refused=True)
def _(case: Case) -> None:
    """Numbers of 2^24 and more, which the rest of a sum may cancel."""

    def make(values: NDArray[Any]) -> NDArray[Any]:
        made = values.astype(np.int32)
        made.flat[case.random.integers(made.size)] = case.pick([LIMIT, -LIMIT, LIMIT + 1, 2**31 - 1, -(2**31)])
        return made

    replace(case, make)


@kind("weights: large numbers")
def _(case: Case) -> None:
    """Numbers below 2^24, whose sums may not be."""
    largest = int(2 ** case.random.uniform(1, 24))
    numbers = [lambda shape: case.random.integers(-largest, largest, shape), lambda shape: np.full(shape, -largest)]
    make = case.pick(numbers)
    replace(case, lambda values: make(values.shape).astype(np.int32))


@kind("weights: a sum that reaches 2^24", refused=True)
def _(case: Case) -> None:
    """Each number is small, and so is the sum in int64 in one of these cases, because it wraps round."""
    ids, units = len(json.loads(case.files[artifact.CONFIG])["vocabulary"]) + 1, 65_536
    largest = case.pick([LIMIT - 1, 4096, 300])
    wide = mlp([units], "tanh", largest=3)
    tensors: Tensors = {
        "first.0": np.zeros((ids, units), np.int8),
        "layer.0.activation": np.full(4, case.pick([largest, -largest]), np.int32),
        "layer.0.weight": np.full((units, ids), largest, np.int32),
    }
    case.become(wide, 1, tensors)


# Models of each kind


def mlp(hidden_sizes: Sequence[int] = (5, 7), activation: Any = "relu", *, direct: int = 0, largest: int = 9) -> Any:
    layers = [Layer(position_bits=1, largest=largest, unit_bits=2, weight_bits=2, low_bits=1) for _ in hidden_sizes]
    sizes: Json = {"parameters": 0, "embedding_dim": 2, "hidden_sizes": list(hidden_sizes), "layers": layers}
    return MLPArchitecture(
        **sizes, activation=activation, batch_norm="none", direct=direct, first_bits=2, direct_bits=3
    )


def gru(units: int = 5) -> Any:
    bits = {"position_bits": 2, "gate_bits": 3, "state_bits": 4, "weight_bits": 3, "low_bits": 1}
    sizes: Json = {"parameters": 0, "embedding_dim": 2, "hidden_size": units, "largest_sigmoid": 8, "largest_tanh": 9}
    return GRUArchitecture(**bits, **sizes, output_bits=3, output_low_bits=0)


def ngram(order: int = 3, states: int = 9) -> Any:
    tree = Tree(states=states, inner_states=states, edges=2 * states)
    return NGramArchitecture(parameters=0, order=order, discounts=[0.5], tree=tree)


def bigram() -> Any:
    return BigramArchitecture(parameters=0)


def longer(case: Case, states: int = 9) -> Tensors:
    """Return random steps of an n-gram model between states."""
    reached = case.random.integers(0, states, 2 * states, dtype=np.int32)
    return {"table.gaps": case.random.integers(1, 4, 2 * states, dtype=np.int32), "table.reached": reached}


def start(case: Case) -> NDArray[Any]:
    """Return random first states of an n-gram model with conditions."""
    return case.random.integers(0, 9, 12, dtype=np.int32)


@kind("another model: nothing wrong")
def _(case: Case) -> None:
    case.pick(
        [
            lambda: case.become(mlp(activation=case.pick(["tanh", "relu"]), direct=case.pick([0, 2])), 3),
            lambda: case.become(gru(), case.pick([1, 4])),
            lambda: case.become(ngram(), 2, longer(case)),
            lambda: case.become(bigram(), 1),
            lambda: case.become(mlp(), 3, None, CONDITIONS),
            lambda: case.become(gru(), 3, None, CONDITIONS),
            lambda: case.become(ngram(), 2, {**longer(case), "start": start(case)}, CONDITIONS),
        ]
    )()


@kind("another model: an index outside its table", refused=True)
def _(case: Case) -> None:
    """A state that an n-gram model has no row for, or a step that has no place."""
    steps, first = longer(case), start(case)
    wrong = case.pick([-1, 9, 10, 1000, LIMIT - 1, LIMIT, -(2**31)])
    name, values = case.pick([("table.reached", [wrong]), ("table.gaps", [-1, 0, 1000, LIMIT - 1]), ("start", [wrong])])
    if name == "start":
        first[case.random.integers(len(first))] = wrong
        case.become(ngram(), case.pick([2, 5]), {**steps, "start": first}, CONDITIONS)
    else:
        place = 0 if name == "table.reached" else case.random.integers(1, len(steps[name]))
        steps[name][place] = case.pick(values)
        case.become(ngram(), case.pick([2, 5]), steps)


@kind("another model: conditions that it cannot have", refused=True)
def _(case: Case) -> None:
    """Tables for a million combinations of values, or a kind of model without conditions."""
    many = {f"{i}": [f"{value}" for value in range(99)] for i in range(3)}
    architecture, conditions = case.pick([(gru(), many), (ngram(), many), (bigram(), CONDITIONS), (bigram(), many)])
    case.become(architecture, 1 if architecture == bigram() else 2)
    case.change_config(lambda config: config.update(conditions=conditions))
    case.rebuild()


@kind("another model: a context too short", refused=True)
def _(case: Case) -> None:
    """The architecture reads more symbols than there are."""
    values, size = case.pick([({"direct": 3}, 2), ({"order": 4}, 2), ({"order": 64}, 62)])
    case.become(mlp(direct=2) if "direct" in values else ngram(), 3)
    case.change_config(lambda config: (config.update(block_size=size), config["architecture"].update(values)))
    case.rebuild()


@kind("another model: a context too long", refused=True)
def _(case: Case) -> None:
    """A recurrent network of a hundred thousand nodes, or one that multiplies its weights again and again."""
    units, size = case.pick([(5, 257), (5, 1024), (900, 256), (900, 200)])
    case.become(gru(units), size)


@kind("another model: look-ups without end", refused=True)
def _(case: Case) -> None:
    """Two hundred activations of 65,536 units."""
    case.become(mlp([65_536, 1] * 60, "tanh"), 1)


# novelty.crc32


@kind("novelty: another list")
def _(case: Case) -> None:
    data = case.files.get(artifact.NOVELTY, b"")
    values = np.frombuffer(data, "<u4")
    lists = [
        b"",
        b"\0",
        data + b"\xff" * 4,
        values[::-1].tobytes(),
        values[::2].tobytes(),
        bytes(8),
        data * 2,
        bytes(2 << 20),
    ]
    case.files[artifact.NOVELTY] = case.pick(lists)
    case.seal()


# model.onnx: it is never parsed, and the smallest difference is one too many


@kind("graph: other nodes", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        nodes = model.graph.node
        place = case.random.integers(len(nodes))
        names = sorted({name for node in nodes for name in (*node.input, *node.output)} | {"", "x"})
        case.pick(
            [
                lambda: setattr(nodes[place], "op_type", case.pick(["Add", "Gather", "Tanh", "If", "", "x" * 1000])),
                lambda: setattr(nodes[place], "domain", case.pick(["com.microsoft", "com.evil", "x" * 100_000])),
                lambda: nodes[place].input.__setitem__(0, case.pick(names)),
                lambda: nodes.remove(nodes[place]),
                lambda: nodes.append(nodes[place]),
            ]
        )()

    case.change_graph(change)


@kind("graph: other constants", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = case.pick(model.graph.initializer)
        what = case.random.integers(3)
        if what == 0:
            tensor.dims.extend([case.pick([2**62, 2**31, -1, 0])] * case.pick([1, 1000]))
        elif what == 1:
            tensor.raw_data = flip(case, tensor.raw_data)
        else:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            place = case.pick(["../../etc/passwd", "/etc/passwd", artifact.CONFIG, artifact.WEIGHTS, ""])
            tensor.external_data.add(key="location", value=place)

    case.change_graph(change)


@kind("graph: a bomb", refused=True)
def _(case: Case) -> None:
    """A tensor of 4 TiB that is added to the logits."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([2**20, 2**20]), "shape"))
        model.graph.node[-1].output[0] = "honest"
        bomb = helper.make_node("ConstantOfShape", ["shape"], ["bomb"])
        model.graph.node.extend([bomb, helper.make_node("Add", ["honest", "bomb"], ["logits"])])

    case.change_graph(change)


@kind("graph: written by another program", refused=True)
def _(case: Case) -> None:
    """The same network, in other bytes."""

    def change(model: onnx.ModelProto) -> None:
        case.pick(
            [
                lambda: setattr(model, "doc_string", "x"),
                lambda: model.metadata_props.add(key="x", value=case.pick(["", "x" * 1_000_000])),
                lambda: model.functions.add(name="f", domain=""),
                lambda: setattr(case.pick(model.graph.initializer), "doc_string", "x"),
            ]
        )()

    case.change_graph(change)


# Running


@dataclass(frozen=True)
class Outcome:
    """The result of using a corrupted artifact.

    Attributes:
        index: index of the case.
        kind: kind of corruption.
        result: ``refused``, ``valid`` or ``FAILED``.
        message: the error.
        seconds: time taken.
        megabytes: peak memory of the process.
    """

    index: int
    kind: str
    result: str
    message: str
    seconds: float
    megabytes: int


def use(folder: Path) -> None:
    """Load a model and check that it works, exactly."""
    model = sequentia.load(folder)
    config, ids = model.config, model.vocabulary.size
    random = np.random.Generator(np.random.PCG64(0))
    contexts = random.integers(0, ids, (100, config.block_size))
    said = random.integers(0, config.inputs.values, (100, len(config.inputs.values)))
    arithmetic = IntegerArithmetic(artifact.read(folder).tensors, contexts, said)
    expected = config.architecture.network(arithmetic, config.inputs)
    assert np.array_equal(model.logits(contexts, said).astype(np.float64) * 256, expected), "the logits are inexact"
    where = {name: random.choice(values) for name, values in model.conditions.items()}
    alphabet = set(model.vocabulary.symbols)
    try:
        names = model.generate(20, seed=1, where=where)
        assert len(names) == 20
    except GenerationError:
        assert model.probability(where=where).value < 2**-17, "names end in time, but none is generated"
        names = [model.vocabulary.symbols[0]]
    assert all(set(name) <= alphabet and 1 <= len(name) <= config.max_length for name in names), names
    scores = model.score(names, where=where)
    assert np.isfinite(scores).all(), scores
    for prefix in ("", names[0][:1]):
        probabilities = model.next_symbols(prefix)
        assert probabilities.keys() == alphabet | {""}
        assert abs(sum(probabilities.values()) - 1) < 1e-6, probabilities
    model.logits(np.zeros((1000, config.block_size), dtype=np.int64))  # larger runs too


def try_to_use(folder: Path) -> tuple[str, str]:
    try:
        use(folder)
    except ArtifactError as error:
        return "refused", str(error)
    except ModelNotFoundError as error:
        return ("FAILED" if (folder / artifact.CONFIG).is_file() else "refused"), str(error)
    except BaseException:  # noqa: BLE001 - any other error is a failure
        return "FAILED", traceback.format_exc(limit=-6)
    return "valid", ""


def use_in_process(folder: Path) -> tuple[str, str, float, int]:
    """Use an artifact in a forked process; return result, message, seconds and megabytes."""
    reader, writer = os.pipe()
    start = perf_counter()
    pid = os.fork()
    if not pid:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)  # hides onnxruntime's warnings
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        result, message = try_to_use(folder)
        os.write(writer, json.dumps([result, message[-4000:]]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    _, status, usage = os.wait4(pid, 0)
    seconds, megabytes = perf_counter() - start, usage.ru_maxrss // 1000
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        why = f"more than {SECONDS:g} s" if name == "SIGALRM" else f"ended by {name}"
        return "FAILED", why, seconds, megabytes
    result, message = json.loads(text) if text else ("FAILED", f"exit status {status}")
    if megabytes * 1000_000 > BYTES:
        result, message = "FAILED", f"{megabytes} MB; {result}: {message}"
    return result, message, seconds, megabytes


def attempt(index: int, *, seed: int, files: dict[str, bytes]) -> Outcome:
    """Make a corrupted artifact and use it in a process."""
    name = list(KINDS)[index % len(KINDS)]
    case = Case(files, np.random.Generator(np.random.PCG64([seed, index])))
    KINDS[name].corrupt(case)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        case.write(folder)
        result, message, seconds, megabytes = use_in_process(folder)
    message = message.replace(str(folder) + "/", "")
    if result == "valid" and KINDS[name].refused:
        result, message = "FAILED", "accepted, but must be refused"
    return Outcome(index, name, result, message, seconds, megabytes)


def outcomes_of(model: Path, indices: Sequence[int], *, seed: int, jobs: int) -> Iterator[Outcome]:
    """Yield the outcomes of the corrupted artifacts with some indices."""
    names = [artifact.CONFIG, *(name for name in artifact.FILES if (model / name).exists())]
    files = {name: (model / name).read_bytes() for name in names}
    sequentia.load()  # imports onnxruntime once, before the forks
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(partial(attempt, seed=seed, files=files), indices, chunksize=8)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table of the results by kind, with the slowest and the largest case."""
    counts = Counter((outcome.kind, outcome.result) for outcome in outcomes)
    totals = Counter(outcome.result for outcome in outcomes)
    results = ("refused", "valid", "FAILED")
    width = max(map(len, KINDS))
    rows = [(name, [counts[name, result] for result in results]) for name in KINDS]
    rows = [row for row in rows if any(row[1])] + [("all", [totals[result] for result in results])]
    lines = [f"{'kind':{width}} {'refused':>8} {'valid':>8} {'FAILED':>8}"]
    lines += [f"{name:{width}} " + " ".join(f"{count:8}" for count in row) for name, row in rows]
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.megabytes)
    lines.append(f"slowest: {slowest.seconds:.2f} s, {slowest.kind} ({slowest.index})")
    lines.append(f"largest: {largest.megabytes} MB, {largest.kind} ({largest.index})")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corruption", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=2000, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, default=BUNDLED, metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, metavar="INDEX", help="run only this case, and print its result")
    options = parser.parse_args()
    indices = range(options.count) if options.only is None else [options.only]
    outcomes = list(outcomes_of(options.model, indices, seed=options.seed, jobs=options.jobs))
    failed = [outcome for outcome in outcomes if outcome.result == "FAILED"]
    if options.only is None:
        print(table(outcomes))
    for outcome in outcomes if options.only is not None else failed:
        print(f"\n{outcome.index}: {outcome.kind}: {outcome.result}, {outcome.seconds:.2f} s, {outcome.megabytes} MB")
        print(outcome.message)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
