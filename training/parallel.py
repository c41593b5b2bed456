"""Training by several workers: each computes its part of every minibatch, and their gradients are averaged.

Ray starts the workers, on this machine or on a cluster, and PyTorch's DistributedDataParallel averages. All draw the
same random numbers, so that they agree on the minibatch and on the units that it leaves out; each then cuts the windows
of its own part alone. A step is the step that one process would take, but for rounding, and the state is the same on
each of them: the first keeps history and checkpoints as one process does. If a worker dies, Ray starts all of them
again, and they go on from the last checkpoint.

The tokens, a byte or two a symbol, lie in Ray's object store: once on each machine, mapped into its workers' memory.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sequentia.cluster import cluster
from sequentia.errors import OptionError, SequentiaError, TrainingError

from .checkpoint import Checkpoint
from .corpus import Tokens
from .descent import Descent, Report, Team, interruption, isolated
from .distillation import Teacher
from .networks import BatchNorm
from .recipes import DescentRecipe, MLPRecipe

_RAYS_OWN: Final = ".workers"
_MOST_FAILURES: Final = 10
_STEPS_BETWEEN: Final = 10
_SECONDS_BETWEEN: Final = 0.2

Progress = tuple[int, int, float, float]


class Crew:
    """Workers for hire, on a cluster that is there.

    Args:
        ray: the module, connected.
        size: how many they are.
        device: what each computes on; of a GPU, each gets one of its own.
    """

    def __init__(self, ray: Any, size: int, device: torch.device) -> None:
        self._ray, self._size, self._gpus = ray, size, device.type == "cuda"

    def run(self, tokens: Tokens, folder: Path, teachers: Sequence[Path], report: Report) -> None:
        """Bring the run in a folder to its last step, or to the step where Ctrl-C came.

        Args:
            tokens: the training part.
            folder: a run folder with a checkpoint, which all machines must see.
            teachers: the run folders of its teachers.
            report: called with the progress.

        Raises:
            TrainingError: if the loss is no longer finite, or the workers fail again and again.
            KeyboardInterrupt: after Ctrl-C, once the run is saved.
        """
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer

        ray, folder = self._ray, folder.resolve()
        board = ray.remote(num_cpus=0)(_Board).remote()
        work = {
            "tokens": ray.put(tokens),
            "folder": folder,
            "teachers": [path.resolve() for path in teachers],
            "board": board,
        }
        trainer = TorchTrainer(
            _work,
            train_loop_config=work,
            scaling_config=ScalingConfig(num_workers=self._size, use_gpu=self._gpus),
            run_config=RunConfig(
                storage_path=str(folder / _RAYS_OWN), failure_config=FailureConfig(max_failures=_MOST_FAILURES)
            ),
        )
        pool = ThreadPoolExecutor(1)  # in this thread, Ray would catch Ctrl-C and drop the work
        try:
            with interruption() as interrupted:
                fitting = pool.submit(trainer.fit)
                going = True
                while going:
                    going = not wait([fitting], timeout=_SECONDS_BETWEEN).done
                    progress, end = ray.get(board.look.remote(stop=interrupted.is_set()))
                    if progress is not None:
                        report(*progress)
            if end is not None:
                raise end
            fitting.result()
        except TrainingFailedError as error:
            raise TrainingError(
                f"the workers failed {_MOST_FAILURES + 1} times, at last of: {_reason(error)}; {folder} holds the last "
                "checkpoint, go on from there by --resume"
            ) from error
        finally:
            pool.shutdown(wait=False)
            shutil.rmtree(folder / _RAYS_OWN, ignore_errors=True)


@contextmanager
def hired(size: int, address: str | None, device: torch.device) -> Iterator[Crew]:
    """Connect to a cluster, or start one here, that has room for some workers.

    Raises:
        MissingExtraError: if Ray is not installed.
        OptionError: if no cluster answers at the address, or it is too small.
    """
    with cluster(address, cores=size) as ray:
        kind, name = ("GPU", "GPUs") if device.type == "cuda" else ("CPU", "cores")
        there = int(ray.cluster_resources().get(kind, 0))
        if there < size:
            raise OptionError(
                f"{size} workers need as many {name}, and the cluster has {there}: ask for fewer workers"
                + (", or choose --device cpu" if kind == "GPU" else ""),
                option="workers",
                value=size,
            )
        yield Crew(ray, size, device)


class _Board:
    """Where the first worker says how far it came, and learns whether to stop."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._stop = False
        self._end: BaseException | None = None

    def tell(self, progress: Progress) -> bool:
        self._progress = progress
        return self._stop

    def look(self, *, stop: bool) -> tuple[Progress | None, BaseException | None]:
        self._stop = stop
        news, self._progress = self._progress, None
        return news, self._end

    def end(self, end: BaseException) -> None:
        self._end = end


