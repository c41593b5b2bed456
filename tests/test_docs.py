"""The documents: their snippets run, and their figures are those of the model."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import sequentia
from sequentia.cli import cli
from sequentia.training import evaluate_model, read_recipe, recipe_names, train

from .conftest import MOONS, NEEDS_NAMES, RayCluster, python
from .hub_server import HubServer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OF_WORDS = {name for name in recipe_names() if read_recipe(name).symbols == "words"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = README + "".join(
    (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("generate", "faker", "train", "hub")
)


def blocks(marker: str, language: str) -> list[str]:
    return re.findall(rf"<!-- {marker} -->\n```{language}\n(.*?)```", GUIDES, flags=re.DOTALL)


def test_the_first_snippet_prints_what_it_shows() -> None:
    example = doctest.DocTestParser().get_doctest(
        README.split("```")[1].removeprefix("python\n"), {}, "README", None, 0
    )
    assert doctest.DocTestRunner().run(example).failed == 0
    assert example.examples[-1].want


def test_the_snippets_run() -> None:
    snippets = blocks("python", "python")
    assert len(snippets) == 8
    scope: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), scope)


def test_the_commands_run() -> None:
    (commands,) = blocks("commands", "sh")
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "sequentia"
        result = python("-m", "sequentia", *arguments)
        assert (result.returncode, result.stderr) == (0, ""), command
        assert result.stdout


def test_the_probabilities_are_those_of_the_model() -> None:
    (shown,) = re.findall(r'next_symbols\("emm"\)  # \{(.*?), …\}', GUIDES)
    found = sequentia.load().next_symbols("emm")
    stated = re.findall(r"'(.)': (0\.\d{4})…", shown)
    assert [symbol for symbol, _ in stated] == list(found)[:2]
    assert all(str(found[symbol]).startswith(figure) for symbol, figure in stated)


def test_the_files_of_a_run_are_in_the_table(trained: Path, tmp_path: Path) -> None:
    (table,) = re.findall(r"## What a run leaves in its folder\n\n(.*?)\n\n", GUIDES, flags=re.DOTALL)
    listed = set(re.findall(r"`([\w.]+)/?`", "".join(re.findall(r"(?m)^\|.*?\|", table))))
    assert {path.name for path in trained.iterdir()} | {"pictures", "teachers", "measured"} == listed
    for recipe in ("ngram", "bigram-counts"):
        train(MOONS, tmp_path / recipe, recipe=recipe)
        assert not (tmp_path / recipe / "history.jsonl").exists()
        assert f"`{recipe}`" in table


def test_the_options_of_the_table_of_losses_are_those_of_train() -> None:
    """A row leaves out what the text before the table says: the list and -o."""
    rows = re.findall(r"(?m)^\| [^|]*?`(--recipe [^`]*)` \|", README)
    assert len(rows) == 7
    (command,) = re.findall(r"`(sequentia train [^`]*)` with the options of a row", README)
    for options in rows:
        _, name, *arguments = shlex.split(f"{command} {options}")
        command_of_row = cli.get_command(click.Context(cli), name)
        assert command_of_row is not None
        command_of_row.make_context(name, arguments)
    assert not re.search(r"sequentia train (?!.* -o )", README)


def in_a_shell(commands: str, folder: Path) -> None:
    """Run a block of commands in a shell with the environment activated."""
    result = subprocess.run(
        ["sh", "-euc", commands],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_the_files_of_names_are_written(tmp_path: Path) -> None:
    for commands in blocks("files", "sh"):
        in_a_shell(commands, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"names.parquet", "scores.csv", "scores.jsonl"}
    assert len((tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()) == 100_001


def test_the_example_list_can_be_trained_on(tmp_path: Path) -> None:
    """Run the block, with less time."""
    (commands,) = blocks("train", "sh")
    shutil.copytree(MOONS.parent, tmp_path / "tests" / "data")
    assert "-o moons\n" in commands
    in_a_shell(commands.replace("-o moons\n", "-o moons --minutes 0.1\n"), tmp_path)
    assert len(sequentia.generate(3, model=tmp_path / "moons")) == 3


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub's client's own
def test_the_commands_of_the_hub_run(
    hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.rename(tmp_path / "planets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "token-you")
    (commands,), (snippet,) = blocks("hub", "sh"), blocks("hub", "python")
    for command in commands.splitlines():
        program, *arguments = shlex.split(command, comments=True)
        assert program == "sequentia"
        result = python("-m", "sequentia", *arguments)
        assert result.returncode == 0, result.stderr
        hub.tag("you/planets", "v1", hub.head("you/planets"))
    assert (tmp_path / "copy" / "config.json").is_file()
    hub.create("them/planets")
    exec(compile(snippet, "README.md", "exec"), {"sequentia": sequentia})
    assert "config.json" in hub.files("them/planets", "refs/pr/1")
    assert "config.json" not in hub.files("them/planets")


def test_what_ci_runs_is_there() -> None:
    assert len(blocks("first", "sh")) == len(blocks("second", "sh")) == 1


def test_figures_of_the_bundled_model() -> None:
    config = sequentia.load("names").config
    assert config.metrics.dev is not None
    assert config.metrics.test is not None
    row = f"| {config.architecture.parameters:,} | {config.metrics.dev.loss:.3f} | {config.metrics.test.loss:.3f} |"
    assert row in README
    assert f"model of {config.architecture.parameters:,} parameters" in README
    recipe = read_recipe("names")
    settings = msgspec.convert({**config.training.settings, "summary": recipe.summary}, type(recipe))
    assert settings == recipe
    assert config.training.overrides == []


@NEEDS_NAMES
def test_the_bundled_model_is_as_good_as_it_says(names_txt: Path) -> None:
    model = sequentia.load("names")
    measured, stated = evaluate_model(model, names_txt), model.config.metrics
    assert measured.parts.keys() == stated.parts.keys() == {"train", "dev", "test", "dev_unseen", "test_unseen"}
    for part, loss in measured.parts.items():
        assert loss.loss == pytest.approx(stated.parts[part].loss, abs=5e-4)
        assert loss.windows == stated.parts[part].windows
    assert measured.dev is not None
    assert measured.dev.loss <= 2.0


@NEEDS_NAMES
def test_the_fast_recipe_is_as_good_as_it_says(names_txt: Path, tmp_path: Path) -> None:
    """The standard deviation over seeds is 0.004, so that rounding on another CPU does not fail this test."""
    record = train(names_txt, tmp_path / "run", recipe="fast").record
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert record.metrics.dev.loss <= 2.17
    (stated,) = re.findall(r"--recipe fast` \| ([\d,]+) \| ([\d.]+) \|", README)
    assert stated[0] == f"{record.structure.parameters:,}"
    assert record.metrics.dev.loss == pytest.approx(float(stated[1]), abs=0.01)


def test_no_module_loads_a_second_copy_from_the_checkout() -> None:
    """Ruff's ban cannot tell a relative import of a sibling from an absolute one inside the banned folders."""
    for folder in ("sequentia", "training", "export", "tests", "benchmarks"):
        paths = list((ROOT / folder).rglob("*.py"))
        assert paths
        for path in paths:
            found = re.findall(r"(?m)^\s*(?:from|import) (?:training|export)\b.*", path.read_text(encoding="utf-8"))
            assert not found, path


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", ROOT / "MODEL_CARD.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (document.parent / target).exists(), target


