"""The public interface: exported names, lazy imports, errors, types."""

import inspect
import pickle
from importlib.metadata import version
from pathlib import Path

import pytest

import sequentia
from sequentia import errors

from .conftest import python


def test_exported_names() -> None:
    assert sorted(sequentia.__all__) == [
        "ArtifactError",
        "CorpusError",
        "ExportError",
        "GenerationError",
        "HubError",
        "MissingExtraError",
        "ModelNotFoundError",
        "OptionError",
        "RecipeError",
        "SequenceModel",
        "SequentiaError",
        "TrainingError",
        "VocabularyError",
        "__version__",
        "compose",
        "compose_arrow",
        "generate",
        "load",
    ]
    assert all(hasattr(sequentia, name) for name in sequentia.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sequentia.nonsense  # noqa: B018


def test_version_has_one_source() -> None:
    assert version("sequentia") == sequentia.__version__


def test_import_loads_the_standard_library_only() -> None:
    heavy = "('torch', 'onnxruntime', 'numpy', 'huggingface_hub', 'msgspec', 'click')"
    result = python("-c", f"import sys, sequentia; print([m for m in {heavy} if m in sys.modules])")
    assert result.stdout == "[]\n", result.stderr


def test_generating_loads_no_training_library() -> None:
    heavy = "('torch', 'onnx', 'safetensors', 'huggingface_hub', 'sequentia.training', 'sequentia.export')"
    code = f"import sys, sequentia; sequentia.generate(); print([m for m in {heavy} if m in sys.modules])"
    result = python("-c", code)
    assert result.stdout == "[]\n", result.stderr


def test_no_thread_is_started_before_it_is_asked_for() -> None:
    code = "import threading, sequentia; sequentia.generate(2000); print(threading.active_count())"
    assert python("-c", code).stdout == "1\n"


def test_signature_of_generate() -> None:
    signature = inspect.signature(sequentia.generate)
    assert {name: parameter.default for name, parameter in signature.parameters.items()} == {
        "n": 1,
        "model": None,
        "where": None,
        "prefix": "",
        "temperature": 1.0,
        "top_k": None,
        "top_p": None,
        "min_length": 1,
        "max_length": None,
        "unique": False,
        "novel": False,
        "exclude": (),
        "avoid": (),
        "pattern": None,
        "suffix": "",
        "seed": None,
        "case": None,
    }
    assert [p.kind for p in signature.parameters.values()][1:] == [inspect.Parameter.KEYWORD_ONLY] * 16


ERRORS = [
    (errors.ArtifactError.at(Path("a"), expected="b", found="c"), ValueError),
    (errors.CorpusError("m", path=Path("a"), line=3, byte=17), ValueError),
    (errors.ExportError("m", rung="logits"), RuntimeError),
    (errors.GenerationError("m", candidates=9, accepted=2, rejected={"unique": 7}), RuntimeError),
    (errors.HubError("m", repo_id="you/names", status=503), ConnectionError),
    (errors.MissingExtraError("m", extra="train"), ImportError),
    (errors.ModelNotFoundError("m", model="x"), FileNotFoundError),
    (errors.OptionError("m", option="top_k", value=0), ValueError),
    (errors.RecipeError("m", key="steps"), ValueError),
    (errors.TrainingError("m", step=12), RuntimeError),
    (errors.VocabularyError("m", symbol="é", position=2, text="caé"), ValueError),
]


@pytest.mark.parametrize(("error", "builtin"), ERRORS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_errors_are_builtins_too_and_survive_pickling(
    error: sequentia.SequentiaError, builtin: type[Exception]
) -> None:
    assert isinstance(error, sequentia.SequentiaError)
    assert isinstance(error, builtin)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert type(error).__name__ in str(errors.__doc__)


def test_an_error_counts_its_names() -> None:
    error = errors.GenerationError("m")
    assert str(error.with_names(["io"])) == "m (the 1 name found so far is in error.names)"
    assert str(error.with_names(["io", "rhea"])) == "m (the 2 names found so far are in error.names)"


def test_every_error_is_tested() -> None:
    defined = {value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)}
    assert defined - {errors.SequentiaError} == {type(error) for error, _ in ERRORS}


# What the package imports for its own work is left out: to read torch's types alone takes half a minute.
MYPY = """
[mypy]
strict = True
[mypy-huggingface_hub.*,matplotlib.*,onnx.*,optuna.*,pyarrow.*,ray.*,sequentia.export.*,sequentia.training.*,torch.*]
follow_imports = skip
ignore_missing_imports = True
"""


def test_a_consumers_program_type_checks(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sequentia\n"
        "names: list[str] = sequentia.generate(3, prefix='a', seed=1, case='title')\n"
        "model: sequentia.SequenceModel = sequentia.load(threads=1)\n"
        "namer = model.namer(top_k=5); single: str = namer('a')\n"
        "first: str = next(model.stream(top_p=0.9, unique=True))\n"
        "best: float = max(model.score(names))\n"
        "mass: dict[str, float] = model.next_symbols('a')\n"
        "size: int = model.config.block_size\n"
        "values: dict[str, list[str]] = model.conditions\n"
        "said = {'sex': 'f'}\n"
        "both: list[str] = sequentia.generate(2, where={'sex': 'f', 'decade': 1990})\n"
        "scores = model.score(both, where=[said, None])\n"
        "rows: list[dict[str, float]] = model.next_symbols(both, where=said)\n"
        "full: list[str] = sequentia.compose('{a} {b}', 2, a={'model': 'people'}, b=dict(model='surnames'), seed=1)\n"
        "try:\n    model.generate(2, prefix='a', top_k=3)\n"
        "except sequentia.GenerationError as error:\n    counted: int = error.candidates\n"
        "sequentia.generate('3')  # a mistake that must be found\n"
        "model.generate(2, topk=3)  # another\n"
        "model.generate(2, where='f')  # and a third\n",
        encoding="utf-8",
    )
    (tmp_path / "mypy.ini").write_text(MYPY, encoding="utf-8")
    root = Path(sequentia.__file__).parents[1]
    options = ["--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path)]
    result = python("-m", "mypy", *options, str(program), MYPYPATH=str(root))
    found = [
        line.split(": error: ")[0].rpartition(":")[2]
        for line in result.stdout.splitlines()
        if ": error: " in line and str(program) in line
    ]
    assert found == ["19", "20", "21"], result.stdout


def test_what_the_command_imports_is_left_alone_by_the_garbage_collector(tmp_path: Path) -> None:
    code = (
        "import gc, sys; from sequentia.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(gc.isenabled(), gc.get_freeze_count() > 100_000, 'torch' in sys.modules)"
    )
    assert python("-c", code, "plot", str(tmp_path)).stdout == "True True True\n"
