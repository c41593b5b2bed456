"""Names, drawn symbol by symbol from whatever computes logits: a loaded model, or a network in training.

Names that begin alike stand at the same node, and a node's distribution is computed once for all of them. At each step
every name draws a symbol at its node and moves to the node that the symbol leads to.
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
_MOST_LOGITS: Final = 1 << 22  # computed at once, unless that is fewer than _FEWEST names
_FEWEST: Final = 8


def stream_names(
    cache: LogitCache, vocabulary: Vocabulary, plan: Plan, wanted: int | None = None, workers: int = 1
) -> Iterator[Names]:
    """Yield the accepted names of a stream in index order, a batch at a time, none of them empty.

    Args:
        cache: computes the logits.
        vocabulary: its alphabet.
        plan: the sampling options, checked.
        wanted: how many names will be taken; without it, the stream has no end.
        workers: threads that draw, if there is more than one batch to draw.

    Raises:
        GenerationError: if more than 10,000 candidates in a row are rejected, and more than were accepted before.
    """
    if wanted == 0:
        return
    rules = Filter(plan, vocabulary)
    with closing(_batches(cache, plan, wanted, rules, workers)) as batches:
        for candidates in batches:
            missing = None if wanted is None else wanted - rules.accepted
            names = rules.accept(candidates, missing)
            if len(names):
                yield names
            if len(names) == missing:
                return
            rules.check_patience()


def _batches(
    cache: LogitCache, plan: Plan, wanted: int | None, rules: Filter, workers: int
) -> Generator[Names, None, None]:
    """Yield candidates without end: as many at once as are missing, or as were accepted or dropped in a row before."""
    most, drawn = _most_at_once(cache), 0
    while workers == 1 or wanted is None or wanted - rules.accepted <= most:
        missing = rules.accepted if wanted is None else wanted - rules.accepted
        count = min(max(missing, rules.dropped_in_a_row, 1), most)
        yield draw(cache, plan, drawn, count)
        drawn += count
    from concurrent.futures import ThreadPoolExecutor  # here, because the import takes as long as drawing a name

    with ThreadPoolExecutor(workers, thread_name_prefix="sequentia") as pool:
        pending: deque[Future[Names]] = deque()
        try:
            while True:
                while len(pending) <= workers and (rules.selective or drawn < wanted):
                    count = most if rules.selective else min(most, wanted - drawn)
                    pending.append(pool.submit(draw, cache, plan, drawn, count))
                    drawn += count
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def draw_shard(cache: LogitCache, vocabulary: Vocabulary, plan: Plan, first: int, count: int) -> Iterator[Names]:
    """Yield those of the candidates ``first`` … ``first + count - 1`` of a stream that are accepted, batch by batch.

    Without ``unique``, whether a candidate is accepted does not depend on the others, so that shards drawn anywhere and
    laid side by side are the stream.
    """
    rules = Filter(plan, vocabulary)
    for start in range(first, first + count, _most_at_once(cache)):
        candidates = draw(cache, plan, start, min(_most_at_once(cache), first + count - start))
        names = candidates[rules.passing(candidates)] if rules.selective else candidates
        if len(names):
            yield names


def _most_at_once(cache: LogitCache) -> int:
    return min(_MAX_BATCH, max(_FEWEST, _MOST_LOGITS // cache.ids))


def draw(cache: LogitCache, plan: Plan, first: int, count: int) -> Names:
    """Return the candidates ``first`` … ``first + count - 1`` of a stream, [count, max_length]."""
    start = len(plan.prefix)
    names: Names = np.zeros((count, plan.max_length), dtype=np.min_scalar_type(cache.ids - 1))
    names[:, :start] = plan.prefix
    uniform = uniforms(plan.seed, first, count, plan.draws_per_name)[:, : plan.max_length - start]
    draw_symbols(_Nodes(cache, plan, count), uniform, names[:, start:])
    return names


class _Nodes:
    """Where unfinished names stand.

    A node is a context and a state of the constraint: what follows depends on nothing else.

    Args:
        cache: computes the logits.
        plan: the options.
        count: names, all of them after the prefix at first.
    """

    def __init__(self, cache: LogitCache, plan: Plan, count: int) -> None:
        self._cache, self._plan = cache, plan
        self._length = len(plan.prefix)
        self._context = context_after(plan.prefix, cache.block_size).astype(np.min_scalar_type(cache.ids - 1))
        self._state: NDArray[np.integer] = np.array([plan.start])
        self._at = np.zeros(count, dtype=np.intp)  # the node of each name

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
        return relative, self._at

    def advance(self, names: NDArray[np.intp], symbols: NDArray[np.int64]) -> None:
        """Move some of the names, [n], by a symbol each, [n], and forget the others."""
        ids, nodes = self._cache.ids, len(self._context)
        taken, self._at = _numbered(self._at[names] * ids + symbols, nodes * ids)
        before, symbol = np.divmod(taken, ids)
        context = self._context.take(before, axis=0)
        context[:, :-1] = context[:, 1:]
        context[:, -1] = symbol
        self._context, self._state = context, self._plan.constraint.after(self._state[before], symbol)
        self._length += 1
        if self._length > self._cache.block_size and len(context) > 1:
            self._merge()

    def _merge(self) -> None:
        """Make one node of those that differ only in symbols that the network no longer sees."""
        keys = self._cache.keys(self._context)
        if keys is None:
            return
        _, first, node = np.unique(keys, return_index=True, return_inverse=True)
        if self._state.any():
            pairs = node * (int(self._state.max()) + 1) + self._state
            _, first, node = np.unique(pairs, return_index=True, return_inverse=True)
        self._context, self._state, self._at = self._context[first], self._state[first], node[self._at]


def _numbered(values: NDArray[np.intp], limit: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct values, sorted, and which of them each is; as ``np.unique``, but linear in their limit."""
    if len(values) == 1:
        return values, np.zeros(1, dtype=np.intp)
    present = np.zeros(limit, dtype=bool)
    present[values] = True
    distinct = np.flatnonzero(present)
    number = np.empty(limit, dtype=np.intp)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[values]
