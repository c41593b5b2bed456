"""Connect to Ray on this machine or elsewhere. Ray comes with the extra ``[ray]``."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from .errors import MissingExtraError, OptionError, SequentiaError
from .options import check_int

_SECONDS: Final = 10


@contextmanager
def cluster(address: str | None = None, cores: int | None = None) -> Iterator[Any]:
    """Connect to a Ray cluster, and disconnect at the end of the block.

    Args:
        address: address of its head, ``host:port``, or ``auto`` for the cluster that this machine belongs to. Without
            an address, a cluster is started here and ends with the block.
        cores: number of cores of a cluster that is started here; all by default.

    Yields:
        The module ``ray``.

    Raises:
        MissingExtraError: if Ray is not installed.
        OptionError: if no cluster answers at the address, Ray cannot start here, or ``cores`` is out of its range.
    """
    import logging  # imported here because it takes milliseconds, as does socket below

    if cores is not None:
        check_int("cores", cores, least=1)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(str(error.name), "ray") from error
    local, handler = address is None, signal.getsignal(signal.SIGTERM)
    if address not in {None, "auto"}:
        _check_reachable(str(address))
    try:
        ray.init(
            address="local" if local else address,
            num_cpus=cores if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_started(error) if local else _no_cluster(str(address), error) from error
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has replaced the program's
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise OptionError unless something answers at an address; Ray would try for minutes."""
    import socket

    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _not_started(error: Exception) -> SequentiaError:
    """Return the error for a cluster that does not start on this machine."""
    reason = " ".join(str(error).split())[:300]
    if "AF_UNIX" in reason:  # a socket's path may have about 100 bytes, of which Ray needs 64
        return OptionError(
            f"Ray cannot start: the path of its folder for temporary files is too long for a socket ({reason}); set "
            "RAY_TMPDIR to a folder with a short path, such as /tmp",
            option="RAY_TMPDIR",
        )
    return OptionError(f"Ray cannot start on this machine: {reason}", option="address")


def _no_cluster(address: str, error: Exception) -> OptionError:
    return OptionError(
        f"no Ray cluster answers at {address!r} ({' '.join(str(error).split())[:200]}): start one by "
        "`ray start --head`, or leave out the address",
        option="address",
        value=address,
    )


def available_cores() -> int:
    """Return the number of this machine's processor cores that the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
