"""The command line: output, errors, exit codes, signals and streams."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TextIO

import msgspec
import pytest
from click import ClickException, Context
from click.testing import CliRunner

import sequentia
from sequentia.cli import cli
from sequentia.export import export
from sequentia.training import compare, recipe_names, train
from sequentia.training.checkpoint import Checkpoint

from . import golden
from .conftest import MOONS, SMALL, python, size_of, wait_for

SETTINGS = [argument for override in SMALL for argument in ("--set", override)]


def run_cli(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return python("-m", "sequentia", *map(str, arguments), **environment)


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, on streams of its own: a tenth of the time."""
    command = list(map(str, arguments))
    result = CliRunner().invoke(cli, command, prog_name="sequentia", catch_exceptions=False)
    return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, or in a new one if it needs environment variables."""
    return run_cli(*arguments, **environment) if environment else run_here(*arguments)


def succeed(*arguments: object, **environment: str) -> str:
    result = run(*arguments, **environment)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


def fail(*arguments: object, code: int = 1, **environment: str) -> str:
    result = run(*arguments, **environment)
    assert (result.returncode, result.stdout) == (code, ""), result
    assert "Traceback" not in result.stderr
    if code == 1:
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1, "one line"
    return result.stderr


def test_generate_prints_ten_names_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli("generate")
    assert (result.returncode, result.stderr) == (0, "")
    names = result.stdout.splitlines()
    assert len(names) == 10
    assert all(name.isalpha() for name in names)


def test_the_installed_command_is_the_module() -> None:
    command = Path(sys.executable).with_name("sequentia")
    shown = subprocess.run([command, "generate", "--seed", "1"], capture_output=True, text=True, check=True).stdout
    assert shown == run_cli("generate", "--seed", 1).stdout


def test_generate_is_the_librarys(trained: Path, tmp_path: Path) -> None:
    options = ["--prefix", "t", "--temperature", 0.8, "--top-k", 9, "--top-p", 0.9, "--min-length", 3]
    options += ["--max-length", 9, "--unique", "--seed", 4]
    expected = sequentia.generate(
        7,
        model=trained,
        prefix="t",
        temperature=0.8,
        top_k=9,
        top_p=0.9,
        min_length=3,
        max_length=9,
        unique=True,
        seed=4,
    )
    assert succeed("generate", 7, "--model", trained, *options).splitlines() == expected
    assert succeed("generate", 7, *options, SEQUENTIA_MODEL=str(trained)).splitlines() == expected
    assert json.loads(succeed("generate", 7, "-m", trained, *options, "--json")) == expected
    file = tmp_path / "out" / "names.txt"
    file.parent.mkdir()
    assert succeed("generate", 7, "-m", trained, *options, "-o", file) == ""
    assert file.read_text(encoding="utf-8").splitlines() == expected
    assert [path.name for path in file.parent.iterdir()] == ["names.txt"]
    assert succeed("generate", 0) == ""


def test_score_and_info(trained: Path) -> None:
    model = sequentia.load(trained)
    scores = model.score(["titan", "io"])
    assert succeed("score", "titan", "io", "-m", trained) == f"{scores[0]:.4f}\ttitan\n{scores[1]:.4f}\tio\n"
    rows = json.loads(succeed("score", "io", "-m", trained, "--json"))
    assert rows == [{"name": "io", "log_probability": pytest.approx(scores[1])}]

    shown = succeed("info", "-m", trained)
    for fact in (
        "moons",
        "tanh",
        f"{model.config.architecture.parameters:,}",
        "moons.txt: 150 names, 150 of them different",
        "are for training, 10 % (dev) for choices",
        f"{model.config.samples.new:.0%} new names",
    ):
        assert fact in shown
    facts = json.loads(succeed("info", "-m", trained, "--json"))
    assert facts["folder"] == str(trained)
    assert facts["vocabulary"] == list(model.vocabulary.symbols)


def test_the_command_alone_says_what_to_do_first(tmp_path: Path) -> None:
    """Each of the commands that it shows is one."""
    shown = succeed()
    commands = re.findall(r"(?m)^  (sequentia \S+)", shown)
    assert len(commands) == 5
    for command in commands:
        assert succeed(*command.split()[1:], "--help").startswith("Usage: sequentia")
    assert "sequentia --help" in shown


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str, number: int) -> list[str]:
        asked = {"_SEQUENTIA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return succeed(**asked).splitlines()

    assert "plain,generate" in completed("sequentia ge", 1)
    assert {"plain,--prefix", "plain,--pattern"} <= {*completed("sequentia generate --p", 2)}


def test_names_and_scores_under_conditions(tmp_path: Path) -> None:
    folder = golden.MODELS / "mlp-where"
    model, where = sequentia.load(folder), {"sex": "f", "decade": "1990"}
    names = model.generate(7, seed=4, where=where)
    asked = ["--where", "sex=f", "--where", "decade=1990"]
    given = ["-m", folder, *asked, "--seed", 4]
    assert succeed("generate", 7, *given).splitlines() == names
    assert succeed("generate", 7, *given, "--where", "sex=f").splitlines() == names, "the same twice"
    alone = ["-m", folder, "--where", "sex=f", "--seed", 4]
    assert succeed("generate", 7, *alone).splitlines() == model.generate(7, seed=4, where={"sex": "f"}) != names
    scores = model.score(names, where=where).tolist()
    scored = [{"name": name, "log_probability": score} for name, score in zip(names, scores, strict=True)]
    assert json.loads(succeed("generate", 7, *given, "--scores", "--json")) == scored
    assert json.loads(succeed("score", *names, "-m", folder, *asked, "--json")) == scored
    list_of_names = tmp_path / "names.txt"
    list_of_names.write_text("\n".join(names), encoding="utf-8")
    assert json.loads(succeed("score", "-i", list_of_names, "-m", folder, *asked, "--json")) == scored
    assert json.loads(succeed("score", *names, "-m", folder, "--json")) != scored

    shown = succeed("info", folder)
    assert "where sex=… " in shown
    assert "'1990', '2000', '2010'" in shown
    assert json.loads(succeed("info", folder, "--json"))["conditions"] == model.conditions


def test_a_value_may_hold_an_equals_sign() -> None:
    folder = golden.MODELS / "ngram-where"
    expected = sequentia.load(folder).generate(5, seed=4, where={"région": "a=b"})
    assert succeed("generate", 5, "-m", folder, "--where", "région=a=b", "--seed", 4).splitlines() == expected


def test_conditions_that_cannot_be(trained: Path, tmp_path: Path) -> None:
    folder = golden.MODELS / "mlp-where"
    (tmp_path / "empty.txt").touch()
    commands: list[list[object]] = [
        ["generate"],
        ["generate", 0],
        ["score", "abba"],
        ["score", "-i", tmp_path / "empty.txt"],
    ]
    for command in commands:
        for texts, message in (
            (["sex"], "'sex': give it as CONDITION=VALUE"),
            (["=f"], "'=f': give it as CONDITION=VALUE"),
            ([""], "'': give it as CONDITION=VALUE"),
            (["sex=f", "sex=m"], "sex is given twice, as 'f' and 'm'"),
        ):
            told = fail(*command, "-m", folder, *(f"--where={text}" for text in texts), code=2)
            assert told.endswith(f"Error: Invalid value for '--where': {message}\n")
        for text, message in (
            ("sex=", "where: sex must be one of 'f', 'm', not ''"),
            ("sex= f", "where: sex must be one of 'f', 'm', not ' f'"),
            ("decade=1991", "where: decade must be one of '1990', '2000', '2010', not '1991'"),
            ("age=9", "where: the model has no condition 'age'; its conditions are 'sex', 'decade'"),
        ):
            assert fail(*command, "-m", folder, "--where", text) == f"Error: {message}\n"
    assert "it has none" in fail("generate", "-m", trained, "--where", "sex=f")


def test_models() -> None:
    lines = succeed("models").splitlines()
    assert [line.split()[0] for line in lines] == ["names", "people", "prior", "surnames"]
    assert lines[0].endswith("; the default")
    assert "conditions: sex, decade" in lines[1]
    for line in lines:
        assert len(sequentia.generate(2, model=line.split()[0])) == 2


def test_recipes() -> None:
    listed = succeed("recipes")
    assert [line.split()[0] for line in listed.splitlines()] == recipe_names()
    assert "hidden_sizes = [200]" in succeed("recipes", "mlp")


def test_train_evaluate_export_generate(tmp_path: Path, trained: Path) -> None:
    folder = tmp_path / "my moons"
    result = run_cli("train", MOONS, "-o", folder, "--recipe", "mlp", *SETTINGS)
    assert result.returncode == 0, result.stderr
    *progress, done = result.stderr.splitlines()
    assert done == f"Done. Try: sequentia generate --model '{folder}'"
    assert all(re.match(r" *\d+% [a-z]+, loss ", line) for line in progress), "where it took ten seconds"
    in_training, exported = (
        [line.split() for line in shown.partition("\n\n")[0].splitlines()]
        for shown in (result.stdout, succeed("evaluate", folder, MOONS))
    )
    for before, after in zip(in_training, exported, strict=True):
        assert before[:1] + before[2:] == after[:1] + after[2:]
        if before[0] != "part":
            assert float(before[1]) == pytest.approx(float(after[1]), abs=1e-3), "whole numbers move a loss a little"
    assert succeed("generate", "-m", folder, "--seed", 1) == succeed("generate", "-m", trained, "--seed", 1)

    losses = json.loads(succeed("evaluate", folder, MOONS, "--split", "all", "--json"))
    assert losses["train"]["names"] == 150
    assert losses["dev"] is None

    again = run_cli("export", folder, "-o", tmp_path / "other")
    assert again.returncode == 0, again.stderr
    assert succeed("generate", "-m", tmp_path / "other", "--seed", 1) == succeed("generate", "-m", folder, "--seed", 1)


def test_evaluate_against_other_models(trained: Path) -> None:
    alone = succeed("evaluate", trained, MOONS)
    shown = succeed("evaluate", trained, MOONS, "--against", "names", "--against", trained)
    assert shown.startswith(f"{alone}\n")
    header, *rows = shown.removeprefix(f"{alone}\n").splitlines()
    assert header.split() == ["against", "part", "difference", "95", "%", "interval", "better"]
    assert {len(row) for row in rows} == {len(header)}, "aligned"
    found = compare(sequentia.load(trained), sequentia.load("names"), MOONS)
    parts = ["dev", "test", "dev_unseen", "test_unseen"]
    for part, row in zip(parts, rows[:4], strict=True):
        of_part = getattr(found, part)
        numbers = [f"{value:+.4f}" for value in (of_part.difference, of_part.low, of_part.high)]
        assert row.split() == ["names", part, *numbers, f"{of_part.better:.1%}"]
    assert [row.split() for row in rows[4:]] == [[str(trained), part, *["+0.0000"] * 3, "50.0%"] for part in parts]

    values = json.loads(succeed("evaluate", trained, MOONS, "--against", "names", "--json"))
    assert values.pop("against") == [{"model": "names", **msgspec.to_builtins(found)}]
    assert values == json.loads(succeed("evaluate", trained, MOONS, "--json"))
    assert "against" not in values


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "sequentia", "train", str(MOONS), "-o", str(folder), "--recipe", "mlp"]
    with subprocess.Popen([*command, "--seed", "3"], stderr=subprocess.PIPE, text=True) as process:
        wait_for(process, lambda: size_of(folder / "history.jsonl") > 1000)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    step = Checkpoint.load(folder).record.step
    assert process.returncode == 130
    assert errors == (
        f"Interrupted, saved at step {step} of 200000. Go on with: sequentia train {MOONS} -o {folder} --resume\n"
    )
    assert 0 < step < 200_000


def test_ctrl_c_before_anything_is_saved(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "sequentia", "train", str(fifo), "-o", str(tmp_path / "run")]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        fifo.open("w"),
    ):
        process.send_signal(signal.SIGINT)  # opening the pipe returned once the command reads it
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (130, "Interrupted.\n")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_output_is_an_ordinary_file(tmp_path: Path, umask: int) -> None:
    file, link = tmp_path / "names.txt", tmp_path / "link.txt"
    link.symlink_to(file)
    succeed("generate", "3", "-o", link)
    command = f"umask {umask:o}; '{sys.executable}' -m sequentia generate 3 -o '{tmp_path}/new.txt'"
    subprocess.run(command, shell=True, check=True)
    assert link.is_symlink()
    assert len(file.read_text(encoding="utf-8").splitlines()) == 3
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert len(run_cli("generate", "3", "-o", "/dev/stdout").stdout.splitlines()) == 3


# Errors in one line


def test_a_seed_is_a_number_or_a_word() -> None:
    for word, seed in (
        ("7", 7),
        ("007", 7),
        ("emma", "emma"),
        ("4 July", "4 July"),
        ("-a", "-a"),
        ("_", "_"),
        ("é", "é"),
    ):
        assert succeed("generate", 3, "--seed", word).split() == sequentia.generate(3, seed=seed), word
    for word in ("-4", "+4", "4.0", ".5", "1_0", "٣"):
        assert f"{word!r} looks like a number, but a seed is a whole" in fail("generate", "--seed", word, code=2), word
    assert "the seed is empty" in fail("generate", "--seed", "", code=2)
    assert "not empty" in " ".join(succeed("generate", "--help").split())
    explained = succeed("evaluate", "--help")
    assert all(word in explained for word in ("nats/symbol", "windows", "dev_unseen", "test_unseen"))
    assert "seed must be a whole number from 0 to 2**128 - 1, or a string" in fail("generate", "--seed", 2**128)


def test_errors_of_every_kind(tmp_path: Path, run: Path) -> None:
    assert "no model 'nowhere': it is neither a folder" in fail("generate", "--model", "nowhere")
    assert "temperature must be a finite number" in fail("generate", "--temperature", -1)
    assert "min_length 9 is greater than max_length 3" in fail("generate", "--min-length", 9, "--max-length", 3)
    assert "'É' at position 0" in fail("generate", "--prefix", "Émile")
    assert fail("generate", "--prefix", "Mar") == "Error: the model's alphabet has no 'M'; try 'mar'\n"
    assert fail("score", "Emma") == "Error: the model's alphabet has no 'E'; try 'emma'\n"
    assert "; it has 'm', not 'M'" in fail("generate", "--pattern", "Mar.*")
    assert "flags such as (?i) are not supported" in fail("generate", "--pattern", "(?i)anna")
    assert "a folder, not a file" in fail("score", "-i", tmp_path)
    assert "'!' at position 2" in fail("score", "io!")
    assert "there is no such file" in fail("evaluate", "names", tmp_path / "nothing.txt")
    assert "no model 'nowhere'" in fail("evaluate", "names", MOONS, "--against", "nowhere")
    assert "no recipe 'mpl'" in fail("recipes", "mpl")
    assert "there is no key 'stps'" in fail("train", MOONS, "-o", tmp_path / "x", "--set", "stps=1")
    assert "is not empty" in fail("train", MOONS, "-o", run)
    assert "no training run here" in fail("export", tmp_path, "-o", tmp_path / "y")
    assert f"{tmp_path}/no: there is no such folder" in fail("generate", "-o", tmp_path / "no" / "x.txt")
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    assert "loop.txt: Too many levels of symbolic links" in fail("generate", "-o", tmp_path / "loop.txt")
    assert "this is no folder" in fail("generate", "-o", MOONS / "x.txt")
    assert "the path is empty" in fail("generate", "-o", "", code=2)
    assert "n must be a whole number" in fail("generate", 10**30)
    (run / "model.onnx").write_bytes(b"")
    assert "model.onnx: expected" in fail("info", "--model", run)


def test_the_names_found_before_giving_up_are_printed(tmp_path: Path) -> None:
    """A file appears only when it is complete."""
    command = ["generate", 5, "--temperature", 0, "--unique"]
    name = succeed("generate", 1, "--temperature", 0)
    for shown, arguments in ((name, command), (f'[\n  "{name.strip()}"\n]\n', [*command, "--json"])):
        result = run_here(*arguments)
        assert (result.returncode, result.stdout) == (1, shown)
        assert "accepted: 1, rejected: unique 1" in result.stderr
    assert "accepted: 1, rejected: unique 1" in fail(*command, "-o", tmp_path / "names.txt")
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage() -> None:
    for arguments in (
        ["generate", "ten"],
        ["generate", "-1"],
        ["nonsense"],
        ["score"],
        ["train", MOONS],
        ["--nope"],
    ):
        assert "Usage: sequentia" in fail(*arguments, code=2)


def test_a_traceback_on_request() -> None:
    result = run_cli("generate", "--model", "nowhere", SEQUENTIA_DEBUG="1")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ModelNotFoundError" in result.stderr


# Streams


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command line in which $S stands for ``python -m sequentia``."""
    environment = {**os.environ, "S": f"{sys.executable} -m sequentia", **environment}
    return subprocess.run(
        command, shell=True, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False, env=environment
    )


