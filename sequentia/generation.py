"""Streams of names, in batches: rejected names are drawn again, as their next attempts."""

import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np

from .drawing import draw_attempts
from .logit_cache import LogitCache
from .lookahead import FREELY, Method, Methods
from .options import Plan
from .rejection import REASONS, Acceptance, Drawn, Rejection
from .vocabulary import Names, Vocabulary

if TYPE_CHECKING:
    from concurrent.futures import Future

_MAX_BATCH: Final = 1 << 17
_MAX_BATCH_NUMBERS: Final = 1 << 22  # logits, or uniform numbers; but a batch has at least _MIN_BATCH names
_MIN_BATCH: Final = 8
_PROMPT: Final = 0.1  # seconds that an endless stream draws at once, so that rare names appear one by one
_CANDIDATES: Final = 1 << 16  # drawn at once in place of rejected names
_UNLUCKY: Final = 4
_MOST_ATTEMPTS: Final = 1 << 24
_FREE_ATTEMPTS: Final = 4  # at a name without constraints, before its length is looked ahead to


def stream_names(
    methods: Methods, vocabulary: Vocabulary, plan: Plan, wanted: int | None = None, workers: int = 1
) -> Iterator[Names]:
    """Yield the names of a stream in index order, in batches that are never empty.

    Args:
        methods: how names are found.
        vocabulary: the alphabet.
        plan: the checked sampling options.
        wanted: number of names; by default the stream is endless.
        workers: threads that draw names, used if there is more than one batch; an endless stream uses none.

    Raises:
        GenerationError: if the options leave no name to draw, or with ``unique`` no other one.
    """
    if wanted == 0:
        return
    acceptance = Acceptance(plan, vocabulary, wanted)
    rejection = Rejection(plan, vocabulary)
    batches = (
        _prompt_batches(methods, plan, rejection)
        if wanted is None
        else _batches(methods, plan, rejection, wanted, acceptance, workers)
    )
    with closing(batches):
        for drawn in batches:
            remaining = None if wanted is None else wanted - acceptance.accepted
            names = acceptance.accept(drawn, remaining)
            if len(names):
                yield names
            if len(names) == remaining:
                return
            acceptance.check_patience()


