"""Running a model's graph in onnxruntime; no other module imports onnxruntime."""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import artifact
from ._forks import renew_after_fork
from .artifact import Artifact
from .errors import ArtifactError

_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"

# Matrix kernels may round differently for different numbers of rows. So each run has eight rows, which fill a vector
# register, and a context's logits do not depend on the other contexts. Other row counts are used if they give the same
# bits. That is checked once, after 512 rows, because the check takes time.
ROWS: Final = 8
OTHER_ROWS: Final = (256, 64, 1)
_ROWS_BEFORE_CHECK: Final = 512


def open_session(graph: bytes | Path) -> Any:
    """Return an ``onnxruntime.InferenceSession`` that runs a graph on one CPU thread.

    Since version 1.29 onnxruntime sends telemetry: it looks up a host, writes files in the home folder, and starts
    threads that prevent a forked process from exiting. It reads the variable ``ORT_DISABLE_TELEMETRY`` on import, so
    this function sets it first, unless the user has set it. Calling ``disable_telemetry_events`` later is too late.

    Args:
        graph: the contents of ``model.onnx``, or its path.

    Raises:
        Exception: the error of onnxruntime if it cannot run the graph.
    """
    if not os.environ.get(_TELEMETRY):
        os.environ[_TELEMETRY] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # SequenceModel runs several graphs in parallel instead
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class Session:
    """A runner of an artifact's graph that threads can share.

    Args:
        source: the artifact.

    Raises:
        ArtifactError: if onnxruntime rejects the graph, or the graph's metadata contradict ``config.json``.
    """

    def __init__(self, source: Artifact) -> None:
        self._artifact = source
        self._opened: Any = self._open()
        self._row_counts: tuple[int, ...] = (ROWS,)
        self._rows_run = 0
        renew_after_fork(self)

    def logits(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits for contexts; each row depends on its own context alone.

        Args:
            contexts: int64 [n, block_size] ids, oldest symbol first, left-padded with the boundary.

        Returns:
            float32 [n, 1 + symbols].

        Raises:
            ArtifactError: if the graph cannot be run or its logits are not finite.
        """
        if self._opened is None:
            self._opened = self._open()
        session, n = self._opened, len(contexts)
        logits = np.empty((n, self._artifact.vocabulary.size), dtype=np.float32)
        start = 0
        while start < n:
            count = self._rows_at_once(session, n - start)
            rows = contexts[start : start + count]
            if len(rows) < count:
                rows = np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]), dtype=np.int64)])
            logits[start : start + count] = self._run(session, rows)[: n - start]
            start += count
        if not np.isfinite(logits).all():
            raise self._error("finite logits", "NaN or infinity")
        return logits

    def renew(self) -> None:
        """Open a new session at the next call; keep the old one open, because closing it would wait for its threads."""
        _abandoned.append(self._opened)
        self._opened = None

    def _run(self, session: Any, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            logits: NDArray[np.float32] = session.run(["logits"], {"context": contexts})[0]
        except Exception as error:
            raise self._error("a graph that onnxruntime can run", str(error)) from error
        return logits

    def _rows_at_once(self, session: Any, remaining: int) -> int:
        """Return the number of rows of the next run, of those that give the same bits as eight rows."""
        before, self._rows_run = self._rows_run, self._rows_run + remaining
        if before < _ROWS_BEFORE_CHECK <= self._rows_run:
            random = np.random.Generator(np.random.PCG64(0))
            shape = (_ROWS_BEFORE_CHECK // 2, self._artifact.config.block_size)
            contexts = random.integers(0, self._artifact.vocabulary.size, shape)

            def run(rows: int) -> NDArray[np.float32]:
                chunks = np.split(contexts, len(contexts) // rows)
                return np.concatenate([self._run(session, chunk) for chunk in chunks])

            expected = run(ROWS)
            self._row_counts = (*(rows for rows in OTHER_ROWS if np.array_equal(run(rows), expected)), ROWS)
        return next((rows for rows in self._row_counts if rows <= remaining and (rows > 1 or remaining == 1)), ROWS)

    def _open(self) -> Any:
        try:
            session = open_session(self._artifact.graph)
        except Exception as error:
            raise self._error("a graph that onnxruntime can run", str(error)) from error
        metadata = session.get_modelmeta().custom_metadata_map  # artifact.read() has checked the rest of the graph
        for key, value in artifact.metadata(self._artifact.config).items():
            if metadata.get(key) != value:
                raise self._error(f"metadata {key} = {value}", str(metadata.get(key)))
        return session

    def _error(self, expected: str, found: str) -> ArtifactError:
        return ArtifactError.at(self._artifact.folder / artifact.GRAPH, expected=expected, found=found)


_abandoned: list[Any] = []
