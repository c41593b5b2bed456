"""Gradient descent: minibatches of windows, a history line a step, checkpoints that a killed run resumes from."""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sequentia.errors import START_AGAIN, TrainingError

from .checkpoint import Checkpoint, RunRecord
from .counts import count_ngrams
from .dev_curve import DevCurve
from .distillation import Lesson, Teacher
from .history import DivergenceError, History, history_file
from .kinds import DescentRecipe, hidden
from .losses import cross_entropy
from .optimizers import OPTIMIZERS
from .parts import Part
from .progress import Report
from .team import Team

HISTORY: Final = "history.jsonl"
_RATIOS: Final = 500

WatchDev = Callable[[int, int, float], object]
"""Called with the number of steps done, the total, and the loss on the dev part in nats per symbol."""


def learning_rate(recipe: DescentRecipe, step: int) -> float:
    """Return the learning rate of a 0-based step."""
    rate: float = recipe.learning_rate / 10 ** sum(step >= drop for drop in recipe.learning_rate_drops)
    rate /= 1 + recipe.learning_rate_decay * recipe.batch_size * step
    if step < recipe.warmup_steps:
        rate *= (step + 1) / recipe.warmup_steps
    if recipe.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * step / recipe.steps)) / 2
    return rate


def device_named(name: str) -> torch.device:
    """Return a device that works here.

    Raises:
        TrainingError: if it does not.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        probe = torch.zeros(1, device=name)
        probe.cpu()
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return probe.device


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Leave PyTorch's global random states as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


class Descent:
    """What changes from step to step: parameters, optimizer, random states.

    It seeds PyTorch's global generators, from which dropout draws; to keep their state is the caller's part.

    Args:
        recipe: what to do.
        record: the run, as far as it came.
        device: where to do it.
        team: with whom.
    """

    teacher: Teacher | None = None
    """Whose lessons it takes, instead of learning from the text itself."""

    def __init__(
        self, recipe: DescentRecipe, record: RunRecord, device: torch.device, team: Team | None = None
    ) -> None:
        self.recipe, self.record, self.device, self.step = recipe, record, device, 0
        self.team = team or Team()
        self.generator = torch.Generator().manual_seed(recipe.seed)
        torch.default_generator.manual_seed(recipe.seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(recipe.seed)
        self.network = recipe.new_network(record.inputs, self.generator).to(device).train()
        self.average = (
            AveragedModel(
                self.network,
                multi_avg_fn=get_ema_multi_avg_fn(recipe.average_decay),  # type: ignore[no-untyped-call]
                use_buffers=True,
            )
            if recipe.average_decay
            else None
        )
        self.optimizer = OPTIMIZERS[recipe.optimizer](self.network.parameters(), recipe.weight_decay)
        self._norms = self.network.norms()
        self._joined = self.team.joined(
            self.network, torch.zeros((2, recipe.block_size), dtype=torch.int64, device=device)
        )
        self._all_windows: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self._lesson: tuple[int, Lesson] | None = None
        self._curve = DevCurve(recipe, record.inputs, self.team)

    def run(self, part: Part, dev: Part, folder: Path, report: Report, watch: WatchDev | None = None) -> None:
        """Train to the end, leaving a checkpoint there, or at the step where Ctrl-C came.

        The end is the last step, or, if the recipe has ``patience``, the step where that runs out or the loss is no
        longer finite. In the latter case, the network is left in its best state.

        Args:
            part: the names to train on.
            dev: names to measure the dev curve on; none for no curve.
            folder: the run folder.
            report: called with the progress.
            watch: called with each measurement, before a checkpoint that includes it is saved.
        """
        recipe, team = self.recipe, self.team
        ratios_every = recipe.log_every * math.ceil(recipe.steps / _RATIOS / recipe.log_every)
        place = folder / HISTORY if team.rank == 0 else Path(os.devnull)
        length = self.record.history_bytes if team.rank == 0 else 0
        with interruption() as interrupted, history_file(place, length) as file:
            history = History(file, recipe, self.step, team, report)
            while self.step < recipe.last_step and not self.ended:
                before = self._matrices() if self.step % ratios_every == 0 else None
                rate = learning_rate(recipe, self.step)
                loss = self.descend(part, rate)
                history.add(loss, rate, self._update_ratios(before) if before else None)
                stopping = team.stopping(self.step, interrupted.is_set())
                saving = stopping or self.step % recipe.checkpoint_every == 0
                last = self._noted(history, dev, watch, saving=saving)
                if last and self._curve.best is not None:
                    self._go_back()
                if (saving or last) and team.rank == 0:
                    self.checkpoint(history.save()).save(folder)
                if stopping:
                    raise KeyboardInterrupt(f"saved at step {self.step} of {recipe.last_step}")

    def _noted(self, history: History, dev: Part, watch: WatchDev | None, *, saving: bool) -> bool:
        """Bring the history up to date, measure if it is time, and return whether this step was the last.

        Raises:
            DivergenceError: if a number is no longer finite and there is no best state to return to.
        """

        def measure() -> float:
            network: Any = self.network if self.average is None else self.average.module
            loss = self._curve.measure(network, dev, self.device, self.step)
            if watch:
                watch(self.step, self.recipe.steps, loss)
            return loss

        last = self.step == self.recipe.last_step
        try:
            if dev.names and self._curve.due(self.step):
                history.flush(measure)
            elif saving or last or history.due:
                history.flush()
            if saving or last:
                self._check_finite()
        except DivergenceError:
            if self._curve.best is None:
                raise
            self.step = history.step
            return True
        return last or self._curve.stops

    @property
    def ended(self) -> bool:
        """Whether the run is over, and the network in its best state."""
        return self._curve.best is not None and self._curve.best.ended

    @property
    def best_step(self) -> int:
        """The number of steps after which the network was as it is now."""
        return self._curve.best.step if self.ended and self._curve.best else self.step

    def _go_back(self) -> None:
        """End the run: bring the network into its best state."""
        best = self._curve.best
        assert best is not None  # noqa: S101 - the caller has checked
        self.network.load_state_dict(self._curve.state)
        self._curve.best = msgspec.structs.replace(best, ended=True)

    def descend(self, part: Part, rate: float) -> Tensor:
        """Take a step at a learning rate, and return the loss before it, float32 []: the team's is the mean of all."""
        if self.teacher is not None:
            contexts, conditions, targets, weights = self._taught(self.teacher)
        elif self.recipe.batch_size:
            contexts, conditions, targets, weights = self._minibatch(part)
        else:
            contexts, conditions, targets, weights = self._everything(part)
        for norm in self._norms:  # the first steps' statistics are a plain mean, so that the start leaves no trace
            norm.momentum = max(norm.least_momentum, 1 / (self.step + 1))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.mixed_precision):
            logits = self._joined(contexts, conditions)
        if weights is not None:
            loss = functional.cross_entropy(logits.float(), targets, reduction="none") @ weights
        elif self.team.size == 1:
            loss = cross_entropy(logits, targets)
        else:  # parts of a minibatch differ in size, and may be empty
            loss = functional.cross_entropy(logits.float(), targets, reduction="sum") * (
                self.team.size / self.recipe.batch_size
            )
        penalty = self.recipe.penalty(self.network)
        if penalty is not None:
            loss = loss + penalty
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate)
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        return loss.detach()

    def _minibatch(self, part: Part) -> tuple[Tensor, Tensor, Tensor, None]:
        places = torch.randint(0, self.team.places(part), (self.recipe.batch_size,), generator=self.generator).numpy()
        which, own = self.team.own(places)
        contexts, conditions, targets = self.recipe.examples(part, own)
        conditions[self._hidden(len(places), conditions.shape[1])[which]] = 0
        inputs, said, following = (torch.from_numpy(each).to(self.device) for each in (contexts, conditions, targets))
        return inputs, said, following, None

    def _hidden(self, rows: int, columns: int) -> NDArray[np.bool_]:
        def random(shape: tuple[int, int]) -> NDArray[np.float64]:
            numbers: NDArray[np.float64] = torch.rand(shape, generator=self.generator, dtype=torch.float64).numpy()
            return numbers

        return hidden(random, rows, columns, self.recipe.condition_dropout)

    def _taught(self, teacher: Teacher) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return contexts of the teacher's current lesson, and as targets its probabilities."""
        number = self.step // teacher.steps_per_lesson
        if self._lesson is None or self._lesson[0] != number:
            self._lesson = None  # so that only one is in memory
            self._lesson = number, teacher.lesson(number)
        lesson = self._lesson[1]
        chosen = torch.randint(0, len(lesson.contexts), (self.recipe.batch_size,), generator=self.generator)
        chosen = chosen[self.team.rank :: self.team.size].to(self.device)
        return lesson.contexts[chosen], lesson.conditions[chosen], lesson.probabilities[chosen], None

    def _everything(self, part: Part) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return all windows, each different one once, with its share of them: the loss is the same, and quick."""
        columns = part.conditions.shape[1]
        if self._all_windows is None:
            ngrams, counts = count_ngrams(part, self.recipe.block_size + 1)
            rows = torch.from_numpy(ngrams).to(self.device, torch.int64)
            shares = counts * part.scale / self.team.places(part) * self.team.size
            weights = torch.from_numpy(shares).to(self.device, torch.float32)
            self._all_windows = rows[:, columns:-1], rows[:, :columns], rows[:, -1], weights
        contexts, conditions, targets, weights = self._all_windows
        # Processes have different numbers of windows. So that their generators stay alike, none of them is used.
        random = np.random.default_rng((self.recipe.seed, self.step, self.team.rank)).random
        mask = torch.from_numpy(hidden(random, len(conditions), columns, self.recipe.condition_dropout))
        return contexts, conditions.masked_fill(mask.to(self.device), 0), targets, weights

    def _matrices(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.network.named_parameters() if weight.ndim == 2}

    def _update_ratios(self, before: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return log10 of the deviation of each matrix's last update over that of its values."""
        after = dict(self.network.named_parameters())
        return {name: ((after[name].detach() - old).std() / old.std()).log10() for name, old in before.items()}

    def _check_finite(self) -> None:
        if not all(tensor.isfinite().all() for tensor in self.network.state_dict().values()):
            raise DivergenceError(
                f"a weight is no longer finite after step {self.step - 1}; try a lower learning_rate",
                step=self.step - 1,
            )

    def checkpoint(self, history_bytes: int) -> Checkpoint:
        """Return the state as it is now."""
        best = self._curve.best
        record = msgspec.structs.replace(self.record, step=self.step, history_bytes=history_bytes, best=best)
        if self.ended:  # the optimizer and the random states have gone on from the best state
            return Checkpoint.of(record, {"network": self.network.state_dict()})
        named: dict[str, dict[str, Tensor]] = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "random": {"generator": self.generator.get_state(), "cpu": torch.get_rng_state()},
            "best": self._curve.state,
        }
        if self.device.type == "cuda":
            named["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        named |= {f"optimizer.{i}": state for i, state in self.optimizer.states.items()}
        return Checkpoint.of(record, named)

    def prepare(self, part: Part) -> None:
        """Let the network see the names that it will learn from, before the first step."""
        self.network.prepare(part)
        if self.average is not None:
            self.average.module.load_state_dict(self.network.state_dict())

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the random weights of the network before the first step."""
        for module in (self.network, *([self.average.module] if self.average is not None else [])):
            module.load_state_dict(weights)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint.

        Raises:
            TrainingError: if it is not a state of this run.
        """
        try:
            self._restore(checkpoint)
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(f"the checkpoint is damaged: {str(error).splitlines()[0]}; {START_AGAIN}") from error

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step, self._curve.best = checkpoint.record.step, checkpoint.record.best
        self.network.load_state_dict(checkpoint.part("network"))
        if self.ended:
            return
        self._curve.state = {name: tensor.to(self.device) for name, tensor in checkpoint.part("best").items()}
        if self.average is not None:
            self.average.load_state_dict(checkpoint.part("average"))
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.part("optimizer").items():
            i, _, name = key.partition(".")
            states.setdefault(int(i), {})[name] = value
        self.optimizer.restore(states)
        random = checkpoint.part("random")
        self.generator.set_state(random["generator"])
        torch.set_rng_state(random["cpu"])
        if self.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.device)


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that it stops the run between two steps and not within one.

    SIGTERM and SIGHUP do the same where the program handles them, as the command line does: their handlers are called,
    and the KeyboardInterrupt that they raise waits for the end of the step.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(number, before[number])
        with suppress(KeyboardInterrupt):
            before[number](number, frame)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before: dict[int, Callable[[int, FrameType | None], Any]] = {
        number: handler for number in numbers if callable(handler := signal.getsignal(number))
    }
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, handler)