def test_streams_that_are_closed(tmp_path: Path) -> None:
    file = tmp_path / "z.txt"
    assert shell(f"$S generate 2 -o {file} >&-").returncode == 0
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2
    file.unlink()
    result = shell(f"$S generate 2 -o {file} 2>&-; cat {file}")
    assert (result.returncode, result.stderr, len(result.stdout.splitlines())) == (0, "", 2)
    assert len(shell("$S generate 2 2>&-").stdout.splitlines()) == 2
    assert shell(f"$S generate 2 -o {file} <&- >&- 2>&-").returncode == 0
    for command in ("generate 2", "generate 2 --json", "score emma", "info", "recipes"):
        result = shell(f"$S {command} >&-")
        assert (result.returncode, result.stderr) == (1, "Error: standard output: it is closed\n"), command
    result = shell("$S score - <&-")
    assert (result.returncode, result.stderr) == (1, "Error: standard input: it is closed\n")


def test_help_that_cannot_be_printed() -> None:
    for arguments in ("--version", "--help", "generate --help"):
        for target in (">&-", ">/dev/full"):
            result = shell(f"$S {arguments} {target}")
            assert result.returncode == 1, arguments
            assert re.fullmatch(r"Error: (standard output: )?(it is closed|No space left on device)\n", result.stderr)


