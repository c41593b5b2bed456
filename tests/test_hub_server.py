"""The tests' hub, held against the real client: what it accepts, serves, refuses and spoils."""

import contextlib
import hashlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .hub_server import HubServer, Request

# The client hands an upload to its HTTP library in a way that the library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

REPO = "you/moons"
CARD = b"---\nlicense: mit\ntags: [names]\n---\n# Moons\n"
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


def add(**files: bytes) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name.replace("__", "."), content) for name, content in files.items()]


def gets(hub: HubServer, part: str) -> list[Request]:
    return [request for request in hub.requests if request.method == "GET" and part in request.path]


def test_create_and_whoami(hub: HubServer) -> None:
    assert api(hub).whoami()["name"] == "you"
    assert api(hub).create_repo(REPO, private=True).repo_id == REPO
    assert api(hub).model_info(REPO).private
    assert api(hub).create_repo(REPO, exist_ok=True).repo_id == REPO
    with pytest.raises(HfHubHTTPError) as error:
        api(hub).create_repo(REPO)
    assert error.value.response.status_code == 409
    with pytest.raises(HfHubHTTPError, match="namespace"):
        api(hub, "them").create_repo("you/other")
    for refused in (None, "stranger"):
        with pytest.raises(HfHubHTTPError) as error:
            api(hub, refused).create_repo("you/other")
        assert error.value.response.status_code == 401
    assert hub.log(REPO) == ["initial commit"]


def test_commit_through_git_and_lfs(hub: HubServer, tmp_path: Path) -> None:
    hub.create(REPO)
    large = tmp_path / "model.onnx"
    large.write_bytes(WEIGHTS)
    operations = [*add(README__md=CARD, empty__bin=b""), CommitOperationAdd("model.onnx", large)]
    done = api(hub).create_commit(REPO, operations, commit_message="Add a model")
    assert done.oid == hub.head(REPO)
    assert done.commit_url == f"{hub.url}/{REPO}/commit/{done.oid}"
    assert hub.log(REPO) == ["Add a model", "initial commit"]
    files = hub.files(REPO)
    assert (files["README.md"], files["model.onnx"], files["empty.bin"]) == (CARD, WEIGHTS, b"")

    info = api(hub).model_info(REPO, files_metadata=True)
    assert (info.sha, info.private, info.gated, info.author) == (done.oid, False, False, "you")
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    assert info.tags == ["names", "license:mit"]
    assert info.created_at is not None
    sizes = {sibling.rfilename: (sibling.size, sibling.lfs and sibling.lfs.sha256) for sibling in info.siblings or []}
    assert sizes["model.onnx"] == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert sizes["README.md"] == (len(CARD), None)
    assert [request.path for request in hub.requests if request.method == "PUT"] == [
        f"/{REPO}.git/info/lfs/objects/{hashlib.sha256(WEIGHTS).hexdigest()}"
    ]


def test_nothing_changed_makes_no_commit(full: HubServer) -> None:
    before = full.head(REPO)
    again = api(full).create_commit(REPO, add(README__md=CARD, model__onnx=WEIGHTS), commit_message="Again")
    assert again.oid == before == full.head(REPO)
    assert not any("/commit/" in request.path or request.method == "PUT" for request in full.requests)
    api(full).create_commit(REPO, [*add(copy__onnx=WEIGHTS), CommitOperationDelete("data/")], commit_message="Copy")
    assert sorted(full.files(REPO)) == [".gitattributes", "README.md", "copy.onnx", "model.onnx"]
    assert not any(request.method == "PUT" for request in full.requests), "the object was there"
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        api(full).create_commit(REPO, [CommitOperationDelete("nothing")], commit_message="Delete")


def test_object_that_never_arrived_is_refused(full: HubServer) -> None:
    for oid, size in (("0" * 64, 3), (hashlib.sha256(WEIGHTS).hexdigest(), 3)):
        pointer = {"path": "new.onnx", "algo": "sha256", "oid": oid, "size": size}
        lines = ({"key": "header", "value": {"summary": "Point"}}, {"key": "lfsFile", "value": pointer})
        request = urllib.request.Request(
            f"{full.url}/api/models/{REPO}/commit/main",
            data="\n".join(map(json.dumps, lines)).encode(),
            headers={"Authorization": "Bearer token-you"},
        )
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        with error.value:
            assert error.value.code == 400
    assert len(full.log(REPO)) == 2


def test_card_is_checked_before_anything_is_sent(full: HubServer) -> None:
    for card, message in ((b"---\nlicense: [\n---\n", "line"), (b"---\n- a\n---\n", "mapping")):
        with pytest.raises(ValueError, match=message):
            api(full).create_commit(REPO, add(README__md=card), commit_message="Break")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api(full).create_commit(REPO, add(README__md=b"# Bare\n"), commit_message="Bare")


def test_stale_parent_is_refused(full: HubServer) -> None:
    stale = full.head(REPO)
    full.commit(REPO, {"new.txt": b"new\n"})
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        api(full).create_commit(REPO, add(a__txt=b"a\n"), commit_message="Late", parent_commit=stale)
    assert error.value.response.status_code == 412
    api(full).create_commit(REPO, add(a__txt=b"a\n"), commit_message="In time", parent_commit=full.head(REPO))
    assert full.log(REPO)[0] == "In time"


