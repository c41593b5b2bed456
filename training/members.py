"""The members of a teacher's mixture: runs on the same list, and finished models of any other list."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sequentia import artifact
from sequentia.arithmetic import Inputs
from sequentia.artifact import CONFIG, Artifact
from sequentia.session import Session
from sequentia.vocabulary import BOUNDARY

from .checkpoint import Checkpoint, RunRecord
from .parts import Part
from .starting import links_to, shares
from .team import Team

_PLACES: Final = 3  # where a symbol stands: first, behind a letter, behind something else


class Member(Protocol):
    """One model of a mixture, in the ids of the learner.

    Attributes:
        inputs: what it reads.
    """

    inputs: Inputs

    def probabilities(self, contexts: Tensor, conditions: Tensor) -> Tensor:
        """Return the probabilities of the next symbol, float32 [n, ids].

        Args:
            contexts: int64 [n, block_size].
            conditions: int64 [n, conditions].
        """


class RunMember:
    """A finished run on the learner's list.

    Args:
        checkpoint: the run's.
        device: the device to compute on.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.inputs = checkpoint.record.inputs
        self._network = checkpoint.network().for_inference().to(device)

    def probabilities(self, contexts: Tensor, conditions: Tensor) -> Tensor:
        """Return the probabilities of the next symbol, float32 [n, ids]; see :class:`Member`."""
        found: Tensor = self._network(contexts, conditions).softmax(dim=1)
        return found


class ModelMember:
    """A finished model of another list, which may be of any kind.

    A symbol that it lacks counts as the same letter in another case, or without accents. Several symbols that count as
    one share its probability: as often as each of them occurs in the list as a first symbol, behind a letter, or behind
    anything else. Symbols that are new to the model have the probability that they have there in the list, whatever
    comes before; for the model, a name starts anew behind them. It is told the conditions that it shares with the list.

    Args:
        source: the model.
        vocabulary: the learner's symbols, in id order.
        values: those of each of the learner's conditions.
        where: what is said of the model's other conditions, as ``condition=value``.
        counts: how often each symbol of the list is at each place, float64 [3, ids]; see :func:`count_places`.
    """

    def __init__(
        self,
        source: Artifact,
        vocabulary: Sequence[str],
        values: Mapping[str, Sequence[str]],
        where: Sequence[str],
        counts: Tensor,
    ) -> None:
        config = source.config
        self._links = links_to(config, vocabulary, values, where)
        self._again = partial(links_to, config, vocabulary, values)
        self.inputs = Inputs(config.block_size, len(vocabulary) + 1, tuple(len(each) + 1 for each in values.values()))
        self._session, self._places = Session(source), places_of(vocabulary)
        symbols = self._links.symbols
        smoothed = counts.double().cpu().numpy()
        smoothed = smoothed + (smoothed.sum(axis=0) + 1e-3) / smoothed.sum()  # as if one more had been seen
        new = symbols < 0
        self._new = np.where(new, smoothed / smoothed.sum(axis=1, keepdims=True), 0.0)
        self._shares = np.where(new, 0.0, np.stack([shares(symbols, row) for row in smoothed]))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which ids of the learner correspond to one of the model's, bool [ids]."""
        return self._links.symbols >= 0

    def told(self, where: Sequence[str]) -> "ModelMember":
        """Return the same model, to which something else is said of its other conditions."""
        other = copy.copy(self)
        other._links = self._again(where)
        return other

    def probabilities(self, contexts: Tensor, conditions: Tensor) -> Tensor:
        """Return the probabilities of the next symbol, float32 [n, ids]; see :class:`Member`."""
        given, told = contexts.cpu().numpy(), conditions.cpu().numpy()
        symbols = self._links.symbols
        read = symbols[given]
        unknown = (read < 0)[:, ::-1]
        read[np.logical_or.accumulate(unknown, axis=1)[:, ::-1]] = BOUNDARY
        said = np.tile(np.array(self._links.said, dtype=np.int64), (len(given), 1))
        for own, (column, ids) in zip(told.T, self._links.values, strict=True):
            if column >= 0:
                said[:, column] = np.maximum(ids, 0)[own]
        logits = self._session.logits(read, said).astype(np.float64)
        theirs = np.exp(logits - logits.max(axis=1, keepdims=True))
        places = self._places[given[:, -1]]
        known = theirs[:, np.maximum(symbols, 0)] * self._shares[places]
        new = self._new[places]
        found = new + known * ((1 - new.sum(axis=1)) / known.sum(axis=1))[:, None]
        return torch.from_numpy(found.astype(np.float32)).to(contexts.device)


def places_of(vocabulary: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return at which place a symbol behind each id stands, int64 [ids]: 0, 1 or 2 as in :func:`count_places`."""
    return np.array([0, *(1 if symbol.isalpha() else 2 for symbol in vocabulary)])


def count_places(part: Part, vocabulary: Sequence[str], team: Team, device: torch.device) -> Tensor:
    """Return how often each id is the first of a name, behind a letter, and behind something else, float64 [3, ids].

    Args:
        part: this process's names.
        vocabulary: the symbols, in id order.
        team: the training processes.
        device: that they compute on.
    """
    ids, tokens = len(vocabulary) + 1, part.tokens.astype(np.int64)
    places = places_of(vocabulary)[np.concatenate([[BOUNDARY], tokens[:-1]])]
    counts = np.bincount(places * ids + tokens, minlength=_PLACES * ids).astype(np.float64)
    own = torch.from_numpy(counts).to(device)[None]
    return team.merged(slice(team.rank, team.rank + 1), own, team.size).sum(dim=0).view(_PLACES, ids)


def read_members(
    places: Sequence[Path], record: RunRecord, part: Part, device: torch.device, team: Team | None = None
) -> list[Member]:
    """Return the members of a run's teacher.

    Args:
        places: their folders: finished runs, and copies of models.
        record: the run.
        part: the names that it trains on, or this process's part of them.
        device: the device to compute on.
        team: the training processes.
    """
    recipe, counts = record.recipe.descent, None
    members: list[Member] = []
    for place in places:
        if (place / CONFIG).is_file():
            counts = count_places(part, record.vocabulary, team or Team(), device) if counts is None else counts
            source, where = artifact.read(place), recipe.model_where if recipe is not None else []
            members.append(ModelMember(source, record.vocabulary, record.values, where, counts))
        else:
            members.append(RunMember(Checkpoint.load(place), device))
    return members
