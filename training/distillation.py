"""Distillation: a network learns a teacher's whole distributions, on names that the teacher invents.

The teacher is a mixture of trained models. One text holds one symbol after each context; the teacher says how probable
each symbol is there, and invents as many more contexts as are wanted. So a network learns from it without fitting the
text too closely, and takes on what a mixture knows at the cost of a single network (Hinton, Vinyals and Dean 2015,
"Distilling the knowledge in a neural network"; Kim and Rush 2016, "Sequence-level knowledge distillation").
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sequentia.sampling import draw_symbols, draws_per_name, uniforms
from sequentia.vocabulary import BOUNDARY
from sequentia.windows import windows

from .checkpoint import Checkpoint
from .corpus import Tokens, count_names
from .kinds import DescentRecipe
from .team import Team

_MOST_CONTEXTS: Final = 1 << 17
_MOST_BYTES: Final = 1 << 26
_PASSES: Final = 4
_CHUNK: Final = 2048


class Teacher:
    """A mixture of models that labels contexts of the text, and of names that it invents.

    It may look further back than its learner, which then sees the newest symbols of a context and learns what follows
    them on average.

    Attributes:
        block_size: symbols of context.
        device: where it computes.

    Args:
        members: finished runs on the same text.
        recipe: the learner's.
        tokens: the text, each name followed by the boundary.
        max_length: symbols of the longest name.
        device: where to compute.
        team: the processes that learn; each has its part of the text, and labels its share of the contexts.
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
        contexts = max(recipe.batch_size, min(needed, _MOST_CONTEXTS, _MOST_BYTES // (4 * self._ids)))
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
        """Return :meth:`probabilities`; each process computes whole chunks of them, so that the bits agree."""
        which = np.arange(len(contexts)) // _CHUNK % self._team.size == self._team.rank
        own = contexts[torch.from_numpy(which).to(self.device)]
        return self._team.merged(which, self.probabilities(own), len(contexts))

    def predict(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the mixture's log-probabilities, which serve as logits, [n, ids], after contexts [n, block_size]."""
        logits: NDArray[np.float32] = self.probabilities(torch.from_numpy(contexts).to(self.device)).log().cpu().numpy()
        return logits

    def lesson(self, number: int) -> tuple[Tensor, Tensor]:
        """Return contexts and what follows them: half of them from the text, half from names not invented before.

        Args:
            number: which lesson, from 0; the same number gives the same lesson.

        Returns:
            int64 [contexts, the learner's block_size]; float32 [contexts, ids].
        """
        length = self._team.length(self._tokens)
        positions = np.random.default_rng((self._seed, number)).integers(0, length, self._positions)
        which, own = self._team.own(positions)
        contexts = torch.from_numpy(windows(self._tokens, own, self.block_size)[0]).to(self.device)
        contexts = self._team.merged(which, contexts, len(positions))
        invented, follows = self._invent(number * self._names)
        shown = torch.cat([contexts, invented])[:, -self._learner_block_size :]
        return shown, torch.cat([self.shared_probabilities(contexts), follows])

    def _invent(self, first: int) -> tuple[Tensor, Tensor]:
        """Return every context of the names from index ``first`` on of the teacher's stream, and what follows it."""
        draws = self._max_length + 1
        uniform = uniforms(self._seed, first, self._names, draws_per_name(draws))[:, :draws]
        walk = _Recorder(self, self._names)
        draw_symbols(walk, uniform, np.zeros(uniform.shape, dtype=np.int64))
        return torch.cat(walk.contexts), torch.cat(walk.rows)


class _Recorder:
    """Names that a teacher draws, with every context on the way.

    Attributes:
        contexts: those met, int64 [n, block_size] for each symbol drawn.
        rows: the probabilities after them, float32 [n, ids].
    """

    def __init__(self, teacher: Teacher, names: int) -> None:
        self._teacher = teacher
        self._context = torch.full((names, teacher.block_size), BOUNDARY, device=teacher.device)
        self.contexts: list[Tensor] = []
        self.rows: list[Tensor] = []

    def distributions(self) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        self.contexts.append(self._context)
        self.rows.append(self._teacher.shared_probabilities(self._context))
        return self.rows[-1].cpu().numpy(), np.arange(len(self._context))

    def advance(self, names: NDArray[np.intp], symbols: NDArray[np.int64]) -> None:
        device = self._context.device
        kept = self._context[torch.from_numpy(names).to(device), 1:]
        self._context = torch.cat([kept, torch.from_numpy(symbols[:, None]).to(device)], dim=1)
