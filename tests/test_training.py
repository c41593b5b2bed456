"""Training runs: their files, repeatability bit for bit, interruption, and evaluation."""

import importlib
import json
import math
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional

import sequentia
from sequentia import CorpusError, RecipeError, TrainingError, VocabularyError
from sequentia.arithmetic import Inputs
from sequentia.columns import ColumnRequest
from sequentia.export import export
from sequentia.generation import stream_names
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.training import evaluate_model, read_corpus, read_recipe, recipe_names, split, train
from sequentia.training.checkpoint import CHECKPOINT, Checkpoint, RunRecord
from sequentia.training.descent import HISTORY, learning_rate
from sequentia.training.dev_curve import names_to_measure
from sequentia.training.diagnostics import DIAGNOSTICS
from sequentia.training.kinds import predictor
from sequentia.training.kinds.initialization import initialize
from sequentia.training.kinds.mlp import MLP, MLPRecipe
from sequentia.training.optimizers import OPTIMIZERS
from sequentia.training.parts import Part
from sequentia.training.recipes import recipe_path
from sequentia.training.runs import METRICS, _calibration
from sequentia.training.threads import threads_for
from sequentia.vocabulary import BOUNDARY

from . import labelled
from .conftest import MOONS, SMALL

ADAMW = (
    *SMALL,
    "optimizer=adamw",
    "learning_rate=0.01",
    "dropout=0.3",
    "average_decay=0.9",
    "schedule=cosine",
)

PARTS = ("train", "dev", "test", "dev_unseen", "test_unseen")


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines()]


def test_a_run_leaves_its_history_and_result(trained: Path) -> None:
    lines = history(trained)
    assert [line["step"] for line in lines] == list(range(60))
    assert all(line["learning_rate"] == 0.1 for line in lines)
    assert np.mean([line["loss"] for line in lines[-10:]]) < lines[0]["loss"]
    record = Checkpoint.load(trained).record
    assert record.step == 60
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert math.isfinite(record.metrics.dev.loss)


def test_the_same_seed_gives_the_same_bits(trained: Path, tmp_path: Path) -> None:
    again = train(MOONS, tmp_path / "again", recipe="mlp", overrides=SMALL)
    other = train(MOONS, tmp_path / "other", recipe="mlp", overrides=[*SMALL, "seed=1"])
    weights = Checkpoint.load(trained).weights
    assert all(torch.equal(weights[name], tensor) for name, tensor in again.weights.items())
    assert not torch.equal(weights["output.weight"], other.weights["output.weight"])


def test_the_global_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.get_rng_state()
    train(MOONS, tmp_path / "run", recipe="mlp", overrides=ADAMW)
    assert torch.equal(torch.get_rng_state(), expected)


RUN = """
import sys
from pathlib import Path
from sequentia.training import train
corpus, folder, *overrides = sys.argv[1:]
report = lambda progress: print(progress.step, progress.phase, flush=True)
train(Path(corpus), Path(folder), recipe="mlp", overrides=overrides, report=report)
"""


