"""Generate or score names by the billion: Ray's workers write Parquet shards of the indexed stream.

A folder receives ``job.json``, which says what is wanted; then a Parquet file and a record for each shard, in any
order; and last ``manifest.json``, with the sizes and hashes of all shards. A file appears under its name only when it
is complete. A shard depends on the job alone, so that Ray or a second run of the command can replace a lost shard by an
identical one. No process holds more than one batch of names.
"""

import hashlib
import pickle
import secrets
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from . import __version__
from ._files import check_vacant, remove_abandoned, write_file, writing
from ._json import format_json, read_json
from .architectures import Count
from .arrow import ParquetTable, count_rows, read_column
from .artifact import GRAPH
from .case import in_case
from .cluster import cluster
from .conditions import Where, text_of
from .config import Sha256
from .errors import OptionError, SequentiaError
from .model import SequenceModel
from .output import LOG_PROBABILITY, NAME, SPELLED

JOB: Final = "job.json"
MANIFEST: Final = "manifest.json"
ROWS_OF_SHARD: Final = 1 << 20
_MOST_TASKS: Final = 4096
_NAMES_AT_ONCE: Final = 1 << 16

ShardReport = Callable[[int], object]
"""Called with the number of names in a shard that is complete."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Job(_Record, frozen=True, kw_only=True):
    """What a folder will hold.

    Attributes:
        command: ``generate`` or ``score``.
        model: SHA-256 of the model's graph.
        names: number of names to generate or to score.
        rows_of_shard: number of names in a shard; the last one may have fewer.
        scores: whether the names come with their log-probabilities.
        options: to generate, the sampling options and the seed; to score, the file of names and its SHA-256.
        version: version of this library.
    """

    command: str
    model: str
    names: Count
    rows_of_shard: Count
    scores: bool
    options: dict[str, Any]
    version: str = __version__

    def first(self, number: int) -> int:
        """Return the index of a shard's first name."""
        return number * self.rows_of_shard

    def rows(self, number: int) -> int:
        """Return the number of names in a shard."""
        return min(self.rows_of_shard, self.names - self.first(number))

    @property
    def seedless(self) -> bool:
        """Whether the job still needs a seed."""
        return self.command == "generate" and self.options["seed"] is None

    def seeded(self, seed: int | str | None) -> "Job":
        """Return the job with a seed."""
        return replace(self, options={**self.options, "seed": seed})

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.names // self.rows_of_shard)


class Shard(_Record, frozen=True, kw_only=True):
    """A Parquet file of the folder.

    Attributes:
        file: name of the file.
        rows: number of names.
        size: bytes.
        sha256: SHA-256 of the file.
    """

    file: str
    rows: Count
    size: Count
    sha256: Sha256


