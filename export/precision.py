"""Choose how exact the whole numbers of a network have to be."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sequentia.architectures import Architecture
from sequentia.arithmetic import Bounds, CostError, InexactError, OnnxWriter
from sequentia.errors import ExportError
from sequentia.sampling import log_softmax
from sequentia.session import open_session, run
from sequentia.training.kinds import Network, predictor
from sequentia.training.parts import Part
from sequentia.weights import Tensors, narrowest
from sequentia.windows import windows

MOST_LOSS: Final = 0.001
"""How far the loss may move, in nats per symbol, if it is the mean over a hundred predictions or more."""

_OF_ONE: Final = 0.01  # six standard deviations of what steps of 1/256 do to the loss of one prediction
_OF_ALL_BITS: Final = 0.033  # the same of what rounding does in a wide network, though it has all the bits it may have

_SEARCHED: Final = 2048  # contexts that a choice of bits is tried on
_NOT_SAID: Final = 4
_LOGITS_AT_ONCE: Final = 1 << 22  # so that a large alphabet does not take gigabytes
_LIMITS: Final = (0.4 * MOST_LOSS, 0.1 * MOST_LOSS, 0.0)


class Exact(NamedTuple):
    """A network in whole numbers, and how many steps it takes for one context."""

    architecture: Architecture
    tensors: Tensors
    steps: int


def in_whole_numbers(network: Network, part: Part) -> Exact:
    """Return a network in whole numbers of the fewest bits that hardly change what it says of some names.

    The bits of one group of numbers after another are lowered, as long as neither the loss on a part of the names moves
    by more than a limit, nor the Kullback-Leibler divergence from the network in floating point exceeds it. If the loss
    on all names then moves too far, the limit was too high, and a lower one is tried. With conditions, that is the loss
    on the names as they are, and that without their conditions; the bits are chosen on names of which every fourth is
    without.

    Args:
        network: the trained network.
        part: the names.

    Raises:
        ExportError: if the loss moves too far with any number of bits, or the network takes too many steps.
    """
    positions = np.arange(part.windows)
    contexts, targets = windows(part.tokens, positions, network.block_size)
    said = part.conditions_at(positions)
    conditions = np.where(part.names_at(positions)[:, None] % _NOT_SAID == 0, 0, said)
    judge = _Judge(network, contexts, conditions, targets)
    judges = [judge]
    if network.inputs.values:
        judges = [_Judge(network, contexts, each, targets) for each in (said, np.zeros_like(said))]
    most_bits, best = _start(network, judge)
    moved, allowed = 0.0, max(MOST_LOSS, _OF_ONE / math.sqrt(len(targets)))
    for limit in _LIMITS:
        found = _lowered(most_bits, best, judge, limit)
        moved = max(each.moved(found, len(targets))[0] for each in judges)
        if moved <= allowed:
            return found
    allowed = max(allowed, _OF_ALL_BITS / math.sqrt(len(targets)))
    if moved <= allowed:
        return found
    raise ExportError(
        f"the network cannot be exported in whole numbers: its loss would move by {moved:.5f} nats per symbol, and at "
        f"most {allowed:.5f} is allowed; train it with smaller weights (weight_decay), or let it be a teacher",
        rung="precision",
    )


class _Judge:
    """Says how far a network in whole numbers is from one in floating point."""

    def __init__(
        self,
        network: Network,
        contexts: NDArray[np.int64],
        conditions: NDArray[np.int64],
        targets: NDArray[np.int64],
    ) -> None:
        self._network, self._contexts, self._conditions, self._targets = network, contexts, conditions, targets
        self._predict = predictor(network.for_inference(), torch.device("cpu"))
        self._chunk = max(1, min(_SEARCHED, _LOGITS_AT_ONCE // network.ids))  # contexts at once
        self.searched = min(_SEARCHED, len(contexts), 4 * self._chunk)
        self._kept = {start: self._expected(start) for start in range(0, self.searched, self._chunk)}

    def attempt(self, bits: Mapping[str, int]) -> Exact | None:
        """Return the network in some bits, None if its numbers could be too large."""
        network = self._network
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # infinite numbers raise a ValueError
                some = slice(self.searched)
                architecture, numbers = network.in_whole_numbers(bits, self._contexts[some], self._conditions[some])
            tensors = {name: narrowest(values) for name, values in numbers.items()}
            bounds = Bounds(tensors, network.inputs)
            architecture.network(bounds, network.inputs)
        except CostError as error:
            raise ExportError(f"the network is too large: {error}", rung="cost") from error
        except (ValueError, InexactError):
            return None
        return Exact(architecture, tensors, bounds.steps)

    def moved(self, exact: Exact, count: int) -> tuple[float, float]:
        """Return by how much the loss on the first contexts moves, and the divergence from the network, in nats."""
        network = self._network
        writer = OnnxWriter(exact.tensors, network.inputs)
        exact.architecture.network(writer, network.inputs)
        session = open_session(writer.file({}))
        loss = divergence = 0.0
        for start in range(0, count, self._chunk):
            part = slice(start, min(count, start + self._chunk))
            contexts, targets = self._contexts[part], self._targets[part]
            expected = (self._kept[start] if start in self._kept else self._expected(start))[: len(contexts)]
            change = expected - log_softmax(run(session, contexts, self._conditions[part]))
            loss += float(change[np.arange(len(targets)), targets].sum())
            divergence += float((np.exp(expected) * change).sum())
        return abs(loss) / count, divergence / count

    def _expected(self, start: int) -> NDArray[np.float64]:
        """Return the network's log probabilities after a chunk of the contexts, float64 [contexts, ids]."""
        part = slice(start, start + self._chunk)
        logits = self._predict(self._contexts[part], self._conditions[part])
        if not np.isfinite(logits).all():
            raise _too_large()
        return log_softmax(logits)


