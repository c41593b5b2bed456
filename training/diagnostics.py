"""Activations and gradients of the hidden layers, before the first step and after the last."""

import copy
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sequentia._files import write_file
from sequentia._json import read_json
from sequentia.windows import windows

from .kinds import Network
from .parts import Part

DIAGNOSTICS: Final = "diagnostics.json"
SATURATED: Final = 0.97
_BATCH: Final = 1024
_BINS: Final = 50
_NARROWEST: Final = 1e-9


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of values in bins of equal width from ``low`` to ``high``."""

    low: float
    high: float
    counts: Annotated[list[int], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError("bins without a width")


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Statistics of one hidden layer, over some windows of the training part.

    Attributes:
        mean: mean of the activations.
        deviation: standard deviation of the activations.
        saturated: share of the activations beyond ±0.97, where the slope of tanh is nearly zero; None if the layer has
            another activation function.
        dead: share of the units that are saturated on every window and so learn nothing; None as above.
        activations: histogram of the activations.
        gradient_deviation: standard deviation of the gradient of the loss with respect to the activations.
        gradients: histogram of that gradient.
    """

    mean: float
    deviation: float
    saturated: float | None
    dead: float | None
    activations: Histogram
    gradient_deviation: float
    gradients: Histogram


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All hidden layers after some steps."""

    step: int
    layers: Annotated[list[Layer], Meta(min_length=1)]


def add_diagnostics(folder: Path, step: int, network: Network, part: Part) -> None:
    """Add a snapshot to ``diagnostics.json`` in a run folder, unless the network has no hidden layers."""
    if network.activation_module() is None:
        return
    path = folder / DIAGNOSTICS
    snapshots = [each for each in read_diagnostics(folder) if each.step < step]
    snapshots.append(Snapshot(step, _layers(network, part)))
    write_file(path, msgspec.json.encode(snapshots) + b"\n")


def read_diagnostics(folder: Path) -> list[Snapshot]:
    """Return the snapshots of a run folder; an empty list if it has no ``diagnostics.json``.

    Raises:
        TrainingError: if that file is damaged.
    """
    path = folder / DIAGNOSTICS
    return read_json(path, list[Snapshot]) if path.is_file() else []


def _layers(network: Network, part: Part) -> list[Layer]:
    """Return statistics of each hidden layer on up to 1,024 evenly spaced windows."""
    positions = np.unique(np.linspace(0, part.windows - 1, _BATCH).astype(np.int64))
    device = next(network.parameters()).device
    examples = *windows(part.tokens, positions, network.block_size), part.conditions_at(positions)
    contexts, targets, conditions = (torch.from_numpy(x).to(device) for x in examples)
    network = copy.deepcopy(network).eval()
    for norm in network.norms():
        norm.train()
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    activation = network.activation_module()
    assert activation is not None  # noqa: S101 - the caller has checked
    activation.register_forward_hook(keep)
    functional.cross_entropy(network(contexts, conditions), targets).backward()  # type: ignore[no-untyped-call]
    return [_layer(output, bounded=network.saturates) for output in outputs]


def _layer(output: Tensor, *, bounded: bool) -> Layer:
    assert output.grad is not None  # noqa: S101 - backward() filled it
    values, gradients = (np.nan_to_num(x.detach().cpu().double().numpy()) for x in (output, output.grad))
    saturated = np.abs(values) > SATURATED
    return Layer(
        mean=float(values.mean()),
        deviation=float(values.std()),
        saturated=float(saturated.mean()) if bounded else None,
        dead=float(saturated.all(axis=0).mean()) if bounded else None,
        activations=_histogram(values),
        gradient_deviation=float(gradients.std()),
        gradients=_histogram(gradients),
    )


def _histogram(values: NDArray[np.float64]) -> Histogram:
    low, high = float(values.min()), float(values.max())
    if high - low < _NARROWEST * max(abs(low), abs(high), _NARROWEST):  # too narrow for 50 bins
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    return Histogram(float(edges[0]), float(edges[-1]), counts.tolist())
