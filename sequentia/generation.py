"""Names, drawn symbol by symbol from whatever computes logits: a loaded model, or a network in training.

Names that begin alike stand at the same node, and a node's distribution is computed once for all of them. Step by step,
each name draws a symbol at its node and goes on to the node that the symbol leads to.
"""

import unicodedata
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from .constraints import Constraint
from .contexts import Contexts
from .errors import GenerationError
from .options import Plan
from .sampling import choose, choose_one, relative_probabilities, uniforms
from .vocabulary import BOUNDARY, Vocabulary
from .windows import context_after

if TYPE_CHECKING:
    from concurrent.futures import Future

Names = NDArray[np.unsignedinteger]
"""Ids of names, one a row [n, longest], each ended by boundaries or the row's end."""

_MAX_BATCH: Final = 1 << 17
_MOST_LOGITS: Final = 1 << 22  # at once, unless that were fewer names than
_FEWEST: Final = 8
_PATIENCE: Final = 10_000


def stream_names(
    contexts: Contexts, vocabulary: Vocabulary, plan: Plan, wanted: int | None = None, workers: int = 1
) -> Iterator[Names]:
    """Yield the accepted names of a stream in index order, a batch at a time, none of them empty.

    Args:
        contexts: computes the logits.
        vocabulary: its alphabet.
        plan: the sampling options, checked.
        wanted: how many names will be taken; without it, the stream has no end.
        workers: threads that draw, if there is more than one batch to draw.

    Raises:
        GenerationError: if more than 10,000 candidates in a row are rejected, and more than were accepted before.
    """
    if wanted == 0:
        return
    sieve = _Sieve(plan, vocabulary)
    with closing(_batches(contexts, plan, wanted, sieve, workers)) as batches:
        for candidates in batches:
            missing = None if wanted is None else wanted - sieve.accepted
            names = sieve.accept(candidates, missing)
            if len(names):
                yield names
            if len(names) == missing:
                return
            sieve.give_up_if_in_vain()


def _batches(
    contexts: Contexts, plan: Plan, wanted: int | None, sieve: "_Sieve", workers: int
) -> Generator[Names, None, None]:
    """Yield candidates without end: few at first, then as many as are missing, or were accepted or in vain before."""
    most, drawn = _most_at_once(contexts), 0
    while workers == 1 or wanted is None or wanted - sieve.accepted <= most:
        missing = sieve.accepted if wanted is None else wanted - sieve.accepted
        count = min(max(missing, sieve.fruitless, 1), most)
        yield draw(contexts, plan, drawn, count)
        drawn += count
    from concurrent.futures import ThreadPoolExecutor  # not above: it takes as long to load as a name to draw

    with ThreadPoolExecutor(workers, thread_name_prefix="sequentia") as pool:
        pending: deque[Future[Names]] = deque()
        try:
            while True:
                while len(pending) <= workers and (sieve.selective or drawn < wanted):
                    count = most if sieve.selective else min(most, wanted - drawn)
                    pending.append(pool.submit(draw, contexts, plan, drawn, count))
                    drawn += count
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def draw_shard(contexts: Contexts, vocabulary: Vocabulary, plan: Plan, first: int, count: int) -> Iterator[Names]:
    """Yield those of the candidates ``first`` … ``first + count - 1`` of a stream that are accepted, batch by batch.

    Without ``unique``, whether a candidate is accepted does not depend on the others, so that shards drawn anywhere and
    laid side by side are the stream.
    """
    sieve = _Sieve(plan, vocabulary)
    for start in range(first, first + count, _most_at_once(contexts)):
        candidates = draw(contexts, plan, start, min(_most_at_once(contexts), first + count - start))
        names = candidates[sieve.passing(candidates)] if sieve.selective else candidates
        if len(names):
            yield names


