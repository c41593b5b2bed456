"""How names that meet constraints are found: drawn freely, or proposed with a look ahead.

A free name that meets the constraints is drawn from the model's distribution given that they are met: rejection is
exact. It is slow where they are rarely met. There, symbols are proposed in proportion to the network's weights times
the chance that the constraints will be met from here. A Markov model of the network gives that chance, by dynamic
programming over the remaining length (Zhang et al. 2023, "Tractable control for autoregressive language generation").
A candidate's weight says how wrong the chances were: the product, over its symbols, of what the factors summed to
against what was expected. Accepting candidates in proportion to their weights makes the result exact again (von Neumann
1951), but for the weights above a bound, which are clipped.

Everything is computed with whole numbers, or with additions, multiplications and divisions of doubles in a fixed order,
so that names are the same on every machine. docs/format.md specifies every step.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._forks import renew_after_fork
from .beginnings import Beginnings
from .constraints import Constraint
from .drawing import Nodes, complete
from .errors import GenerationError
from .logit_cache import LogitCache
from .options import Plan
from .sampling import seed_of, uniforms
from .windows import context_after

if TYPE_CHECKING:
    from collections.abc import Hashable

_FEWEST: Final = 64
_FREE: Final = 4096  # free names that the Markov model is made from
_PILOT: Final = 16_384  # candidates that the bound is made from
_TRIED: Final = 65_536  # names or candidates that a probability is estimated from
_NUMBERS: Final = 1 << 26  # weights that these names or candidates may take
_COMMON: Final = 1 / 8  # constraints that so many free names meet need no look ahead
_GAIN: Final = 2.0  # a look ahead has to accept so many times as many candidates, because they cost more
_STEADY: Final = 1 / 1024  # with fewer accepted, the bound is uncertain; free names are better,
_OFTEN: Final = 2.0**-13  # if so many meet the constraints
_RAREST: Final = 2.0**-17  # candidates accepted
_CLIPPED: Final = 0.005  # of the weights of the candidates, before the margin
_MARGIN: Final = 2.0  # on the bound, because the largest weights are rare
_UNIT: Final = 1 << 16
_PRIOR: Final = 16  # free names that a coarser context counts for
_MOST_STEPS: Final = 1 << 25  # of the dynamic programming
_MOST_NUMBERS: Final = 1 << 22  # of the Markov model
_ORDERS: Final = (2, 1, 0)
_NUMBERS_AT_ONCE: Final = 1 << 22
_REMEMBERED: Final = 8
_MOST_SUMS: Final = 1 << 18  # of the beginnings of names for each plan: 2 MiB

T = TypeVar("T")
Key = TypeVar("Key", bound="Hashable")


class Probability(NamedTuple):
    """How probable it is that a name meets the constraints.

    Attributes:
        value: the estimate.
        error: its standard error.
        clipped: an estimate of how much of the distribution given the constraints is missing from what is generated,
            because weights are clipped; 0 where names are drawn freely.
    """

    value: float
    error: float
    clipped: float


def _codes(contexts: NDArray[np.integer], order: int, ids: int) -> NDArray[np.int64]:
    """Return which contexts of a Markov model those of a network are, int64 [n]."""
    digits = ids ** np.arange(order - 1, -1, -1)
    codes: NDArray[np.int64] = contexts[:, contexts.shape[1] - order :].astype(np.int64) @ digits
    return codes


class MarkovModel:
    """A Markov model of a network under sampling options: the next symbol after the last few, by length.

    Args:
        order: how many symbols it looks at.
        lengths: lengths from this one less 1 on are alike.
        ids: number of ids, the boundary included.
    """

    def __init__(self, order: int, lengths: int, ids: int) -> None:
        self.order, self.ids = order, ids
        self.counts = np.zeros((lengths, ids**order, ids))  # expected, in steps of 1 / _UNIT: whole numbers

    def observe(self, nodes: Nodes, weights: NDArray[np.float64]) -> None:
        """Count the next symbols of unfinished names, as the network expects them."""
        names = np.bincount(nodes.node_of_name, minlength=len(weights))
        expected = np.floor(weights * (_UNIT / weights.sum(axis=1, keepdims=True)) + 0.5) * names[:, None]
        length = min(nodes.length, len(self.counts) - 1)
        np.add.at(self.counts[length], _codes(nodes.context, self.order, self.ids), expected)

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each id, float64 [lengths, contexts, ids].

        Each distribution is that of the next coarser context, as if seen a few times, and what was seen. The coarsest
        context is none at all, then come those of the last symbol and of the last two, at last those at each length.
        """
        shape = (len(self.counts), *[self.ids] * self.order, self.ids)
        counts = self.counts.reshape(shape)
        found = np.full(self.ids, 1 / self.ids)
        for known in range(self.order + 1):
            seen = counts.sum(axis=tuple(range(1 + self.order - known)))
            found = _smoothed(seen, found)
        return _smoothed(self.counts, found.reshape(-1, self.ids))


