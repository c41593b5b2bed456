"""onnxruntime, which is imported here and nowhere else: a graph in, an inference session out."""

import os
from pathlib import Path
from typing import Any

_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def open_session(graph: bytes | Path) -> Any:
    """Return an ``onnxruntime.InferenceSession`` that runs a graph on one thread of the CPU.

    Since version 1.29 onnxruntime sends telemetry: it looks up a host, writes files below the home folder, and starts
    threads that keep a forked process from ending. It reads the variable ``ORT_DISABLE_TELEMETRY`` when it is imported,
    so the variable is set here first, unless the user has set it. Calling its function ``disable_telemetry_events``
    after the import is not enough.

    Args:
        graph: the contents of ``model.onnx``, or its path.

    Raises:
        Exception: whatever onnxruntime raises for a graph that it cannot run.
    """
    os.environ.setdefault(_TELEMETRY, "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several runs at once, rather than several threads in a run
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
