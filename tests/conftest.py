"""Fixtures: a clean environment, corpora, and one small model trained once for the whole session."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import settings

from .hub_server import HubServer

# The hub's client reads these when it is imported.
HUB = HubServer(tokens={"token-you": "you", "token-them": "them"})
HUB.open()
for name in [name for name in os.environ if name.startswith("HF_")]:
    del os.environ[name]
os.environ |= {
    "HF_ENDPOINT": HUB.url,
    "HF_HOME": tempfile.mkdtemp(prefix="sequentia-tests-"),
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_ETAG_TIMEOUT": "2",
    "HF_HUB_DOWNLOAD_TIMEOUT": "1",
}
# Ray reads these when it is imported: a cluster of the tests lets in whoever knows their token.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}

# Tests that look at what onnxruntime does by default take it out again.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import sequentia  # noqa: E402
from sequentia import SequenceModel  # noqa: E402
from sequentia.export import export  # noqa: E402
from sequentia.training import train  # noqa: E402

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

# One thread, here and in the processes that tests start: the networks are tiny, and a run repeats bit for bit only
# with the same number of threads.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# In the background of a shell or under nohup, Ctrl-C and SIGHUP are ignored, also by the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("default", deadline=None)
settings.load_profile("default")

NEEDS_NAMES = pytest.mark.skipif(
    not os.environ.get("SEQUENTIA_NAMES"), reason="SEQUENTIA_NAMES does not say where names.txt is"
)

MOONS = Path(__file__).parent / "data" / "moons.txt"
SMALL = (
    "block_size=4",
    "embedding_dim=6",
    "hidden_sizes=[24]",
    "steps=60",
    "batch_size=32",
    "checkpoint_every=20",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SEQUENTIA_") or name == "HF_TOKEN":
            monkeypatch.delenv(name)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub without repositories, at ``HF_ENDPOINT``; ``HF_TOKEN`` is not set."""
    HUB.reset()
    yield HUB
    HUB.reset()


@pytest.fixture(scope="session")
def names_txt() -> Path | None:
    """The list of 32,033 names that published losses are measured on, where the environment says it is."""
    place = os.environ.get("SEQUENTIA_NAMES")
    return Path(place) if place else None


@pytest.fixture(scope="session")
def corpus(names_txt: Path | None) -> Path:
    """The real list where there is one, else the tests' own."""
    return names_txt or MOONS


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, trained and exported; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "moons"
    train(MOONS, folder, recipe="mlp", overrides=SMALL)
    export(folder, folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, free to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "moons"))


@pytest.fixture(scope="session")
def moons(trained: Path) -> SequenceModel:
    return sequentia.load(trained)


class RayCluster(NamedTuple):
    """Where a cluster is, and the process whose children its workers are."""

    address: str
    pid: int


_CLUSTER = """
import ray, sys
context = ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A Ray cluster of two cores on this machine, which tests share because it takes seconds to start."""
    with subprocess.Popen(
        [sys.executable, "-c", _CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield RayCluster(process.stdout.readline().strip(), process.pid)
        process.communicate()


@pytest.fixture
def write_corpus(tmp_path: Path) -> Callable[[bytes | str], Path]:
    def write(content: bytes | str) -> Path:
        path = tmp_path / "corpus.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in UTF-8 mode and return what it printed."""
    return subprocess.run(
        [sys.executable, "-X", "utf8", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
        env={**os.environ, **environment},
    )


def wait_for(process: subprocess.Popen[Any], condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if the process ends before."""
    while not condition():
        assert process.poll() is None, "it ended"
        time.sleep(0.02)


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def processes_below(pid: int, name: str) -> list[int]:
    """Return the descendants of a process whose command line contains a name."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(status.parent.name)] = int(status.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    found, above = [], {pid}
    while above := {child for child, parent in parents.items() if parent in above}:
        for child in sorted(above):
            with suppress(OSError):
                if name.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    return found