def test_the_commands_of_the_ladder_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run them with a shorter list, fewer steps, fewer recurrent units, and fewer teachers."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(MOONS, "names.txt")
    text = (DOCS / "ladder.md").read_text(encoding="utf-8")
    commands = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).splitlines()
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "sequentia"
        recipe = next((word for before, word in pairwise(arguments) if before == "--recipe"), "auto")
        if arguments[0] == "find-lr":
            arguments += ["--steps", "40"]
        elif arguments[0] == "train" and read_recipe(recipe).steps:
            arguments += ["--set", "steps=20", *(["--set", "hidden_size=16"] if recipe == "gru" else [])]
            arguments += ["--set", 'teachers=["wide", "memory"]'] if recipe == "names" else []
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, (command, result.output)
    for recipe in set(recipe_names()) - {"auto", "tune", "weighted", *OF_WORDS}:
        assert len(sequentia.generate(3, model=Path("ladder") / recipe, seed=1)) == 3


@pytest.mark.ray
def test_the_commands_of_scaling_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_cluster: RayCluster) -> None:
    """Run them on the tests' cluster, with a shorter list, and fewer trials, steps and names."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(MOONS, "planets.txt")
    text = (DOCS / "scaling.md").read_text(encoding="utf-8")
    (space,), (commands,) = (re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) for language in ("toml", "sh"))
    assert "20000" in space
    Path("space.toml").write_text(space.replace("20000", "60"), encoding="utf-8")
    for size in ("--trials 40", "10000000"):
        assert size in commands
    for command in commands.replace("--trials 40", "--trials 3").replace("10000000", "3000").splitlines():
        program, *arguments = shlex.split(command)
        assert program == "sequentia"
        result = python("-m", "sequentia", *arguments, "--address", ray_cluster.address)
        assert result.returncode == 0, (command, result.stderr)
    columns = Path("search/leaderboard.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert len(set(columns)) == len(columns) == 5 + 3 + 2, "also where steps are searched"
    names = parquet.read_table("names/part-0000000.parquet").column("name").to_pylist()
    model = sequentia.load("planets")
    assert names == model.generate(3000, seed=1)
    assert model.config.training.settings == msgspec.to_builtins(read_recipe("search/best.toml"))
    scores = parquet.read_table("scores/part-0000000.parquet")
    assert scores.column("name").to_pylist() == names
    assert scores.column("log_probability").to_pylist() == model.score(names).tolist()


def test_the_figures_of_the_ladder() -> None:
    """They are those of docs/reproduction.md and of the bundled model."""
    ladder = dict(re.findall(r"(?m)^\| `([\w-]+)` \| [\d,]+ \| ([\d.]+) \|", (DOCS / "ladder.md").read_text("utf-8")))
    recipes = {name for name in recipe_names() if read_recipe(name).split != "all"} - {"auto", "tune", *OF_WORDS}
    assert set(ladder) == recipes, "those with a dev part that start from nothing, and are the same for every list"
    reproduction = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    ours = dict(re.findall(r"(?m)^\| ([\w-]+): train, dev \| [\d. ]+ \| [\d.]+ ([\d.]+) \|", reproduction))
    assert len(ours) == 6
    dev = sequentia.load("names").config.metrics.dev
    assert dev is not None
    for recipe, figure in {**ours, "names": f"{dev.loss:.4f}"}.items():
        assert float(ladder[recipe]) == pytest.approx(float(figure), abs=6e-4), recipe
