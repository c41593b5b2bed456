"""Sampling: the random numbers of a seed, the weights of symbols, the draw and the options."""

import math
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sequentia import OptionError, VocabularyError
from sequentia.options import Plan
from sequentia.sampling import choose, distances, log_softmax, running_sums, seed_of, uniforms, uniforms_of, weights
from sequentia.vocabulary import Vocabulary

from .reference import philox, weight

STEPS = arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(2, 9)), elements=st.integers(-8000, 8000))
LOGITS = STEPS.map(lambda steps: (steps / 256).astype(np.float32))
VOCABULARY = Vocabulary("abc")
EMMA: Final = 0x10DE86A7C719F7F6FCD4B8CD5506AAF4


def plan(**options: object) -> Plan:
    return Plan.of(options, VOCABULARY, 8)


def distribution(logits: NDArray[np.float32], **options: Any) -> NDArray[np.float64]:
    relative = weights(distances(logits), **options)
    relative /= relative.sum(axis=1, keepdims=True)
    return relative


# Seeds and their random numbers


def test_the_numbers_of_a_seed_are_those_of_philox() -> None:
    """Known answers of Philox4x64-10, from its authors' kat_vectors, and the first numbers of seed 1."""
    assert philox(0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    ones = philox(2**256 - 1, 2**128 - 1)
    assert ones == [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]
    assert [f"{x:.12f}" for x in uniforms(1, 0, 1, 4)[0]] == [
        "0.303568034307",
        "0.848708749686",
        "0.156134778043",
        "0.031106436954",
    ]


@given(
    st.integers(0, 2**128 - 1),
    st.integers(0, 10**12) | st.sampled_from([2**60 - 1, 2**61 - 2, 2**62 - 2, 2**63 - 1, 2**64 - 2]),
    st.integers(1, 20),
    st.sampled_from([4, 8, 16]),
    st.integers(0, 10_000),
)
def test_each_attempt_at_each_name_owns_its_draws(seed: int, first: int, count: int, draws: int, attempt: int) -> None:
    """Also where the counter passes 64 bits."""
    together = uniforms(seed, first, count, draws, attempt)
    assert together.shape == (count, draws)
    assert ((together >= 0) & (together < 1)).all()
    for name in {0, count // 2, count - 1}:
        counter = (first + name) * draws // 4 + 1 + attempt * 2**128
        words = [word for number in range(draws // 4) for word in philox(counter + number, seed)]
        assert together[name].tolist() == [(word >> 11) * 2.0**-53 for word in words]


@given(
    st.sets(st.integers(0, 3000), min_size=1, max_size=40),
    st.sampled_from([0, 7, 2**63 - 1]),
    st.integers(0, 3),
)
def test_the_draws_of_some_names_are_those_of_all(names: set[int], first: int, attempt: int) -> None:
    rows = np.array(sorted(names))
    expected = uniforms(3, first, 3001, 8, attempt)[rows]
    np.testing.assert_array_equal(uniforms_of(3, first, rows, 8, [attempt])[0], expected)


def test_a_seed_may_be_a_string() -> None:
    """The number is from `printf emma | sha256sum`: its first 16 bytes, the last one first."""
    assert plan(seed="emma").seed == seed_of("emma") == EMMA
    assert plan(seed=np.str_("emma")).seed == EMMA
    assert plan(seed="7").seed != 7
    assert len({plan(seed=seed).seed for seed in ("", " ", "é", "e\u0301", "E", "e")}) == 6
    with pytest.raises(OptionError, match="seed must be") as caught:
        plan(seed="\ud800")
    assert caught.value.option == "seed"


# Weights


def test_the_table_of_weights_is_the_nearest_whole_numbers() -> None:
    """Computed in 60 digits. None is so near to a half that another exponential could round it to the other side."""
    with localcontext(prec=60):
        exact = [2**32 * (Decimal(-distance) / 256).exp() for distance in range(5857)]
        expected = [int(value.to_integral_value(ROUND_HALF_EVEN)) for value in exact]
        nearest = min(abs(value % 1 - Decimal("0.5")) for value in exact[:5856])
    assert nearest > Decimal("2.8e-5")
    assert expected[5855:] == [1, 0]
    found = weights(distances((-np.arange(5859) / 256).astype(np.float32)[None]))[0]
    assert found.tolist() == [*expected, 0, 0]


@given(STEPS, st.floats(0, 5) | st.just(1.0) | st.floats(5, 1e9), st.none() | st.integers(1, 9), st.data())
def test_weights_under_every_option(
    steps: NDArray[np.int64], temperature: float, top_k: int | None, data: st.DataObject
) -> None:
    """They are those of a definition in whole numbers, one row and one id at a time."""
    logits = (steps / 256).astype(np.float32)
    top_p = data.draw(st.none() | st.floats(1e-6, 1))
    allowed = data.draw(arrays(np.bool_, logits.shape) | arrays(np.bool_, logits.shape[1:]))
    allowed[..., -1] = True
    before = logits.copy()
    found = weights(distances(logits), temperature=temperature, top_k=top_k, top_p=top_p, allowed=allowed)
    np.testing.assert_array_equal(logits, before)
    assert found.dtype == np.float64
    for row, of_row, may in zip(steps.tolist(), found.tolist(), np.broadcast_to(allowed, logits.shape), strict=True):
        ids = np.flatnonzero(may).tolist()
        best = max(ids, key=lambda i: (row[i], -i))
        if temperature == 0:
            expected = {best: 2**32}
        else:
            far = {i: math.floor(min((row[best] - row[i]) / temperature, 5856) + 0.5) for i in ids}
            expected = {i: weight(distance) for i, distance in far.items()}
            nearest = sorted(ids, key=lambda i: (far[i], i))[:top_k]
            kept = sorted(nearest, key=lambda i: (-expected[i], i))
            total, share, enough = sum(expected[i] for i in kept), 0, []
            for i in kept:
                if top_p is None or share < top_p * total:
                    enough.append(i)
                share += expected[i]
            expected = {i: expected[i] for i in enough}
        assert of_row == [expected.get(i, 0) for i in range(len(row))]


def test_all_ids_may_follow_where_nothing_is_said() -> None:
    logits = np.array([[0, 3, 3, 1]], dtype=np.float32)
    np.testing.assert_array_equal(
        weights(distances(logits)), weights(distances(logits), allowed=np.ones(4, dtype=bool))
    )


@given(LOGITS)
def test_log_softmax_is_normalised(logits: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=1), 1, rtol=1e-12)


@given(LOGITS)
def test_without_options_it_is_the_softmax(logits: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(distribution(logits), np.exp(log_softmax(logits)), rtol=1e-5, atol=2.0**-32)


def test_temperature_zero_takes_the_first_of_the_most_probable() -> None:
    logits = np.array([[0, 3, 3, 1]], dtype=np.float32)
    assert weights(distances(logits), temperature=0).tolist() == [[0, 2**32, 0, 0]]
    allowed = np.array([True, False, True, True])
    assert weights(distances(logits), temperature=0, allowed=allowed).tolist() == [[0, 0, 2**32, 0]]


def test_temperature_divides_the_logits() -> None:
    logits = np.array([[0, 1, 2]], dtype=np.float32)
    np.testing.assert_array_equal(weights(distances(logits), temperature=2), weights(distances(logits / np.float32(2))))
    np.testing.assert_array_equal(weights(distances(logits), temperature=1e-300), [[0, 0, 2**32]])


def test_a_temperature_divides_large_distances_exactly() -> None:
    """This distance, 2^24 + 1 steps, is no float32, and half a step less is where the rounding changes."""
    logits = np.array([[2.0**15, -(2.0**15) - 1 / 256]], dtype=np.float32)
    temperature = (2**24 + 0.5) / 100.5
    assert weights(distances(logits), temperature=temperature)[0, 1] == weight(101) != weight(100)


def test_top_p_keeps_the_fewest_that_reach_the_share() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.15, 0.05]], dtype=np.float32))
    for top_p, kept in ((0.4, 1), (0.6, 2), (0.79, 2), (0.81, 3), (1.0, 4)):
        assert (weights(distances(logits), top_p=top_p) > 0).sum() == kept, top_p


