"""Names in bulk: Arrow columns, files of every format, and what is left of a run that is killed."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import sequentia
from sequentia import OptionError, SequenceModel
from sequentia.arrow import strings
from sequentia.export import export
from sequentia.output import FORMATS, Csv, JsonArray, format_of
from sequentia.training import train
from sequentia.vocabulary import Vocabulary

from .conftest import python
from .test_cli import fail, run_cli, succeed


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> SequenceModel:
    """Symbols of one to four bytes in UTF-8, a quotation mark and a comma among them."""
    folder = tmp_path_factory.mktemp("scripts")
    names = ['a"b', "č,ř", "名字", "😀é", "x名"] * 10
    (folder / "list.txt").write_text("\n".join(names), encoding="utf-8")
    train(folder / "list.txt", folder / "run", recipe="bigram-counts")
    export(folder / "run", folder / "run")
    return sequentia.load(folder / "run")


@pytest.mark.parametrize("which", ["moons", "scripts"])
def test_an_arrow_column_holds_the_same_names(moons: SequenceModel, scripts: SequenceModel, which: str) -> None:
    model = moons if which == "moons" else scripts
    column = model.generate_arrow(500, seed=3)
    column.validate(full=True)
    assert column.type == pa.string()
    assert column.to_pylist() == model.generate(500, seed=3)
    assert model.generate_arrow(20, seed=3, unique=True).to_pylist() == model.generate(20, seed=3, unique=True)
    empty = model.generate_arrow(0)
    assert (len(empty), empty.type) == (0, pa.string())


def test_batches_of_an_alphabet_of_thousands() -> None:
    vocabulary = Vocabulary(map(chr, range(0x4E00, 0x4E00 + 3000)))
    ids = np.zeros((3, 4), dtype=vocabulary.dtype)
    ids[1, :2], ids[2] = [1, 3000], [7, 8, 9, 10]
    assert strings(ids, vocabulary).to_pylist() == vocabulary.decode(ids)


def read(file: Path) -> list[tuple[str, float | None]]:
    """Return the names in a file and their scores, by a reader that is not ours."""
    if file.suffix == ".parquet":
        table = parquet.read_table(file).to_pydict()
        return list(zip(table["name"], table.get("log_probability", [None] * len(table["name"])), strict=True))
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        return [(row["name"], float(row["log_probability"]) if "log_probability" in row else None) for row in rows]
    if file.suffix in {".json", ".jsonl"}:
        objects = json.loads(text) if file.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
        return [(row, None) if isinstance(row, str) else (row["name"], row.get("log_probability")) for row in objects]
    lines = [line.split("\t") for line in text.splitlines()]
    return [(line[-1], float(line[0]) if len(line) == 2 else None) for line in lines]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_holds_the_names_and_scores(scripts: SequenceModel, tmp_path: Path, suffix: str) -> None:
    folder, file = scripts._artifact.folder, tmp_path / f"names{suffix}"
    expected = scripts.generate(300, seed=2)
    assert succeed("generate", 300, "-m", folder, "--seed", 2, "-o", file) == ""
    assert read(file) == [(name, None) for name in expected]
    succeed("generate", 300, "-m", folder, "--seed", 2, "-o", file, "--scores")
    found = read(file)
    assert [name for name, _ in found] == expected
    scores = [score for _, score in found if score is not None]
    np.testing.assert_allclose(scores, scripts.score(expected), atol=5e-5)
    assert list(tmp_path.iterdir()) == [file]


def test_no_names_and_what_is_printed(tmp_path: Path, trained: Path) -> None:
    for suffix in FORMATS:
        succeed("generate", 0, "-o", tmp_path / f"none{suffix}")
        assert read(tmp_path / f"none{suffix}") == []
    assert json.loads(succeed("generate", 0, "--json")) == []
    scored = json.loads(succeed("generate", 2, "-m", trained, "--seed", 1, "--json", "--scores"))
    names = sequentia.load(trained).generate(2, seed=1)
    assert [row["name"] for row in scored] == names
    assert [
        line.split("\t")[1] for line in succeed("generate", 2, "-m", trained, "--seed", 1, "--scores").splitlines()
    ] == names


def test_a_format_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot write \.xlsx; a file's name ends in \.txt, \.csv"):
        format_of(Path("names.xlsx"))
    assert "cannot write .xlsx" in fail("generate", "-o", tmp_path / "names.xlsx")
    assert format_of(Path("NAMES.CSV")) is Csv
    assert list(tmp_path.iterdir()) == []


def test_batches_follow_each_other_in_a_file(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sequentia.generation._MAX_BATCH", 16)
    file = io.BytesIO()
    writer = JsonArray(file, moons.vocabulary, scored=False)
    batches = list(moons.batches(50, seed=1))
    assert [len(names) for names in batches] == [16, 16, 16, 2]
    for names in batches:
        writer.write(names, None)
    writer.close()
    assert json.loads(file.getvalue()) == moons.generate(50, seed=1)
    chunks = moons.generate_arrow(50, seed=1).chunks
    assert [len(chunk) for chunk in chunks] == [16, 16, 16, 2]
    assert list(chain.from_iterable(chunk.to_pylist() for chunk in chunks)) == moons.generate(50, seed=1)


def test_a_killed_run_leaves_no_file_that_looks_whole(tmp_path: Path) -> None:
    """What was there stays, and what was begun is under a hidden name."""
    file = tmp_path / "names.parquet"
    file.write_text("old")
    command = [sys.executable, "-m", "sequentia", "generate", "100000000", "-o", str(file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not any(path.name.startswith(".names.parquet") and path.stat().st_size for path in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["names.parquet"]


LIMITED = """
import resource
from sequentia.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
main()
"""


@pytest.mark.parametrize("name", ["names.txt", "names.parquet"])
def test_a_disk_that_is_full(tmp_path: Path, name: str) -> None:
    """No file may grow beyond 3,000 bytes, which for one that is being written comes to the same."""
    result = python("-c", LIMITED, "generate", "10000", "--seed", "1", "-o", str(tmp_path / name))
    assert (result.returncode, result.stderr) == (1, f"Error: {tmp_path / name}: File too large\n")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_met_leaves_no_file(tmp_path: Path) -> None:
    arguments = ["generate", 5, "--pattern", "(anna|otto)", "--exclude", "anna", "--exclude", "otto"]
    message = fail(*arguments, "-o", tmp_path / "names.txt")
    assert "accepted: 0, rejected: exclude 10001" in message
    assert list(tmp_path.iterdir()) == []


def test_the_new_options_on_the_command_line(trained: Path) -> None:
    options = ["--pattern", "t.*n", "--novel", "--exclude", "tan", "--exclude", "ten", "--seed", 5, "--threads", 2]
    expected = sequentia.generate(8, model=trained, pattern="t.*n", novel=True, exclude=["tan", "ten"], seed=5)
    assert succeed("generate", 8, "-m", trained, *options).splitlines() == expected
    assert "no name of" in fail("generate", "--pattern", "[0-9]+")
    assert "threads must be" in fail("generate", "--threads", 0)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path) -> None:
    """A folder that shadows pyarrow stands for an environment without it."""
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    message = fail("generate", 3, "-o", tmp_path / "names.parquet", PYTHONPATH=path)
    assert "install sequentia with its extra, sequentia[arrow]" in message
    assert not (tmp_path / "names.parquet").exists()
    code = "import sequentia; sequentia.load().generate_arrow(3)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MissingExtraError" in result.stderr
    assert run_cli("generate", "3", PYTHONPATH=path).returncode == 0
