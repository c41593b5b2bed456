"""Loading from the hub and publishing, over HTTP: the real client against the tests' own server."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, constants, scan_cache_dir, snapshot_download

import sequentia
from sequentia import (
    ArtifactError,
    HubError,
    ModelNotFoundError,
    OptionError,
    SequenceModel,
    SequentiaError,
    artifact,
)
from sequentia.export import export
from sequentia.page import page
from sequentia.training import train

from .conftest import MOONS, SMALL
from .hub_server import HubServer
from .test_artifact import set_graph
from .test_cli import fail, run_cli, run_here, succeed

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own

REPO = "you/moons"
CHECKED = {artifact.CONFIG, *artifact.FILES}
FILES = CHECKED | {artifact.CARD}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def contents_but_config(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name != artifact.CONFIG}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def published(hub: HubServer, trained: Path) -> str:
    """The small model in a repository with one commit; the hash of that commit."""
    hub.create(REPO)
    return hub.commit(REPO, contents(trained))


@pytest.fixture
def signed_in(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    monkeypatch.setenv("HF_TOKEN", "token-you")
    return hub


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same alphabet."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    train(MOONS, folder, recipe="mlp", overrides=(*SMALL, "seed=7"))
    export(folder, folder)
    return folder


def load(cache: Path, **options: Any) -> SequenceModel:
    return sequentia.load(REPO, cache_dir=cache, **options)


def names(model: SequenceModel) -> list[str]:
    return model.generate(20, seed=3)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the library and the client wanted to wait; they do not wait."""
    asked: list[float] = []
    monkeypatch.setattr("time.sleep", asked.append)
    return asked


def card_of(hub: HubServer) -> Any:
    """The repository's card, read by the client's own class, whose metadata is typed loosely."""
    return ModelCard(hub.files(REPO)[artifact.CARD].decode())


def downloads(hub: HubServer) -> list[str]:
    """The names of the downloaded files, in order."""
    got = (request.path for request in hub.requests if request.method == "GET")
    return [path.rpartition("/")[2] for path in got if "/resolve/" in path or "/cdn/" in path]


def paths(hub: HubServer) -> list[str]:
    return [f"{request.method} {request.path}" for request in hub.requests]


# There and back


