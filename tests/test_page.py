"""The page of a model: one file, without any network, that shows the names that Python gives."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sequentia
from sequentia import artifact
from sequentia.page import page
from sequentia.resolve import locate

from . import golden
from .test_cli import fail, run
from .test_javascript import INSTALL, PACKAGE

GOLDEN = sorted(path.name for path in golden.MODELS.iterdir())


def contents(text: str) -> dict[str, Any]:
    """Return what a page holds of its model."""
    match = re.search(r'<script id="model" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(match[1])
    return found


@pytest.mark.parametrize("name", ["names", "people", "surnames", *(str(golden.MODELS / name) for name in GOLDEN)])
def test_a_page_holds_its_model_and_nothing_from_elsewhere(name: str) -> None:
    read = artifact.read(locate(name))
    text = page(read)
    held = contents(text)
    assert set(held["files"]) == {"config.json", *read.config.files} - {"model.onnx"}
    for file, packed in held["files"].items():
        assert gzip.decompress(base64.b64decode(packed)) == (read.folder / file).read_bytes()
    assert set(re.findall(r"https?://[\w./-]+", text.replace(json.dumps(held), ""))) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=\"(?!data:)", text)
    places = [place for _, *place in held["points"]]
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in places)
    kind = type(read.config.architecture).__name__
    assert bool(places) == (kind in {"MLPArchitecture", "GRUArchitecture"})


def test_the_page_of_the_bundled_model_is_small() -> None:
    assert len(page(artifact.read(locate("names"))).encode()) < 1_000_000


def test_a_title_is_text_and_not_markup() -> None:
    text = page(artifact.read(locate("names")), "</title><script>alert(1)</script> & {{model}}")
    assert "<script>alert" not in text
    assert text.count("&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; {{model}}") == 2


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert run("page", "names", "-o", path, "--title", "Name them").stdout == ""
    text = path.read_text(encoding="utf-8")
    assert "<h1>Name them</h1>" in text
    assert run("page", "names", "-o", "-", "--title", "Name them").stdout == text
    assert "no model" in fail("page", str(tmp_path / "nowhere"), "-o", str(path))
    assert path.read_text(encoding="utf-8") == text


# In a browser


def browsed(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what Chromium shows of some pages."""
    node = shutil.which("node")
    if node is None:
        pytest.fail(f"Node is missing: install Node 20.16 or newer, then run {INSTALL}")
    if not (PACKAGE / "node_modules" / "playwright-core").is_dir():
        pytest.fail(f"playwright-core is missing: run {INSTALL}")
    if shutil.which("chromium") is None:
        pytest.fail("Chromium is missing: install it, for instance by apt-get install chromium")
    result = subprocess.run(
        [node, PACKAGE / "test" / "browse.mjs"], input=json.dumps(pages).encode(), capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr.decode()
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


@pytest.mark.node
def test_a_page_shows_the_names_that_python_gives(tmp_path: Path) -> None:
    models = {
        "names": sequentia.load("names"),
        "people": sequentia.load("people"),
        "words": sequentia.load(str(golden.MODELS / "words")),
        "ngram": sequentia.load(str(golden.MODELS / "ngram")),
    }
    for name, model in models.items():
        folder = locate(name) if name in {"names", "people"} else golden.MODELS / name
        (tmp_path / f"{name}.html").write_text(page(artifact.read(folder)), encoding="utf-8")
        assert model.vocabulary
    names, people = models["names"], models["people"]
    pages = [
        {
            "file": "names",
            "hash": "#seed=7",
            "steps": [
                {"fill": {"prefix": "ma"}},
                {"fill": {"suffix": "a", "temperature": "0.7"}},
                {"fill": {"prefix": "", "suffix": "", "max": "5", "avoid": "e,i"}, "click": ["#novel"]},
                {"fill": {"seed": "a text"}, "click": ["#unique"]},
                {"fill": {"prefix": "E"}},
            ],
        },
        {
            "file": "people",
            "hash": "#seed=8&where.sex=f",
            "width": 390,
            "scheme": "dark",
            "steps": [{"fill": {"where.sex": "m"}, "click": ["#more"]}],
        },
        {"file": "words", "hash": "#seed=9&n=20", "scheme": "dark"},
        {"file": "ngram", "hash": "#seed=10&n=20", "width": 390},
    ]
    found = browsed([{**each, "file": str(tmp_path / f"{each['file']}.html")} for each in pages])
    expected = [
        [
            names.generate(40, seed=7, unique=True),
            names.generate(40, seed=7, unique=True, prefix="ma"),
            names.generate(40, seed=7, unique=True, prefix="ma", suffix="a", temperature=0.7),
            names.generate(40, seed=7, unique=True, temperature=0.7, max_length=5, avoid=["e", "i"], novel=True),
            names.generate(40, seed="a text", temperature=0.7, max_length=5, avoid=["e", "i"], novel=True),
            [],
        ],
        [
            people.generate(40, seed=8, unique=True, where={"sex": "f"}),
            people.generate(80, seed=8, unique=True, where={"sex": "m"}),
        ],
        [models["words"].generate(20, seed=9, unique=True)],
        [models["ngram"].generate(20, seed=10, unique=True)],
    ]
    for each, wanted in zip(found, expected, strict=True):
        assert [shown["names"] for shown in each["shown"]] == wanted
        assert each["problems"] == []
        assert each["violations"] == []
        assert each["requests"] == [each["requests"][0]], "the page alone"
        assert not each["sideways"]
    assert "E" in found[0]["shown"][-1]["status"]
    first = found[1]["shown"][-1]["names"][0]
    assert [caption for caption, _ in found[1]["steps"]] == [*(first[: i + 1] for i in range(len(first))), f"{first}."]
    assert f"“{first}”" in found[1]["verdict"]
