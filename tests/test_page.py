"""The page of a model: one file, without any network, that shows the names that Python gives."""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

import sequentia
from sequentia import GenerationError, artifact
from sequentia.export import export
from sequentia.page import page
from sequentia.resolve import locate
from sequentia.training import train

from . import golden
from .test_cli import fail, run
from .test_javascript import INSTALL, PACKAGE, node

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
        data = (read.folder / file).read_bytes()
        places = [data[i::4] for i in range(4)] if file == "novelty.crc32" else [data]
        assert gzip.decompress(base64.b64decode(packed)) == b"".join(places)
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

KINDS = ["bigram", "gru-where", "mlp-where", "ngram-4", "words"]
HOSTILE = [
    "</script>",
    "<!--",
    "<script>alert(1)</script>",
    "]]>",
    "\"'&amp;",
    "<img/src=x/onerror=alert(1)>",
    "${1}",
    "\\u003c",
]


def browsed(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what Chromium shows of some pages."""
    if not (PACKAGE / "node_modules" / "playwright-core").is_dir():
        pytest.fail(f"playwright-core is missing: run {INSTALL}")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.fail("Chromium is missing: run apt-get install chromium, or set CHROMIUM to the path of a browser")
    result = subprocess.run(
        [node(), PACKAGE / "test" / "browse.mjs"],
        input=json.dumps(pages).encode(),
        env=os.environ | {"CHROMIUM": chromium},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    found: list[dict[str, Any]] = json.loads(result.stdout)
    for each, asked in zip(found, pages, strict=True):
        assert each["problems"] == []
        assert each["violations"] == []
        assert len(each["requests"]) == 1, "the page alone"
        assert not each["isTooWide"], asked
        assert each["printed"]["isShown"]
        assert each["printed"]["hidden"] == ["#options", "#again", "#copy", "#name"]
        assert not each["printed"]["isCut"]
        assert not each["printed"]["isTooWide"]
        names = each["shown"][-1]["names"]
        assert each["copied"] == "\n".join(names)
        assert each["downloaded"] == "".join(f"{name}\n" for name in names)
    return found


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder as a static web server does, for instance that of a Space."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def percent(share: float) -> str:
    return "<0.1%" if share < 0.001 else f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


@pytest.mark.node
def test_names_follow_the_options_and_are_those_of_python(tmp_path: Path) -> None:
    for name in ("names", "people"):
        (tmp_path / f"{name}.html").write_text(page(artifact.read(locate(name))), encoding="utf-8")
    asked: list[dict[str, Any]] = [
        {
            "hash": "#seed=7",
            "steps": [
                {"fill": {"prefix": "ma"}},
                {"fill": {"suffix": "a", "temperature": "0.7"}},
                {"fill": {"prefix": "", "suffix": "", "max": "5", "avoid": "e, i"}, "click": ["#novel"]},
                {"fill": {"seed": "a text"}, "click": ["#unique"]},
                {"fill": {"prefix": "E"}},
                {"fill": {"prefix": "", "min": "6"}},
                {"fill": {"min": "1", "max": "15", "avoid": "", "temperature": "1"}, "click": ["#more"]},
            ],
        },
        {"hash": "#seed=8&where.sex=f", "width": 390, "scheme": "dark", "steps": [{"fill": {"where.sex": "m"}}]},
    ]
    for each, name in zip(asked, ("names", "people"), strict=True):
        each["file"] = str(tmp_path / f"{name}.html")
    found = browsed(asked)

    names, people = sequentia.load("names"), sequentia.load("people")
    expected = [
        [
            names.generate(40, seed=7, unique=True),
            names.generate(40, seed=7, unique=True, prefix="ma"),
            names.generate(40, seed=7, unique=True, prefix="ma", suffix="a", temperature=0.7),
            names.generate(40, seed=7, unique=True, temperature=0.7, max_length=5, avoid=["e", "i"], novel=True),
            names.generate(40, seed="a text", temperature=0.7, max_length=5, avoid=["e", "i"], novel=True),
            [],
            [],
            names.generate(80, seed="a text", novel=True),
        ],
        [
            people.generate(40, seed=8, unique=True, where={"sex": "f"}),
            people.generate(40, seed=8, unique=True, where={"sex": "m"}),
        ],
    ]
    assert [[shown["names"] for shown in each["shown"]] for each in found] == expected
    shown = found[0]["shown"]
    assert shown[2]["focus"] == "temperature", "it stays where it was"
    assert shown[5]["status"] == "the model's alphabet has no 'E'; try 'e'"
    assert shown[6]["status"] == "“Shortest” 6 is greater than “Longest” 5"
    assert shown[7]["status"] == "80 names"

    again = browsed(
        [{"file": asked[0]["file"], "hash": shown[2]["hash"]}, {"file": asked[0]["file"], "hash": shown[7]["hash"]}]
    )
    assert [each["shown"][0]["names"] for each in again] == [expected[0][2], expected[0][7]], "a link is a list"

    for each, model, options in (found[0], names, {}), (found[1], people, {"where": {"sex": "m"}}):
        first = each["shown"][-1]["names"][0]
        assert f"(log-probability {model.score([first], **options)[0]:.2f})" in each["verdict"].replace(
            "\N{MINUS SIGN}", "-"
        )
        shares = [model.next_symbols(first[:place], **options) for place in range(len(first) + 1)]
        shares[0] = {symbol: share / (1 - shares[0][""]) for symbol, share in shares[0].items()}  # no name is empty
        drawn = [percent(share[symbol]) for share, symbol in zip(shares, (*first, ""), strict=True)]
        assert [share for _, share in each["steps"]] == drawn
        assert [caption[-1] for caption, _ in each["steps"]] == [*first, "d"], "a last step is called end"


@pytest.mark.node
def test_arrow_keys_the_focus_and_the_address(tmp_path: Path) -> None:
    path = tmp_path / "names.html"
    path.write_text(page(artifact.read(locate("names"))), encoding="utf-8")
    model = sequentia.load("names")
    wrong = "n=abc&min=x&unique=2&pattern=.*a&where.sex=f&more=1"
    arrows, address, last, one = browsed(
        [
            {
                "file": str(path),
                "hash": "#seed=7&temperature=0.333&max=",
                "steps": [
                    {"focus": "#list button", "press": ["ArrowDown"]},
                    {"press": ["ArrowRight", "ArrowUp"]},
                    {"fill": {"prefix": "ma"}},
                    {"fill": {"max": "5"}},
                    {"fill": {"max": "", "min": ""}},
                    {"fill": {"temperature": "0.5"}},
                    {"fill": {"temperature": "1"}},
                ],
            },
            {"file": str(path), "hash": f"#seed=7&temperature=3&{wrong}", "steps": [{"fill": {"suffix": "a"}}]},
            {"file": str(path), "hash": "#seed=7&n=980", "steps": [{"focus": "#more", "press": ["Enter"]}]},
            {
                "file": str(path),
                "hash": "#seed=7&temperature=0",
                "width": 320,
                "steps": [{"fill": {"temperature": "1"}}],
            },
        ]
    )
    start, down, back, prefix, longest, cleared, cooler, usual = arrows["shown"]
    assert start["names"] == model.generate(40, seed=7, unique=True, temperature=0.333)
    columns = start["names"].index(down["focus"])
    assert columns > 1
    assert back["focus"] == start["names"][1]
    assert prefix["temperature"] == "0.333"
    assert sorted(prefix["hash"][1:].split("&")) == ["prefix=ma", "seed=7", "temperature=0.333"]
    assert prefix["names"] == model.generate(40, seed=7, unique=True, temperature=0.333, prefix="ma")
    assert "max=5" in longest["hash"]
    assert "max" not in cleared["hash"]
    assert "min" not in cleared["hash"]
    assert cleared["names"] == prefix["names"]
    assert cooler["temperature"] == "0.5"
    assert usual["names"] == model.generate(40, seed=7, unique=True, prefix="ma")
    assert arrows["printed"]["line"] == "Starts with: ma; Seed: 7"
    assert sorted(arrows["labels"]) == sorted(["end", *model.vocabulary.symbols])

    first, changed = address["shown"]
    assert first["names"] == model.generate(40, seed=7, unique=True, temperature=3)
    assert first["temperature"] == "3"
    assert first["status"] == (
        "40 names. Not taken from the address: n=abc (it must be a whole number from 1 to 1,000), "
        "min=x (it must be a whole number), unique=2 (it must be 0 or 1), "
        "pattern=.*a (only the Python library has patterns), where.sex=f (the model has no such condition), "
        "more=1 (there is no such option)."
    )
    assert first["hash"] == "#seed=7&temperature=3"
    assert changed["status"] == "40 names"
    assert changed["names"] == model.generate(40, seed=7, unique=True, temperature=3, suffix="a")

    assert len(last["shown"][1]["names"]) == 1000
    assert last["shown"][1]["focus"] in last["shown"][1]["names"]
    assert one["shown"][0]["status"] == "1 name; no others could be found with these options"


@pytest.mark.node
def test_all_kinds_of_models(tmp_path: Path) -> None:
    for name in KINDS:
        (tmp_path / f"{name}.html").write_text(page(artifact.read(golden.MODELS / name)), encoding="utf-8")
    found = browsed([{"file": str(tmp_path / f"{name}.html"), "hash": "#seed=9&n=20", "width": 390} for name in KINDS])
    for name, each in zip(KINDS, found, strict=True):
        model = sequentia.load(golden.MODELS / name)
        try:
            expected = model.generate(20, seed=9, unique=True)
        except GenerationError as error:
            expected = error.names or []
        assert each["shown"][0]["names"] == expected
        assert (each["places"] > 0) == name.startswith(("gru", "mlp", "words"))


@pytest.mark.node
def test_nothing_in_a_model_breaks_out_of_its_page(tmp_path: Path) -> None:
    folder, original = tmp_path / "hostile", artifact.read(golden.MODELS / "words")
    config = msgspec.structs.replace(
        original.config,
        name="</title></script><script>alert(1)</script>",
        vocabulary=[*HOSTILE, *original.config.vocabulary[len(HOSTILE) :]],
    )
    weights = artifact.read_listed(original.folder, artifact.WEIGHTS, original.config)
    graph = artifact.graph_of(config, original.tensors)
    artifact.write(folder, config, {artifact.WEIGHTS: weights, artifact.GRAPH: graph})
    model = sequentia.load(folder)
    path = tmp_path / "page.html"
    path.write_text(page(artifact.read(folder)), encoding="utf-8")
    (each,) = browsed([{"file": str(path), "hash": "#seed=3", "steps": [{"fill": {"prefix": "</script> <!--"}}]}])
    assert each["shown"][0]["names"] == model.generate(40, seed=3, unique=True)
    assert each["shown"][1]["names"] == model.generate(40, seed=3, unique=True, prefix="</script> <!--")


@pytest.mark.node
def test_a_script_that_runs_from_right_to_left(tmp_path: Path) -> None:
    names = ["אביגיל", "אורי", "איתמר", "דוד", "דנה", "הדס", "חנה", "יעל", "מרים", "נועה", "עדי", "רותם", "שירה", "תמר"]
    corpus = tmp_path / "names.txt"
    corpus.write_text("\n".join(names), encoding="utf-8")
    train(corpus, tmp_path / "run", recipe="bigram-counts")
    export(tmp_path / "run", tmp_path / "run")
    path = tmp_path / "page.html"
    path.write_text(page(artifact.read(tmp_path / "run")), encoding="utf-8")
    with serving(tmp_path) as address:
        (each,) = browsed([{"file": f"{address}/page.html", "hash": "#seed=3&n=15", "width": 390}])
    assert each["shown"][0]["names"] == sequentia.load(tmp_path / "run").generate(15, seed=3, unique=True)
    assert each["direction"] == "rtl"
