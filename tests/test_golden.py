"""A release never changes what a seed means without saying so."""

import hashlib
import json
import re
import shutil
import struct
import sys
from decimal import ROUND_HALF_UP, Context, Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

import sequentia
from sequentia import ArtifactError, GenerationError, OptionError

from . import golden, golden_models, plain, plain_constraints, plain_names, worked
from .golden import seed_from

VECTORS = golden.read()
BUNDLED = Path(sequentia.__file__).parent / "models" / "names"


def test_the_bundled_model_gives_the_golden_names() -> None:
    assert golden.compute() == json.loads(golden.PATH.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", ["uniforms.json", "weights.json", "logits.json", "names.json"])
def test_the_library_gives_the_golden_vectors(file: str) -> None:
    assert golden.vectors()[file] == VECTORS[file]


@pytest.mark.parametrize("name", golden_models.MODELS)
def test_the_small_models_are_those_of_the_program(name: str, tmp_path: Path) -> None:
    golden_models.write(tmp_path / name, name)
    written = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert written == {path.name: path.read_bytes() for path in (golden.MODELS / name).iterdir()}


# The plain evaluator, which knows nothing but docs/format.md


@pytest.fixture(scope="module")
def evaluators() -> dict[str, plain.Plain]:
    folders = {name: golden.MODELS / name for name in golden_models.MODELS}
    return {name: plain.Plain(folder) for name, folder in {**folders, "names": BUNDLED}.items()}


def test_the_plain_evaluator_is_plain() -> None:
    for module in (plain, plain_constraints, plain_names):
        assert module.__file__
        text = Path(module.__file__).read_text(encoding="utf-8")
        assert len(text.splitlines()) < 200
        imported = set(re.findall(r"^\s*(?:from|import) (\S+)", text, re.MULTILINE))
        assert {name for name in imported if not name.startswith(".")} <= sys.stdlib_module_names | {"collections.abc"}
        assert {name for name in imported if name.startswith(".")} <= {".", ".plain", ".plain_constraints"}


def test_the_plain_evaluator_gives_the_uniform_numbers() -> None:
    for case in VECTORS["uniforms.json"]["cases"]:
        names = range(case["first"], case["first"] + case["names"])
        seed = seed_from(case["seed"])
        assert plain.key_of(seed) == int(case["key"])
        assert [plain.uniforms(seed, i, case["draws"], case["attempt"]) for i in names] == case["uniforms"]


def test_the_table_of_weights_depends_on_no_rounding() -> None:
    context = Context(prec=40)
    exact = [context.multiply(2**32, context.exp(context.divide(-d, 256))) for d in range(len(plain.WEIGHTS))]
    assert [int(value.to_integral_value(ROUND_HALF_UP)) for value in exact] == plain.WEIGHTS
    assert min(abs(value % 1 - Decimal("0.5")) for value in exact) > 2.7e-5  # as docs/format.md says
    table = struct.pack(f"<{len(plain.WEIGHTS)}Q", *plain.WEIGHTS)
    assert hashlib.sha256(table).hexdigest() == VECTORS["weights.json"]["table"]["sha256_of_64_bit_little_endian"]


def test_the_plain_evaluator_gives_the_weights_and_draws() -> None:
    for case in VECTORS["weights.json"]["cases"]:
        options = {"top_p": 1.0, **{key: case[key] for key in ("temperature", "top_k", "top_p") if key in case}}
        relative = plain.weights(case["logits"], case["allowed"], **options)
        assert relative == case["weights"]
        assert list(accumulate(relative)) == case["cumulative"]
        assert [plain.draw(relative, uniform) for uniform in case["uniforms"]] == case["ids"]


def test_the_plain_evaluator_gives_the_logits(evaluators: dict[str, plain.Plain]) -> None:
    for case in VECTORS["logits.json"]["cases"]:
        model = evaluators[case["model"]]
        said = case.get("conditions", [()] * len(case["contexts"]))
        assert list(map(model.logits, case["contexts"], said)) == case["logits"]


@pytest.mark.parametrize("name", golden.folders())
def test_the_plain_evaluator_gives_the_names(name: str, evaluators: dict[str, plain.Plain]) -> None:
    """But for patterns, which it does not have, and most constraints on the bundled model, which take it minutes."""
    model, left_out = evaluators[name], {"pattern"}
    if name == "names":
        left_out |= {"avoid", "min_length", "max_length"}
    for case in VECTORS["names.json"]["cases"]:
        options = case["options"]
        if (
            case["model"] != name
            or left_out & {*options}
            or (name == "names" and options.get("suffix", "son") != "son")
        ):
            continue
        expected, seed = case["names"], seed_from(case["seed"])
        if expected is None:
            with pytest.raises(ValueError, match="no attempt is accepted"):
                plain_names.names(model, seed, case["first"], 1, case["options"])
            continue
        expected = expected[:2]  # the library gives all; plain Python takes long for each
        assert plain_names.names(model, seed, case["first"], len(expected), case["options"]) == expected, case


def test_both_give_up_after_as_many_attempts(evaluators: dict[str, plain.Plain]) -> None:
    options: dict[str, Any] = {"max_length": 1, "exclude": list(golden_models.LETTERS)}
    with pytest.raises(GenerationError, match=r"gave up after [\d,]+ rejected candidates in a row"):
        sequentia.load(golden.MODELS / "ngram-1").generate(1, seed=0, **options)
    with pytest.raises(ValueError, match="no attempt is accepted"):
        plain_names.names(evaluators["ngram-1"], 0, 0, 1, options)


def test_the_plain_evaluator_gives_two_hundred_names(evaluators: dict[str, plain.Plain]) -> None:
    options: dict[str, Any] = {"novel": True, "temperature": 0.9}
    cases: list[tuple[int | str, dict[str, Any]]] = [("a promise", {}), (5, options)]
    for seed, given in cases:
        expected = sequentia.generate(200, model="names", seed=seed, **given)
        assert plain_names.names(evaluators["names"], seed, 0, 200, given) == expected


# docs/format.md


def test_the_worked_example_is_the_one_that_the_command_prints() -> None:
    text = (Path(__file__).parents[1] / "docs" / "format.md").read_text(encoding="utf-8")
    lines = list(worked.lines())
    assert "\n".join(lines) in text
    assert lines[-1] == f"name: {sequentia.load('names').generate(worked.NAME + 1, seed=worked.SEED)[-1]}"


# What the vectors found


@pytest.mark.parametrize(
    ("name", "changes"), [("ngram-4", {"block_size": 2}), ("mlp-relu", {"block_size": 1})], ids=["ngram", "mlp"]
)
def test_a_network_that_reads_beyond_its_context_is_refused(name: str, changes: dict[str, int], tmp_path: Path) -> None:
    folder = shutil.copytree(golden.MODELS / name, tmp_path / name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    with pytest.raises(ArtifactError, match=f"block_size {changes['block_size']}"):
        sequentia.load(folder)


def test_a_seed_that_utf_8_cannot_encode_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="seed must be text without lone surrogates"):
        sequentia.generate(seed="\ud800")