def _too_large() -> ExportError:
    return ExportError(
        "the network cannot be exported in whole numbers: its weights are too large, as those of a run that diverged; "
        "train it with a lower learning_rate",
        rung="precision",
    )


def _start(network: Network, judge: _Judge) -> tuple[dict[str, int], Exact]:
    """Return the most bits that the groups may have so that no number can be too large.

    The first group, that of the units, and the weights behind them have to share them. The best shares are those whose
    network diverges least from the one in floating point.
    """
    most = network.precisions()
    bits, found = most, judge.attempt(most)
    if found is not None:
        return bits, found
    while found is None:
        if not any(bits.values()):
            raise _too_large()
        bits = {group: max(0, count - 1) for group, count in bits.items()}
        found = judge.attempt(bits)
    bits, found = _raised(bits, found, most, judge)
    units = next(iter(bits))
    while bits[units]:
        fewer = {**bits, units: bits[units] - 1}
        attempted = judge.attempt(fewer)
        if attempted is None:
            break
        fewer, attempted = _raised(fewer, attempted, {**most, units: fewer[units]}, judge)
        if judge.moved(attempted, judge.searched)[1] >= judge.moved(found, judge.searched)[1]:
            break
        bits, found = fewer, attempted
    return bits, found


def _raised(bits: dict[str, int], found: Exact, most: Mapping[str, int], judge: _Judge) -> tuple[dict[str, int], Exact]:
    """Return more bits, as long as no number can be too large: first those of the last groups."""
    for group in reversed(bits):
        while bits[group] < most[group]:
            more = {**bits, group: bits[group] + 1}
            attempted = judge.attempt(more)
            if attempted is None:
                break
            bits, found = more, attempted
    return bits, found


def _lowered(bits: dict[str, int], best: Exact, judge: _Judge, limit: float) -> Exact:
    for number, group in enumerate(bits, start=1):
        share = limit * number / len(bits)  # so that the first groups leave something to the others
        while bits[group]:
            fewer = {**bits, group: bits[group] - 1}
            found = judge.attempt(fewer)
            if found is None or max(judge.moved(found, judge.searched)) > share:
                break
            bits, best = fewer, found
    return _with_fewer_steps(bits, best, judge, limit)


def _with_fewer_steps(bits: dict[str, int], best: Exact, judge: _Judge, limit: float) -> Exact:
    """Return a network that takes fewer steps, if there is one that is as exact.

    Fewer bits of one group may save a rounding, or a product of two parts; so may one bit more of another group, which
    then is as fine as what it is made from, or one or two fewer of the units, which leave room to the weights.
    """
    units = next(iter(bits), "")
    changes = [(units, 0), *((each, 1) for each in bits), (units, -1), (units, -2)]
    better = bits, best
    for (changed, by), group in product(changes, bits):
        tried = {**bits, changed: max(0, bits[changed] + by)}
        found: Exact | None = best
        while (group != changed or not by) and tried[group] and found is not None and found.steps >= best.steps:
            tried = {**tried, group: tried[group] - 1}
            found = judge.attempt(tried)
        if found is None or found.steps >= better[1].steps:
            continue
        if max(judge.moved(found, judge.searched)) <= limit:
            better = tried, found
    return best if better[1] is best else _with_fewer_steps(*better, judge, limit)
