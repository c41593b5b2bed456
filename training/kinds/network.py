"""Base class of all networks, and what several kinds share: normalisation, and numbers made whole."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sequentia.architectures import Architecture
from sequentia.architectures.mlp import Activation
from sequentia.architectures.tree import Tree
from sequentia.arithmetic import LIMIT, Inputs
from sequentia.likelihood import ConditionedPredict
from sequentia.training.parts import Part

_SAFE: Final = 0.9 * LIMIT  # leaves room for the biases
_INT32: Final = 1 << 31

MOST_POSITIONS: Final = (1 << 16) - 1
"""In the table of an activation."""

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


def tree_numbers(name: str, steps: NDArray[np.integer], states: int) -> tuple[Tree, dict[str, NDArray[np.int64]]]:
    """Return a tree of contexts, and the tensors of its steps.

    Args:
        name: of the table of rows.
        steps: the state that each symbol leads to from each of the first states, 0 for none: integer [any, ids].
        states: how many there are.
    """
    places = np.flatnonzero(steps)
    if not len(places):  # tensors are not empty
        places = np.zeros(1, dtype=np.int64)
    tensors = {
        f"{name}.gaps": np.diff(places, prepend=0),
        f"{name}.reached": steps.reshape(-1)[places].astype(np.int64),
    }
    return Tree(states=states, inner_states=len(steps), edges=len(places)), tensors


def split_weights(
    name: str, weight: NDArray[np.floating], bits: int, largest: int, low_bits: int = 0
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return a weight matrix in whole numbers, and how many of its lowest bits stand in a tensor of their own.

    Args:
        name: of the product.
        weight: floating [inputs, outputs].
        bits: after the point.
        largest: the largest absolute value of an input.
        low_bits: at least so many stand apart.
    """
    numbers = rounded(weight, bits)
    while True:
        high = (numbers + (1 << low_bits >> 1)) >> low_bits
        low = numbers - (high << low_bits)
        if max(np.abs(part).sum(axis=0).max() for part in (high, low)) * largest < _SAFE or low_bits == bits:
            return {f"{name}.weight": high, **({f"{name}.weight.low": low} if low_bits else {})}, low_bits
        low_bits += 1