def test_ties_go_to_the_lower_id() -> None:
    assert (weights(np.zeros((1, 6), dtype=np.uint16), top_k=2) > 0).tolist() == [[True] * 2 + [False] * 4]
    assert (weights(np.zeros((1, 6), dtype=np.uint16), top_p=0.4) > 0).tolist() == [[True] * 3 + [False] * 3]


def test_top_k_ranks_by_distance_and_top_p_by_weight() -> None:
    """The distances 5,600 and 5,601 have the same weight."""
    logits = np.array([[-5601, 0, -5600]], dtype=np.float32) / np.float32(256)
    assert weights(distances(logits))[0, 0] == weights(distances(logits))[0, 2] == 1
    assert (weights(distances(logits), top_k=2) > 0).tolist() == [[False, True, True]]
    assert (weights(distances(logits), top_p=(2**32 + 0.5) / (2**32 + 2)) > 0).tolist() == [[True, True, False]]


# The draw


@given(LOGITS, st.data())
def test_a_choice_is_the_inverse_cdf(logits: NDArray[np.float32], data: st.DataObject) -> None:
    """A linear and a binary search find it, also among probabilities that are no whole numbers."""
    mass = weights(distances(logits), top_p=0.9)
    if data.draw(st.booleans()):
        mass /= 3 * mass.sum(axis=1, keepdims=True)
    edge = st.sampled_from([0.0, 0.5, 1 - 2.0**-53])
    uniform = data.draw(
        arrays(np.float64, len(mass), elements=edge | st.integers(0, 2**53 - 1).map(lambda i: i / 2**53))
    )
    order = np.array(data.draw(st.permutations(range(len(mass)))))
    chosen = choose(running_sums(mass.copy()), order, uniform)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sequentia.sampling._MAX_LINEAR_SEARCH", 0)
        np.testing.assert_array_equal(choose(running_sums(mass.copy()), order, uniform), chosen)
    for row, u, i in zip(mass[order], uniform.tolist(), chosen.tolist(), strict=True):
        assert row[i] > 0
        cumulative = np.cumsum(row)
        assert i == (cumulative <= u * cumulative[-1]).sum()


