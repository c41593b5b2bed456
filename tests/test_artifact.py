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

from . import golden, golden_models


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


BAD_CONFIGS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("found 3: it was written by a later version of sequentia; install a newer", lambda c: c.update(format_version=3)),
    ("found 0: it was written by another version of sequentia; copy or", lambda c: c.update(format_version=0)),
    ("missing required field `vocabulary`", lambda c: c.pop("vocabulary")),
    ("unknown field `extra`", lambda c: c.update(extra=1)),
    ("Expected `int`, got `str`", lambda c: c.update(block_size="4")),
    ("Expected `int` <= 1024", lambda c: c.update(block_size=5000)),
    ("twice", lambda c: c["vocabulary"].append("a")),
    ("not one code point that is allowed", lambda c: c["vocabulary"].append("ab")),
    ("`\\$.files", lambda c: c["files"][artifact.GRAPH].update(sha256="x")),
    ("expected files", lambda c: c["files"].update({"../evil": c["files"][artifact.GRAPH]})),
    ("expected files", lambda c: c["files"].pop(artifact.WEIGHTS)),
    # consistent by itself, at odds with the weights or the graph
    ("model.safetensors: expected .*, found no tensor 'first.4'; copy", lambda c: c.update(block_size=5)),
    ("model.safetensors: expected .*tensor 'first.0' of shape", lambda c: c["vocabulary"].append("!")),
    ("model.onnx: expected the graph of config.json", lambda c: c.update(max_length=99)),
    ("model.onnx: expected the graph of config.json", lambda c: c["architecture"].update(first_bits=1)),
    ("model.safetensors: expected .*tensor 'first.0'", lambda c: c["architecture"].update(hidden_sizes=[7])),
    ("model.safetensors: expected .*, found no tensor 'direct'; copy", lambda c: c["architecture"].update(direct=2)),
    ("model.safetensors: .*direct 5, more than block_size 4", lambda c: c["architecture"].update(direct=5)),
    ("2 layers for 1 hidden_sizes", lambda c: c["architecture"]["layers"].append(c["architecture"]["layers"][0])),
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


def test_keys_with_their_default_may_be_absent_and_are_not_written(run: Path) -> None:
    config = artifact.read_config(run)
    path = run / artifact.CONFIG
    contents = json.loads(path.read_text(encoding="utf-8"))
    assert "conditions" not in contents
    assert contents["metrics"].keys() == {"train", "dev", "test", "dev_unseen", "test_unseen", "baselines"}
    contents["conditions"] = {}
    contents["metrics"] |= {"dev_not_said": None, "by_value": {}}
    contents["samples"] |= {"ending": "", "groups": []}
    contents["training"]["corpus"]["columns"] = None
    path.write_text(json.dumps(contents), encoding="utf-8")
    assert artifact.read_config(run) == config


@pytest.mark.parametrize("name", golden_models.MODELS)
def test_the_graph_says_what_it_reads(name: str) -> None:
    """As docs/format.md says; only the graph of a model with conditions has a second input."""
    graph = onnx.load(golden.MODELS / name / artifact.GRAPH)
    onnx.checker.check_model(graph, full_check=True)
    config = artifact.read_config(golden.MODELS / name)
    inputs = {each.name: each.type.tensor_type.shape.dim[1].dim_value for each in graph.graph.input}
    said = {entry.key: entry.value for entry in graph.metadata_props}
    conditions = said.pop("sequentia.conditions", None)
    if name.endswith("-where"):
        assert inputs == {"context": config.block_size, "conditions": len(config.conditions)}
        assert list(json.loads(conditions or "").items()) == list(config.conditions.items())
    else:
        assert inputs == {"context": config.block_size}
        assert conditions is None
    assert said.pop("sequentia.symbols", "characters") == config.symbols
    assert said.keys() == {f"sequentia.{key}" for key in ("format_version", "vocabulary", "block_size", "max_length")}


def test_an_artifact_of_format_1(run: Path, tmp_path: Path) -> None:
    """Its error says how to export it again, and the export may replace it."""
    config = artifact.read(run).config
    change_config(run, lambda values: (values.update(format_version=1), values.pop("architecture")))
    message = (
        r"config\.json: expected format_version 2, found 1: it was written by an earlier version of sequentia; "
        r"export it again: sequentia export RUN -o DIR \(RUN: its run folder\)"
    )
    with pytest.raises(ArtifactError, match=message):
        sequentia.load(run)
    artifact.write(run, config, contents(run))
    assert artifact.read(run).config.format_version == 2


