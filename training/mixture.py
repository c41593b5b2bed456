"""The weights of a mixture of models: given, equal, or those that suit the dev part best."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from sequentia._files import write_file
from sequentia._json import format_json, read_json
from sequentia.windows import windows

from .members import Member
from .parts import Part

MIXTURE: Final = "mixture.json"

_MOST_WINDOWS: Final = 1 << 15
_CHUNK: Final = 2048
_ROUNDS: Final = 500
_PSEUDO_COUNT: Final = 0.5
_LEAST_WEIGHT: Final = 0.02


class Mixture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each member of a mixture contributes.

    Attributes:
        weights: the share of each member; 0 for one that is left out.
        dev: the loss of each member on the dev part, in nats per symbol; empty if there is none.
    """

    weights: list[float]
    dev: list[float] = []

    def save(self, folder: Path) -> None:
        """Write the mixture into a folder."""
        write_file(folder / MIXTURE, format_json(msgspec.to_builtins(self)))

    @classmethod
    def load(cls, folder: Path) -> "Mixture":
        """Read the mixture of a folder."""
        return read_json(folder / MIXTURE, cls)


def equal_or(weights: Sequence[float], count: int) -> list[float]:
    """Return relative weights as shares; equal ones if there are none."""
    given = list(weights) or [1.0] * count
    return [weight / sum(given) for weight in given]


def fitted(members: Sequence[Member], part: Part, device: torch.device) -> Mixture:
    """Return the mixture of some models whose loss on some names is lowest.

    Its weights are found by expectation-maximization (Jelinek and Mercer 1980), as if each member had explained half a
    symbol more. Members with less than 2 % are left out.

    Args:
        members: the models.
        part: the names; of a long list, the first ones.
        device: the device that the members compute on.
    """
    most = max(1, int(np.searchsorted(part.ends, _MOST_WINDOWS)))
    part = part.first(most)
    if not part.names:
        return Mixture(equal_or([], len(members)))
    found = np.stack([probabilities_of(member, part, device) for member in members], axis=1)
    positions = np.arange(part.windows)
    counts = part.weights_at(positions)
    weights = _expectation_maximization(found, counts / counts.mean() if counts.any() else np.ones(len(counts)))
    weights[weights < min(_LEAST_WEIGHT, weights.max())] = 0
    return Mixture((weights / weights.sum()).tolist(), (-np.log(found).mean(axis=0)).tolist())


def probabilities_of(member: Member, part: Part, device: torch.device | None = None) -> NDArray[np.float64]:
    """Return the probability that a model gives to each symbol and each end of some names, float64 [windows].

    Args:
        member: the model.
        part: the names.
        device: that the model computes on; the CPU by default.
    """
    positions = np.arange(part.windows)
    contexts, targets = windows(part.tokens, positions, member.inputs.block_size)
    conditions = part.conditions_at(positions)
    rows = []
    with torch.no_grad():
        for first in range(0, len(contexts), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            given = (torch.from_numpy(each[chunk]).to(device) for each in (contexts, conditions))
            probabilities = member.probabilities(*given).cpu().numpy().astype(np.float64)
            rows.append(probabilities[np.arange(len(probabilities)), targets[chunk]])
    return np.maximum(np.concatenate(rows), np.finfo(np.float32).tiny)


def _expectation_maximization(found: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights, float64 [members], for probabilities [windows, members] that count so often each."""
    weights = np.full(found.shape[1], 1 / found.shape[1])
    for _ in range(_ROUNDS):
        explained = found * weights
        explained *= (counts / explained.sum(axis=1))[:, None]
        weights = explained.sum(axis=0) + _PSEUDO_COUNT
        weights /= weights.sum()
    return weights
