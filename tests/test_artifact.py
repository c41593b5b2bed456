"""The artifact folder: written wholly or not at all, read strictly."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

import sequentia
from sequentia import ArtifactError, ModelNotFoundError, artifact


def change_config(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = run / artifact.CONFIG
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def set_graph(run: Path, data: bytes) -> None:
    """Replace the graph, and its record in ``config.json`` with it."""
    (run / artifact.GRAPH).write_bytes(data)
    record = msgspec.to_builtins(artifact.file_record(data))
    change_config(run, lambda values: values["files"].update({artifact.GRAPH: record}))


def change_graph(run: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(run / artifact.GRAPH)
    change(model)
    set_graph(run, model.SerializeToString())


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    found: onnx.TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return found


def poison(model: onnx.ModelProto, *, raw: bool) -> None:
    tensor = initializer(model, "output.bias")
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[3] = np.nan
    new = onnx.numpy_helper.from_array(values, tensor.name)
    if not raw:
        new.ClearField("raw_data")
        new.float_data.extend(values.tolist())
    tensor.CopyFrom(new)


def point_outside(model: onnx.ModelProto) -> None:
    tensor = initializer(model, "output.weight")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def hide_in_a_subgraph(model: onnx.ModelProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    inner.initializer.add(name="x", data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    model.graph.node[0].attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner)


def rename_input(model: onnx.ModelProto, name: str) -> None:
    for node in model.graph.node:
        node.input[:] = [name if each == "context" else each for each in node.input]
    model.graph.input[0].name = name


def set_dim(model: onnx.ModelProto, name: str, axis: int, size: int) -> None:
    value = next(v for v in [*model.graph.input, *model.graph.output] if v.name == name)
    value.type.tensor_type.shape.dim[axis].dim_value = size


def set_attribute(model: onnx.ModelProto, operator: str, name: str, value: int) -> None:
    node = next(node for node in model.graph.node if node.op_type == operator)
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def shift_the_symbols(model: onnx.ModelProto) -> None:
    """Have the graph look up rows that no table has."""
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([10**6]), "shift"))
    nodes = list(model.graph.node)
    place = next(i for i, node in enumerate(nodes) if node.op_type == "Gather" and "embedding" in node.name)
    moved = onnx.helper.make_node("Add", [nodes[place].input[1], "shift"], ["moved"])
    nodes[place].input[1] = "moved"
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], moved, *nodes[place:]])


BAD_CONFIGS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("format_version 1, found 2", lambda c: c.update(format_version=2)),
    ("missing required field `vocabulary`", lambda c: c.pop("vocabulary")),
    ("unknown field `extra`", lambda c: c.update(extra=1)),
    ("Expected `int`, got `str`", lambda c: c.update(block_size="4")),
    ("Expected `int` <= 1024", lambda c: c.update(block_size=5000)),
    ("twice", lambda c: c["vocabulary"].append("a")),
    ("not one code point that is allowed", lambda c: c["vocabulary"].append("ab")),
    ("`\\$.files", lambda c: c["files"][artifact.GRAPH].update(sha256="x")),
    ("expected files", lambda c: c["files"].update({"../evil": c["files"][artifact.GRAPH]})),
    ("expected files", lambda c: c["files"].pop(artifact.WEIGHTS)),
    # consistent by itself, at odds with the graph
    ("model.safetensors: expected .*tensor 'hidden.0.weight'", lambda c: c.update(block_size=5)),
    ("model.safetensors: expected .*tensor 'embedding.weight'", lambda c: c["vocabulary"].append("!")),
    ("model.onnx: expected metadata sequentia.max_length", lambda c: c.update(max_length=99)),
    ("model.safetensors: expected", lambda c: c["architecture"].update(hidden_sizes=[7])),
    ("model.safetensors: expected .*tensor 'direct.weight'", lambda c: c["architecture"].update(direct=8)),
    ("`array` of length <= 65535", lambda c: c.update(vocabulary=["a"] * 65_536)),
    ("`array` of length <= 256", lambda c: c["architecture"].update(hidden_sizes=[1] * 257)),
    ("Expected `int` <= 8", lambda c: c["architecture"].update(direct=9)),
]


@pytest.mark.parametrize(("message", "change"), BAD_CONFIGS, ids=[message for message, _ in BAD_CONFIGS])
def test_a_config_that_is_not_what_it_must_be(
    run: Path, message: str, change: Callable[[dict[str, Any]], object]
) -> None:
    change_config(run, change)
    with pytest.raises(ArtifactError, match=message) as caught:
        sequentia.load(run)
    assert caught.value.path is not None
    assert caught.value.expected
    assert caught.value.found


BAD_GRAPHS: list[tuple[str, Callable[[onnx.ModelProto], object]]] = [
    ("external data", point_outside),
    ("a subgraph", hide_in_a_subgraph),
    ("found NaN or infinite weights", lambda m: poison(m, raw=True)),
    ("a Tensor with the field 4", lambda m: poison(m, raw=False)),
    ("operators of the domain b'com.evil'", lambda m: setattr(m.graph.node[0], "domain", "com.evil")),
    ("one input context", lambda m: rename_input(m, "tokens")),
    ("dynamic batch dimension", lambda m: set_dim(m, "context", 0, 8)),
    ("expected metadata", lambda m: m.metadata_props.pop()),
    ("the operator 'NoSuchOperator'", lambda m: setattr(m.graph.node[0], "op_type", "NoSuchOperator")),
    ("the operator Tanh with x = 0", lambda m: set_attribute(m, "Tanh", "x", 0)),
    ("the operator Gemm with transA = 1", lambda m: set_attribute(m, "Gemm", "transA", 1)),
    ("uses b'x' before it is there", lambda m: m.graph.node[-1].input.__setitem__(0, "x")),
    ("makes b'logits' again", lambda m: m.graph.node.append(m.graph.node[-1])),
    ("the tensor b'output.bias' twice", lambda m: m.graph.initializer.append(initializer(m, "output.bias"))),
    ("a tensor b'output.bias' of shape", lambda m: initializer(m, "output.bias").dims.__setitem__(0, 2**62)),
    ("a tensor b'output.bias' of another type", lambda m: setattr(initializer(m, "output.bias"), "data_type", 11)),
    ("IR version 99", lambda m: setattr(m, "ir_version", 99)),
    ("version 99", lambda m: setattr(m.opset_import[0], "version", 99)),
    ("functions", lambda m: m.functions.add(name="f")),
    ("a Graph with the field 13", lambda m: m.graph.value_info.add(name="x")),
    ("onnxruntime can run", lambda m: setattr(m.graph.node[-2], "op_type", "And")),
]


@pytest.mark.parametrize(("message", "change"), BAD_GRAPHS, ids=[message for message, _ in BAD_GRAPHS])
def test_a_graph_that_is_not_what_it_must_be(
    run: Path, message: str, change: Callable[[onnx.ModelProto], object]
) -> None:
    change_graph(run, change)
    with pytest.raises(ArtifactError, match=message):
        sequentia.load(run)


def test_a_graph_that_fails_when_it_runs(run: Path) -> None:
    change_graph(run, shift_the_symbols)
    model = sequentia.load(run)
    with pytest.raises(ArtifactError, match=r"a graph that onnxruntime can run, found .*out of data bounds"):
        model.generate(seed=1)


@pytest.mark.parametrize("name", [artifact.CONFIG, *artifact.FILES])
def test_a_link_out_of_the_folder(run: Path, tmp_path: Path, name: str) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    for target in (tmp_path / "elsewhere", Path("../elsewhere")):
        (run / name).symlink_to(target)
        with pytest.raises(
            ArtifactError, match=rf"{name}: expected a file of this folder, found a link to .*elsewhere"
        ):
            sequentia.load(run)
        (run / name).unlink()
    (tmp_path / "elsewhere").rename(run / "copy")
    (run / name).symlink_to("copy")
    sequentia.load(run)


def test_links_of_the_hubs_cache_are_followed(run: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    snapshot, blobs = cache / "models--a--b" / "snapshots" / "c0ffee", cache / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in (artifact.CONFIG, *artifact.FILES):
        (run / name).rename(blobs / name)
        (snapshot / name).symlink_to(Path("../../blobs") / name)
    sequentia.load(snapshot)
    (blobs / artifact.CARD).rename(cache / "shared")
    (blobs / artifact.CARD).symlink_to(cache / "shared")
    sequentia.load(snapshot)
    (cache / "shared").rename(tmp_path / "elsewhere")
    (cache / "shared").symlink_to(tmp_path / "elsewhere")
    sequentia.load(snapshot)
    snapshot.parent.parent.rename(tmp_path / "another disk")
    snapshot.parent.parent.symlink_to(tmp_path / "another disk")
    sequentia.load(snapshot)
    assert sequentia.generate(model=snapshot, seed=1) == sequentia.load(snapshot).generate(seed=1)


def test_pictures_are_pictures_of_the_folder(run: Path, tmp_path: Path) -> None:
    """A link, or a file under another's name, does not get into a card, and so not onto the hub."""
    (tmp_path / "secret").write_bytes(b"\x89PNG, or so")
    (run / "pictures").mkdir(exist_ok=True)
    picture = run / "pictures" / "loss.png"
    picture.unlink(missing_ok=True)
    picture.symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactError, match=r"loss\.png: expected a file of this folder, found a link"):
        sequentia.load(run).save_pretrained(tmp_path / "copy")
    picture.unlink()
    picture.write_bytes(b"-----BEGIN")
    with pytest.raises(ArtifactError, match=r"loss\.png: expected a PNG picture"):
        sequentia.load(run).save_pretrained(tmp_path / "copy")


