"""A loaded model: sampling, scores, next symbols, threads and processes."""

import asyncio
import gc
import itertools
import math
import multiprocessing
import os
import pickle
import re
import unicodedata
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

import sequentia
from sequentia import GenerationError, ModelNotFoundError, OptionError, SequenceModel, VocabularyError
from sequentia.artifact import Artifact, graph_of
from sequentia.conditions import said_by
from sequentia.sampling import seed_of
from sequentia.session import open_session
from sequentia.training.kinds.mlp import MLP, MLPStructure

from . import golden, golden_models, plain

# The sampling contract


def test_every_length_of_a_thousand_names_from_one_thread_or_eight(moons: SequenceModel) -> None:
    thousand = moons.generate(1000, seed=5)
    sizes = [0, 1, 2, 7, 8, 9, 63, 500, 999, 1000]
    with ThreadPoolExecutor(8) as pool:
        for n, names in zip(sizes, pool.map(lambda n: moons.generate(n, seed=5), sizes), strict=True):
            assert names == thousand[:n]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sequentia.generation._MAX_BATCH", 700)
        assert moons.generate(2100, seed=5)[:1000] == thousand


def test_seeds_differ_and_no_seed_is_fresh(moons: SequenceModel) -> None:
    assert moons.generate(20, seed=0) != moons.generate(20, seed=1)
    assert moons.generate(20) != moons.generate(20)


def test_a_seed_may_be_a_word(moons: SequenceModel) -> None:
    assert moons.generate(20, seed="emma") == moons.generate(20, seed=seed_of("emma"))
    assert moons.generate(20, seed="7") != moons.generate(20, seed=7)
    assert sequentia.generate(5, seed="emma") == sequentia.load().generate(5, seed="emma")


def test_a_shard_always_has_all_its_names(moons: SequenceModel) -> None:
    """Also where a fifth of all candidates are rejected; a name that cannot be found is an error."""
    options: dict[str, Any] = {"seed": "titan", "novel": True, "exclude": ["tia"], "pattern": "t.*|.{3}"}
    stream = moons.generate(60, **options)
    shards = [list(moons.shard(first, 20, **options)) for first in (40, 0, 20)]
    assert [moons.vocabulary.decode(batch) for shard in shards for batch in shard] == [
        stream[40:], stream[:20], stream[20:40]
    ]  # fmt: skip
    assert list(moons.shard(10**9, 0)) == []
    with pytest.raises(GenerationError, match=r"accepted: 0, rejected: constraints [\d,]+, exclude 16,") as caught:
        list(moons.shard(5, 3, pattern="ti", exclude=["ti"]))
    assert caught.value.rejected["exclude"] == pytest.approx(16_384, rel=0.1)
    assert caught.value.accepted == 0


def test_no_global_random_state_is_touched(moons: SequenceModel) -> None:
    np.random.seed(0)  # noqa: NPY002 - the state under test
    expected = np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    moons.generate(5)
    assert np.random.get_state()[1].tolist() == expected  # type: ignore[index] # noqa: NPY002


def test_what_cannot_be_met_ends_in_a_count(moons: SequenceModel) -> None:
    with pytest.raises(GenerationError, match="gave up after 1 rejected") as caught:
        sequentia.generate(2, temperature=0, unique=True)
    assert (caught.value.candidates, caught.value.accepted, caught.value.rejected) == (2, 1, {"unique": 1})


def test_patience_has_an_end(moons: SequenceModel) -> None:
    with pytest.raises(GenerationError, match="loosen the options") as caught:
        moons.generate(20, max_length=1, temperature=0.3, unique=True, seed=1)
    assert caught.value.accepted <= len(moons.vocabulary.symbols)
    assert caught.value.rejected["unique"] > 10_000
    assert sum(caught.value.rejected.values()) == caught.value.candidates - caught.value.accepted
    assert "ask for fewer names or loosen the options" in str(caught.value)


def test_a_stream_that_gives_up_does_not_speak_of_fewer_names(moons: SequenceModel) -> None:
    stream = moons.stream(max_length=1, temperature=0.3, unique=True, seed=1)
    with pytest.raises(GenerationError, match="loosen the options") as caught:
        list(stream)
    assert "fewer" not in str(caught.value)
    with pytest.raises(GenerationError, match="loosen the options") as caught:
        moons.generate(1, max_length=1, exclude=moons.vocabulary.symbols)
    assert "fewer" not in str(caught.value), "there is only one"


