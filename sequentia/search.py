"""Best-first search for the most probable names.

A name is never more probable than its prefixes. So when the best remaining prefix is less probable than each of the n
names found, these are the n most probable names (A* without a heuristic: Hart, Nilsson and Raphael 1968). Of a large
vocabulary, a prefix is continued by its most probable symbols first, and by the next ones when their turn comes. The
search ends with an error before it takes minutes or gigabytes.
"""

import heapq
from bisect import insort
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .errors import GenerationError
from .logit_cache import LogitCache
from .options import Plan
from .rejection import Rejection
from .sampling import log_softmax
from .vocabulary import BOUNDARY, Vocabulary
from .windows import windows

_BATCH_SIZE: Final = 64  # prefixes
_AT_ONCE: Final = 16  # symbols that continue a prefix
MOST_PREFIXES: Final = 1_000_000
_MOST_WAITING: Final = 8_000_000  # prefixes; two gigabytes
_MOST_LOGITS: Final = 1 << 29


def most_likely(cache: LogitCache, vocabulary: Vocabulary, plan: Plan, n: int) -> list[tuple[str, float]]:
    """Return the ``n`` most probable names that a plan allows with their natural-log probabilities, best first.

    Raises:
        GenerationError: if the search needs more than a million prefixes, or fewer of a large vocabulary.
    """
    most = min(MOST_PREFIXES, _MOST_LOGITS // vocabulary.size)
    prefix = tuple(plan.prefix.tolist())
    # A heap: the loss in nats of the best name that may follow, ids, state of the constraint, their own loss, and how
    # many of the most probable next symbols were taken.
    start = _loss(cache, prefix)
    frontier = [(start, prefix, plan.start, start, 0)]
    found: list[tuple[float, tuple[int, ...]]] = []  # sorted
    rejection = Rejection(plan, vocabulary)
    expanded = 0
    while frontier and n:
        bound = found[n - 1][0] if len(found) >= n else np.inf
        if frontier[0][0] > bound:
            break
        best = [heapq.heappop(frontier) for _ in range(min(_BATCH_SIZE, len(frontier)))]
        expanded += len(best)
        if expanded > most or len(frontier) > _MOST_WAITING:
            raise GenerationError(
                f"cannot determine the {n} most probable names: after {expanded:,} prefixes, too many are equally "
                f"probable; ask for fewer names or tighten the options ({len(found)} names found are in error.names)",
                candidates=expanded,
                accepted=len(found),
                names=[_text(vocabulary, ids) for _, ids in found],
            )
        for (_, ids, state, loss, taken), row in zip(best, _losses(cache, [ids for _, ids, *_ in best]), strict=True):
            losses = loss + row
            allowed = plan.constraint.allowed(len(ids), np.array([state]))
            if len(ids) == plan.max_length:
                candidates = np.array([BOUNDARY])
            else:
                candidates = np.flatnonzero((losses <= bound) & allowed[0])
            if taken or len(candidates) > _AT_ONCE:
                ranked = candidates[np.argsort(losses[candidates], kind="stable")]
                candidates, later = ranked[taken : taken + _AT_ONCE], ranked[taken + _AT_ONCE :]
                if len(later):
                    heapq.heappush(frontier, (float(losses[later[0]]), ids, state, loss, taken + _AT_ONCE))
            after = plan.constraint.after(np.full(len(candidates), state), candidates).tolist()
            for symbol, state_after in zip(candidates.tolist(), after, strict=True):
                if symbol != BOUNDARY:
                    following = float(losses[symbol])
                    heapq.heappush(frontier, (following, (*ids, symbol), state_after, following, 0))
                elif not rejection.reasons(vocabulary.padded([ids], plan.max_length), np.array([True]))[0]:
                    insort(found, (float(losses[BOUNDARY]), ids))
        del found[n:]
    return [(_text(vocabulary, ids), -loss) for loss, ids in found]


def _text(vocabulary: Vocabulary, ids: tuple[int, ...]) -> str:
    return vocabulary.decode(np.array([ids]))[0]


def _loss(cache: LogitCache, prefix: tuple[int, ...]) -> float:
    """Return the negative log-probability of a prefix, in nats."""
    loss = 0.0
    for length, symbol in enumerate(prefix):
        loss += float(_losses(cache, [prefix[:length]])[0, symbol])
    return loss


def _losses(cache: LogitCache, prefixes: list[tuple[int, ...]]) -> NDArray[np.float64]:
    """Return the negative log-probability of each id after each prefix, in nats, float64 [prefixes, ids]."""
    tokens = np.array([i for prefix in prefixes for i in (*prefix, BOUNDARY)])
    ends = np.cumsum([len(prefix) + 1 for prefix in prefixes]) - 1
    return -log_softmax(cache.distinct_logits(windows(tokens, ends, cache.block_size)[0]))