BAD_GRAPHS: dict[str, Callable[[onnx.ModelProto], object]] = {
    "another operator": lambda m: setattr(m.graph.node[-1], "op_type", "Add"),
    "another name": lambda m: setattr(m.graph.node[0], "name", "x"),
    "another number": lambda m: setattr(
        m.graph.initializer[0], "raw_data", bytes(len(m.graph.initializer[0].raw_data))
    ),
    "another order": lambda m: m.graph.initializer.reverse(),
    "a note": lambda m: setattr(m, "doc_string", "x"),
    "no metadata": lambda m: m.metadata_props.pop(),
    "another version of operators": lambda m: setattr(m.opset_import[0], "version", 14),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_any_other_graph_is_refused(run: Path, name: str) -> None:
    change_graph(run, lambda _model: None)
    sequentia.load(run)
    change_graph(run, BAD_GRAPHS[name])
    with pytest.raises(ArtifactError, match=r"model\.onnx: expected the graph of .*, found another"):
        sequentia.load(run)


def test_an_edited_card_is_no_damage(run: Path) -> None:
    (run / artifact.CARD).write_text("edited on the hub", encoding="utf-8")
    assert artifact.read_card(run) == b"edited on the hub"
    sequentia.load(run)
    (run / artifact.CARD).unlink()
    assert artifact.read_card(run) is None
    sequentia.load(run)


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
    (blobs / artifact.GRAPH).rename(cache / "shared")
    (blobs / artifact.GRAPH).symlink_to(cache / "shared")
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
        with pytest.raises(ArtifactError, match=rf"{name}: expected (at most )?{len(data)} bytes") as caught:
            sequentia.load(run)
        assert str(caught.value).count("expected") == 1
        assert str(caught.value).endswith("; copy or download the model again, or export its run again")
    path.unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: missing; copy or download the model again, or export"):
        sequentia.load(run)
    os.mkfifo(path)
    with pytest.raises(ArtifactError, match=rf"{name}: expected a file"):
        sequentia.load(run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"format_version": "1"}'])
def test_a_config_that_is_no_config(run: Path, content: bytes) -> None:
    (run / artifact.CONFIG).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"config\.json: expected the schema"):
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


BIAS = "layer.0.bias"


def widen(entry: dict[str, Any]) -> None:
    """Say that a tensor has other numbers than its bytes hold."""
    entry["dtype"] = "I16" if entry["dtype"] == "I8" else "I8"


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (r"layer\.0\.bias' of shape \(1000000000,\), not \(", lambda h, _: h[BIAS].update(shape=[10**9])),
        (r"layer\.0\.bias' of dtype F16, not one of I8", lambda h, _: h[BIAS].update(dtype="F16")),
        (r"contradicts the bytes of tensor '", lambda h, _: widen(h[BIAS])),
        (r"found no tensor 'layer\.0\.bias'", lambda h, _: h.pop(BIAS)),
        (r"found an unknown tensor 'x'", lambda h, _: h.update(x=h[BIAS])),
        (r"contradicts the bytes of tensor 'layer\.0\.bias'", lambda h, _: h[BIAS].update(data_offsets=[8, 4])),
        (r"contradicts the bytes of tensor", lambda h, _: h[BIAS].update(data_offsets=[0, 108])),
        (r"contradicts the bytes of tensor", lambda _, values: values.pop()),
        (r"contradicts the bytes after", lambda _, values: values.append(0)),
        (r"repeated or unknown keys", lambda h, _: h[BIAS].update(x=1)),
        (r"a damaged header", lambda h, _: h[BIAS].pop("dtype")),
        (r"a damaged header", lambda h, _: h.update(x=[])),
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
    assert artifact.CARD not in artifact.read(run).config.files
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
    message = {
        artifact.CARD: "found the README.md of another project; delete it or choose another folder",
        artifact.CONFIG: r"config\.json is not a model of sequentia; delete it or choose another folder",
    }
    with pytest.raises(ArtifactError, match=message[name]):
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