def test_what_was_found_before_giving_up_is_not_lost(moons: SequenceModel) -> None:
    options: dict[str, Any] = {"max_length": 1, "temperature": 0.3, "unique": True, "seed": 1}
    for generate in (moons.generate, moons.generate_arrow):
        with pytest.raises(GenerationError, match=r"the \d+ names found so far are in error\.names") as caught:
            generate(len(moons.vocabulary.symbols), **options)
        found = caught.value.names
        assert len(found) == caught.value.accepted > 1
        assert found == moons.generate(len(found), **options)
    with pytest.raises(GenerationError, match="allow") as caught:
        moons.generate(10_000, **options)
    assert caught.value.names == []
    assert "error.names" not in str(caught.value)


def test_names_that_differ_across_calls(moons: SequenceModel) -> None:
    stream = moons.stream(unique=True, seed=1)
    calls = [list(itertools.islice(stream, 50)) for _ in range(4)]
    assert len({name for call in calls for name in call}) == 200


def test_how_many_must_be_a_number(moons: SequenceModel) -> None:
    assert moons.generate(0) == []
    assert len(moons.generate()) == 1
    for n in (-1, 2.0, "3", None, True, 10**30):
        with pytest.raises(OptionError, match="n must be a whole number"):
            moons.generate(n)  # type: ignore[arg-type]


# Exactness


def test_sampled_names_have_the_probabilities_they_score(moons: SequenceModel) -> None:
    """Compare 40,000 names with the scores of the 30 commonest: a count is 5 sigma off once in 58,000 seeds."""
    n = 40_000
    names = moons.generate(n, seed=17)
    values, counts = np.unique(names, return_counts=True)
    commonest = np.argsort(-counts)[:30]
    # generate() never ends a name before its first symbol, and none is longer than max_length; the score allows both
    possible = (1 - moons.next_symbols()[""]) * moons.probability().value
    probability = np.exp(moons.score(values[commonest].tolist())) / possible
    sigma = np.sqrt(n * probability * (1 - probability))
    assert (np.abs(counts[commonest] - n * probability) < 5 * sigma).all()


def test_sampled_next_symbols_follow_the_softmax(moons: SequenceModel) -> None:
    """Draw 20,000 names that start with a prefix: one of 25 counts is 5 sigma off once in 70,000 seeds."""
    n = 20_000
    followers = [name[2:3] for name in moons.generate(n, prefix="te", max_length=200, seed=23)]
    for symbol, probability in moons.next_symbols("te").items():
        sigma = math.sqrt(n * probability * (1 - probability))
        assert abs(followers.count(symbol) - n * probability) < max(5 * sigma, 5)


def test_scores_of_all_short_names_and_the_rest_sum_to_one(moons: SequenceModel) -> None:
    symbols = moons.vocabulary.symbols
    pairs = ["".join(pair) for pair in itertools.product(symbols, repeat=2)]
    short = np.exp(moons.score(["", *symbols, *pairs])).sum()
    first = moons.next_symbols()
    longer = sum(
        first[a] * second * (1 - moons.next_symbols(a + b)[""])
        for a in symbols
        for b, second in moons.next_symbols(a).items()
        if b
    )
    assert short + longer == pytest.approx(1, abs=1e-9)


def test_next_symbols_are_a_sorted_distribution(moons: SequenceModel) -> None:
    probability = moons.next_symbols("ti")
    assert sorted(probability) == ["", *moons.vocabulary.symbols]
    assert sum(probability.values()) == pytest.approx(1)
    assert list(probability.values()) == sorted(probability.values(), reverse=True)


def test_next_symbols_of_several_prefixes(moons: SequenceModel) -> None:
    prefixes = ["ti", "", "titan", "ti"]
    assert moons.next_symbols(prefixes) == [moons.next_symbols(prefix) for prefix in prefixes]
    assert moons.next_symbols([]) == []
    with pytest.raises(VocabularyError, match="'!' at position 0"):
        moons.next_symbols(["a", "!"])
    with pytest.raises(OptionError, match=r"prefix\[0\] must be a string, not 5"):
        moons.next_symbols([5])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="prefix must be a string or a list of strings"):
        moons.next_symbols(None)  # type: ignore[call-overload]


