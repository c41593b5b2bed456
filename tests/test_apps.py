"""docs/apps.md and the tables of docs/generate.md: every block runs, with the real libraries. Run by -m apps."""

import asyncio
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import sequentia

from .test_public import MYPY

pytestmark = pytest.mark.apps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXT = (DOCS / "apps.md").read_text(encoding="utf-8")
PEERS = ("basedpyright", "duckdb", "fastapi", "httpx", "pandas", "polars", "uvicorn")


@pytest.fixture(scope="session", autouse=True)
def _peers() -> None:
    """Fail rather than skip: the gate would not notice."""
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    assert not missing, f"{', '.join(missing)}: install pip install -c constraints.txt -e '.[dev,dev-apps]'"


def block(marker: str, language: str = "python", text: str = TEXT) -> str:
    (found,) = re.findall(rf"<!-- {marker} -->\n```{language}\n(.*?)```", text, flags=re.DOTALL)
    return str(found)


def run_block(marker: str, text: str = TEXT) -> dict[str, Any]:
    """Run a block and return its names."""
    scope: dict[str, Any] = {"__name__": "block"}
    exec(compile(block(marker, text=text), marker, "exec", dont_inherit=True), scope)
    return scope


def run_program(*command: object, folder: Path, **environment: str) -> str:
    """Run a program of this environment in a folder and return what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_each_block_is_run() -> None:
    markers = re.findall(r"<!-- ([\w-]+) -->\n```", TEXT)
    assert len(markers) == TEXT.count("```") // 2
    source = Path(__file__).read_text(encoding="utf-8")
    assert [marker for marker in markers if f'block("{marker}"' not in source] == []


def test_tables() -> None:
    import pandas as pd
    import polars as pl

    scope = run_block("tables", (DOCS / "generate.md").read_text(encoding="utf-8"))
    model = sequentia.load()
    names, others = model.generate(1000, seed=1), model.generate(1000, seed=2)
    scores = model.score(names).tolist()
    assert scope["table"].to_pydict() == {"name": names, "log_probability": scores}
    assert scope["column"].to_pydict() == {"first_name": names}
    expected = {"name": names, "log_probability": scores, "other_name": others}
    assert isinstance(scope["frame"], pd.DataFrame)
    assert scope["frame"].to_dict("list") == expected
    assert isinstance(scope["polar"], pl.DataFrame)
    assert scope["polar"].to_dict(as_series=False) == expected


class Gate:
    """A model whose calls wait until they are let through."""

    def __init__(self, model: sequentia.SequenceModel) -> None:
        self._model, self.opened = model, threading.Event()

    def generate(self, *arguments: Any, **options: Any) -> list[str]:
        assert self.opened.wait(60)
        return self._model.generate(*arguments, **options)


def test_fastapi_refuses_what_does_not_fit() -> None:
    """Two requests run and eight wait; of three more, each is refused, and later ones are served again."""
    import httpx

    scope = run_block("fastapi")
    gate = scope["model"] = Gate(scope["model"])

    async def requests() -> None:
        transport = httpx.ASGITransport(scope["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            first = [asyncio.create_task(client.get(f"/names?n=2&seed={i}")) for i in range(10)]
            while not scope["places"].locked():
                await asyncio.sleep(0.01)
            for _ in range(3):
                refused = await client.get("/names")
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            gate.opened.set()
            for i, reply in enumerate(await asyncio.gather(*first)):
                assert (reply.status_code, reply.json()) == (200, sequentia.generate(2, seed=i))
            assert len((await client.get("/names")).json()) == 5
            assert (await client.get("/names?seed=04")).json() == sequentia.generate(5, seed=4)
            assert (await client.get("/names?seed=4.0")).json() == sequentia.generate(5, seed="4.0")
            for wrong in ("n=1000000", "seed=", f"seed={2**128}", f"seed={'9' * 101}"):
                assert (await client.get(f"/names?{wrong}")).status_code == 422, wrong

    asyncio.run(requests())
    scope["pool"].shutdown()


def test_the_server_of_fastapi(tmp_path: Path) -> None:
    import httpx

    (tmp_path / "service.py").write_text(block("fastapi"), encoding="utf-8")
    command = shlex.split(block("uvicorn", "sh"))
    assert command[0] == "uvicorn"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/names?n=3&seed=emma"
        bound = [*command[1:2], "--fd", str(listening.fileno())]
        with subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *bound],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        ) as process:
            try:
                with ThreadPoolExecutor(4) as pool:
                    replies = list(pool.map(lambda _: httpx.get(address, timeout=120).json(), range(8)))
                assert replies == [sequentia.generate(3, seed="emma")] * 8
            finally:
                process.terminate()
                assert process.wait(timeout=60) in {0, -15}


def test_a_pool_of_processes(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(block("pool"), encoding="utf-8")
    lines = run_program(sys.executable, "jobs.py", folder=tmp_path).splitlines()
    assert lines == [f"1000 {sequentia.generate(1, seed=f'visitors {job}')[0]}" for job in range(4)]


def test_asyncio() -> None:
    scope = run_block("asyncio")

    async def first(count: int) -> list[str]:
        found: list[str] = []
        async for name in scope["invented"](seed=1):
            found.append(name)
            if len(found) == count:
                break
        return found

    assert asyncio.run(first(250)) == sequentia.generate(250, seed=1)


def test_a_fixture_of_pytest(tmp_path: Path) -> None:
    """The names of a test do not depend on which other tests run."""
    (tmp_path / "conftest.py").write_text(block("pytest"), encoding="utf-8")
    shown = "\n\ndef test_shown(invented):\n    print('shown', next(invented))\n"
    (tmp_path / "test_it.py").write_text(block("pytest-test") + shown, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    runs = [run_program(*command, *chosen, folder=tmp_path) for chosen in ([], ["test_it.py::test_shown"])]
    assert "2 passed" in runs[0]
    name = sequentia.generate(1, seed="test_it.py::test_shown")[0]
    assert all(f"shown {name}\n" in run for run in runs)


def test_hypothesis_shrinks_to_the_seed_0() -> None:
    from hypothesis import find

    scope = run_block("hypothesis")
    scope["test_a_name_survives_the_round_trip"]()
    assert find(scope["names"], lambda _: True) == sequentia.generate(1, seed=0)[0]
    found = find(scope["names"], lambda name: len(name) > 6)
    assert len(found) > 6


def test_duckdb(tmp_path: Path) -> None:
    """With fewer names."""
    command = block("duckdb-sh", "sh")
    assert "5000000" in command
    run_program("sh", "-euc", command.replace("5000000", "20000"), folder=tmp_path)
    (tmp_path / "query.py").write_text(block("duckdb"), encoding="utf-8")
    shown = run_program(sys.executable, "query.py", folder=tmp_path)
    counts = Counter(sequentia.generate(20_000, seed=1))
    expected = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    assert shown == f"{expected[:3]}\n"


def test_a_pipe(tmp_path: Path) -> None:
    shown = run_program(
        "bash", "-euo", "pipefail", "-c", block("pipe", "sh").replace("| grep '^ma' ", ""), folder=tmp_path
    )
    assert shown.split() == sequentia.generate(3, seed=1)
    found = run_program("sh", "-euc", block("pipe", "sh"), folder=tmp_path).split()
    assert found == [name for name in sequentia.generate(3000, seed=1) if name.startswith("ma")][:3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder /site of the image, made by the commands of the Dockerfile."""
    folder = tmp_path_factory.mktemp("image")
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert all(line.startswith("**/") for line in lines)
    patterns = [line.removeprefix("**/") for line in lines]
    assert {".git", ".venv", "node_modules"} <= set(patterns)
    shutil.copytree(ROOT, folder / "src", ignore=shutil.ignore_patterns(*patterns, ".*"))
    commands = re.findall(r"(?m)^RUN (.*)$", block("docker", "dockerfile"))
    assert len(commands) == 2
    for command in commands:
        program = command.replace("/site", str(folder / "site"))
        run_program("sh", "-euc", program, folder=folder / "src", PYTHONDONTWRITEBYTECODE="")
    yield folder / "site"
    shutil.rmtree(folder)


