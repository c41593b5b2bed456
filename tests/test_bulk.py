"""Names in shards on Ray: the rows do not depend on who draws them, or on who is killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import sequentia
from sequentia import OptionError, SequenceModel, VocabularyError, bulk
from sequentia.bulk import JOB, MANIFEST, Manifest
from sequentia.cli import cli

from . import golden
from .conftest import RayCluster, processes_below, python
from .test_cli import run_cli

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray warns about itself

ROWS = 1000


@pytest.fixture(scope="session")
def address(ray_cluster: RayCluster) -> str:
    return ray_cluster.address


def rows(folder: Path, manifest: Manifest) -> list[str]:
    """Read the shards that the manifest lists, and check them against it."""
    names: list[str] = []
    for shard in manifest.shards:
        data = (folder / shard.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard.size, shard.sha256)
        names += parquet.read_table(pa.BufferReader(data)).column("name").to_pylist()
        assert shard.rows == len(names) - sum(before.rows for before in manifest.shards if before.file < shard.file)
    return names


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def generate(model: SequenceModel, n: int, folder: Path, address: str, **options: Any) -> Manifest:
    return bulk.generate(model, n, folder, options={"seed": 5, **options}, address=address, rows_of_shard=ROWS)


def test_the_rows_are_those_of_one_machine(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    manifest = generate(moons, 5500, tmp_path / "shards", address, prefix="t")
    assert rows(tmp_path / "shards", manifest) == moons.generate(5500, seed=5, prefix="t")
    assert made(tmp_path / "shards") == {JOB, MANIFEST, *(f"part-{number:07}.parquet" for number in range(6))}
    alone = bulk.generate(
        moons, 5500, tmp_path / "one", options={"seed": 5, "prefix": "t"}, address=address, cores=1, rows_of_shard=ROWS
    )
    assert alone == manifest, "with one core, the same files"


@pytest.mark.parametrize("options", [{"novel": True}, {"novel": True, "exclude": ["titan"], "pattern": "[st].*"}])
def test_filters_leave_the_rows_of_one_machine(
    moons: SequenceModel, tmp_path: Path, address: str, options: dict[str, Any]
) -> None:
    manifest = generate(moons, 3333, tmp_path, address, **options)
    assert rows(tmp_path, manifest) == moons.generate(3333, seed=5, **options)


def test_scores(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    drawn = bulk.generate(
        moons, 2500, tmp_path / "drawn", options={"seed": 5}, scores=True, address=address, rows_of_shard=ROWS
    )
    names = rows(tmp_path / "drawn", drawn)
    parquet.write_table(pa.table({"name": names, "other": range(2500)}), tmp_path / "names.parquet", row_group_size=700)
    scored = bulk.score(moons, tmp_path / "names.parquet", tmp_path / "scored", address=address, rows_of_shard=ROWS)
    assert rows(tmp_path / "scored", scored) == names
    tables = [
        pa.concat_tables(map(parquet.read_table, sorted((tmp_path / each).glob("*.parquet"))))
        for each in ("drawn", "scored")
    ]
    expected = moons.score(names).tolist()
    assert [table.column("log_probability").to_pylist() for table in tables] == [expected, expected]


def test_names_under_conditions(tmp_path: Path, address: str) -> None:
    """Interrupted after two shards, and taken up with the same conditions, said in another way."""
    model = sequentia.load(golden.MODELS / "gru-where")
    where: dict[str, Any] = {"sex": "m", "decade": 1990}
    options = {"seed": 5, "where": MappingProxyType(where), "suffix": "b"}

    def make(folder: Path, **changes: Any) -> Manifest:
        return bulk.generate(
            model, 3500, folder, options=options | changes, scores=True, address=address, rows_of_shard=ROWS
        )

    manifest = make(tmp_path / "drawn")
    names = rows(tmp_path / "drawn", manifest)
    assert names == model.generate(3500, seed=5, where=where, suffix="b")
    assert names != model.generate(3500, seed=5, suffix="b")
    (tmp_path / "drawn" / MANIFEST).unlink()
    for shard in manifest.shards[:2]:
        bulk._record(tmp_path / "drawn", int(shard.file[5:12]))
    (tmp_path / "drawn" / manifest.shards[2].file).unlink()
    for same in ("1990", 1990.0):
        assert make(tmp_path / "drawn", where={"decade": same, "sex": "m"}) == manifest
    for other in ({"sex": "f", "decade": 1990}, {"sex": "m"}, {}, None):
        with pytest.raises(OptionError, match=r"holds another run \(job.json says which\)"):
            make(tmp_path / "drawn", where=other)
    with pytest.raises(OptionError, match="sex must be one of 'f', 'm', not 'x'"):
        make(tmp_path / "wrong", where={"sex": "x"})

    source = tmp_path / "names.parquet"
    parquet.write_table(pa.table({"name": names}), source)

    def score(where: Any) -> Manifest:
        return bulk.score(model, source, tmp_path / "scored", where=where, address=address, rows_of_shard=ROWS)

    scored = score(where)
    (tmp_path / "scored" / MANIFEST).unlink()
    assert score({"sex": "m", "decade": "1990"}) == scored
    with pytest.raises(OptionError, match="holds another run"):
        score(None)
    expected = model.score(names, where=where).tolist()
    for folder in ("drawn", "scored"):
        table = pa.concat_tables(map(parquet.read_table, sorted((tmp_path / folder).glob("*.parquet"))))
        assert table.column("log_probability").to_pylist() == expected
    with pytest.raises(OptionError, match="no condition 'age'"):
        bulk.score(model, source, tmp_path / "wrong", where={"age": 9}, address=address)
    assert not (tmp_path / "wrong").exists()


def test_nothing_said_is_the_same_job(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    manifest = generate(moons, 1000, tmp_path, address)
    nothing: list[dict[str, str] | None] = [{}, None]
    for where in nothing:
        assert generate(moons, 1000, tmp_path, address, where=where) == manifest


def test_what_is_there_is_not_made_again(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    manifest = generate(moons, 4000, tmp_path, address)
    assert generate(moons, 4000, tmp_path, "nowhere:1") == manifest, "nothing is left to do"
    (tmp_path / MANIFEST).unlink()
    for shard in manifest.shards[:2]:
        bulk._record(tmp_path, int(shard.file[5:12]))
    stamp = (tmp_path / manifest.shards[0].file).stat().st_mtime_ns
    (tmp_path / ".part-0000002.parquet.1.partial").write_bytes(b"half")
    assert generate(moons, 4000, tmp_path, address) == manifest
    assert (tmp_path / manifest.shards[0].file).stat().st_mtime_ns == stamp
    assert made(tmp_path) == {JOB, MANIFEST, *(shard.file for shard in manifest.shards)}


def test_a_seed_is_chosen_once(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    manifest = generate(moons, 1500, tmp_path, address, seed=None)
    seed = manifest.job.options["seed"]
    assert rows(tmp_path, manifest) == moons.generate(1500, seed=seed)
    (tmp_path / MANIFEST).unlink()
    assert bulk.generate(moons, 1500, tmp_path, options={}, address=address, rows_of_shard=ROWS) == manifest


def test_a_folder_that_holds_something_else(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    generate(moons, 1000, tmp_path / "run", address)
    before = made(tmp_path / "run")
    for n, options in ((1001, {}), (1000, {"seed": 6}), (1000, {"top_k": 3})):
        with pytest.raises(OptionError, match=r"holds another run \(job.json says which\)"):
            generate(moons, n, tmp_path / "run", address, **options)
    assert made(tmp_path / "run") == before
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OptionError, match="is not empty: it holds no run"):
        generate(moons, 1000, tmp_path, address)


def test_what_cannot_be(moons: SequenceModel, tmp_path: Path, address: str) -> None:
    with pytest.raises(OptionError, match="unique"):
        generate(moons, 10, tmp_path / "a", address, unique=True)
    for nowhere in ("127.0.0.1:1", "nowhere", "no.such.host.invalid:6379"):
        with pytest.raises(OptionError, match=f"no Ray cluster answers at '{nowhere}'"):
            generate(moons, 10, tmp_path / "b", nowhere)
    with pytest.raises(OptionError, match="cores must be a whole number, 1 or more"):
        bulk.generate(moons, 10, tmp_path / "b", options={"seed": 5}, cores=0, rows_of_shard=ROWS)
    assert made(tmp_path / "b") == {JOB}
    (tmp_path / "b" / "part-0000000.parquet").mkdir()
    with pytest.raises(OSError, match="directory"):
        generate(moons, 10, tmp_path / "b", address)
    (tmp_path / "names.parquet").write_bytes(b"no")
    with pytest.raises(OptionError, match="is no Parquet file"):
        bulk.score(moons, tmp_path / "names.parquet", tmp_path / "d", address=address)
    parquet.write_table(pa.table({"x": ["a"]}), tmp_path / "names.parquet")
    with pytest.raises(OptionError, match="has no column 'name'"):
        bulk.score(moons, tmp_path / "names.parquet", tmp_path / "d", address=address)
    parquet.write_table(pa.table({"name": ["titan", "7"]}), tmp_path / "names.parquet")
    with pytest.raises(VocabularyError, match="'7' at position 0"):
        bulk.score(moons, tmp_path / "names.parquet", tmp_path / "e", address=address)


DRIVER = """
import sys
from pathlib import Path
import sequentia
from sequentia import bulk
model, folder, *rest = sys.argv[1:]
where = {"address": address for address in rest}
bulk.generate(sequentia.load(model), 200_000, Path(folder), options={"seed": 5}, rows_of_shard=10_000, **where)
"""


@pytest.mark.parametrize("victim", ["a worker", "the driver"])
def test_a_process_that_is_killed(
    trained: Path, moons: SequenceModel, tmp_path: Path, victim: str, ray_cluster: RayCluster
) -> None:
    """A worker of the shared cluster, or the driver of a cluster of its own, which ends with it."""
    command = [sys.executable, "-c", DRIVER, str(trained), str(tmp_path / "shards")]
    where = [ray_cluster.address] if victim == "a worker" else []
    with subprocess.Popen([*command, *where], stderr=subprocess.PIPE) as process:
        while not list((tmp_path / "shards").glob("part-*.json")):
            assert process.poll() is None
            time.sleep(0.01)
        found: list[int] = []
        while not found:
            assert process.poll() is None
            found = processes_below(ray_cluster.pid if where else process.pid, "ray::MapBatches")
        os.kill(found[0] if victim == "a worker" else process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    if victim == "the driver":
        assert process.returncode == -signal.SIGKILL
        assert MANIFEST not in made(tmp_path / "shards")
        subprocess.run([*command, ray_cluster.address], check=True, timeout=120)
    else:
        assert process.returncode == 0
    manifest = bulk.generate(moons, 200_000, tmp_path / "shards", options={"seed": 5}, rows_of_shard=10_000)
    assert rows(tmp_path / "shards", manifest) == moons.generate(200_000, seed=5)
    assert made(tmp_path / "shards") == {JOB, MANIFEST, *(shard.file for shard in manifest.shards)}


def test_the_command(trained: Path, tmp_path: Path, address: str) -> None:
    ray = ("--engine", "ray", "--address", address)
    drawn = run_cli("generate", 50, "--model", trained, "--seed", 1, *ray, "-o", tmp_path / "drawn")
    assert (drawn.returncode, drawn.stdout) == (0, "")
    assert drawn.stderr.endswith(f"50 names in 1 file; {tmp_path / 'drawn' / MANIFEST} lists them.\n")
    (shard,) = (tmp_path / "drawn").glob("*.parquet")
    names = parquet.read_table(shard).column("name").to_pylist()
    assert names == sequentia.generate(50, model=trained, seed=1)
    scored = run_cli("score", "-m", trained, *ray, "-i", shard, "-o", tmp_path / "scored", "--threads", 1)
    assert (scored.returncode, scored.stdout) == (0, "")


def test_commands_that_cannot_be(tmp_path: Path) -> None:
    for arguments in (
        ["generate", "--engine", "ray"],
        ["generate", "--address", "auto"],
        ["generate", "--engine", "ray", "-o", str(tmp_path / "x"), "--unique"],
        ["score", "--engine", "ray", "-o", str(tmp_path / "x"), "name"],
        ["score", "-i", str(tmp_path / "x"), "name"],
        ["score"],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert result.stderr.startswith("Usage: "), arguments
    assert not (tmp_path / "x").exists()


def test_without_ray(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['ray'] = None; from sequentia.cli import main; main()"
    result = python("-c", hidden, "generate", "--engine", "ray", "-o", str(tmp_path / "x"))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "install the extra [ray], in a checkout" in result.stderr