def test_score_is_the_sum_of_its_steps(moons: SequenceModel) -> None:
    names = ["titan", "io", "", "a" * 40]
    steps = [
        sum(math.log(moons.next_symbols(name[:i])[symbol]) for i, symbol in enumerate([*name, ""])) for name in names
    ]
    scores = moons.score(iter(names))
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, steps, rtol=1e-9)
    assert moons.score([]).shape == (0,)
    for wrong in ("titan", b"titan", 5, None):
        with pytest.raises(OptionError, match="names must be a list of strings, even for a single one, not"):
            moons.score(wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"names\[1\] must be a string, not None") as caught:
        moons.score(["titan", None])  # type: ignore[list-item]
    assert (caught.value.option, caught.value.value) == ("names", ["titan", None])
    with pytest.raises(VocabularyError, match="'!' at position 2"):
        moons.score(["titan", "io!"])


# The logits of a context are its own


def wide(moons: SequenceModel, folder: Path) -> SequenceModel:
    """Return a network so wide that onnxruntime divides a run among threads if it may."""
    config = moons.config
    torch.manual_seed(1)
    structure = MLPStructure(
        embedding_dim=64,
        hidden_sizes=[1024, 512],
        activation="tanh",
        hidden_bias=True,
        batch_norm="none",
        direct=0,
        parameters=0,
    )
    network = MLP(config.inputs, structure).eval()
    contexts = np.random.Generator(np.random.PCG64(4)).integers(0, moons.vocabulary.size, (200, config.block_size))
    architecture, tensors = network.in_whole_numbers(network.precisions(), contexts, np.zeros((200, 0), dtype=np.int64))
    config = msgspec.structs.replace(config, architecture=architecture)
    graph = graph_of(config, tensors)
    return SequenceModel(Artifact(config, moons.vocabulary, tensors, graph, None, folder))


@pytest.mark.parametrize("which", ["moons", "bundled", "wide"])
def test_logits_are_the_same_bits_in_any_batch(moons: SequenceModel, which: str, tmp_path: Path) -> None:
    """Batches of every size from 1 to 40 and around the largest run, in any order, on any number of threads."""
    model = wide(moons, tmp_path) if which == "wide" else moons if which == "moons" else sequentia.load()
    random = np.random.Generator(np.random.PCG64(3))
    contexts = random.integers(0, model.vocabulary.size, (1100, model.config.block_size))
    together = model.logits(contexts)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together * 256, np.round(together * 256))
    order = random.permutation(len(contexts))
    np.testing.assert_array_equal(model.logits(contexts[order]), together[order])
    for size in (*range(41), 511, 512, 513, 1024, 1025):
        start = random.integers(0, len(contexts) - size)
        np.testing.assert_array_equal(model.logits(contexts[start : start + size]), together[start : start + size])
    for threads in (2, 4):
        session = open_session(model._artifact.graph, threads=threads)
        np.testing.assert_array_equal(session.run(["logits"], {"context": contexts})[0], together)


# Conditions


CONDITIONED = [name for name in golden_models.MODELS if name.endswith("-where")]


@pytest.fixture(params=CONDITIONED)
def conditioned(request: pytest.FixtureRequest) -> SequenceModel:
    """A small model with conditions that remembers nothing yet."""
    return sequentia.load(golden.MODELS / request.param)


@pytest.fixture
def both() -> SequenceModel:
    """A model that knows sex, f or m, and decade, 1990 to 2010."""
    return sequentia.load(golden.MODELS / "mlp-where")


def wheres(model: SequenceModel) -> list[dict[str, str]]:
    """Return every combination of the conditions' values and of what is not said of them."""
    found: list[dict[str, str]] = [{}]
    for name, values in model.conditions.items():
        found += [{**each, name: value} for each in found for value in values]
    return found


def test_scores_and_next_symbols_under_conditions_are_those_of_the_plain_evaluator(conditioned: SequenceModel) -> None:
    evaluator = plain.Plain(conditioned._artifact.folder)
    names = ["", "a", "hag", "gagbad", "a" * 30]
    for where in wheres(conditioned):
        said = evaluator.said(where)

        def after(text: str, said: tuple[int, ...] = said) -> dict[str, float]:
            logits = evaluator.after(evaluator.context(evaluator.encode(text)), said)
            total = math.fsum(math.exp(x / 256) for x in logits)
            return {symbol: math.exp(x / 256) / total for symbol, x in zip(evaluator.symbols, logits, strict=True)}

        for prefix, found in zip(names, conditioned.next_symbols(names, where=where), strict=True):
            assert found == pytest.approx(after(prefix))
            assert conditioned.next_symbols(prefix, where=where) == found
        expected = [sum(math.log(after(name[:i])[x]) for i, x in enumerate([*name, ""])) for name in names]
        assert conditioned.score(names, where=where).tolist() == pytest.approx(expected)


