"""Names in the making: attempts at the names of a stream, drawn symbol by symbol.

Names with the same beginning share a node, and each node's distribution is computed once. At each step, every name
draws a symbol from its node's distribution and moves to the node for that symbol.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .logit_cache import LogitCache
from .options import Plan
from .sampling import draw_symbols, running_sums, uniforms_of, weights
from .vocabulary import BOUNDARY, Names
from .windows import context_after

_ACCEPTANCE: Final = 1 << 64  # added to an attempt's number, it gives the numbers that decide about acceptance
_DRAWS: Final = 4  # of these numbers, the first is used


class Proposal(Protocol):
    """What symbols are proposed in proportion to, besides the network's weights.

    Attributes:
        bound: a candidate whose weight reaches it is accepted for certain.
    """

    bound: float

    def at(self, length: int, states: NDArray[np.integer], contexts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return a factor for the name so far, float64 [nodes]."""

    def after(self, length: int, states: NDArray[np.integer], contexts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return a factor for each id that may follow, float64 [ids, nodes]."""


class Attempts(NamedTuple):
    """Attempts at names.

    Attributes:
        names: unsigned [attempts, rows, max_length].
        met: whether an attempt is a name that meets the constraints, bool [attempts, rows].
    """

    names: Names
    met: NDArray[np.bool_]


def draw_attempts(
    cache: LogitCache,
    plan: Plan,
    first: int,
    rows: NDArray[np.intp],
    attempts: Sequence[int],
    proposal: Proposal | None = None,
) -> Attempts:
    """Draw attempts at the names with the indices ``first + rows``.

    Args:
        cache: computes the logits.
        plan: the options.
        first: index of the batch's first name.
        rows: rows of the batch, in rising order.
        attempts: the numbers of the attempts.
        proposal: how to propose symbols; by default, as the network has them.
    """
    nodes = Nodes(cache, plan, len(attempts) * len(rows), proposal)
    names = complete(nodes, plan, uniforms_of(plan.seed, first, rows, plan.draws_per_name, attempts))
    met = nodes.met
    if proposal is not None:
        accepting = [attempt + _ACCEPTANCE for attempt in attempts]
        numbers = uniforms_of(plan.seed, first, rows, _DRAWS, accepting)[..., 0].reshape(-1)
        met &= numbers * proposal.bound < nodes.weight
    shape = len(attempts), len(rows)
    return Attempts(names.reshape(*shape, plan.max_length), met.reshape(shape))


def complete(nodes: "Nodes", plan: Plan, uniform: NDArray[np.float64]) -> Names:
    """Return the names that are drawn with uniform numbers, float64 [..., draws_per_name]: [names, max_length]."""
    start, count = len(plan.prefix), len(nodes.met)
    names: Names = np.zeros((plan.max_length + 1, count), dtype=nodes.context.dtype).T
    names[:, :start] = plan.prefix
    draws = plan.max_length + 1 - start  # the last one shows whether a name of the greatest length ends
    draw_symbols(nodes, uniform.reshape(count, -1)[:, :draws], names[:, start:])
    return np.ascontiguousarray(names[:, : plan.max_length])


def weights_after(below: NDArray[np.unsignedinteger], plan: Plan, length: int) -> NDArray[np.float64]:
    """Return the weight of each id after beginnings of names, float64 [n, ids]. No name is empty.

    Args:
        below: how far each logit is below the largest of its row, unsigned [n, ids].
        plan: the options.
        length: symbols in the beginnings.
    """
    allowed = plan.drawable
    if not length:
        allowed = np.ones(below.shape[1], dtype=bool) if allowed is None else allowed.copy()
        allowed[BOUNDARY] = False
    return weights(below, temperature=plan.temperature, top_k=plan.top_k, top_p=plan.top_p, allowed=allowed)


class Nodes:
    """The nodes of unfinished names.

    A node is a context and a state of the constraint. The next symbol's distribution depends on nothing else.

    Args:
        cache: computes the logits.
        plan: the options.
        count: number of names; all start after the prefix.
        proposal: how to propose symbols; by default, as the network has them.

    Attributes:
        length: symbols in the unfinished names.
        context: the context of each node, unsigned [nodes, block_size].
        node_of_name: the node of each unfinished name, int [unfinished].
        met: whether each name has ended and meets the constraints, bool [names].
        weight: how probable each name is in the network, as a multiple of how often it is proposed: float64 [names].
    """

    def __init__(self, cache: LogitCache, plan: Plan, count: int, proposal: Proposal | None = None) -> None:
        self._cache, self._plan, self._proposal = cache, plan, proposal
        self.length = len(plan.prefix)
        self.context = context_after(plan.prefix, cache.block_size).astype(np.min_scalar_type(cache.ids - 1))
        self._state: NDArray[np.integer] = np.array([plan.start])
        self.node_of_name = np.zeros(count, dtype=np.intp)
        self._name = np.arange(count)  # of each unfinished name
        self.met = np.zeros(count, dtype=bool)
        self.weight = np.ones(count)

    def weights(self) -> NDArray[np.float64]:
        """Return the weight of each id at each node, float64 [nodes, ids]."""
        return weights_after(self._cache.distances(self.context), self._plan, self.length)

    def distributions(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the running sums of the weights, [ids, nodes], and the node of each unfinished name."""
        relative = self.weights()
        if self._proposal is None:
            return running_sums(relative), self.node_of_name
        here = self.length, self._state, self.context
        total = relative.sum(axis=1) * self._proposal.at(*here)
        relative.T[:] *= self._proposal.after(*here)
        cumulative = running_sums(relative)
        ratio = np.divide(cumulative[-1], total, out=np.zeros(len(total)), where=total > 0)
        cumulative[:, ratio == 0] = 1.0  # nothing may follow: let the name end, with a weight of 0
        self.weight[self._name] *= ratio.take(self.node_of_name)
        return cumulative, self.node_of_name

    def advance(self, symbols: NDArray[np.int64]) -> NDArray[np.intp]:
        """Append a symbol to each unfinished name, [unfinished]; return which of them go on, and drop all others."""
        (going,) = symbols.nonzero()  # BOUNDARY is 0
        if len(going) < len(symbols):
            (ended,) = (symbols == BOUNDARY).nonzero()
            met = self._plan.constraint.met(self.length, self._state)
            self.met[self._name.take(ended)] = met.take(self.node_of_name.take(ended))
        self.length += 1
        if len(going):
            going = self._move(going, symbols.take(going))
        self._name = self._name.take(going)
        if self.length > self._cache.block_size and len(self.context) > 1:
            self._merge()
        return going

    def _move(self, going: NDArray[np.intp], symbols: NDArray[np.int64]) -> NDArray[np.intp]:
        """Move the given names to the nodes for their symbols; return those that can still meet the constraints."""
        ids, nodes, constraint = self._cache.ids, len(self.context), self._plan.constraint
        edges, self.node_of_name = _unique_inverse(self.node_of_name.take(going) * ids + symbols, nodes * ids)
        parent = edges // ids
        symbol = edges - parent * ids
        self._state = constraint.after(self._state.take(parent), symbol)
        possible = constraint.possible(self.length, self._state)
        if possible is not None and not possible.all():
            kept = possible.take(self.node_of_name)
            going = going[kept]
            self.node_of_name = (possible.cumsum() - 1).take(self.node_of_name[kept])
            parent, symbol, self._state = parent[possible], symbol[possible], self._state[possible]
        context = self.context.take(parent, axis=0)
        context[:, :-1] = context[:, 1:]
        context[:, -1] = symbol
        self.context = context
        return going

    def _merge(self) -> None:
        """Merge nodes that differ only in symbols older than the context."""
        keys = self._cache.keys(self.context)
        if keys is None:
            return
        _, first, node = np.unique(keys, return_index=True, return_inverse=True)
        if self._state.any():
            pairs = node * (int(self._state.max()) + 1) + self._state
            _, first, node = np.unique(pairs, return_index=True, return_inverse=True)
        self.context, self._state = self.context[first], self._state[first]
        self.node_of_name = node[self.node_of_name]


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
