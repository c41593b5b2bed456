"""The contents of ``config.json``, which describes an artifact: one struct for each JSON object."""

import math
from typing import Annotated, Final, Literal
from unicodedata import is_normalized

import msgspec
from msgspec import Meta

from .architectures import Architecture, Count
from .arithmetic import Inputs
from .text import first_forbidden
from .vocabulary import MAX_SYMBOLS, SymbolKind, Vocabulary, vocabulary_of

FORMAT_VERSION: Final = 2
MAX_BLOCK_SIZE: Final = 1024
MAX_LENGTH: Final = 4096
MAX_CONDITIONS: Final = 16
MAX_VALUES: Final = 4096
MAX_VALUE_LENGTH: Final = 256

BlockSize = Annotated[int, Meta(ge=1, le=MAX_BLOCK_SIZE)]

Value = Annotated[str, Meta(min_length=1, max_length=MAX_VALUE_LENGTH)]
Values = Annotated[
    dict[Value, Annotated[list[Value], Meta(min_length=1, max_length=MAX_VALUES)]], Meta(max_length=MAX_CONDITIONS)
]
"""The values of each condition, by its name."""

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
BASELINES: Final = {"uniform": "guessing every symbol alike", "ngram": "counting n-grams"}
"""What each of the baselines does, the weakest first."""

_EQUAL: Final = 1e-4  # nats that make no difference
_BY_HEART: Final = 0.9  # the loss on train, as a share of that on dev, below which the model knows train too well

SplitName = Literal["lecture", "dedup", "all", "column"]
SPLITS: Final[dict[str, str]] = {
    "lecture": "the lines are shuffled, then 80 % are for training, 10 % (dev) for choices and 10 % (test) for the "
    "figure to quote",
    "dedup": "repeated lines are dropped and the rest shuffled, then 80 % are for training, 10 % (dev) for choices and "
    "10 % (test) for the figure to quote",
    "all": "all lines are for training",
    "column": "the list itself says which part a row is in",
}
"""What each split does."""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A JSON object; unknown keys are errors. Keys that have their default are left out."""


class Columns(_Record, frozen=True):
    """Which columns of a table a corpus consists of: names of columns, or positions from 1 on in one without a header.

    Attributes:
        item: the items; "0" if each line of the file is an item.
        conditions: the column of each condition, by the condition's name.
        weight: how often an item counts.
        split: the part of the split that an item belongs to.
    """

    item: str
    conditions: dict[str, str] = {}
    weight: str | None = None
    split: str | None = None


class CorpusRecord(_Record, frozen=True):
    """The text that a model was trained on. The text itself is not part of the artifact.

    Attributes:
        file: the file's name, without its folder.
        sha256: hash of the file.
        names: number of names, repetitions included.
        distinct: number of different names.
        symbols: number of symbols in all names, without the boundary that ends each.
        columns: what was read of the file if it is a table.
    """

    file: str
    sha256: Sha256
    names: Count
    distinct: Count
    symbols: Count
    columns: Columns | None = None


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
        weighted: the same mean if each name counts as often as its weight says; ``None`` for a list without weights.
        unknown: how many of the predictions are of the unknown word; ``None`` for a model of characters.
    """

    loss: float
    names: Count
    windows: Count
    weighted: float | None = None
    unknown: Count | None = None


