"""What every kind of model has in common in training: the keys of its recipes, and what is asked of its network."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, Self

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from sequentia.architectures import Architecture
from sequentia.config import SplitName
from sequentia.likelihood import Predict
from sequentia.training.corpus import Tokens
from sequentia.windows import windows

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
Rate = Annotated[float, Meta(gt=0)]


class ConflictError(ValueError):
    """Keys that do not go together.

    Attributes:
        key: the one to change.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


# Networks


class Network(nn.Module):
    """A model as a PyTorch module: it maps contexts, int64 [batch, block_size], to logits, float32 [batch, ids].

    Args:
        ids: how many ids there are, the boundary included.
        block_size: symbols of context.
    """

    def __init__(self, ids: int, block_size: int) -> None:
        super().__init__()
        self.ids, self.block_size = ids, block_size

    def for_inference(self) -> nn.Module:
        """Return an equal module without what only training needs, in evaluation mode."""
        return self.eval()

    def for_export(self) -> nn.Module:
        """Return an equal module for the exporter to trace, in evaluation mode."""
        return self.for_inference()

    def stored(self) -> dict[str, Tensor]:
        """Return the tensors as ``model.safetensors`` holds them."""
        return dict(self.state_dict())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over tensors, in the precision that they are stored in."""
        self.load_state_dict(weights, assign=True)

    def norms(self) -> "list[BatchNorm]":
        """Return the batch normalisations."""
        return []

    def activation_module(self) -> nn.Module | None:
        """Return the module whose outputs are the activations of each hidden layer, None without hidden layers."""
        return None

    @property
    def saturates(self) -> bool:
        """Whether the activations are bounded by -1 and 1, so that a unit can saturate there."""
        return False

    def symbol_vectors(self) -> NDArray[np.float32] | None:
        """Return the embeddings of the ids, float32 [ids, width], None if there are none."""
        return None

    def familiar_contexts(self, count: int, random: np.random.Generator) -> NDArray[np.int64] | None:  # noqa: ARG002
        """Return contexts that random ones would miss, int64 [count, block_size]; None if random ones will do."""
        return None


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance, float32 [width], of features, float32 [batch, width]."""
    return x.mean(dim=0), x.var(dim=0)


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) of features, float32 [batch, width].

    A batch is normalised by its own mean and its unbiased variance, as the published runs do; PyTorch's own layer takes
    the biased one. In evaluation the running statistics take their place.
    """

    epsilon: Final = 1e-5
    least_momentum: Final = 0.001

    def __init__(self, width: int) -> None:
        super().__init__()
        self.momentum = self.least_momentum
        self.moments: Callable[[Tensor], tuple[Tensor, Tensor]] = moments
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features normalised, scaled and shifted."""
        if self.training:
            mean, var = self.moments(x)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return self.gain * (x - mean) / torch.sqrt(var + self.epsilon) + self.bias


