"""The training loop: minibatches of windows, a history line a step, checkpoints that a killed run resumes from."""

import math
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sequentia.artifact import Metrics
from sequentia.errors import TrainingError
from sequentia.likelihood import Predict
from sequentia.windows import windows

from .checkpoint import CHECKPOINT, Checkpoint, RunRecord
from .corpus import Corpus, Tokens, read_corpus, split
from .evaluation import evaluate
from .networks import MLP, architecture_of, initialize
from .recipes import DEFAULT_RECIPE, Recipe, read_overrides, read_recipe

HISTORY: Final = "history.jsonl"
_MOST_PENDING: Final = 100
_SECONDS_PENDING: Final = 0.2

Report = Callable[[int, int, float, float], None]
"""Called every 0.2 seconds or 100 steps with the steps done, the steps in all, a loss in nats, the learning rate."""


def train(
    corpus: Path,
    folder: Path,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    report: Report | None = None,
) -> Checkpoint:
    """Train a network on a corpus.

    The run folder receives ``history.jsonl``, a line a step, and ``checkpoint.safetensors``. The same corpus, recipe
    and seed give the same bits on the same CPU and number of threads, also across an interruption.

    Args:
        corpus: a UTF-8 text file, one item a line.
        folder: the run folder; new or empty, unless the run is resumed.
        recipe: name or path of a recipe, by default ``names``; on a resumed run, the run's own.
        overrides: ``key=value`` changes to the recipe.
        device: ``auto``, ``cpu``, ``cuda`` or another name that PyTorch knows.
        resume: go on with the run in the folder.
        report: called with the progress.

    Returns:
        The final checkpoint, its metrics included.

    Raises:
        CorpusError: if the corpus cannot be used.
        RecipeError: if the recipe is malformed.
        TrainingError: if the folder is taken, the run to resume is another, or the loss is no longer finite.
        KeyboardInterrupt: after Ctrl-C, once the run is saved.
    """
    target = _device(device)
    if resume:
        checkpoint = Checkpoint.load(folder)
        record = checkpoint.record
        _check_same_recipe(record, recipe, overrides)
        data = read_corpus(corpus)
        if data.record.sha256 != record.corpus.sha256:
            raise TrainingError(
                f"{corpus} is not the text that the run in {folder} trains on "
                f"(sha256 {data.record.sha256}, not {record.corpus.sha256})"
            )
        if record.metrics is not None:
            return checkpoint
    else:
        if folder.exists() and not folder.is_dir():
            raise TrainingError(f"{folder} is a file; choose a folder for the run")
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise TrainingError(f"{folder} is not empty: go on with its run by --resume, or choose another folder")
        settings = read_recipe(recipe or DEFAULT_RECIPE, overrides)
        data = read_corpus(corpus)
        record = _new_record(recipe or DEFAULT_RECIPE, overrides, settings, data)
        checkpoint = None
    parts = split(data, record.recipe.split)
    del data  # the parts are copies: only one of the two need be in memory

    devices = [target] if target.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        run = _Run(record, target)
        if checkpoint is not None:
            run.restore(checkpoint)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            run.checkpoint(0).save(folder)
        run.go_on(parts.train, folder, report or (lambda *_: None))
    metrics = evaluate(parts, record.recipe.block_size, run.predict(), len(record.vocabulary) + 1)
    final = run.checkpoint((folder / HISTORY).stat().st_size, metrics)
    final.save(folder)
    return final


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a 0-based step."""
    rate: float = recipe.learning_rate / 10 ** sum(step >= drop for drop in recipe.learning_rate_drops)
    if step < recipe.warmup_steps:
        rate *= (step + 1) / recipe.warmup_steps
    if recipe.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * step / recipe.steps)) / 2
    return rate


class _Run:
    """What changes from step to step: parameters, optimizer, random states."""

    def __init__(self, record: RunRecord, device: torch.device) -> None:
        recipe = record.recipe
        self.record, self.device, self.step = record, device, 0
        self.generator = torch.Generator().manual_seed(recipe.seed)
        torch.manual_seed(recipe.seed)
        ids = len(record.vocabulary) + 1
        network = MLP(ids, recipe.block_size, architecture_of(recipe, ids), dropout=recipe.dropout)
        initialize(network, recipe, self.generator)
        self.network = network.to(device)
        self.average = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average_decay))  # type: ignore[no-untyped-call]
            if recipe.average_decay
            else None
        )
        optimizer = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[recipe.optimizer]
        self.optimizer = optimizer(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )

    def go_on(self, tokens: Tokens, folder: Path, report: Report) -> None:
        """Train to the last step, leaving a checkpoint there, or at the step where Ctrl-C came."""
        recipe = self.record.recipe
        self.network.train()
        with _interruption() as interrupted, _history(folder, self.record.history_bytes) as file:
            history = _History(file, recipe, self.step, report)
            while self.step < recipe.steps:
                positions = torch.randint(0, len(tokens), (recipe.batch_size,), generator=self.generator)
                history.add(self._step(tokens, positions.numpy()))
                saving = self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps
                if saving or interrupted.is_set():
                    history_bytes = history.save()
                    self._check_finite()
                    self.checkpoint(history_bytes).save(folder)
                if interrupted.is_set():
                    raise KeyboardInterrupt(f"saved at step {self.step} of {recipe.steps}")

    def _step(self, tokens: Tokens, positions: NDArray[np.int64]) -> Tensor:
        recipe = self.record.recipe
        contexts, targets = (torch.from_numpy(x).to(self.device) for x in windows(tokens, positions, recipe.block_size))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step)
        loss = functional.cross_entropy(self.network(contexts), targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        return loss.detach()

    def _check_finite(self) -> None:
        if not all(parameter.isfinite().all() for parameter in self.network.parameters()):
            raise TrainingError(
                f"a weight is no longer finite after step {self.step - 1}; try a lower learning_rate",
                step=self.step - 1,
            )

    def predict(self) -> Predict:
        """Return the trained network as a function from contexts to logits."""
        network = self.average or self.network
        network.eval()

        @torch.no_grad()
        def logits(contexts: NDArray[np.int64]) -> NDArray[np.float32]:
            result: NDArray[np.float32] = network(torch.from_numpy(contexts).to(self.device)).cpu().numpy()
            return result

        return logits

    def checkpoint(self, history_bytes: int, metrics: Metrics | None = None) -> Checkpoint:
        """Return the state as it is now."""
        named: dict[str, dict[str, Tensor]] = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "random": {"generator": self.generator.get_state(), "cpu": torch.get_rng_state()},
        }
        if self.device.type == "cuda":
            named["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        for i, state in self.optimizer.state_dict()["state"].items():
            named[f"optimizer.{i}"] = {key: value for key, value in state.items() if isinstance(value, Tensor)}
        record = msgspec.structs.replace(
            self.record, step=self.step, history_bytes=history_bytes, metrics=metrics, versions=_versions()
        )
        tensors = {f"{part}.{key}": value.contiguous() for part, state in named.items() for key, value in state.items()}
        return Checkpoint(record=record, tensors=tensors)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint.

        Raises:
            TrainingError: if it is not a state of this run.
        """
        try:
            self._restore(checkpoint)
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(f"the checkpoint is damaged: {str(error).splitlines()[0]}") from error

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step = checkpoint.record.step
        self.network.load_state_dict(checkpoint.part("network"))
        if self.average is not None:
            self.average.load_state_dict(checkpoint.part("average"))
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.part("optimizer").items():
            i, _, name = key.partition(".")
            states.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})
        random = checkpoint.part("random")
        self.generator.set_state(random["generator"])
        torch.set_rng_state(random["cpu"])
        if self.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.device)


