"""Base classes of all kinds of models: the recipe with its keys, and the network."""

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
from sequentia.arithmetic import LIMIT
from sequentia.config import SplitName
from sequentia.likelihood import Predict
from sequentia.training.corpus import Tokens
from sequentia.windows import windows

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


# Networks

_SAFE: Final = 0.9 * LIMIT  # leaves room for the biases
_INT32: Final = 1 << 31

Exact = tuple[Architecture, dict[str, NDArray[np.int64]]]
"""A network in whole numbers: its architecture, and its tensors by name."""


def rounded(values: NDArray[np.floating], bits: int) -> NDArray[np.int64]:
    """Return numbers in steps of 2^-bits, to the nearest, halves upwards.

    Raises:
        ValueError: if some are no numbers, or too large for int32.
    """
    steps = np.floor(np.ldexp(values.astype(np.float64), bits) + 0.5)
    if not (np.abs(steps) < _INT32).all():
        raise ValueError(f"weights of up to {np.abs(values).max():g}, too large for int32 in steps of 2^-{bits}")
    return steps.astype(np.int64)


def split_weights(
    name: str, weight: NDArray[np.floating], bits: int, largest: int
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return a weight matrix in whole numbers, and how many of its lowest bits stand in a tensor of their own.

    Args:
        name: of the product.
        weight: floating [inputs, outputs].
        bits: after the point.
        largest: the largest absolute value of an input.
    """
    numbers = rounded(weight, bits)
    low_bits = 0
    while True:
        high = (numbers + (1 << low_bits >> 1)) >> low_bits
        low = numbers - (high << low_bits)
        if max(np.abs(part).sum(axis=0).max() for part in (high, low)) * largest < _SAFE or low_bits == bits:
            return {f"{name}.weight": high, **({f"{name}.weight.low": low} if low_bits else {})}, low_bits
        low_bits += 1


class Network(nn.Module):
    """A model as a PyTorch module. It maps contexts, int64 [batch, block_size], to logits, float32 [batch, ids].

    Args:
        ids: number of ids, the boundary included.
        block_size: symbols of context.
    """

    def __init__(self, ids: int, block_size: int) -> None:
        super().__init__()
        self.ids, self.block_size = ids, block_size

    def for_inference(self) -> nn.Module:
        """Return an equivalent module in evaluation mode, without the parts that only training needs."""
        return self.eval()

    def precisions(self) -> dict[str, int]:
        """Return the groups of numbers whose precision the exporter chooses, and the most bits that it may give each.

        The exporter lowers them one after the other, in this order.
        """
        return {}

    @abstractmethod
    def in_whole_numbers(self, bits: Mapping[str, int], contexts: NDArray[np.int64]) -> Exact:
        """Return the network in whole numbers: its architecture, and its tensors by name, int64.

        Args:
            bits: how many bits after the point each group has, by its name in :meth:`precisions`.
            contexts: int64 [n, block_size], typical ones, which show how large the numbers become.

        Raises:
            ValueError: if the numbers are too large for so many bits.
        """

    def norms(self) -> "list[BatchNorm]":
        """Return the batch normalisation layers."""
        return []

    def activation_module(self) -> nn.Module | None:
        """Return the module that computes the activations of every hidden layer, or None without hidden layers."""
        return None

    @property
    def saturates(self) -> bool:
        """Whether the activations are bounded by -1 and 1, so that units can saturate."""
        return False

    def symbol_vectors(self) -> NDArray[np.float32] | None:
        """Return the embeddings of the ids, float32 [ids, width], or None if there are none."""
        return None


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the unbiased variance, each float32 [width], of features, float32 [batch, width]."""
    return x.mean(dim=0), x.var(dim=0)


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) of features, float32 [batch, width].

    In training, each batch is normalised by its mean and its unbiased variance, as in the published runs; PyTorch's own
    layer uses the biased variance. In evaluation mode, the running statistics are used instead.
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
        """Normalise, scale and shift the features."""
        if self.training:
            mean, var = self.moments(x)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return self.gain * (x - mean) / torch.sqrt(var + self.epsilon) + self.bias


def fold_norm(layer: nn.Module, norm: nn.Module, target: nn.Module) -> None:
    """Fold a layer and the normalisation after it into the layer ``target``, in float64."""
    assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type of ModuleList's items
    assert isinstance(target, nn.Linear)  # noqa: S101 - narrows its type
    weight = layer.weight.double()
    bias = torch.zeros_like(weight[:, 0])
    if layer.bias is not None:
        bias += layer.bias
    if isinstance(norm, BatchNorm):
        scale = norm.gain.double() / torch.sqrt(norm.running_var.double() + norm.epsilon)
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean) * scale + norm.bias
    target.weight.copy_(weight)
    target.bias.copy_(bias)


