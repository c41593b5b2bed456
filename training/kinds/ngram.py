"""N-gram counts with interpolated Kneser-Ney smoothing: recipe, slow reference network, and tables for export."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final, Self

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sequentia.architectures import NGramArchitecture
from sequentia.architectures.ngram import Discounts, Order
from sequentia.arithmetic import LOGIT_BITS
from sequentia.errors import TrainingError
from sequentia.training.corpus import Tokens
from sequentia.training.counts import count_ngrams

from .base import BaseRecipe, BaseStructure, Exact, Network, rounded

_MAX_TABLE_BYTES: Final = 1 << 29

Ids = NDArray[np.int64]


class NGramStructure(BaseStructure, frozen=True, kw_only=True, tag="ngram"):
    """The sizes of an n-gram model.

    Attributes:
        order: symbols in an n-gram: the context and the symbol after it.
        discounts: numbers subtracted from the counts of order 1, 2 and so on; the last one applies to all higher
            orders.
    """

    order: Order
    discounts: Discounts


class NGramRecipe(BaseRecipe, frozen=True, kw_only=True, tag="ngram"):
    """N-gram counts with interpolated Kneser-Ney smoothing.

    Attributes:
        order: symbols in an n-gram: the context and the symbol after it.
        discounts: numbers subtracted from the counts of order 1, 2 and so on; the last one applies to all higher
            orders.
    """

    order: Order = 6
    discounts: Discounts

    @property
    def block_size(self) -> int:
        """Symbols of context; 1 for unigrams, which ignore it."""
        return max(1, self.order - 1)

    def structure(self, ids: int) -> NGramStructure:  # noqa: ARG002 - part of the interface
        """Return the structure; its number of parameters stays 0 until a text is counted."""
        return NGramStructure(order=self.order, discounts=self.discounts, parameters=0)

    def count(self, tokens: Tokens, ids: int) -> tuple[NGramStructure, dict[str, Tensor]]:
        """Return the structure, and the n-grams of the training part with their counts."""
        ngrams, counts = count_ngrams(tokens, self.order)
        structure = msgspec.structs.replace(self.structure(ids), parameters=len(ngrams))
        return structure, {"ngrams": torch.from_numpy(ngrams), "counts": torch.from_numpy(counts)}


class NGram(Network):
    """N-gram counts, smoothed for each context directly by the definition. It is slow and serves as a reference."""

    def __init__(self, ids: int, block_size: int, structure: NGramStructure) -> None:
        super().__init__(ids, block_size)
        self.structure = structure
        self.ngrams: Tensor
        self.counts: Tensor
        rows, order = structure.parameters, structure.order
        self.register_buffer("ngrams", torch.zeros((rows, order), dtype=torch.int32))
        self.register_buffer("counts", torch.zeros(rows, dtype=torch.int32))

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], after contexts int64 [batch, block_size]."""
        rows = [np.log(self._probabilities(symbols)) for symbols in context.cpu().numpy()]
        return torch.from_numpy(np.array(rows, dtype=np.float32)).to(context.device)

    def _probabilities(self, context: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each symbol after a context; see :meth:`BackOffTables.of` for the formula."""
        ids, order, discounts = self.ids, self.structure.order, self.structure.discounts
        ngrams, counts = self.ngrams.cpu().numpy(), self.counts.cpu().numpy()
        p = np.full(ids, 1 / ids)
        for length in range(order):
            if length:
                matching = ngrams[:, -1 - length] == context[-length]
                ngrams, counts = ngrams[matching], counts[matching]
            if not len(ngrams):
                break
            if length == order - 1:
                count = np.bincount(ngrams[:, -1], weights=counts, minlength=ids)
            else:
                before_and_after = np.zeros((ids, ids), dtype=bool)
                before_and_after[ngrams[:, -2 - length], ngrams[:, -1]] = True
                count = before_and_after.sum(axis=0)
            discount = discount_after(length, discounts)
            p = (np.maximum(count - discount, 0) + discount * np.count_nonzero(count) * p) / count.sum()
        return p

    def for_inference(self) -> "BackOff":
        """Return the smoothed counts as tables."""
        structure, ids = self.structure, self.ids
        counted = self.ngrams.cpu().numpy(), self.counts.cpu().numpy()
        tables = BackOffTables.of(*counted, structure.discounts, ids)
        return BackOff(tables, structure.order).to(self.counts.device).eval()

    def in_whole_numbers(self, bits: Mapping[str, int], contexts: NDArray[np.int64]) -> Exact:  # noqa: ARG002
        """Return the smoothed counts as tables, in steps of 1/256 nat."""
        structure = self.structure
        tables = BackOffTables.of(self.ngrams.cpu().numpy(), self.counts.cpu().numpy(), structure.discounts, self.ids)
        longer = tables.longer if len(tables.longer) else np.zeros((1, self.ids), dtype=np.int32)  # single symbols
        architecture = NGramArchitecture(
            parameters=structure.parameters,
            order=structure.order,
            discounts=structure.discounts,
            states=len(tables.log_probabilities),
            inner_states=len(longer),
        )
        logits = rounded(tables.log_probabilities, LOGIT_BITS)
        return architecture, {"longer": longer.astype(np.int64).reshape(-1), "table": logits}


def discount_after(length: int, discounts: Sequence[float]) -> float:
    """Return the discount after a context of ``length`` symbols; ``discounts`` are those of order 1, 2 and so on."""
    return discounts[min(length, len(discounts) - 1)]


@dataclass(frozen=True)
class BackOffTables:
    """An n-gram model as two tables. A state is a context, of any length, that occurs in the text.

    State 0 is the empty context. Starting there, read a context's symbols from the newest back: each leads to the state
    of the context with that symbol added, if it occurs.

    Attributes:
        longer: the next state for each state and symbol, 0 if it does not occur, int32 [states, ids], without the
            states of the longest contexts.
        log_probabilities: log probabilities of the next symbol in each state, in nats, float32 [states, ids].
    """

    longer: NDArray[np.int32]
    log_probabilities: NDArray[np.float32]

    @classmethod
    def of(
        cls, ngrams: NDArray[np.int32], counts: NDArray[np.int32], discounts: Sequence[float], vocabulary_size: int
    ) -> Self:
        """Smooth counted n-grams by interpolated Kneser-Ney (Chen and Goodman 1999, section 4.1.6).

        With c(h, s) the count of symbol s after context h, D the discount of its order and h' the context without its
        oldest symbol::

            p(s | h) = max(c(h, s) - D, 0) / c(h) + D * (symbols seen after h) / c(h) * p(s | h')

        At the highest order, c counts occurrences. At lower orders, it counts the different symbols before (h, s),
        because those orders matter only for contexts that the higher ones have not seen. Single symbols are
        interpolated with the uniform distribution.

        Args:
            ngrams: distinct n-grams, int32 [n, order], as :func:`count_ngrams` returns them.
            counts: their counts, int32 [n].
            discounts: the discounts of order 1, 2 and so on; the last one applies to all higher orders.
            vocabulary_size: number of ids, the boundary included.

        Raises:
            TrainingError: if the tables would take more than 512 MiB.
        """
        levels: list[_Level] = []
        starts = [0]  # first state of each level
        for level in _levels(ngrams.astype(np.int64), counts.astype(np.int64), vocabulary_size):
            levels.append(level)
            starts.append(starts[-1] + len(level.parents))
            if 8 * starts[-1] * vocabulary_size > _MAX_TABLE_BYTES:
                raise TrainingError(
                    f"{starts[-1]:,} contexts by {vocabulary_size:,} symbols make tables of more than "
                    f"{_MAX_TABLE_BYTES >> 20} MiB; choose a lower order"
                )
        longer = np.zeros((starts[-2], vocabulary_size), dtype=np.int32)
        for (before, start), level in zip(pairwise(starts[:-1]), levels[1:], strict=True):
            longer[before + level.parents, level.oldest] = start + np.arange(len(level.parents))
        log_probabilities = np.empty((starts[-1], vocabulary_size), dtype=np.float32)
        lower = np.full((1, vocabulary_size), 1 / vocabulary_size)
        for length, (level, deeper) in enumerate(zip_longest(levels, levels[1:])):
            weights = level.occurrences if deeper is None else _continuations(level, deeper, vocabulary_size)
            lower = _smoothed(level, weights, discount_after(length, discounts), lower[level.parents])
            log_probabilities[starts[length] : starts[length + 1]] = np.log(lower)
        return cls(longer, log_probabilities)


@dataclass(frozen=True)
class _Level:
    """All contexts of one length that occur, numbered from 0 within the level.

    Attributes:
        parents: each context without its oldest symbol, as a number in the previous level, int64 [contexts].
        oldest: each context's oldest symbol, int64 [contexts].
        grams: context and next symbol, as context * ids + symbol, distinct and sorted, int64 [grams].
        occurrences: count of each gram in the text, int64 [grams].
    """

    parents: Ids
    oldest: Ids
    grams: Ids
    occurrences: Ids


def _levels(ngrams: Ids, counts: Ids, ids: int) -> Iterator[_Level]:
    """Yield the contexts of lengths 0, 1, …; each level adds one older symbol."""
    context = np.zeros(len(ngrams), dtype=np.int64)
    parents = oldest = context[:1]
    for column in (None, *ngrams[:, -2::-1].T):
        if column is not None:
            keys, context = np.unique(context * ids + column, return_inverse=True)
            parents, oldest = np.divmod(keys, ids)
        grams, gram = np.unique(context * ids + ngrams[:, -1], return_inverse=True)
        yield _Level(parents, oldest, grams, np.bincount(gram, weights=counts).astype(np.int64))


def _continuations(level: _Level, deeper: _Level, ids: int) -> Ids:
    """Return the number of different symbols that precede each gram of a level, int64 [grams]."""
    context, target = np.divmod(deeper.grams, ids)
    shortened = deeper.parents[context] * ids + target
    return np.bincount(np.searchsorted(level.grams, shortened), minlength=len(level.grams))


def _smoothed(level: _Level, counts: Ids, discount: float, lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities after each context, float64 [contexts, ids]; ``lower`` has those after its parent."""
    context, target = np.divmod(level.grams, lower.shape[1])
    total = np.bincount(context, weights=counts, minlength=len(lower))
    share = discount * np.bincount(context, minlength=len(lower)) / total
    smoothed: NDArray[np.float64] = share[:, None] * lower
    smoothed[context, target] += np.maximum(counts - discount, 0) / total[context]
    return smoothed


class BackOff(nn.Module):
    """An n-gram model that finds the longest known end of a context and returns that state's row of logits.

    Args:
        tables: the smoothed counts.
        order: symbols in an n-gram.
    """

    def __init__(self, tables: BackOffTables, order: int) -> None:
        super().__init__()
        self.longer: Tensor
        self.logits: Tensor
        self.order, self.ids = order, tables.log_probabilities.shape[1]
        self.register_buffer("longer", torch.from_numpy(tables.longer).flatten())
        self.register_buffer("logits", torch.from_numpy(tables.log_probabilities))

    def forward(self, context: Tensor) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids], after contexts int64 [batch, block_size]."""
        state = torch.zeros_like(context[:, 0])
        known = torch.ones_like(state, dtype=torch.bool)
        for age in range(1, self.order):
            longer = self.longer[state * self.ids + context[:, -age]].to(torch.int64)
            known = known & (longer > 0)
            state = torch.where(known, longer, state)
        return self.logits[state]
