"""Training runs: their files, repeatability bit for bit, interruption, and evaluation."""

import importlib
import json
import math
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
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
from sequentia.export import export
from sequentia.generation import stream_names
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.training import evaluate_model, read_corpus, read_recipe, recipe_names, split, train
from sequentia.training.checkpoint import CHECKPOINT, Checkpoint
from sequentia.training.descent import HISTORY, learning_rate
from sequentia.training.diagnostics import DIAGNOSTICS
from sequentia.training.kinds import predictor
from sequentia.training.kinds.initialization import initialize
from sequentia.training.kinds.mlp import MLP, MLPRecipe
from sequentia.training.parts import Part
from sequentia.training.recipes import recipe_path
from sequentia.training.trainer import METRICS, _calibration
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
report = lambda *progress: print(*progress, flush=True)
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
    assert [line["step"] for line in history(tmp_path / "run")] == list(range(0, 60, 7))


# Evaluation


def test_losses_are_those_of_the_definition(trained: Path) -> None:
    """Recompute the losses, in nats per symbol, from the score of each name; unseen: not in the training part."""
    model = sequentia.load(trained)
    words = MOONS.read_text(encoding="utf-8").split()
    words += words[:40]
    path = trained.parent / "repeated.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    metrics = evaluate_model(model, path, "lecture")
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
        "gru": ["hidden_size=8"],
        "weighted": ["split=lecture", "hidden_sizes=[16, 8]"],
        "wide": ["hidden_sizes=[16]"],
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
        "bigram": {"descent.count_ngrams": 1},
        "bigram-counts": {"kinds.bigram.count_bigrams": 1},
        "ngram": {"kinds.ngram.count_ngrams": 1},
        "memory": {"kinds.ngram.count_ngrams": 1},
    }
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
    cosine = read_recipe("mlp", ["schedule=cosine", "warmup_steps=10", "steps=100", "learning_rate=1"])
    assert isinstance(cosine, MLPRecipe)
    rates = [learning_rate(cosine, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(0.98, abs=0.001)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("initialization", ["scaled", "lecun", "kaiming"])
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
        ("two thousand symbols", "\n".join(chr(0x4E00 + i) + chr(0x4E00 + (7 * i) % 2000) for i in range(2000))),
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
    train(corpus, folder, overrides=[*short, teachers, "teacher_weights=[]"])
    config = export(folder, folder)
    assert config.max_length == max(map(len, text.split("\n")))
    names = sequentia.generate(20, model=folder, seed=1)
    assert len(names) == 20
    assert all(names)
    assert np.isfinite(sequentia.load(folder).score(text.split("\n"))).all()
