"""Interpolated Kneser-Ney smoothing, as tables over contexts, and the mixture of such tables for conditions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product, zip_longest
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sequentia.architectures.base import combinations
from sequentia.arithmetic import Inputs
from sequentia.conditions import Said
from sequentia.errors import TrainingError

MAX_TABLE_BYTES: Final = 1 << 29
OWN: Final = 0.6
"""The weight of the names with the same values, beside that of the names that share all but the last of them."""

Ids = NDArray[np.int64]
Counts = NDArray[np.int32] | NDArray[np.float64]


def without_last(said: Said) -> Said:
    """Return conditions without the last of those that are said."""
    last = max(column for column, value in enumerate(said) if value)
    return (*said[:last], 0, *said[last + 1 :])


def of_names(ngrams: NDArray[np.int32], counts: Counts, said: Said) -> tuple[NDArray[np.int32], Counts]:
    """Return the n-grams of the names with some values, and their counts, without the columns of the values."""
    if not said:
        return ngrams, counts
    chosen = np.ones(len(ngrams), dtype=bool)
    for column, value in enumerate(said):
        if value:
            chosen &= ngrams[:, column] == value
    found, inverse = np.unique(ngrams[chosen][:, len(said) :], axis=0, return_inverse=True)
    return found, np.bincount(inverse.reshape(-1), counts[chosen], len(found)).astype(np.float64)


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
        starts: the first state of the contexts of each length, and the number of states.
    """

    longer: NDArray[np.int32]
    log_probabilities: NDArray[np.float32]
    starts: list[int]

    @classmethod
    def of(
        cls,
        ngrams: NDArray[np.int32],
        counts: Counts,
        discounts: Sequence[float],
        vocabulary_size: int,
        most_bytes: int = MAX_TABLE_BYTES,
        least_count: int = 0,
    ) -> Self:
        """Smooth counted n-grams by interpolated Kneser-Ney (Chen and Goodman 1999, section 4.1.6).

        With c(h, s) the count of symbol s after context h, D the discount of its order and h' the context without its
        oldest symbol::

            p(s | h) = max(c(h, s) - D, 0) / c(h) + D * (symbols seen after h) / c(h) * p(s | h')

        At the highest order, c counts occurrences. At lower orders, it counts the different symbols before (h, s),
        because those orders matter only for contexts that the higher ones have not seen. Single symbols are
        interpolated with the uniform distribution. From a count below D, as weights give, no more than itself is
        subtracted.

        Args:
            ngrams: distinct n-grams, int32 [n, order], as :func:`count_ngrams` returns them.
            counts: their counts, [n].
            discounts: the discounts of order 1, 2 and so on; the last one applies to all higher orders.
            vocabulary_size: number of ids, the boundary included.
            most_bytes: that the tables may take.
            least_count: contexts that occur fewer times are no states: shorter ones stand for them.

        Raises:
            TrainingError: if the tables would take more.
        """
        every = list(levels(ngrams.astype(np.int64), counts, vocabulary_size))
        kept: list[Level] = []  # their occurrences are the counts to smooth
        starts = [0]  # first state of each level
        numbers = np.zeros(1, dtype=np.int64)  # of the contexts of a level among those kept, -1 for the others
        for level, deeper in zip_longest(every, every[1:]):
            weights = level.occurrences if deeper is None else continuations(level, deeper, vocabulary_size)
            own, numbers = level.frequent(least_count, numbers, weights, vocabulary_size)
            kept.append(own)
            starts.append(starts[-1] + len(own.parents))
            if 8 * starts[-1] * vocabulary_size > most_bytes:
                raise TrainingError(
                    f"{starts[-1]:,} contexts by {vocabulary_size:,} symbols make tables of more than "
                    f"{MAX_TABLE_BYTES >> 20} MiB; choose a lower order, leave out rare contexts (least_count), or for "
                    "words a larger rare, or a network"
                )
        longer = np.zeros((starts[-2], vocabulary_size), dtype=np.int32)
        for (before, start), level in zip(pairwise(starts[:-1]), kept[1:], strict=True):
            longer[before + level.parents, level.oldest] = start + np.arange(len(level.parents))
        log_probabilities = np.empty((starts[-1], vocabulary_size), dtype=np.float32)
        lower = np.full((1, vocabulary_size), 1 / vocabulary_size)
        for length, level in enumerate(kept):
            lower = _smoothed(level, level.occurrences, discount_after(length, discounts), lower[level.parents])
            log_probabilities[starts[length] : starts[length + 1]] = np.log(lower)
        return cls(longer, log_probabilities, starts)


