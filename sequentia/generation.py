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
from .rejection import Filter
from .sampling import draw_symbols, relative_probabilities, uniforms
from .vocabulary import Names, Vocabulary
from .windows import context_after

if TYPE_CHECKING:
    from concurrent.futures import Future

_MAX_BATCH: Final = 1 << 17
_MAX_BATCH_LOGITS: Final = 1 << 22  # except that a batch has at least _MIN_BATCH names
_MIN_BATCH: Final = 8


def stream_names(
    cache: LogitCache, vocabulary: Vocabulary, plan: Plan, wanted: int | None = None, workers: int = 1
) -> Iterator[Names]:
    """Yield the accepted names of a stream in index order, in batches that are never empty.

    Args:
        cache: computes the logits.
        vocabulary: the alphabet.
        plan: the checked sampling options.
        wanted: number of names; by default the stream is endless.
        workers: threads that draw names, used if there is more than one batch.

    Raises:
        GenerationError: if more than 10,000 candidates in a row are rejected, and more than were accepted before.
    """
    if wanted == 0:
        return
    name_filter = Filter(plan, vocabulary)
    with closing(_batches(cache, plan, wanted, name_filter, workers)) as batches:
        for candidates in batches:
            remaining = None if wanted is None else wanted - name_filter.accepted
            names = name_filter.accept(candidates, remaining)
            if len(names):
                yield names
            if len(names) == remaining:
                return
            name_filter.check_patience()


def _batches(
    cache: LogitCache, plan: Plan, wanted: int | None, name_filter: Filter, workers: int
) -> Generator[Names, None, None]:
    """Yield endless batches of candidates.

    A batch has as many candidates as names are still wanted or, in an endless stream, as were accepted so far. After
    many rejections in a row it has as many as were rejected.
    """
    max_batch, drawn = _batch_limit(cache), 0
    while workers == 1 or wanted is None or wanted - name_filter.accepted <= max_batch:
        remaining = name_filter.accepted if wanted is None else wanted - name_filter.accepted
        count = min(max(remaining, name_filter.dropped_in_a_row, 1), max_batch)
        yield draw(cache, plan, drawn, count)
        drawn += count
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and rarely needed

    with ThreadPoolExecutor(workers, thread_name_prefix="sequentia") as pool:
        pending: deque[Future[Names]] = deque()
        try:
            while True:
                while len(pending) <= workers and (name_filter.selective or drawn < wanted):
                    count = max_batch if name_filter.selective else min(max_batch, wanted - drawn)
                    pending.append(pool.submit(draw, cache, plan, drawn, count))
                    drawn += count
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def draw_shard(cache: LogitCache, vocabulary: Vocabulary, plan: Plan, first: int, count: int) -> Iterator[Names]:
    """Yield the accepted names among the candidates ``first`` … ``first + count - 1`` of a stream, in batches.

    Without ``unique``, each candidate is accepted or rejected on its own. So shards can be drawn on different machines
    and joined to give the stream.
    """
    name_filter = Filter(plan, vocabulary)
    max_batch = _batch_limit(cache)
    for start in range(first, first + count, max_batch):
        candidates = draw(cache, plan, start, min(max_batch, first + count - start))
        names = candidates[name_filter.passing(candidates)] if name_filter.selective else candidates
        if len(names):
            yield names


def _batch_limit(cache: LogitCache) -> int:
    return min(_MAX_BATCH, max(_MIN_BATCH, _MAX_BATCH_LOGITS // cache.ids))


def draw(cache: LogitCache, plan: Plan, first: int, count: int) -> Names:
    """Return the candidates ``first`` … ``first + count - 1`` of a stream, unsigned [count, max_length]."""
    start = len(plan.prefix)
    names: Names = np.zeros((count, plan.max_length), dtype=np.min_scalar_type(cache.ids - 1))
    names[:, :start] = plan.prefix
    uniform = uniforms(plan.seed, first, count, plan.draws_per_name)[:, : plan.max_length - start]
    draw_symbols(_Nodes(cache, plan, count), uniform, names[:, start:])
    return names


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
        relative = relative_probabilities(
            self._cache.logits(self._context),
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
        parent, symbol = np.divmod(edges, ids)
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
    """Return ``np.unique(values, return_inverse=True)`` in linear time, for values below ``limit``."""
    if len(values) == 1:
        return values, np.zeros(1, dtype=np.intp)
    present = np.zeros(limit, dtype=bool)
    present[values] = True
    distinct = np.flatnonzero(present)
    number = np.empty(limit, dtype=np.intp)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[values]
