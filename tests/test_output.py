"""Files of names: Arrow columns, every format, interrupted writers, and scoring from files."""

import csv
import fcntl
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import sequentia
from sequentia import GenerationError, OptionError, SequenceModel, VocabularyError
from sequentia._files import remove_abandoned, writing
from sequentia.arrow import strings
from sequentia.export import export
from sequentia.input import score_file
from sequentia.output import FORMATS, Csv, JsonArray, format_of
from sequentia.training import train
from sequentia.vocabulary import Vocabulary

from .conftest import python, size_of, wait_for
from .test_cli import fail, run_cli, succeed


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> SequenceModel:
    """Return a model whose symbols take one to four bytes in UTF-8; a quotation mark and a comma are among them."""
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


@pytest.mark.parametrize("which", ["moons", "scripts"])
def test_an_arrow_table_holds_the_scores_too(
    moons: SequenceModel, scripts: SequenceModel, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sequentia.generation._MAX_BATCH", 64)
    model = moons if which == "moons" else scripts
    table = model.generate_arrow(500, scores=True, seed=3)
    table.validate(full=True)
    assert table.schema == pa.schema({"name": pa.string(), "log_probability": pa.float64()})
    assert table["name"] == model.generate_arrow(500, seed=3)
    assert table["log_probability"].to_pylist() == model.score(model.generate(500, seed=3)).tolist()
    assert model.generate_arrow(0, scores=True) == table[:0]
    with pytest.raises(GenerationError) as caught:
        moons.generate_arrow(2, scores=True, pattern="t[ai]", unique=True, exclude=["ta"])
    assert caught.value.names == ["ti"]


def test_scores_of_an_arrow_table_are_under_its_conditions() -> None:
    people, where = sequentia.load("people"), {"sex": "f"}
    table = people.generate_arrow(20, scores=True, where=where, seed=1)
    assert table["log_probability"].to_pylist() == people.score(table["name"].to_pylist(), where=where).tolist()


def test_batches_of_an_alphabet_of_thousands() -> None:
    vocabulary = Vocabulary(map(chr, range(0x4E00, 0x4E00 + 3000)))
    ids = np.zeros((3, 4), dtype=vocabulary.dtype)
    ids[1, :2], ids[2] = [1, 3000], [7, 8, 9, 10]
    assert strings(ids, vocabulary).to_pylist() == vocabulary.decode(ids)


def read(file: Path) -> list[tuple[str, float | None]]:
    """Return the names and scores in a file, read by another library."""
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


# Endless output

STREAM = [sys.executable, "-m", "sequentia", "generate", "--stream"]


@contextmanager
def streaming(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run ``generate --stream`` with a pipe of each stream."""
    command = [*STREAM, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--unique", "--prefix", "t", "-o", "-"], {"unique": True, "prefix": "t"}),
        (["--pattern", ".*(a|o)n", "--novel", "--threads", 1], {"pattern": ".*(a|o)n", "novel": True}),
    ],
)
def test_a_stream_ends_with_its_reader(trained: Path, arguments: list[object], options: dict[str, Any]) -> None:
    expected = sequentia.generate(50, model=trained, seed=3, **options)
    with streaming("-m", trained, "--seed", 3, *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(50)] == [f"{name}\n" for name in expected]
        assert process.poll() is None, "there are more"
        process.stdout.close()
        assert (process.wait(timeout=60), process.stderr.read()) == (0, "")


def test_a_stream_of_scores(trained: Path) -> None:
    model = sequentia.load(trained)
    names = model.generate(40, seed=3)
    scores = model.score(names).tolist()
    with streaming("-m", trained, "--seed", 3, "--scores") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in names]
    assert lines == [f"{score:.4f}\t{name}\n" for name, score in zip(names, scores, strict=True)]
    with streaming("-m", trained, "--seed", 3, "--scores", "--json") as process:
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in names]
    assert rows == [{"name": name, "log_probability": score} for name, score in zip(names, scores, strict=True)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_stream_after_a_whole_line(trained: Path, number: signal.Signals) -> None:
    """The pipe is full, so that the signal interrupts the writing; the rest is dropped."""
    with streaming("-m", trained, "--seed", 3) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        before = -1
        while before != (before := waiting_in(process.stdout)) or not before:
            time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
        lines = process.stdout.read().splitlines(keepends=True)
        assert process.stderr.read() == ""
    assert "".join(lines) == "".join(f"{name}\n" for name in sequentia.generate(len(lines), model=trained, seed=3))


def waiting_in(pipe: IO[str]) -> int:
    """Return the number of bytes that wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_stream_with_an_end(trained: Path) -> None:
    """It is an error, after the names there are."""
    with streaming("-m", trained, "--unique", "--pattern", "t[ai]") as process:
        shown, errors = process.communicate(timeout=60)
    assert sorted(shown.splitlines()) == ["ta", "ti"]
    assert process.returncode == 1
    assert re.fullmatch(r"Error: gave up after .* rejected candidates in a row; .*\n", errors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "2"], "--stream uses one core: leave out --threads 2 or --stream"),
        (["5"], "--stream never ends, so it takes no number of names: leave out 5 or --stream"),
        (["-o", "names.csv"], "--stream never ends, so it writes no file: leave out -o names.csv or --stream"),
        (["--engine", "ray"], "--stream does not work with --engine ray"),
    ],
)
def test_what_contradicts_a_stream(arguments: list[str], message: str) -> None:
    assert message in fail("generate", "--stream", *arguments, code=2)


