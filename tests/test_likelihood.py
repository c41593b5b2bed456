"""Losses of names, independent of how the network's batches divide the names."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sequentia import SequenceModel
from sequentia.arithmetic import Inputs
from sequentia.likelihood import name_losses
from sequentia.sampling import log_softmax

IDS = 2000  # large enough that a batch has only 64 rows and long names span several


INPUTS = Inputs(3, IDS)


def predict(contexts: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """Return logits that depend on the whole context."""
    place = contexts @ np.arange(1, contexts.shape[1] + 1)
    logits: NDArray[np.float32] = np.sin(place[:, None] + np.arange(IDS)).astype(np.float32)
    return logits


def test_a_score_ignores_the_lengths_of_sampled_names(moons: SequenceModel) -> None:
    """It is the sum over symbols and the end, also for the empty name and one longer than ``max_length``."""
    for name in ("", "io", "a" * (moons.config.max_length + 1)):
        steps = [moons.next_symbols(name[:i])[symbol] for i, symbol in enumerate([*name, ""])]
        assert moons.score([name])[0] == pytest.approx(np.log(steps).sum())


@given(st.lists(st.lists(st.integers(1, IDS - 1), max_size=100), max_size=9))
def test_a_loss_is_the_sum_of_its_steps_in_any_batch(names: list[list[int]]) -> None:
    tokens: Any = np.array([token for name in names for token in [*name, 0]], dtype=np.uint16)
    losses = name_losses(tokens, INPUTS, predict)
    assert losses.dtype == np.float64
    assert losses.shape == (len(names),)
    for name, loss in zip(names, losses, strict=True):
        padded = np.array([0, 0, 0, *name])
        steps = [log_softmax(predict(padded[None, i : i + 3]))[0, token] for i, token in enumerate([*name, 0])]
        np.testing.assert_allclose(loss, -np.sum(steps), rtol=1e-12)
        assert loss == name_losses(np.array([*name, 0]), INPUTS, predict)[0]
