"""Base classes of all recipes, with their keys."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, Self

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from sequentia.arithmetic import Inputs
from sequentia.config import SplitName
from sequentia.training.parts import Part
from sequentia.vocabulary import SymbolKind
from sequentia.windows import windows

from .network import Network

if TYPE_CHECKING:
    from .auto import AutoRecipe

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
Rate = Annotated[float, Meta(gt=0)]


class ConflictError(ValueError):
    """Keys of a recipe that contradict each other.

    Attributes:
        key: the key to change.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


Examples = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Inputs, conditions and targets of a network in training."""


def hidden(
    random: Callable[[tuple[int, int]], NDArray[np.float64]], rows: int, columns: int, share: float
) -> NDArray[np.bool_]:
    """Return which conditions to hide from some examples, bool [rows, columns].

    In a share of the examples, some are hidden: any number of them from one to all, each number as likely as another,
    and each condition as likely as another. Without conditions, no random number is drawn.

    Args:
        random: returns random numbers from 0 to 1 of a shape.
        rows: number of examples.
        columns: number of conditions.
        share: of the examples.
    """
    if not columns:
        return np.zeros((rows, 0), dtype=bool)
    numbers = random((rows, columns + 2))
    count = np.where(numbers[:, 0] < share, 1 + np.floor(numbers[:, 1] * columns), 0)
    mask: NDArray[np.bool_] = np.argsort(np.argsort(numbers[:, 2:], axis=1), axis=1) < count[:, None]
    return mask


class BaseStructure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """The sizes of a network: with them a checkpoint's tensors become a module again.

    Attributes:
        parameters: how many numbers are learnt; for an n-gram model, its counts.
    """

    parameters: Natural

    def numbers(self, inputs: Inputs) -> int:  # noqa: ARG002 - part of the interface
        """Return how many numbers an artifact stores for such a network, about."""
        return self.parameters

    def multiplications(self, inputs: Inputs) -> int:  # noqa: ARG002 - part of the interface
        """Return about how many multiplications the probabilities after a context take; by default, none."""
        return 0


class BaseRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """The keys of every recipe. The key ``model`` names the kind of model.

    Attributes:
        summary: the purpose of the recipe, in one sentence.
        source: its origin, such as a paper.
        split: how to split the corpus; see :func:`sequentia.training.parts.split`.
        first_names: train on this many names of the training part, from its start; 0 for all. The vocabulary is always
            that of the whole corpus.
        symbols: what the model reads and draws one by one: ``characters``, ``words``, which white space separates, or
            ``auto``: those that give dev the higher probability; see :mod:`sequentia.training.symbols`.
        rare: words that occur so often or less in the training part become one, the unknown word. It is never drawn,
            and stands for all words that are not in the training part.
        weight_power: in a list with weights, an item counts ``weight ** weight_power`` times. 1: as often as in life;
            0: every item alike.
        novelty: whether to store hashes of the corpus's names with the model, so that it can avoid them. Anyone who
            has the model can then check whether a given name is in the corpus.
        final: what the resulting model learns from: the training part (``measured``), or, once a model that learns from
            it is measured, the whole list (``all``), with the same settings.
        seed: the seed of every random number in the run.
    """

    summary: str
    source: str = ""
    split: SplitName = "lecture"
    first_names: Natural = 0
    symbols: Literal["characters", "words", "auto"] = "characters"
    rare: Natural = 1
    weight_power: Annotated[float, Meta(ge=0, le=4)] = 1.0
    novelty: bool = True
    final: Literal["measured", "all"] = "measured"
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 2147483647

    @property
    def alphabet(self) -> SymbolKind:
        """What its symbols are, once that is decided."""
        assert self.symbols != "auto"  # noqa: S101 - the trainer decides before it reads the list
        return self.symbols

    @property
    @abstractmethod
    def block_size(self) -> int:
        """Symbols of context."""

    @property
    def steps(self) -> int:
        """Number of training steps; 0 for a model that only counts."""
        return 0

    @property
    def teachers(self) -> list[str]:
        """Names or paths of the teachers' recipes, and ``model:NAME`` for finished models."""
        return []

    @property
    def auto(self) -> "AutoRecipe | None":
        """This recipe if it becomes another one for each list, else None."""
        return None

    @property
    def descent(self) -> "DescentRecipe | None":
        """This recipe if it trains by gradient descent, else None."""
        return None

    @abstractmethod
    def structure(self, inputs: Inputs) -> BaseStructure:
        """Return the sizes of the network.

        Args:
            inputs: what it reads.

        Raises:
            ConflictError: if a network of this kind cannot read them.
        """

    def fitted(self, windows: int, names: int) -> Self:  # noqa: ARG002 - part of the interface
        """Return the recipe adapted to a training part with so many windows and names."""
        return self

    def count(self, part: Part, inputs: Inputs) -> tuple["BaseStructure", dict[str, Tensor]]:  # noqa: ARG002
        """Return the sizes of the network and the tensors that are counted rather than trained; by default none are.

        Args:
            part: the names to train on.
            inputs: what the network reads.
        """
        return self.structure(inputs), {}


