"""The provider for Faker: its names, seeds, ``unique`` and pytest's fixture, with the real Faker."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from faker import Faker
from faker.exceptions import UniquenessException

import sequentia
from sequentia import GenerationError, OptionError, SequenceModel
from sequentia.faker import Provider

from .conftest import python

METHODS: dict[str, dict[str, Any]] = {
    "invented_first_name": {"model": "people"},
    "invented_first_name_female": {"model": "people", "where": {"sex": "f"}},
    "invented_first_name_male": {"model": "people", "where": {"sex": "m"}},
    "invented_last_name": {"model": "surnames"},
}
GUIDE = (Path(__file__).parents[1] / "docs" / "faker.md").read_text(encoding="utf-8")


@pytest.fixture
def fake() -> Faker:
    fake = Faker()
    fake.add_provider(Provider)
    fake.seed_instance(1)
    return fake


def draw(fake: Faker, method: str, n: int = 20, **options: Any) -> list[str]:
    function = getattr(fake, method)
    return [function(**options) for _ in range(n)]


@pytest.mark.parametrize("method", METHODS)
def test_names_are_those_of_seeds_that_faker_draws(fake: Faker, method: str) -> None:
    names = draw(fake, method)
    fake.seed_instance(1)
    seeds = [fake.random.getrandbits(64) for _ in names]
    options: dict[str, Any] = {**METHODS[method], "case": "title"}
    assert names == [sequentia.generate(1, seed=seed, **options)[0] for seed in seeds]
    assert len(set(names)) > 10
    assert all(name.istitle() for name in names)


def test_whole_names(fake: Faker) -> None:
    names = draw(fake, "invented_name")
    fake.seed_instance(1)
    assert names == [f"{fake.invented_first_name()} {fake.invented_last_name()}" for _ in names]


def test_seeds_work_as_for_all_providers(fake: Faker) -> None:
    names = draw(fake, "invented_name")
    assert draw(fake, "invented_name") != names
    fake.seed_instance(1)
    assert draw(fake, "invented_name") == names
    other = Faker()
    other.add_provider(Provider)
    Faker.seed(1)
    assert draw(other, "invented_name") == names
    fake.seed_instance(1)
    fake.first_name()
    assert draw(fake, "invented_name") != names, "other calls draw from the same source"
    fake.seed_instance(1)
    twin = copy.deepcopy(fake)
    assert draw(twin, "invented_name") == draw(fake, "invented_name") == names


def test_any_model_and_options(fake: Faker, trained: Path) -> None:
    assert all(name.startswith("Mar") for name in draw(fake, "invented", prefix="Mar", case="title"))
    assert all(name.islower() for name in draw(fake, "invented"))
    assert draw(fake, "invented", 3, model=trained, suffix="a", avoid=["x"], exclude={"io"})
    fake.seed_instance(5)
    named = draw(fake, "invented", model="people", where={"sex": "f", "decade": 1920})
    fake.seed_instance(5)
    assert draw(fake, "invented", model="people", where=(("sex", "f"), ("decade", 1920))) == named
    fake.seed_instance(5)
    assert draw(fake, "invented", model="people", where={"sex": "m"}) != named


def test_unique(fake: Faker) -> None:
    assert len({fake.unique.invented_first_name_male() for _ in range(300)}) == 300
    assert len(set(draw(fake, "invented_first_name_male", 300))) < 300, "else this tests nothing"
    names = {fake.unique.invented("people", where=(("sex", "f"),), temperature=0.5) for _ in range(50)}
    assert len(names) == 50
    fake.unique.invented(top_k=1, prefix="emm")
    with pytest.raises(UniquenessException):
        fake.unique.invented(top_k=1, prefix="emm")


def test_mistakes(fake: Faker) -> None:
    with pytest.raises(OptionError, match=r"seed: .* fake\.seed_instance"):
        fake.invented(seed=1)
    with pytest.raises(OptionError, match=r"unique: call fake\.unique\.invented"):
        fake.invented(unique=True)
    assert fake.invented(seed=None, unique=False)
    for wrong in (5, b"names", ["names"]):
        with pytest.raises(OptionError, match="model must be a name or a path") as caught:
            fake.invented(wrong)
        assert caught.value.option == "model"
    with pytest.raises(OptionError, match="the model has no condition 'age'"):
        fake.invented("people", where={"age": 3})
    with pytest.raises(TypeError, match="unknown option 'topk'") as unknown:
        fake.invented(topk=3)
    assert not re.search("seed|unique", str(unknown.value)), "it takes neither"
    with pytest.raises(sequentia.ModelNotFoundError):
        fake.invented("nothing")


@pytest.fixture(scope="session", autouse=True)
def _invented_names(_session_faker: Faker) -> None:
    _session_faker.add_provider(Provider)


@pytest.mark.parametrize("_time", [1, 2])
def test_the_fixture_gives_the_same_names_to_every_test(faker: Faker, _time: int) -> None:
    again = Faker()
    again.add_provider(Provider)
    again.seed_instance(0)
    assert draw(faker, "invented_name") == draw(again, "invented_name")


def test_the_guide(tmp_path: Path) -> None:
    blocks = re.findall(r"<!-- (\w+\.py) -->\n```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["conftest.py", "test_people.py"]
    for name, code in blocks:
        (tmp_path / name).write_text(code, encoding="utf-8")
    result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path))
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    Faker.seed(1)
    fake = Faker()
    fake.add_provider(Provider)
    assert f"fake.invented_name()  # {fake.invented_name()!r}" in GUIDE


def test_how_many_of_the_names_are_known() -> None:
    shares = re.findall(r"(\d+) % of the names of `(\w+)`", GUIDE)
    assert [model for _, model in shares] == ["people", "surnames"]
    for share, model in shares:
        loaded = sequentia.load(model)
        known = loaded._artifact.known
        assert known is not None
        assert known.contains(loaded.generate(10_000, seed=1)).mean() == pytest.approx(int(share) / 100, abs=0.01)


def test_without_faker() -> None:
    code = "import sys; sys.modules['faker'] = None\nimport sequentia; sequentia.generate()\nimport sequentia.faker"
    result = python("-c", code)
    assert "MissingExtraError" in result.stderr
    assert "install the extra [faker]" in result.stderr


OPTIONS: list[dict[str, Any]] = [
    {},
    {"where": {"sex": "f"}, "case": "title"},
    {"prefix": "mar", "temperature": 0.7, "top_k": 5},
    {"top_p": 0.8},
    {"novel": True},
    {"exclude": ["mary", "john", "james", "robert"], "temperature": 0.5},
    {"max_length": 4},
    {"min_length": 7},
    {"suffix": "a", "case": "upper"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_namer_gives_the_first_name_of_each_seed(options: dict[str, Any]) -> None:
    model = sequentia.load("people")
    namer = model.namer(**options)
    seeds: list[int | str] = [*range(150), *range(75, 150), "emma", "", 2**128 - 1]
    assert [namer(seed) for seed in seeds] == [model.generate(1, seed=seed, **options)[0] for seed in seeds]


def test_a_namer_cannot_be_pickled_as_the_guide_says() -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(sequentia.load("people").namer())


def test_a_namer_says_which_options_it_takes() -> None:
    model = sequentia.load("people")
    with pytest.raises(TypeError, match=r"unknown option 'topk'; the options are where, .*, case$") as caught:
        model.namer(topk=3)  # type: ignore[call-arg]
    assert not re.search("seed|unique", str(caught.value))
    with pytest.raises(TypeError, match="unknown option 'topk'") as caught:
        model.shard(0, 1, topk=3)  # type: ignore[call-arg]
    assert "unique" not in str(caught.value)


def test_a_namer_of_names_that_grow_too_long(moons: SequenceModel) -> None:
    """At a high temperature, many first attempts are."""
    namer = moons.namer(temperature=3.0)
    names = [namer(seed) for seed in range(100)]
    assert names == [moons.generate(1, seed=seed, temperature=3.0)[0] for seed in range(100)]


def test_a_namer_that_may_remember_no_more(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sequentia.namer._MOST_SUMS", 5 * moons.vocabulary.size)
    namer = moons.namer()
    assert [namer(seed) for seed in range(60)] == [moons.generate(1, seed=seed)[0] for seed in range(60)]


def test_a_namer_without_a_seed_and_one_that_finds_no_name() -> None:
    model = sequentia.load("people")
    namer = model.namer()
    assert len({namer() for _ in range(50)}) > 10
    with pytest.raises(OptionError, match="seed must be"):
        namer(-1)
    constant = model.namer(temperature=0)
    assert constant(1) == constant(2) == model.generate(1, temperature=0)[0]
    with pytest.raises(GenerationError):
        model.namer(temperature=0, exclude=[constant(1)])(1)