def test_scores_of_names_each_under_its_own_conditions(conditioned: SequenceModel) -> None:
    """The same bits as one by one."""
    several: list[dict[str, str] | None] = [*wheres(conditioned), None] * 30
    names = conditioned.generate(len(several), seed=1)
    expected = [conditioned.score([name], where=where)[0] for name, where in zip(names, several, strict=True)]
    assert conditioned.score(names, where=several).tolist() == expected
    assert conditioned.score(names, where=tuple(several)).tolist() == expected
    assert conditioned.score([], where=[]).shape == (0,)
    assert len(set(conditioned.score(["ga"] * len(several), where=several).tolist())) > 2
    for given in (several[:-1], []):
        with pytest.raises(
            OptionError, match=f"where has {len(given)} entries for {len(names)} names: give one for"
        ) as e:
            conditioned.score(names, where=given)
        assert e.value.option == "where"
    with pytest.raises(OptionError, match="where must map conditions to values"):
        conditioned.score(["a", "b"], where=[{}, "f"])  # type: ignore[list-item]


def test_the_most_likely_names_under_conditions(conditioned: SequenceModel) -> None:
    symbols = conditioned.vocabulary.symbols
    names = ["".join(letters) for n in (1, 2, 3) for letters in itertools.product(symbols, repeat=n)]
    for where in wheres(conditioned):
        scores = dict(zip(names, conditioned.score(names, where=where).tolist(), strict=True))
        expected = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        assert conditioned.most_likely(20, max_length=3, where=where) == expected[:20]


def test_the_probability_of_constraints_under_conditions(conditioned: SequenceModel) -> None:
    """Each estimate is 5 of its standard errors off once in 1.7 million seeds."""
    symbols, probabilities = conditioned.vocabulary.symbols, set()
    names = [*symbols, *map("".join, itertools.product(symbols, repeat=2))]
    for where in wheres(conditioned):
        exact = np.exp(conditioned.score(names, where=where)).sum()
        exact /= 1 - conditioned.next_symbols(where=where)[""]  # no name is empty
        found = conditioned.probability(max_length=2, where=where)
        assert abs(found.value - exact) <= 5 * found.error + 1e-12
        probabilities.add(found.value)
    assert len(probabilities) > 2


def test_what_is_not_said_is_left_open(both: SequenceModel) -> None:
    assert both.conditions == {"sex": ["f", "m"], "decade": ["1990", "2000", "2010"]}
    assert sequentia.load().conditions == {}
    names = both.generate(50, seed=1)
    nothing: list[dict[str, str] | None] = [None, {}]
    for where in nothing:
        assert both.generate(50, seed=1, where=where) == names
        assert sequentia.load().generate(5, seed=1, where=where) == sequentia.generate(5, seed=1)
    streams = {tuple(both.generate(50, seed=1, where=where)) for where in wheres(both)}
    assert len(streams) == len(wheres(both)) == 12
    with pytest.raises(OptionError, match="the model has no condition 'sex'; it has none"):
        sequentia.generate(where={"sex": "f"})


