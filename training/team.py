"""The processes that train together: a single one, or workers that each hold a part of the text.

All workers draw the same random numbers, so that they agree on each minibatch and on the units that dropout leaves out.
Each then cuts the windows in its own part of the text. A step is that of a single process except for rounding, and the
state is the same on all workers. The first worker writes the history and the checkpoints.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .kinds import Network
from .parts import Part
from .progress import Progress

_MOST_PENDING: Final = 100
_SECONDS_PENDING: Final = 0.2
_STEPS_BETWEEN: Final = 10

Which = slice | NDArray[np.bool_]
"""The rows that a process has, out of all."""


class Team:
    """A team of one process.

    Attributes:
        rank: this process's number, from 0; the first writes the history and the checkpoints.
        size: number of processes.
    """

    rank = 0
    size = 1

    def places(self, part: Part) -> int:
        """Return the number of places of all processes together; ``part`` is this process's; see :class:`.Part`."""
        return part.size

    def own(self, places: NDArray[np.int64]) -> tuple[Which, NDArray[np.int64]]:
        """Return which places of the text lie in this process's part, and which places they are there."""
        return slice(None), places

    def merged(self, _which: Which, rows: Tensor, _count: int) -> Tensor:
        """Return all ``count`` rows, of which this process has ``rows``."""
        return rows

    def joined(self, network: Network, _contexts: Tensor) -> nn.Module:
        """Return a network that averages its gradients over all processes and normalizes over their whole batch.

        Args:
            network: this process's network; set its random states and its buffers after this call.
            contexts: any batch that the network accepts.
        """
        return network

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of the values over all processes."""
        return values

    def from_first(self, value: float) -> float:
        """Return the first process's value."""
        return value

    def due(self, pending: int, seconds: float) -> bool:
        """Return whether to fetch the losses of ``pending`` steps, ``seconds`` after the last fetch."""
        return pending >= _MOST_PENDING or seconds > _SECONDS_PENDING

    def stopping(self, _step: int, interrupted: bool) -> bool:
        """Return whether all processes stop after a step."""
        return interrupted


class Workers(Team):
    """The processes of PyTorch's process group, as one of them sees them.

    Args:
        device: the device that this process computes on.
        cuts: the first place of each process's part of the text, and the end of the last, [size + 1].
        tell: called by the first process with the progress several times a second; returns whether to stop.
    """

    def __init__(self, device: torch.device, cuts: Sequence[int], tell: Callable[[Progress], bool]) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._begin, self._end, self._length = cuts[self.rank], cuts[self.rank + 1], cuts[-1]
        self._device, self._tell = device, tell
        self._stop, self._told = False, 0.0

    def places(self, _part: Part) -> int:
        """Return the number of places of all processes together."""
        return self._length

    def own(self, places: NDArray[np.int64]) -> tuple[Which, NDArray[np.int64]]:
        """Return which places of the text lie in this process's part, and which places they are there."""
        which = (self._begin <= places) & (places < self._end)
        return which, places[which] - self._begin

    def merged(self, which: Which, rows: Tensor, count: int) -> Tensor:
        """Return all ``count`` rows, each of which one process has."""
        merged = torch.zeros((count, *rows.shape[1:]), dtype=rows.dtype, device=rows.device)
        merged[torch.from_numpy(np.arange(count)[which]).to(rows.device)] = rows
        distributed.all_reduce(merged)
        return merged

    def joined(self, network: Network, contexts: Tensor) -> nn.Module:
        """Return a network that averages its gradients over all processes and normalizes over their whole batch."""
        for norm in network.norms():
            norm.moments = _moments
        own = [self._device] if self._device.type == "cuda" else None
        joined = DistributedDataParallel(
            network, device_ids=own, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        # The first pass reorders the gradients in the buffer, and so the order in which three or more workers add them.
        # Make that pass here, so that a restart goes on bit for bit.
        joined(contexts).sum().backward()
        joined.zero_grad()
        return joined

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of the values over all processes."""
        return _sum(values) / self.size

    def from_first(self, value: float) -> float:
        """Return the first process's value."""
        own = value if self.rank == 0 else 0.0
        return float(_sum(torch.tensor(own, dtype=torch.float64, device=self._device)))

    def due(self, pending: int, _seconds: float) -> bool:
        """Return whether to fetch the losses; all processes do so at the same step."""
        return pending >= _STEPS_BETWEEN

    def stopping(self, step: int, _interrupted: bool) -> bool:
        """Return whether the first process was told to stop."""
        if step % _STEPS_BETWEEN:
            return False
        return bool(self.mean(torch.tensor(float(self._stop), device=self._device)) > 0)

    def report(self, progress: Progress) -> None:
        """Pass on the progress several times a second, and at the end."""
        last = progress.step == progress.steps
        if self.rank == 0 and (last or time.monotonic() - self._told > _SECONDS_PENDING):
            self._stop = self._tell(progress)
            self._told = time.monotonic()


class _Sum(torch.autograd.Function):
    """The sum of the values over all processes; gradients flow from all results to all values."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        return _sum(values)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance, float32 [width], of the features of all processes, float32 [batch, width]."""
    rows = _sum(torch.tensor(float(len(x)), device=x.device))
    total: Callable[[Tensor], Tensor] = _Sum.apply
    mean = total(x.sum(dim=0)) / rows
    return mean, total((x - mean).square().sum(dim=0)) / (rows - 1)
