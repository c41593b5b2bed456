"""A loaded artifact: names out, probabilities of names, probabilities of next symbols."""

import os
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, Unpack
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from . import artifact
from .artifact import Artifact, Config
from .errors import ArtifactError, ModelNotFoundError
from .generation import stream_names
from .likelihood import name_losses
from .options import Plan, SamplingOptions, whole
from .sampling import probabilities
from .vocabulary import BOUNDARY, Vocabulary
from .windows import context_after

DEFAULT_MODEL: Final = "names"
_BUNDLED: Final = Path(__file__).parent / "models"

# Matrix kernels round differently for different numbers of rows, so every run of the network has this many, and a
# context's logits do not depend on its company. Eight keeps a single name fast and fills a vector register.
_ROWS: Final = 8


class SequenceModel:
    """A model ready to generate; safe to share between threads, to pickle, and to use after a fork.

    (A process made by a bare ``os.fork`` has to end by ``os._exit``, as those of ``multiprocessing`` do: onnxruntime's
    own exit handler waits for threads that the fork left behind.)

    Args:
        source: a checked artifact, as :func:`sequentia.artifact.read` returns it.
        threads: threads inside one run of the network; the default of one is the fastest for networks this small.

    Raises:
        ArtifactError: if onnxruntime refuses the graph, or the graph contradicts ``config.json``.
    """

    def __init__(self, source: Artifact, *, threads: int | None = None) -> None:
        self._artifact = source
        self._threads = 1 if threads is None else whole("threads", threads, least=1)
        self._opened: Any = self._open_session()
        _forget_sessions_after_fork()
        _models.add(self)

    @property
    def config(self) -> Config:
        """The artifact's configuration: vocabulary, sizes, provenance, metrics."""
        return self._artifact.config

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's alphabet."""
        return self._artifact.vocabulary

    def generate(self, n: int = 1, **options: Unpack[SamplingOptions]) -> list[str]:
        """Return the first ``n`` names of a seeded stream; see :func:`sequentia.generate` for the options."""
        n = whole("n", n, least=0)
        plan = Plan.of(options, self.vocabulary, self.config.max_length)
        return list(islice(self._names(plan, n), n))

    def stream(self, **options: Unpack[SamplingOptions]) -> Iterator[str]:
        """Return the endless stream of which :meth:`generate` is the start, with the same options.

        It ends in a :class:`~sequentia.GenerationError` only if the options leave nothing to go on with: more than
        10,000 candidates in a row are rejected, and more than were accepted before.
        """
        return self._names(Plan.of(options, self.vocabulary, self.config.max_length))

    def score(self, names: Iterable[str]) -> NDArray[np.float64]:
        """Return the natural-log probability of each whole name, float64 [n].

        It is that of drawing exactly this name without any option: its symbols one by one, then the end.

        Raises:
            VocabularyError: if a name holds an unknown symbol.
        """
        if isinstance(names, str):
            raise TypeError("score() takes several names: pass a list, also for one")
        encoded = [np.append(self.vocabulary.encode(name), BOUNDARY) for name in names]
        if not encoded:
            return np.zeros(0)
        return -name_losses(np.concatenate(encoded), self.config.block_size, self.logits, self.vocabulary.size)

    def next_symbols(self, prefix: str = "") -> dict[str, float]:
        """Return the probability of each symbol that may follow a prefix, the most probable first.

        The empty string stands for the end of the name; the probabilities sum to 1.

        Raises:
            VocabularyError: if the prefix holds an unknown symbol.
        """
        context = context_after(self.vocabulary.encode(prefix), self.config.block_size)
        row = probabilities(self.logits(context))[0]
        symbols = ("", *self.vocabulary.symbols)
        return {symbols[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}

    def logits(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run the network.

        A row's result depends on that row alone: not on the others, their number or the number of threads.

        Args:
            contexts: int64 [n, block_size] ids, oldest symbol first, left-padded with the boundary.

        Returns:
            float32 [n, 1 + symbols].
        """
        session = self._session()
        n = len(contexts)
        padded = np.zeros((-(-n // _ROWS) * _ROWS, self.config.block_size), dtype=np.int64)
        padded[:n] = contexts
        logits = np.empty((len(padded), self.vocabulary.size), dtype=np.float32)
        for start in range(0, len(padded), _ROWS):
            rows = slice(start, start + _ROWS)
            logits[rows] = session.run(["logits"], {"context": padded[rows]})[0]
        if not np.isfinite(logits).all():
            raise self._graph_error("finite logits", "NaN or infinity")
        return logits[:n]

    def _names(self, plan: Plan, wanted: int | None = None) -> Iterator[str]:
        return stream_names(self.logits, self.vocabulary, self.config.block_size, plan, wanted)

    def _session(self) -> Any:
        session = self._opened
        if session is None:
            session = self._opened = self._open_session()
        return session

    def _open_session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(self._artifact.graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise self._graph_error("a graph that onnxruntime can run", str(error)) from error
        self._check_session(session)
        return session

    def _check_session(self, session: Any) -> None:
        """Hold the graph against the contract of the artifact format and against its config."""
        for kind, nodes, name, dtype, width in (
            ("input", session.get_inputs(), "context", "tensor(int64)", self.config.block_size),
            ("output", session.get_outputs(), "logits", "tensor(float)", self.vocabulary.size),
        ):
            found = [(node.name, node.type, node.shape) for node in nodes]
            expected = [(name, dtype, [batch, width]) for _, _, (batch, *_) in found[:1]]
            if found != expected:
                raise self._graph_error(f"one {kind} {name} {dtype} [batch, {width}]", str(found))
            if isinstance(found[0][2][0], int):
                raise self._graph_error(f"a dynamic batch dimension of {name}", str(found))
        metadata = session.get_modelmeta().custom_metadata_map
        for key, value in artifact.metadata(self.config).items():
            if metadata.get(key) != value:
                raise self._graph_error(f"metadata {key} = {value}", str(metadata.get(key)))

    def _graph_error(self, expected: str, found: str) -> ArtifactError:
        return ArtifactError.at(self._artifact.folder / artifact.GRAPH, expected=expected, found=found)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._artifact, self._threads)

    def __repr__(self) -> str:
        return f"SequenceModel({self.config.name!r}, {self.vocabulary.describe()})"


def _restore(source: Artifact, threads: int) -> SequenceModel:
    return SequenceModel(source, threads=threads)


_models: "WeakSet[SequenceModel]" = WeakSet()
_abandoned: list[Any] = []


@cache
def _forget_sessions_after_fork() -> None:
    """Have a forked process open sessions of its own.

    Onnxruntime's threads do not survive a fork, and closing a session waits for them: the old ones are kept for ever.
    """

    def forget() -> None:
        for model in _models:
            _abandoned.append(model._opened)
            model._opened = None

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)


def load(model: str | os.PathLike[str] | None = None, *, threads: int | None = None) -> SequenceModel:
    """Load a model.

    Args:
        model: a folder that holds an artifact, or the name of a bundled model (such a folder goes before it);
            ``None`` is the environment variable ``SEQUENTIA_MODEL`` if that is set, else the bundled default.
        threads: threads inside one run of the network, one by default.

    Raises:
        ModelNotFoundError: if there is no such model.
        ArtifactError: if a file of the model is damaged or inconsistent.
    """
    return SequenceModel(artifact.read(locate(model)), threads=threads)


def locate(model: str | os.PathLike[str] | None) -> Path:
    """Return the folder of a model, as :func:`load` understands its argument."""
    if model is None:
        model = os.environ.get("SEQUENTIA_MODEL") or _BUNDLED / DEFAULT_MODEL
    source = os.fspath(model)
    folder = Path(source)
    bundled = sorted(path.name for path in _BUNDLED.iterdir() if path.is_dir())
    try:
        if source in bundled and not (folder / artifact.CONFIG).is_file():
            return _BUNDLED / source
        if folder.is_dir():
            return folder
    except (OSError, ValueError):  # what cannot be a path is no folder
        pass
    raise ModelNotFoundError(
        f"no model {source!r}: it is neither a folder nor a bundled model ({', '.join(bundled)}); "
        "this version does not fetch from the hub, so download the repository and give its folder",
        model=source,
    )


@lru_cache(maxsize=4)
def _load_once(folder: Path, _version: tuple[int, int]) -> SequenceModel:
    return load(folder)


def generate(
    n: int = 1,
    *,
    model: str | os.PathLike[str] | None = None,
    prefix: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_length: int = 1,
    max_length: int | None = None,
    unique: bool = False,
    seed: int | None = None,
) -> list[str]:
    """Invent names.

    With a seed the result is the same on every call, and ``generate(10)`` is the start of ``generate(1000)``.

    Args:
        n: how many.
        model: as for :func:`load`; it stays loaded for the next call.
        prefix: what every name starts with; it is normalised to NFC, as every name is.
        temperature: below 1 makes usual names, above 1 unusual ones; 0 takes the most probable symbol each time.
        top_k: draw each symbol from this many of the most probable ones.
        top_p: draw each symbol from the fewest of the most probable ones that have this share of the probability.
        min_length: fewest symbols of a name, the prefix included: before that, no name ends.
        max_length: most symbols, the prefix included: there, every name ends. By default the length of the
            longest name the model was trained on.
        unique: no name twice in one call.
        seed: a whole number from 0 to 2**128 - 1; by default a new one each time.

    Returns:
        The names.

    Raises:
        OptionError: if an option is out of its range or contradicts another.
        VocabularyError: if the prefix holds a symbol unknown to the model.
        GenerationError: if the options leave too few names.
        ModelNotFoundError: if there is no such model.
        ArtifactError: if the model is damaged.
    """
    folder = locate(model).resolve()
    stamp = (folder / artifact.CONFIG).stat() if (folder / artifact.CONFIG).is_file() else None
    version = (stamp.st_mtime_ns, stamp.st_ino) if stamp else (0, 0)
    return _load_once(folder, version).generate(
        n,
        prefix=prefix,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_length=min_length,
        max_length=max_length,
        unique=unique,
        seed=seed,
    )
