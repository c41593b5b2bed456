"""The state of a training run in one file: its tensors and, as JSON in the header, everything else.

A single file can be replaced atomically, so a killed run finds a complete checkpoint: the last one or the one before.
A safetensors file cannot hold code.
"""

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import sequentia
from sequentia._files import write_file
from sequentia._json import decode_json
from sequentia.architectures import Architecture
from sequentia.artifact import MAX_BYTES, WEIGHTS
from sequentia.config import CorpusRecord, Metrics, Samples
from sequentia.errors import TrainingError
from sequentia.novelty import KnownNames

from .corpus import Corpus
from .kinds import Network, Recipe, network_of

CHECKPOINT: Final = "checkpoint.safetensors"
NOVELTY: Final = "novelty"
_KEY: Final = "sequentia.run"
_DIGEST: Final = "sequentia.sha256"


class RunRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run trains, and how far it has come.

    Attributes:
        recipe_name: the recipe's name or file name.
        overrides: what ``--set`` changed, as ``key=value``.
        recipe: the recipe, with the overrides applied.
        architecture: shape of the network.
        corpus: the text that it trains on.
        vocabulary: the symbols, in id order.
        max_length: symbols in the longest name of the corpus.
        step: number of steps done.
        history_bytes: length of ``history.jsonl`` at that step, in bytes.
        metrics: the losses, once the run is finished.
        samples: statistics of generated names, once the run is finished.
        versions: version of Python and of each library.
    """

    recipe_name: str
    overrides: list[str]
    recipe: Recipe
    architecture: Architecture
    corpus: CorpusRecord
    vocabulary: list[str]
    max_length: int
    step: int
    history_bytes: int
    metrics: Metrics | None
    samples: Samples | None
    versions: dict[str, str]

    @classmethod
    def start(cls, recipe_name: str, overrides: Sequence[str], recipe: Recipe, corpus: Corpus) -> Self:
        """Return the record of a run that is about to start.

        Raises:
            TrainingError: if the model would be too large for an artifact.
        """
        return cls(
            recipe_name=recipe_name,
            overrides=list(overrides),
            recipe=recipe,
            architecture=_architecture(recipe, corpus.vocabulary.size),
            corpus=corpus.record,
            vocabulary=list(corpus.vocabulary.symbols),
            max_length=corpus.max_length,
            step=0,
            history_bytes=0,
            metrics=None,
            samples=None,
            versions=library_versions(),
        )

    def of_teacher(self, recipe_name: str, recipe: Recipe) -> "RunRecord":
        """Return the record of another run on the same text, about to start.

        Raises:
            TrainingError: if the model would be too large for an artifact.
        """
        return msgspec.structs.replace(
            self,
            recipe_name=recipe_name,
            overrides=[],
            recipe=recipe,
            architecture=_architecture(recipe, len(self.vocabulary) + 1),
            step=0,
            history_bytes=0,
            metrics=None,
            samples=None,
        )


def _architecture(recipe: Recipe, vocabulary_size: int) -> Architecture:
    """Return the architecture of a recipe, or raise an error if it does not fit into an artifact."""
    architecture = recipe.architecture(vocabulary_size)
    shapes = architecture.tensors(recipe.block_size, vocabulary_size).values()
    size = sum(4 * math.prod(shape) for _, shape in shapes)
    if size > MAX_BYTES[WEIGHTS]:
        raise TrainingError(
            f"a model of {size:,} bytes is larger than an artifact may be ({MAX_BYTES[WEIGHTS]:,}): "
            f"{architecture.describe()}, {vocabulary_size:,} symbols"
        )
    return architecture


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result depends on."""
    packages = {package.__name__: str(package.__version__) for package in (sequentia, torch, np)}
    return {"python": platform.python_version(), **packages}


class Checkpoint(msgspec.Struct, frozen=True):
    """A run's record and its tensors: ``network.*``, ``average.*``, ``optimizer.*`` and ``random.*``.

    In a finished run, ``novelty`` holds the hashes of the names unless the recipe forbids it.
    """

    record: RunRecord
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, record: RunRecord, parts: Mapping[str, Mapping[str, Tensor]]) -> Self:
        """Return a checkpoint from a record and tensors, by part and name."""
        tensors = {f"{part}.{key}": value.contiguous() for part, state in parts.items() for key, value in state.items()}
        return cls(record=record, tensors=tensors)

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a part; the names are without its prefix."""
        return {
            key.removeprefix(f"{name}."): value for key, value in self.tensors.items() if key.startswith(f"{name}.")
        }

    @property
    def known(self) -> KnownNames | None:
        """Hashes of the names that the finished run has seen, None if it did not keep them."""
        hashes = self.tensors.get(NOVELTY)
        return None if hashes is None else KnownNames(hashes.numpy().view(np.uint32))

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights of the resulting network: their moving average if the run keeps one."""
        return self.part("average.module") or self.part("network")

    def network(self) -> Network:
        """Return the network in its present state, with its weights rounded to their stored precision."""
        record = self.record
        with torch.device("meta"):  # no random numbers are drawn: the weights are loaded next
            network = network_of(record.architecture, record.recipe.block_size, len(record.vocabulary) + 1)
        network.load({name: tensor.cpu() for name, tensor in self.weights.items()})
        return network

    def save(self, folder: Path) -> None:
        """Write the checkpoint into a run folder atomically."""
        record = msgspec.json.encode(self.record).decode()
        metadata = {_KEY: record, _DIGEST: _digest(record, self.tensors)}
        write_file(folder / CHECKPOINT, save(self.tensors, metadata=metadata))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the checkpoint of a run folder.

        Raises:
            TrainingError: if there is none, or it is damaged.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            raise TrainingError(f"{folder}: no training run here; `sequentia train CORPUS -o {folder}` makes one")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - file is no dict
        except SafetensorError as error:
            raise TrainingError(f"{path} is damaged: {error}") from error
        text = metadata.get(_KEY, "null")
        record = decode_json(text, RunRecord, path)
        if metadata.get(_DIGEST) != _digest(text, tensors):
            raise TrainingError(f"{path} is damaged: its hash differs")
        return cls(record=record, tensors=tensors)


def _digest(record: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of the record, and of each tensor's name, shape and bytes."""
    digest = hashlib.sha256(record.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
