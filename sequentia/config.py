"""The contents of ``config.json``, which describes an artifact: one struct for each JSON object."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from .architectures import Architecture, Count

FORMAT_VERSION: Final = 2
MAX_BLOCK_SIZE: Final = 1024
MAX_LENGTH: Final = 4096
MAX_SYMBOLS: Final = 65_535

BlockSize = Annotated[int, Meta(ge=1, le=MAX_BLOCK_SIZE)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
SplitName = Literal["lecture", "dedup", "all"]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A JSON object; unknown keys are errors."""


class CorpusRecord(_Record, frozen=True):
    """The text that a model was trained on. The text itself is not part of the artifact.

    Attributes:
        file: the file's name, without its folder.
        sha256: hash of the file.
        names: number of names, repetitions included.
        distinct: number of different names.
        symbols: number of symbols in all names, without the boundary that ends each.
    """

    file: str
    sha256: Sha256
    names: Count
    distinct: Count
    symbols: Count


class Training(_Record, frozen=True):
    """How a model was trained, in enough detail to train it again.

    Attributes:
        corpus: the text.
        split: how it was split.
        first_names: it saw only this many names, the first, of the training part; 0 for all.
        recipe: name of the recipe or of its file.
        overrides: changes to it, as ``key=value``.
        settings: the whole recipe, overrides included.
        seed: of all random numbers in the run.
        versions: version of Python and of each library.
    """

    corpus: CorpusRecord
    split: SplitName
    first_names: Count
    recipe: str
    overrides: list[str]
    settings: dict[str, bool | int | float | str | list[int | float | str]]
    seed: int
    versions: dict[str, str]


class Loss(_Record, frozen=True):
    """The loss on some names.

    Attributes:
        loss: mean negative log-likelihood in nats per predicted symbol, the boundary after each name included.
        names: number of names.
        windows: number of predictions that the mean is over: one per symbol and one per boundary.
    """

    loss: float
    names: Count
    windows: Count


class Metrics(_Record, frozen=True):
    """Losses by part of the split, ``None`` where a part is empty.

    Attributes:
        train: the names that the model learnt from.
        dev: the names that choices were made on.
        test: the names held back for the final figure.
        dev_unseen: the names of ``dev`` that are not in ``train`` too.
        test_unseen: the names of ``test`` that are not in ``train`` too.
    """

    train: Loss | None
    dev: Loss | None
    test: Loss | None
    dev_unseen: Loss | None
    test_unseen: Loss | None


class Samples(_Record, frozen=True):
    """Statistics of the names that a model generates with the default options.

    Attributes:
        seed: that the names were drawn with.
        names: number of names drawn.
        in_train: share of them that are in the training part.
        in_dev_test: share that is in the dev or test part but not in the training part.
        new: share that is in no part.
        mean_length: mean number of symbols.
        most_frequent: the names drawn most often, with their counts.
    """

    seed: int
    names: Count
    in_train: float
    in_dev_test: float
    new: float
    mean_length: float
    most_frequent: dict[str, Count]


class FileRecord(_Record, frozen=True):
    """Size in bytes and hash of one file of the artifact."""

    size: Count
    sha256: Sha256


class Config(_Record, frozen=True):
    """The contents of ``config.json``.

    Attributes:
        format_version: 2.
        name: name of the model.
        vocabulary: the symbols in the order of their ids, which start at 1.
        block_size: number of symbols of context.
        max_length: symbols in the longest name of the corpus; by default, no generated name is longer.
        architecture: shape of the network that computes the logits.
        training: how the model was trained.
        metrics: its losses.
        samples: statistics of the names that it generates.
        files: size and hash of the other files, by name.
    """

    format_version: int
    name: Annotated[str, Meta(min_length=1)]
    vocabulary: Annotated[list[str], Meta(min_length=1, max_length=MAX_SYMBOLS)]
    block_size: BlockSize
    max_length: Annotated[int, Meta(ge=1, le=MAX_LENGTH)]
    architecture: Architecture
    training: Training
    metrics: Metrics
    samples: Samples
    files: dict[str, FileRecord]