def test_refs_and_listings(full: HubServer) -> None:
    main = full.head(REPO)
    api(full).create_branch(REPO, branch="next/one")
    done = api(full).create_commit(REPO, add(b__txt=b"b\n"), commit_message="On a branch", revision="next/one")
    api(full).create_tag(REPO, tag="v1", revision="next/one")
    with pytest.raises(HfHubHTTPError) as error:
        api(full).create_tag(REPO, tag="v1")
    assert error.value.response.status_code == 409
    api(full).create_tag(REPO, tag="v1", exist_ok=True)
    api(full).create_branch(REPO, branch="next/one", exist_ok=True)
    asked = api(full).create_commit(REPO, add(c__txt=b"c\n"), commit_message="Ask", create_pr=True)
    assert (asked.pr_num, asked.pr_revision) == (1, "refs/pr/1")
    theirs = api(full, "them").create_commit(REPO, add(d__onnx=b"d\n"), commit_message="Ask", create_pr=True)
    assert theirs.pr_revision == "refs/pr/2"
    api(full).create_commit(REPO, add(e__txt=b"e\n"), commit_message="More", revision="refs/pr/1")
    assert full.log(REPO, "refs/pr/1") == ["More", "Ask", "Change files", "initial commit"]

    refs = api(full, None).list_repo_refs(REPO, include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": main, "next/one": done.oid}
    assert {ref.ref: ref.target_commit for ref in refs.tags} == {"refs/tags/v1": done.oid}
    assert [ref.ref for ref in refs.pull_requests or []] == ["refs/pr/1", "refs/pr/2"]
    assert api(full).list_repo_files(REPO, revision="v1") == sorted(full.files(REPO, "next/one"))
    assert {entry.path for entry in api(full).list_repo_tree(REPO, "data")} == {"data/names.txt"}
    known = [info.path for info in api(full).get_paths_info(REPO, ["data", "model.onnx", "no"])]
    assert known == ["data", "model.onnx"]
    api(full).delete_branch(REPO, branch="next/one")
    with pytest.raises(RevisionNotFoundError):
        api(full).model_info(REPO, revision="next/one")
    with pytest.raises(HfHubHTTPError):
        api(full).delete_branch(REPO, branch="main")


def test_download_by_branch_tag_hash_and_pull_request(full: HubServer, tmp_path: Path) -> None:
    first = full.head(REPO)
    full.tag(REPO, "v1", first)
    full.commit(REPO, {"model.onnx": b"second", "data/names.txt": None})
    asked = api(full, "them").create_commit(REPO, add(model__onnx=b"third"), commit_message="Ask", create_pr=True)
    assert asked.pr_revision is not None
    revisions = {None: b"second", "main": b"second", "v1": WEIGHTS, first: WEIGHTS, asked.pr_revision: b"third"}
    for revision, content in revisions.items():
        assert fetch(full, tmp_path, "model.onnx", revision) == content
    assert fetch(full, tmp_path, "data/names.txt", "v1") == "émile\n".encode()
    folder = Path(snapshot_download(REPO, revision="v1", endpoint=full.url, cache_dir=tmp_path, token=False))
    assert folder.name == first
    assert (folder / "README.md").read_bytes() == CARD
    with pytest.raises(EntryNotFoundError):
        fetch(full, tmp_path, "data/names.txt")
    with pytest.raises(RevisionNotFoundError):
        fetch(full, tmp_path, "README.md", "v2")


def test_private_and_gated(full: HubServer, tmp_path: Path) -> None:
    full.repositories[REPO].private = True
    for user, status in ((None, 401), ("them", 404)):
        with pytest.raises(RepositoryNotFoundError) as error:
            api(full, user).model_info(REPO)
        assert error.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError) as error:
            fetch(full, tmp_path, "README.md", user=user)
        assert error.value.response.status_code == status
    assert fetch(full, tmp_path / "you", "model.onnx", user="you") == WEIGHTS
    assert gets(full, "/cdn/")[-1].token is None, "the client keeps its token from another host"

    full.create("you/gated", gated=["friend"])
    full.commit("you/gated", {"a.txt": b"a\n"})
    assert api(full, None).model_info("you/gated").gated == "manual"
    for user, status in ((None, 401), ("them", 403)):
        with pytest.raises(GatedRepoError) as gated:
            api(full, user).hf_hub_download("you/gated", "a.txt", cache_dir=tmp_path)
        assert gated.value.response.status_code == status
    for user in ("you", "friend"):
        assert api(full, user).hf_hub_download("you/gated", "a.txt", cache_dir=tmp_path / user)


def test_writing_needs_the_owner(full: HubServer) -> None:
    for user, status in ((None, 401), ("them", 403), ("unknown", 401)):
        with pytest.raises(HfHubHTTPError) as error:
            api(full, user).create_commit(REPO, add(a__txt=b"a\n"), commit_message="Break in")
        assert error.value.response.status_code == status
        with pytest.raises(HfHubHTTPError) as error:
            api(full, user).create_tag(REPO, tag="v1")
        assert error.value.response.status_code == status
    assert len(full.log(REPO)) == 2


