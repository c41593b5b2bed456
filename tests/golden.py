"""The names that the bundled model generates for some seeds and options.

After an intended change of these names, ``python -m tests.golden`` writes them to ``tests/data/golden.json``.
"""

import json
from pathlib import Path
from typing import Any

import sequentia

PATH = Path(__file__).parent / "data" / "golden.json"

CASES: list[dict[str, Any]] = [
    {"seed": 0},
    {"seed": 1},
    {"seed": 2**128 - 1},
    {"seed": 2, "prefix": "ma"},
    {"seed": 3, "temperature": 0.0},
    {"seed": 4, "temperature": 0.5},
    {"seed": 5, "temperature": 2.0, "max_length": 6},
    {"seed": 6, "top_k": 3},
    {"seed": 7, "top_p": 0.8},
    {"seed": 8, "min_length": 9},
    {"seed": 9, "max_length": 40, "min_length": 20},
    {"seed": 10, "top_k": 2, "unique": True},
]


def compute() -> dict[str, Any]:
    model = sequentia.load("names")
    return {
        "model": model.config.files["model.onnx"].sha256,
        "cases": [{"options": options, "names": model.generate(12, **options)} for options in CASES],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(compute(), indent=2) + "\n", encoding="utf-8")