@pytest.mark.parametrize("name", artifact.FILES)
def test_a_file_that_was_changed_cut_or_lost(run: Path, name: str) -> None:
    path = run / name
    data = path.read_bytes()
    for damaged in (data[:-1], data + b"x", bytes([data[0] ^ 1]) + data[1:], b""):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=rf"{name}: expected (at most )?{len(data)} bytes"):
            sequentia.load(run)
    path.unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: expected a readable file, found No such file"):
        sequentia.load(run)
    os.mkfifo(path)
    with pytest.raises(ArtifactError, match=rf"{name}: expected a file"):
        sequentia.load(run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"format_version": "1"}'])
def test_a_config_that_is_no_config(run: Path, content: bytes) -> None:
    (run / artifact.CONFIG).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"config\.json: expected the schema"):
        sequentia.load(run)


def test_random_bytes_for_a_graph_never_crash_the_reader(run: Path) -> None:
    """The hash matches, so it is the parser that must refuse."""
    random = np.random.Generator(np.random.PCG64(1))
    good = (run / artifact.GRAPH).read_bytes()
    for _ in range(100):
        data = bytearray(good[: random.integers(1, len(good))])
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        set_graph(run, bytes(data))
        with pytest.raises(ArtifactError, match=r"model\.onnx"):
            sequentia.load(run)


