"""Names, drawn symbol by symbol from whatever computes logits: a loaded model, or a network in training."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from .errors import GenerationError
from .likelihood import Predict
from .options import Plan
from .sampling import choose, probabilities, uniforms
from .vocabulary import BOUNDARY, Vocabulary
from .windows import context_after

_MIN_BATCH: Final = 8
_MAX_BATCH: Final = 1024
_MOST_LOGITS: Final = 1 << 18  # at once, unless that were fewer than the smallest batch
_PATIENCE: Final = 10_000


def stream_names(
    predict: Predict, vocabulary: Vocabulary, block_size: int, plan: Plan, wanted: int | None = None
) -> Iterator[str]:
    """Yield the accepted names of a stream in index order.

    Args:
        predict: computes the logits.
        vocabulary: its alphabet.
        block_size: symbols in a context.
        plan: the sampling options, checked.
        wanted: how many names will be taken; it only sizes the batches.

    Raises:
        GenerationError: if more than 10,000 candidates in a row are rejected, and more than were accepted before.
    """
    seen: set[str] = set()
    rejected: Counter[str] = Counter()
    first = accepted = fruitless = 0
    largest = min(_MAX_BATCH, max(_MIN_BATCH, _MOST_LOGITS // vocabulary.size))
    while True:
        missing = accepted if wanted is None else wanted - accepted
        count = min(max(missing, fruitless, _MIN_BATCH), largest)
        for name in _candidates(predict, vocabulary, block_size, plan, first, count):
            reason = _reason_to_reject(name, plan, seen)
            if reason is None:
                accepted += 1
                fruitless = 0
                yield name
                continue
            rejected[reason] += 1
            fruitless += 1
            if fruitless > (0 if plan.constant else _PATIENCE + accepted):
                candidates = accepted + rejected.total()
                counts = ", ".join(f"{reason} {count}" for reason, count in rejected.items())
                raise GenerationError(
                    f"gave up after {fruitless} rejected candidates in a row; of {candidates} in all, accepted: "
                    f"{accepted}, rejected: {counts}; ask for fewer names, or loosen the options",
                    candidates=candidates,
                    accepted=accepted,
                    rejected=rejected,
                )
        first += count


def _candidates(
    predict: Predict, vocabulary: Vocabulary, block_size: int, plan: Plan, first: int, count: int
) -> list[str]:
    """Return the candidates ``first`` … ``first + count - 1`` of a stream."""
    start = len(plan.prefix)
    ids = np.zeros((count, plan.max_length), dtype=np.int64)
    ids[:, :start] = plan.prefix
    contexts = np.repeat(context_after(plan.prefix, block_size), count, axis=0)
    draws = uniforms(plan.seed, first, count, plan.draws_per_name)
    unfinished = np.arange(count)
    for length in range(start, plan.max_length):
        mass = probabilities(
            predict(contexts),
            temperature=plan.temperature,
            top_k=plan.top_k,
            top_p=plan.top_p,
            forbidden=plan.forbidden(length),
        )
        chosen = choose(mass, draws[unfinished, length - start])
        ids[unfinished, length] = chosen
        going_on = chosen != BOUNDARY
        unfinished = unfinished[going_on]
        if not len(unfinished):
            break
        contexts = np.column_stack([contexts[going_on, 1:], chosen[going_on]])
    return vocabulary.decode(ids)


def _reason_to_reject(name: str, plan: Plan, seen: set[str]) -> str | None:
    """Return why a candidate is dropped, or None; symbols that compose with each other would be read back as others."""
    if not unicodedata.is_normalized("NFC", name):
        return "not NFC"
    if plan.unique:
        if name in seen:
            return "unique"
        seen.add(name)
    return None