def split_each(
    name: str, weights: NDArray[np.floating], bits: int, largest: int
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return several weight matrices, floating [n, inputs, outputs], as :func:`split_weights`, split alike."""
    low_bits = max(split_weights(name, weight, bits, largest)[1] for weight in weights)
    tensors: dict[str, NDArray[np.int64]] = {}
    for number, weight in enumerate(weights):
        tensors |= split_weights(f"{name}.{number}", weight, bits, largest, low_bits)[0]
    return tensors, low_bits


def table_range(activation: Activation, highest: float, unit_bits: int, position_bits: int) -> tuple[int, int]:
    """Return the first and the last position of an activation's table, in steps of 2^-position_bits.

    Beyond them, the activation rounds to the value at the end; GELU goes on up to the highest sum.

    Raises:
        ValueError: if the table would have too many positions.
    """
    if activation == "tanh":
        end = math.ceil(math.ldexp((unit_bits + 2) * math.log(2) / 2, position_bits))
        return -end, end
    if not math.ldexp(highest, position_bits) < MOST_POSITIONS:
        raise ValueError(f"sums of up to {highest:g}, too many positions for a table")
    return -math.ceil(math.ldexp(5, position_bits)), max(1, math.ceil(math.ldexp(highest, position_bits)))


class Network(nn.Module):
    """A model as a PyTorch module.

    It maps contexts, int64 [batch, block_size], and the ids of the conditions' values, int64 [batch, conditions], to
    logits, float32 [batch, ids]. Without the conditions, none is said.

    Attributes:
        embedding: the embeddings of the ids, if it has any.
        conditions: those of each condition's values, if it has any.

    Args:
        inputs: what it reads.
    """

    embedding: nn.Embedding | None
    conditions: nn.ModuleList | None

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.embedding = self.conditions = None
        self.inputs, self.ids, self.block_size = inputs, inputs.ids, inputs.block_size

    def not_said(self, context: Tensor) -> Tensor:
        """Return conditions for some contexts of which none is said, int64 [batch, conditions]."""
        return torch.zeros((len(context), len(self.inputs.values)), dtype=torch.int64, device=context.device)

    def prepare(self, part: Part) -> None:
        """Look at the names to learn from, before the first step; by default, nothing depends on them.

        Args:
            part: the names.
        """

    def for_inference(self) -> nn.Module:
        """Return an equivalent module in evaluation mode, without the parts that only training needs."""
        return self.eval()

    def precisions(self) -> dict[str, int]:
        """Return the groups of numbers whose precision the exporter chooses, and the most bits that it may give each.

        The exporter lowers them one after the other, in this order.
        """
        return {}

    @abstractmethod
    def in_whole_numbers(
        self, bits: Mapping[str, int], contexts: NDArray[np.int64], conditions: NDArray[np.int64]
    ) -> Exact:
        """Return the network in whole numbers: its architecture, and its tensors by name, int64.

        Args:
            bits: how many bits after the point each group has, by its name in :meth:`precisions`.
            contexts: int64 [n, block_size], typical ones, which show how large the numbers become.
            conditions: those of the contexts' names, int64 [n, conditions].

        Raises:
            ValueError: if the numbers are too large for so many bits.
        """

    def norms(self) -> "list[BatchNorm]":
        """Return the batch normalisation layers."""
        return [module for module in self.modules() if isinstance(module, BatchNorm)]

    def activation_module(self) -> nn.Module | None:
        """Return the module that computes the activations of every hidden layer, or None without hidden layers."""
        return None

    @property
    def saturates(self) -> bool:
        """Whether the activations are bounded by -1 and 1, so that units can saturate."""
        return False

    def symbol_vectors(self) -> NDArray[np.float32] | None:
        """Return the embeddings of the ids, float32 [ids, width], or None if there are none."""
        return None if self.embedding is None else self.embedding.weight.detach().cpu().numpy()

    def value_vectors(self) -> list[NDArray[np.float32]]:
        """Return the embeddings of each condition's values, float32 [values, width], the first for "not said"."""
        return [] if self.conditions is None else [each.detach().cpu().numpy() for each in self.conditions.parameters()]


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Make modules whose parameters have a shape and no numbers, without drawing random ones."""
    with torch.device("meta"), _Uninitialized():
        yield


class _Uninitialized(TorchFunctionMode):
    """Skips ``torch.nn.init``: without numbers it has nothing to do, yet would import PyTorch's compiler."""

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def value_tables(inputs: Inputs, width: int) -> nn.ModuleList:
    """Return a table of embeddings for each condition, with a row for "not said" and one for each value."""
    return nn.ModuleList(nn.Embedding(rows, width) for rows in inputs.values)


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


def fold_norm(layer: nn.Module, norm: nn.Module) -> dict[str, Tensor]:
    """Return the weight and bias, float32, of a layer with the normalisation after it, which is folded in float64."""
    assert isinstance(layer, nn.Linear)  # noqa: S101 - narrows the type of ModuleList's items
    weight = layer.weight.double()
    bias = torch.zeros_like(weight[:, 0])
    if layer.bias is not None:
        bias += layer.bias
    if isinstance(norm, BatchNorm):
        scale = norm.gain.double() / torch.sqrt(norm.running_var.double() + norm.epsilon)
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean) * scale + norm.bias
    return {"weight": weight.float(), "bias": bias.float()}


def predictor(network: nn.Module, device: torch.device) -> ConditionedPredict:
    """Move a network to a device, and return it as a function of contexts, and perhaps conditions, as NumPy arrays."""
    network.to(device)

    @torch.no_grad()
    def logits(contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        given = [torch.from_numpy(each).to(device) for each in (contexts, conditions) if each is not None]
        result: NDArray[np.float32] = network(*given).cpu().numpy()
        return result

    return logits
