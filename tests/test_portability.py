"""The golden vectors in other circumstances; `python -m tests.portability` runs them on other processors."""

import json
import shutil
from pathlib import Path

import pytest

from . import golden, portability
from .portability import Row


def test_a_plain_processor_and_an_unoptimised_graph_give_the_golden_vectors() -> None:
    row = portability.run_disabled()
    assert row.result == "the same"
    assert "no optional features" in row.versions
    assert "100,000 names" in row.checked


def test_a_changed_vector_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in golden.FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "logits.json"
    contents = json.loads(path.read_text(encoding="utf-8"))
    contents["cases"][2]["logits"][0][0] += 1
    path.write_text(json.dumps(contents), encoding="utf-8")
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    assert portability.examine("ORT_ENABLE_ALL", 10)["wrong"] == ["logits.json, case 2"]


def test_the_table_says_what_was_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portability, "run_python", lambda place, *_, **__: Row(place, "versions", "names", "the same"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    results = [row.result.partition(":")[0] for row in portability.rows(None, None)]
    assert results == ["the same", "the same", *["not run"] * 6, "the same"]


def test_a_process_that_fails_is_told() -> None:
    row = portability.run_python("here", ["false"])
    assert row.result == "failed: no message"