@dataclass(frozen=True)
class Level:
    """All contexts of one length that occur, numbered from 0 within the level.

    Attributes:
        parents: each context without its oldest symbol, as a number in the previous level, int64 [contexts].
        oldest: each context's oldest symbol, int64 [contexts].
        grams: context and next symbol, as context * ids + symbol, distinct and sorted, int64 [grams].
        occurrences: count of each gram in the text, float64 [grams].
    """

    parents: Ids
    oldest: Ids
    grams: Ids
    occurrences: NDArray[np.float64]

    def frequent(self, least_count: int, numbers: Ids, weights: NDArray[np.float64], ids: int) -> tuple["Level", Ids]:
        """Return the level with the contexts alone that occur often enough, if their parents are kept.

        Args:
            least_count: how often a context has to occur; the empty one is always kept.
            numbers: of the contexts of the previous level among those kept, -1 for the others.
            weights: counts that replace the occurrences, float64 [grams].
            ids: number of ids, the boundary included.

        Returns:
            The level; the numbers of its contexts among those kept, -1 for the others.
        """
        context, target = np.divmod(self.grams, ids)
        parents = numbers[self.parents]
        often = np.bincount(context, self.occurrences, len(parents)) >= least_count
        keep = (parents >= 0) & (often | (len(parents) == 1))
        own = np.where(keep, np.cumsum(keep) - 1, -1)
        chosen = keep[context]
        grams = own[context[chosen]] * ids + target[chosen]
        return Level(parents[keep], self.oldest[keep], grams, weights[chosen]), own


def levels(ngrams: Ids, counts: Counts, ids: int) -> Iterator[Level]:
    """Yield the contexts of lengths 0, 1, …; each level adds one older symbol."""
    context = np.zeros(len(ngrams), dtype=np.int64)
    parents = oldest = context[:1]
    for column in (None, *ngrams[:, -2::-1].T):
        if column is not None:
            keys, context = np.unique(context * ids + column, return_inverse=True)
            parents, oldest = np.divmod(keys, ids)
        grams, gram = np.unique(context * ids + ngrams[:, -1], return_inverse=True)
        yield Level(parents, oldest, grams, np.bincount(gram, weights=counts).astype(np.float64))


def continuations(level: Level, deeper: Level, ids: int) -> NDArray[np.float64]:
    """Return the number of different symbols that precede each gram of a level, float64 [grams]."""
    context, target = np.divmod(deeper.grams, ids)
    shortened = deeper.parents[context] * ids + target
    return np.bincount(np.searchsorted(level.grams, shortened), minlength=len(level.grams)).astype(np.float64)


