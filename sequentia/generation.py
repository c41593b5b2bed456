"""Sampling of names, symbol by symbol, from a loaded model or a network in training.

Names with the same beginning share a node, and each node's distribution is computed once. At each step, every name
draws a symbol from its node's distribution and moves to the node for that symbol.
"""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from .logit_cache import LogitCache
from .options import Plan
from .rejection import REASONS, Acceptance, Drawn, Rejection
from .sampling import draw_symbols, uniforms_of, weights
from .vocabulary import Names, Vocabulary
from .windows import context_after

if TYPE_CHECKING:
    from concurrent.futures import Future

_MAX_BATCH: Final = 1 << 17
_MAX_BATCH_NUMBERS: Final = 1 << 22  # logits, or uniform numbers; but a batch has at least _MIN_BATCH names
_MIN_BATCH: Final = 8
_CANDIDATES: Final = 1 << 12  # drawn at once in place of rejected names


def stream_names(
    cache: LogitCache, vocabulary: Vocabulary, plan: Plan, wanted: int | None = None, workers: int = 1
) -> Iterator[Names]:
    """Yield the names of a stream in index order, in batches that are never empty.

    Args:
        cache: computes the logits.
        vocabulary: the alphabet.
        plan: the checked sampling options.
        wanted: number of names; by default the stream is endless.
        workers: threads that draw names, used if there is more than one batch.

    Raises:
        GenerationError: if the options leave no name to draw, or with ``unique`` no other one.
    """
    if wanted == 0:
        return
    acceptance = Acceptance(plan, vocabulary)
    with closing(_batches(cache, vocabulary, plan, wanted, acceptance, workers)) as batches:
        for drawn in batches:
            remaining = None if wanted is None else wanted - acceptance.accepted
            names = acceptance.accept(drawn, remaining)
            if len(names):
                yield names
            if len(names) == remaining:
                return
            acceptance.check_patience()


def _batches(
    cache: LogitCache, vocabulary: Vocabulary, plan: Plan, wanted: int | None, acceptance: Acceptance, workers: int
) -> Generator[Drawn, None, None]:
    """Yield endless batches of names.

    A batch has as many names as are still wanted or, in an endless stream, as were accepted so far. After many repeats
    in a row it has as many as were dropped.
    """
    rejection = Rejection(plan, vocabulary)
    max_batch, drawn = _batch_limit(cache, plan), 0
    while workers == 1 or wanted is None or wanted - acceptance.accepted <= max_batch:
        remaining = acceptance.accepted if wanted is None else wanted - acceptance.accepted
        count = min(max(remaining, acceptance.repeats_in_a_row, 1), max_batch)
        yield draw(cache, plan, rejection, drawn, count)
        drawn += count
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and rarely needed

    with ThreadPoolExecutor(workers, thread_name_prefix="sequentia") as pool:
        pending: deque[Future[Drawn]] = deque()
        try:
            while True:
                while len(pending) <= workers and (plan.unique or drawn < wanted):
                    count = max_batch if plan.unique else min(max_batch, wanted - drawn)
                    pending.append(pool.submit(draw, cache, plan, rejection, drawn, count))
                    drawn += count
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def draw_shard(cache: LogitCache, vocabulary: Vocabulary, plan: Plan, first: int, count: int) -> Iterator[Names]:
    """Yield the names ``first`` … ``first + count - 1`` of a stream without ``unique``, in batches.

    Each name is drawn on its own. So shards can be drawn on different machines and joined to give the stream.

    Raises:
        GenerationError: if all attempts at a name are rejected.
    """
    rejection, acceptance = Rejection(plan, vocabulary), Acceptance(plan, vocabulary)
    max_batch = _batch_limit(cache, plan)
    for start in range(first, first + count, max_batch):
        names = acceptance.accept(draw(cache, plan, rejection, start, min(max_batch, first + count - start)))
        if len(names):
            yield names
        acceptance.check_patience()