@pytest.mark.parametrize(
    ("signal_number", "extra"),
    [(signal.SIGKILL, ("direct=2",)), (signal.SIGINT, ("batch_norm=all", "dropout=0", "optimizer=sgd"))],
)
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, signal_number: int, extra: tuple[str, ...]) -> None:
    overrides = (*ADAMW, "steps=3000", "checkpoint_every=50", *extra)
    undisturbed = train(MOONS, tmp_path / "undisturbed", recipe="mlp", overrides=overrides)
    folder = tmp_path / "disturbed"
    command = [sys.executable, "-c", RUN, str(MOONS), str(folder), *overrides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline().split()[0]) < 300:
            pass
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=120)
    step = Checkpoint.load(folder).record.step
    assert 0 < step < 3000
    if signal_number == signal.SIGINT:
        assert f"KeyboardInterrupt: saved at step {step} of 3000" in errors
    resumed = train(MOONS, folder, resume=True)
    assert resumed.record.metrics == undisturbed.record.metrics
    assert resumed.tensors.keys() == undisturbed.tensors.keys()
    for name, tensor in undisturbed.tensors.items():
        assert torch.equal(resumed.tensors[name], tensor), name
    for name in (HISTORY, DIAGNOSTICS, METRICS):
        assert (folder / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_resuming_a_finished_run_changes_nothing(run: Path) -> None:
    before, metrics = (run / CHECKPOINT).read_bytes(), (run / METRICS).read_bytes()
    (run / METRICS).unlink()  # as if killed just before it was written
    assert train(MOONS, run, resume=True).record.step == 60
    assert (run / CHECKPOINT).read_bytes() == before
    assert (run / METRICS).read_bytes() == metrics


def test_a_run_killed_after_its_last_step_is_finished(run: Path) -> None:
    checkpoint = Checkpoint.load(run)
    metrics = (run / METRICS).read_bytes()
    record = msgspec.structs.replace(checkpoint.record, metrics=None, samples=None)
    Checkpoint(record=record, tensors=checkpoint.tensors).save(run)
    (run / METRICS).unlink()
    assert train(MOONS, run, resume=True).record.metrics == checkpoint.record.metrics
    assert (run / METRICS).read_bytes() == metrics


def test_a_model_too_large_for_an_artifact(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"a model of [\d,]+ parameters may take [\d,]+ bytes, and an artifact may hold"
    ):
        train(MOONS, tmp_path / "run", recipe="mlp", overrides=["hidden_sizes=[65536, 65536]"])
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_resumed(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training run here"):
        train(MOONS, tmp_path / "nothing", resume=True)
    with pytest.raises(TrainingError, match="is not empty"):
        train(MOONS, run)
    with pytest.raises(TrainingError, match=r"the run to resume has steps = 60, not 70"):
        train(MOONS, run, recipe="mlp", overrides=[*SMALL, "steps=70"], resume=True)
    with pytest.raises(TrainingError, match=r"the run to resume has seed = 2147483647, not 5"):
        train(MOONS, run, overrides=["seed=5"], resume=True)
    data = (run / CHECKPOINT).read_bytes()
    other_step = data.replace(b'step\\":60,', b'step\\":59,')
    assert other_step != data
    for damaged in (data[: len(data) // 2], data[:-1] + bytes([data[-1] ^ 1]), b"", other_step):
        (run / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(
            TrainingError, match=r"checkpoint\.safetensors is damaged.*; restore it from a copy, or start"
        ):
            train(MOONS, run, resume=True)
    with pytest.raises(TrainingError, match="is a file"):
        train(MOONS, MOONS)


def unfinished(folder: Path) -> None:
    """Turn a finished run back to step 40."""
    checkpoint = Checkpoint.load(folder)
    sizes = [len(line) + 1 for line in (folder / HISTORY).read_bytes().splitlines()]
    record = {name: getattr(checkpoint.record, name) for name in checkpoint.record.__struct_fields__}
    record.update(step=40, metrics=None, history_bytes=sum(sizes[:40]))
    Checkpoint(record=type(checkpoint.record)(**record), tensors=checkpoint.tensors).save(folder)


def test_resuming_with_other_columns(tmp_path: Path) -> None:
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    run, asked = tmp_path / "run", labelled.columns(weight=True)
    train(table, run, recipe="mlp", overrides=SMALL, columns=asked)
    finished = Checkpoint.load(run)
    unfinished(run)
    for other in (labelled.columns(1, weight=True), labelled.columns(), labelled.columns(0)):
        with pytest.raises(TrainingError, match=r"reads other columns of .* go on without the options that choose"):
            train(table, run, columns=other, resume=True)
    assert train(table, run, resume=True).record.corpus == finished.record.corpus
    unfinished(run)
    assert train(table, run, resume=True, columns=asked).record.corpus == finished.record.corpus


def test_resuming_with_what_is_not_the_runs_own(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("anna\nbob\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="is not the text that the run in"):
        train(other, run, resume=True)
    unfinished(run)
    with pytest.raises(TrainingError, match="is not the text that the run in"):
        train(other, run, resume=True)
    checkpoint = Checkpoint.load(run)
    Checkpoint(record=checkpoint.record, tensors={"network.output.bias": torch.zeros(3)}).save(run)
    with pytest.raises(TrainingError, match="the checkpoint is damaged"):
        train(MOONS, run, resume=True)
    checkpoint.save(run)
    (run / HISTORY).write_bytes(b"")
    with pytest.raises(TrainingError, match="missing or shorter than the checkpoint says"):
        train(MOONS, run, resume=True)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) at step (\d+), .*lower learning_rate"
    ) as caught:
        train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "learning_rate=1e38"])
    step = caught.value.step
    assert step is not None
    assert 0 < step < 60
    lines = history(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(len(lines)))
    assert 0 < len(lines) <= step
    assert all(torch.isfinite(t.float()).all() for t in Checkpoint.load(tmp_path / "run").weights.values())


def test_nothing_is_written_for_a_run_that_cannot_start(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(CorpusError):
        train(tmp_path / "nothing.txt", folder)
    with pytest.raises(RecipeError):
        train(MOONS, folder, overrides=["stps=1"])
    for device in ("warp", "meta"):
        with pytest.raises(TrainingError, match=f"device '{device}' cannot be used"):
            train(MOONS, folder, device=device)
    assert not folder.exists()


def test_the_last_step_is_saved_whatever_the_interval(tmp_path: Path) -> None:
    train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "checkpoint_every=1000", "log_every=7"])
    lines = history(tmp_path / "run")
    assert [line["step"] for line in lines if "dev" not in line or line["step"] % 7 == 0] == list(range(0, 60, 7))
    assert lines[-1]["step"] == 59, "measured on dev"


# The dev curve


def dev_curve(folder: Path) -> dict[int, float]:
    """Return the losses on dev, by the number of steps done."""
    return {line["step"] + 1: line["dev"] for line in history(folder) if "dev" in line}


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("mlp", (*ADAMW, "batch_norm=all", "dropout=0", "log_every=50")),
        ("mlp", (*SMALL, "batch_norm=hidden")),
        ("gru", ("hidden_size=8", "embedding_dim=4", "steps=60", "batch_size=8")),
        ("bigram", ("steps=60",)),
    ],
)
def test_the_dev_curve_ends_at_the_loss_of_the_result(tmp_path: Path, recipe: str, overrides: tuple[str, ...]) -> None:
    record = train(MOONS, tmp_path / "run", recipe=recipe, overrides=overrides).record
    curve = dev_curve(tmp_path / "run")
    assert list(curve) == sorted({1, *(math.ceil(60 * part / 36) for part in range(1, 37))})
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert curve[60] == pytest.approx(record.metrics.dev.loss, abs=1e-5)
    assert curve[1] > curve[60]
    assert record.best is None


