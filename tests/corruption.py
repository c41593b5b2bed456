"""Corrupts artifacts in every way it knows, and has each loaded and used by a process of its own.

    python -m tests.corruption 2000 --seed 1

A corrupted artifact has to be refused with an ``ArtifactError``, or to be a model that works: within 5 seconds and a
gigabyte, and without a crash. Most are sealed: their ``config.json`` holds the hashes of what was corrupted.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import sequentia
from sequentia import ArtifactError, ModelNotFoundError, artifact

SECONDS: Final = 5.0
BYTES: Final = 10**9
ADDRESSES: Final = 16 << 30  # so that a failure does not take the machine with it
BUNDLED: Final = Path(sequentia.__file__).parent / "models" / "names"

Json = dict[str, Any]


class Case:
    """An artifact in the making.

    Attributes:
        files: its contents by name.
        special: what is put in the place of a file, by name: a function that makes it at a path.
        random: source of every choice.
    """

    def __init__(self, files: dict[str, bytes], random: np.random.Generator) -> None:
        self.files, self.random = dict(files), random
        self.special: dict[str, Callable[[Path], object]] = {}

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.random.integers(len(options)))]

    def pick_file(self, *, config: bool = True) -> str:
        return str(self.pick([name for name in self.files if config or name != artifact.CONFIG]))

    def pick_sealed(self) -> str:
        """Pick a file that is more than text, the graph most often."""
        return str(
            self.pick([artifact.GRAPH, artifact.GRAPH, artifact.WEIGHTS, *self.files.keys() & {artifact.NOVELTY}])
        )

    def seal(self) -> None:
        """List the files under their hashes."""
        for name in artifact.FILES:
            if name in self.files:
                record = msgspec.to_builtins(artifact.file_record(self.files[name]))
                self.change_config(partial(_list_file, name=name, record=record))

    def change_config(self, change: Callable[[Json], object]) -> None:
        config = json.loads(self.files[artifact.CONFIG])
        change(config)
        self.files[artifact.CONFIG] = json.dumps(config).encode()

    def change_graph(self, change: Callable[[onnx.ModelProto], object]) -> None:
        model = onnx.load_from_string(self.files[artifact.GRAPH])
        change(model)
        self.files[artifact.GRAPH] = model.SerializeToString()
        self.seal()

    def change_weights(self, change: Callable[[Json], object], *, prefix: int | None = None) -> None:
        """Change the header of the weights."""
        data = self.files[artifact.WEIGHTS]
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        text = change(header) or json.dumps(header, separators=(",", ":"))
        encoded = str(text).encode()
        count = len(encoded) if prefix is None else prefix
        self.files[artifact.WEIGHTS] = count.to_bytes(8, "little") + encoded + data[8 + length :]
        self.seal()

    def carry_metadata(self) -> None:
        """Have the graph say what the config says, as far as that can be said."""
        config = json.loads(self.files[artifact.CONFIG])
        keys = ("format_version", "vocabulary", "block_size", "max_length")
        compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
        texts = {f"sequentia.{key}": compact.encode(config.get(key)).encode(errors="replace") for key in keys}
        self.change_graph(
            lambda model: helper.set_model_props(model, {key: text.decode() for key, text in texts.items()})
        )

    def write(self, folder: Path) -> None:
        folder.mkdir()
        for name, data in self.files.items():
            if name not in self.special:
                (folder / name).write_bytes(data)
        for name, make in self.special.items():
            make(folder / name)


def _list_file(config: Json, name: str, record: Json) -> None:
    config["files"][name] = record


@dataclass(frozen=True)
class Kind:
    """A kind of corruption.

    Attributes:
        corrupt: does it.
        refused: whether every such artifact has to be refused.
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
    """Overwrite, insert, repeat or take out some bytes."""
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
    one, other = case.random.permutation([artifact.WEIGHTS, artifact.GRAPH, artifact.CARD])[:2]
    case.files[one], case.files[other] = case.files[other], case.files[one]
    case.seal()


@kind("sealed bytes: flipped bits")
def _(case: Case) -> None:
    name = case.pick_sealed()
    case.files[name] = flip(case, case.files[name])
    case.seal()


@kind("sealed bytes: cut or extended")
def _(case: Case) -> None:
    name = case.pick_sealed()
    case.files[name] = case.pick([cut, extend])(case, case.files[name])
    case.seal()


