"""Deployment: network and disk, forks, servers, unusual installations, and docs/deployment.md."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sequentia
from sequentia import artifact
from sequentia.export import parity

from .conftest import python
from .hub_server import HubServer

ROOT = Path(__file__).parents[1]
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
PACKAGE = Path(sequentia.__file__).parent


def ordinary(**changes: str) -> dict[str, str]:
    """Return the environment without the variable that turns telemetry off."""
    return {**{name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}, **changes}


def publish(hub: HubServer) -> str:
    """Publish the bundled model on the hub, and return the hash of the commit."""
    hub.create("you/planets")
    files = [path for path in (PACKAGE / "models" / "names").iterdir() if path.is_file()]
    return hub.commit("you/planets", {path.name: path.read_bytes() for path in files})


# Telemetry. Python's own calls are seen by an audit hook, and those of a library by its threads: a look-up in the
# background needs one. NumPy's threads are kept out by the variable OPENBLAS_NUM_THREADS.

SESSION = """
import os, sys, time
calls = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        calls.append(event)
sys.addaudithook(hook)
import sequentia
model = sequentia.load()
model.generate(1000)
sequentia.load("you/planets", revision=sys.argv[1]).generate(1000)
os.environ["HF_HUB_OFFLINE"] = "1"
sequentia.load("you/planets", revision=sys.argv[1], local_files_only=True)
time.sleep(float(sys.argv[2]))
print(calls, len(os.listdir("/proc/self/task")), os.environ["ORT_DISABLE_TELEMETRY"])
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_generating_stays_off_the_network_and_out_of_home(hub: HubServer, tmp_path: Path) -> None:
    """For 15 seconds, in which onnxruntime's telemetry would start threads, look up a host and write below HOME."""
    commit = publish(hub)
    cache, home = tmp_path / "cache", tmp_path / "home"
    home.mkdir()
    environment = ordinary(HOME=str(home), HF_HOME=str(cache), OPENBLAS_NUM_THREADS="1")
    subprocess.run([sys.executable, "-m", "sequentia", "info", "you/planets"], env=environment, check=True)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    hub.requests.clear()
    result = subprocess.run(
        [sys.executable, "-c", SESSION, commit, "15"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("[] 1 1\n", "")
    assert hub.requests == []
    assert list(home.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_the_users_choice_of_telemetry_stays() -> None:
    code = "import os, sequentia; sequentia.load(); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert python("-c", code, ORT_DISABLE_TELEMETRY="0").stdout == "0\n"
    assert python("-c", code, ORT_DISABLE_TELEMETRY="").stdout == "1\n", "nothing said"


def test_onnxruntime_is_imported_in_one_place() -> None:
    """The variable that turns telemetry off is set there first."""
    importing = [
        path.relative_to(ROOT).as_posix()
        for folder in ("sequentia", "training", "export")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"(?m)^\s*(import|from) onnxruntime", path.read_text(encoding="utf-8"))
    ]
    assert importing == ["sequentia/session.py"]
    code = "import sys, sequentia.export.exporter; print('onnxruntime' in sys.modules)"
    assert python("-c", code).stdout == "False\n"


# Forks

FORK = """
import os, sys
import sequentia
model = sequentia.load(threads={threads})
expected = model.generate(3000, seed=1)
child = os.fork()
if not child:
    sys.exit(0 if model.generate(3000, seed=1) == expected else 3)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_ends_normally(threads: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FORK.format(threads=threads)],
        env=ordinary(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


@contextmanager
def served(command: list[str], folder: Path) -> Iterator[str]:
    """Run a server on a socket that listens already, so that no other process takes its port; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bound = [argument.replace("127.0.0.1:8000", f"fd://{listening.fileno()}") for argument in command]
        assert bound != command
        with subprocess.Popen(
            bound, cwd=folder, env=ordinary(), stderr=subprocess.DEVNULL, pass_fds=[listening.fileno()]
        ) as process:
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=120) == 0
            finally:
                process.kill()


def command_of(marker: str) -> str:
    (command,) = blocks(marker, "sh")
    return command.strip()


# Longer than the test waits: a worker that does not end by itself is not killed before.
PATIENT = ["--timeout", "600", "--graceful-timeout", "600"]


@pytest.mark.parametrize("extra", [[], ["--max-requests", "1", "--workers", "1"]])
def test_a_prefork_server(tmp_path: Path, extra: list[str]) -> None:
    """Run the document's command, also with one worker that has to end by itself after each request."""
    (app,) = blocks("app", "python")
    (tmp_path / "app.py").write_text(app, encoding="utf-8")
    program, *arguments = shlex.split(command_of("server"))
    assert program == "gunicorn"
    with served([sys.executable, "-m", "gunicorn", *arguments, *PATIENT, *extra], tmp_path) as address:
        for _ in range(4):
            with urllib.request.urlopen(address, timeout=120) as reply:
                names: list[str] = json.loads(reply.read())
            assert len(names) == 5
            assert all(name.isalpha() for name in names)


# Installations


def installed(code: str, path: Path, **environment: str) -> str:
    """Run code that imports the package from ``path``, and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sequentia; assert {str(path)!r} in sequentia.__file__; {code}"],
        env=ordinary(PYTHONPATH=str(path), **environment),
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


USE = (
    "model = sequentia.load(); print(model.generate(3, seed=1)); model.save_pretrained('copy'); "
    "from sequentia.training import read_recipe, recipe_names; print(read_recipe('names').block_size, recipe_names()); "
    "import pickle; print(sequentia.generate(seed=1)); "
    "print(sequentia.load('names').config.name, pickle.loads(pickle.dumps(model)).generate(1, seed=1))"
)


def sources() -> dict[str, Path]:
    """Return the files of the package by the place they are installed at."""
    folders = {"sequentia": PACKAGE, "sequentia/training": ROOT / "training", "sequentia/export": ROOT / "export"}
    return {
        f"{place}/{path.relative_to(folder).as_posix()}": path
        for place, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def expected_of_use() -> str:
    first = sequentia.generate(3, seed=1)
    from sequentia.training import read_recipe, recipe_names

    return f"{first}\n{read_recipe('names').block_size} {recipe_names()}\n{first[:1]}\nnames {first[:1]}\n"


def test_an_installation_made_of_links(tmp_path: Path) -> None:
    """``uv pip install --link-mode=symlink``, Nix and Bazel install such links."""
    for place, source in sources().items():
        (tmp_path / "site" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / place).symlink_to(source)
    assert installed(USE, tmp_path / "site") == expected_of_use()
    copied = {path.name for path in (tmp_path / "copy").iterdir()}
    assert copied == {artifact.CONFIG, *artifact.FILES, artifact.CARD, artifact.PICTURES}
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))


def test_an_installation_in_a_zip_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sequentia.zip", "w") as file:
        for place, source in sources().items():
            file.write(source, place)
    assert installed(USE, tmp_path / "sequentia.zip") == expected_of_use()
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {
        artifact.CONFIG,
        *artifact.FILES,
        artifact.CARD,
        artifact.PICTURES,
    }
    assert sequentia.generate(3, seed=1, model=tmp_path / "copy") == sequentia.generate(3, seed=1)
    code = "from sequentia.training.checkpoint import library_versions; print(library_versions()['sequentia'])"
    assert installed(code, tmp_path / "sequentia.zip") == f"{sequentia.__version__}\n"
    command = [sys.executable, "-m", "sequentia"]
    for arguments in (["generate", "3", "--seed", "1"], ["info"], ["recipes", "mlp"]):
        result = subprocess.run(
            [*command, *arguments],
            env=ordinary(PYTHONPATH=str(tmp_path / "sequentia.zip")),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.ray
def test_a_folder_for_temporary_files_that_is_too_long_for_ray(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    environment: Mapping[str, str] = {"TMPDIR": str(folder)}
    result = python("-m", "sequentia", "generate", "9", "--engine", "ray", "-o", str(tmp_path / "out"), **environment)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Ray cannot start: the path of its folder for temporary files is too long")
    assert "set RAY_TMPDIR to a folder with a short path" in result.stderr
    assert result.stderr.count("\n") == 1
    result = python(
        "-m",
        "sequentia",
        "generate",
        "9",
        "--engine",
        "ray",
        "-o",
        str(tmp_path / "out"),
        **environment,
        RAY_TMPDIR="/tmp",
    )
    assert result.returncode == 0, result.stderr


# The document


def blocks(marker: str, language: str) -> list[str]:
    return re.findall(rf"<!-- {marker} -->\n```{language}\n(.*?)```", DEPLOYMENT, flags=re.DOTALL)


def test_the_commands_of_the_document_run(hub: HubServer, tmp_path: Path) -> None:
    hub.tag("you/planets", "v1", publish(hub))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sequentia").symlink_to(Path(sys.executable).with_name("sequentia"))
    names = [f"{name}\n" for name in sequentia.generate(10, seed=1)]
    images = blocks("image", "sh")
    assert len(images) == 2
    for commands in images:
        result = subprocess.run(
            ["sh", "-euc", commands],
            cwd=tmp_path,
            env=ordinary(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.endswith("".join(names[:5]))
    (notebook,) = blocks("notebook", "python")
    scope: dict[str, Any] = {}
    exec(compile(notebook, "deployment.md", "exec"), scope)
    assert scope["names"] == sequentia.generate(1000, seed=1)
    shown = blocks("app", "python") + blocks("server", "sh") + images + [notebook]
    assert len(shown) == DEPLOYMENT.count("```") // 2, "each block is run by a test"


def test_every_variable_is_described() -> None:
    """Every variable that the library reads is described."""
    described = set(re.findall(r"`([A-Z_]+)(?:=1)?`", DEPLOYMENT))
    read: set[str] = set()
    for folder in ("sequentia", "training", "export"):
        for path in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"\"((?:SEQUENTIA|ORT)_[A-Z_]+)\"", path.read_text(encoding="utf-8")))
    read -= set(parity.LEVELS)  # of optimisation
    assert "SEQUENTIA_MODEL" in read
    assert read <= described