def test_ranges(full: HubServer) -> None:
    for path in ("README.md", "model.onnx"):
        content = full.files(REPO)[path]
        for span, expected in (
            ("bytes=5-", content[5:]),
            ("bytes=2-9", content[2:10]),
            ("bytes=9-9999999", content[9:]),
        ):
            request = urllib.request.Request(f"{full.url}/{REPO}/resolve/main/{path}", headers={"Range": span})
            with urllib.request.urlopen(request) as reply:
                assert (reply.status, reply.read()) == (206, expected)
                assert reply.headers["Content-Range"].endswith(f"/{len(content)}")


def test_dropped_download_resumes(full: HubServer, tmp_path: Path) -> None:
    full.fail("drop", path="^/cdn/", times=1, after=1_000_000)
    with contextlib.suppress(Exception):  # old clients leave it to the next call to go on
        fetch(full, tmp_path, "model.onnx")
    assert fetch(full, tmp_path, "model.onnx") == WEIGHTS
    assert len(gets(full, "/cdn/")) == 2


def test_reset_is_not_resumed(full: HubServer, tmp_path: Path) -> None:
    full.fail("drop", path="/resolve/.*README", method="GET", after=5, reset=True)
    with pytest.raises(Exception, match="reset by peer"):
        fetch(full, tmp_path, "README.md")
    full.heal()
    assert fetch(full, tmp_path, "README.md") == CARD


def test_wrong_and_cut_bytes(full: HubServer, tmp_path: Path) -> None:
    full.fail("wrong", path="/cdn/", times=1)
    got = fetch(full, tmp_path / "wrong", "model.onnx")
    assert len(got) == len(WEIGHTS)
    assert got != WEIGHTS, "the client does not look"
    full.fail("cut", path="/cdn/", times=1)
    with pytest.raises(OSError, match="Consistency check failed"):
        fetch(full, tmp_path / "cut", "model.onnx")
    full.fail("cut", path="README.md", after=7)
    assert fetch(full, tmp_path / "short", "README.md") == CARD[:7], "HEAD and GET agree"


def test_status_fault(full: HubServer, tmp_path: Path) -> None:
    full.fail("status", path="^/api/models/", status=429, headers={"Retry-After": "1"}, times=1)
    with pytest.raises(HfHubHTTPError) as error:
        api(full).model_info(REPO)
    assert error.value.response.status_code == 429
    assert api(full).model_info(REPO).sha == full.head(REPO)
    full.fail("status", path="/resolve/", method="HEAD", status=403)
    with pytest.raises(LocalEntryNotFoundError):
        fetch(full, tmp_path, "README.md")
    full.heal()
    full.fail("status", path="/commit/", method="POST", status=403)
    with pytest.raises(HfHubHTTPError, match="403"):
        api(full).create_commit(REPO, add(a__txt=b"a\n"), commit_message="Refused")
    assert "a.txt" not in full.files(REPO)


def test_lost_answer_to_a_commit(full: HubServer) -> None:
    full.fail("drop", path="/commit/", times=1)
    with pytest.raises(Exception, match="disconnected"):
        api(full).create_commit(REPO, add(a__txt=b"a\n"), commit_message="Made")
    assert full.log(REPO)[0] == "Made"


def test_stall_ends_when_the_hub_closes(full: HubServer, tmp_path: Path) -> None:
    full.fail("stall", path="/resolve/", seconds=0.3, after=3, times=2)
    start = time.monotonic()
    assert fetch(full, tmp_path, "README.md") == CARD
    assert time.monotonic() - start > 0.3
    full.fail("stall", path="/api/")
    with pytest.raises(Exception, match="timed out"):
        api(full).model_info(REPO, timeout=0.3)
    closer = threading.Timer(0.3, full.close)
    closer.start()
    with pytest.raises(Exception, match=r"disconnected|reset|refused"):
        api(full).model_info(REPO, timeout=30)
    closer.join()
    assert threading.active_count() < 10


def test_opens_again_where_it_was(full: HubServer) -> None:
    client, address = api(full, None), full.url
    assert client.model_info(REPO).sha == full.head(REPO)
    full.close()
    full.close()
    with pytest.raises(Exception, match="refused"):
        client.model_info(REPO)
    full.open()
    assert full.url == address
    assert client.model_info(REPO).sha == full.head(REPO)


def test_requests_are_remembered(full: HubServer) -> None:
    assert full.requests == []
    api(full).model_info(REPO)
    api(full, None).model_info(REPO)
    assert [(request.method, request.path, request.token) for request in full.requests] == [
        ("GET", f"/api/models/{REPO}", "token-you"),
        ("GET", f"/api/models/{REPO}", None),
    ]
    assert "hf_hub/" in full.requests[0].user_agent


def test_program_serves_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.hub_server", str(tmp_path), "you/folder", "--port", str(port)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port}"
        assert "in/a.txt" in HfApi(url, token=False).list_repo_files("you/folder")
        process.send_signal(2)
        assert process.wait(10) == 0