def test_a_value_may_be_a_number_and_any_form_of_text(both: SequenceModel) -> None:
    expected = both.generate(20, seed=1, where={"decade": "1990", "sex": "m"})
    number: Any
    for number in (1990, 1990.0, np.float32(1990), np.int64(1990), np.uint16(1990), np.str_("1990")):
        assert both.generate(20, seed=1, where={"sex": "m", "decade": number}) == expected
    assert both.generate(20, seed=1, where=MappingProxyType({"sex": "m", "decade": 1990})) == expected
    regions = sequentia.load(golden.MODELS / "ngram-where")
    decomposed = {unicodedata.normalize("NFD", "région"): unicodedata.normalize("NFD", "Île")}
    assert regions.generate(20, seed=1, where=decomposed) == regions.generate(20, seed=1, where={"région": "Île"})


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"Sex": "f"}, "where: the model has no condition 'Sex'; its conditions are 'sex', 'decade'"),
        ({"sex": "f", 3: "f"}, "where: the model has no condition 3; its conditions are 'sex', 'decade'"),
        ({"sex": "x"}, "where: sex must be one of 'f', 'm', not 'x'"),
        ({"sex": "F"}, "where: sex must be one of 'f', 'm', not 'F'"),
        ({"sex": ""}, "where: sex must be one of 'f', 'm', not ''"),
        ({"sex": None}, "where: sex must be one of 'f', 'm', not None"),
        ({"sex": ["f"]}, "where: sex must be one of 'f', 'm', not ['f']"),
        ({"decade": 1991}, "where: decade must be one of '1990', '2000', '2010', not 1991"),
        ({"decade": 1990.5}, "where: decade must be one of '1990', '2000', '2010', not 1990.5"),
        ({"decade": float("nan")}, "where: decade must be one of '1990', '2000', '2010', not nan"),
        ({"decade": True}, "where: decade must be one of '1990', '2000', '2010', not True"),
        ({"decade": np.array([1990, 2000])}, "where: decade must be one of '1990', '2000', '2010', not array("),
        ("f", "where must map conditions to values, such as {'sex': 'f'}, not 'f'"),
        (1990, "where must map conditions to values, such as {'sex': 'f'}, not 1990"),
        ({"f"}, "where must map conditions to values, such as {'sex': 'f'}, not {'f'}"),
    ],
    ids=str,
)
def test_wrong_conditions_are_told(both: SequenceModel, where: Any, message: str) -> None:
    calls: list[Any] = [
        lambda: both.generate(where=where),
        lambda: both.stream(where=where),
        lambda: both.batches(1, where=where),
        lambda: both.shard(0, 1, where=where),
        lambda: both.generate_arrow(where=where),
        lambda: both.score(["a"], where=where),
        lambda: both.score(["a"], where=[where]),
        lambda: both.next_symbols(where=where),
        lambda: both.most_likely(where=where),
        lambda: both.probability(suffix="a", where=where),
    ]
    for call in calls:
        with pytest.raises(OptionError, match=f"^{re.escape(message)}") as caught:
            call()
        assert caught.value.option == "where"
        assert caught.value.value is where


def test_many_values_are_not_all_listed() -> None:
    conditions = {"year": [str(year) for year in range(1880, 2025)]}
    with pytest.raises(OptionError, match=r"'1908', '1909' and 115 more, not 1879$"):
        said_by({"year": 1879}, conditions)


def test_few_combinations_are_remembered(both: SequenceModel) -> None:
    """What the others took is freed, and they give the same names again."""
    combinations = wheres(both)
    options: dict[str, Any] = {"seed": 1, "suffix": "cb"}
    names, caches = [], []
    for where in combinations:
        names.append(both.generate(20, where=where, **options))
        caches.append(weakref.ref(both._methods({"where": where}).cache))
    gc.collect()
    assert [cache() is not None for cache in caches] == [False] * 8 + [True] * 4
    assert [both.generate(20, where=where, **options) for where in combinations] == names
    last = both._methods({"where": combinations[-1]})
    assert both._methods({"where": dict(reversed(combinations[-1].items()))}) is last


# Threads and processes


def test_conditions_survive_pickling_and_a_fork(conditioned: SequenceModel) -> None:
    several = wheres(conditioned)
    expected = [conditioned.generate(20, seed=1, where=where) for where in several]
    scores = conditioned.score(["gag"] * len(several), where=several).tolist()

    def all_of(model: SequenceModel) -> tuple[list[list[str]], list[float]]:
        names = [model.generate(20, seed=1, where=where) for where in several]
        return names, model.score(["gag"] * len(several), where=several).tolist()

    assert all_of(pickle.loads(pickle.dumps(conditioned))) == (expected, scores)
    context: Any = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=lambda: queue.put(all_of(conditioned)))
    process.start()
    assert queue.get(timeout=60) == (expected, scores) == all_of(conditioned)
    process.join(timeout=60)
    assert process.exitcode == 0