def _most_at_once(contexts: Contexts) -> int:
    return min(_MAX_BATCH, max(_FEWEST, _MOST_LOGITS // contexts.ids))


def draw(contexts: Contexts, plan: Plan, first: int, count: int) -> Names:
    """Return the candidates ``first`` … ``first + count - 1`` of a stream, [count, max_length]."""
    if count == 1:
        return _draw_one(contexts, plan, first)
    start, ids = len(plan.prefix), contexts.ids
    uniform = uniforms(plan.seed, first, count, plan.draws_per_name)
    names: Names = np.zeros((count, plan.max_length), dtype=np.min_scalar_type(ids - 1))
    names[:, :start] = plan.prefix
    unfinished, at = np.arange(count), np.zeros(count, dtype=np.intp)  # names, and the node that each of them is at
    nodes = _Nodes(
        context=context_after(plan.prefix, contexts.block_size).astype(names.dtype),
        state=np.array([plan.start]),
    )
    for length in range(start, plan.max_length):
        logits = contexts.logits(nodes.context, np.bincount(at, minlength=len(nodes.context)))
        relative = relative_probabilities(
            logits,
            temperature=plan.temperature,
            top_k=plan.top_k,
            top_p=plan.top_p,
            allowed=plan.constraint.allowed(length, nodes.state),
        )
        symbols = choose(relative, at, uniform[unfinished, length - start])
        names[unfinished, length] = symbols
        going_on = np.flatnonzero(symbols != BOUNDARY)
        if not len(going_on):
            break
        unfinished = unfinished[going_on]
        taken, at = _numbered(at[going_on] * ids + symbols[going_on], len(relative) * ids)
        nodes = nodes.after(*np.divmod(taken, ids), plan.constraint)
        if length >= contexts.block_size:  # what begins differently may be the same context now
            nodes, at = nodes.merged(at, contexts)
    return names


def _draw_one(contexts: Contexts, plan: Plan, index: int) -> Names:
    """Return one candidate, [1, max_length]: the same as among others, without the arrays that others would need."""
    name = plan.prefix.tolist()
    state = np.array([plan.start])
    for uniform in uniforms(plan.seed, index, 1, plan.draws_per_name)[0].tolist():
        if len(name) == plan.max_length:
            break
        relative = relative_probabilities(
            contexts.logits_after(name),
            temperature=plan.temperature,
            top_k=plan.top_k,
            top_p=plan.top_p,
            allowed=plan.constraint.allowed(len(name), state),
        )
        symbol = choose_one(relative[0], uniform)
        if symbol == BOUNDARY:
            break
        name.append(symbol)
        state = plan.constraint.after(state, np.array([symbol]))
    row: Names = np.zeros((1, plan.max_length), dtype=np.min_scalar_type(contexts.ids - 1))
    row[0, : len(name)] = name
    return row


@dataclass(frozen=True)
class _Nodes:
    """Where names stand after some symbols.

    Attributes:
        context: unsigned [nodes, block_size].
        state: of the pattern's automaton, int [nodes].
    """

    context: NDArray[np.unsignedinteger]
    state: NDArray[np.integer]

    def after(self, nodes: NDArray[np.integer], symbols: NDArray[np.integer], constraint: Constraint) -> "_Nodes":
        context = self.context.take(nodes, axis=0)
        context[:, :-1] = context[:, 1:]
        context[:, -1] = symbols
        return _Nodes(context, constraint.after(self.state[nodes], symbols))

    def merged(self, at: NDArray[np.intp], contexts: Contexts) -> tuple["_Nodes", NDArray[np.intp]]:
        keys = contexts.keys(self.context)
        if keys is None:
            return self, at
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        if self.state.any():
            pairs = inverse * (int(self.state.max()) + 1) + self.state
            _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        return _Nodes(self.context[first], self.state[first]), inverse[at]


def _numbered(values: NDArray[np.intp], limit: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct values, sorted, and which of them each is; as ``np.unique``, but linear in their limit."""
    present = np.zeros(limit, dtype=bool)
    present[values] = True
    distinct = np.flatnonzero(present)
    number = np.empty(limit, dtype=np.intp)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[values]


class _Sieve:
    """Drops candidates in index order, and counts why.

    Attributes:
        selective: whether it may drop any.
        accepted: how many passed.
        fruitless: how many were dropped since the last that passed.
        rejected: how many were dropped, by reason.
    """

    def __init__(self, plan: Plan, vocabulary: Vocabulary) -> None:
        self._plan, self._vocabulary = plan, vocabulary
        self._seen: set[bytes] = set()
        self.selective = bool(plan.unique or plan.exclude or plan.known is not None or vocabulary.may_compose)
        self.accepted = self.fruitless = 0
        self.rejected: Counter[str] = Counter()

    def accept(self, candidates: Names, missing: int | None) -> Names:
        """Return the candidates that pass, up to as many as are missing, or until too many in a row do not."""
        if not self.selective:
            names = candidates[:missing]
            self.accepted += len(names)
            return names
        passed = []
        for place, reason in enumerate(self._reasons(candidates)):
            if reason is None:
                passed.append(place)
                self.accepted += 1
                self.fruitless = 0
                if len(passed) == missing:
                    break
                continue
            self.rejected[reason] += 1
            self.fruitless += 1
            if self.fruitless > self._patience:
                break
        return candidates[passed]

    def passing(self, candidates: Names) -> NDArray[np.bool_]:
        """Return which candidates pass, bool [candidates]; nothing is counted."""
        return np.fromiter((reason is None for reason in self._reasons(candidates)), dtype=bool, count=len(candidates))

    def give_up_if_in_vain(self) -> None:
        """Raise GenerationError after too many rejected candidates in a row."""
        if self.fruitless <= self._patience:
            return
        total = self.accepted + self.rejected.total()
        counts = ", ".join(f"{reason} {count}" for reason, count in self.rejected.items())
        raise GenerationError(
            f"gave up after {self.fruitless} rejected candidates in a row; of {total} in all, accepted: "
            f"{self.accepted}, rejected: {counts}; ask for fewer names, or loosen the options",
            candidates=total,
            accepted=self.accepted,
            rejected=self.rejected,
        )

    @property
    def _patience(self) -> int:
        return 0 if self._plan.constant else _PATIENCE + self.accepted

    def _reasons(self, candidates: Names) -> Iterator[str | None]:
        """Yield why each candidate is dropped, or None; symbols that compose would be read back as others."""
        plan, size = self._plan, len(candidates)
        needs_text = self._vocabulary.may_compose or plan.known is not None
        texts = self._vocabulary.decode(candidates) if needs_text else [""] * size
        normal = not self._vocabulary.may_compose or unicodedata.is_normalized("NFC", "\n".join(texts))
        known = [False] * size if plan.known is None else plan.known.holds(texts).tolist()
        for row, text, is_known in zip(_rows(candidates), texts, known, strict=True):
            if not normal and not unicodedata.is_normalized("NFC", text):
                yield "not NFC"
            elif row in plan.exclude:
                yield "exclude"
            elif is_known:
                yield "novel"
            elif plan.unique and row in self._seen:
                yield "unique"
            else:
                if plan.unique:
                    self._seen.add(row)
                yield None


def _rows(names: Names) -> list[bytes]:
    """Return the bytes of each row of ids, the boundaries behind the name included."""
    width = names.shape[1] * names.itemsize
    rows: list[bytes] = np.ascontiguousarray(names).view(f"V{width}")[:, 0].tolist()
    return rows