def _smoothed(counts: NDArray[np.float64], coarser: NDArray[np.float64]) -> NDArray[np.float64]:
    prior = float(_PRIOR * _UNIT)
    smoothed: NDArray[np.float64] = (counts + prior * coarser) / (counts.sum(axis=-1, keepdims=True) + prior)
    return smoothed


class Lookahead:
    """The chance that names meet a constraint, from what is known of them so far.

    Args:
        markov: the Markov model.
        constraint: the constraint.
        start: length of the prefix.

    Attributes:
        bound: a candidate whose weight reaches it is accepted for certain.
    """

    def __init__(self, markov: MarkovModel, constraint: Constraint, start: int) -> None:
        self._order, self._ids, self._constraint = markov.order, markov.ids, constraint
        self._transitions = np.ascontiguousarray(constraint.automaton.transitions.T.astype(np.intp))  # [ids, states]
        self._contexts = markov.ids**markov.order
        self._chances = self._computed(markov.probabilities(), start)
        self.bound = 1.0

    def at(self, length: int, states: NDArray[np.integer], contexts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the chance for each node, float64 [nodes]."""
        places = states * self._contexts + _codes(contexts, self._order, self._ids)
        chances: NDArray[np.float64] = self._chances[length].take(places)
        return chances

    def after(self, length: int, states: NDArray[np.integer], contexts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the chance after each id, float64 [ids, nodes]."""
        found = np.zeros((self._ids, len(states)))
        found[0] = self._constraint.met(length, states)
        if length < self._constraint.max_length:
            # The chances of state -1 are the last ones.
            after = self._transitions[1:].take(states, axis=1) * self._contexts
            if self._order:
                kept = _codes(contexts, self._order, self._ids) % (self._contexts // self._ids) * self._ids
                after += kept + np.arange(1, self._ids)[:, None]
            self._chances[length + 1].take(after, out=found[1:], mode="wrap")
        return found

    def at_start(self, plan: Plan) -> float:
        """Return the chance after the prefix of a plan."""
        context = context_after(plan.prefix, max(self._order, 1))
        return float(self.at(len(plan.prefix), np.array([plan.start]), context)[0])

    def _computed(self, probabilities: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        """Return the chances by length, state and context, float64 [lengths, states * contexts], backwards."""
        constraint, ids, order = self._constraint, self._ids, self._order
        states = np.arange(self._transitions.shape[1])
        chances = np.zeros((constraint.max_length + 2, len(states), self._contexts))
        for length in range(constraint.max_length, start - 1, -1):
            next_symbol = probabilities[min(length, len(probabilities) - 1)]
            chances[length] = constraint.met(length, states)[:, None] * next_symbol[:, 0]
            if not order:
                terms = next_symbol[0] * chances[length + 1][self._transitions, 0].T
                terms[:, 0] = chances[length, :, 0]
                chances[length, :, 0] = terms.cumsum(axis=1)[:, -1]
            else:
                older = ids ** (order - 1)
                later = chances[length + 1].reshape(len(states), older, ids)
                for i in range(1, ids):
                    ahead = later[self._transitions[i], :, i]  # [states, older]: the oldest symbol is forgotten
                    chances[length] += next_symbol[:, i] * np.tile(ahead, (1, ids))
            chances[length, -1] = 0.0
        return chances.reshape(len(chances), -1)


class Method(NamedTuple):
    """How the names of a stream are found.

    Attributes:
        accepted: an estimate of the share of candidates that meet the constraints and are accepted.
        proposal: how symbols are proposed; ``None`` if names are drawn freely.
        lookahead: the look ahead, if there is one, whether it is used or not.
        value: an estimate of the probability that a free name meets the constraints.
    """

    accepted: float
    proposal: Lookahead | None
    lookahead: Lookahead | None
    value: float


FREELY: Final = Method(accepted=1.0, proposal=None, lookahead=None, value=1.0)


class Methods:
    """What a model remembers about constraints: the methods for the last options, safe to share between threads.

    Args:
        cache: computes the logits.
    """

    def __init__(self, cache: LogitCache) -> None:
        self.cache = cache
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget all methods."""
        self._lock, self._beginnings_lock = threading.Lock(), threading.Lock()  # the first is held for long
        self._known: dict[Hashable, Method] = {}
        self._beginnings: dict[Hashable, Beginnings] = {}

    def of(self, plan: Plan) -> Method:
        """Return the method for a plan. It depends on the model and what names are drawn from alone.

        Raises:
            GenerationError: if the constraints are so rarely met that names cannot be found.
        """
        method = self._of(plan)
        if method.accepted < _RAREST:
            raise GenerationError(_too_rare(method, plan))
        return method

    def beginnings(self, plan: Plan) -> Beginnings:
        """Return what is remembered of the beginnings of names that were drawn one by one for a plan."""
        with self._beginnings_lock:
            make = partial(Beginnings, self.cache, plan, _MOST_SUMS)
            return remembered(self._beginnings, plan.key, make, _REMEMBERED)

    def probability(self, plan: Plan) -> Probability:
        """Return how probable it is that a name meets the constraints of a plan."""
        method, count = self._of(plan), _affordable(_TRIED, self.cache, plan)
        if plan.constant:
            return Probability(method.value, 0.0, 0.0)
        if method.lookahead is None:
            share = _free_names(self.cache, plan, count) / count
            return Probability(share, math.sqrt(share * (1 - share) / count), 0.0)
        weights = _weights(method.lookahead, self.cache, plan, "probability", count)
        total = float(weights.sum())
        above = float(np.maximum(weights - method.lookahead.bound, 0).sum())
        scale = method.lookahead.at_start(plan) / count
        clipped = above / total if method.proposal is not None and total else 0.0
        return Probability(scale * total, scale * float(weights.std()) * math.sqrt(count), clipped)

    def _of(self, plan: Plan) -> Method:
        with self._lock:
            return remembered(self._known, plan.key, partial(_method, self.cache, plan), _REMEMBERED)


def remembered(known: "dict[Key, T]", key: Key, make: Callable[[], T], most: int) -> T:
    """Return what is known by a key, or make it; the values of the last ``most`` keys are kept."""
    found = known.pop(key, None)
    if found is None:
        found = make()
        if len(known) == most:
            del known[next(iter(known))]
    known[key] = found
    return found


def _method(cache: LogitCache, plan: Plan) -> Method:
    order = _order(cache, plan.constraint)
    lengths = min(plan.max_length + 1, max(1, _MOST_NUMBERS // cache.ids ** ((order or 0) + 1)))
    markov = MarkovModel(order or 0, lengths, cache.ids)
    names = 1 if plan.constant else _affordable(_FREE, cache, plan)
    share = _free_names(cache, plan, names, markov) / names
    if plan.constant or order is None or share >= _COMMON:
        return Method(share, None, None, share)
    lookahead = Lookahead(markov, plan.constraint, len(plan.prefix))
    method = _bounded(lookahead, plan, _weights(lookahead, cache, plan, "first candidates", names, markov))
    if method.proposal is None:
        return method
    # They showed what follows in the contexts of names that meet the constraints.
    lookahead = Lookahead(markov, plan.constraint, len(plan.prefix))
    return _bounded(lookahead, plan, _weights(lookahead, cache, plan, "candidates", _affordable(_PILOT, cache, plan)))


def _affordable(names: int, cache: LogitCache, plan: Plan) -> int:
    """Return how many of so many names or candidates to draw: fewer of a large model, but not too few."""
    return min(names, max(_FEWEST, _NUMBERS // (cache.ids * plan.draws_per_name)))


def _bounded(lookahead: Lookahead, plan: Plan, weights: NDArray[np.float64]) -> Method:
    """Set the bound of a look ahead from the weights of some candidates, and return the method that is quicker."""
    ranked, count = np.sort(weights)[::-1], len(weights)
    sums = ranked.cumsum()
    total = float(sums[-1])
    if not total:
        return Method(0.0, None, lookahead, 0.0)
    clipped = sums - np.arange(1, count + 1) * ranked  # by a bound at each weight
    last = int(np.searchsorted(clipped, _CLIPPED * total, side="right")) - 1
    lookahead.bound = _MARGIN * float(ranked[last])
    accepted, value = total / (count * lookahead.bound), lookahead.at_start(plan) * (total / count)
    if accepted >= _GAIN * value and (accepted >= _STEADY or value < _OFTEN):
        return Method(accepted, lookahead, lookahead, value)
    return Method(value, None, lookahead, value)


def _order(cache: LogitCache, constraint: Constraint) -> int | None:
    """Return how many symbols the Markov model looks at, or None if the constraint has too many states for any."""
    states = constraint.automaton.states * (constraint.max_length + 1)
    for order in _ORDERS:
        if order <= cache.block_size and states * cache.ids ** (order + 1) <= _MOST_STEPS:
            return order
    return None


class _Observed(Nodes):
    """The nodes of names whose next symbols a Markov model counts."""

    def __init__(
        self, cache: LogitCache, plan: Plan, count: int, lookahead: Lookahead | None, markov: MarkovModel
    ) -> None:
        super().__init__(cache, plan, count, lookahead)
        self._markov = markov

    def weights(self) -> NDArray[np.float64]:
        """Return the weight of each id at each node, float64 [nodes, ids], and count."""
        found = super().weights()
        self._markov.observe(self, found)
        return found


def _free_names(cache: LogitCache, plan: Plan, names: int, markov: MarkovModel | None = None) -> int:
    """Return how many of some free names meet the constraints, and show the names to a Markov model."""
    free = replace(plan, constraint=Constraint.none(plan.max_length), start=0)
    seed, at_once = seed_of("sequentia: free names"), max(1, _NUMBERS_AT_ONCE // cache.ids)
    met = 0
    for first in range(0, names, at_once):
        count = min(at_once, names - first)
        nodes = _nodes(cache, free, count, None, markov)
        drawn = complete(nodes, free, uniforms(seed, first, count, plan.draws_per_name))
        met += int(np.count_nonzero(nodes.met & plan.constraint.accepts(drawn)))
    return met


def _weights(
    lookahead: Lookahead, cache: LogitCache, plan: Plan, what: str, count: int, markov: MarkovModel | None = None
) -> NDArray[np.float64]:
    """Return the weights of some candidates, float64 [count], 0 if they do not meet the constraints, as above."""
    seed, at_once = seed_of(f"sequentia: {what}"), max(1, _NUMBERS_AT_ONCE // cache.ids)
    found = []
    for first in range(0, count, at_once):
        nodes = _nodes(cache, plan, min(at_once, count - first), lookahead, markov)
        complete(nodes, plan, uniforms(seed, first, len(nodes.met), plan.draws_per_name))
        found.append(np.where(nodes.met, nodes.weight, 0.0))
    return np.concatenate(found)


def _nodes(cache: LogitCache, plan: Plan, count: int, lookahead: Lookahead | None, markov: MarkovModel | None) -> Nodes:
    return Nodes(cache, plan, count, lookahead) if markov is None else _Observed(cache, plan, count, lookahead, markov)


def _too_rare(method: Method, plan: Plan) -> str:
    if plan.constant:
        return (
            f"temperature=0 and top_k=1 give the same name every time, and it is longer than {plan.max_length} or "
            "does not meet the other options; most_likely finds the most probable names that do"
        )
    if not method.value:
        return (
            "the options are met by none of the names tried: their probability is 0 or nearly so; loosen them "
            "(top_k, top_p and a low temperature may leave no such name)"
        )
    return f"the options are met with a probability of about {method.value:.1e}, too rarely to find names; loosen them"