def test_notices_that_cannot_be_written_are_dropped(tmp_path: Path) -> None:
    """A log on a full disk does not stop a training."""
    run = tmp_path / "run"
    result = shell(f"$S train {MOONS} -o {run} --recipe bigram-counts 2>/dev/full")
    assert result.returncode == 0
    assert "nats/symbol" in result.stdout
    assert len(sequentia.generate(3, model=run)) == 3
    assert shell(f"$S export {run} -o {tmp_path / 'copy'} 2>/dev/full").returncode == 0


def test_output_to_what_is_open_already(tmp_path: Path) -> None:
    """A log that the shell has opened keeps the lines before and after ours."""
    log = tmp_path / "log.txt"
    log.write_text("kept\n", encoding="utf-8")
    for target in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert shell(f"(echo before; $S generate 2 --seed 1 -o {target}; echo after) >> {log}").returncode == 0
    names = sequentia.generate(2, seed=1)
    assert log.read_text(encoding="utf-8").split() == ["kept", *["before", *names, "after"] * 3]


def test_output_that_cannot_be_written() -> None:
    for command in ("generate 2", "generate 30000", "info"):
        for unbuffered in ("", "1"):
            result = shell(f"$S {command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
            assert result.returncode == 1
            assert result.stderr == "Error: standard output: No space left on device\n"


def test_streams_that_are_replaced(trained: Path) -> None:
    """A program that calls the command, such as a notebook, may replace the standard streams."""
    expected = sequentia.load(trained).generate(2, seed=1)
    for arguments in (["generate", "2", "--seed", "1"], ["generate", "2", "--seed", "1", "-o", "-"]):
        with redirect_stdout(StringIO()) as shown, redirect_stderr(StringIO()):
            cli([*arguments, "-m", str(trained)], standalone_mode=False)
        assert shown.getvalue().splitlines() == expected
    with redirect_stdout(StringIO()) as shown, redirect_stdin(StringIO("titan\n")):
        cli(["score", "-", "-m", str(trained)], standalone_mode=False)
    assert shown.getvalue().endswith("\ttitan\n")
    closed = StringIO()
    closed.close()
    for missing in (None, closed):
        with redirect_stdout(missing), pytest.raises(ClickException, match="standard output: it is closed"):
            cli(["generate", "2", "-m", str(trained)], standalone_mode=False)
    with redirect_stdout(StringIO()) as shown, redirect_stderr(None):
        cli(["info", "-m", str(trained)], standalone_mode=False)
    assert "moons" in shown.getvalue()


@contextmanager
def redirect_stdin(stream: TextIO) -> Iterator[None]:
    before, sys.stdin = sys.stdin, stream
    try:
        yield
    finally:
        sys.stdin = before


@pytest.fixture(scope="module")
def arabic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arabic")
    names = ["\u0645\u062d\u0645\u062f", "\u0639\u0644\u064a", "\u0639\u0645\u0631"]
    (folder / "list.txt").write_text("\n".join(names * 10), encoding="utf-8")
    train(folder / "list.txt", folder / "\u0627\u0633\u0645", recipe="bigram-counts")
    export(folder / "\u0627\u0633\u0645", folder / "\u0627\u0633\u0645")
    return folder / "\u0627\u0633\u0645"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_pipes_and_files_get_utf_8(arabic: Path, encoding: str) -> None:
    name = sequentia.load(arabic).generate(1, seed=1)[0]
    for arguments in (
        ["info"],
        ["info", "--json"],
        ["score", name],
        ["score", name, "--json"],
        ["generate", "--seed", "1"],
    ):
        command = [sys.executable, "-m", "sequentia", *arguments, "-m", str(arabic)]
        result = subprocess.run(
            command, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding}
        )
        assert result.returncode == 0, result.stderr
        assert name[0] in result.stdout.decode("utf-8")


