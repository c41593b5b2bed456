"""Distillation: a network learns the probabilities that a teacher gives, also on names that the teacher invents.

The teacher is a mixture of trained models. The text shows one next symbol for each context. The teacher gives the
probability of every symbol there, and can invent any number of further contexts. The network therefore overfits the
text less, and comes close to the mixture at the cost of a single network (Hinton, Vinyals and Dean 2015, "Distilling
the knowledge in a neural network"; Kim and Rush 2016, "Sequence-level knowledge distillation").
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sequentia.sampling import draw_symbols, draws_per_name, running_sums, uniforms
from sequentia.vocabulary import BOUNDARY
from sequentia.windows import windows

from .kinds import DescentRecipe, hidden
from .members import Member
from .parts import Part
from .team import Team, Which

_MAX_CONTEXTS: Final = 1 << 17
_MAX_BYTES: Final = 1 << 26
PASSES: Final = 4  # over the contexts of a lesson
_CHUNK: Final = 2048


class Lesson(NamedTuple):
    """What a teacher says of some contexts.

    Attributes:
        contexts: int64 [n, the learner's block_size].
        conditions: int64 [n, conditions], 0 where one is hidden.
        probabilities: of the next symbol, float32 [n, ids].
    """

    contexts: Tensor
    conditions: Tensor
    probabilities: Tensor


class Teacher:
    """A mixture of models that labels contexts from the text and from names that it invents.

    It may read longer contexts than its learner. The learner then sees only the newest symbols of each context, and
    learns the average of what follows them. Conditions are hidden from both alike.

    Attributes:
        inputs: what it reads.
        block_size: symbols of context.
        device: the device that it computes on.

    Args:
        members: its models.
        weights: the share of each model in the mixture; those with 0 are left out.
        recipe: the learner's recipe.
        part: the names.
        max_length: symbols in the longest name.
        device: the device to compute on.
        team: the training processes; each has a part of the text and labels its share of the contexts.
    """

    def __init__(
        self,
        members: Sequence[Member],
        weights: Sequence[float],
        recipe: DescentRecipe,
        part: Part,
        max_length: int,
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        self._members = [
            (member, member.inputs.block_size, weight)
            for member, weight in zip(members, weights, strict=True)
            if weight
        ]
        self.block_size = max(recipe.block_size, *(block_size for _, block_size, _ in self._members))
        self.inputs = members[0].inputs._replace(block_size=self.block_size)
        self._ids, self._recipe = self.inputs.ids, recipe
        self._part, self._max_length, self.device, self._team = part, max_length, device, team or Team()
        own = torch.tensor([[part.names, part.windows]], device=device)
        totals = self._team.merged(slice(self._team.rank, self._team.rank + 1), own, self._team.size).sum(dim=0)
        names, length = totals.tolist()
        needed = recipe.batch_size * recipe.steps // PASSES
        contexts = max(recipe.batch_size, min(needed, _MAX_CONTEXTS, _MAX_BYTES // (4 * self._ids)))
        self._names = max(1, contexts // 2 * names // length)
        self._positions = contexts // 2
        self.steps_per_lesson = math.ceil(PASSES * contexts / recipe.batch_size)

    @torch.no_grad()
    def probabilities(self, contexts: Tensor, conditions: Tensor) -> Tensor:
        """Return the mixture's probabilities, float32 [n, ids].

        Args:
            contexts: int64 [n, block_size].
            conditions: int64 [n, conditions].
        """
        rows = []
        for chunk, said in zip(torch.split(contexts, _CHUNK), torch.split(conditions, _CHUNK), strict=True):
            mixed = torch.zeros((len(chunk), self._ids), device=self.device)
            for member, block_size, weight in self._members:
                mixed += weight * member.probabilities(chunk[:, -block_size:], said)
            rows.append(mixed)
        return torch.cat(rows)

    def shared_probabilities(self, contexts: Tensor, conditions: Tensor) -> Tensor:
        """Return :meth:`probabilities`, computed jointly. Each process takes whole chunks, so that the bits agree."""
        mask = np.arange(len(contexts)) // _CHUNK % self._team.size == self._team.rank
        own = torch.from_numpy(mask).to(self.device)
        return self._team.merged(mask, self.probabilities(contexts[own], conditions[own]), len(contexts))

    def predict(self, contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return log probabilities to use as logits, float32 [n, ids]; by default, no condition is said."""
        said = np.zeros((len(contexts), len(self.inputs.values)), dtype=np.int64) if conditions is None else conditions
        given = (torch.from_numpy(each).to(self.device) for each in (contexts, said))
        logits: NDArray[np.float32] = self.probabilities(*given).log().cpu().numpy()
        return logits

    def lesson(self, number: int) -> Lesson:
        """Return contexts with the probabilities of the next symbol: half from the text, half from new invented names.

        Args:
            number: the lesson's index, from 0; the same index gives the same lesson.
        """
        random = np.random.default_rng((self._recipe.seed, number))
        places = random.integers(0, self._team.places(self._part), self._positions)
        which, positions = self._own(places)
        contexts = torch.from_numpy(windows(self._part.tokens, positions, self.block_size)[0]).to(self.device)
        contexts = self._team.merged(which, contexts, len(places))
        conditions = self._conditions(random, places)
        invented = self._invent(number * self._names, random)
        return Lesson(
            torch.cat([contexts, invented.contexts])[:, -self._recipe.block_size :],
            torch.cat([conditions, invented.conditions]),
            torch.cat([self.shared_probabilities(contexts, conditions), invented.probabilities]),
        )

    def _own(self, places: NDArray[np.int64]) -> tuple[Which, NDArray[np.int64]]:
        """Return which places lie in this process's part, and their positions in its tokens."""
        which, own = self._team.own(places)
        return which, self._part.positions(own)

    def _conditions(self, random: np.random.Generator, places: NDArray[np.int64]) -> Tensor:
        """Return the conditions of the names at some places, int64 [n, conditions]; some are hidden."""
        which, positions = self._own(places)
        own = torch.from_numpy(self._part.conditions_at(positions)).to(self.device)
        conditions = self._team.merged(which, own, len(places))
        mask = hidden(random.random, len(places), conditions.shape[1], self._recipe.condition_dropout)
        return conditions.masked_fill(torch.from_numpy(mask).to(self.device), 0)

    def _invent(self, first: int, random: np.random.Generator) -> Lesson:
        """Return all contexts of the teacher's names from index ``first`` on.

        The conditions are those at places of the text. So those of long names are somewhat more frequent.
        """
        draws = self._max_length + 1
        uniform = uniforms(self._recipe.seed, first, self._names, draws_per_name(draws))[:, :draws]
        conditions = torch.zeros((self._names, 0), dtype=torch.int64, device=self.device)
        if self.inputs.values:
            conditions = self._conditions(random, random.integers(0, self._team.places(self._part), self._names))
        recorder = _Recorder(self, conditions)
        draw_symbols(recorder, uniform, np.zeros(uniform.shape, dtype=np.int64))
        return Lesson(torch.cat(recorder.contexts), torch.cat(recorder.conditions), torch.cat(recorder.rows))


class _Recorder:
    """Names that a teacher is drawing, with a record of all their contexts.

    Attributes:
        contexts: the contexts of the unfinished names at each step, int64 [names, block_size].
        conditions: those of the names, int64 [names, conditions].
        rows: the probabilities after these contexts, float32 [names, ids].
    """

    def __init__(self, teacher: Teacher, conditions: Tensor) -> None:
        self._teacher, self._conditions = teacher, conditions
        self._context = torch.full((len(conditions), teacher.block_size), BOUNDARY, device=teacher.device)
        self.contexts: list[Tensor] = []
        self.conditions: list[Tensor] = []
        self.rows: list[Tensor] = []

    def distributions(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        self.contexts.append(self._context)
        self.conditions.append(self._conditions)
        self.rows.append(self._teacher.shared_probabilities(self._context, self._conditions))
        return running_sums(self.rows[-1].cpu().numpy()), np.arange(len(self._context))

    def advance(self, symbols: NDArray[np.int64]) -> NDArray[np.intp]:
        device, going = self._context.device, np.flatnonzero(symbols != BOUNDARY)
        rows = torch.from_numpy(going).to(device)
        kept, self._conditions = self._context[rows, 1:], self._conditions[rows]
        self._context = torch.cat([kept, torch.from_numpy(symbols[going, None]).to(device)], dim=1)
        return going