def _batch_limit(cache: LogitCache, plan: Plan) -> int:
    return min(_MAX_BATCH, max(_MIN_BATCH, _MAX_BATCH_NUMBERS // max(cache.ids, plan.draws_per_name)))


def draw(cache: LogitCache, plan: Plan, rejection: Rejection, first: int, count: int) -> Drawn:
    """Return the names ``first`` … ``first + count - 1`` of a stream; fewer if all attempts at one are rejected.

    A name that is rejected is drawn again, as its next attempt, so that no name depends on another. The first names
    are completed before later ones are drawn again. So what nothing can meet fails after a few thousand candidates.
    """
    names = _attempts(cache, plan, first, np.arange(count), range(1))[0]
    if not rejection.selective:
        return Drawn(names)
    reasons = rejection.reasons(names)
    rejected = np.zeros((count, len(REASONS)), dtype=np.int32)
    rows = np.flatnonzero(reasons)
    rejected[rows, reasons[rows] - 1] = 1
    at_once = min(_CANDIDATES, _batch_limit(cache, plan))
    waiting = [(rows, 1)]  # a stack of rows and their next attempt; the lowest rows are on top
    while waiting:
        rows, attempt = waiting.pop()
        if not len(rows):
            continue
        if attempt == rejection.max_attempts:
            missing = int(rows[0])
            return Drawn(names[:missing], rejected[: missing + 1])
        # As many attempts at once as there were before, so that few rows do not take many steps.
        number = min(attempt, at_once, rejection.max_attempts - attempt)
        most = at_once // number
        if len(rows) > most:
            waiting.append((rows[most:], attempt))
            rows = rows[:most]
        drawn = _attempts(cache, plan, first, rows, range(attempt, attempt + number))
        reasons = rejection.reasons(drawn.reshape(-1, plan.max_length)).reshape(number, len(rows))
        before = np.logical_and.accumulate(reasons > 0, axis=0)  # attempts before the first that passes
        for reason in range(len(REASONS)):
            rejected[rows, reason] += (before & (reasons == reason + 1)).sum(axis=0)
        passing = before.sum(axis=0)
        found = np.flatnonzero(passing < number)
        names[rows[found]] = drawn[passing[found], found]
        waiting.append((rows[passing == number], attempt + number))
    return Drawn(names, rejected)


def _attempts(
    cache: LogitCache, plan: Plan, first: int, rows: NDArray[np.intp], attempts: range
) -> NDArray[np.unsignedinteger]:
    """Return attempts at the names with the indices ``first + rows``, unsigned [attempts, rows, max_length].

    Args:
        cache: computes the logits.
        plan: the options.
        first: index of the batch's first name.
        rows: rows of the batch, in rising order.
        attempts: the attempts to make.
    """
    start, count = len(plan.prefix), len(attempts) * len(rows)
    names: Names = np.zeros((count, plan.max_length), dtype=np.min_scalar_type(cache.ids - 1))
    names[:, :start] = plan.prefix
    uniform = [uniforms_of(plan.seed, first, rows, plan.draws_per_name, attempt) for attempt in attempts]
    together = uniform[0] if len(uniform) == 1 else np.concatenate(uniform)
    draw_symbols(_Nodes(cache, plan, count), together[:, : plan.max_length - start], names[:, start:])
    return names.reshape(len(attempts), len(rows), plan.max_length)


class _Nodes:
    """The nodes of unfinished names.

    A node is a context and a state of the constraint. The next symbol's distribution depends on nothing else.

    Args:
        cache: computes the logits.
        plan: the options.
        count: number of names; all start after the prefix.
    """

    def __init__(self, cache: LogitCache, plan: Plan, count: int) -> None:
        self._cache, self._plan = cache, plan
        self._length = len(plan.prefix)
        self._context = context_after(plan.prefix, cache.block_size).astype(np.min_scalar_type(cache.ids - 1))
        self._state: NDArray[np.integer] = np.array([plan.start])
        self._node_of_name = np.zeros(count, dtype=np.intp)

    def distributions(self) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
        """Return the relative probabilities at each node, [nodes, ids], and the node of each name, [names]."""
        plan = self._plan
        relative = weights(
            self._cache.distances(self._context),
            temperature=plan.temperature,
            top_k=plan.top_k,
            top_p=plan.top_p,
            allowed=plan.constraint.allowed(self._length, self._state),
        )
        return relative, self._node_of_name

    def advance(self, names: NDArray[np.intp], symbols: NDArray[np.int64]) -> None:
        """Append a symbol, [n], to each of the given names, [n], and drop all others."""
        ids, nodes = self._cache.ids, len(self._context)
        edges, self._node_of_name = _unique_inverse(self._node_of_name[names] * ids + symbols, nodes * ids)
        parent = edges // ids
        symbol = edges - parent * ids
        context = self._context.take(parent, axis=0)
        context[:, :-1] = context[:, 1:]
        context[:, -1] = symbol
        self._context, self._state = context, self._plan.constraint.after(self._state[parent], symbol)
        self._length += 1
        if self._length > self._cache.block_size and len(context) > 1:
            self._merge()

    def _merge(self) -> None:
        """Merge nodes that differ only in symbols older than the context."""
        keys = self._cache.keys(self._context)
        if keys is None:
            return
        _, first, node = np.unique(keys, return_index=True, return_inverse=True)
        if self._state.any():
            pairs = node * (int(self._state.max()) + 1) + self._state
            _, first, node = np.unique(pairs, return_index=True, return_inverse=True)
        self._context, self._state = self._context[first], self._state[first]
        self._node_of_name = node[self._node_of_name]


def _unique_inverse(values: NDArray[np.intp], limit: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct values, in any order, and which of them each value is; in linear time, for values < limit."""
    if len(values) == 1:
        return values, np.zeros(1, dtype=np.intp)
    places = np.arange(len(values), dtype=np.int32)
    last = np.empty(limit, dtype=np.int32)  # where each value occurs last
    last[values] = places
    distinct = values[last.take(values) == places]
    last[distinct] = places[: len(distinct)]  # from here on, its number
    return distinct, last.take(values).astype(np.intp)