def _batches(
    methods: Methods, plan: Plan, rejection: Rejection, wanted: int, acceptance: Acceptance, workers: int
) -> Generator[Drawn, None, None]:
    """Yield endless batches of names.

    A batch has as many names as are still wanted, or after many repeats in a row as were dropped.
    """
    max_batch, drawn = _batch_limit(methods.cache, plan), 0
    while workers == 1 or wanted - acceptance.accepted <= max_batch:
        count = min(max(wanted - acceptance.accepted, acceptance.repeats_in_a_row, 1), max_batch)
        yield draw(methods, plan, rejection, drawn, count)
        drawn += count
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and rarely needed

    with ThreadPoolExecutor(workers, thread_name_prefix="sequentia") as pool:
        pending: deque[Future[Drawn]] = deque()
        try:
            while True:
                while len(pending) <= workers and (plan.unique or drawn < wanted):
                    count = max_batch if plan.unique else min(max_batch, wanted - drawn)
                    pending.append(pool.submit(draw, methods, plan, rejection, drawn, count))
                    drawn += count
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _prompt_batches(methods: Methods, plan: Plan, rejection: Rejection) -> Generator[Drawn, None, None]:
    """Yield endless batches: the first of one name, then twice as many as before if those took a moment, else half."""
    max_batch, drawn, count = _batch_limit(methods.cache, plan), 0, 1
    while True:
        began = time.monotonic()
        batch = draw(methods, plan, rejection, drawn, count)
        quick = time.monotonic() - began < _PROMPT
        yield batch
        drawn += count
        count = min(count * 2, max_batch) if quick else max(count // 2, 1)


def draw_shard(methods: Methods, vocabulary: Vocabulary, plan: Plan, first: int, count: int) -> Iterator[Names]:
    """Yield the names ``first`` … ``first + count - 1`` of a stream without ``unique``, in batches.

    Each name is drawn on its own. So shards can be drawn on different machines and joined to give the stream.

    Raises:
        GenerationError: if all attempts at a name are rejected.
    """
    rejection, acceptance = Rejection(plan, vocabulary), Acceptance(plan, vocabulary, count)
    max_batch = _batch_limit(methods.cache, plan)
    for start in range(first, first + count, max_batch):
        names = acceptance.accept(draw(methods, plan, rejection, start, min(max_batch, first + count - start)))
        if len(names):
            yield names
        acceptance.check_patience()


def _batch_limit(cache: LogitCache, plan: Plan) -> int:
    return min(_MAX_BATCH, max(_MIN_BATCH, _MAX_BATCH_NUMBERS // max(cache.ids, plan.draws_per_name)))


def draw(methods: Methods, plan: Plan, rejection: Rejection, first: int, count: int) -> Drawn:
    """Return the names ``first`` … ``first + count - 1`` of a stream; fewer if all attempts at one are rejected.

    A name that is rejected is drawn again, as its next attempt, so that no name depends on another. The first names
    are completed before later ones are drawn again. So what nothing can meet fails after a few thousand candidates.
    """
    cache, method = methods.cache, _method(methods, plan, 0)
    names, met = (each[0] for each in draw_attempts(cache, plan, first, np.arange(count), (0,), method.proposal))
    if not rejection.selective and met.all():
        return Drawn(names)
    reasons = rejection.reasons(names, met)
    rejected = np.zeros((count, len(REASONS)), dtype=np.int32)
    rows = np.flatnonzero(reasons)
    rejected[rows, reasons[rows] - 1] = 1
    at_once = min(_CANDIDATES, _batch_limit(cache, plan))
    most_attempts = min(math.ceil(rejection.max_attempts / method.accepted), _MOST_ATTEMPTS)
    waiting = [(rows, 1)]  # a stack of rows and their next attempt; the lowest rows are on top
    while waiting:
        rows, attempt = waiting.pop()
        if not len(rows):
            continue
        if attempt >= most_attempts:
            missing = int(rows[0])
            return Drawn(names[:missing], rejected[: missing + 1])
        method = _method(methods, plan, attempt)
        last = _FREE_ATTEMPTS if plan.trivial and attempt < _FREE_ATTEMPTS else most_attempts
        number = min(_attempts_at_once(attempt, len(rows), method.accepted, at_once), at_once, last - attempt)
        most = at_once // number
        if len(rows) > most:
            waiting.append((rows[most:], attempt))
            rows = rows[:most]
        drawn = draw_attempts(cache, plan, first, rows, range(attempt, attempt + number), method.proposal)
        reasons = rejection.reasons(drawn.names.reshape(-1, plan.max_length), drawn.met.reshape(-1))
        reasons = reasons.reshape(number, len(rows))
        before = np.logical_and.accumulate(reasons > 0, axis=0)  # attempts before the first that passes
        for reason in range(len(REASONS)):
            rejected[rows, reason] += (before & (reasons == reason + 1)).sum(axis=0)
        passing = before.sum(axis=0)
        found = np.flatnonzero(passing < number)
        names[rows[found]] = drawn.names[passing[found], found]
        waiting.append((rows[passing == number], attempt + number))
    return Drawn(names, rejected)


def _attempts_at_once(attempt: int, rows: int, accepted: float, at_once: int) -> int:
    """Return how many attempts to make at some names at once.

    With many names, a few attempts at a time waste the fewest. With few names, many at a time save steps. A name that
    has had more attempts than the constraints explain is rejected by other options. It gets as many attempts again, so
    that the first names are completed soon.
    """
    if attempt * accepted > _UNLUCKY:
        return attempt
    return max(math.ceil(1 / (4 * accepted)), min(math.ceil(2 / accepted), at_once // (4 * rows)))


def _method(methods: Methods, plan: Plan, attempt: int) -> Method:
    """Return how an attempt is drawn: the first ones freely, if only the greatest length can be missed."""
    free = plan.trivial and not plan.constant and attempt < _FREE_ATTEMPTS
    return FREELY if free else methods.of(plan)
