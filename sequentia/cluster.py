"""Ray, started on this machine or found elsewhere; it comes with the extra ``[ray]``."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from .errors import MissingExtraError, OptionError

_SECONDS_TO_ANSWER: Final = 5


@contextmanager
def cluster(address: str | None = None, cores: int | None = None) -> Iterator[Any]:
    """Connect to a cluster, and leave it in the end.

    Args:
        address: of its head, ``host:port``, or ``auto`` for the one that this machine belongs to; without it, one is
            started here and ends with the block.
        cores: how many a cluster that is started here uses; all by default.

    Yields:
        The module ``ray``.

    Raises:
        MissingExtraError: if Ray is not installed.
        OptionError: if no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this needs the package {error.name!r}: install sequentia with its extra, sequentia[ray]", extra="ray"
        ) from error
    local = address is None
    try:
        if address is not None:
            _knock(address)
        ray.init(
            address="local" if local else address,
            num_cpus=cores if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(
            f"no Ray cluster answers at {address!r} ({' '.join(str(error).split())[:200]}): start one by `ray start "
            "--head`, or leave out the address",
            option="address",
            value=address,
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Connect to an address of the form host:port once; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
