"""Names that the bundled model generates, and the golden vectors of docs/format.md, which belong to no language.

After an intended change, ``python -m tests.golden`` writes the names to ``tests/data/golden.json`` and the vectors to
``tests/data/golden``. The vectors' models are not written again if they are there; to make them anew, delete them.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sequentia
from sequentia import GenerationError, SequenceModel, sampling
from sequentia.sampling import seed_of

from . import golden_models
from .golden_models import Numbers

PATH = Path(__file__).parent / "data" / "golden.json"
FOLDER = Path(__file__).parent / "data" / "golden"
MODELS = FOLDER / "models"

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
    {"seed": 9, "max_length": 40, "min_length": 12},
    {"seed": 10, "top_k": 2, "unique": True},
    {"seed": "emma"},
    {"seed": "", "prefix": "j", "novel": True},
    {"seed": "mar\u00eda", "pattern": "ma[rt].*a", "exclude": ["maria", "mara", "marina"]},
    {"seed": 12, "suffix": "lyn"},
    {"seed": 13, "suffix": "a", "avoid": ["ia", "y"], "max_length": 6},
    {"seed": 14, "pattern": "[^aeiou]+.*", "suffix": "o", "unique": True, "temperature": 1.2},
    {"seed": 11, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "min_length": 3, "unique": True, "novel": True},
]


def compute() -> dict[str, Any]:
    model = sequentia.load("names")
    return {
        "model": model.config.files["model.onnx"].sha256,
        "cases": [{"options": options, "names": model.generate(12, **options)} for options in CASES],
    }


# The golden vectors

Json = dict[str, Any]

SEEDS: list[Json] = [
    {"number": "0"},
    {"number": "42"},
    {"number": str(2**64)},
    {"number": str(2**128 - 1)},
    {"text": ""},
    {"text": "sequentia"},
    {"text": "Zoë 🎲"},
]
SAMPLING: list[Json] = [
    {"temperature": 1.0},
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"temperature": 3.0},
    {"temperature": 0.01},
    {"temperature": 1e-300},
    {"temperature": 1.0, "top_k": 3},
    {"temperature": 1.0, "top_k": 100},
    {"temperature": 1.0, "top_p": 0.6},
    {"temperature": 1.0, "top_p": 1.0},
    {"temperature": 1.0, "top_p": 1e-9},
    {"temperature": 1.5, "top_k": 5, "top_p": 0.9},
]
OPTIONS: list[Json] = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.6},
    {"temperature": 2.0},
    {"top_k": 3},
    {"top_p": 0.7},
    {"temperature": 1.3, "top_k": 6, "top_p": 0.95},
    {"min_length": 6},
    {"max_length": 3},
    {"min_length": 12, "max_length": 21},
    {"max_length": 2, "unique": True},
]
CONSTRAINTS: list[Json] = [
    {"suffix": "a"},
    {"suffix": "lyn"},
    {"suffix": "x"},  # rare, and yet drawn freely
    {"suffix": "nn", "temperature": 0.0},
    {"suffix": "son", "prefix": "jo", "temperature": 0.7, "top_k": 12, "top_p": 0.95},
    {"avoid": ["ee", "y", "Z"]},
    {"avoid": ["a", "n"], "suffix": "o", "min_length": 4, "max_length": 7, "novel": True},
    {"pattern": "[a-m]*n[aeiou]{1,2}"},
    {"pattern": ".*q.*", "suffix": "e", "avoid": ["qua"]},
]
PREFIXES = {"names": "ma", "bigram": "e\u0301x", "words": " the\u3000Zoe\u0308 "}  # the last two are not in NFC


def seed_from(seed: Json) -> int | str:
    """Return a seed as the library takes it."""
    return int(seed["number"]) if "number" in seed else str(seed["text"])


def key_from(seed: Json) -> int:
    """Return the key that a seed stands for."""
    return int(seed["number"]) if "number" in seed else seed_of(seed["text"])


def folders() -> dict[str, Path | str]:
    """Return the models by name, for :func:`sequentia.load`: the small ones, and the bundled one."""
    return {**{name: MODELS / name for name in golden_models.MODELS}, "names": "names"}


def _uniforms() -> Iterator[Json]:
    for seed in SEEDS:
        for first, names, draws, attempt in ((0, 2, 16, 0), (7, 1, 4, 1), (10**12, 1, 12, 16383)):
            found = sampling.uniforms(key_from(seed), first, names, draws, attempt) * 2.0**53
            place = {"first": first, "names": names, "draws": draws, "attempt": attempt}
            yield {"seed": seed, "key": str(key_from(seed)), **place, "uniforms": found.astype(np.int64).tolist()}


def _weights() -> Iterator[Json]:
    numbers = Numbers("weights")
    rows: list[list[int]] = [
        *numbers(-2000, 500, 3, 12).tolist(),
        numbers(-9000, 0, 12).tolist(),
        [5, 5, 3, 5, 0, 3, 3, 5, 0, 1, 2, 4],  # ties
        [-5856, -5855, -5696, -5695, -3000, 0, -1, -256, -5695, -5857, -40000, 0],  # ends of the table
    ]
    masks = [[True] * 12, [False, *[True] * 11], [i % 3 == 1 for i in range(12)]]
    for number, (row, options) in enumerate(product(rows, SAMPLING)):
        allowed = masks[number % 5 % 3]
        logits = np.array([row], dtype=np.float32) / np.float32(256)
        relative = sampling.weights(sampling.distances(logits), **options, allowed=np.array(allowed))
        cumulative = np.cumsum(relative[0]).astype(np.int64).tolist()
        edges = [(below << 53) // cumulative[-1] for below in cumulative[:-1]]  # draws next to the sums
        uniform = [0, 2**53 - 1, *numbers(0, 2**53 - 1, 4).tolist(), *(min(edge, 2**53 - 1) for edge in edges[:4])]
        drawn = sampling.choose(
            sampling.running_sums(relative.copy()), np.zeros(len(uniform), int), np.array(uniform) * 2.0**-53
        )
        yield {
            "logits": row,
            "allowed": allowed,
            **options,
            "weights": relative[0].astype(np.int64).tolist(),
            "cumulative": cumulative,
            "uniforms": uniform,
            "ids": drawn.tolist(),
        }


def _logits() -> Iterator[Json]:
    for name, place in folders().items():
        model = sequentia.load(place)
        block_size, ids = model.config.block_size, model.vocabulary.size
        contexts = Numbers(f"contexts of {name}")(1, ids - 1, 20, block_size)
        for row, context in enumerate(contexts):
            context[: max(0, block_size - row)] = 0  # paddings of all lengths
        case = {"model": name, "contexts": contexts.tolist()}
        said = None
        if model.conditions:
            said = _combinations(model)[np.arange(len(contexts)) * 7 + 5]
            case["conditions"] = said.tolist()
        logits = model.logits(contexts, said) * 256
        yield {**case, "logits": logits.astype(np.int64).tolist()}


def _combinations(model: SequenceModel) -> NDArray[np.int64]:
    """Return every combination of the ids of values, again and again, int64 [many, conditions]."""
    numbers = [range(len(values) + 1) for values in model.conditions.values()]
    return np.array([*product(*numbers)] * 100, dtype=np.int64)


def _names() -> Iterator[Json]:
    for model_name, place in folders().items():
        model = sequentia.load(place)
        usual = model.generate(12, seed=0)
        prefix = PREFIXES.get(model_name, "ab")
        cases: list[Json] = [
            *OPTIONS,
            {"prefix": prefix},
            {
                "prefix": prefix,
                "min_length": (length := len(model.vocabulary.split(prefix))),
                "max_length": length + 2,
            },
            {"exclude": usual[::2]},
        ]
        if model.knows_its_names:
            cases += [{"novel": True}, {"novel": True, "exclude": usual[:3], "top_p": 0.8}]
        if model.conditions:
            cases = [*_under_conditions(model, usual)]
        else:
            cases += CONSTRAINTS if model_name == "names" else _constraints(model)
        for options in cases:
            yield _case(model_name, model, {"number": "0"}, 0, 12, options)
        for seed in SEEDS[1:]:
            yield _case(model_name, model, seed, 0, 4, {})
        yield _case(model_name, model, {"text": "far"}, 10**12, 4, {"exclude": usual[:1]})


def _constraints(model: SequenceModel) -> Iterator[Json]:
    """Yield constraints for a small model, from four symbols of its vocabulary."""
    a, b, c, d, *_ = model.vocabulary.symbols

    def text(*symbols: str) -> str:
        return model.vocabulary.separator.join(symbols)

    yield {"suffix": a}
    yield {"suffix": text(c, b, c)}
    yield {"suffix": b, "temperature": 0.6, "top_p": 0.9}
    yield {"avoid": [a, text(c, b), "?"]}
    yield {"avoid": [a, text(b, b), text(c, d)], "suffix": text(d, d), "exclude": [text(d, d)], "prefix": d}
    yield {"suffix": b, "avoid": [a], "prefix": c, "min_length": 4, "max_length": 7}
    yield {"avoid": [b], "max_length": 4, "unique": True, "temperature": 1.6}


def _under_conditions(model: SequenceModel, usual: list[str]) -> Iterator[Json]:
    """Yield options for a model with conditions: every condition alone, all of them, and none, with other options."""
    alone = [{name: value} for name, values in model.conditions.items() for value in values[:2]]
    first, last = ({name: values[i] for name, values in model.conditions.items()} for i in (0, -1))
    for where in ({}, *alone, first, last):
        yield {"where": where}
    yield {}
    options: list[Json] = [
        {"temperature": 0.0},
        {"temperature": 0.6, "unique": True},
        {"top_k": 3, "prefix": "ab"},
        {"top_p": 0.7, "min_length": 4},
        {"max_length": 2, "unique": True},
        {"novel": True, "exclude": usual[:3]},
        {"pattern": "[a-d]{2,}(e|f).*", "suffix": "h"},
        {"pattern": ".*gag.*"},
        *_constraints(model),
    ]
    for each, where in zip(options, cycle([last, *alone, first]), strict=False):
        yield {"where": where, **each}
    for where in (first, {}):
        yield {"where": where, "suffix": "cbc"}  # the same constraint, but another look ahead


def _case(name: str, model: SequenceModel, seed: Json, first: int, count: int, options: Json) -> Json:
    given = {"seed": seed_from(seed), **options}
    try:
        if first:
            names = [text for batch in model.shard(first, count, **given) for text in model.vocabulary.decode(batch)]
        else:
            names = model.generate(count, **given)
    except GenerationError:  # at the first name
        names = None
    return {"model": name, "seed": seed, "first": first, "options": options, "names": names}


def vectors() -> dict[str, Json]:
    """Return the contents of the files of golden vectors by name, as the library computes them."""
    table = sampling._WEIGHTS.astype("<u8")
    return {
        "uniforms.json": {
            "about": "Uniform numbers of names, in steps of 2^-53: a row for each name.",
            "cases": list(_uniforms()),
        },
        "weights.json": {
            "about": "Weights of ids from their logits in steps of 1/256, their sums, and the ids that numbers draw.",
            "table": {
                "entries": len(table),
                "sha256_of_64_bit_little_endian": hashlib.sha256(table.tobytes()).hexdigest(),
            },
            "cases": list(_weights()),
        },
        "logits.json": {"about": "Logits after contexts, in steps of 1/256.", "cases": list(_logits())},
        "names.json": {"about": "Names of streams, from the index `first` on.", "cases": list(_names())},
    }


def read() -> dict[str, Json]:
    """Return the golden vectors as they were written."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def _format(contents: Json) -> str:
    """Return JSON with a line for each case."""
    lines = [json.dumps(case, ensure_ascii=False) for case in contents["cases"]]
    head = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in contents.items() if key != "cases"]
    return "\n".join(["{", *head, ' "cases": [', ",\n".join(f"  {line}" for line in lines), " ]", "}", ""])


def main() -> None:
    for name in golden_models.MODELS:
        if not (MODELS / name).exists():
            golden_models.write(MODELS / name, name)
    PATH.write_text(json.dumps(compute(), indent=2) + "\n", encoding="utf-8")
    for file, contents in vectors().items():
        (FOLDER / file).write_text(_format(contents), encoding="utf-8")


if __name__ == "__main__":
    main()