class Workers(Team):
    """The workers, as one of them sees them; PyTorch's process group is theirs.

    Args:
        device: what this one computes on.
        tell: takes the progress, and returns whether to stop; the first worker calls it now and then.
    """

    def __init__(self, device: torch.device, tell: Callable[[Progress], bool]) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._device, self._tell = device, tell
        self._stop, self._told = False, 0.0

    def take_part(self, tokens: Tokens, folder: Path, teachers: Sequence[Path]) -> BaseException | None:
        """Go on from the last checkpoint to the last step, or to what ends the run, which no restart would help."""
        checkpoint = Checkpoint.load(folder)
        recipe = checkpoint.record.recipe
        assert isinstance(recipe, DescentRecipe)  # noqa: S101 - only those have steps
        with isolated(self._device):
            descent = Descent(recipe, checkpoint.record, self._device, self)
            descent.restore(checkpoint)
            if isinstance(recipe, MLPRecipe) and teachers:
                members = [Checkpoint.load(path) for path in teachers]
                descent.teacher = Teacher(members, recipe, tokens, checkpoint.record.max_length, self._device)
            try:
                descent.run(tokens, folder, self._report)
            except (SequentiaError, KeyboardInterrupt) as end:  # it comes to all workers, at the same step
                return end
        return None

    def joined(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are the mean of all workers', and whose batch is theirs together."""
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.moments = _moments
        # Without find_unused_parameters, gradients change places in the buffer after the first step, and with them the
        # order of additions among three workers or more: a restart would not be bit for bit.
        own = [self._device] if self._device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=own, forward_sync_buffers=False, find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of all workers' values."""
        return _sum(values) / self.size

    def due(self, pending: int, _seconds: float) -> bool:
        """Return whether to fetch the losses, which all workers do at the same step."""
        return pending >= _STEPS_BETWEEN

    def stopping(self, step: int, _interrupted: bool) -> bool:
        """Return whether the first worker was told to stop."""
        if step % _STEPS_BETWEEN:
            return False
        return bool(self.mean(torch.tensor(float(self._stop), device=self._device)) > 0)

    def _report(self, *progress: *Progress) -> None:
        last = progress[0] == progress[1]
        if self.rank == 0 and (last or time.monotonic() - self._told > _SECONDS_BETWEEN):
            self._stop = self._tell(progress)
            self._told = time.monotonic()


class _Sum(torch.autograd.Function):
    """The sum of all workers' values; a gradient flows from all results to all values."""

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
    """Return mean and unbiased variance, float32 [width], of all workers' features, float32 [batch, width]."""
    rows = _sum(torch.tensor(float(len(x)), device=x.device))
    total: Callable[[Tensor], Tensor] = _Sum.apply
    mean = total(x.sum(dim=0)) / rows
    return mean, total((x - mean).square().sum(dim=0)) / (rows - 1)


def _work(work: dict[str, Any]) -> None:
    """What Ray has each worker do."""
    import ray
    from ray.train.torch import get_device

    board = work["board"]
    team = Workers(get_device(), lambda progress: bool(ray.get(board.tell.remote(progress))))
    end = team.take_part(ray.get(work["tokens"]), work["folder"], work["teachers"])
    if end is not None and team.rank == 0:
        ray.get(board.end.remote(end))


def _reason(error: Exception) -> str:
    """Return the last line of what went wrong in a worker."""
    failures = list(getattr(error, "worker_failures", {}).values())
    return str(failures[0] if failures else error).strip().splitlines()[-1]
