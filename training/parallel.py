"""Training by several workers, which Ray starts on this machine or on a cluster.

Each worker gets its part of the text from Ray's object store and computes its share of each step; see :mod:`.team`. If
a worker dies, Ray starts all workers again, and they go on from the last checkpoint.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import torch

from sequentia.cluster import cluster
from sequentia.errors import OptionError, SequentiaError, TrainingError

from .checkpoint import Checkpoint
from .descent import Descent, interruption, isolated
from .distillation import Teacher
from .members import read_members
from .mixture import Mixture
from .parts import Part
from .progress import Progress, Report
from .team import Team, Workers
from .threads import threads_for

_RAYS_OWN: Final = ".workers"
_MOST_FAILURES: Final = 10
_SECONDS_BETWEEN: Final = 0.2


class WorkerGroup:
    """Workers on the connected cluster.

    Args:
        ray: the module, connected.
        size: number of workers.
        device: the kind of device that each worker computes on; on ``cuda``, each has a GPU of its own.
    """

    def __init__(self, ray: Any, size: int, device: torch.device) -> None:
        self._ray, self._size, self._gpus = ray, size, device.type == "cuda"

    def run(self, part: Part, dev: Part, folder: Path, teachers: Sequence[Path], report: Report) -> None:
        """Train the run in a folder up to its end, or until Ctrl-C.

        Args:
            part: the names to train on.
            dev: names to measure the dev curve on.
            folder: a run folder with a checkpoint; all machines must see it.
            teachers: the folders of its teachers.
            report: called with the progress.

        Raises:
            TrainingError: if the loss is no longer finite, or the workers fail too often.
            KeyboardInterrupt: after Ctrl-C, once the run is saved.
        """
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer

        ray, folder = self._ray, folder.resolve()
        status = ray.remote(num_cpus=0)(_Status).remote()
        shards = part.shards(self._size)
        work = {
            "cuts": [0, *accumulate(shard.size for shard in shards)],
            "shards": [ray.put(shard) for shard in shards],
            "dev": dev,
            "folder": folder,
            "teachers": [path.resolve() for path in teachers],
            "status": status,
        }
        trainer = TorchTrainer(
            _work,
            train_loop_config=work,
            scaling_config=ScalingConfig(num_workers=self._size, use_gpu=self._gpus),
            run_config=RunConfig(
                storage_path=str(folder / _RAYS_OWN), failure_config=FailureConfig(max_failures=_MOST_FAILURES)
            ),
        )
        pool = ThreadPoolExecutor(1)  # in the main thread, Ray would catch Ctrl-C and abandon the workers
        try:
            with interruption() as interrupted:
                fitting = pool.submit(trainer.fit)
                running = True
                while running:
                    running = not wait([fitting], timeout=_SECONDS_BETWEEN).done
                    progress, end = ray.get(status.read.remote(stop=interrupted.is_set()))
                    if progress is not None:
                        report(progress)
            if end is not None:
                raise end
            fitting.result()
        except TrainingFailedError as error:
            raise TrainingError(
                f"the workers failed {_MOST_FAILURES + 1} times, the last time with: {_reason(error)}; {folder} holds "
                "the last checkpoint, go on from there by --resume"
            ) from error
        finally:
            pool.shutdown(wait=False)
            shutil.rmtree(folder / _RAYS_OWN, ignore_errors=True)


@contextmanager
def worker_group(size: int, address: str | None, device: torch.device) -> Iterator[WorkerGroup]:
    """Yield workers on the cluster at an address, or on one that is started here and ends with the block.

    Raises:
        MissingExtraError: if Ray is not installed.
        OptionError: if no cluster answers at the address, or it has too few cores or GPUs.
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
        yield WorkerGroup(ray, size, device)


class _Status:
    """An actor through which the first worker reports its progress and learns whether to stop."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._stop = False
        self._end: BaseException | None = None

    def report(self, progress: Progress) -> bool:
        self._progress = progress
        return self._stop

    def read(self, *, stop: bool) -> tuple[Progress | None, BaseException | None]:
        self._stop = stop
        latest, self._progress = self._progress, None
        return latest, self._end

    def end(self, end: BaseException) -> None:
        self._end = end

    def has_ended(self) -> bool:
        return self._end is not None


def take_part(
    team: Team, part: Part, dev: Part, folder: Path, teachers: Sequence[Path], device: torch.device, report: Report
) -> BaseException | None:
    """Train from the last checkpoint to the end as one of several workers.

    Args:
        team: the workers, as this one sees them.
        part: this worker's names.
        dev: names to measure the dev curve on, the same for all workers.
        folder: the run folder.
        teachers: the folders of its teachers.
        device: the device to compute on.
        report: called with the progress.

    Returns:
        The error that ended the run on all workers, which a restart would not help, or None.
    """
    checkpoint = Checkpoint.load(folder)
    recipe = checkpoint.record.recipe.descent
    assert recipe is not None  # noqa: S101 - only recipes with steps have workers
    with isolated(device), threads_for(checkpoint.record):
        descent = Descent(recipe, checkpoint.record, device, team)
        descent.restore(checkpoint)
        if teachers:
            members = read_members(teachers, checkpoint.record, part, device, team)
            weights = Mixture.load(teachers[0].parent).weights
            descent.teacher = Teacher(members, weights, recipe, part, checkpoint.record.max_length, device, team)
        try:
            descent.run(part, dev, folder, report)
        except (SequentiaError, KeyboardInterrupt) as end:  # raised on all workers at the same step
            return end
    return None


def _work(work: dict[str, Any]) -> None:
    """Train in a worker that Ray has started."""
    import ray
    from ray.train.torch import get_device

    status = work["status"]
    device = get_device()
    team = Workers(device, work["cuts"], lambda progress: bool(ray.get(status.report.remote(progress))))
    if ray.get(status.has_ended.remote()):  # restarted after the error below
        return
    part = ray.get(work["shards"][team.rank])
    try:
        end = take_part(team, part, work["dev"], work["folder"], work["teachers"], device, team.report)
    except (SequentiaError, OSError) as error:  # a full disk, or a folder that not all machines see
        ray.get(status.end.remote(error))
        raise
    if end is not None and team.rank == 0:
        ray.get(status.end.remote(end))


def _reason(error: Exception) -> str:
    """Return the last line of a worker's error."""
    failures = list(getattr(error, "worker_failures", {}).values())
    return str(failures[0] if failures else error).strip().splitlines()[-1]