def test_choices_follow_the_distribution() -> None:
    """Draw 9 ids 100,000 times. The counts are binomial; one is 5 sigma off for one seed in 190,000."""
    mass = distribution(np.linspace(-2, 1, 9, dtype=np.float32)[None])
    n = 100_000
    counts = np.bincount(
        choose(running_sums(mass.copy()), np.zeros(n, dtype=int), uniforms(11, 0, n, 4)[:, 0]), minlength=9
    )
    sigma = np.sqrt(n * mass[0] * (1 - mass[0]))
    assert (np.abs(counts - n * mass[0]) < 5 * sigma).all()


# Options


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
        ("seed", 1.5),
        ("seed", b"emma"),
        ("seed", True),
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
    assert plan(max_length=3).draws_per_name == plan().draws_per_name == 12
    assert plan(max_length=12).draws_per_name == 16


@given(STEPS, st.sampled_from([1, 40, 400]), st.booleans())
def test_distances_of_logits(steps: NDArray[np.int64], scale: int, endless: bool) -> None:
    """In 16 bits if they fit, else in 32; what is impossible is as far away as can be said."""
    logits = (steps * scale / 256).astype(np.float32)
    if endless:
        logits[0, 0] = -np.inf
    found = distances(logits)
    expected = (steps.max(axis=1, keepdims=True) - steps) * scale
    if endless:
        expected[0] = (steps[0, 1:].max() - steps[0]) * scale
        expected[0, 0] = 2**25
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == (np.uint16 if expected.max() < 2**16 else np.uint32)
