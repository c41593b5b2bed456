"""What threads share: streams and other iterators, and models that are loaded at first use."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import sequentia
from sequentia import ModelNotFoundError, SequenceModel, session
from sequentia.iterating import SharedIterator
from sequentia.loaded import LoadedModels

THREADS = 4

Open = Callable[[SequenceModel], Iterator[Any]]


def at_once(job: Callable[[], Any], threads: int = THREADS) -> list[Any]:
    """Return what a job returns in several threads, which begin it together."""
    barrier = threading.Barrier(threads)

    def begin(_: int) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def ordered(shares: list[list[str]], names: list[str]) -> bool:
    """Return whether each share has some of the names, in their order."""
    return all(name in remaining for share in shares for remaining in [iter(names)] for name in share)


@pytest.mark.parametrize("options", [{"seed": 1}, {"seed": 1, "unique": True}, {"seed": 1, "case": "title"}])
def test_each_name_of_a_stream_goes_to_one_thread(moons: SequenceModel, options: dict[str, Any]) -> None:
    stream = moons.stream(**options)
    shares = at_once(lambda: list(islice(stream, 2000)))
    names = moons.generate(THREADS * 2000, **options)
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert ordered(shares, names)
    assert next(stream) == moons.generate(len(names) + 1, **options)[-1]


@pytest.mark.parametrize(
    "open_batches",
    [lambda model: model.batches(None, seed=1), lambda model: model.shard(0, 1 << 19, seed=1)],
    ids=["batches", "shard"],
)
def test_each_batch_goes_to_one_thread(moons: SequenceModel, open_batches: Open) -> None:
    batches, again = open_batches(moons), open_batches(moons)
    shares = at_once(lambda: [moons.vocabulary.decode(batch) for batch in islice(batches, 1)])
    found = sorted(names for share in shares for names in share)
    assert found == sorted(moons.vocabulary.decode(batch) for batch in islice(again, len(found)))


def test_a_stream_that_is_asked_while_it_draws_says_so_and_goes_on() -> None:
    """As a signal handler might, in the same thread."""

    def source() -> Iterator[int]:
        with pytest.raises(ValueError, match="already executing"):
            next(shared)
        yield from range(3)

    shared: SharedIterator[int] = SharedIterator(source())
    assert list(shared) == [0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_stream_goes_on_after_a_fork_in_which_a_thread_held_it(moons: SequenceModel) -> None:
    stream = moons.stream(seed=1)
    first = next(stream)
    assert isinstance(stream, SharedIterator)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with stream._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(0 if [first, next(stream)] == moons.generate(2, seed=1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    done.set()
    thread.join()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that gets each session that onnxruntime opens, which takes a while."""
    sessions: list[Any] = []
    open_session = session.open_session

    def slowly(graph: bytes | Path) -> Any:
        time.sleep(0.2)
        sessions.append(open_session(graph))
        return sessions[-1]

    monkeypatch.setattr(session, "open_session", slowly)
    return sessions


def test_a_model_is_loaded_once_for_all_threads(trained: Path, opened: list[Any]) -> None:
    models = LoadedModels()
    found = at_once(lambda: models.of(trained, None), threads=8)
    assert len(opened) == 1
    assert all(model is found[0] for model in found)
    assert models.of(trained, None) is found[0]
    assert models.of(trained, (1, 1)) is not found[0], "the folder has changed"
    for version in range(2, 6):
        models.of(trained, (version, 1))
    assert models.of(trained, None) is not found[0], "four models are kept"


def test_another_model_does_not_wait_and_what_cannot_be_loaded_leaves_nothing(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, begun, done = LoadedModels(), threading.Event(), threading.Event()
    load = sequentia.load

    def waiting(model: str | Path | None) -> SequenceModel:
        if model == "slow":
            begun.set()
            assert done.wait(60)
            raise ModelNotFoundError("no model")
        return load(model)

    monkeypatch.setattr("sequentia.loaded.load", waiting)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(models.of, "slow", None)
        assert begun.wait(60)
        assert models.of(trained, None).generate(2, seed=1) == load(trained).generate(2, seed=1)
        done.set()
        with pytest.raises(ModelNotFoundError):
            slow.result()
    assert not models._loading


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_while_a_thread_loads_a_model(trained: Path) -> None:
    models = LoadedModels()
    with models._lock:  # as if another thread held it
        child = os.fork()
        if not child:
            os._exit(0 if models.of(trained, None) is models.of(trained, None) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_of_a_forked_process_open_one_session(trained: Path, opened: list[Any]) -> None:
    model = sequentia.load(trained)
    model._session.renew()  # as in a forked process
    at_once(lambda: model.score(["luna"]))
    assert len(opened) == 2