@kind("sealed bytes: spliced")
def _(case: Case) -> None:
    name = case.pick_sealed()
    case.files[name] = splice(case, case.files[name])
    case.seal()


@kind("sealed bytes: the start of a file")
def _(case: Case) -> None:
    name = case.pick_sealed()
    case.files[name] = flip(case, case.files[name], range(min(256, len(case.files[name]))))
    case.seal()


@kind("sealed bytes: the structure of the graph")
def _(case: Case) -> None:
    """All but the numbers of its weights."""
    data = case.files[artifact.GRAPH]
    free = np.ones(len(data), dtype=bool)
    for tensor in onnx.load_from_string(data).graph.initializer:
        start = data.find(tensor.raw_data)
        free[start : start + len(tensor.raw_data)] = len(tensor.raw_data) < 64
    case.files[artifact.GRAPH] = flip(case, data, np.flatnonzero(free).tolist())
    case.seal()


# config.json


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def odd_values() -> list[Any]:
    integers = [0, -1, 1, 2, 3, 9, 65_536, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**100]
    texts = ["", "x", "../../etc/passwd", "/dev/zero", "\0", "\ud800", "a" * 1_000_000]
    return [*integers, *texts, 0.5, 1e308, math.nan, math.inf, None, True, [], {}, [1] * 100_000, {"a": {"a": 1}}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of everything in a JSON value."""
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
        case.carry_metadata()


@kind("config: another value at the top", refused=True)
def _(case: Case) -> None:
    key = case.pick(["format_version", "vocabulary", "block_size", "architecture", "training", "metrics", "files"])
    value = case.pick([None, [], {}, -1, 0, 2**70, "x", 1.5])
    case.change_config(lambda config: config.update({key: value}))


@kind("config: a key more or less", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        records = [config, config["architecture"], config["training"], config["metrics"], config["samples"]]
        record = case.pick(records)
        if case.random.integers(2):
            record[case.pick(["x", "", "__class__", "\0", "path"])] = case.pick([1, [], {}, "x" * 1_000_000])
        else:
            del record[case.pick(sorted(record))]

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
    text, key = case.files[artifact.CONFIG].decode(), case.pick(["settings", "vocabulary", "hidden_sizes", "samples"])
    value = case.pick(
        [nested(500), nested(1_000_000), '{"a":' * 1_000_000, long, dictionary if key == "samples" else long]
    )
    place = text.index(f'"{key}"')
    case.files[artifact.CONFIG] = f'{text[:place]}"{key}": {value}, {text[place:]}'.encode()


@kind("config: huge sizes", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        sizes = {"hidden_sizes": case.pick([[65_536] * 256, [1] * 1_000_000, [2**40], [65_536, 65_536]])}
        mlp = {"embedding_dim": case.pick([65_536, 2**62]), **sizes} | case.pick([{}, {"direct": 8}])
        ngram = {"order": case.pick([1, 64, 65]), "discounts": case.pick([[0.5], [0.5] * 500_000])}
        kinds = [
            {**config["architecture"], **mlp},
            {"model": "ngram", "parameters": case.pick([2**31, 2**62, 10**30]), **ngram},
            {"model": "bigram", "parameters": 10**18},
        ]
        config["architecture"] = case.pick(kinds)
        config["block_size"] = case.pick([1, config["block_size"], 1024])

    case.change_config(change)


@kind("config: another architecture", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        old = config["architecture"]
        names = {"mlp", "bigram", "ngram", "x"} - {old["model"]}
        values = [{**old, "model": case.pick(sorted(names))}, {"model": "bigram", "parameters": 0}]
        config["architecture"] = case.pick([v for v in values if v["model"] != old["model"]])

    case.change_config(change)


@kind("config: another vocabulary", refused=True)
def _(case: Case) -> None:
    def change(config: Json) -> None:
        symbols = config["vocabulary"]
        more = [symbols[0], "\0", "\n", "\r", "ab", "", "!", "\ud800", 1, None, "é"]
        many = [chr(i) for i in range(0x20000, 0x20000 + case.pick([1, 1000, 400_000]))]
        config["vocabulary"] = case.pick([symbols[1:], [*symbols, case.pick(more)], [*symbols, *many], many])

    case.change_config(change)
    if case.random.integers(2):
        case.carry_metadata()


@kind("config: symbols exchanged")
def _(case: Case) -> None:
    """A model of another alphabet; valid, where the metadata are changed too."""

    def change(config: Json) -> None:
        symbols = config["vocabulary"]
        place = case.random.integers(len(symbols))
        symbols[place] = case.pick(["!", "\u0301", "\U0001f600", "é", symbols[0], "\n", "\u202e", " ", "ab", "\udfff"])

    case.change_config(change)
    if case.random.integers(4):
        case.carry_metadata()


@kind("config: max_length")
def _(case: Case) -> None:
    case.change_config(lambda config: config.update(max_length=case.pick([0, -1, 1, 2, 4096, 4097, 2**40, 1.0])))
    if case.random.integers(4):
        case.carry_metadata()


@kind("config: block_size", refused=True)
def _(case: Case) -> None:
    size = json.loads(case.files[artifact.CONFIG])["block_size"]
    case.change_config(
        lambda config: config.update(block_size=case.pick([0, -1, size + 1, size * 2, 1024, 1025, 2**40]))
    )
    case.carry_metadata()


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


# Files that are none


def link_to_copy(path: Path, data: bytes) -> None:
    """Make a link to the right contents, outside of the folder."""
    secret = path.parent.parent / "secret"
    secret.write_bytes(data)
    path.symlink_to(case_target(secret, path))


def case_target(target: Path, path: Path) -> Path:
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

    case.change_weights(change)


@kind("weights: a tensor more or less", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> None:
        name = case.pick(sorted(header))
        entry = header[name] if case.random.integers(2) else header.pop(name)
        header[case.pick(["x", "", "../x", "a" * 100_000])] = entry

    case.change_weights(change)


@kind("weights: tensors over the same bytes", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> None:
        entry = header[case.pick(sorted(header))]
        start, end = entry["data_offsets"]
        shift = case.pick([-start, 4, -4]) or 4
        entry["data_offsets"] = [start + shift, end + shift]

    case.change_weights(change)


@kind("weights: repeated keys", refused=True)
def _(case: Case) -> None:
    def change(header: Json) -> str:
        name = case.pick(sorted(header))
        entry = json.dumps(header[name])
        inner = entry[:-1] + ',"dtype":"F32"}'
        text = json.dumps({**header, name: 0})
        return text.replace(f'"{name}": 0', case.pick([f'"{name}": {entry}, "{name}": {entry}', f'"{name}": {inner}']))

    case.change_weights(change)


@kind("weights: long, deep or lying header", refused=True)
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
    case.change_weights(
        lambda _: case.pick([*texts, metadata]), prefix=case.pick([None, None, 0, 2**32, 2**63, 2**64 - 1])
    )


@kind("weights: NaN and infinity", refused=True)
def _(case: Case) -> None:
    data = case.files[artifact.WEIGHTS]
    start = 8 + int.from_bytes(data[:8], "little")
    entries = [e for e in json.loads(data[8:start]).values() if e["dtype"] in {"F32", "F16"}]
    if not entries:
        return case.change_weights(lambda header: header.clear())
    entry = case.pick(entries)
    dtype = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
    first, last = (start + offset for offset in entry["data_offsets"])
    values = np.frombuffer(data[first:last], dtype).copy()
    values[case.random.integers(len(values))] = case.pick([np.nan, np.inf, -np.inf])
    case.files[artifact.WEIGHTS] = data[:first] + values.tobytes() + data[last:]
    return case.seal()


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


# model.onnx


def initializer(case: Case, model: onnx.ModelProto) -> Any:
    return case.pick(model.graph.initializer)


@kind("graph: dims", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = initializer(case, model)
        huge = case.pick([2**40, 2**62, 2**63 - 1, -1, 0, -(2**63), 2**31])
        if tensor.dims and case.random.integers(2):
            tensor.dims[case.random.integers(len(tensor.dims))] = huge
        else:
            tensor.dims.extend([huge] * case.pick([1, 2, 8, 1000]))

    case.change_graph(change)


@kind("graph: dtypes", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = initializer(case, model)
        tensor.data_type = case.pick([t for t in (0, *range(-1, 30), 2**31 - 1) if t != tensor.data_type])

    case.change_graph(change)


@kind("graph: data", refused=True)
def _(case: Case) -> None:
    """Too few, too many, none, or in another field."""

    def change(model: onnx.ModelProto) -> None:
        tensor = initializer(case, model)
        raw = tensor.raw_data
        if case.random.integers(3):
            tensor.raw_data = case.pick([b"", raw[:-1], raw + b"\0", raw * 2])
        else:
            tensor.ClearField("raw_data")
            field = case.pick(["float_data", "int64_data", "int32_data", "double_data", "string_data"])
            getattr(tensor, field).extend([b"x" if field == "string_data" else 1] * case.pick([1, 1000]))

    case.change_graph(change)


@kind("graph: NaN and infinity", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        floats = [t for t in model.graph.initializer if t.data_type in {TensorProto.FLOAT, TensorProto.FLOAT16}]
        tensor = case.pick(floats)
        values = numpy_helper.to_array(tensor).copy()
        values.flat[case.random.integers(values.size)] = case.pick([np.nan, np.inf, -np.inf])
        tensor.raw_data = values.tobytes()

    case.change_graph(change)


@kind("graph: huge weights")
def _(case: Case) -> None:
    """Finite ones, whose sums may not be."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                values = numpy_helper.to_array(tensor) * 0 + case.pick([3e38, -3e38, 1e30, 0.0, 1e-40])
                tensor.raw_data = values.astype(np.float32).tobytes()

    case.change_graph(change)


@kind("graph: external data", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = initializer(case, model)
        if case.random.integers(2):
            tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        place = case.pick(["../../etc/passwd", "/etc/passwd", "config.json", "model.safetensors", "../secret", ""])
        tensor.external_data.add(key="location", value=place)
        tensor.external_data.add(key="offset", value=case.pick(["0", "-1", str(2**63)]))

    case.change_graph(change)


@kind("graph: foreign domains", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        domain = case.pick(["com.microsoft", "ai.onnx.ml", "com.evil", "ai.onnx.training", "\0", "x" * 100_000])
        if case.random.integers(2):
            model.opset_import.add(domain=domain, version=1)
        case.pick(model.graph.node).domain = domain

    case.change_graph(change)


@kind("graph: functions, training, sparse tensors, subgraphs", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        what = case.random.integers(5)
        if what == 0:
            model.functions.add(name="f", domain="")
        elif what == 1:
            model.training_info.add().algorithm.name = "x"
        elif what == 2:
            model.graph.sparse_initializer.add().dims.extend([2**40])
        elif what == 3:
            model.graph.quantization_annotation.add(tensor_name="x")
        else:
            graph = onnx.load_from_string(model.SerializeToString()).graph
            case.pick(model.graph.node).attribute.append(helper.make_attribute("body", graph))

    case.change_graph(change)


@kind("graph: values described", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        name = case.pick([name for node in model.graph.node for name in node.output])
        shape = case.pick([[2**62, 2**62], [-1], [0], [1] * 1000])
        model.graph.value_info.append(helper.make_tensor_value_info(name, case.pick([1, 7, 8]), shape))

    case.change_graph(change)


@kind("graph: input and output", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        values = case.pick([model.graph.input, model.graph.output])
        value, tensor = values[0], values[0].type.tensor_type
        what = case.random.integers(7)
        if what == 0:
            values.append(value)
        elif what == 1:
            del values[:]
        elif what == 2:
            value.name = case.pick(["", "x", "context" if value.name == "logits" else "logits"])
        elif what == 3:
            tensor.elem_type = case.pick([0, 2, 8, 11, 99])
        elif what == 4:
            tensor.shape.dim[0].dim_value = case.pick([0, 1, 8, -1, 2**62])
        elif what == 5:
            tensor.shape.dim[1].dim_value = case.pick([0, -1, 2**62, tensor.shape.dim[1].dim_value + 1])
        else:
            value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT

    case.change_graph(change)


@kind("graph: versions", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        if case.random.integers(2):
            model.ir_version = case.pick([0, -1, 3, 99, 2**62])
        else:
            model.opset_import[0].version = case.pick([0, -1, 1, 12, 99, 2**62])

    case.change_graph(change)


@kind("graph: metadata", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        entry = case.pick(model.metadata_props)
        if case.random.integers(2):
            entry.value = case.pick(["", "0", "9" * 1000, "[]", "x" * 1_000_000])
        else:
            model.metadata_props.remove(entry)

    case.change_graph(change)


@kind("graph: initializers missing or twice", refused=True)
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        used = {name for node in model.graph.node for name in node.input}
        tensor = case.pick([t for t in model.graph.initializer if t.name in used])
        if case.random.integers(2):
            model.graph.initializer.append(tensor)
        else:
            model.graph.initializer.remove(tensor)

    case.change_graph(change)


@kind("graph: names exchanged")
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        names = sorted({name for node in model.graph.node for name in (*node.input, *node.output)} | {"", "x"})
        node = case.pick(model.graph.node)
        side = case.pick([node.input, node.output])
        side[case.random.integers(len(side))] = case.pick(names)

    case.change_graph(change)


@kind("graph: nodes removed, repeated or shuffled")
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        place = case.random.integers(len(nodes))
        orders = [nodes[:place] + nodes[place + 1 :], [*nodes, nodes[place]], nodes[::-1]]
        orders.append([nodes[i] for i in case.random.permutation(len(nodes))])
        del model.graph.node[:]
        model.graph.node.extend(case.pick(orders))

    case.change_graph(change)


@kind("graph: other operators")
def _(case: Case) -> None:
    operators = [
        "Add",
        "Cast",
        "Expand",
        "Gather",
        "GatherND",
        "Gelu",
        "Gemm",
        "MatMul",
        "Mul",
        "Reshape",
        "Shape",
        "Tanh",
    ]
    others = [
        "Loop",
        "If",
        "Scan",
        "Pow",
        "Tile",
        "Range",
        "Resize",
        "TopK",
        "Conv",
        "RandomNormal",
        "",
        "x" * 1000,
        "\0",
    ]
    case.change_graph(lambda model: setattr(case.pick(model.graph.node), "op_type", case.pick(operators + others)))


@kind("graph: attributes")
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = case.pick(model.graph.node)
        value = case.pick([0, 1, -1, 2**31, 2**63 - 1, -(2**63), 1.5, math.nan, math.inf, "x", [1] * 1000, [], 7])
        if node.attribute and case.random.integers(4):
            name = case.pick(node.attribute).name
            kept = [each for each in node.attribute if each.name != name]
            del node.attribute[:]
            node.attribute.extend(kept)
        else:
            name = case.pick(["axis", "to", "transA", "batch_dims", "keepdims", "start", "x"])
        if case.random.integers(5) and value != []:
            node.attribute.append(helper.make_attribute(name, value))

    case.change_graph(change)


@kind("graph: whole numbers")
def _(case: Case) -> None:
    """Shapes, axes, places and states: out of range, most of them."""

    def change(model: onnx.ModelProto) -> None:
        tensor = case.pick(
            [t for t in model.graph.initializer if t.data_type in {TensorProto.INT64, TensorProto.INT32}]
        )
        values = numpy_helper.to_array(tensor).copy()
        most = np.iinfo(values.dtype).max
        values.flat[case.random.integers(values.size)] = case.pick(
            [0, 1, -1, 2, 7, 1000, 1 << 24, most, -most - 1, -most]
        )
        tensor.raw_data = values.tobytes()

    case.change_graph(change)


@kind("graph: every symbol or state out of range")
def _(case: Case) -> None:
    """Places that a look-up takes: moved by an amount that the graph itself adds."""

    def change(model: onnx.ModelProto) -> None:
        shift = case.pick([-1, 1, 1000, 1 << 31, 1 << 40, 2**63 - 1, -(2**62)])
        model.graph.initializer.append(numpy_helper.from_array(np.array([shift]), "shift"))
        nodes = list(model.graph.node)
        users = [i for i, node in enumerate(nodes) if node.op_type in {"Gather", "GatherND"}]
        place = case.pick(users)
        moved = helper.make_node("Add", [nodes[place].input[1], "shift"], ["moved"])
        nodes[place].input[1] = "moved"
        del model.graph.node[:]
        model.graph.node.extend([*nodes[:place], moved, *nodes[place:]])

    case.change_graph(change)


def parts(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (message, field) of everything that is set."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type:
            for inner in value if hasattr(value, "add") else [value]:
                yield from parts(inner)


@kind("graph: any field")
def _(case: Case) -> None:
    def change(model: onnx.ModelProto) -> None:
        message, field = case.pick([*parts(model)])
        value = getattr(message, field.name)
        if hasattr(value, "append"):
            items = list(value)
            item = case.pick(items)
            del value[:]
            value.extend(case.pick([items[:-1], [*items, item], items[::-1], [item], [item] * 10]))
        elif field.message_type or not case.random.integers(4):
            message.ClearField(field.name)
        elif isinstance(value, bool | int):
            enumerated = field.enum_type.values_by_number if field.enum_type else None
            setattr(message, field.name, case.pick(list(enumerated or [0, 1, 2, 7, 99, -1, 2**31 - 1])))
        elif isinstance(value, float):
            setattr(message, field.name, case.pick([0.0, -1.0, 1e38, math.nan, math.inf]))
        else:
            text = case.pick(["", "logits", "context", "x", "../x", "x" * 1_000_000, "\0"])
            setattr(message, field.name, text.encode() if isinstance(value, bytes) else text)

    case.change_graph(change)


@kind("graph: many parts", refused=True)
def _(case: Case) -> None:
    """Hundreds of thousands of the smallest fields."""
    piece, field = case.pick([(b"\x0a\x00", 7), (b"\x2a\x00", 7), (b"\x12\x00", 7), (b"\x72\x00", 0), (b"\x42\x00", 0)])
    many = piece * 1_000_000
    length = len(many).to_bytes(4, "little")
    encoded = bytes(0x80 | (int.from_bytes(length, "little") >> (7 * i)) & 0x7F for i in range(4)) + b"\x00"
    case.files[artifact.GRAPH] += bytes([field << 3 | 2]) + encoded + many if field else many
    case.seal()


# Graphs that would take for ever, or all memory: each makes a value "bomb", added to the logits

Nodes = list[onnx.NodeProto]


def constant(model: onnx.ModelProto, name: str, values: Any, dtype: Any = np.int64) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=dtype), name))
    return name


def endless_loop(model: onnx.ModelProto) -> Nodes:
    scalar = partial(helper.make_tensor_value_info, shape=[])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [scalar("i", TensorProto.INT64), scalar("go", TensorProto.BOOL), scalar("x", TensorProto.FLOAT)],
        [scalar("on", TensorProto.BOOL), scalar("y", TensorProto.FLOAT)],
    )
    names = [constant(model, "most", 2**62), constant(model, "yes", True, bool), constant(model, "zero", 0, np.float32)]
    return [helper.make_node("Loop", names, ["bomb"], body=body)]


def branches(model: onnx.ModelProto) -> Nodes:
    made = helper.make_node("ConstantOfShape", ["shape"], ["big"])
    result = helper.make_tensor_value_info("big", TensorProto.FLOAT, None)
    branch = helper.make_graph([made], "branch", [], [result])
    constant(model, "shape", [2**20, 2**20])
    return [
        helper.make_node("If", [constant(model, "yes", True, bool)], ["bomb"], then_branch=branch, else_branch=branch)
    ]


def filled(operator: str, model: onnx.ModelProto) -> Nodes:
    shape, one = constant(model, "shape", [2**20, 2**20]), constant(model, "one", [[0]], np.float32)
    inputs = {"ConstantOfShape": [shape], "Expand": [one, shape], "Tile": [one, shape]}[operator]
    return [helper.make_node(operator, inputs, ["bomb"])]


def long_range(model: onnx.ModelProto) -> Nodes:
    values = [constant(model, name, value, np.float32) for name, value in (("a", 0), ("b", 1e12), ("c", 1))]
    return [helper.make_node("Range", values, ["bomb"])]


def doubling(operator: str, model: onnx.ModelProto) -> Nodes:
    """A value that grows with each step."""
    steps, many = 40, constant(model, "many", [0] * 64)
    zeros = {"Concat": [0], "Gather": [0], "Add": [[0] * 64], "MatMul": [[0] * 64]}[operator]
    x, nodes = constant(model, "x", zeros, np.float32), []
    constant(model, "first", [0]), constant(model, "flat", [1, -1]), constant(model, "upright", [-1, 1])
    for i in range(steps):
        y = "bomb" if i == steps - 1 else f"x{i}"
        if operator == "Concat":
            nodes.append(helper.make_node("Concat", [x, x], [y], axis=0))
        elif operator == "Gather":
            nodes += [
                helper.make_node("Unsqueeze", [x, "first"], [f"u{i}"]),
                helper.make_node("Gather", [f"u{i}", many], [f"g{i}"], axis=0),
                helper.make_node("Reshape", [f"g{i}", constant(model, f"s{i}", [-1])], [y]),
            ]
        else:
            nodes += [
                helper.make_node("Reshape", [x, "upright"], [f"u{i}"]),
                helper.make_node(operator, [f"u{i}", x], [f"m{i}"]),
                helper.make_node("Reshape", [f"m{i}", "flat"], [y]),
            ]
        x = y
    return nodes


def many_products(model: onnx.ModelProto) -> Nodes:
    """Matrices that fit, multiplied again and again."""
    nodes = [
        helper.make_node(
            "Expand", [constant(model, "zero", [[0]], np.float32), constant(model, "s", [512, 512])], ["m"]
        )
    ]
    x = "m"
    for i in range(200):
        nodes.append(helper.make_node("MatMul", [x, "m"], [f"m{i}"]))
        x = f"m{i}"
    constant(model, "axes", [0, 1])
    return [*nodes, helper.make_node("ReduceSum", [x, "axes"], ["bomb"], keepdims=0)]


def products_of_the_batch(model: onnx.ModelProto) -> Nodes:
    """As above, but of a matrix that depends on the input, so that each run multiplies again."""
    axes, shape = constant(model, "axes", [0, 1]), constant(model, "s", [1024, 1024])
    nodes = [
        helper.make_node("ReduceSum", ["context", axes], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["float", shape], ["m"]),
    ]
    x = "m"
    for i in range(50):
        nodes.append(helper.make_node("MatMul", [x, "m"], [f"m{i}"]))
        x = f"m{i}"
    return [*nodes, helper.make_node("ReduceSum", [x, axes], ["bomb"], keepdims=0)]


def large_for_other_batches(model: onnx.ModelProto) -> Nodes:
    """Nothing where a run has 256 rows, terabytes where it has 64."""
    numbers = [constant(model, name, [value]) for name, value in (("a", -60), ("b", 60), ("axis", 0), ("step", 1))]
    nodes = [
        helper.make_node("Slice", ["context", *numbers], ["some"]),
        helper.make_node("Gather", ["some", constant(model, "zero", 0)], ["x"], axis=1),
    ]
    x, axis = "x", constant(model, "last", [-1])
    for i in range(7):
        nodes += [
            helper.make_node("Unsqueeze", [x, axis], [f"u{i}"]),
            helper.make_node("Add", [f"u{i}", "x"], [f"x{i}"]),
        ]
        x = f"x{i}"
    nodes.append(helper.make_node("ReduceSum", [x, constant(model, "axes", list(range(8)))], ["sum"], keepdims=0))
    return [*nodes, helper.make_node("Cast", ["sum"], ["bomb"], to=TensorProto.FLOAT)]


def as_much_as_is_allowed(model: onnx.ModelProto) -> Nodes:
    """Values that are all needed at the end, made once and for each run, just within the limits."""
    axes, shape = constant(model, "axes", [0, 1]), constant(model, "shape", [1024, 1024])
    nodes = [helper.make_node("Cast", ["context"], ["row"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("ReduceSum", ["row", constant(model, "last", [1])], ["flat"], keepdims=0))
    nodes.append(helper.make_node("Unsqueeze", ["flat", "last"], ["column"]))
    made = []
    for i in range(30):
        nodes.append(helper.make_node("Expand", [constant(model, f"v{i}", [[i]], np.float32), shape], [f"once{i}"]))
        made.append(f"once{i}")
    for i in range(28):
        wide = constant(model, f"w{i}", np.full((1, 8192), i), np.float32)
        nodes.append(helper.make_node("Mul", ["column", wide], [f"each{i}"]))
        made.append(f"each{i}")
    nodes += [helper.make_node("ReduceSum", [name, axes], [f"sum of {name}"], keepdims=0) for name in made[::-1]]
    total = "sum of each0"
    for name in made:
        nodes.append(helper.make_node("Add", [total, f"sum of {name}"], [f"total to {name}"]))
        total = f"total to {name}"
    return [*nodes, helper.make_node("Mul", [total, constant(model, "none", 0, np.float32)], ["bomb"])]


def many_steps(model: onnx.ModelProto) -> Nodes:
    """Small ones, each of them cheap."""
    names = [constant(model, "zero", 0, np.float32), *(f"step{i}" for i in range(10_000)), "bomb"]
    return [helper.make_node("Tanh", [one], [other]) for one, other in pairwise(names)]


BOMBS: Final[dict[str, Callable[[onnx.ModelProto], Nodes]]] = {
    "Loop": endless_loop,
    "If": branches,
    **{operator: partial(filled, operator) for operator in ("ConstantOfShape", "Expand", "Tile")},
    "Range": long_range,
    **{f"{operator} repeated": partial(doubling, operator) for operator in ("Concat", "Gather", "Add", "MatMul")},
    "products": many_products,
    "products of each run": products_of_the_batch,
    "many steps": many_steps,
    "runs of 64 rows": large_for_other_batches,
}


def arm(model: onnx.ModelProto, bomb: Callable[[onnx.ModelProto], Nodes]) -> None:
    """Add what a bomb makes to the logits, so that no optimizer leaves it out."""
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "honest"
    model.graph.node.extend([*bomb(model), helper.make_node("Add", ["honest", "bomb"], ["logits"])])


def _armed(case: Case, bomb: Callable[[onnx.ModelProto], Nodes]) -> None:
    case.change_graph(partial(arm, bomb=bomb))


for _name, _bomb in BOMBS.items():
    kind(f"bomb: {_name}", refused=True)(partial(_armed, bomb=_bomb))


@kind("graph: as costly as is allowed")
def _(case: Case) -> None:
    case.change_graph(lambda model: arm(model, as_much_as_is_allowed))


# Running


@dataclass(frozen=True)
class Outcome:
    """What became of a corrupted artifact.

    Attributes:
        index: which it is.
        kind: of corruption.
        result: ``refused``, ``valid`` or ``FAILED``.
        message: the error.
        seconds: how long that took.
        megabytes: the most memory that the process had.
    """

    index: int
    kind: str
    result: str
    message: str
    seconds: float
    megabytes: int


def use(folder: Path) -> None:
    """Load a model and see that it works."""
    model = sequentia.load(folder)
    names = model.generate(20, seed=1)
    alphabet = set(model.vocabulary.symbols)
    assert len(names) == 20
    assert all(set(name) <= alphabet and 1 <= len(name) <= model.config.max_length for name in names), names
    scores = model.score(names)
    assert np.isfinite(scores).all(), scores
    for prefix in ("", names[0][:1]):
        probabilities = model.next_symbols(prefix)
        assert probabilities.keys() == alphabet | {""}
        assert abs(sum(probabilities.values()) - 1) < 1e-6, probabilities
    model.logits(np.zeros((1000, model.config.block_size), dtype=np.int64))  # also in larger runs


def result_of_use(folder: Path) -> tuple[str, str]:
    try:
        use(folder)
    except ArtifactError as error:
        return "refused", str(error)
    except ModelNotFoundError as error:
        return ("FAILED" if (folder / artifact.CONFIG).is_file() else "refused"), str(error)
    except BaseException:  # noqa: BLE001 - whatever it is, it is no ArtifactError
        return "FAILED", traceback.format_exc(limit=-6)
    return "valid", ""


def in_a_process(folder: Path) -> tuple[str, str, float, int]:
    """Use an artifact in a forked process; return the result, the message, seconds and megabytes."""
    reader, writer = os.pipe()
    start = perf_counter()
    pid = os.fork()
    if not pid:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)  # onnxruntime's warnings
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        result, message = result_of_use(folder)
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
    """Make a corrupted artifact and have it used."""
    name = list(KINDS)[index % len(KINDS)]
    case = Case(files, np.random.Generator(np.random.PCG64([seed, index])))
    KINDS[name].corrupt(case)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        case.write(folder)
        result, message, seconds, megabytes = in_a_process(folder)
    message = message.replace(str(folder) + "/", "")
    if result == "valid" and KINDS[name].refused:
        result, message = "FAILED", "accepted, but it has to be refused"
    return Outcome(index, name, result, message, seconds, megabytes)


def corrupted(model: Path, indices: Sequence[int], *, seed: int, jobs: int) -> Iterator[Outcome]:
    """Yield what becomes of some corrupted artifacts."""
    names = [artifact.CONFIG, *(name for name in artifact.FILES if (model / name).exists())]
    files = {name: (model / name).read_bytes() for name in names}
    sequentia.load()  # so that onnxruntime is imported before the forks, not by each
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(partial(attempt, seed=seed, files=files), indices, chunksize=8)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the counts of results by kind, and what was slowest and largest."""
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
    parser.add_argument("--only", type=int, metavar="INDEX", help="make this one alone, and print what it says")
    options = parser.parse_args()
    indices = range(options.count) if options.only is None else [options.only]
    outcomes = list(corrupted(options.model, indices, seed=options.seed, jobs=options.jobs))
    failed = [outcome for outcome in outcomes if outcome.result == "FAILED"]
    if options.only is None:
        print(table(outcomes))
    for outcome in outcomes if options.only is not None else failed:
        print(f"\n{outcome.index}: {outcome.kind}: {outcome.result}, {outcome.seconds:.2f} s, {outcome.megabytes} MB")
        print(outcome.message)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
