"""Sampling: options, distributions, inverse CDF and the random numbers of a seed."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.random import Philox
from numpy.typing import NDArray

from sequentia import OptionError, VocabularyError
from sequentia.options import Plan
from sequentia.sampling import choose, log_softmax, relative_probabilities, uniforms
from sequentia.vocabulary import Vocabulary

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 9)), elements=st.floats(-30, 30, width=32))
VOCABULARY = Vocabulary("abc")


def plan(**options: object) -> Plan:
    return Plan.of(options, VOCABULARY, 8)


def distribution(logits: NDArray[np.float32], **options: Any) -> NDArray[np.float64]:
    relative: NDArray[np.float64] = relative_probabilities(logits, **options).astype(np.float64)
    relative /= relative.sum(axis=1, keepdims=True)
    return relative


def test_the_numbers_of_a_seed_are_those_of_philox() -> None:
    """Known answer of Philox4x64-10 for key 1 and the first counter value, from NumPy's C code."""
    raw = Philox(key=1).random_raw(8)
    np.testing.assert_array_equal(uniforms(1, 0, 2, 4).ravel(), (raw >> np.uint64(11)) * 2.0**-53)
    assert [f"{x:.12f}" for x in uniforms(1, 0, 1, 4)[0]] == [
        "0.303568034307",
        "0.848708749686",
        "0.156134778043",
        "0.031106436954",
    ]


@given(st.integers(0, 2**128 - 1), st.integers(0, 10**12), st.integers(1, 20), st.sampled_from([4, 8, 16]))
def test_each_name_owns_its_draws(seed: int, first: int, count: int, draws: int) -> None:
    together = uniforms(seed, first, count, draws)
    assert together.shape == (count, draws)
    assert ((together >= 0) & (together < 1)).all()
    np.testing.assert_array_equal(together[-1:], uniforms(seed, first + count - 1, 1, draws))


@given(LOGITS)
def test_log_softmax_is_normalised(logits: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=1), 1, rtol=1e-12)


@given(LOGITS, st.floats(0, 5), st.none() | st.integers(1, 9), st.none() | st.floats(1e-6, 1), st.booleans())
def test_probabilities_under_every_option(
    logits: NDArray[np.float32], temperature: float, top_k: int | None, top_p: float | None, ends: bool
) -> None:
    allowed = np.arange(logits.shape[1]) >= (not ends)
    before = logits.copy()
    mass = relative_probabilities(
        logits, temperature=temperature, top_k=top_k, top_p=top_p, allowed=None if ends else allowed
    )
    np.testing.assert_array_equal(logits, before)
    assert mass.dtype == np.float32
    np.testing.assert_array_equal(mass.max(axis=1), 1)
    assert (mass >= 0).all()
    assert ends or (mass[:, 0] == 0).all()
    by_row = np.broadcast_to(allowed, logits.shape)
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    np.testing.assert_array_equal(relative_probabilities(logits, **options, allowed=by_row), mass)
    if top_k is not None:
        assert ((mass > 0).sum(axis=1) <= top_k).all()
    for row, scores in zip(mass, logits, strict=True):
        kept = row > 0
        # no dropped symbol is more probable than a kept one, to the precision of a probability
        assert scores[kept].min() >= scores[allowed & ~kept].max(initial=-np.inf) - 1e-6


@given(LOGITS)
def test_without_options_it_is_the_softmax(logits: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(distribution(logits), np.exp(log_softmax(logits)), rtol=1e-5)


def test_temperature_zero_takes_the_first_of_the_most_probable() -> None:
    logits = np.array([[0, 3, 3, 1]], dtype=np.float32)
    assert relative_probabilities(logits, temperature=0).tolist() == [[0, 1, 0, 0]]
    allowed = np.array([True, False, True, True])
    assert relative_probabilities(logits, temperature=0, allowed=allowed).tolist() == [[0, 0, 1, 0]]


def test_temperature_divides_the_logits() -> None:
    logits = np.array([[0, 1, 2]], dtype=np.float32)
    np.testing.assert_allclose(distribution(logits, temperature=2), distribution(logits / np.float32(2)))
    np.testing.assert_allclose(distribution(logits, temperature=1e-300), [[0, 0, 1]])


def test_top_p_keeps_the_fewest_that_reach_the_share() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.15, 0.05]], dtype=np.float32))
    for top_p, kept in ((0.4, 1), (0.6, 2), (0.79, 2), (0.81, 3), (1.0, 4)):
        assert (relative_probabilities(logits, top_p=top_p) > 0).sum() == kept, top_p