def predictor(network: nn.Module, device: torch.device) -> Predict:
    """Return a network, moved to a device, as a function from contexts to logits, both of them NumPy arrays."""
    network.to(device)

    @torch.no_grad()
    def logits(contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = network(torch.from_numpy(contexts).to(device)).cpu().numpy()
        return result

    return logits


# Recipes


class BaseRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """What every recipe decides; the key ``model`` says which of the kinds below it is.

    Attributes:
        summary: what the recipe is for, in one sentence.
        source: where it comes from.
        split: which names it trains on; see :func:`sequentia.training.corpus.split`.
        first_names: only so many of them, the first; 0 for all. The alphabet is the whole corpus's nevertheless.
        novelty: whether the model can tell the names it was trained or measured on, by their hashes, and so avoid them;
            whoever has the model can then tell whether a name they think of is among them.
        seed: of every random number of the run.
    """

    summary: str
    source: str = ""
    split: SplitName = "lecture"
    first_names: Natural = 0
    novelty: bool = True
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 2147483647

    @property
    @abstractmethod
    def block_size(self) -> int:
        """Symbols of context."""

    @property
    def steps(self) -> int:
        """How many steps a run takes, 0 for a model that is counted."""
        return 0

    @property
    def teachers(self) -> list[str]:
        """Names or paths of the recipes of its teachers."""
        return []

    @property
    def descent(self) -> "DescentRecipe | None":
        """This recipe, if it descends the gradient of a loss."""
        return None

    @abstractmethod
    def architecture(self, ids: int) -> Architecture:
        """Return what the recipe describes, for an alphabet of so many ids, the boundary included."""

    def fitted(self, windows: int) -> Self:  # noqa: ARG002 - part of the interface
        """Return the recipe for a training part of so many windows."""
        return self

    def count(self, tokens: Tokens, ids: int) -> tuple[Architecture, dict[str, Tensor]]:  # noqa: ARG002
        """Return what the model is made of, and those of its tensors that are counted; by default none.

        Args:
            tokens: the training part, each name followed by the boundary.
            ids: how many ids there are, the boundary included.
        """
        return self.architecture(ids), {}


class DescentRecipe(BaseRecipe, frozen=True, kw_only=True):
    """What every recipe decides that descends the gradient of the loss.

    Attributes:
        optimizer: ``sgd``, or ``adamw`` (Loshchilov and Hutter 2019).
        weight_decay: as the optimizer understands it.
        learning_rate: the highest rate.
        schedule: ``constant``, or ``cosine``: down towards zero at the end.
        warmup_steps: steps over which the rate first rises, linearly.
        learning_rate_drops: steps from which on the rate is a tenth of what it was.
        average_decay: decay of an exponential moving average of the weights, which then is the result
            (Polyak and Juditsky 1992); 0 for none.
        batch_size: windows in a step, drawn with replacement; 0 for all windows of the training part.
        steps: how many, at most.
        epochs: passes over the training part after which the run ends, if that is before ``steps``; 0 for no limit.
        log_every: steps between two lines of ``history.jsonl``.
        checkpoint_every: steps between two checkpoints.
    """

    optimizer: Literal["sgd", "adamw"] = "adamw"
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    learning_rate: Rate
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Natural = 0
    learning_rate_drops: list[Positive] = []
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch_size: Annotated[int, Meta(ge=0, le=1 << 20)]
    steps: Positive
    epochs: Natural = 0
    log_every: Positive = 1
    checkpoint_every: Positive = 1000

    @property
    def teacher_weights(self) -> list[float]:
        """Weight of each teacher in their mixture, relative to one another; none for equal ones."""
        return []

    @property
    def descent(self) -> "DescentRecipe":
        """This recipe."""
        return self

    def fitted(self, windows: int) -> Self:
        """Return the recipe for a training part of so many windows.

        Where its epochs allow fewer steps than it has, warm-up and average shorten in step.
        """
        if not self.epochs or not self.batch_size:
            return self
        steps = math.ceil(self.epochs * windows / self.batch_size)
        if steps >= self.steps:
            return self
        decay = max(0.0, 1 - (1 - self.average_decay) * self.steps / steps) if self.average_decay else 0.0
        return msgspec.structs.replace(
            self, steps=steps, warmup_steps=self.warmup_steps * steps // self.steps, average_decay=decay
        )

    @abstractmethod
    def new_network(self, ids: int, generator: torch.Generator) -> Network:
        """Return the network to train, its parameters drawn.

        Args:
            ids: how many ids there are, the boundary included.
            generator: where the random numbers come from.
        """

    def examples(self, tokens: Tokens, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what the network learns from at some positions of the training part.

        Args:
            tokens: each name followed by the boundary.
            positions: int64 [n], indices into ``tokens``, drawn alike.

        Returns:
            What the network takes in training, int64 [n, …], and the symbols that follow, int64: one for each row of
            logits that it gives, -100 for those that do not count. By default contexts [n, block_size] and one symbol
            for each.
        """
        return windows(tokens, positions, self.block_size)

    @property
    def may_share_steps(self) -> bool:
        """Whether several workers may share a step, each with some of its examples."""
        return True

    def penalty(self, network: Network) -> Tensor | None:  # noqa: ARG002 - part of the interface
        """Return what is added to the loss of a network, float32 [], None for nothing."""
        return None
