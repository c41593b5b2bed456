"""The contents of ``config.json``, which describes an artifact: one struct for each JSON object."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from .architectures import Architecture, Count

FORMAT_VERSION: Final = 1
MAX_BLOCK_SIZE: Final = 1024
MAX_LENGTH: Final = 4096
MAX_SYMBOLS: Final = 65_535

BlockSize = Annotated[int, Meta(ge=1, le=MAX_BLOCK_SIZE)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
SplitName = Literal["lecture", "dedup", "all"]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A JSON object whose every key is known and typed."""


class CorpusRecord(_Record, frozen=True):
    """What a model was trained on. The corpus itself is not part of an artifact.

    Attributes:
        file: the file's name, without its folder.
        sha256: hash of the file.
        names: how many, with repetitions.
        distinct: how many different ones.
        symbols: in all names, boundaries not counted.
    """

    file: str
    sha256: Sha256
    names: Count
    distinct: Count
    symbols: Count


class Training(_Record, frozen=True):
    """Where a model came from: enough to train it again.

    Attributes:
        corpus: the text.
        split: how it was split.
        first_names: how many names of the training part it saw, the first ones; 0 for all.
        recipe: name of the recipe, or of its file.
        overrides: changes to it, as ``key=value``.
        settings: the whole recipe, overrides included.
        seed: of every random number of the run.
        versions: of Python and the libraries.
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
        names: how many.
        windows: predictions that the mean is over: the names' symbols and a boundary each.
    """

    loss: float
    names: Count
    windows: Count


class Metrics(_Record, frozen=True):
    """Losses by part of the split, ``None`` where a part is empty.

    Attributes:
        train: the part that the model learnt from.
        dev: the part that choices were made on.
        test: the part for the final figure.
        dev_unseen: the names of ``dev`` that are not in ``train`` too.
        test_unseen: the names of ``test`` that are not in ``train`` too.
    """

    train: Loss | None
    dev: Loss | None
    test: Loss | None
    dev_unseen: Loss | None
    test_unseen: Loss | None


class Samples(_Record, frozen=True):
    """What the model invents: the start of its stream of names for one seed, options at their defaults.

    Attributes:
        seed: of the stream.
        names: how many names were drawn.
        in_train: share of them that stand in the training part.
        in_dev_test: share that stands in the other parts, and not in ``train`` too.
        new: share that stands in none.
        mean_length: in symbols.
        most_frequent: the names drawn most often, and how often.
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
        format_version: 1.
        name: the model's.
        vocabulary: the symbols in the order of their ids, which start at 1.
        block_size: symbols of context.
        max_length: symbols of the longest name in the corpus, where generation ends a name unless told otherwise.
        architecture: what computes the logits.
        training: where the model came from.
        metrics: how good it is.
        samples: what it invents.
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
