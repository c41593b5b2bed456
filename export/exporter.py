"""Export a training run as an artifact folder."""

from pathlib import Path

import msgspec
import torch
from safetensors.numpy import save

from sequentia import artifact
from sequentia._files import printable_name
from sequentia.artifact import Artifact
from sequentia.config import FORMAT_VERSION, Config, Training
from sequentia.errors import TrainingError
from sequentia.generation import stream_names
from sequentia.logit_cache import LogitCache
from sequentia.options import Plan
from sequentia.training.checkpoint import Checkpoint, RunRecord
from sequentia.training.corpus import Tokens
from sequentia.training.kinds import Network, predictor
from sequentia.vocabulary import Vocabulary

from .card import model_card
from .parity import check_parity
from .precision import in_whole_numbers

_DRAWN = 2000


def export(run: Path, folder: Path) -> Config:
    """Write the artifact of a finished run, after checking that it computes what the trained network does.

    Args:
        run: a run folder.
        folder: the artifact folder, which may be the run folder. The model takes its name.

    Returns:
        The artifact's configuration.

    Raises:
        TrainingError: if there is no finished run in the folder.
        ExportError: if the exported model differs from the trained one. Nothing is written then.
    """
    checkpoint = Checkpoint.load(run)
    record, recipe = checkpoint.record, checkpoint.record.recipe
    if record.metrics is None or record.samples is None:
        raise TrainingError(
            f"{run}: the run stopped at step {record.step}; finish it by `sequentia train CORPUS -o {run} --resume`"
        )
    network = checkpoint.network().eval()
    tokens = checkpoint.calibration
    architecture, tensors = in_whole_numbers(network, tokens if len(tokens) else _drawn(network, record))
    config = Config(
        format_version=FORMAT_VERSION,
        name=printable_name(folder),
        vocabulary=record.vocabulary,
        block_size=recipe.block_size,
        max_length=record.max_length,
        architecture=architecture,
        training=Training(
            corpus=record.corpus,
            split=recipe.split,
            first_names=recipe.first_names,
            recipe=Path(record.recipe_name).name,
            overrides=record.overrides,
            settings=msgspec.to_builtins(recipe),
            seed=recipe.seed,
            versions=record.versions,
        ),
        metrics=record.metrics,
        samples=record.samples,
        files={},
    )
    contents = {artifact.WEIGHTS: save(tensors), artifact.GRAPH: artifact.graph_of(config, tensors)}
    check_parity(config, contents[artifact.WEIGHTS], contents[artifact.GRAPH])
    pictures = artifact.read_pictures(run)
    known = checkpoint.known
    if known is not None:
        contents[artifact.NOVELTY] = known.to_bytes()
    source = Artifact(config, Vocabulary(config.vocabulary), tensors, contents[artifact.GRAPH], known, folder)
    contents[artifact.CARD] = model_card(source, pictures).encode()
    return artifact.write(folder, config, contents, {} if folder.resolve() == run.resolve() else pictures)


def _drawn(network: Network, record: RunRecord) -> Tokens:
    """Return names that a network draws, as tokens, in place of names that it was measured on."""
    vocabulary = Vocabulary(record.vocabulary)
    predict = predictor(network.for_inference(), torch.device("cpu"))
    cache = LogitCache(predict, network.block_size, network.ids, remember=False)
    plan = Plan.of({"seed": 0}, vocabulary, record.max_length)
    names = stream_names(cache, vocabulary, plan, _DRAWN)
    return vocabulary.tokens(name for batch in names for name in vocabulary.decode(batch)).astype(vocabulary.dtype)
