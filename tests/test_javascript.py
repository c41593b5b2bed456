"""The JavaScript package gives the names that Python gives, for any options that both have."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sequentia
from sequentia import SequentiaError

from . import golden, golden_models

pytestmark = pytest.mark.node

PACKAGE = Path(__file__).parents[1] / "javascript"
BUNDLED = Path(sequentia.__file__).parent / "models"
INSTALL = "npm ci --prefix javascript && npm run build --prefix javascript"
CASES, NAMES = 200, 8


def node() -> str:
    """Return the path of Node."""
    found = shutil.which("node")
    if found is None:
        pytest.fail(f"Node is missing: install Node 20.16 or newer, then run {INSTALL}")
    return found


def in_javascript(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the cases give in the JavaScript package."""
    if not (PACKAGE / "dist" / "index.js").is_file():
        pytest.fail(f"the JavaScript package is not built: run {INSTALL}")
    run = subprocess.run(
        [node(), PACKAGE / "test" / "compare.mjs"], input=json.dumps(cases).encode(), capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    results: list[dict[str, Any]] = json.loads(run.stdout)
    return results


def in_python(model: sequentia.SequenceModel, case: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"names": model.generate(case["n"], seed=golden.seed_from(case["seed"]), **case["options"])}
    except SequentiaError as error:
        return {"error": type(error).__name__, "message": str(error)}


def drawn_options(model: sequentia.SequenceModel, draw: random.Random) -> dict[str, Any]:
    """Return random options, some of which contradict each other, with a condition's value now and then."""
    symbols = [symbol for symbol in model.vocabulary.symbols if symbol != "\ufffd"]
    separator = model.vocabulary.separator

    def text(most: int) -> str:
        return separator.join(draw.choices(symbols, k=draw.randint(1, most)))

    makers: dict[str, Any] = {
        "prefix": lambda: text(3),
        "suffix": lambda: text(2),
        "avoid": lambda: [text(2) for _ in range(draw.randint(1, 4))],
        "min_length": lambda: draw.randint(1, 8),
        "max_length": lambda: draw.randint(1, 12),
        "temperature": lambda: draw.choice([0, 0.3, 0.7, 1.0, 1.3, 2.5]),
        "top_k": lambda: draw.randint(1, 8),
        "top_p": lambda: draw.choice([0.3, 0.8, 0.95, 1.0]),
        "unique": lambda: draw.random() < 0.7,
        "exclude": lambda: model.generate(5, seed=draw.randrange(5)),
    }
    if model.knows_its_names:
        makers["novel"] = lambda: True
    if model.conditions:
        makers["where"] = lambda: {
            name: draw.choice(values) for name, values in model.conditions.items() if draw.random() < 0.7
        }
    return {option: makers[option]() for option in draw.sample(list(makers), draw.randint(0, 4))}


def test_random_options_give_the_same_names_in_both_languages() -> None:
    draw = random.Random(22)
    folders = [
        *(golden.MODELS / name for name in golden_models.MODELS),
        *(BUNDLED / name for name in ("names", "people")),
    ]
    models = {folder: sequentia.load(folder) for folder in folders}
    cases, expected = [], []
    for _ in range(CASES):
        folder = draw.choice(folders)
        seed = (
            {"number": str(draw.getrandbits(draw.choice([8, 64, 128])))} if draw.random() < 0.7 else {"text": "séed 🎲"}
        )
        case = {"model": str(folder), "seed": seed, "n": NAMES, "options": drawn_options(models[folder], draw)}
        cases.append(case)
        expected.append(in_python(models[folder], case))
    assert sum("names" in each for each in expected) > CASES / 2
    for case, python, javascript in zip(cases, expected, in_javascript(cases), strict=True):
        assert javascript.get("names") == python.get("names"), case
        assert javascript.get("error") == python.get("error"), (case, python, javascript)


WRONG: list[dict[str, Any]] = [
    {"temperature": -1},
    {"top_k": 0},
    {"top_p": 2.5},
    {"min_length": 0},
    {"min_length": 5, "max_length": 4},
    {"max_length": 5000},
    {"avoid": [""]},
    {"temperature": 0, "unique": True},
    {"max_length": 1, "unique": True},
    {"suffix": "nn", "temperature": 0},
    {"prefix": "Em"},
    {"prefix": "é"},
    {"where": {"sex": "f"}},
    {"suffix": "a", "avoid": ["a"]},
    {"top_k": 2, "suffix": "qqq"},
]


def test_errors_say_the_same_in_both_languages() -> None:
    def told(message: str) -> str:
        camel = re.sub(r"\b(top|min|max)_(\w)", lambda match: match[1] + match[2].upper(), message)
        return camel.partition("; most_likely")[0]

    model = sequentia.load("names")
    folder, seed = str(BUNDLED / "names"), {"number": "0"}
    cases = [{"model": folder, "seed": seed, "n": 50, "options": options} for options in WRONG]
    for case, found in zip(cases, in_javascript(cases), strict=True):
        expected = in_python(model, case)
        assert found["error"] == expected["error"], case
        assert told(found["message"]) == told(expected["message"])