class Manifest(_Record, frozen=True, kw_only=True):
    """The contents of a complete folder.

    Attributes:
        job: what the folder holds.
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
    report: ShardReport = lambda _rows: None,
) -> Manifest:
    """Write the first ``n`` names of a stream into a folder; shards that are there already are kept.

    Args:
        model: the model that generates the names.
        n: number of names.
        folder: a new folder, or one where the same job was begun.
        options: as for :func:`sequentia.generate`, without ``unique``. If the seed is left out, one is chosen for the
            folder and kept.
        scores: add each name's log-probability.
        address: address of a cluster; see :func:`sequentia.cluster.cluster`. All its machines must see the folder.
        cores: number of cores to use.
        rows_of_shard: number of names in a file.
        report: called with the number of names in each complete shard.

    Raises:
        OptionError: if an option is out of its range, or the folder holds something else.
        GenerationError: if the options leave no name to generate.
        MissingExtraError: if Ray or pyarrow is missing.
    """
    options = {"seed": None, **options, **{what: list(options.get(what, ())) for what in ("exclude", "avoid")}}
    model.shard(0, 0, **options)  # checks the options
    options |= _said(options.pop("where", None))
    if options.get("case") is None:
        options.pop("case", None)
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
            work.run(ray, model, cores)
    return work.finish()


def score(
    model: SequenceModel,
    source: Path,
    folder: Path,
    *,
    where: Where = None,
    address: str | None = None,
    cores: int | None = None,
    rows_of_shard: int = ROWS_OF_SHARD,
    report: ShardReport = lambda _rows: None,
) -> Manifest:
    """Write the names of a Parquet file, its column ``name``, into a folder, each with its log-probability.

    Args:
        model: the model that scores the names.
        source: the Parquet file; all machines of a cluster must see it.
        folder: a new folder, or one where the same job was begun.
        where: what is said of the conditions of all names.
        address: address of a cluster; see :func:`sequentia.cluster.cluster`. All its machines must see the folder.
        cores: number of cores to use.
        rows_of_shard: number of names in a file.
        report: called with the number of names in each complete shard.

    Raises:
        OptionError: if ``where`` does not suit the model, the folder holds something else, or the file has no names.
        VocabularyError: if a name holds an unknown symbol.
        MissingExtraError: if Ray or pyarrow is missing.
    """
    model.score([], where=where)  # checks the option
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    job = Job(
        command="score",
        model=model.config.files[GRAPH].sha256,
        names=count_rows(source, NAME),
        rows_of_shard=rows_of_shard,
        scores=True,
        options={"source": str(source.resolve()), "sha256": digest, **_said(where)},
    )
    work = _Work.begin(folder, job, report)
    if work.manifest is None:
        with cluster(address, cores) as ray:
            work.run(ray, model, cores)
    return work.finish()


def _said(where: Where) -> dict[str, dict[str, str | None]]:
    """Return the option ``where`` as a job records it: with values as text, and not at all if nothing is said."""
    return {"where": {name: text_of(value) for name, value in where.items()}} if where else {}


class _Work:
    """A folder that is being filled."""

    def __init__(self, folder: Path, job: Job, report: ShardReport) -> None:
        self.folder, self.job, self.report = folder.resolve(), job, report
        self.shards: dict[int, Shard] = {}
        self.manifest: Manifest | None = None

    @classmethod
    def begin(cls, folder: Path, job: Job, report: ShardReport) -> "_Work":
        """Start a job, or go on with the same job in the folder."""
        path = folder / JOB
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            before = read_json(path, Job, lambda message: OptionError(message, option="output", value=folder))
            if job.seedless:
                job = job.seeded(before.options.get("seed"))
            if msgspec.json.decode(msgspec.json.encode(job), type=Job) != before:
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
            work.manifest = read_json(
                folder / MANIFEST, Manifest, lambda message: OptionError(message, option="output", value=folder)
            )
            return work
        for record in folder.glob("part-*.json"):
            shard = _recorded(record)
            if shard is not None:
                work.add(int(record.stem.partition("-")[2]), shard)
        return work

    def add(self, number: int, shard: Shard) -> None:
        """Note that a shard is complete."""
        self.shards[number] = shard
        self.report(shard.rows)

    def run(self, ray: Any, model: SequenceModel, cores: int | None) -> None:
        """Make the missing shards."""
        missing = [{"number": number} for number in range(self.job.shards) if number not in self.shards]
        if not missing:
            return
        folder, job, shared = self.folder, self.job, ray.put(model)

        def make(rows: dict[str, Any]) -> dict[str, Any]:
            """Make one shard. Return an error as a value, because Ray would raise it as another type."""
            (number,) = rows["number"].tolist()
            try:
                made: Shard | Exception = write_shard(_load_once(shared), job, folder, number)
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
        """Write the manifest, and remove the records."""
        if self.manifest is not None:
            return self.manifest
        self.manifest = Manifest(job=self.job, shards=[self.shards[number] for number in range(self.job.shards)])
        write_file(self.folder / MANIFEST, format_json(self.manifest))
        for record in self.folder.glob("part-*.json"):
            record.unlink(missing_ok=True)
        remove_abandoned(self.folder, "part-")
        return self.manifest


@lru_cache(maxsize=1)
def _load_once(reference: Any) -> SequenceModel:
    """Load the model from Ray's store once per worker, so that its tasks share the model's cache."""
    import ray

    model: SequenceModel = ray.get(reference)
    return model


# One shard


def write_shard(model: SequenceModel, job: Job, folder: Path, number: int) -> Shard:
    """Write a shard and its record, unless they exist."""
    before = _recorded(_record_of(folder, number))
    if before is not None:
        return before
    first, count, where = job.first(number), job.rows(number), job.options.get("where")
    case = job.options.get("case")
    columns = [NAME, *([LOG_PROBABILITY] if job.scores else []), *([SPELLED] if job.scores and case else [])]
    with writing(folder / _file_of(number)) as file, closing(ParquetTable(file, columns, scored=job.scores)) as table:
        if job.command == "generate":
            for names in model.shard(first, count, **job.options):
                texts = model.vocabulary.decode(names) if job.scores or case else []
                scores = model.score(texts, where=where) if job.scores else None
                if case is None:
                    table.write(names, model.vocabulary, scores)
                else:
                    table.write_texts(in_case(texts, case), scores, *([texts] if job.scores else []))
        else:
            for texts in read_column(Path(job.options["source"]), NAME, first, count, _NAMES_AT_ONCE):
                table.write_texts(texts, model.score(texts, where=where))
    return _record(folder, number)


def _record(folder: Path, number: int) -> Shard:
    """Write the record of a shard beside it."""
    path = folder / _file_of(number)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shard = Shard(file=path.name, rows=count_rows(path, NAME), size=path.stat().st_size, sha256=digest)
    write_file(_record_of(folder, number), format_json(shard))
    return shard


def _recorded(path: Path) -> Shard | None:
    """Return the shard of a record, if the record is whole and the shard exists."""
    try:
        shard = msgspec.json.decode(path.read_bytes(), type=Shard)
        return shard if (path.parent / shard.file).stat().st_size == shard.size else None
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _file_of(number: int) -> str:
    return f"part-{number:07}.parquet"


def _record_of(folder: Path, number: int) -> Path:
    return folder / f"part-{number:07}.json"