def damage_weights(run: Path, change: Callable[[dict[str, Any], bytearray], object]) -> None:
    """Change the header or the data of the weights, and their record in ``config.json``."""
    data = (run / artifact.WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    change(header, values)
    encoded = json.dumps(header).encode()
    data = len(encoded).to_bytes(8, "little") + encoded + values
    (run / artifact.WEIGHTS).write_bytes(data)
    record = msgspec.to_builtins(artifact.file_record(data))
    change_config(run, lambda config: config["files"].update({artifact.WEIGHTS: record}))


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("NaN or infinite weights in tensor", lambda _, values: values.__setitem__(slice(0, 4), b"\0\0\xc0\x7f")),
        ("tensor 'output.bias' as", lambda h, _: h["output.bias"].update(shape=[10**9])),
        ("tensor 'output.bias' as", lambda h, _: h["output.bias"].update(dtype="F16")),
        ("tensor 'output.bias' as None", lambda h, _: h.pop("output.bias")),
        ("tensor 'x' as", lambda h, _: h.update(x=h["output.bias"])),
        ("at odds with the bytes of tensor 'output.bias'", lambda h, _: h["output.bias"].update(data_offsets=[8, 4])),
        ("at odds with the bytes", lambda _, values: values.pop()),
        ("at odds with the bytes after", lambda _, values: values.append(0)),
        ("at odds with the bytes of tensor", lambda h, _: h["output.bias"].update(data_offsets=[0, 108])),
        ("repeated or unknown keys", lambda h, _: h["output.bias"].update(x=1)),
        ("a damaged header", lambda h, _: h["output.bias"].pop("dtype")),
        ("a damaged header", lambda h, _: h.update(x=[])),
    ],
)
def test_weights_that_are_not_what_they_must_be(run: Path, message: str, change: Any) -> None:
    damage_weights(run, lambda _header, _values: None)
    sequentia.load(run)
    damage_weights(run, change)
    with pytest.raises(ArtifactError, match=message):
        sequentia.load(run)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"holds no config\.json"):
        sequentia.load(tmp_path)