def test_a_terminal_gets_what_it_can_show(arabic: Path) -> None:
    for arguments in (["info"], ["generate", "3"]):
        controller, terminal = os.openpty()
        command = [sys.executable, "-m", "sequentia", *arguments, "-m", str(arabic)]
        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        process = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, check=False, env=environment)
        os.close(terminal)
        assert (process.returncode, process.stderr) == (0, b"")
        shown = os.read(controller, 1 << 16)
        os.close(controller)
        assert b"?" in shown
        assert shown.isascii(), shown


def test_a_dash_is_the_stream(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = succeed("generate", 5, "-m", trained, "--seed", 1)
    assert succeed("generate", 5, "-m", trained, "--seed", 1, "-o", "-") == expected
    piped = shell(f"$S generate 5 -m {trained} --seed 1 | $S score - -m {trained}")
    assert [line.split("\t")[1] for line in piped.stdout.splitlines()] == expected.splitlines()
    again = shell(f"$S generate 5 -m {trained} --seed 1 | $S score -i - -o - -m {trained}")
    assert again.stdout == piped.stdout
    evaluated = shell(f"$S evaluate {trained} - --against {trained} < {MOONS}")
    assert (evaluated.returncode, evaluated.stderr) == (0, "")
    assert evaluated.stdout.startswith(succeed("evaluate", trained, MOONS))
    run = shell(f"$S train - -o run --recipe bigram-counts < {MOONS}")
    assert run.returncode == 0, run.stderr
    assert sequentia.load("run").config.training.corpus.file == "stdin"
    result = shell("printf 'anna\\n\\tx\\0\\n' | $S train - -o other --recipe bigram-counts")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: standard input: line 2 contains NUL")
    for command in (
        ["train", MOONS],
        ["export", "run"],
        ["pull", "you/moons"],
        ["find-lr", MOONS],
        ["reproduce", MOONS],
    ):
        assert "expected a folder, but - is standard output" in fail(*command, "-o", "-", code=2)
    assert succeed("generate", 5, "-o", "./-") == ""
    assert len(succeed("score", "-i", "./-").splitlines()) == 5
    assert {path.name for path in tmp_path.iterdir()} == {"run", "-"}


def test_json_and_the_name_of_a_file(tmp_path: Path) -> None:
    assert "--json contradicts -o" in fail("generate", 3, "--json", "-o", tmp_path / "names.csv", code=2)
    assert "--json contradicts -o" in fail("score", "emma", "--json", "-o", tmp_path / "names.parquet", code=2)
    succeed("generate", 3, "--json", "-o", tmp_path / "names.json")
    assert len(json.loads((tmp_path / "names.json").read_text(encoding="utf-8"))) == 3
    assert "not both" in fail("score", "emma", "-i", tmp_path / "names.json", code=2)
    assert "must be the only NAME" in fail("score", "-", "emma", code=2)


def test_a_warning_is_one_line(tmp_path: Path) -> None:
    corpus = tmp_path / "list.txt"
    corpus.write_text("anna\n\ufeffeve\nzoe\u200b\n" * 4, encoding="utf-8")
    result = run_cli("train", corpus, "-o", tmp_path / "run", "--recipe", "bigram-counts")
    assert result.returncode == 0
    first, *others = result.stderr.splitlines()
    assert first.startswith(
        f"Warning: {corpus}: removed 8 invisible characters (4 x U+FEFF (zero width no-break space)"
    )
    assert not any("Warning" in line for line in others)
    result = shell(f"$S train - -o {tmp_path / 'piped'} --recipe bigram-counts < {corpus}")
    assert result.stderr.startswith("Warning: standard input: removed 8 invisible characters")
    result = run_cli("evaluate", tmp_path / "run", corpus, "--against", tmp_path / "run")
    assert result.stderr.count("Warning") == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_training_that_is_told_to_end_saves(tmp_path: Path, name: str) -> None:
    folder, number = tmp_path / "run", getattr(signal, name)
    command = [sys.executable, "-m", "sequentia", "train", str(MOONS), "-o", str(folder), "--recipe", "mlp"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(process, lambda: size_of(folder / "history.jsonl") > 1000)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    step = Checkpoint.load(folder).record.step
    assert (process.returncode, step > 0) == (128 + number, True)
    assert errors.startswith(f"Interrupted, saved at step {step} of 200000. Go on with: sequentia train")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_reader_that_leaves_early() -> None:
    command = f"'{sys.executable}' -m sequentia generate 20000 | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """A folder that shadows torch stands for an environment without it."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for arguments in (["train", MOONS, "-o", tmp_path / "run"], ["export", tmp_path, "-o", tmp_path / "x"]):
        message = fail(*arguments, PYTHONPATH=path)
        assert "install the extra [train], in a checkout" in message
    assert succeed("generate", 3, "--seed", 1, PYTHONPATH=path)
    assert "nats/symbol" in succeed("evaluate", "names", MOONS, PYTHONPATH=path)
    assert "names" in succeed("recipes", PYTHONPATH=path)
    assert "hidden_sizes" in succeed("recipes", "mlp", PYTHONPATH=path)


def test_the_source_folder_says_that_it_hides_the_package(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sequentia.export", None)
    message = fail("export", trained, "-o", tmp_path / "copy")
    assert "hides the installed package: run the command from another folder" in message
    with pytest.raises(sequentia.MissingExtraError) as caught:
        sequentia.load(trained).push_to_hub("you/moons")
    assert message == f"Error: {caught.value}\n"


def test_each_command_is_in_the_help_by_its_name() -> None:
    context = Context(cli)
    listed = re.findall(r"(?m)^  ([\w-]+)  +\S", succeed("--help").split("Commands:")[1])
    assert listed == cli.list_commands(context)
    for name in listed:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
    assert cli.get_command(context, "cli") is None
    misspelt = run_cli("genrate")
    assert (misspelt.returncode, misspelt.stdout) == (2, "")
    assert "No such command 'genrate'. Did you mean 'generate'?" in misspelt.stderr


def test_drawing_names_imports_no_other_command() -> None:
    code = (
        "import sys; from sequentia.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(name for name in sys.modules if name.startswith('sequentia.cli.')))"
    )
    shown = python("-c", code, "generate", "1").stdout.splitlines()[-1]
    assert not {"train", "inspect", "hub", "compose"} & {name.rpartition(".")[2] for name in shown.split()}


def test_help_and_version() -> None:
    assert succeed("--version") == f"{sequentia.__version__}\n"
    assert "Invent names" in succeed("-h")
    for command in ("generate", "score", "info", "train", "evaluate", "recipes", "export"):
        assert command in succeed("--help")
        assert succeed(command, "--help").startswith(f"Usage: sequentia {command}")