def test_ties_go_to_the_lower_id() -> None:
    assert (relative_probabilities(np.zeros((1, 6), dtype=np.float32), top_k=2) > 0).tolist() == [
        [True] * 2 + [False] * 4
    ]


@given(LOGITS, st.data())
def test_a_choice_is_the_inverse_cdf(logits: NDArray[np.float32], data: st.DataObject) -> None:
    mass = relative_probabilities(logits, top_p=0.9).astype(np.float64)
    edge = st.sampled_from([0.0, 0.5, 1 - 2.0**-53])
    uniform = data.draw(arrays(np.float64, len(mass), elements=edge | st.floats(0, 1, exclude_max=True)))
    order = np.array(data.draw(st.permutations(range(len(mass)))))
    for row, u, chosen in zip(mass[order], uniform, choose(mass, order, uniform), strict=True):
        assert row[chosen] > 0
        cumulative = np.cumsum(row)
        assert chosen == (cumulative <= min(u * cumulative[-1], np.nextafter(cumulative[-1], 0))).sum()


def test_choices_follow_the_distribution() -> None:
    """Draw 9 ids 100,000 times. The counts are binomial; one is 5 sigma off for one seed in 190,000."""
    mass = distribution(np.linspace(-2, 1, 9, dtype=np.float32)[None])
    n = 100_000
    counts = np.bincount(choose(mass, np.zeros(n, dtype=int), uniforms(11, 0, n, 4)[:, 0]), minlength=9)
    sigma = np.sqrt(n * mass[0] * (1 - mass[0]))
    assert (np.abs(counts - n * mass[0]) < 5 * sigma).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 10**400),
        ("temperature", "1"),
        ("temperature", True),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_p", 0),
        ("top_p", 1.01),
        ("min_length", 0),
        ("max_length", 0),
        ("max_length", 10**9),
        ("min_length", True),
        ("unique", "yes"),
        ("novel", 1),
        ("exclude", "abc"),
        ("exclude", 5),
        ("exclude", ["a", 5]),
        ("pattern", 5),
        ("prefix", None),
        ("seed", -1),
        ("seed", 2**128),
        ("seed", "7"),
    ],
)
def test_an_option_out_of_its_range_is_named(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"{option}(\[\d\])? must be") as caught:
        plan(**{option: value})
    assert caught.value.option == option
    assert caught.value.value is value


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(OptionError, match="min_length 5 is greater than max_length 4"):
        plan(min_length=5, max_length=4)
    with pytest.raises(OptionError, match="prefix 'abca' has 4 symbols, more than max_length 3"):
        plan(prefix="abca", max_length=3)
    with pytest.raises(VocabularyError, match="'x' at position 1"):
        plan(prefix="ax")
    with pytest.raises(TypeError, match=r"unknown option 'topk'.*top_k"):
        plan(topk=3)


def test_defaults_and_what_numpy_users_pass() -> None:
    default = plan()
    assert (default.max_length, default.temperature) == (8, 1.0)
    assert default.seed != plan().seed
    assert plan(min_length=12).max_length == 12
    assert plan(seed=np.int64(3), temperature=np.float32(0.5), top_k=np.uint8(2)).seed == 3


def test_a_tighter_length_leaves_the_draws_where_they_are() -> None:
    assert plan(max_length=3).draws_per_name == plan().draws_per_name == 8
    assert plan(max_length=9).draws_per_name == 12