def test_measuring_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*ADAMW, "batch_norm=all", "dropout=0")
    measured = train(MOONS, tmp_path / "measured", recipe="mlp", overrides=overrides)
    monkeypatch.setattr("sequentia.training.runs.names_to_measure", lambda dev, _recipe: dev.first(0))
    other = train(MOONS, tmp_path / "other", recipe="mlp", overrides=overrides)
    assert dev_curve(tmp_path / "measured")
    assert not dev_curve(tmp_path / "other")
    for name, tensor in other.tensors.items():
        assert torch.equal(tensor, measured.tensors[name]), name
    plain = [{key: value for key, value in line.items() if key != "dev"} for line in history(tmp_path / "measured")]
    assert plain == history(tmp_path / "other")


def test_no_dev_part_no_dev_curve(tmp_path: Path) -> None:
    record = train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "split=all", "patience=1"]).record
    assert not dev_curve(tmp_path / "run")
    assert (record.step, record.best) == (60, None)


def test_few_names_are_measured_where_training_is_short() -> None:
    names = Part.of(np.tile(np.array([1, 2, 0], dtype=np.uint8), 10_000))
    for overrides, most in (((), 2777), (("steps=10",), 1024), (("steps=1000", "batch_size=32768"), 8192)):
        chosen = names_to_measure(names, read_recipe("mlp", overrides))  # type: ignore[arg-type]
        assert most - 3 < chosen.windows <= most
    few = names.first(100)
    assert names_to_measure(few, read_recipe("mlp")) is few  # type: ignore[arg-type]


OVERFITTING = (*SMALL, "steps=3000", "learning_rate=0.3", "hidden_sizes=[64]", "patience=3")


def test_early_stopping_returns_the_best_state(tmp_path: Path) -> None:
    stopped = train(MOONS, tmp_path / "stopped", recipe="mlp", overrides=OVERFITTING)
    record, curve = stopped.record, dev_curve(tmp_path / "stopped")
    assert record.best is not None
    assert record.best.step == min(curve, key=curve.__getitem__) < record.step < 3000
    assert list(curve)[-4] == record.best.step, "three more measurements"
    assert list(curve)[-1] == record.step
    assert record.best.dev == pytest.approx(curve[record.best.step])
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert record.metrics.dev.loss == pytest.approx(record.best.dev, abs=1e-5)
    again = train(
        MOONS, tmp_path / "again", recipe="mlp", overrides=[*OVERFITTING, "patience=0", f"steps={record.best.step}"]
    )
    for name, tensor in again.weights.items():
        assert torch.equal(tensor, stopped.weights[name]), name


def test_patience_returns_the_best_state_after_the_last_step_too(tmp_path: Path) -> None:
    overrides = [*OVERFITTING, "patience=99", "average_decay=0.9"]
    record = train(MOONS, tmp_path / "run", recipe="mlp", overrides=overrides).record
    curve = dev_curve(tmp_path / "run")
    assert record.best is not None
    assert record.best.step == min(curve, key=curve.__getitem__) < record.step == 3000
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert record.metrics.dev.loss == pytest.approx(min(curve.values()), abs=1e-5) != curve[3000]
    assert export(tmp_path / "run", tmp_path / "run").metrics == record.metrics


# From step 20 on, the weight decay of the rising rate multiplies the weights by numbers below -1.
DIVERGING = (*SMALL, "weight_decay=1", "learning_rate=100", "warmup_steps=1000", "steps=1000", "checkpoint_every=7")