def test_push_load_and_load_without_the_hub(
    signed_in: HubServer, trained: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    local = sequentia.load(trained)
    assert local.push_to_hub(REPO) == f"{signed_in.url}/{REPO}"
    assert signed_in.log(REPO)[0] == "Publish moons"
    assert len(signed_in.log(REPO)) == 2, "one commit after that of the creation"
    loaded = load(cache)
    assert names(loaded) == names(local)
    signed_in.close()
    assert names(load(cache)) == names(local)
    assert "no valid answer from the hub" in caplog.text
    assert "from the cache instead" in caplog.text


def test_only_the_files_of_the_artifact_are_fetched(hub: HubServer, published: str, cache: Path) -> None:
    hub.commit(REPO, {"pytorch_model.bin": b"x" * 1000, "notes.txt": b"x", "pictures/loss.png": b"x"})
    load(cache)
    assert downloads(hub)[0] == artifact.CONFIG
    assert sorted(downloads(hub)) == sorted(FILES)
    assert all(
        request.user_agent.startswith(f"sequentia/{sequentia.__version__};")
        for request in hub.requests
        if "agent-harnesses" not in request.path
    )


def test_revisions(hub: HubServer, published: str, other: Path, trained: Path, cache: Path) -> None:
    hub.tag(REPO, "v1", published)
    hub.repositories[REPO].branches["trial/one"] = published
    second = hub.commit(REPO, contents(other))
    old, new = names(sequentia.load(trained)), names(sequentia.load(other))
    assert old != new
    for revision, expected in (("v1", old), (published, old), (second, new), ("main", new), ("trial/one", old)):
        assert names(load(cache, revision=revision)) == expected
        assert names(sequentia.load(f"{REPO}@{revision}", cache_dir=cache)) == expected
    assert names(load(cache)) == new
    third = hub.commit(REPO, contents(trained))
    assert names(load(cache)) == old, "the default follows main"
    assert names(load(cache, local_files_only=True)) == old
    assert {revision.commit_hash for repo in scan_cache_dir(cache).repos for revision in repo.revisions} >= {third}


def test_a_commit_that_is_cached_needs_no_network(hub: HubServer, published: str, cache: Path) -> None:
    load(cache, revision=published)
    hub.requests.clear()
    load(cache, revision=published)
    load(cache, revision=published, local_files_only=True)
    load(cache, revision=published, token="bad")
    assert hub.requests == []


def test_offline_by_the_environment(hub: HubServer, published: str, tmp_path: Path) -> None:
    where: Any = {"HF_HUB_CACHE": str(tmp_path / "cache")}
    expected = succeed("generate", "--model", REPO, "--seed", 1, **where)
    hub.requests.clear()
    assert succeed("generate", "--model", REPO, "--seed", 1, HF_HUB_OFFLINE="1", **where) == expected
    message = fail("generate", "--model", "you/other", HF_HUB_OFFLINE="1", **where)
    assert "you/other is not completely in the cache" in message
    assert hub.requests == []


def test_force_download(hub: HubServer, published: str, cache: Path) -> None:
    load(cache)
    hub.requests.clear()
    load(cache)
    assert downloads(hub) == []
    load(cache, force_download=True)
    assert sorted(downloads(hub)) == sorted(FILES)
    with pytest.raises(OptionError, match="force_download needs the network"):
        load(cache, force_download=True, local_files_only=True)


def test_the_default_model_may_be_on_the_hub(
    hub: HubServer, published: str, monkeypatch: pytest.MonkeyPatch, moons: SequenceModel
) -> None:
    hub.tag(REPO, "v1", published)
    monkeypatch.setenv("SEQUENTIA_MODEL", f"{REPO}@v1")
    assert sequentia.generate(20, seed=3) == names(moons) == names(sequentia.load())
    hub.requests.clear()
    sequentia.generate()
    assert hub.requests == [], "it stays loaded"


def test_a_folder_goes_before_a_repository(
    hub: HubServer, published: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent.parent)
    shutil.copytree(run, REPO)
    sequentia.load(REPO)
    assert hub.requests == []
    with pytest.raises(OptionError, match="has no revisions"):
        sequentia.load(REPO, revision="v1")


def test_the_clients_own_download_loads(hub: HubServer, published: str, cache: Path, tmp_path: Path) -> None:
    """A snapshot in the client's cache consists of links that lead out of its folder."""
    snapshot = snapshot_download(REPO, cache_dir=cache)
    assert Path(snapshot, artifact.CONFIG).is_symlink()
    sequentia.load(snapshot)
    assert names(load(cache, local_files_only=True)) == names(sequentia.load(snapshot))


def test_the_hubs_names_for_it(hub: HubServer, published: str, cache: Path, tmp_path: Path) -> None:
    model = SequenceModel.from_pretrained(REPO, revision=published, cache_dir=cache)
    model.save_pretrained(tmp_path / "copy")
    assert contents(tmp_path / "copy").items() <= hub.files(REPO).items()
    assert not any(path.is_symlink() for path in (tmp_path / "copy").iterdir())
    shutil.rmtree(cache)
    with pytest.raises(ArtifactError, match="missing; copy or download the model again"):
        model.save_pretrained(tmp_path / "again")


# The command line


def test_the_commands(signed_in: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    planned = run_here("push", run, REPO, "--dry-run")
    assert signed_in.requests == []
    assert (planned.returncode, planned.stdout) == (0, "")
    sent = FILES
    sizes = {line.split()[1]: line.split()[0] for line in planned.stderr.splitlines()[:-1]}
    assert set(sizes) == sent
    assert sizes[artifact.GRAPH] == f"{(run / artifact.GRAPH).stat().st_size:,}"
    assert planned.stderr.splitlines()[-1].endswith(f"bytes in all, for {REPO}")

    pushed = run_cli("push", run, REPO)
    assert (pushed.returncode, pushed.stdout) == (0, f"{signed_in.url}/{REPO}\n")
    assert pushed.stderr.splitlines()[: len(sent) + 1] == planned.stderr.splitlines()
    assert signed_in.head(REPO) in pushed.stderr
    assert {path: f"{len(data):,}" for path, data in signed_in.files(REPO).items() if path in sent} == sizes
    again = run_here("push", run, REPO)
    assert "Nothing has changed: no new commit." in again.stderr
    assert len(signed_in.log(REPO)) == 2

    shown = run_here("info", REPO).stdout
    commit = signed_in.head(REPO)
    assert re.search(rf"^repository +{REPO}\nrevision +{commit}\ncached +[\d,]+ bytes$", shown, re.MULTILINE)
    facts = json.loads(run_here("info", f"{REPO}@{commit}", "--json").stdout)
    assert (facts["repo_id"], facts["revision"]) == (REPO, commit)
    assert facts["size"] == sum(len(data) for path, data in signed_in.files(REPO).items() if path in sent)

    pulled = run_here("pull", REPO, "-o", tmp_path / "copy")
    assert (pulled.returncode, pulled.stdout) == (0, "")
    assert succeed("generate", "--model", tmp_path / "copy", "--seed", 1) == succeed("generate", "-m", run, "--seed", 1)
    assert "is not a valid repository name" in fail("push", run, "moons--moons/x")
    assert "no model" in fail("pull", "you/none", "-o", tmp_path / "none")
    assert not (tmp_path / "none").exists()


# What goes wrong on the way in


def no_config(hub: HubServer) -> None:
    hub.commit(REPO, {artifact.CONFIG: None})


def another_librarys_config(hub: HubServer) -> None:
    hub.commit(REPO, {artifact.CONFIG: b'{"architectures": ["GPT2LMHeadModel"]}'})


def a_lost_file(hub: HubServer) -> None:
    hub.commit(REPO, {artifact.GRAPH: None})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (no_config, ModelNotFoundError, "has no config.json, so it is not a Sequentia model"),
        (another_librarys_config, ArtifactError, r"config\.json: expected the schema"),
        (a_lost_file, ArtifactError, r"model\.onnx: expected .* found no such file in the repository"),
    ],
)
def test_a_repository_that_is_no_artifact(
    hub: HubServer,
    published: str,
    cache: Path,
    change: Callable[[HubServer], None],
    error: type[SequentiaError],
    message: str,
) -> None:
    change(hub)
    with pytest.raises(error, match=message):
        load(cache)
    load(cache, revision=published)


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_a_repository_whose_files_were_tampered_with(hub: HubServer, published: str, cache: Path, name: str) -> None:
    data = hub.files(REPO)[name]
    for tampered in (data[:-9], data[: len(data) // 2] + b"\x01" + data[len(data) // 2 + 1 :], b""):
        hub.commit(REPO, {name: tampered})
        with pytest.raises(ArtifactError, match=None if name == artifact.CONFIG else re.escape(name)):
            load(cache)
    load(cache, revision=published)


def test_who_may_read(hub: HubServer, trained: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("you/private", private=True)
    hub.create("you/gated", gated=True)
    for repo in ("you/private", "you/gated"):
        hub.commit(repo, contents(trained))
    for token, missing in ((None, "without one; check the name"), ("token-them", "with your token")):
        with pytest.raises(ModelNotFoundError, match=f"no model you/private: .*{missing}"):
            sequentia.load("you/private", cache_dir=cache, token=token)
        with pytest.raises(HubError, match="you/gated: the repository is gated: ask for access at"):
            sequentia.load("you/gated", cache_dir=cache, token=token)
    with pytest.raises(ModelNotFoundError, match="no model you/none"):
        sequentia.load("you/none", cache_dir=cache)
    with pytest.raises(HubError, match="the hub refused \\(401\\): the token is missing or not valid") as caught:
        sequentia.load("you/private", cache_dir=cache, token="expired")
    assert (caught.value.status, caught.value.repo_id) == (401, "you/private")
    sequentia.load("you/private", cache_dir=cache, token="token-you")
    monkeypatch.setenv("HF_TOKEN", "token-you")
    sequentia.load("you/gated", cache_dir=cache)


def test_no_such_revision(hub: HubServer, published: str, cache: Path) -> None:
    for revision in ("v9", "f" * 40):
        with pytest.raises(ModelNotFoundError, match=f"{REPO}@{revision}: the repository has no such revision"):
            load(cache, revision=revision)
    for revision in ("../main", "a//b", "a b", "a\\b", "/main"):
        with pytest.raises(OptionError, match="is not a valid revision"):
            load(cache, revision=revision)
    with pytest.raises(OptionError, match="contradict"):
        sequentia.load(f"{REPO}@v1", revision="v2")
    for model in ("you/..", "--/x", "a--b/c", "you/x.git"):
        with pytest.raises(OptionError, match="is not a valid repository name"):
            sequentia.load(model, cache_dir=cache)
    for model in ("", "you", "a/b/c", "https://example.org/you/moons"):
        with pytest.raises(ModelNotFoundError, match="neither a folder, nor a bundled model"):
            sequentia.load(model or "nothing", cache_dir=cache)


def test_not_in_the_cache(hub: HubServer, published: str, cache: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="not completely in the cache"):
        load(cache, local_files_only=True)
    load(cache)
    snapshot = next(cache.glob("models--*/snapshots/*"))
    (snapshot / artifact.GRAPH).unlink()
    with pytest.raises(ModelNotFoundError, match="not completely in the cache"):
        load(cache, local_files_only=True)
    hub.close()
    with pytest.raises(HubError, match="no valid answer from the hub"):
        load(cache)
    hub.open()
    load(cache)
    load(cache, local_files_only=True)


def unprivileged() -> list[str]:
    """A prefix for a command that makes it obey file permissions even when root runs the tests."""
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def test_a_cache_that_cannot_be_written(hub: HubServer, published: str, other: Path, cache: Path) -> None:
    """When a new commit cannot be stored, the cached one is loaded."""
    before = names(load(cache))
    hub.commit(REPO, contents(other))
    code = f"import sequentia; print(sequentia.load({REPO!r}).generate(20, seed=3))"
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir())]
    modes = {path: path.stat().st_mode for path in folders}
    for path in folders:
        path.chmod(0o555)
    try:
        result = subprocess.run(
            [*unprivileged(), sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_CACHE": str(cache)},
            timeout=120,
            check=False,
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert (result.returncode, result.stdout) == (0, f"{before}\n"), result.stderr
    assert "cannot write" in result.stderr
    assert f"using commit {published} from the cache instead" in result.stderr
    assert names(load(cache)) != before


def test_a_token_that_has_expired(
    hub: HubServer, published: str, trained: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A public model loads without the token, a private one from the cache."""
    load(cache, token="hf_expired")
    assert "the hub refused (401)" in caplog.text
    assert "continuing without the token" in caplog.text
    hub.create("you/private", private=True)
    commit = hub.commit("you/private", contents(trained))
    with pytest.raises(HubError, match=r"the hub refused \(401\)"):
        sequentia.load("you/private", cache_dir=cache, token="hf_expired")
    sequentia.load("you/private", cache_dir=cache, token="token-you")
    caplog.clear()
    sequentia.load("you/private", cache_dir=cache, token="hf_expired")
    assert f"using commit {commit} from the cache instead" in caplog.text
    environment = {"HF_TOKEN": "hf_expired", "HF_HUB_CACHE": str(cache / "new")}
    result = run_cli("generate", "-m", REPO, **environment)
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 10)
    assert "continuing without the token" in result.stderr


@pytest.mark.parametrize("linked", ["models--you--moons", "models--you--moons/blobs"])
def test_a_cache_that_is_linked_to_another_disk(
    hub: HubServer, published: str, other: Path, cache: Path, tmp_path: Path, linked: str
) -> None:
    before = names(load(cache))
    disk = tmp_path / "disk"
    (cache / linked).rename(disk)
    (cache / linked).symlink_to(disk)
    assert names(load(cache, local_files_only=True)) == before
    snapshot = cache / "models--you--moons" / "snapshots" / published
    assert sequentia.generate(20, seed=3, model=snapshot) == before
    hub.commit(REPO, contents(other))
    after = names(load(cache))
    assert after == names(sequentia.load(other))
    assert names(load(cache, local_files_only=True)) == after


def test_a_home_that_is_no_folder(hub: HubServer, published: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_HOME", "XDG_"))}
    result = subprocess.run(
        [sys.executable, "-m", "sequentia", "generate", "-m", REPO],
        capture_output=True,
        text=True,
        env={**environment, "HOME": "/dev/null"},
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert "cannot write /dev/null/.cache" in result.stderr
    assert "HF_HOME" in result.stderr
    assert "connection" not in result.stderr


def test_a_token_that_cannot_be_read_is_none(hub: HubServer, published: str, cache: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_HOME", "XDG_"))}
    result = subprocess.run(
        [sys.executable, "-m", "sequentia", "generate", "3", "-m", REPO],
        capture_output=True,
        text=True,
        env={**environment, "HOME": "/dev/null", "HF_HUB_CACHE": str(cache)},
        timeout=120,
        check=False,
    )
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 3), result.stderr
    assert "cannot read the hub's token" in result.stderr


RESOLVE, INFO = "/resolve/", "/api/models/"


@pytest.mark.parametrize("path", [INFO, RESOLVE])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_for_a_while(
    hub: HubServer, published: str, cache: Path, waits: list[float], path: str, status: int
) -> None:
    hub.fail("status", path=path, status=status, times=2, headers={"Retry-After": "1"})
    load(cache)
    assert len(waits) == 2
    assert min(waits) >= 1, "as the server asks"


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (429, {"Retry-After": "3600"}, r"\(429\): the hub asks to wait 3600 seconds"),
        (401, {}, r"the hub refused \(401\)"),
        (403, {}, r"the hub refused \(403\)"),
        (404, {}, "the hub answered 404"),
        (500, {}, "the hub answered 500"),
    ],
)
@pytest.mark.parametrize("path", [INFO, RESOLVE])
def test_a_server_that_will_not(
    hub: HubServer,
    published: str,
    cache: Path,
    waits: list[float],
    status: int,
    headers: dict[str, str],
    message: str,
    path: str,
) -> None:
    hub.fail("status", path=path, status=status, headers=headers)
    with pytest.raises((HubError, ModelNotFoundError), match=message):
        load(cache)
    assert sum(waits) < 30
    hub.heal()
    load(cache)


FAULTS: list[tuple[str, dict[str, Any], type[SequentiaError]]] = [
    ("wrong", {"path": "config.json|cdn", "method": "GET"}, ArtifactError),
    ("cut", {"path": "config.json|cdn", "method": "GET"}, HubError),
    ("drop", {"path": "config.json|cdn", "method": "GET", "after": 300}, HubError),
    ("drop", {"path": "model.onnx|cdn", "after": None}, HubError),
    ("drop", {"path": INFO, "after": 10}, HubError),
    ("wrong", {"path": INFO}, HubError),
    ("stall", {"path": INFO}, HubError),
    ("stall", {"path": "model.onnx", "method": "HEAD"}, HubError),
    ("stall", {"path": "cdn", "method": "GET", "after": 300}, HubError),
]


@pytest.mark.parametrize(("kind", "details", "error"), FAULTS, ids=[f"{kind}-{d['path']}" for kind, d, _ in FAULTS])
def test_a_connection_that_is_bad(
    hub: HubServer,
    published: str,
    cache: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    details: dict[str, Any],
    error: type[SequentiaError],
) -> None:
    """The load gives up after a few requests, says why, and does not spoil the next load, online or offline."""
    hub.fail(kind, **details)
    with monkeypatch.context() as patch:
        if kind == "stall":
            patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
        with pytest.raises(error) as caught:
            load(cache)
    assert 1 <= sum(re.search(details["path"], request.path) is not None for request in hub.requests) <= 16
    assert sum(waits) <= 30
    assert isinstance(caught.value, ArtifactError) or REPO in str(caught.value)
    with pytest.raises(ModelNotFoundError):
        load(cache, local_files_only=True)
    hub.heal()
    load(cache)
    load(cache, local_files_only=True)


def test_a_bad_moment_is_made_up_for(hub: HubServer, published: str, cache: Path) -> None:
    hub.fail("wrong", path="config.json", method="GET", times=1)
    hub.fail("wrong", path="cdn", method="GET", times=1)
    load(cache)
    load(cache, local_files_only=True)


def test_an_interrupted_download_goes_on(hub: HubServer, published: str, run: Path, cache: Path) -> None:
    """The client writes in chunks of 10 MiB."""
    config = artifact.read_config(run)
    artifact.write(run, config, {**contents_but_config(run), artifact.CARD: b"x" * (12 << 20)})
    hub.commit(REPO, contents(run))
    hub.fail("drop", path="README", method="GET", after=11 << 20, times=1)
    load(cache)
    ranges = [request.range for request in hub.requests if "README" in request.path and request.method == "GET"]
    assert ranges == ["", f"bytes={10 << 20}-"]


def test_a_download_that_fails_leaves_the_earlier_commit_in_use(
    hub: HubServer,
    published: str,
    other: Path,
    cache: Path,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = names(load(cache))
    hub.commit(REPO, contents(other))
    hub.fail("drop", path="cdn", method="GET", after=300)
    assert names(load(cache)) == before
    assert f"using commit {published} from the cache instead" in caplog.text
    assert names(load(cache, local_files_only=True)) == before
    with pytest.raises(HubError, match="no valid answer"):
        load(cache, force_download=True)
    hub.fail("status", path=INFO, status=503)
    assert names(load(cache)) == before
    assert "the hub answered 503" in caplog.text
    hub.heal()
    assert names(load(cache)) != before


def test_a_cache_that_was_damaged(hub: HubServer, published: str, cache: Path) -> None:
    load(cache)
    for name in sorted(CHECKED):
        path = next(cache.glob(f"models--*/snapshots/*/{name}")).resolve()
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ModelNotFoundError, match="not completely"):
            load(cache, local_files_only=True)
        load(cache)
        load(cache, local_files_only=True)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from sequentia.cli import main
main()
"""


def test_a_disk_that_is_full(hub: HubServer, published: str, cache: Path) -> None:
    """A limit of 3,000 bytes per file has the same effect as a full disk."""
    command = [sys.executable, "-c", LIMITED, "generate", "--model", REPO]
    environment = {**os.environ, "HF_HUB_CACHE": str(cache)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert result.returncode == 1
    assert "cannot write" in result.stderr
    assert "make room" in result.stderr
    assert "Traceback" not in result.stderr
    load(cache)


def test_twenty_processes_and_one_empty_cache(hub: HubServer, published: str, cache: Path) -> None:
    command = [sys.executable, "-m", "sequentia", "generate", "--model", REPO, "--seed", "1"]
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_ETAG_TIMEOUT": "60",
        "HF_HUB_DOWNLOAD_TIMEOUT": "60",
    }
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(20)
    ]
    results = {(process.communicate(timeout=300), process.returncode) for process in started}
    assert len(results) == 1, results
    ((_, errors), code) = results.pop()
    assert (errors, code) == ("", 0)


# Publishing


def test_pushing_again_changes_nothing(signed_in: HubServer, run: Path, tmp_path: Path) -> None:
    (run / "pictures").mkdir(exist_ok=True)
    (run / "pictures" / "loss.png").write_bytes(b"\x89PNG")
    model = sequentia.load(run)
    model.push_to_hub(REPO, license="cc-by-4.0", language=["cs", "en"], datasets="you/list")
    head = signed_in.head(REPO)
    model.push_to_hub(REPO)
    SequenceModel.from_pretrained(REPO, cache_dir=tmp_path / "cache").push_to_hub(REPO)
    assert signed_in.head(REPO) == head, "what the card was told stays"
    data = card_of(signed_in).data
    assert (data.license, data.language, data.datasets) == ("cc-by-4.0", ["cs", "en"], ["you/list"])
    model.push_to_hub(REPO, license="mit")
    data = card_of(signed_in).data
    assert (data.license, data.language) == ("mit", ["cs", "en"])


def test_what_an_earlier_artifact_left_goes_and_what_is_not_ours_stays(signed_in: HubServer, run: Path) -> None:
    (run / "pictures").mkdir(exist_ok=True)
    (run / "pictures" / "loss.png").write_bytes(b"\x89PNG")
    sequentia.load(run).push_to_hub(REPO)
    signed_in.commit(REPO, {"notes.md": b"mine"})
    (run / "pictures" / "loss.png").unlink()
    config = artifact.read_config(run)
    artifact.write(run, config, {name: (run / name).read_bytes() for name in artifact.REQUIRED})
    assert not (run / artifact.CARD).exists()
    sequentia.load(run).push_to_hub(REPO)
    kept = {artifact.CONFIG, *artifact.REQUIRED, artifact.CARD, "notes.md", ".gitattributes"}
    assert set(signed_in.files(REPO)) == kept, "the card is a new one"


def test_a_page_beside_the_model(signed_in: HubServer, run: Path, cache: Path) -> None:
    planned = run_here("push", run, REPO, "--page", "--dry-run").stderr
    pushed = run_here("push", run, REPO, "--page")
    assert pushed.stderr.startswith(planned)
    with urllib.request.urlopen(f"{signed_in.url}/{REPO}/resolve/main/index.html") as answer:
        published = answer.read()
    size = f"{len(published):,}"
    assert re.search(rf"^ +{size}  index\.html$", planned, re.MULTILINE)
    assert published.decode() == page(artifact.read(run))
    head = signed_in.head(REPO)
    load(cache).push_to_hub(REPO, page=True)
    assert signed_in.head(REPO) == head, "the same page"
    assert "index.html" not in downloads(signed_in)[1:], "loading a model needs no page"
    load(cache).push_to_hub(REPO, license="mit")
    assert signed_in.files(REPO)["index.html"] == published, "it stays"


def test_branches_pull_requests_and_private_repositories(signed_in: HubServer, run: Path, cache: Path) -> None:
    model = sequentia.load(run)
    assert model.push_to_hub(REPO, private=True, commit_message="First of all") == f"{signed_in.url}/{REPO}"
    assert signed_in.repositories[REPO].private
    assert signed_in.log(REPO)[0] == "First of all"
    head = signed_in.head(REPO)
    url = model.push_to_hub(REPO, revision="trial", license="mit", private=True)
    assert url == f"{signed_in.url}/{REPO}/tree/trial"
    assert signed_in.head(REPO) == head
    assert names(load(cache, revision="trial")) == names(model)
    url = model.push_to_hub(REPO, create_pr=True, license="cc0-1.0")
    assert url == f"{signed_in.url}/{REPO}/discussions/1"
    assert signed_in.head(REPO) == head
    assert names(load(cache, revision="refs/pr/1")) == names(model)
    with pytest.raises(OptionError, match="is private already"):
        model.push_to_hub(REPO, private=False)
    with pytest.raises(OptionError, match="a pull request goes to main"):
        model.push_to_hub(REPO, create_pr=True, revision="trial")


def test_who_may_write(hub: HubServer, run: Path) -> None:
    model = sequentia.load(run)
    for token in (None, "expired"):
        with pytest.raises(HubError, match="the token is missing or not valid"):
            model.push_to_hub(REPO, token=token)
    with pytest.raises(HubError, match="does not allow this"):
        model.push_to_hub(REPO, token="token-them")
    assert not hub.repositories
    hub.create(REPO)
    head = hub.head(REPO)
    assert model.push_to_hub(REPO, token="token-them", create_pr=True).endswith("/discussions/1")
    assert hub.head(REPO) == head


def test_pushing_offline(signed_in: HubServer, run: Path) -> None:
    assert "the variable HF_HUB_OFFLINE is set" in fail("push", run, REPO, HF_HUB_OFFLINE="1")
    assert signed_in.requests == []


def test_what_is_not_sound_is_not_sent(signed_in: HubServer, run: Path, other: Path) -> None:
    sound = sequentia.load(run)
    set_graph(run, (other / artifact.GRAPH).read_bytes())
    another = r"model\.onnx: expected the graph of config\.json and model\.safetensors, found another"
    with pytest.raises(ArtifactError, match=another):
        sound.push_to_hub(REPO)
    with pytest.raises(ArtifactError, match=r"model\.onnx: expected"):
        sound.save_pretrained(run.parent / "copy")
    assert re.search(another, fail("push", run, REPO))
    (run / artifact.GRAPH).write_bytes(b"")
    assert "model.onnx: expected" in fail("push", run, REPO)
    (run / artifact.WEIGHTS).write_bytes(b"")
    assert "model.safetensors: expected" in fail("push", run, REPO)
    assert signed_in.requests == []


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("status", {"path": "/commit/", "status": 500}),
        ("status", {"path": "/preupload/", "status": 403}),
        ("status", {"path": "/preupload/", "status": 429, "headers": {"Retry-After": "0"}, "times": 7}),
        ("status", {"path": "objects/[0-9a-f]{64}", "method": "PUT", "status": 403}),
        ("stall", {"path": "/api/repos/create"}),
        ("stall", {"path": "/commit/main"}),
    ],
    ids=str,
)
def test_a_push_that_fails_and_the_next(
    signed_in: HubServer,
    run: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    details: dict[str, Any],
) -> None:
    """The repository is unchanged or holds the whole artifact, and the next push succeeds."""
    model = sequentia.load(run)
    signed_in.fail(kind, **details)
    with monkeypatch.context() as patch:
        if kind == "stall":
            patch.setattr("sequentia.export.publishing._TIMEOUT", 1)
        with pytest.raises(HubError):
            model.push_to_hub(REPO)
    assert 1 <= sum(re.search(details["path"], request.path) is not None for request in signed_in.requests) <= 6
    assert sum(waits) <= 60
    signed_in.heal()
    left = set(signed_in.files(REPO)) if REPO in signed_in.repositories else set()
    assert left <= {".gitattributes"} or left >= FILES
    model.push_to_hub(REPO)
    assert set(signed_in.files(REPO)) >= FILES


# The card


def test_an_edited_card_breaks_nothing(hub: HubServer, published: str, cache: Path, tmp_path: Path) -> None:
    """Anyone who may write to a repository may edit its card there."""
    before = names(load(cache, revision=published))
    for card in (b"# mine", b"", b"---\nlicense: [mit\n---\n", b"\xff"):
        hub.commit(REPO, {artifact.CARD: card})
        model = load(cache)
        assert names(model) == before
        model.save_pretrained(tmp_path / "copy")
        assert (tmp_path / "copy" / artifact.CARD).read_bytes() == card
    hub.commit(REPO, {artifact.CARD: None})
    assert names(load(cache)) == before
    load(cache).save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy" / artifact.CARD).exists()


def test_what_an_edited_card_says_is_kept(signed_in: HubServer, run: Path) -> None:
    (run / artifact.CARD).write_text("---\nlicense: cc0-1.0\n---\n# Mine\n", encoding="utf-8")
    sequentia.load(run).push_to_hub(REPO)
    assert card_of(signed_in).data.license == "cc0-1.0"
    assert "# Mine" not in card_of(signed_in).text, "the rest is written anew"
    (run / artifact.CARD).write_text("# Mine\n", encoding="utf-8")
    result = run_cli("push", run, REPO, "--dry-run")
    assert result.returncode == 0
    assert "metadata" not in result.stderr, "the client's log"
    for damaged in (b"---\nlicense: [mit\n---\n", b"---\n- mit\n---\n", b"\xff"):
        (run / artifact.CARD).write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"README\.md: expected a model card, with metadata in YAML"):
            sequentia.load(run).push_to_hub(REPO)


def test_the_card(signed_in: HubServer, trained: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sequentia.load(trained)
    model.push_to_hub(REPO, license="mit", language="en", datasets=["you/list"])
    card, metrics = card_of(signed_in), model.config.metrics
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.license) == ("sequentia", "text-generation", "mit")
    assert {"sequentia", "onnx", "safetensors"} <= set(data.tags)
    assert data.model_name == "moons"
    assert metrics.train is not None
    assert metrics.test is not None
    losses = {result.dataset_split: result.metric_value for result in data.eval_results}
    assert losses["train"] == round(metrics.train.loss, 4)
    assert losses["test"] == round(metrics.test.loss, 4)
    card.validate(repo_type="model")
    assert any("validate-yaml" in path for path in paths(signed_in))

    (snippet,) = re.findall(r"```python\n(.*?)```\n\ngives (.*?)\.\n", card.text, re.DOTALL)
    scope: dict[str, Any] = {}
    *lines, last = snippet[0].strip().splitlines()
    exec("\n".join(lines), scope)
    assert ", ".join(f"`{name}`" for name in eval(last, scope)) == snippet[1]
