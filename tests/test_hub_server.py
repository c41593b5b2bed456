"""Test the tests' own hub with the real client: what it accepts, serves and refuses, and the faults it injects."""

import random
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .hub_server import File, HubServer

# The client passes uploads to its HTTP library in a deprecated way.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

REPO = "you/moons"
CARD = b"---\nlicense: mit\n---\n# Moons\n"
WEIGHTS = random.Random(0).randbytes(3_000_000)


@pytest.fixture
def full(hub: HubServer) -> HubServer:
    hub.create(REPO)
    hub.commit(REPO, {"README.md": CARD, "model.onnx": WEIGHTS, "data/names.txt": "émile\n".encode()})
    return hub


def api(hub: HubServer, user: str | None = "you") -> HfApi:
    return HfApi(hub.url, token=f"token-{user}" if user else False)


def fetch(hub: HubServer, folder: Path, name: str, revision: str | None = None, user: str | None = None) -> bytes:
    found = api(hub, user).hf_hub_download(REPO, name, revision=revision, cache_dir=folder, etag_timeout=2)
    return Path(found).read_bytes()


def add(name: str, content: bytes) -> list[CommitOperationAdd | CommitOperationDelete]:
    return [CommitOperationAdd(name, content)]


def asked(hub: HubServer, method: str, part: str) -> list[str]:
    return [request.path for request in hub.requests if request.method == method and part in request.path]


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_create(hub: HubServer) -> None:
    assert api(hub).create_repo(REPO, private=True).repo_id == REPO
    assert api(hub).model_info(REPO).private
    last = hub.requests[-1]
    assert (last.method, last.path, last.token, last.range) == ("GET", f"/api/models/{REPO}", "token-you", "")
    assert "hf_hub/" in last.user_agent
    assert api(hub).create_repo(REPO, exist_ok=True).repo_id == REPO
    for user, repo, status in (("you", REPO, 409), ("them", "you/a", 403), (None, "you/a", 401), ("no", "you/a", 401)):
        with pytest.raises(HfHubHTTPError) as error:
            api(hub, user).create_repo(repo)
        assert status_of(error) == status
    assert hub.log(REPO) == ["initial commit"]


def test_commit_through_git_and_lfs(hub: HubServer) -> None:
    hub.create(REPO)
    operations = [*add("README.md", CARD), *add("model.onnx", WEIGHTS), *add("empty.bin", b"")]
    done = api(hub).create_commit(REPO, operations, commit_message="Add a model")
    assert done.commit_url == f"{hub.url}/{REPO}/commit/{hub.head(REPO)}"
    assert hub.log(REPO) == ["Add a model", "initial commit"]
    files = hub.files(REPO)
    assert (files["README.md"], files["model.onnx"], files["empty.bin"]) == (CARD, WEIGHTS, b"")

    assert File.of(b"hello\n", lfs=False).blob == "ce013625030ba8dba906f756967f9e9ca394464a", "as git hash-object says"
    large, small = File.of(WEIGHTS, lfs=True), File.of(CARD, lfs=False)
    info = api(hub).model_info(REPO, files_metadata=True)
    assert (info.sha, info.private, info.gated, info.author) == (done.oid, False, False, "you")
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    facts = {file.rfilename: (file.size, file.blob_id, file.lfs and file.lfs.sha256) for file in info.siblings or []}
    assert facts["model.onnx"] == (len(WEIGHTS), large.blob, large.sha256)
    assert facts["README.md"] == (len(CARD), small.blob, None)
    assert asked(hub, "PUT", "") == [f"/{REPO}.git/info/lfs/objects/{large.sha256}"]
    assert {entry.path for entry in api(hub).list_repo_tree(REPO, recursive=True)} == set(files)


def test_nothing_changed_makes_no_commit(full: HubServer) -> None:
    before = full.head(REPO)
    operations = [*add("README.md", CARD), *add("model.onnx", WEIGHTS)]
    assert api(full).create_commit(REPO, operations, commit_message="Again").oid == before == full.head(REPO)
    operations = [*add("copy.onnx", WEIGHTS), CommitOperationDelete("data/names.txt")]
    api(full).create_commit(REPO, operations, commit_message="Copy")
    assert sorted(full.files(REPO)) == [".gitattributes", "README.md", "copy.onnx", "model.onnx"]
    assert asked(full, "PUT", "") == [], "the object was there"
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        api(full).create_commit(REPO, [CommitOperationDelete("nothing")], commit_message="Delete")


def test_objects_that_never_arrived_are_refused(full: HubServer) -> None:
    """The client would never send these: a pointer to a missing object, and an object under another one's hash."""
    pointer = b'{"key": "lfsFile", "value": {"path": "new.onnx", "algo": "sha256", "oid": "0", "size": 3}}'
    for method, path, data in (
        ("POST", f"/api/models/{REPO}/commit/main", pointer),
        ("PUT", f"/{REPO}.git/info/lfs/objects/{'0' * 64}", b"abc"),
    ):
        headers = {"Authorization": "Bearer token-you"}
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(urllib.request.Request(full.url + path, data, headers, method=method))
        with error.value:
            assert error.value.code == 400
    assert len(full.log(REPO)) == 2


