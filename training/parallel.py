"""Training by several workers, whom Ray starts on this machine or on a cluster.

Each gets its part of the text from Ray's object store, and takes its share of the steps, see :mod:`.team`. If a worker
dies, Ray starts all of them again, and they go on from the last checkpoint.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch

from sequentia.cluster import cluster
from sequentia.errors import OptionError, SequentiaError, TrainingError

from .checkpoint import Checkpoint
from .corpus import Tokens, shards
from .descent import Descent, StepCallback, interruption, isolated
from .distillation import Teacher
from .team import Progress, Team, Workers

_RAYS_OWN: Final = ".workers"
_MOST_FAILURES: Final = 10
_SECONDS_BETWEEN: Final = 0.2


class Crew:
    """Workers for hire, on a cluster that is there.

    Args:
        ray: the module, connected.
        size: how many they are.
        device: what each computes on; of a GPU, each gets one of its own.
    """

    def __init__(self, ray: Any, size: int, device: torch.device) -> None:
        self._ray, self._size, self._gpus = ray, size, device.type == "cuda"

    def run(self, tokens: Tokens, folder: Path, teachers: Sequence[Path], report: StepCallback) -> None:
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
        cuts = shards(tokens, self._size)
        work = {
            "cuts": cuts,
            "shards": [ray.put(tokens[begin:end]) for begin, end in pairwise(cuts)],
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

    def over(self) -> bool:
        return self._end is not None


def take_part(
    team: Team, tokens: Tokens, folder: Path, teachers: Sequence[Path], device: torch.device, report: StepCallback
) -> BaseException | None:
    """Go on from the last checkpoint to the last step, or to what ends the run, which no restart would help.

    Args:
        team: the workers, as this one sees them.
        tokens: its part of the text.
        folder: the run folder.
        teachers: the run folders of its teachers.
        device: where to compute.
        report: called with the progress.
    """
    checkpoint = Checkpoint.load(folder)
    recipe = checkpoint.record.recipe.descent
    assert recipe is not None  # noqa: S101 - only those with steps are shared
    with isolated(device):
        descent = Descent(recipe, checkpoint.record, device, team)
        descent.restore(checkpoint)
        if teachers:
            members = [Checkpoint.load(path) for path in teachers]
            descent.teacher = Teacher(members, recipe, tokens, checkpoint.record.max_length, device, team)
        try:
            descent.run(tokens, folder, report)
        except (SequentiaError, KeyboardInterrupt) as end:  # it comes to all workers, at the same step
            return end
    return None


def _work(work: dict[str, Any]) -> None:
    """What Ray has each worker do."""
    import ray
    from ray.train.torch import get_device

    board = work["board"]
    device = get_device()
    team = Workers(device, work["cuts"], lambda progress: bool(ray.get(board.tell.remote(progress))))
    if ray.get(board.over.remote()):  # an error that no restart helps: the one below
        return
    tokens = ray.get(work["shards"][team.rank])
    try:
        end = take_part(team, tokens, work["folder"], work["teachers"], device, team.report)
    except (SequentiaError, OSError) as error:  # a full disk, or a folder that not all machines see
        ray.get(board.end.remote(error))
        raise
    if end is not None and team.rank == 0:
        ray.get(board.end.remote(end))


def _reason(error: Exception) -> str:
    """Return the last line of what went wrong in a worker."""
    failures = list(getattr(error, "worker_failures", {}).values())
    return str(failures[0] if failures else error).strip().splitlines()[-1]
