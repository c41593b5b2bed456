"""The state of a training run in one file: its tensors and, as JSON in the header, everything else.

A single file can be replaced atomically, so a killed run finds a complete checkpoint: the last one or the one before.
A safetensors file cannot hold code.
"""

import hashlib
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
from sequentia.arithmetic import Inputs
from sequentia.artifact import MAX_BYTES, WEIGHTS
from sequentia.config import CorpusRecord, Metrics, Samples
from sequentia.errors import START_AGAIN, RecipeError, TrainingError
from sequentia.novelty import KnownNames
from sequentia.vocabulary import Vocabulary, vocabulary_of

from .corpus import Corpus
from .kinds import ConflictError, Network, Recipe, Structure, network_of
from .parts import Part

CHECKPOINT: Final = "checkpoint.safetensors"
MEASURED: Final = "measured"
"""The folder of the run that was measured, in that of a run that learns from the whole list."""
NOVELTY: Final = "novelty"
CALIBRATION: Final = "calibration"
_CALIBRATION_CONDITIONS: Final = "calibration_conditions"
_KEY: Final = "sequentia.run"
_DIGEST: Final = "sequentia.sha256"


class ModelRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A finished model that a run uses.

    Attributes:
        name: its own name.
        sha256: hash of its ``model.safetensors``.
        corpus: the name of the list that it learnt from.
    """

    name: str
    sha256: str
    corpus: str


class Best(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the loss on the dev part was lowest.

    Attributes:
        step: number of steps done then.
        dev: the loss, in nats per symbol, on the names that the dev curve is measured on.
        waited: measurements since then.
        ended: whether the run is over, so that its network is the one of that time.
    """

    step: int
    dev: float
    waited: int
    ended: bool = False


class RunRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run trains, and how far it has come.

    Attributes:
        recipe_name: the recipe's name or file name.
        overrides: what ``--set`` changed, as ``key=value``.
        recipe: the recipe, with the overrides applied.
        structure: the sizes of the network.
        corpus: the text that it trains on.
        vocabulary: the symbols, in id order.
        max_length: symbols in the longest name of the corpus.
        step: number of steps done.
        history_bytes: length of ``history.jsonl`` at that step, in bytes.
        metrics: the losses, once the run is finished.
        samples: statistics of generated names, once the run is finished.
        versions: version of Python and of each library.
        values: the values of each condition, by its name, in id order.
        models: the finished models that the run uses, by the names that the recipe has for them.
        best: when the loss on the dev part was lowest, if the recipe has ``patience`` and there is a dev part.
    """

    recipe_name: str
    overrides: list[str]
    recipe: Recipe
    structure: Structure
    corpus: CorpusRecord
    vocabulary: list[str]
    max_length: int
    step: int
    history_bytes: int
    metrics: Metrics | None
    samples: Samples | None
    versions: dict[str, str]
    values: dict[str, list[str]] = {}
    models: dict[str, ModelRecord] = {}
    best: Best | None = None

    @property
    def inputs(self) -> Inputs:
        """What the network reads."""
        return _inputs(self.recipe, self.vocabulary, self.values)

    @property
    def alphabet(self) -> Vocabulary:
        """The vocabulary; made anew each time."""
        return vocabulary_of(self.recipe.alphabet, self.vocabulary)

    @classmethod
    def start(cls, recipe_name: str, overrides: Sequence[str], recipe: Recipe, corpus: Corpus) -> Self:
        """Return the record of a run that is about to start.

        Raises:
            RecipeError: if the recipe takes no conditions.
            TrainingError: if the model would be too large for an artifact.
        """
        inputs = _inputs(recipe, corpus.vocabulary.symbols, corpus.values)
        return cls(
            recipe_name=recipe_name,
            overrides=list(overrides),
            recipe=recipe,
            structure=_structure(recipe, recipe_name, inputs),
            corpus=corpus.record,
            vocabulary=list(corpus.vocabulary.symbols),
            max_length=corpus.max_length,
            step=0,
            history_bytes=0,
            metrics=None,
            samples=None,
            versions=library_versions(),
            values=corpus.values,
        )

    def of_teacher(self, recipe_name: str, recipe: Recipe) -> "RunRecord":
        """Return the record of another run on the same text, about to start.

        Raises:
            RecipeError: if the recipe takes no conditions.
            TrainingError: if the model would be too large for an artifact.
        """
        return msgspec.structs.replace(
            self,
            recipe_name=recipe_name,
            overrides=[],
            recipe=recipe,
            structure=_structure(recipe, recipe_name, _inputs(recipe, self.vocabulary, self.values)),
            step=0,
            history_bytes=0,
            metrics=None,
            samples=None,
            models={},
            best=None,
        )


def _inputs(recipe: Recipe, vocabulary: Sequence[str], values: Mapping[str, Sequence[str]]) -> Inputs:
    return Inputs(recipe.block_size, len(vocabulary) + 1, tuple(len(each) + 1 for each in values.values()))


def _structure(recipe: Recipe, name: str, inputs: Inputs) -> Structure:
    """Return the sizes of a recipe's network, or raise an error if it does not fit into an artifact."""
    try:
        structure = recipe.structure(inputs)
    except ConflictError as error:
        raise RecipeError(f"recipe {name}: {error}", key=error.key) from error
    size = 4 * structure.numbers(inputs)
    if size > MAX_BYTES[WEIGHTS]:
        raise TrainingError(
            f"a model of {structure.parameters:,} parameters may take {size:,} bytes, and an artifact may hold "
            f"{MAX_BYTES[WEIGHTS]:,}: make the recipe's layers smaller"
        )
    return structure


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result depends on."""
    packages = {package.__name__: str(package.__version__) for package in (sequentia, torch, np)}
    return {"python": platform.python_version(), **packages}


class Checkpoint(msgspec.Struct, frozen=True):
    """A run's record and its tensors: ``network.*``, ``average.*``, ``optimizer.*`` and ``random.*``.

    A recipe with ``patience`` adds ``best.*``, the network when its loss on dev was lowest; once such a run has ended,
    that is ``network.*``, and the others are gone.

    In a finished run, ``calibration`` holds some of the names that choices are made on, as tokens: the exporter looks
    there how exact the numbers of the network have to be. ``novelty`` holds the hashes of all names, unless the recipe
    forbids it.
    """

    record: RunRecord
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, record: RunRecord, parts: Mapping[str, Mapping[str, Tensor]]) -> Self:
        """Return a checkpoint from a record and tensors, by part and name."""
        tensors: dict[str, Tensor] = {}
        places: set[int] = set()
        for part, state in parts.items():
            for key, value in state.items():
                tensors[f"{part}.{key}"] = value.clone() if value.data_ptr() in places else value.contiguous()
                places.add(value.data_ptr())
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
    def calibration(self) -> Part:
        """Names that choices were made on; none if an earlier version made the run."""
        if CALIBRATION not in self.tensors:
            return Part.of(np.zeros(0, dtype=np.uint8))
        tokens = np.asarray(self.tensors[CALIBRATION])
        if _CALIBRATION_CONDITIONS not in self.tensors:
            return Part.of(tokens)
        return Part(tokens, np.asarray(self.tensors[_CALIBRATION_CONDITIONS]))

    def with_calibration(self, part: Part) -> "Checkpoint":
        """Return the checkpoint with some names that choices were made on."""
        tensors = {CALIBRATION: torch.from_numpy(part.tokens.astype(np.int32))}
        if part.conditions.shape[1]:
            tensors[_CALIBRATION_CONDITIONS] = torch.from_numpy(part.conditions.astype(np.int32))
        return Checkpoint(record=self.record, tensors={**self.tensors, **tensors})

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights of the resulting network: their moving average if the run keeps one."""
        return self.part("average.module") or self.part("network")

    def network(self) -> Network:
        """Return the network in its present state."""
        record = self.record
        network = network_of(record.structure, record.inputs)
        network.load_state_dict({name: tensor.cpu() for name, tensor in self.weights.items()}, assign=True)
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
            raise TrainingError(f"{path} is damaged: {error}; {START_AGAIN}") from error
        text, digest = metadata.get(_KEY, "null"), metadata.get(_DIGEST)
        if digest == _earlier_digest(tensors):
            text = _upgraded(text)
        elif digest != _digest(text, tensors):
            raise TrainingError(f"{path} is damaged: its hash differs; {START_AGAIN}")
        return cls(record=decode_json(text, RunRecord, path), tensors=tensors)


def _digest(record: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of the record, and of each tensor's name, shape and bytes."""
    digest = hashlib.sha256(record.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# Runs of earlier versions, whose models need to be exported again


def _earlier_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the hash in checkpoints of earlier versions: of each tensor's name and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _upgraded(text: str) -> str:
    """Return the record of a run of an earlier version in the form of today."""
    record = msgspec.json.decode(text)
    structure = record.pop("architecture", None)
    if structure is not None:
        record["structure"] = structure
        for part in (structure, record["recipe"]):
            part.pop("precision", None)
    return msgspec.json.encode(record).decode()