def test_cards_are_checked(full: HubServer) -> None:
    for card in (b"---\nlicense: [\n---\n", b"---\n- a\n---\n"):
        with pytest.raises(ValueError, match=r"line|mapping"):
            api(full).create_commit(REPO, add("README.md", card), commit_message="Break")
    assert len(full.log(REPO)) == 2


def test_revisions(full: HubServer, tmp_path: Path) -> None:
    first = full.head(REPO)
    full.tag(REPO, "v1", first)
    api(full).create_branch(REPO, branch="next/one")
    with pytest.raises(HfHubHTTPError) as error:
        api(full).create_branch(REPO, branch="next/one")
    assert status_of(error) == 409
    full.commit(REPO, {"model.onnx": b"second", "data/names.txt": None})
    api(full).create_commit(REPO, add("model.onnx", b"third"), commit_message="On a branch", revision="next/one")
    pulls = [
        api(full, user).create_commit(REPO, add("model.onnx", b"fourth"), commit_message="Ask", create_pr=True)
        for user in ("you", "them")
    ]
    assert [pull.pr_revision for pull in pulls] == ["refs/pr/1", "refs/pr/2"]
    models = {None: b"second", "main": b"second", "v1": WEIGHTS, first: WEIGHTS, "next/one": b"third"}
    for revision, content in {**models, "refs/pr/2": b"fourth"}.items():
        assert fetch(full, tmp_path, "model.onnx", revision) == content
    assert fetch(full, tmp_path, "data/names.txt", "v1") == "émile\n".encode()
    folder = Path(snapshot_download(REPO, revision="v1", endpoint=full.url, cache_dir=tmp_path, token=False))
    assert folder.name == first
    assert (folder / "README.md").read_bytes() == CARD
    with pytest.raises(EntryNotFoundError):
        fetch(full, tmp_path, "data/names.txt")
    with pytest.raises(RevisionNotFoundError):
        fetch(full, tmp_path, "README.md", "v2")


def test_who_may_write_and_read(full: HubServer, tmp_path: Path) -> None:
    for user, status in ((None, 401), ("them", 403), ("unknown", 401)):
        with pytest.raises(HfHubHTTPError) as refused:
            api(full, user).create_commit(REPO, add("a.txt", b"a\n"), commit_message="Break in")
        assert status_of(refused) == status
    full.repositories[REPO].private = True
    for user, status in ((None, 401), ("them", 404)):
        with pytest.raises(RepositoryNotFoundError) as error:
            api(full, user).model_info(REPO)
        assert status_of(error) == status
    assert fetch(full, tmp_path, "model.onnx", user="you") == WEIGHTS
    assert [request.token for request in full.requests if "/cdn/" in request.path] == [None], "it is another host"
    full.repositories[REPO].private, full.repositories[REPO].gated = False, True
    assert api(full, None).model_info(REPO).gated == "manual"
    for user, status in ((None, 401), ("them", 403)):
        with pytest.raises(GatedRepoError) as gated:
            fetch(full, tmp_path, "README.md", user=user)
        assert status_of(gated) == status
    assert fetch(full, tmp_path, "README.md", user="you") == CARD


@pytest.mark.parametrize("path", ["README.md", "model.onnx"])
def test_ranges(full: HubServer, path: str) -> None:
    content = full.files(REPO)[path]
    for span, part in (("5-", content[5:]), ("2-9", content[2:10]), ("9-9999999", content[9:])):
        request = urllib.request.Request(f"{full.url}/{REPO}/resolve/main/{path}", headers={"Range": f"bytes={span}"})
        with urllib.request.urlopen(request) as reply:
            assert (reply.status, reply.read()) == (206, part)
            assert reply.headers["Content-Range"].endswith(f"/{len(content)}")


def test_faults(full: HubServer, tmp_path: Path) -> None:
    full.fail("wrong", path="/cdn/", times=1)
    got = fetch(full, tmp_path / "wrong", "model.onnx")
    assert len(got) == len(WEIGHTS)
    assert got != WEIGHTS, "the client does not look"
    full.fail("cut", path="README.md")
    assert fetch(full, tmp_path, "README.md") == CARD[: len(CARD) // 2], "HEAD and GET agree"
    full.fail("status", path="^/api/models/", method="GET", status=429, headers={"Retry-After": "1"}, times=1)
    with pytest.raises(HfHubHTTPError) as error:
        api(full).model_info(REPO)
    assert (status_of(error), error.value.response.headers["Retry-After"]) == (429, "1")
    full.fail("drop", path="/commit/", times=1)
    with pytest.raises(Exception, match="disconnected"):
        api(full).create_commit(REPO, add("a.txt", b"a\n"), commit_message="Made")
    assert full.log(REPO)[0] == "Made", "only the answer is lost"


def test_close_ends_what_stalls_and_open_is_where_it_was(full: HubServer) -> None:
    client, address = api(full), full.url
    full.fail("stall", path="/api/")
    with pytest.raises(Exception, match="timed out"):
        client.model_info(REPO, timeout=0.3)
    closer = threading.Timer(0.3, full.close)
    closer.start()
    with pytest.raises(Exception, match=r"disconnected|reset|refused"):
        client.model_info(REPO, timeout=30)
    closer.join()
    full.heal()
    full.open()
    assert full.url == address
    assert client.model_info(REPO).sha == full.head(REPO)