def test_a_run_that_diverges_returns_its_best_state(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="try a lower learning_rate"):
        train(MOONS, tmp_path / "error", recipe="mlp", overrides=DIVERGING)
    found = train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*DIVERGING, "patience=50"])
    record, curve = found.record, dev_curve(tmp_path / "run")
    assert record.best is not None
    assert record.best.step == min(curve, key=curve.__getitem__)
    assert record.best.step < record.step == len(history(tmp_path / "run")) < 1000
    assert record.metrics is not None
    assert record.metrics.dev is not None
    assert record.metrics.dev.loss == pytest.approx(record.best.dev, abs=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        OVERFITTING,
        (*DIVERGING, "patience=50"),
        (*OVERFITTING, "average_decay=0.9"),
        (*OVERFITTING, "hidden_sizes=[80,6]", "tied=true", "embedding_dropout=0.1", "mixed_precision=true"),
    ],
)
def test_a_run_with_patience_goes_on_bit_for_bit(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """Stop it again and again, before and after the best state, and compare with one that was not stopped."""
    undisturbed = train(MOONS, tmp_path / "undisturbed", recipe="mlp", overrides=overrides)
    folder, interval = tmp_path / "disturbed", max(1, undisturbed.record.step // 5)

    class Stop(Exception):  # noqa: N818
        pass

    def stopping_after(step: int) -> Callable[[int, int, float], None]:
        def watch(done: int, _steps: int, _loss: float) -> None:
            if done >= step:
                raise Stop

        return watch

    extra = () if "checkpoint_every=7" in overrides else ("checkpoint_every=20",)
    for number in range(1, 5):
        with pytest.raises(Stop):
            train(
                MOONS,
                folder,
                recipe=None if folder.exists() else "mlp",
                overrides=() if folder.exists() else [*overrides, *extra],
                resume=folder.exists(),
                watch_dev=stopping_after(number * interval),
            )
    resumed = train(MOONS, folder, resume=True)
    assert resumed.record.best == undisturbed.record.best
    assert resumed.record.step == undisturbed.record.step
    assert resumed.record.metrics == undisturbed.record.metrics
    assert resumed.tensors.keys() == undisturbed.tensors.keys()
    for name, tensor in undisturbed.tensors.items():
        assert torch.equal(resumed.tensors[name], tensor), name
    for name in (HISTORY, DIAGNOSTICS, METRICS):
        assert (folder / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    record = msgspec.structs.replace(resumed.record, metrics=None, samples=None)  # as if killed at its end
    Checkpoint(record=record, tensors=resumed.tensors).save(folder)
    assert train(MOONS, folder, resume=True).record.metrics == undisturbed.record.metrics


# Evaluation


def test_losses_are_those_of_the_definition(tmp_path: Path) -> None:
    """Recompute the losses, in nats per symbol, from the score of each name; unseen: not in the training part."""
    words = MOONS.read_text(encoding="utf-8").split()
    words += words[:40]
    path = tmp_path / "repeated.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    train(path, tmp_path / "run", recipe="bigram-counts")
    export(tmp_path / "run", tmp_path / "run")
    model = sequentia.load(tmp_path / "run")
    metrics = evaluate_model(model, path)
    random.Random(42).shuffle(words)
    first, second = int(0.8 * len(words)), int(0.9 * len(words))
    parts = {"train": words[:first], "dev": words[first:second], "test": words[second:]}
    for part in ("dev", "test"):
        parts[f"{part}_unseen"] = [word for word in parts[part] if word not in parts["train"]]
    for part, names in parts.items():
        loss = getattr(metrics, part)
        windows = sum(len(name) + 1 for name in names)
        assert (loss.names, loss.windows) == (len(names), windows)
        assert loss.loss == pytest.approx(-model.score(names).sum() / windows, rel=1e-12)
    assert 0 < len(parts["dev_unseen"]) < len(parts["dev"])


def test_another_list_is_measured_as_a_whole(trained: Path, tmp_path: Path) -> None:
    """It has no parts and nothing unseen; a split that is asked for cuts it, but says nothing of what was seen."""
    model, path = sequentia.load(trained), tmp_path / "others.csv"
    names = ["titan", "rhea", "nereid", "oberon", "titan"] * 4
    path.write_text("moon,size\n" + "\n".join(f"{name},{size}" for size, name in enumerate(names)), encoding="utf-8")
    found = evaluate_model(model, path, columns=ColumnRequest("moon"))
    assert found.parts.keys() == {"names"}
    assert found.names is not None
    assert found.names.loss == pytest.approx(
        -model.score(names).sum() / sum(len(name) + 1 for name in names), rel=1e-12
    )
    assert (found.names.names, found.warning) == (20, "")
    assert evaluate_model(model, path, "lecture", columns=ColumnRequest("moon")).parts.keys() == {
        "train",
        "dev",
        "test",
    }
    assert evaluate_model(model, MOONS, "dedup").parts.keys() == {"train", "dev", "test"}
    path = tmp_path / "one.txt"
    path.write_text("titan\n", encoding="utf-8")
    assert evaluate_model(model, path).parts.keys() == {"names"}


def test_the_artifact_has_the_losses_of_the_network(trained: Path) -> None:
    model = sequentia.load(trained)
    measured = evaluate_model(model, MOONS)
    assert measured.parts.keys() == model.config.metrics.parts.keys() == {*PARTS}
    for part, ours in measured.parts.items():
        stored = model.config.metrics.parts[part]
        assert ours.loss == pytest.approx(stored.loss, abs=0.001 if part == "dev" else 0.002)
        assert (ours.names, ours.windows) == (stored.names, stored.windows)


def test_the_report_of_samples(trained: Path, run: Path) -> None:
    """Draw the names again from the network, and count by hand which part of the split holds them.

    Those of the artifact, whose logits are rounded to whole numbers, are nearly the same.
    """
    words = MOONS.read_text(encoding="utf-8").split()
    random.Random(42).shuffle(words)
    first = int(0.8 * len(words))
    model, checkpoint = sequentia.load(trained), Checkpoint.load(run)
    block_size, vocabulary = model.config.block_size, model.vocabulary
    cache = LogitCache(predictor(checkpoint.network().eval(), torch.device("cpu")), block_size, vocabulary.size)
    plan = Plan.of({"seed": 0}, vocabulary, model.config.max_length)
    names = [
        name for batch in stream_names(Methods(cache), vocabulary, plan, 10_000) for name in vocabulary.decode(batch)
    ]
    same = [ours == other for ours, other in zip(names, model.generate(10_000, seed=0), strict=True)]
    assert 0.8 < np.mean(same) < 1
    in_train = sum(name in set(words[:first]) for name in names)
    in_others = sum(name in set(words[first:]) - set(words[:first]) for name in names)
    samples = model.config.samples
    assert (samples.seed, samples.names) == (0, 10_000)
    assert samples.in_train == pytest.approx(in_train / 10_000)
    assert samples.in_dev_test == pytest.approx(in_others / 10_000)
    assert samples.in_train + samples.in_dev_test + samples.new == pytest.approx(1)
    assert samples.mean_length == pytest.approx(np.mean([len(name) for name in names]))
    expected = Counter(names).most_common(10)
    assert samples.most_frequent == dict(expected)
    record = checkpoint.record
    assert record.metrics is not None
    stored = json.loads((run / METRICS).read_text(encoding="utf-8"))
    assert stored == {**msgspec.to_builtins(record.metrics), "samples": msgspec.to_builtins(samples)}


def test_an_empty_part_has_no_loss(trained: Path) -> None:
    metrics = evaluate_model(sequentia.load(trained), MOONS, "all")
    assert metrics.train is not None
    assert metrics.train.names == len(read_corpus(MOONS))
    assert (metrics.dev, metrics.test, metrics.dev_unseen, metrics.test_unseen) == (None,) * 4


def test_a_corpus_of_another_alphabet(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("ana\nžofie\n", encoding="utf-8")
    with pytest.raises(VocabularyError, match="holds 'ž', which model 'moons' does not know"):
        evaluate_model(sequentia.load(trained), path)
    path.write_text("Ana\nLuna\n", encoding="utf-8")
    with pytest.raises(VocabularyError, match="it knows all of them in lower case: write the list so"):
        evaluate_model(sequentia.load(trained), path)
    path.write_text("smith\n", encoding="utf-8")
    with pytest.raises(VocabularyError, match="it knows all of them in another case, such as 'H': write the list so"):
        evaluate_model(sequentia.load("surnames"), path)


# Parts


REPEATED = {
    "large batches": ("fast", ["hidden_sizes=[32]", "steps=20"]),
    "small batches": ("mlp", [*ADAMW, "steps=20"]),
    "normalised": ("mlp-batchnorm", ["hidden_sizes=[20]", "steps=20"]),
    "recurrent": ("gru", ["hidden_size=8", "embedding_dim=6", "block_size=5", "steps=10"]),
    "n-grams": ("ngram", []),
}


@pytest.mark.parametrize("columns", [0, 2])
@pytest.mark.parametrize("kind", REPEATED)
def test_repeating_lines_gives_the_same_model_as_the_weight_does(kind: str, columns: int, tmp_path: Path) -> None:
    """Bit for bit."""
    recipe, overrides = REPEATED[kind]
    rows = [row._replace(times=max(row.times, 1)) for row in labelled.rows()]
    weighted, repeated = trained_on_weights_and_repetitions(rows, columns, recipe, overrides, tmp_path)
    assert weighted.weights.keys() == repeated.weights.keys()
    for name, tensor in repeated.weights.items():
        assert torch.equal(weighted.weights[name], tensor), name
    for name, tensor in repeated.part("random").items():
        assert torch.equal(weighted.part("random")[name], tensor), name
    ours, theirs = weighted.record.metrics, repeated.record.metrics
    assert ours is not None
    assert theirs is not None
    assert ours.train is not None
    assert theirs.train is not None
    assert (ours.train.names, theirs.train.names) == (len(rows), sum(row.times for row in rows))
    assert ours.train.weighted == pytest.approx(theirs.train.loss, rel=1e-9)
    assert ours.train.weighted != pytest.approx(ours.train.loss, rel=1e-6)
    assert theirs.train.weighted is None


def test_repeating_lines_gives_the_same_counts_as_the_weight_does(tmp_path: Path) -> None:
    weighted, repeated = trained_on_weights_and_repetitions(labelled.rows(), 0, "bigram-counts", [], tmp_path)
    assert torch.equal(weighted.weights["weight"], repeated.weights["weight"])


@pytest.mark.parametrize("columns", [0, 2])
def test_repeating_lines_gives_the_same_steps_over_everything(columns: int, tmp_path: Path) -> None:
    """All windows at once have shares of one, which are rounded."""
    recipe, overrides = ("mlp", [*SMALL, "batch_size=0", "steps=20"]) if columns else ("bigram", ["steps=20"])
    weighted, repeated = trained_on_weights_and_repetitions(labelled.rows(), columns, recipe, overrides, tmp_path)
    for name, tensor in repeated.weights.items():
        torch.testing.assert_close(weighted.weights[name], tensor, atol=1e-6, rtol=0)


def trained_on_weights_and_repetitions(
    rows: list[labelled.Row], columns: int, recipe: str, overrides: Sequence[str], folder: Path
) -> tuple[Checkpoint, Checkpoint]:
    """Train on the same list once with weights, and once with each row as often as it counts."""
    lines = [row for row in rows for _ in range(row.times)]
    places = labelled.write(folder / "weights.csv", rows), labelled.write(folder / "lines.csv", lines)
    overrides = [*overrides, "split=all", "epochs=0"] if read_recipe(recipe).steps else ["split=all"]
    weighted, repeated = (
        train(place, folder / place.stem, recipe=recipe, overrides=overrides, columns=asked)
        for place, asked in zip(
            places, (labelled.columns(columns, weight=True), labelled.columns(columns)), strict=True
        )
    )
    assert weighted.record.vocabulary == repeated.record.vocabulary
    return weighted, repeated


@pytest.mark.parametrize(("recipe", "overrides"), [*REPEATED.values(), ("bigram", ["steps=5"]), ("bigram-counts", [])])
def test_a_power_of_zero_makes_all_weights_the_same(recipe: str, overrides: list[str], tmp_path: Path) -> None:
    table = labelled.write(tmp_path / "moons.csv", labelled.rows())
    columns = 0 if recipe.startswith("bigram") else 2
    asked = labelled.columns(columns, weight=True)
    ignored = train(table, tmp_path / "ignored", recipe=recipe, overrides=[*overrides, "weight_power=0"], columns=asked)
    without = train(table, tmp_path / "none", recipe=recipe, overrides=overrides, columns=labelled.columns(columns))
    for name, tensor in without.tensors.items():
        assert torch.equal(ignored.tensors[name], tensor), name
    assert ignored.record.metrics == without.record.metrics
    assert ignored.record.samples == without.record.samples


@pytest.mark.parametrize("recipe", recipe_names())
def test_training_sees_the_training_part_alone(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe counts, cuts into windows and teaches nothing but the training part."""
    train_part = split(read_corpus(MOONS), "lecture").train
    seen: Counter[str] = Counter()

    def watch(module: str, name: str) -> None:
        place: Any = importlib.import_module(f"sequentia.training.{module}")
        original = getattr(place, name)

        def recording(tokens: Any, *arguments: Any) -> Any:
            assert np.array_equal(tokens.tokens if isinstance(tokens, Part) else tokens, train_part.tokens)
            seen[f"{module}.{name}"] += 1
            return original(tokens, *arguments)

        monkeypatch.setattr(place, name, recording)

    watch("kinds.base", "windows")
    watch("descent", "count_ngrams")
    watch("distillation", "windows")
    watch("kinds.bigram", "count_bigrams")
    watch("kinds.ngram", "count_ngrams")
    watch("kinds.gru", "whole_names")
    kind = read_recipe(recipe)
    overrides = ["steps=3"] if kind.steps else []
    overrides += {
        "auto": ["minutes=0.02", "final=measured"],
        "gru": ["hidden_size=8"],
        "weighted": ["split=lecture", "hidden_sizes=[16, 8]"],
        "wide": ["hidden_sizes=[16]"],
        "words": ["symbols=characters"],
        "words-gru": ["symbols=characters", "hidden_size=8"],
        "bengio": ["symbols=characters"],
        "bengio-direct": ["symbols=characters"],
    }.get(recipe, [])
    if kind.teachers:
        (tmp_path / "short.toml").write_text(
            'summary = "Short."\nblock_size = 3\nembedding_dim = 4\nhidden_sizes = [8]\n'
            "learning_rate = 0.01\nbatch_size = 8\nsteps = 3\n",
            encoding="utf-8",
        )
        teachers = [str(tmp_path / "short.toml"), "ngram"]
        overrides += [f"teachers={json.dumps(teachers)}", "teacher_weights=[]", "hidden_sizes=[16]"]
    train(MOONS, tmp_path / "run", recipe=recipe, overrides=overrides)
    expected = {
        "names": {"kinds.base.windows": 3, "distillation.windows": 1, "kinds.ngram.count_ngrams": 1},
        "gru": {"kinds.gru.whole_names": 3},
        "words-gru": {"kinds.gru.whole_names": 3},
        "bigram": {"descent.count_ngrams": 1},
        "bigram-counts": {"kinds.bigram.count_bigrams": 1},
        "ngram": {"kinds.ngram.count_ngrams": 1},
        "memory": {"kinds.ngram.count_ngrams": 1},
    }
    if recipe == "auto":
        assert seen.keys() == {"kinds.base.windows", "kinds.ngram.count_ngrams", "distillation.windows"}
    else:
        assert seen == expected.get(recipe, {"kinds.base.windows": 3})


def test_the_first_names_alone(tmp_path: Path) -> None:
    """The alphabet, and so the size of the network, stay those of the whole corpus."""
    overrides = ["split=all", "first_names=2", "batch_size=0", "steps=4"]
    train(MOONS, tmp_path / "run", recipe="bigram", overrides=overrides)
    words = MOONS.read_text(encoding="utf-8").split()
    record = Checkpoint.load(tmp_path / "run").record
    assert record.vocabulary == sorted(set("".join(words)))
    assert record.metrics is not None
    assert record.metrics.train is not None
    assert (record.metrics.train.names, record.metrics.train.windows) == (2, sum(len(word) + 1 for word in words[:2]))
    export(tmp_path / "run", tmp_path / "run")
    found = evaluate_model(sequentia.load(tmp_path / "run"), MOONS).train
    assert found is not None
    assert found.loss == pytest.approx(record.metrics.train.loss, abs=0.003), "17 predictions alone"
    assert (found.names, found.windows) == (record.metrics.train.names, record.metrics.train.windows)
    everything = split(read_corpus(MOONS), "lecture")
    cut = split(read_corpus(MOONS), "lecture", first_names=10**6)
    assert np.array_equal(cut.train.tokens, everything.train.tokens)
    assert np.array_equal(split(read_corpus(MOONS), "lecture", first_names=3).dev.tokens, everything.dev.tokens)


def test_a_list_without_a_dev_part_is_exported(tmp_path: Path) -> None:
    """How many bits the numbers need is then judged on names of the training part."""
    record = train(MOONS, tmp_path / "run", recipe="mlp", overrides=[*SMALL, "split=all"]).record
    assert record.metrics is not None
    assert record.metrics.dev is None
    assert record.metrics.train is not None
    export(tmp_path / "run", tmp_path / "run")
    found = evaluate_model(sequentia.load(tmp_path / "run"), MOONS).train
    assert found is not None
    assert found.loss == pytest.approx(record.metrics.train.loss, abs=0.001)


def test_a_run_keeps_names_to_judge_by(trained: Path) -> None:
    """They are those of the dev part, whole; a longer list's are cut between two names."""
    parts = split(read_corpus(MOONS), "lecture")
    assert np.array_equal(Checkpoint.load(trained).calibration.tokens, parts.dev.tokens)
    many = np.tile(parts.dev.tokens, 1 + (1 << 15) // parts.dev.windows)
    kept = _calibration(replace(parts, dev=Part.of(many))).tokens
    assert (1 << 15) - 20 < len(kept) <= 1 << 15 < len(many)
    assert kept[-1] == BOUNDARY
    assert np.array_equal(kept, many[: len(kept)])
    long = np.array([*[1] * (1 << 16), BOUNDARY], dtype=np.uint8)
    assert np.array_equal(_calibration(replace(parts, dev=Part.of(long))).tokens, long), "one name at least"


def test_schedules() -> None:
    drops = read_recipe("mlp", ["learning_rate_drops=[10, 20]"])
    assert isinstance(drops, MLPRecipe)
    assert [learning_rate(drops, step) for step in (0, 9, 10, 19, 20)] == [0.1, 0.1, 0.01, 0.01, 0.001]
    paper = read_recipe("mlp", ["learning_rate=0.032", "learning_rate_decay=1e-3", "batch_size=50"])
    assert isinstance(paper, MLPRecipe)
    assert [learning_rate(paper, step) for step in (0, 20, 60)] == [0.032, 0.016, 0.008]
    cosine = read_recipe("mlp", ["schedule=cosine", "warmup_steps=10", "steps=100", "learning_rate=1"])
    assert isinstance(cosine, MLPRecipe)
    rates = [learning_rate(cosine, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(0.98, abs=0.001)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("initialization", ["scaled", "lecun", "kaiming", "small"])
def test_a_scaled_network_starts_near_the_uniform_distribution(initialization: str, activation: str) -> None:
    overrides = [f"initialization={initialization}", f"activation={activation}", "hidden_sizes=[100, 50]"]
    recipe = read_recipe("mlp", overrides)
    assert isinstance(recipe, MLPRecipe)
    inputs = Inputs(3, 27)
    network = MLP(inputs, recipe.structure(inputs))
    initialize(network, recipe, torch.Generator().manual_seed(1))
    contexts = torch.randint(0, 27, (500, 3), generator=torch.Generator().manual_seed(2))
    targets = torch.randint(0, 27, (500,), generator=torch.Generator().manual_seed(3))
    assert functional.cross_entropy(network(contexts), targets).item() == pytest.approx(math.log(27), abs=0.02)
    assert sum(p.numel() for p in network.parameters()) == recipe.structure(inputs).parameters


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "Czech streets",
            "Dlouhá\nKrátká\nNa Příkopě\nV Jámě\nUhelný trh\nŽitná\nJečná\nŠtěpánská\nVodičkova\nCeletná\n",
        ),
        ("single letters", "\n".join("abcdefghijklmnopqrstuvwxyz")),
        ("one very long name", "anna\nbob\neve\n" + "x" * 200 + "\nzoe\nmia\nleo\nida\numa\nkai\n"),
        ("Chinese", "王小明\n李娜\n张伟\n刘洋\n陈静\n杨帆\n赵磊\n黄丽\n周杰\n吴敏\n"),
        ("dots and apostrophes", "d'Arc\nO'Hara\nSt. John\n...\n.\nJ. R.\nL'Hôpital\na.b\nc'\n'\n"),
        ("three names", "ana\neva\nida\n"),
        ("two names", "ana\neva\n"),
        ("six hundred symbols", "\n".join(chr(0x4E00 + i) + chr(0x4E00 + (7 * i) % 600) for i in range(600))),
    ],
)
def test_lists_of_every_kind(tmp_path: Path, name: str, text: str) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(text, encoding="utf-8")
    folder = tmp_path / name
    (tmp_path / "short.toml").write_text(
        recipe_path("wide").read_text(encoding="utf-8").replace("10_000", "20").replace("1024", "16"), encoding="utf-8"
    )
    teachers = f"teachers={json.dumps([str(tmp_path / 'short.toml'), 'memory'])}"
    short = ["steps=20", "batch_size=16", "warmup_steps=2", "hidden_sizes=[16]"]
    train(corpus, folder, recipe="names", overrides=[*short, teachers, "teacher_weights=[]"])
    config = export(folder, folder)
    assert config.max_length == max(map(len, text.split("\n")))
    names = sequentia.generate(20, model=folder, seed=1)
    assert len(names) == 20
    assert all(names)
    assert np.isfinite(sequentia.load(folder).score(text.split("\n"))).all()
    train(corpus, tmp_path / "auto", overrides=["minutes=0.01"])
    export(tmp_path / "auto", tmp_path / "auto")
    assert len(sequentia.generate(20, model=tmp_path / "auto", seed=1)) == 20


@pytest.mark.parametrize(
    ("name", "theirs"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)], ids=["sgd", "adamw"]
)
def test_the_optimizers_are_those_of_pytorch(name: str, theirs: type[torch.optim.Optimizer]) -> None:
    """Bit for bit, also after a restart, and where a parameter gets its first gradient late."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((30, 20), (20,), (7, 3))]
    ours, others = ([torch.nn.Parameter(tensor.clone()) for tensor in start] for _ in range(2))
    optimizer = OPTIMIZERS[name](ours, 0.1)
    other = theirs(others, weight_decay=0.1, fused=True)  # type: ignore[call-arg]
    for step in range(20):
        for group in other.param_groups:
            group["lr"] = 0.1 / (step + 1)
        for number, (parameter, twin) in enumerate(zip(ours, others, strict=True)):
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad, twin.grad = (None, None) if number == 1 and step < 5 else (gradient, gradient.clone())
        optimizer.step(0.1 / (step + 1))
        other.step()
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in ours)
        if step == 10:
            states, optimizer = optimizer.states, OPTIMIZERS[name](ours, 0.1)
            optimizer.restore(states)
    assert all(torch.equal(parameter, twin) for parameter, twin in zip(ours, others, strict=True))
    kept = {number: state for number, state in other.state_dict()["state"].items() if "step" in state}
    assert optimizer.states.keys() == kept.keys()
    for number, state in kept.items():
        assert optimizer.states[number].keys() == state.keys()
        assert all(torch.equal(optimizer.states[number][key], value) for key, value in state.items())


IMPORTS = """
import sys
from pathlib import Path
from sequentia.export import export
from sequentia.training import plot, train
corpus, folder, recipe, *overrides = sys.argv[1:]
train(Path(corpus), Path(folder), recipe=recipe, overrides=overrides)
plot(Path(folder))
export(Path(folder), Path(folder))
print(*sorted({"optuna", "pandas", "ray", "sympy", "torch._dynamo"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("recipe", "overrides"), [("fast", ("average_decay=0.9", "steps=2")), ("gru", ("hidden_size=8", "steps=2"))]
)
def test_what_takes_long_to_import_and_is_not_needed(tmp_path: Path, recipe: str, overrides: Sequence[str]) -> None:
    command = [sys.executable, "-c", IMPORTS, str(MOONS), str(tmp_path / "run"), recipe, *overrides]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize(
    ("recipe", "overrides", "threads"),
    [
        ("fast", (), 1),
        ("mlp", (), 1),
        ("deep-batchnorm", (), 1),
        ("bigram", (), 1),
        ("ngram", (), 1),
        ("wide", (), 3),
        ("weighted", (), 3),
        ("gru", (), 3),
        ("names", (), 3),
        ("mlp", ("batch_size=0",), 3),
        ("fast", ('teachers=["wide"]',), 3),
    ],
)
def test_small_steps_use_one_thread(recipe: str, overrides: Sequence[str], threads: int) -> None:
    data = read_corpus(MOONS)
    record = RunRecord.start(recipe, overrides, read_recipe(recipe, overrides), data)
    torch.set_num_threads(3)
    try:
        with threads_for(record):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 3
        with pytest.raises(KeyError), threads_for(record):
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_a_small_run_keeps_to_one_thread(tmp_path: Path) -> None:
    """Training, measuring and exporting never start PyTorch's other threads, which would do nothing but wait."""
    torch.set_num_threads(3)
    seen = set()
    try:
        run = train(
            MOONS,
            tmp_path / "run",
            recipe="mlp",
            overrides=SMALL,
            report=lambda *_: seen.add(torch.get_num_threads()),
            watch_dev=lambda *_: seen.add(torch.get_num_threads()),
        )
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    assert seen == {1}
    again = train(MOONS, tmp_path / "again", recipe="mlp", overrides=SMALL)
    assert all(torch.equal(run.tensors[name], tensor) for name, tensor in again.tensors.items())
