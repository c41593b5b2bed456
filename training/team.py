"""The processes that take each step of a training together: one alone, or workers that hold a part of the text each.

All of them draw the same random numbers, so that they agree on each minibatch and on the units that it leaves out; each
then cuts the windows that lie in its own part of the text. A step is the one that a single process would take, but for
rounding, and the state is the same on all of them: the first keeps history and checkpoints.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .corpus import Tokens
from .kinds import Network

_MOST_PENDING: Final = 100
_SECONDS_PENDING: Final = 0.2
_STEPS_BETWEEN: Final = 10

Progress = tuple[int, int, float, float]
"""The steps done, the steps in all, the last loss in nats, the learning rate."""

Which = slice | NDArray[np.bool_]
"""Which of some rows a process has."""


class Team:
    """One process alone.

    Attributes:
        rank: which of the processes this is, from 0; the first keeps history and checkpoints.
        size: how many they are.
    """

    rank = 0
    size = 1

    def length(self, tokens: Tokens) -> int:
        """Return the number of tokens of all processes, of which these are this one's."""
        return len(tokens)

    def own(self, positions: NDArray[np.int64]) -> tuple[Which, NDArray[np.int64]]:
        """Return which positions in the text lie in this process's part, and where in that."""
        return slice(None), positions

    def merged(self, _which: Which, rows: Tensor, _count: int) -> Tensor:
        """Return all of so many rows, of which this process has some."""
        return rows

    def joined(self, network: Network, _contexts: Tensor) -> nn.Module:
        """Return a network whose gradients are the mean of all processes', and whose batch is theirs together.

        Args:
            network: one process's; its random states and its buffers are to be set after this.
            contexts: any batch that it takes.
        """
        return network

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of all processes' values."""
        return values

    def due(self, pending: int, seconds: float) -> bool:
        """Return whether to fetch the losses of so many steps, the last of which were fetched so long ago."""
        return pending >= _MOST_PENDING or seconds > _SECONDS_PENDING

    def stopping(self, _step: int, interrupted: bool) -> bool:
        """Return whether all processes are to stop after a step."""
        return interrupted


class Workers(Team):
    """The processes of PyTorch's process group, as one of them sees them.

    Args:
        device: what this one computes on.
        cuts: where each process's part of the text begins, and the end of the last, [size + 1]; see
            :func:`.corpus.shards`.
        tell: takes the progress, and returns whether to stop; the first process calls it now and then.
    """

    def __init__(self, device: torch.device, cuts: Sequence[int], tell: Callable[[Progress], bool]) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._begin, self._end, self._length = cuts[self.rank], cuts[self.rank + 1], cuts[-1]
        self._device, self._tell = device, tell
        self._stop, self._told = False, 0.0

    def length(self, _tokens: Tokens) -> int:
        """Return the number of tokens of all processes."""
        return self._length

    def own(self, positions: NDArray[np.int64]) -> tuple[Which, NDArray[np.int64]]:
        """Return which positions in the text lie in this process's part, and where in that."""
        which = (self._begin <= positions) & (positions < self._end)
        return which, positions[which] - self._begin

    def merged(self, which: Which, rows: Tensor, count: int) -> Tensor:
        """Return all of so many rows, each of which one process has."""
        merged = torch.zeros((count, *rows.shape[1:]), dtype=rows.dtype, device=rows.device)
        merged[torch.from_numpy(np.arange(count)[which]).to(rows.device)] = rows
        distributed.all_reduce(merged)
        return merged

    def joined(self, network: Network, contexts: Tensor) -> nn.Module:
        """Return a network whose gradients are the mean of all processes', and whose batch is theirs together."""
        for norm in network.norms():
            norm.moments = _moments
        own = [self._device] if self._device.type == "cuda" else None
        joined = DistributedDataParallel(
            network, device_ids=own, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        # After the first pass, gradients change places in the buffer, and with them the order of additions among three
        # workers or more: that pass is done here, so that a restart goes on bit for bit.
        joined(contexts).sum().backward()
        joined.zero_grad()
        return joined

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of all processes' values."""
        return _sum(values) / self.size

    def due(self, pending: int, _seconds: float) -> bool:
        """Return whether to fetch the losses, which all processes do at the same step."""
        return pending >= _STEPS_BETWEEN

    def stopping(self, step: int, _interrupted: bool) -> bool:
        """Return whether the first process was told to stop."""
        if step % _STEPS_BETWEEN:
            return False
        return bool(self.mean(torch.tensor(float(self._stop), device=self._device)) > 0)

    def report(self, *progress: *Progress) -> None:
        """Tell the progress now and then, and at the end."""
        last = progress[0] == progress[1]
        if self.rank == 0 and (last or time.monotonic() - self._told > _SECONDS_PENDING):
            self._stop = self._tell(progress)
            self._told = time.monotonic()


class _Sum(torch.autograd.Function):
    """The sum of all processes' values; a gradient flows from all results to all values."""

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
    """Return mean and unbiased variance, float32 [width], of all processes' features, float32 [batch, width]."""
    rows = _sum(torch.tensor(float(len(x)), device=x.device))
    total: Callable[[Tensor], Tensor] = _Sum.apply
    mean = total(x.sum(dim=0)) / rows
    return mean, total((x - mean).square().sum(dim=0)) / (rows - 1)