def predictor(network: nn.Module, device: torch.device) -> Predict:
    """Move a network to a device and return it as a function from contexts to logits, both as NumPy arrays."""
    network.to(device)

    @torch.no_grad()
    def logits(contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = network(torch.from_numpy(contexts).to(device)).cpu().numpy()
        return result

    return logits


# Recipes


class BaseStructure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """The sizes of a network: with them a checkpoint's tensors become a module again.

    Attributes:
        parameters: how many numbers are learnt; for an n-gram model, its counts.
    """

    parameters: Natural

    def numbers(self, block_size: int, ids: int) -> int:  # noqa: ARG002 - part of the interface
        """Return how many numbers an artifact stores for such a network, about."""
        return self.parameters


class BaseRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """The keys of every recipe. The key ``model`` names the kind of model.

    Attributes:
        summary: the purpose of the recipe, in one sentence.
        source: its origin, such as a paper.
        split: how to split the corpus; see :func:`sequentia.training.corpus.split`.
        first_names: train on this many names of the training part, from its start; 0 for all. The vocabulary is always
            that of the whole corpus.
        novelty: whether to store hashes of the corpus's names with the model, so that it can avoid them. Anyone who
            has the model can then check whether a given name is in the corpus.
        seed: the seed of every random number in the run.
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
        """Number of training steps; 0 for a model that only counts."""
        return 0

    @property
    def teachers(self) -> list[str]:
        """Names or paths of the teachers' recipes."""
        return []

    @property
    def descent(self) -> "DescentRecipe | None":
        """This recipe if it trains by gradient descent, else None."""
        return None

    @abstractmethod
    def structure(self, ids: int) -> BaseStructure:
        """Return the sizes of the network for a vocabulary of ``ids`` ids, the boundary included."""

    def fitted(self, windows: int) -> Self:  # noqa: ARG002 - part of the interface
        """Return the recipe adapted to a training part of ``windows`` windows."""
        return self

    def count(self, tokens: Tokens, ids: int) -> tuple["BaseStructure", dict[str, Tensor]]:  # noqa: ARG002
        """Return the sizes of the network and the tensors that are counted rather than trained; by default none are.

        Args:
            tokens: the training part, each name followed by the boundary.
            ids: number of ids, the boundary included.
        """
        return self.structure(ids), {}


class DescentRecipe(BaseRecipe, frozen=True, kw_only=True):
    """The keys of every recipe that trains by gradient descent.

    Attributes:
        optimizer: ``sgd``, or ``adamw`` (Loshchilov and Hutter 2019).
        weight_decay: the optimizer's weight decay.
        learning_rate: the highest learning rate.
        schedule: ``constant``, or ``cosine``: the rate falls towards zero at the end.
        warmup_steps: number of steps over which the rate rises linearly at the start.
        learning_rate_drops: steps at which the rate is divided by ten.
        average_decay: decay of an exponential moving average of the weights, which becomes the result
            (Polyak and Juditsky 1992); 0 for no average.
        batch_size: windows in a step, drawn with replacement; 0 for all windows of the training part.
        steps: most training steps.
        epochs: most passes over the training part, if that takes fewer than ``steps`` steps; 0 for no limit.
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
        """Relative weight of each teacher in the mixture; empty for equal weights."""
        return []

    @property
    def descent(self) -> "DescentRecipe":
        """This recipe."""
        return self

    def fitted(self, windows: int) -> Self:
        """Return the recipe adapted to a training part of ``windows`` windows.

        If ``epochs`` allows fewer steps than ``steps``, the warm-up and the average shorten in proportion.
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
        """Return the network to train, with randomly initialised parameters.

        Args:
            ids: number of ids, the boundary included.
            generator: source of the random numbers.
        """

    def examples(self, tokens: Tokens, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the inputs and targets of the network for some positions of the training part.

        Args:
            tokens: each name followed by the boundary.
            positions: int64 [n], indices into ``tokens``, drawn uniformly.

        Returns:
            The network's input in training, int64 [n, …]. The target of each row of logits that it returns, int64: the
            next symbol, or -100 to ignore the row. By default, contexts [n, block_size] and one target each.
        """
        return windows(tokens, positions, self.block_size)

    @property
    def may_share_steps(self) -> bool:
        """Whether several workers may each take some of a step's examples."""
        return True

    def penalty(self, network: Network) -> Tensor | None:  # noqa: ARG002 - part of the interface
        """Return the penalty to add to the loss, float32 [], or None."""
        return None
