"""Run the golden vectors on other processors and in other runtimes, and print a table of what was run.

    python -m tests.portability --arm64 FOLDER --node FOLDER

Each row is a process of its own. It computes all golden vectors anew, and names of the bundled model. Emulated
processors need ``qemu-user``. The folder of ``--arm64`` holds an arm64 Debian with Python, and in its folder ``site``
the packages; that of ``--node`` holds ``node_modules/onnxruntime-web``. docs/format.md says how to make them.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import sequentia
from sequentia import SequenceModel, session
from sequentia.windows import windows

from . import golden, plain, plain_names

ROOT: Final = Path(__file__).parents[1]
NAMES: Final = 2000
MOST_NAMES: Final = 100_000
PLAIN_NAMES: Final = 200
CONTEXTS: Final = 100_000
PROCESSORS: Final = ("Nehalem", "Haswell", "max")
ARM_PROCESSORS: Final = ("cortex-a57", "max")
# OpenBLAS, which NumPy brings along, takes an emulated Nehalem for a newer processor; the library makes no use of it.
OPENBLAS: Final = {"Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"}}


class Row(NamedTuple):
    """A line of the table."""

    place: str
    versions: str
    checked: str
    result: str


def names_hash(model: SequenceModel, count: int) -> str:
    """Return the SHA-256 of the names of a stream, one a line."""
    return hashlib.sha256("\n".join(model.generate(count, seed="portability")).encode()).hexdigest()


def examine(level: str, names: int) -> dict[str, object]:
    """Compute the golden vectors in this process, and a hash of names.

    Args:
        level: how far onnxruntime optimises a graph.
        names: how many names of the bundled model.
    """
    expected = golden.read()
    with patch.object(session, "open_session", partial(session.open_session, level=level)):
        found = golden.vectors()
        digest = names_hash(sequentia.load("names"), names)
    wrong = [
        f"{file}, case {number}"
        for file, contents in expected.items()
        for number, case in enumerate(contents["cases"])
        if found[file]["cases"][number] != case
    ]
    wrong += [file for file in expected if len(found[file]["cases"]) != len(expected[file]["cases"])]
    if found["weights.json"]["table"] != expected["weights.json"]["table"]:
        wrong.append("the table of weights")
    features = f" ({' '.join(optional_features()) or 'no optional features'})"
    return {
        "vectors": sum(len(contents["cases"]) for contents in expected.values()),
        "wrong": wrong,
        "sha256": digest,
        "machine": platform.machine(),
        "versions": f"NumPy {np.__version__}{features}, onnxruntime {version('onnxruntime')}",
    }


def optional_features() -> list[str]:
    """Return the features of this processor that NumPy uses, but does not need."""
    core = import_module(f"numpy.{'_core' if hasattr(np, '_core') else 'core'}._multiarray_umath")
    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]


def run_python(
    place: str,
    command: list[str],
    *,
    level: str = "ORT_ENABLE_ALL",
    names: int = NAMES,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Row:
    """Return the row of a process that a command starts, followed by Python's arguments."""
    arguments = ["-m", "tests.portability", "--examine", level, "--names", str(names)]

    def read(found: dict[str, Any]) -> Row:
        wrong = found["wrong"]
        if found["sha256"] != names_hash(sequentia.load("names"), names):
            wrong.append("the names")
        checked = f"{found['vectors']} golden vectors, {names:,} names"
        return Row(f"{found['machine']}, {place}", found["versions"], checked, _result(wrong))

    return _row(place, [*command, *arguments], {"OMP_NUM_THREADS": "1", **environment}, read)


def run_node(node: Path | None, contexts: int = CONTEXTS) -> Row:
    """Return the row of onnxruntime-web, which computes logits alone."""
    place = "WebAssembly"
    if node is None or not (node / "node_modules" / "onnxruntime-web").is_dir() or not shutil.which("node"):
        return Row(place, "", "", "not run: needs node, and --node FOLDER with node_modules/onnxruntime-web")
    with tempfile.TemporaryDirectory() as folder:
        write_cases(Path(folder), contexts)

        def read(found: dict[str, Any]) -> Row:
            versions = f"onnxruntime-web {found['version']}, Node {found['node']}"
            return Row(place, versions, f"logits of {found['contexts']:,} contexts", _result(found["wrong"]))

        return _row(place, ["node", str(ROOT / "tests" / "portability.mjs"), str(node), folder], {}, read)


def _row(place: str, command: list[str], environment: Mapping[str, str], read: Callable[[dict[str, Any]], Row]) -> Row:
    """Run a command, and return the row that is read from its last line of output, JSON, or says how it failed."""
    process = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if process.returncode:
        return Row(place, "", "", f"failed: {(process.stderr.strip().splitlines() or ['no message'])[-1]}")
    return read(json.loads(process.stdout.splitlines()[-1]))


