"""Running a model's graph in onnxruntime; no other module imports onnxruntime."""

import os
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import artifact
from ._forks import renew_after_fork
from .artifact import Artifact
from .errors import ArtifactError

_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"

_ROWS: Final = 512  # in a run, so that what it computes stays in the processor's cache


def open_session(graph: bytes | Path, *, threads: int = 1, level: str = "ORT_ENABLE_ALL") -> Any:
    """Return an ``onnxruntime.InferenceSession`` that runs a graph on the CPU.

    Since version 1.29 onnxruntime sends telemetry: it looks up a host, writes files in the home folder, and starts
    threads that prevent a forked process from exiting. It reads the variable ``ORT_DISABLE_TELEMETRY`` on import, so
    this function sets it first, unless the user has set it. Calling ``disable_telemetry_events`` later is too late.

    Args:
        graph: the contents of ``model.onnx``, or its path.
        threads: how many compute one run; :class:`SequenceModel` makes several runs at once instead.
        level: how far onnxruntime optimises the graph, a name of its ``GraphOptimizationLevel``.

    Raises:
        Exception: the error of onnxruntime if it cannot run the graph.
    """
    if not os.environ.get(_TELEMETRY):
        os.environ[_TELEMETRY] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session: Any, contexts: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the logits of an open session, float32 [n, ids].

    Args:
        session: as :func:`open_session` returns it.
        contexts: int64 [n, block_size].
        conditions: int64 [n, conditions].
    """
    given = {"context": contexts, "conditions": conditions} if conditions.shape[1] else {"context": contexts}
    logits: NDArray[np.float32] = session.run(["logits"], given)[0]
    return logits


class Session:
    """A runner of an artifact's graph that threads can share.

    Args:
        source: the artifact.

    Raises:
        ArtifactError: if onnxruntime rejects the graph.
    """

    def __init__(self, source: Artifact) -> None:
        self._artifact, self._columns = source, len(source.config.conditions)
        self._lock = threading.Lock()  # of threads that open a session after a fork
        self._opened: Any = self._open()
        renew_after_fork(self)

    def logits(self, contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the logits after contexts; those of a context do not depend on the others.

        Args:
            contexts: int64 [n, block_size] ids, oldest symbol first, left-padded with the boundary.
            conditions: int64 [n, conditions], the id of each condition's value, 0 where it is not said; by default,
                none is said.

        Returns:
            float32 [n, 1 + symbols], multiples of 1/256.

        Raises:
            ArtifactError: if onnxruntime cannot run the graph.
        """
        session = self._opened
        if session is None:
            with self._lock:
                if self._opened is None:
                    self._opened = self._open()
                session = self._opened
        if conditions is None:
            conditions = np.zeros((len(contexts), self._columns), dtype=np.int64)
        if len(contexts) <= _ROWS:
            return self._run(session, contexts, conditions)
        logits = np.empty((len(contexts), self._artifact.vocabulary.size), dtype=np.float32)
        for start in range(0, len(contexts), _ROWS):
            part = slice(start, start + _ROWS)
            logits[part] = self._run(session, contexts[part], conditions[part])
        return logits

    def renew(self) -> None:
        """Open a new session at the next call; keep the old one open, because closing it would wait for its threads."""
        _abandoned.append(self._opened)
        self._lock = threading.Lock()
        self._opened = None

    def _run(self, session: Any, contexts: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            return run(session, contexts, conditions)
        except Exception as error:
            raise self._error("a graph that onnxruntime can run", str(error)) from error

    def _open(self) -> Any:
        try:
            session = open_session(self._artifact.graph)
        except Exception as error:
            raise self._error("a graph that onnxruntime can run", str(error)) from error
        return session

    def _error(self, expected: str, found: str) -> ArtifactError:
        path, advice = self._artifact.folder / artifact.GRAPH, "install another version of onnxruntime"
        return ArtifactError.at(path, expected=expected, found=found, advice=advice)


_abandoned: list[Any] = []