def test_what_the_image_holds(site: Path) -> None:
    """It holds what generating needs, and no more."""
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    (most,) = re.findall(r"`/site` takes at most (\d+) MB", TEXT)
    assert size <= int(most) * 1_000_000, size
    assert not (site / "torch").exists()
    assert list((site / "sequentia" / "__pycache__").glob("model.*.pyc")), "else it was not byte-compiled"
    (entry,) = re.findall(r'ENTRYPOINT \["python3", "(.*)"\]', block("docker", "dockerfile"))
    command = [sys.executable, *entry.split('", "'), "3", "--seed", "1"]
    assert run_program(*command, folder=site.parent, PYTHONPATH=str(site)).split() == sequentia.generate(3, seed=1)


def test_a_program_made_by_pyinstaller(site: Path, tmp_path: Path) -> None:
    """In an environment of its own; the program runs without one."""
    environment = tmp_path / "environment"
    run_program(sys.executable, "-m", "venv", "--without-pip", environment, folder=tmp_path)
    python = environment / "bin" / "python"
    run_program(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pyinstaller", folder=tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "site.pth").write_text(str(site), encoding="utf-8")
    (tmp_path / "program.py").write_text(block("program"), encoding="utf-8")
    build, program = block("pyinstaller", "sh").splitlines()
    run_program("sh", "-euc", build, folder=tmp_path, PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    shutil.rmtree(environment)
    assert run_program(tmp_path / program, folder=tmp_path).split() == sequentia.generate(3, seed=1)


MISTAKES = """import sequentia

model = sequentia.load()
model.generate(2, topk=3)
model.generate("2")
sequentia.generate(seed=1.5)
"""


def test_a_users_program_type_checks(site: Path, tmp_path: Path) -> None:
    """By mypy and by Pyright, strictly, with the package as it is installed; Arrow's types come from its stubs."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "sequentia").symlink_to(site / "sequentia")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", stubs, "pyarrow-stubs"]
    run_program(*install, folder=tmp_path)
    shutil.copy(Path(__file__).parent / "typed" / "user.py", tmp_path)
    (tmp_path / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(stubs)], "include": ["*.py"]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(MYPY, encoding="utf-8")
    mypy = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache"]
    pyright = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "-p", "."]
    for command in ([*mypy, "user.py", "mistakes.py"], pyright):
        result = subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            env={**os.environ, "MYPYPATH": str(stubs)},
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.findall(r"(?m)^\s*\S*(user|mistakes)\.py:(\d+).* error", result.stdout)
        assert {line for file, line in found if file == "mistakes"} == {"4", "5", "6"}, result.stdout
        assert "user" not in {file for file, _ in found}, result.stdout