class _History:
    """Losses on their way to ``history.jsonl``: fetched in groups, since each fetch waits for the device."""

    def __init__(self, file: BinaryIO, recipe: Recipe, step: int, report: Report) -> None:
        self._file, self._recipe, self._report = file, recipe, report
        self._step = step
        self._pending: list[Tensor] = []
        self._flushed = time.monotonic()

    def add(self, loss: Tensor) -> None:
        self._pending.append(loss)
        if len(self._pending) >= _MOST_PENDING or time.monotonic() - self._flushed > _SECONDS_PENDING:
            self.flush()

    def save(self) -> int:
        """Bring the file to the disk, as a checkpoint that counts on it does, and return its length in bytes."""
        self.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            TrainingError: naming the first step whose loss is not finite.
        """
        losses = torch.stack(self._pending).tolist() if self._pending else []
        for step, loss in enumerate(losses, start=self._step):
            rate = learning_rate(self._recipe, step)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} at step {step}, at learning rate {rate:g}; try a lower learning_rate",
                    step=step,
                )
            if step % self._recipe.log_every == 0:
                line = {"step": step, "loss": float(f"{loss:.9g}"), "learning_rate": rate}
                self._file.write(msgspec.json.encode(line) + b"\n")
        self._step += len(losses)
        self._pending.clear()
        self._file.flush()
        self._flushed = time.monotonic()
        if losses:
            self._report(self._step, self._recipe.steps, losses[-1], rate)


@contextmanager
def _history(folder: Path, length: int) -> Iterator[BinaryIO]:
    """Open the history, cut to the length it had at the checkpoint."""
    path = folder / HISTORY
    with path.open("ab") as file:
        if file.tell() < length:
            raise TrainingError(f"{path} is missing or shorter than the checkpoint says; the run cannot be resumed")
        file.truncate(length)
        yield file


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that it stops the run between two steps and not within one."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


def _new_record(recipe_name: str, overrides: Sequence[str], recipe: Recipe, corpus: Corpus) -> RunRecord:
    return RunRecord(
        recipe_name=recipe_name,
        overrides=list(overrides),
        recipe=recipe,
        corpus=corpus.record,
        vocabulary=list(corpus.vocabulary.symbols),
        max_length=corpus.max_length,
        step=0,
        history_bytes=0,
        metrics=None,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    packages = {package: version(package) for package in ("sequentia", "torch", "numpy")}
    return {"python": platform.python_version(), **packages}


def _check_same_recipe(record: RunRecord, recipe: str | None, overrides: Sequence[str]) -> None:
    base = record.recipe if recipe is None else read_recipe(recipe)
    asked = {**msgspec.structs.asdict(base), **read_overrides(overrides)}
    for key, value in msgspec.structs.asdict(record.recipe).items():
        if asked[key] != value and key not in {"summary", "source"}:
            raise TrainingError(
                f"the run to resume has {key} = {value!r}, not {asked[key]!r}; "
                f"{CHECKPOINT} keeps its recipe, so resume without --recipe and --set"
            )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        probe = torch.zeros(1, device=name)
        probe.cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TrainingError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return probe.device
