"""Names by the billion: Parquet shards of the one indexed stream, drawn or scored wherever Ray has a core.

A folder receives ``job.json``, which says what is wanted, then a Parquet file and a record for each shard, in any
order, and last of all ``manifest.json``, with the sizes and hashes of them all. Each file appears under its name when
it is whole. A shard depends on nothing but the job, so one that was lost is made again, by the same command or by Ray
itself, and comes out the same. No process holds more than a batch of names.
"""

import hashlib
import pickle
import secrets
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from . import __version__
from ._files import check_vacant, remove_abandoned, write_file, writing
from ._json import format_json, read_json
from .architectures import Count
from .arrow import ParquetTable, copy_rows, count_rows, read_column
from .artifact import GRAPH
from .cluster import cluster
from .config import Sha256
from .errors import GenerationError, OptionError, SequentiaError
from .model import SequenceModel
from .output import LOG_PROBABILITY, NAME

JOB: Final = "job.json"
MANIFEST: Final = "manifest.json"
ROWS_OF_SHARD: Final = 1 << 20
_MOST_TASKS: Final = 4096
_NAMES_AT_ONCE: Final = 1 << 16
_PATIENCE: Final = 1_000_000

Report = Callable[[int], object]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Job(_Record, frozen=True, kw_only=True):
    """What a folder is to hold.

    Attributes:
        command: what makes it, ``generate`` or ``score``.
        model: SHA-256 of the model's graph.
        names: how many are wanted, or are to be scored.
        rows_of_shard: names of a shard, before any filter; the last may have fewer.
        scores: whether they come with their log-probabilities.
        options: of the sampling, the seed among them; of scores, the file of names and its SHA-256.
        version: of this library.
    """

    command: str
    model: str
    names: Count
    rows_of_shard: Count
    scores: bool
    options: dict[str, Any]
    version: str = __version__

    def first(self, number: int) -> int:
        """Return the index of a shard's first name, before any filter."""
        return number * self.rows_of_shard

    @property
    def seedless(self) -> bool:
        """Whether a seed is still to be chosen."""
        return self.command == "generate" and self.options["seed"] is None

    def seeded(self, seed: int | None) -> "Job":
        """Return the job with a seed."""
        return replace(self, options={**self.options, "seed": seed})

    @property
    def shards(self) -> int:
        """How many there are, unless a filter makes it more."""
        return -(-self.names // self.rows_of_shard)


class Shard(_Record, frozen=True, kw_only=True):
    """A file of the folder.

    Attributes:
        file: its name.
        rows: how many names.
        size: bytes.
        sha256: of the file.
    """

    file: str
    rows: Count
    size: Count
    sha256: Sha256


class Manifest(_Record, frozen=True, kw_only=True):
    """The whole folder.

    Attributes:
        job: what was wanted.
        shards: the files, in the order of the names.
    """

    job: Job
    shards: list[Shard]


def generate(
    model: SequenceModel,
    n: int,
    folder: Path,
    *,
    options: dict[str, Any],
    scores: bool = False,
    address: str | None = None,
    cores: int | None = None,
    rows_of_shard: int = ROWS_OF_SHARD,
    report: Report = lambda _rows: None,
) -> Manifest:
    """Write the first ``n`` names of a stream into a folder, or what is missing there of them.

    Args:
        model: draws them.
        n: how many.
        folder: a new one, or one where the same was begun.
        options: as for :func:`sequentia.generate`, without ``unique``; a seed that is left out is chosen once.
        scores: add each name's log-probability.
        address: of a cluster, see :func:`sequentia.cluster.cluster`; all its machines must see the folder.
        cores: how many to use here.
        rows_of_shard: names of a file, before any filter.
        report: called with the number of names of each shard that is there.

    Raises:
        OptionError: if an option is out of its range, or the folder holds something else.
        GenerationError: if the options leave no names to generate.
        MissingExtraError: if Ray or pyarrow is missing.
    """
    options = {"seed": None, **options, "exclude": list(options.get("exclude", ()))}
    model.shard(0, 0, **options)  # checks the options
    job = Job(
        command="generate",
        model=model.config.files[GRAPH].sha256,
        names=n,
        rows_of_shard=rows_of_shard,
        scores=scores,
        options=options,
    )
    work = _Work.begin(folder, job, report)
    if work.manifest is None:
        with cluster(address, cores) as ray:
            work.draw(ray, model, cores)
    return work.finish()


def score(
    model: SequenceModel,
    source: Path,
    folder: Path,
    *,
    address: str | None = None,
    cores: int | None = None,
    rows_of_shard: int = ROWS_OF_SHARD,
    report: Report = lambda _rows: None,
) -> Manifest:
    """Write the names of a Parquet file, its column ``name``, into a folder, each with its log-probability.

    Args:
        model: scores them.
        source: the file; all machines of a cluster must see it.
        folder: a new one, or one where the same was begun.
        address: of a cluster, see :func:`sequentia.cluster.cluster`; all its machines must see the folder.
        cores: how many to use here.
        rows_of_shard: names in each output file; the last may have fewer.
        report: called with the number of names of each finished shard.

    Raises:
        OptionError: if the folder holds something else, or the file no names.
        VocabularyError: if a name holds an unknown symbol.
        MissingExtraError: if Ray or pyarrow is missing.
    """
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    job = Job(
        command="score",
        model=model.config.files[GRAPH].sha256,
        names=count_rows(source, NAME),
        rows_of_shard=rows_of_shard,
        scores=True,
        options={"source": str(source.resolve()), "sha256": digest},
    )
    work = _Work.begin(folder, job, report)
    if work.manifest is None:
        with cluster(address, cores) as ray:
            work.run(ray, model, range(job.shards), cores)
    return work.finish()


class _Work:
    """A folder in the making."""

    def __init__(self, folder: Path, job: Job, report: Report) -> None:
        self.folder, self.job, self.report = folder.resolve(), job, report
        self.shards: dict[int, Shard] = {}
        self.manifest: Manifest | None = None

    @classmethod
    def begin(cls, folder: Path, job: Job, report: Report) -> "_Work":
        """Start, or go on with what is in the folder, if that is the same job."""
        path = folder / JOB
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            before = read_json(path, Job, lambda message: OptionError(message, option="output", value=folder))
            if job.seedless:
                job = job.seeded(before.options.get("seed"))
            if msgspec.json.encode(job) != msgspec.json.encode(before):
                raise OptionError(
                    f"{folder} holds another run ({path.name} says which): choose another folder", option="output"
                )
        else:
            check_vacant(
                folder,
                "it holds no run to go on with; choose another folder",
                lambda message: OptionError(message, option="output", value=folder),
            )
            if job.seedless:
                job = job.seeded(secrets.randbits(64))
            write_file(path, format_json(job))
        work = cls(folder, job, report)
        if (folder / MANIFEST).is_file():
            work.manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
            return work
        for record in folder.glob("part-*.json"):
            shard = _recorded(record)
            if shard is not None:
                work.add(int(record.stem.partition("-")[2]), shard)
        return work

    def add(self, number: int, shard: Shard) -> None:
        """Take note of a shard that is there."""
        self.shards[number] = shard
        self.report(shard.rows)

    def draw(self, ray: Any, model: SequenceModel, cores: int | None) -> None:
        """Draw shards until there are enough names; more than at first seem needed, where a filter drops some."""
        shards = self.job.shards
        self.run(ray, model, range(shards), cores)
        while (rows := sum(shard.rows for shard in self.shards.values())) < self.job.names:
            candidates = self.job.first(len(self.shards))
            if not rows and candidates >= _PATIENCE:
                raise GenerationError(
                    f"gave up: none of {candidates} candidates is accepted; loosen the options", candidates=candidates
                )
            missing = (self.job.names - rows) * candidates / max(rows, 1)
            shards = len(self.shards) + max(1, min(len(self.shards), round(missing / self.job.rows_of_shard)))
            self.run(ray, model, range(shards), cores)

    def run(self, ray: Any, model: SequenceModel, numbers: Iterable[int], cores: int | None) -> None:
        """Make those of some shards that are missing."""
        missing = [{"number": number} for number in numbers if number not in self.shards]
        if not missing:
            return
        folder, job, shared = self.folder, self.job, ray.put(model)

        def make(rows: dict[str, Any]) -> dict[str, Any]:
            """Make one shard; an error comes back as a value, since Ray would leave no more of it than its text."""
            (number,) = rows["number"].tolist()
            try:
                made: Shard | Exception = write_shard(_held(shared), job, folder, number)
            except (SequentiaError, OSError) as error:
                made = error
            return {"number": [number], "made": [pickle.dumps(made)]}

        data = ray.data.from_items(missing, override_num_blocks=min(len(missing), _MOST_TASKS))
        for row in data.map_batches(make, batch_size=1, concurrency=cores).iter_rows():
            made = pickle.loads(row["made"])  # noqa: S301 - from the function above
            if isinstance(made, Exception):
                raise made
            self.add(row["number"], made)

    def finish(self) -> Manifest:
        """Cut off what is too much, and write the manifest."""
        if self.manifest is not None:
            return self.manifest
        numbers = sorted(self.shards)
        ends = accumulate(self.shards[number].rows for number in numbers)
        kept = []
        for number, end in zip(numbers, ends, strict=True):
            shard, surplus = self.shards[number], end - self.job.names
            if surplus >= shard.rows:
                _record_of(self.folder, number).unlink(missing_ok=True)
                (self.folder / shard.file).unlink(missing_ok=True)
                continue
            kept.append(shard if surplus <= 0 else _cut(self.folder, number, shard.rows - surplus))
        self.manifest = Manifest(job=self.job, shards=kept)
        write_file(self.folder / MANIFEST, format_json(self.manifest))
        for record in self.folder.glob("part-*.json"):
            record.unlink(missing_ok=True)
        remove_abandoned(self.folder, "part-")
        return self.manifest


@lru_cache(maxsize=1)
def _held(reference: Any) -> SequenceModel:
    """Return a model of Ray's store: one for all tasks of a process, whom its memory of contexts serves."""
    import ray

    model: SequenceModel = ray.get(reference)
    return model


# One shard


def write_shard(model: SequenceModel, job: Job, folder: Path, number: int) -> Shard:
    """Write a shard and its record, unless they are there."""
    before = _recorded(_record_of(folder, number))
    if before is not None:
        return before
    count = job.rows_of_shard if _filtered(model, job) else min(job.rows_of_shard, job.names - job.first(number))
    with writing(folder / _file_of(number)) as file:
        table = ParquetTable(file, [NAME, LOG_PROBABILITY] if job.scores else [NAME])
        if job.command == "generate":
            for names in model.shard(job.first(number), count, **job.options):
                scores = model.score(model.vocabulary.decode(names)) if job.scores else None
                table.write(names, model.vocabulary, scores)
        else:
            for texts in read_column(Path(job.options["source"]), NAME, job.first(number), count, _NAMES_AT_ONCE):
                table.write_texts(texts, model.score(texts))
        table.close()
    return _record(folder, number)


def _filtered(model: SequenceModel, job: Job) -> bool:
    """Return whether some candidates may be dropped, so that it takes more of them."""
    dropping = job.options.get("novel") or job.options.get("exclude") or model.vocabulary.may_compose
    return job.command == "generate" and bool(dropping)


def _cut(folder: Path, number: int, rows: int) -> Shard:
    """Leave a shard no more than its first rows."""
    path = folder / _file_of(number)
    with writing(path) as file:
        copy_rows(path, file, rows)
    return _record(folder, number)


def _record(folder: Path, number: int) -> Shard:
    """Take down what a shard is, next to it."""
    path = folder / _file_of(number)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shard = Shard(file=path.name, rows=count_rows(path, NAME), size=path.stat().st_size, sha256=digest)
    write_file(_record_of(folder, number), format_json(shard))
    return shard


def _recorded(path: Path) -> Shard | None:
    """Return what a record says, if it and its shard are there."""
    try:
        shard = msgspec.json.decode(path.read_bytes(), type=Shard)
        return shard if (path.parent / shard.file).stat().st_size == shard.size else None
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _file_of(number: int) -> str:
    return f"part-{number:07}.parquet"


def _record_of(folder: Path, number: int) -> Path:
    return folder / f"part-{number:07}.json"
