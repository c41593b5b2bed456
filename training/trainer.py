"""A training run, from corpus and recipe to the final checkpoint with its losses."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from sequentia._files import write_file
from sequentia.errors import TrainingError
from sequentia.likelihood import name_losses
from sequentia.vocabulary import Vocabulary

from .checkpoint import CHECKPOINT, Checkpoint, RunRecord, library_versions
from .corpus import Split, Tokens, read_corpus, split
from .counts import count_bigrams, count_ngrams
from .descent import HISTORY, Descent, Report, device_named, isolated
from .diagnostics import add_diagnostics
from .evaluation import evaluate, sample
from .networks import predictor
from .recipes import (
    DEFAULT_RECIPE,
    BigramCountsRecipe,
    DescentRecipe,
    NGramRecipe,
    Recipe,
    override,
    read_recipe,
)

METRICS: Final = "metrics.json"


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
    """Train a model on a corpus.

    The run folder receives ``checkpoint.safetensors`` and ``metrics.json`` with the losses and a report of samples;
    where there are steps, ``history.jsonl``, a line a step, and where there are hidden layers, ``diagnostics.json``.
    The same corpus, recipe and seed give the same bits on the same CPU and number of threads, also across an
    interruption.

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
    target = device_named(device)
    if resume:
        checkpoint = Checkpoint.load(folder)
        _check_same_recipe(checkpoint.record.recipe, recipe, overrides)
        record, data = checkpoint.record, read_corpus(corpus)
        if data.record.sha256 != record.corpus.sha256:
            raise TrainingError(
                f"{corpus} is not the text that the run in {folder} trains on "
                f"(sha256 {data.record.sha256}, not {record.corpus.sha256})"
            )
        if record.metrics is not None:
            write_file(folder / METRICS, _metrics_json(record))
            return checkpoint
    else:
        if folder.exists() and not folder.is_dir():
            raise TrainingError(f"{folder} is a file; choose a folder for the run")
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise TrainingError(f"{folder} is not empty: go on with its run by --resume, or choose another folder")
        settings, data = read_recipe(recipe or DEFAULT_RECIPE, overrides), read_corpus(corpus)
        record, checkpoint = RunRecord.start(recipe or DEFAULT_RECIPE, overrides, settings, data), None
    parts = split(data, record.recipe.split, record.recipe.first_names)
    del data  # the parts are copies: only one of the two need be in memory

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(record.recipe, DescentRecipe):
        trained = _descend(record.recipe, record, checkpoint, parts.train, folder, target, report or (lambda *_: None))
    else:
        trained = _count(record.recipe, record, parts.train)
    final = _finished(trained, parts, target)
    final.save(folder)
    write_file(folder / METRICS, _metrics_json(final.record))
    return final


def _descend(
    recipe: DescentRecipe,
    record: RunRecord,
    checkpoint: Checkpoint | None,
    tokens: Tokens,
    folder: Path,
    device: torch.device,
    report: Report,
) -> Checkpoint:
    with isolated(device):
        descent = Descent(recipe, record, device)
        if checkpoint is not None:
            descent.restore(checkpoint)
        else:
            descent.checkpoint(0).save(folder)
        if descent.step == 0:
            add_diagnostics(folder, 0, descent.network, tokens)
        descent.run(tokens, folder, report)
        add_diagnostics(folder, descent.step, descent.network, tokens)
        return descent.checkpoint((folder / HISTORY).stat().st_size)


def _count(recipe: BigramCountsRecipe | NGramRecipe, record: RunRecord, tokens: Tokens) -> Checkpoint:
    if isinstance(recipe, BigramCountsRecipe):
        counts = count_bigrams(tokens, len(record.vocabulary) + 1) + recipe.pseudocount
        weight = np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
        return Checkpoint.of(record, {"network": {"weight": torch.from_numpy(weight)}})
    ngrams, occurrences = count_ngrams(tokens, recipe.order)
    architecture = msgspec.structs.replace(record.architecture, parameters=len(ngrams))
    return Checkpoint.of(
        msgspec.structs.replace(record, architecture=architecture),
        {"network": {"ngrams": torch.from_numpy(ngrams), "counts": torch.from_numpy(occurrences)}},
    )


def _finished(trained: Checkpoint, parts: Split, device: torch.device) -> Checkpoint:
    """Return a checkpoint with the losses and samples of its network."""
    record = trained.record
    predict = predictor(trained.network().for_inference(), device)
    block_size, vocabulary = record.recipe.block_size, Vocabulary(record.vocabulary)
    metrics = evaluate(parts, lambda tokens: name_losses(tokens, block_size, predict, vocabulary.size))
    for part in metrics.__struct_fields__:
        loss = getattr(metrics, part)
        if loss is not None and not math.isfinite(loss.loss):
            raise TrainingError(f"the loss of the part {part} is {loss.loss}; try a lower learning_rate")
    samples = sample(parts, block_size, predict, vocabulary, record.max_length)
    final = msgspec.structs.replace(record, metrics=metrics, samples=samples, versions=library_versions())
    return Checkpoint(record=final, tensors=trained.tensors)


def _metrics_json(record: RunRecord) -> bytes:
    values = {**msgspec.to_builtins(record.metrics), "samples": msgspec.to_builtins(record.samples)}
    return msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n"


def _check_same_recipe(own: Recipe, recipe: str | None, overrides: Sequence[str]) -> None:
    asked = override(own, overrides) if recipe is None else read_recipe(recipe, overrides)
    own_values, asked_values = msgspec.to_builtins(own), msgspec.to_builtins(asked)
    for key, value in own_values.items():
        if asked_values.get(key) != value and key not in {"summary", "source"}:
            raise TrainingError(
                f"the run to resume has {key} = {value!r}, not {asked_values.get(key)!r}; "
                f"{CHECKPOINT} keeps its recipe, so resume without --recipe and --set"
            )