def _smoothed(
    level: Level, counts: NDArray[np.float64], discount: float, lower: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the probabilities after each context, float64 [contexts, ids]; ``lower`` has those after its parent."""
    context, target = np.divmod(level.grams, lower.shape[1])
    total = np.bincount(context, weights=counts, minlength=len(lower))
    taken = np.minimum(counts, discount)
    share = np.bincount(context, weights=taken, minlength=len(lower)) / total
    smoothed: NDArray[np.float64] = share[:, None] * lower
    smoothed[context, target] += (counts - taken) / total[context]
    return smoothed


def _chain(said: Said, known: Collection[Said]) -> list[tuple[Said, float]]:
    """Return the combinations of values that are mixed for one, each with its weight."""
    chain, weight = [], 1.0
    while any(said):
        if said in known:
            chain.append((said, weight * OWN))
            weight *= 1 - OWN
        said = without_last(said)
    return [*chain, (said, weight)]


def joined_tables(tables: Mapping[Said, BackOffTables], inputs: Inputs) -> tuple[Ids, BackOffTables]:
    """Return the tables of a mixture: for each combination of values that occurs, a state for each context of any name.

    Returns:
        The first state of every combination of values, those that do not occur included, int64 [combinations]; the
        tables, where the states of longer contexts have higher numbers.

    Raises:
        TrainingError: if the tables would take more than 512 MiB.
    """
    nothing = (0,) * len(inputs.values)
    everything, ids, known = tables[nothing], inputs.ids, list(tables)
    if not inputs.values:
        return np.zeros(1, dtype=np.int64), everything
    starts = everything.starts
    if 8 * starts[-1] * ids * len(known) > MAX_TABLE_BYTES:
        raise TrainingError(
            f"{starts[-1]:,} contexts by {ids:,} symbols by {len(known):,} combinations of values make tables of more "
            f"than {MAX_TABLE_BYTES >> 20} MiB; choose a lower order, or leave out a condition"
        )
    levels = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    # State i of length k, for combination c, gets the number starts[k] * combinations + c * states of length k + i.
    first = np.array([start * len(known) for start in starts[:-1]])
    sizes = np.diff(starts)
    places = first[levels] + np.arange(starts[-1]) - np.array(starts)[levels]
    longer = np.zeros((starts[-2] * len(known), ids), dtype=np.int32)
    rows = np.empty((starts[-1] * len(known), ids), dtype=np.float32)
    for number, said in enumerate(known):
        own = places + number * sizes[levels]
        inner = everything.longer
        reached = own[inner] if len(inner) else inner
        longer[own[: starts[-2]]] = np.where(inner > 0, reached, 0)
        mixed = np.zeros((starts[-1], ids))
        for part, weight in _chain(said, tables):
            states = _states_in(everything, tables[part])
            mixed += weight * np.exp(tables[part].log_probabilities[states].astype(np.float64))
        rows[own] = np.log(mixed)
    start = np.empty(combinations(inputs), dtype=np.int64)
    numbers = {said: number for number, said in enumerate(known)}
    for number, said in enumerate(product(*map(range, inputs.values))):
        start[number] = numbers[_chain(said, tables)[0][0]]
    return start, BackOffTables(longer, rows, [each * len(known) for each in starts])


def _states_in(everything: BackOffTables, own: BackOffTables) -> Ids:
    """Return, for each state of all names' tables, that of some names' tables where the same context leads, int64."""
    states = np.zeros(everything.starts[-1], dtype=np.int64)
    exact = np.zeros(everything.starts[-1], dtype=bool)  # whether it stands for the whole context
    exact[0] = True
    for begin, end in pairwise(everything.starts[:-1]):
        parent, symbol = np.nonzero(everything.longer[begin:end])
        child = everything.longer[begin + parent, symbol]
        known = exact[begin + parent] & (states[begin + parent] < len(own.longer))
        step = np.zeros(len(child), dtype=np.int64)
        step[known] = own.longer[states[begin + parent[known]], symbol[known]]
        exact[child] = step > 0
        states[child] = np.where(step > 0, step, states[begin + parent])
    return states


class BackOff(nn.Module):
    """An n-gram model that finds the longest known end of a context and returns that state's row of logits.

    With conditions, it does so in the tables of each combination of values that is mixed, and mixes the rows.

    Args:
        tables: the smoothed counts of the names with each combination of values that occurs.
        inputs: what the model reads.
        order: symbols in an n-gram.
    """

    def __init__(self, tables: Mapping[Said, BackOffTables], inputs: Inputs, order: int) -> None:
        super().__init__()
        self.order, self.inputs = order, inputs
        firsts = np.cumsum([0, *(each.starts[-1] for each in tables.values())])
        longer = [
            _padded(np.where(each.longer > 0, each.longer + first, 0), each.starts[-1])
            for each, first in zip(tables.values(), firsts, strict=False)
        ]
        number = dict(zip(tables, firsts.tolist(), strict=False))
        chains = [_chain(said, tables) for said in product(*map(range, inputs.values))]
        longest = max(map(len, chains))
        roots, weights = np.zeros((len(chains), longest), dtype=np.int64), np.zeros((len(chains), longest))
        for row, chain in enumerate(chains):
            roots[row, : len(chain)] = [number[said] for said, _ in chain]
            weights[row, : len(chain)] = [weight for _, weight in chain]
        self.longer: Tensor
        self.logits: Tensor
        self.roots: Tensor
        self.weights: Tensor
        self.register_buffer("longer", torch.from_numpy(np.concatenate(longer).astype(np.int32)).flatten())
        self.register_buffer(
            "logits", torch.from_numpy(np.concatenate([each.log_probabilities for each in tables.values()]))
        )
        self.register_buffer("roots", torch.from_numpy(roots))
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)))

    def forward(self, context: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids].

        Args:
            context: int64 [batch, block_size].
            conditions: int64 [batch, conditions]; by default, none is said.
        """
        if conditions is None or not self.inputs.values:
            return self.logits[self._reached(torch.zeros_like(context[:, 0]), context)]
        combination = torch.zeros_like(context[:, 0])
        for column, count in enumerate(self.inputs.values):
            combination = combination * count + conditions[:, column]
        mixed = torch.zeros((len(context), self.inputs.ids), device=context.device)
        for root, weight in zip(self.roots[combination].T, self.weights[combination].T, strict=True):
            mixed += weight[:, None] * self.logits[self._reached(root, context)].exp()
        return mixed.log()

    def _reached(self, state: Tensor, context: Tensor) -> Tensor:
        """Return the state of the longest known end of each context, int64 [batch], from that of the empty one."""
        known = torch.ones_like(state, dtype=torch.bool)
        for age in range(1, self.order):
            longer = self.longer[state * self.inputs.ids + context[:, -age]].to(torch.int64)
            known = known & (longer > 0)
            state = torch.where(known, longer, state)
        return state


def _padded(rows: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return rows with zeros behind them up to a number, for the states of the longest contexts."""
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]), dtype=rows.dtype)])
