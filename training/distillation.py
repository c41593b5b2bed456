"""Distillation: a network learns the probabilities that a teacher gives, also on names that the teacher invents.

The teacher is a mixture of trained models. The text shows one next symbol for each context. The teacher gives the
probability of every symbol there, and can invent any number of further contexts. The network therefore overfits the
text less, and comes close to the mixture at the cost of a single network (Hinton, Vinyals and Dean 2015, "Distilling
the knowledge in a neural network"; Kim and Rush 2016, "Sequence-level knowledge distillation").
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sequentia.sampling import draw_symbols, draws_per_name, running_sums, uniforms
from sequentia.vocabulary import BOUNDARY
from sequentia.windows import windows

from .checkpoint import Checkpoint
from .corpus import Tokens, count_names
from .kinds import DescentRecipe
from .team import Team

_MAX_CONTEXTS: Final = 1 << 17
_MAX_BYTES: Final = 1 << 26
_PASSES: Final = 4  # over the contexts of a lesson
_CHUNK: Final = 2048


class Teacher:
    """A mixture of models that labels contexts from the text and from names that it invents.

    It may read longer contexts than its learner. The learner then sees only the newest symbols of each context, and
    learns the average of what follows them.

    Attributes:
        block_size: symbols of context.
        device: the device that it computes on.

    Args:
        members: finished runs on the same text.
        recipe: the learner's recipe.
        tokens: the text, each name followed by the boundary.
        max_length: symbols in the longest name.
        device: the device to compute on.
        team: the training processes; each has a part of the text and labels its share of the contexts.
    """

    def __init__(
        self,
        members: Sequence[Checkpoint],
        recipe: DescentRecipe,
        tokens: Tokens,
        max_length: int,
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        weights = recipe.teacher_weights or [1.0] * len(members)
        self._members = [
            (member.network().for_inference().to(device), member.record.recipe.block_size, weight / sum(weights))
            for member, weight in zip(members, weights, strict=True)
        ]
        self._ids = len(members[0].record.vocabulary) + 1
        self.block_size = max(recipe.block_size, *(block_size for _, block_size, _ in self._members))
        self._learner_block_size, self._seed = recipe.block_size, recipe.seed
        self._tokens, self._max_length, self.device, self._team = tokens, max_length, device, team or Team()
        own = torch.tensor([count_names(tokens)], device=device)
        names = int(self._team.merged(slice(self._team.rank, self._team.rank + 1), own, self._team.size).sum())
        length = self._team.length(tokens)
        needed = recipe.batch_size * recipe.steps // _PASSES
        contexts = max(recipe.batch_size, min(needed, _MAX_CONTEXTS, _MAX_BYTES // (4 * self._ids)))
        self._names = max(1, contexts // 2 * names // length)
        self._positions = contexts // 2
        self.steps_per_lesson = math.ceil(_PASSES * contexts / recipe.batch_size)

    @torch.no_grad()
    def probabilities(self, contexts: Tensor) -> Tensor:
        """Return the mixture's probabilities, float32 [n, ids], after contexts int64 [n, block_size]."""
        rows = []
        for chunk in torch.split(contexts, _CHUNK):
            mixed = torch.zeros((len(chunk), self._ids), device=self.device)
            for network, block_size, weight in self._members:
                mixed += weight * network(chunk[:, -block_size:]).softmax(dim=1)
            rows.append(mixed)
        return torch.cat(rows)

    def shared_probabilities(self, contexts: Tensor) -> Tensor:
        """Return :meth:`probabilities`, computed jointly. Each process takes whole chunks, so that the bits agree."""
        mask = np.arange(len(contexts)) // _CHUNK % self._team.size == self._team.rank
        own = contexts[torch.from_numpy(mask).to(self.device)]
        return self._team.merged(mask, self.probabilities(own), len(contexts))

    def predict(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return log probabilities to use as logits, float32 [n, ids], after contexts int64 [n, block_size]."""
        logits: NDArray[np.float32] = self.probabilities(torch.from_numpy(contexts).to(self.device)).log().cpu().numpy()
        return logits

    def lesson(self, number: int) -> tuple[Tensor, Tensor]:
        """Return contexts with the probabilities of the next symbol: half from the text, half from new invented names.

        Args:
            number: the lesson's index, from 0; the same index gives the same lesson.

        Returns:
            Contexts, int64 [n, the learner's block_size]; probabilities, float32 [n, ids].
        """
        length = self._team.length(self._tokens)
        positions = np.random.default_rng((self._seed, number)).integers(0, length, self._positions)
        which, own = self._team.own(positions)
        contexts = torch.from_numpy(windows(self._tokens, own, self.block_size)[0]).to(self.device)
        contexts = self._team.merged(which, contexts, len(positions))
        invented, invented_probabilities = self._invent(number * self._names)
        learner_contexts = torch.cat([contexts, invented])[:, -self._learner_block_size :]
        return learner_contexts, torch.cat([self.shared_probabilities(contexts), invented_probabilities])

    def _invent(self, first: int) -> tuple[Tensor, Tensor]:
        """Return all contexts of the teacher's names from index ``first`` on, with the next symbol's probabilities."""
        draws = self._max_length + 1
        uniform = uniforms(self._seed, first, self._names, draws_per_name(draws))[:, :draws]
        recorder = _Recorder(self, self._names)
        draw_symbols(recorder, uniform, np.zeros(uniform.shape, dtype=np.int64))
        return torch.cat(recorder.contexts), torch.cat(recorder.rows)


class _Recorder:
    """Names that a teacher is drawing, with a record of all their contexts.

    Attributes:
        contexts: the contexts of the unfinished names at each step, int64 [names, block_size].
        rows: the probabilities after these contexts, float32 [names, ids].
    """

    def __init__(self, teacher: Teacher, names: int) -> None:
        self._teacher = teacher
        self._context = torch.full((names, teacher.block_size), BOUNDARY, device=teacher.device)
        self.contexts: list[Tensor] = []
        self.rows: list[Tensor] = []

    def distributions(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        self.contexts.append(self._context)
        self.rows.append(self._teacher.shared_probabilities(self._context))
        return running_sums(self.rows[-1].cpu().numpy()), np.arange(len(self._context))

    def advance(self, symbols: NDArray[np.int64]) -> NDArray[np.intp]:
        device, going = self._context.device, np.flatnonzero(symbols != BOUNDARY)
        kept = self._context[torch.from_numpy(going).to(device), 1:]
        self._context = torch.cat([kept, torch.from_numpy(symbols[going, None]).to(device)], dim=1)
        return going