def test_batches_of_a_stream_take_a_moment(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their sizes, they hold the same names."""
    expected = moons.generate(20, seed=1)
    for moment, sizes in ((0, [1, 1, 1, 1, 1]), (math.inf, [1, 2, 4, 8, 8])):
        monkeypatch.setattr("sequentia.generation._PROMPT", moment)
        monkeypatch.setattr("sequentia.generation._MAX_BATCH", 8)
        batches = list(itertools.islice(moons.batches(None, seed=1), 5))
        assert [len(batch) for batch in batches] == sizes
        names = [name for batch in batches for name in moons.vocabulary.decode(batch)]
        assert names[:20] == expected[: len(names)]


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
    """The old file stays, and the unfinished one has a hidden name."""
    file = tmp_path / "names.parquet"
    file.write_text("old")
    command = [sys.executable, "-m", "sequentia", "generate", "100000000", "-o", str(file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(process, lambda: any(map(size_of, tmp_path.glob(".names.parquet*"))))
        process.send_signal(signal.SIGKILL)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["names.parquet"]


def test_two_writers_of_one_file_leave_each_other_alone(tmp_path: Path) -> None:
    """Both writers may have the same process id, as in two containers; here they are one process."""
    file = tmp_path / "names.txt"
    with writing(file) as slow:
        slow.write(b"slow, ")
        with writing(file) as quick:
            quick.write(b"quick")
        assert file.read_bytes() == b"quick"
        with pytest.raises(TypeError), writing(file) as failing:
            failing.write("no bytes")  # type: ignore[call-overload]
        slow.write(b"but whole")
    assert file.read_bytes() == b"slow, but whole"
    assert list(tmp_path.iterdir()) == [file]


def test_only_what_no_process_is_writing_is_taken_for_abandoned(tmp_path: Path) -> None:
    (tmp_path / ".part-1.0123.partial").write_bytes(b"of a killed process")
    (tmp_path / ".other-1.0123.partial").write_bytes(b"of another job")
    with writing(tmp_path / "part-2") as file:
        file.write(b"whole")
        remove_abandoned(tmp_path, "part-")
    assert (tmp_path / "part-2").read_bytes() == b"whole"
    assert {path.name for path in tmp_path.iterdir()} == {"part-2", ".other-1.0123.partial"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(b"old")
    file.chmod(mode)
    with writing(file) as opened:
        opened.write(b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", mode)


def test_names_as_long_as_a_file_system_has_them(tmp_path: Path) -> None:
    file = tmp_path / f"{'n' * 251}.txt"
    with writing(file) as opened:
        opened.write(b"x")
    assert list(tmp_path.iterdir()) == [file]


ENDLESS = [sys.executable, "-m", "sequentia", "generate", "100000000", "-o"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    with subprocess.Popen([*ENDLESS, str(tmp_path / "names.txt")], stderr=subprocess.PIPE, text=True) as process:
        wait_for(process, lambda: any(map(size_of, tmp_path.iterdir())))
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (128 + number, "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_outlives_its_terminal(tmp_path: Path) -> None:
    """Start the command as nohup does, with SIGHUP ignored."""
    file = tmp_path / "names.txt"
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-m", "sequentia", "generate", "400000"]
    with subprocess.Popen([*command, "-o", str(file)]) as process:
        wait_for(process, lambda: any(tmp_path.iterdir()))
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=120)
    assert process.returncode == 0
    assert len(file.read_text(encoding="utf-8").splitlines()) == 400_000


LIMITED = """
import resource
from sequentia.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
main()
"""


@pytest.mark.parametrize("name", ["names.txt", "names.parquet"])
def test_a_disk_that_is_full(tmp_path: Path, name: str) -> None:
    """A limit of 3,000 bytes a file stands for a full disk."""
    result = python("-c", LIMITED, "generate", "10000", "--seed", "1", "-o", str(tmp_path / name))
    assert (result.returncode, result.stderr) == (1, f"Error: {tmp_path / name}: File too large\n")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_met_leaves_no_file(tmp_path: Path) -> None:
    arguments = ["generate", 5, "--pattern", "(anna|otto)", "--exclude", "anna", "--exclude", "otto"]
    message = fail(*arguments, "-o", tmp_path / "names.txt")
    assert re.search(r"accepted: 0, rejected: constraints [\d,]+, exclude 1[67],\d+", message)
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
    assert "install the extra [arrow], in a checkout" in message
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


# Names that are scored from a file


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".parquet"])
def test_what_is_written_can_be_scored(scripts: SequenceModel, tmp_path: Path, suffix: str) -> None:
    folder, file = scripts._artifact.folder, tmp_path / f"names{suffix}"
    names = scripts.generate(300, seed=2)
    succeed("generate", 300, "-m", folder, "--seed", 2, "-o", file)
    expected = scripts.score(names)
    for target in FORMATS:
        scored = tmp_path / f"scored{target}"
        assert succeed("score", "-m", folder, "-i", file, "-o", scored) == ""
        rows = read(scored)
        assert [name for name, _ in rows] == names
        np.testing.assert_allclose([score for _, score in rows if score is not None], expected, atol=5e-5)
    assert succeed("score", "-m", folder, "-i", file) == (tmp_path / "scored").read_text(encoding="utf-8")


def test_a_file_of_names_in_pieces(moons: SequenceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sequentia.input._BATCH_SIZE", 16)
    names = moons.generate(50, seed=1)
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    pieces = list(score_file(moons, tmp_path / "names.txt"))
    assert [len(piece) for piece, _ in pieces] == [16, 16, 16, 2]
    assert [name for piece, _ in pieces for name in piece] == names
    np.testing.assert_array_equal(np.concatenate([scores for _, scores in pieces]), moons.score(names))


def test_files_as_people_have_them(moons: SequenceModel, tmp_path: Path) -> None:
    """A byte-order mark, CRLF, blank lines, other columns, quotation marks; and names as they are in JSON."""

    def names_in(name: str, content: str) -> list[str]:
        path = tmp_path / name
        path.write_bytes(content.encode())
        return [name for piece, _ in score_file(moons, path) for name in piece]

    assert names_in("a.txt", "\ufefftitan\r\n\r\n  io \n") == ["titan", "io"]
    assert names_in("a.list", "titan\n") == ["titan"]
    assert names_in("a.CSV", '\ufeffmoon of, name \r\n"Saturn, sixth", titan\r\n\r\nJupiter,"io"\r\n') == [
        "titan",
        "io",
    ]
    assert names_in("a.jsonl", '"titan"\n\n{"name": "io", "of": "Jupiter"}\n') == ["titan", "io"]
    assert names_in("none.txt", "") == []
    assert names_in("empty.csv", 'of,name\nSaturn,titan\nMars,\nEarth," "\n') == ["titan"], "as blank lines"
    assert names_in("cells.csv", 'name,note\ntitan,"two\nlines"\nio,x\n') == ["titan", "io"]
    assert names_in("a.ndjson", '"titan"\n') == ["titan"]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.txt", b"titan\nio!\n", VocabularyError, r"a\.txt, line 2: 'io!' contains '!' at position 2"),
        ("a.txt", b"titan\n\nIo\n", VocabularyError, r"a\.txt, line 3: .* no 'I'; try 'io'; write all names in"),
        ("a.txt", b"titan\nt\xe9thys\n", OptionError, r"a\.txt: byte 7 \(line 2\) is not UTF-8"),
        ("a.csv", b"moon,Name\nx,titan\n", OptionError, r"a\.csv: line 1 has no column 'name', only 'moon', 'Name'"),
        ("a.csv", b'name,x\ntitan,"1\nio,2\nmoon,3\n', OptionError, r"a\.csv: line 2 is not valid CSV .* not closed"),
        ("a.csv", b'name\ntitan\n"io"x\nmoon\n', OptionError, r"a\.csv: line 3 is not valid CSV"),
        ("a.csv", b'name,x\ntitan,"' + b"io\n" * 50_000, OptionError, r"a\.csv: line 2 is not valid CSV .* not closed"),
        ("a.csv", b"", OptionError, r"a\.csv: line 1 has no column 'name'"),
        ("a.csv", b"of,name\nSaturn,titan\nJupiter\n", OptionError, r"a\.csv: line 3 has no name"),
        ("a.csv", b'name\n"ti\ntan"\n', OptionError, r"a\.csv: line 2 contains a line feed"),
        ("a.jsonl", b'"titan"\n5\n', OptionError, r"a\.jsonl: line 2 is neither a string nor an object"),
        ("a.jsonl", b'"titan"\n{"moon": "io"}\n', OptionError, r"a\.jsonl: line 2 is neither a string nor"),
        ("a.json", b'["titan"]', OptionError, r"a\.json: a JSON array cannot be read name by name"),
        ("a.parquet", b"titan", OptionError, r"a\.parquet is no Parquet file"),
        ("b.parquet", b"", VocabularyError, r"b\.parquet, row 2: the model's alphabet has no 'I'; try 'io'"),
        ("d.parquet", b"", OptionError, r"d\.parquet is damaged"),
        ("c.parquet", b"", OptionError, r"c\.parquet: row 2 of the column 'name' is None, not a string"),
    ],
)
def test_files_that_cannot_be_scored(
    moons: SequenceModel, tmp_path: Path, name: str, content: bytes, error: type[Exception], message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if not content and name.endswith("parquet"):
        parquet.write_table(pa.table({"name": ["titan", "Io" if name[0] == "b" else None]}), path)
    if name[0] == "d":
        data = path.read_bytes()
        path.write_bytes(data[:4] + b"\xff" * 8 + data[12:])
    with pytest.raises(error, match=message):
        list(score_file(moons, path))


def test_a_file_that_cannot_be_scored_leaves_no_file(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("titan\n7\n", encoding="utf-8")
    message = fail("score", "-m", trained, "-i", tmp_path / "names.txt", "-o", tmp_path / "scores.csv")
    assert "names.txt, line 2" in message
    assert "No such file" in fail("score", "-m", trained, "-i", tmp_path / "nothing.txt")
    assert "line 2" in fail("score", "-m", trained, "-i", tmp_path / "names.txt", "-o", tmp_path / "scores.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]