def test_many_threads_that_ask_for_different_conditions(both: SequenceModel) -> None:
    """Eight threads take twelve combinations by turns, so that what they use is forgotten again and again."""
    options: list[dict[str, Any]] = [
        {"where": where, "seed": 1, "suffix": suffix} for suffix in ("", "cb") for where in wheres(both)
    ]
    expected = [both.generate(100, **each) for each in options]
    fresh = SequenceModel(both._artifact, threads=2)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda each: fresh.generate(100, **each), options * 4)) == expected * 4


def test_a_model_survives_pickling(moons: SequenceModel) -> None:
    copy = pickle.loads(pickle.dumps(moons))
    assert copy.generate(5, seed=1) == moons.generate(5, seed=1)
    assert copy.config == moons.config


def test_a_spawned_process_gets_the_model_pickled(moons: SequenceModel) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(moons.generate, 5, seed=1).result(timeout=60) == moons.generate(5, seed=1)


def test_names_beside_an_event_loop(moons: SequenceModel) -> None:
    """The event loop goes on while a thread generates."""

    async def both() -> tuple[list[str], int]:
        task = asyncio.create_task(asyncio.to_thread(moons.generate, 3000, seed=1))
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        return await task, turns

    names, turns = asyncio.run(both())
    assert names == moons.generate(3000, seed=1)
    assert turns > 1


def test_one_model_for_many_threads(moons: SequenceModel) -> None:
    """Eight threads with different options give the same names as one call after the other."""
    options: list[dict[str, Any]] = [
        {"seed": seed, "prefix": prefix, "pattern": pattern}
        for seed, (prefix, pattern) in enumerate([("", None), ("ti", None), ("", "[a-m]+"), ("a", ".{5}")] * 4)
    ]
    fresh = SequenceModel(moons._artifact, threads=2)
    expected = [moons.generate(200, **each) for each in options]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda each: fresh.generate(200, **each), options)) == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_uses_the_model_it_inherits(moons: SequenceModel, threads: int) -> None:
    context: Any = multiprocessing.get_context("fork")
    model = SequenceModel(moons._artifact, threads=threads)
    queue = context.Queue()
    process = context.Process(target=lambda: queue.put(model.generate(5, seed=1)))
    process.start()
    assert queue.get(timeout=60) == moons.generate(5, seed=1) == model.generate(5, seed=1)
    process.join(timeout=60)
    assert process.exitcode == 0


def test_an_unused_model_may_be_dropped_after_a_fork(moons: SequenceModel) -> None:
    context: Any = multiprocessing.get_context("fork")
    models = [SequenceModel(moons._artifact, threads=4)]
    process = context.Process(target=models.clear)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0


# Finding a model


def test_a_folder_by_any_kind_of_name(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sequentia.load(trained).generate(3, seed=1)
    assert sequentia.generate(3, seed=1, model=str(trained)) == expected
    monkeypatch.setenv("SEQUENTIA_MODEL", str(trained))
    assert sequentia.generate(3, seed=1) == expected
    monkeypatch.chdir(trained.parent)
    assert sequentia.generate(3, seed=1, model="moons") == expected


def test_the_bundled_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "names").mkdir()  # stands in nobody's way
    monkeypatch.chdir(tmp_path)
    default = sequentia.load()
    assert default.config.name == "names"
    assert sequentia.generate(5, seed=2) == sequentia.load("names").generate(5, seed=2)
    assert repr(default).startswith("SequenceModel('names', 26 symbols")


def test_a_changed_folder_is_loaded_again(run: Path) -> None:
    before = sequentia.generate(model=run, seed=1)
    assert sequentia.generate(model=run, seed=1) == before
    config = run / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"name": "moons"', '"name": 5'), encoding="utf-8")
    os.utime(config, ns=(1, 1))
    with pytest.raises(sequentia.ArtifactError):
        sequentia.generate(model=run)


@pytest.mark.parametrize("model", ["", "nowhere", "/nowhere/at/all", "a" * 5000, "nul\0"])
def test_no_such_model(model: str) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a folder, nor a bundled model") as caught:
        sequentia.load(model)
    assert caught.value.model == model


def test_a_model_must_be_a_name_or_a_path() -> None:
    for wrong in (5, b"names", ["names"]):
        with pytest.raises(OptionError, match="model must be a name or a path, not"):
            sequentia.load(wrong)  # type: ignore[arg-type]


def test_threads_must_be_a_number(trained: Path) -> None:
    with pytest.raises(OptionError, match="threads must be"):
        sequentia.load(trained, threads=0)