def write_cases(folder: Path, contexts: int) -> None:
    """Write contexts, conditions and logits for another runtime: the golden ones, and many of the bundled model."""
    cases = []
    given = [*golden.read()["logits.json"]["cases"], {"model": "names", "contexts": names_contexts(contexts)}]
    for number, case in enumerate(given):
        model = sequentia.load(golden.folders()[case["model"]])
        rows, file = np.array(case["contexts"]), f"{number}"
        columns = len(model.conditions)
        said = np.array(case.get("conditions", []), dtype=np.int64).reshape(len(rows), columns)
        (folder / f"{file}.onnx").write_bytes(model._artifact.graph)
        (folder / f"{file}.contexts").write_bytes(rows.astype("<i8").tobytes())
        (folder / f"{file}.conditions").write_bytes(said.astype("<i8").tobytes())
        (folder / f"{file}.logits").write_bytes((model.logits(rows, said) * 256).astype("<i4").tobytes())
        sizes = {"width": rows.shape[1], "columns": columns, "ids": model.vocabulary.size}
        cases.append({"model": case["model"], **sizes, "file": file})
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")


def names_contexts(count: int) -> NDArray[np.int64]:
    """Return contexts that the bundled model meets when it draws names, int64 [count, block_size]."""
    model = sequentia.load("names")
    tokens = model.vocabulary.tokens(model.generate(count // 5 + 10, seed="contexts"))
    return windows(tokens, np.arange(count), model.config.block_size)[0]


def run_plain() -> Row:
    """Return the row of the evaluator in plain Python, which is written from docs/format.md."""
    bundled = plain.Plain(Path(sequentia.__file__).parent / "models" / "names")
    same = plain_names.names(bundled, "plain", 0, PLAIN_NAMES, {}) == sequentia.load("names").generate(
        PLAIN_NAMES, seed="plain"
    )
    place = f"{platform.machine()}, tests/plain.py"
    return Row(place, "neither NumPy nor onnxruntime", f"{PLAIN_NAMES} names", _result([] if same else ["the names"]))


def run_disabled() -> Row:
    """Return the row of this processor without the features that NumPy can do without, and a graph as it is written."""
    features = " ".join(optional_features())
    disabled = {"NPY_DISABLE_CPU_FEATURES": features} if features else {}
    place = "this processor, NPY_DISABLE_CPU_FEATURES, ORT_DISABLE_ALL"
    return run_python(place, [sys.executable], level="ORT_DISABLE_ALL", names=MOST_NAMES, environment=disabled)


def rows(arm64: Path | None, node: Path | None) -> list[Row]:
    """Run everything that can be run here, and return the table."""
    table = [run_python("this processor", [sys.executable], names=MOST_NAMES), run_disabled()]
    for processor in PROCESSORS:
        place = f"qemu-x86_64 -cpu {processor}"
        if platform.machine() == "x86_64" and shutil.which("qemu-x86_64"):
            command = ["qemu-x86_64", "-cpu", processor, sys.executable]
            table.append(run_python(place, command, environment=OPENBLAS.get(processor, {})))
        else:
            table.append(Row(place, "", "", "not run: needs qemu-x86_64 on x86_64"))
    for processor in ARM_PROCESSORS:
        place = f"qemu-aarch64 -cpu {processor}"
        if arm64 and shutil.which("qemu-aarch64"):
            command = ["qemu-aarch64", "-cpu", processor, "-L", str(arm64), str(arm64 / "usr" / "bin" / "python3")]
            table.append(run_python(place, command, environment={"PYTHONPATH": str(arm64 / "site")}))
        else:
            table.append(Row(place, "", "", "not run: needs qemu-aarch64, and --arm64 FOLDER with an arm64 Python"))
    return [*table, run_node(node), run_plain()]


def format_table(table: list[Row]) -> str:
    """Return rows as Markdown."""
    lines = ["| where | with | checked | result |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table)])


def _result(wrong: list[str]) -> str:
    return f"other: {', '.join(wrong[:3])}" if wrong else "the same"


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the golden vectors on other processors and runtimes.")
    parser.add_argument("--arm64", type=Path, help="a folder with an arm64 Debian, its packages for Python in site/")
    parser.add_argument("--node", type=Path, help="a folder with node_modules/onnxruntime-web")
    parser.add_argument("--examine", metavar="LEVEL", help=argparse.SUPPRESS)
    parser.add_argument("--names", type=int, default=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.examine:
        sys.stdout.write(json.dumps(examine(options.examine, options.names)) + "\n")
        return 0
    table = rows(options.arm64, options.node)
    sys.stdout.write(format_table(table) + "\n")
    return int(any(row.result.startswith(("other", "failed")) for row in table))


if __name__ == "__main__":
    sys.exit(main())
