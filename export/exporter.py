"""Export a training run as an artifact folder."""

from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from safetensors.numpy import save

from sequentia import artifact
from sequentia._files import printable_name
from sequentia.artifact import Artifact
from sequentia.config import FORMAT_VERSION, Config, Training
from sequentia.errors import TrainingError
from sequentia.training.checkpoint import CHECKPOINT, Checkpoint, RunRecord
from sequentia.training.kinds import predictor
from sequentia.training.parts import Part
from sequentia.training.threads import threads_for

from .card import model_card
from .parity import check_parity, names_of
from .precision import in_whole_numbers

_DRAWN: Final = 1 << 14  # symbols, to choose the bits on where an earlier version kept no names


def export(run: Path, folder: Path) -> Config:
    """Write the artifact of a finished run, after checking that it computes what the trained network does.

    Args:
        run: a run folder.
        folder: the artifact folder, which may be the run folder. The model takes its name.

    Returns:
        The artifact's configuration.

    Raises:
        TrainingError: if there is no finished run in the folder, or the artifact folder holds another one.
        ExportError: if the exported model differs from the trained one. Nothing is written then.
    """
    checkpoint = Checkpoint.load(run)
    record, recipe = checkpoint.record, checkpoint.record.recipe
    if record.metrics is None or record.samples is None:
        raise TrainingError(
            f"{run}: the run stopped at step {record.step}; finish it by `sequentia train CORPUS -o {run} --resume`"
        )
    in_place = folder.resolve() == run.resolve()
    if not in_place and (folder / CHECKPOINT).is_file():
        raise TrainingError(f"{folder} holds another training run; choose another folder for the model of {run}")
    network = checkpoint.network().eval()
    part = checkpoint.calibration
    if not part.names:
        predict, vocabulary = predictor(network.for_inference(), torch.device("cpu")), record.alphabet
        drawn = names_of(predict, vocabulary, network.inputs, record.max_length, _DRAWN)
        part = Part.of(drawn.astype(vocabulary.dtype))
    with threads_for(record):
        architecture, tensors, _ = in_whole_numbers(network, part)
    config = Config(
        format_version=FORMAT_VERSION,
        name=printable_name(folder),
        vocabulary=record.vocabulary,
        block_size=recipe.block_size,
        max_length=record.max_length,
        architecture=architecture,
        training=Training(
            corpus=record.corpus,
            split="all" if recipe.final == "all" else recipe.split,
            first_names=recipe.first_names,
            recipe=Path(record.recipe_name).name,
            overrides=[_public(each, record) for each in record.overrides],
            settings=_settings(record),
            seed=recipe.seed,
            versions=record.versions,
        ),
        metrics=record.metrics,
        samples=record.samples,
        files={},
        conditions=record.values,
        symbols=record.alphabet.kind,
    )
    contents = {artifact.WEIGHTS: save(tensors), artifact.GRAPH: artifact.graph_of(config, tensors)}
    check_parity(config, contents[artifact.WEIGHTS], contents[artifact.GRAPH])
    pictures = artifact.read_pictures(run)
    known = checkpoint.known
    if known is not None:
        contents[artifact.NOVELTY] = known.to_bytes()
    source = Artifact(config, config.alphabet, tensors, contents[artifact.GRAPH], known, folder)
    contents[artifact.CARD] = model_card(source, pictures).encode()
    return artifact.write(folder, config, contents, {} if in_place else pictures, own=in_place)


def _settings(record: RunRecord) -> dict[str, Any]:
    """Return the recipe of a run, and the models that it used."""
    settings = {
        key: [_public(each, record) for each in value] if isinstance(value, list) else _public(value, record)
        for key, value in msgspec.to_builtins(record.recipe).items()
    }
    models = record.models.values()
    if models:
        settings["models"] = [each.name for each in models]
        settings["models_sha256"] = [each.sha256 for each in models]
        settings["models_corpora"] = [each.corpus for each in models]
    return settings


def _public(value: Any, record: RunRecord) -> Any:
    """Return a value of a recipe with the names of models instead of their folders, which are nobody's business."""
    for folder, model in record.models.items():
        if isinstance(value, str) and folder != model.name:
            value = value.replace(folder, model.name)
    return value
