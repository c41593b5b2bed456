from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequentia.windows import windows


def textbook_windows(names: list[list[int]], block_size: int) -> list[tuple[list[int], int]]:
    """Return the windows as textbooks define them: for each name, a context that starts empty and shifts."""
    pairs = []
    for name in names:
        context = [0] * block_size
        for token in [*name, 0]:
            pairs.append((context, token))
            context = [*context[1:], token]
    return pairs


@given(
    st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=12), min_size=1, max_size=8),
    st.integers(1, 15),
    st.sampled_from([np.uint16, np.uint32, np.int64]),
)
def test_windows_are_those_of_the_textbook(names: list[list[int]], block_size: int, dtype: type) -> None:
    tokens: Any = np.array([token for name in names for token in [*name, 0]], dtype=dtype)
    contexts, targets = windows(tokens, np.arange(len(tokens)), block_size)
    assert contexts.dtype == targets.dtype == np.int64
    assert list(zip(contexts.tolist(), targets.tolist(), strict=True)) == textbook_windows(names, block_size)


@given(st.lists(st.integers(0, 4), max_size=20))
def test_positions_may_come_in_any_order(places: list[int]) -> None:
    tokens = np.array([5, 13, 13, 1, 0], dtype=np.uint8)
    every, _ = windows(tokens, np.arange(5), 3)
    some, targets = windows(tokens, np.array(places, dtype=np.int64), 3)
    np.testing.assert_array_equal(some, every[places].reshape(-1, 3))
    np.testing.assert_array_equal(targets, tokens[places])


@pytest.mark.parametrize("block_size", [1, 3, 50])
def test_the_first_window_is_empty(block_size: int) -> None:
    contexts, targets = windows(np.array([5, 0], dtype=np.uint8), np.array([0]), block_size)
    assert contexts.tolist() == [[0] * block_size]
    assert targets.tolist() == [5]