class Metrics(_Record, frozen=True):
    """Losses by part of the split, ``None`` where a part is empty.

    Attributes:
        train: the names that the model learnt from.
        dev: the names that choices were made on.
        test: the names held back for the final figure.
        dev_unseen: the names of ``dev`` that are not in ``train`` too.
        test_unseen: the names of ``test`` that are not in ``train`` too.
        dev_not_said: the names of ``dev``, without their conditions; ``None`` for a model without conditions.
        by_value: the names of ``dev``, or of ``train`` where ``dev`` is empty, by the value of each condition.
        baselines: losses of models that need no training on the names of ``dev``, or of ``train`` where ``dev`` is
            empty, in nats per symbol: ``uniform`` gives every symbol the same probability, ``ngram`` counts n-grams of
            ``train`` without conditions.
    """

    train: Loss | None
    dev: Loss | None
    test: Loss | None
    dev_unseen: Loss | None
    test_unseen: Loss | None
    dev_not_said: Loss | None = None
    by_value: dict[str, dict[str, Loss]] = {}
    baselines: dict[str, float] = {}

    @property
    def parts(self) -> dict[str, Loss]:
        """The losses by name, except those by value; without those of empty parts."""
        losses = {name: getattr(self, name) for name in self.__struct_fields__ if name not in {"by_value", "baselines"}}
        return {name: loss for name, loss in losses.items() if loss is not None}

    @property
    def compared_with(self) -> dict[str, float]:
        """The baselines by what they are, in words."""
        return {BASELINES.get(name, f"the model {name} as it is"): loss for name, loss in self.baselines.items()}

    @property
    def compared(self) -> str:
        """The name of the part that the baselines were measured on."""
        return "train" if self.dev is None else "dev"

    @property
    def warning(self) -> str:
        """What to do about a model that is worse than a baseline; empty if it is better than all."""
        measured = self.parts.get(self.compared)
        if measured is None:
            return ""
        worse = [name for name in BASELINES if self.baselines.get(name, math.inf) < measured.loss - _EQUAL]
        if not worse:
            return ""
        than = BASELINES[worse[0]]
        losses = f"{self.compared} {measured.loss:.4f} against {self.baselines[worse[0]]:.4f}"
        guessing = self.baselines.get("uniform", math.inf)
        if self.train is not None and self.train.loss < min(_BY_HEART * measured.loss, guessing):
            why = "It has learnt its list by heart: take fewer steps, set patience, or try --recipe ngram."
        else:
            why = "It has learnt too little: raise steps and epochs, try another learning rate, or --recipe ngram."
        return f"This model is worse than {than} ({losses}). {why}"


class Described(_Record, frozen=True):
    """What some names are like.

    Attributes:
        names: how many there are.
        mean_length: mean number of symbols.
        ending: share that ends in the list's most frequent last symbol.
        most_frequent: the most frequent ones; empty where none occurs twice.
    """

    names: Count
    mean_length: float
    ending: float
    most_frequent: list[str]


class Group(_Record, frozen=True):
    """Names of the same values.

    Attributes:
        where: the values, by condition.
        drawn: names that the model generates for them.
        listed: the names of the training part, each as often as it counts.
        examples: the first names drawn.
    """

    where: dict[str, str]
    drawn: Described
    listed: Described
    examples: list[str]


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
        ending: the most frequent last symbol of the training part, if the model has conditions.
        groups: names for each combination of values, or for the most frequent values of each condition if there are
            many combinations.
    """

    seed: int
    names: Count
    in_train: float
    in_dev_test: float
    new: float
    mean_length: float
    most_frequent: dict[str, Count]
    ending: str = ""
    groups: list[Group] = []


class FileRecord(_Record, frozen=True):
    """Size in bytes and hash of one file of the artifact."""

    size: Count
    sha256: Sha256


class Config(_Record, frozen=True):
    """The contents of ``config.json``.

    Attributes:
        format_version: 2.
        name: name of the model.
        vocabulary: the symbols in the order of their ids, which start at 1; of words, the last is the unknown one.
        block_size: number of symbols of context.
        max_length: symbols in the longest name of the corpus; by default, no generated name is longer.
        conditions: the values of each condition, by its name, in the order of their ids, which start at 1.
        architecture: shape of the network that computes the logits.
        training: how the model was trained.
        metrics: its losses.
        samples: statistics of the names that it generates.
        files: size and hash of the other files, by name.
        symbols: what the symbols are, ``characters`` or ``words``.
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
    conditions: Values = {}
    symbols: SymbolKind = "characters"

    def __post_init__(self) -> None:
        for name, values in self.conditions.items():
            for text in (name, *values):
                if first_forbidden(text) is not None or not is_normalized("NFC", text):
                    raise ValueError(f"conditions: {text!r} has a character that is not allowed, or is not in NFC")
            if len(set(values)) < len(values):
                raise ValueError(f"conditions: {name!r} has a value twice")

    @property
    def alphabet(self) -> Vocabulary:
        """The vocabulary; made anew each time.

        Raises:
            VocabularyError: if the symbols cannot be those of a vocabulary.
        """
        return vocabulary_of(self.symbols, self.vocabulary)

    @property
    def inputs(self) -> Inputs:
        """What the network reads."""
        return Inputs(
            self.block_size, len(self.vocabulary) + 1, tuple(len(values) + 1 for values in self.conditions.values())
        )