class DescentRecipe(BaseRecipe, frozen=True, kw_only=True):
    """The keys of every recipe that trains by gradient descent.

    Attributes:
        optimizer: ``sgd``, or ``adamw`` (Loshchilov and Hutter 2019).
        weight_decay: the optimizer's weight decay.
        learning_rate: the highest learning rate.
        schedule: ``constant``, or ``cosine``: the rate falls towards zero at the end.
        warmup_steps: number of steps over which the rate rises linearly at the start.
        learning_rate_decay: the rate is divided by one plus this number times the examples so far (Bengio et al. 2003).
        learning_rate_drops: steps at which the rate is divided by ten.
        average_decay: decay of an exponential moving average of the weights, which becomes the result
            (Polyak and Juditsky 1992); 0 for no average.
        batch_size: windows in a step, drawn with replacement; 0 for all windows of the training part.
        steps: most training steps.
        condition_dropout: share of the examples in which conditions are hidden, so that the network also learns to do
            without; see :func:`hidden`.
        epochs: most passes over the training part, if that takes fewer than ``steps`` steps; 0 for no limit.
        start: a model whose weights training starts from: a bundled one, a folder, or a repository on the hub. The
            sizes of the network are then the model's; see :mod:`sequentia.training.starting`. Empty: random weights.
        model_where: conditions of the whole list, as ``condition=value``, for the model to start from and for teachers
            that are models.
        patience: stop after this many measurements of the dev curve in a row that are not lower than the lowest so far;
            the result is then the network with the lowest one. 0: take all steps, and the result is the last network.
            Without a dev part, it has no effect.
        stop: end after this many steps, though the schedule is for ``steps``; 0 for all steps.
        mixed_precision: whether training computes matrix products in bfloat16 (Micikevicius et al. 2018). Processors
            made for that are several times as fast, others slower. All else stays float32: parameters and the sums of
            their changes, and what is exported.
        log_every: steps between two lines of ``history.jsonl``.
        checkpoint_every: steps between two checkpoints.
    """

    optimizer: Literal["sgd", "adamw"] = "adamw"
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    learning_rate: Rate
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Natural = 0
    learning_rate_decay: Annotated[float, Meta(ge=0)] = 0.0
    learning_rate_drops: list[Positive] = []
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch_size: Annotated[int, Meta(ge=0, le=1 << 20)]
    steps: Positive
    condition_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.3
    epochs: Natural = 0
    start: str = ""
    model_where: list[str] = []
    patience: Natural = 0
    stop: Natural = 0
    mixed_precision: bool = False
    log_every: Positive = 1
    checkpoint_every: Positive = 1000

    @property
    def teacher_weights(self) -> list[float] | Literal["dev"]:
        """Relative weight of each teacher in the mixture, or ``dev`` for those that suit the dev part best.

        They are empty for equal weights.
        """
        return []

    @property
    def last_step(self) -> int:
        """Number of steps after which training ends."""
        return min(self.stop or self.steps, self.steps)

    @property
    def descent(self) -> "DescentRecipe":
        """This recipe."""
        return self

    def fitted(self, windows: int, names: int) -> Self:
        """Return the recipe adapted to a training part with so many windows and names.

        If ``epochs`` allows fewer steps than ``steps``, the warm-up and the average shorten in proportion.
        """
        if not self.epochs or not self.batch_size:
            return self
        steps = math.ceil(self.epochs * self.examples_of(windows, names) / self.batch_size)
        if steps >= self.steps:
            return self
        decay = max(0.0, 1 - (1 - self.average_decay) * self.steps / steps) if self.average_decay else 0.0
        return msgspec.structs.replace(
            self, steps=steps, warmup_steps=self.warmup_steps * steps // self.steps, average_decay=decay
        )

    def examples_of(self, windows: int, names: int) -> int:  # noqa: ARG002
        """Return how many examples a training part with so many windows and names has; by default, its windows."""
        return windows

    @abstractmethod
    def new_network(self, inputs: Inputs, generator: torch.Generator) -> Network:
        """Return the network to train, with randomly initialised parameters.

        Args:
            inputs: what it reads.
            generator: source of the random numbers.
        """

    def examples(self, part: Part, places: NDArray[np.int64]) -> Examples:
        """Return the inputs and targets of the network for some places of the training part.

        Args:
            part: the names.
            places: int64 [n], drawn uniformly; see :class:`.parts.Part`.

        Returns:
            The network's input in training, int64 [n, …]; its conditions, int64 [n, conditions]; the target of each row
            of logits that it returns, int64: the next symbol. By default, contexts
            [n, block_size] and one target each.
        """
        positions = part.positions(places)
        contexts, targets = windows(part.tokens, positions, self.block_size)
        return contexts, part.conditions_at(positions), targets

    def multiplications(self, inputs: Inputs) -> float:
        """Return about how many multiplications a step takes: three times those of its predictions."""
        return 3.0 * self.batch_size * self.structure(inputs).multiplications(inputs)

    @property
    def may_share_steps(self) -> bool:
        """Whether several workers may each take some of a step's examples."""
        return True

    def penalty(self, network: Network) -> Tensor | None:  # noqa: ARG002 - part of the interface
        """Return the penalty to add to the loss, float32 [], or None."""
        return None