# Writing


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in artifact.FILES}


def test_writing_keeps_what_else_is_in_the_folder(run: Path) -> None:
    config = artifact.read(run).config
    (run / "notes").mkdir()
    (run / "notes" / "mine.txt").write_text("keep", encoding="utf-8")
    (run / "notes" / "README.md").write_text("mine too", encoding="utf-8")
    checkpoint = (run / "checkpoint.safetensors").read_bytes()
    artifact.write(run, config, {**contents(run), artifact.CARD: b"new"})
    assert (run / "notes" / "mine.txt").read_text(encoding="utf-8") == "keep"
    assert (run / "notes" / "README.md").read_text(encoding="utf-8") == "mine too"
    assert (run / "checkpoint.safetensors").read_bytes() == checkpoint
    assert (run / artifact.CARD).read_bytes() == b"new"
    assert artifact.read(run).config.files[artifact.CARD].size == 3
    assert sorted(path.name for path in run.parent.iterdir()) == ["moons"]


def full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_the_old_artifact(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, before = artifact.read(run).config, contents(run)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifact.write(run, config, {**before, artifact.CARD: b"new"})
    assert contents(run) == before
    artifact.read(run)
    assert sorted(path.name for path in run.parent.iterdir()) == ["moons"]
    with pytest.raises(OSError, match="No space left"):
        artifact.write(run.parent / "new", config, before)
    assert list((run.parent / "new").iterdir()) == []


@pytest.mark.parametrize("obstacle", ["no such system call", "the current folder"])
def test_where_folders_cannot_be_swapped(run: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    if obstacle == "the current folder":
        monkeypatch.chdir(run)
    else:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    config, before, inode = artifact.read(run).config, contents(run), run.stat().st_ino
    artifact.write(run, config, {**before, artifact.CARD: b"new"})
    assert run.stat().st_ino == inode
    assert (run / artifact.CARD).read_bytes() == b"new"
    assert (run / "checkpoint.safetensors").is_file()
    artifact.read(run)
    assert Path.cwd().is_dir()
    assert sorted(path.name for path in run.parent.iterdir()) == ["moons"]


@pytest.mark.parametrize("name", [artifact.CARD, artifact.CONFIG])
def test_a_strangers_files_are_not_overwritten(run: Path, tmp_path: Path, name: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / name).write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match=name):
        artifact.write(project, artifact.read(run).config, contents(run))
    assert [path.name for path in project.iterdir()] == [name]
    with pytest.raises(ArtifactError, match="a folder to write to"):
        artifact.write(project / name, artifact.read(run).config, contents(run))


def test_what_could_not_be_read_is_not_written(run: Path) -> None:
    config, before = artifact.read(run).config, contents(run)
    with pytest.raises(ArtifactError, match="expected the schema"):
        artifact.write(run, msgspec.structs.replace(config, block_size=10**6), before)
    assert contents(run) == before


WRITER = """
import sys
from pathlib import Path
from sequentia import artifact
run = Path(sys.argv[1])
config = artifact.read(run).config
files = {name: (run / name).read_bytes() for name in artifact.FILES}
print("ready", flush=True)
for i in range(100_000):
    artifact.write(run, config, {**files, artifact.CARD: b"card %d" % i})
"""


def test_a_killed_write_leaves_one_whole_artifact(run: Path) -> None:
    for delay in np.linspace(0.001, 0.05, 12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(run)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(float(delay))
            process.send_signal(signal.SIGKILL)
        artifact.read(run)
        assert (run / "checkpoint.safetensors").is_file()
