"""A model hub on 127.0.0.1 that speaks to the unchanged `huggingface_hub` client, 1.0.0 and later.

Everything is in memory. The client finds the server by HF_ENDPOINT, or by the `endpoint` that its calls take.

| route | what it does | documented at |
|---|---|---|
| `GET /api/whoami-v2` | whose token this is | [O] |
| `POST /api/repos/create` | makes a repository with one commit; 409 where there is one | [O], [R] |
| `POST /api/validate-yaml` | reads the front matter of a card; 400 where it is no mapping | [M], [C] |
| `GET /api/models/{id}[/revision/{rev}]` | describes a revision, and its files | [O], [A] |
| `GET /api/models/{id}/tree/{rev}[/{path}]` | lists a folder | [O], [A] |
| `POST /api/models/{id}/paths-info/{rev}` | describes the paths asked about that exist | [O], [A] |
| `GET /api/models/{id}/refs` | lists branches, tags and pull requests | [O], [A] |
| `POST`, `DELETE /api/models/{id}/branch/{branch}` | makes or deletes a branch | [O], [R] |
| `POST /api/models/{id}/tag/{rev}` | makes a tag | [O], [R] |
| `POST /api/models/{id}/preupload/{rev}` | says of each file: through LFS or not, and what is there | [O], [U] |
| `POST /{id}.git/info/lfs/objects/batch` | says where to upload the objects that are missing | [B] |
| `PUT /{id}.git/info/lfs/objects/{sha256}` | stores an object; needs no token, as a signed address would not | [T] |
| `POST /{id}.git/info/lfs/objects/verify` | confirms that an object arrived | [T] |
| `POST /api/models/{id}/commit/{rev}` | makes a commit; 412 where `parentCommit` is not the head | [O], [N], [U] |
| `HEAD`, `GET /{id}/resolve/{rev}/{path}` | serves a file, or sends on to where its LFS object is | [O], [D] |
| `HEAD`, `GET /cdn/{id}/{sha256}/{name}` | serves an LFS object; needs no token | [D] |

[O] huggingface.co/.well-known/openapi.json, to read at huggingface.co/spaces/huggingface/openapi, as
    huggingface.co/docs/hub/api says
[A] huggingface.co/docs/huggingface_hub/package_reference/hf_api
[B] github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
[C] huggingface.co/docs/huggingface_hub/package_reference/cards
[D] huggingface.co/docs/huggingface_hub/package_reference/file_download
[M] huggingface.co/docs/hub/model-cards
[N] ndjson.org
[R] huggingface.co/docs/huggingface_hub/guides/repository
[T] github.com/git-lfs/git-lfs/blob/main/docs/api/basic-transfers.md
[U] huggingface.co/docs/huggingface_hub/guides/upload

A revision is a branch, a tag, a pull request (`refs/pr/1`, quoted in an address) or a full hash. Errors carry
X-Error-Code and X-Error-Message, which the client makes its exceptions of. A repository that is missing or not for the
caller's eyes is 401 without a token and 404 with one; a gated one (huggingface.co/docs/hub/models-gated) shows its
list of files to everyone and gives them to its owner and to those named. A token that is not known is 401 everywhere.
The client takes a bare 401 for a missing repository on https addresses alone, so here it always has its code.

The hub's own storage, Xet, is not spoken: HF_HUB_DISABLE_XET=1 makes the client upload through LFS
(huggingface.co/docs/huggingface_hub/package_reference/environment_variables). Addresses of the CDN say `localhost`
where the others say 127.0.0.1, so that the client takes it for another host and sends it no token.

    python -m tests.hub_server FOLDER REPO_ID [--port P]

serves the files of a folder as a public repository until it is interrupted.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast
from urllib.parse import parse_qs, quote, unquote

import yaml  # type: ignore[import-untyped]

LFS_SUFFIXES = (".onnx", ".safetensors", ".bin")
LFS_SIZE = 10 * 2**20
NO_METADATA = "empty or missing yaml metadata in repo card (https://huggingface.co/docs/hub/model-cards)"

Kind = Literal["status", "drop", "wrong", "cut", "stall"]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Request(NamedTuple):
    """What the server remembers of a request: the path as sent, with its query, and the token without `Bearer`."""

    method: str
    path: str
    user_agent: str
    token: str | None
    range: str


@dataclass(frozen=True)
class File:
    """The content of a file, and whether git would hold a pointer in its place."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {len(self.content)}")
        return "".join(f"{line}\n" for line in lines).encode()

    @cached_property
    def blob(self) -> str:
        """The hash that git gives what it holds."""
        held = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob


@dataclass(frozen=True)
class Commit:
    hash: str
    parent: str | None
    title: str
    tree: dict[str, File]
    date: str


@dataclass
class Repository:
    """Commits by hash, references to them by name, and the LFS objects uploaded, by SHA-256."""

    id: str
    private: bool
    gated: bool | Collection[str]
    created: str = field(default_factory=_now)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def find(self, revision: str) -> Commit:
        for references in (self.branches, self.tags, self.pulls):
            if revision in references:
                return self.commits[references[revision]]
        if revision not in self.commits:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[revision]

    def add(self, parent: str | None, title: str, tree: dict[str, File]) -> str:
        listing = sorted((path, file.blob) for path, file in tree.items())
        identity = json.dumps([parent, title, listing, len(self.commits)])
        commit = hashlib.sha1(identity.encode()).hexdigest()
        self.commits[commit] = Commit(commit, parent, title, tree, _now())
        return commit

    def history(self, revision: str) -> list[Commit]:
        """The commits that lead to a revision, newest first."""
        commits = [self.find(revision)]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits


@dataclass
class Fault:
    """What befalls the requests that match; see `HubServer.fail`."""

    kind: Kind
    path: str
    method: str | None
    times: int | None
    status: int
    headers: Mapping[str, str]
    after: int | None
    seconds: float
    reset: bool


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        kind = {"Content-Type": "application/json"}
        return cls(status, json.dumps(value, default=str).encode(), {**kind, **(headers or {})})

    @classmethod
    def error(cls, status: int, message: str, headers: Mapping[str, str] | None = None) -> Self:
        return cls.json({"error": message}, status, {"X-Error-Message": message, **(headers or {})})


class _Refusal(Exception):  # noqa: N818
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        code_header = {"X-Error-Code": code} if code else {}
        self.reply = Reply.error(status, message, {**code_header, **headers})


@dataclass
class _Call:
    """A request on its way through a handler: who asks, for which range, what is sent, the groups of the route."""

    hub: "HubServer"
    user: str | None
    span: str
    query: dict[str, list[str]]
    body: bytes
    groups: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def repository(self, *, write: bool = False) -> Repository:
        repository = self.hub.repositories.get(self.groups["repo"])
        if repository is None or (repository.private and self.user != repository.owner):
            raise _Refusal(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write:
            self.signed_in()
            if self.user != repository.owner:
                raise _Refusal(403, f"You don't have the right to write to {repository.id}.")
        return repository

    def objects(self) -> dict[str, bytes]:
        """The repository's LFS objects, for addresses that need no token."""
        if self.groups["repo"] not in self.hub.repositories:
            raise _Refusal(404, "Not Found")
        return self.hub.repositories[self.groups["repo"]].objects

    def signed_in(self) -> str:
        if self.user is None:
            raise _Refusal(401, "Invalid username or password.")
        return self.user


def _front_matter(content: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """The metadata of a card, with errors and warnings about it."""
    match = re.match(r"---[^\S\n]*\n(.*?)^---[^\S\n]*$", content.replace("\r\n", "\n"), re.DOTALL | re.MULTILINE)
    if match is None:
        return {}, [], [NO_METADATA]
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return {}, [str(error)], []
    if metadata is None:
        return {}, [], [NO_METADATA]
    if not isinstance(metadata, dict):
        return {}, ["The metadata should be a mapping."], []
    return metadata, [], []


def _through_lfs(path: str, size: int, sample: bytes) -> bool:
    """The client uploads an empty file as a regular one, whatever the answer; a sample may end inside a character."""
    if size == 0:
        return False
    if size > LFS_SIZE or path.endswith(LFS_SUFFIXES):
        return True
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return "unexpected end of data" not in error.reason or size <= len(sample)
    return b"\0" in sample


def _whoami(call: _Call) -> Reply:
    user = call.signed_in()
    access = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
    person = {"type": "user", "id": user, "name": user, "fullname": user, "isPro": False, "orgs": []}
    return Reply.json({**person, "auth": access})


def _create_repository(call: _Call) -> Reply:
    user = call.signed_in()
    asked = call.json
    owner = asked.get("organization") or user
    repo_id = f"{owner}/{asked['name']}"
    if owner != user:
        raise _Refusal(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
    found = {"url": f"{call.hub.url}/{repo_id}", "id": repo_id, "name": repo_id}
    if repo_id in call.hub.repositories:
        return Reply.json({"error": "You already created this model repo", **found}, 409)
    call.hub.create(repo_id, private=bool(asked.get("private")) or asked.get("visibility") == "private")
    return Reply.json(found)


def _validate_yaml(call: _Call) -> Reply:
    _, errors, warnings = _front_matter(call.json["content"])
    lists = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return Reply.json(lists, 400 if errors else 200)


def _model(call: _Call) -> Reply:
    repository = call.repository()
    commit = repository.find(unquote(call.groups["rev"] or "main"))
    readme = commit.tree.get("README.md")
    card = _front_matter(readme.content.decode(errors="replace"))[0] if readme else {}
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.tree)]
    if "blobs" in call.query:
        for sibling in siblings:
            described = _describe(sibling["rfilename"], commit.tree[sibling["rfilename"]])
            sibling |= {"size": described["size"], "blobId": described["oid"]}
            if "lfs" in described:
                sibling["lfs"] = {"sha256": described["lfs"].pop("oid"), **described["lfs"]}
    tags = [*(card.get("tags") or []), *([f"license:{card['license']}"] if "license" in card else [])]
    info = {
        "_id": repository.id,
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.owner,
        "sha": commit.hash,
        "createdAt": repository.created,
        "lastModified": commit.date,
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags,
        "library_name": card.get("library_name"),
        "pipeline_tag": card.get("pipeline_tag"),
        "cardData": card or None,
        "siblings": siblings,
    }
    return Reply.json(info)


def _describe(path: str, file: File) -> dict[str, Any]:
    size = len(file.content)
    entry = {"type": "file", "path": path, "size": size, "oid": file.blob}
    return {**entry, "lfs": {"oid": file.sha256, "size": size, "pointerSize": len(file.pointer)}} if file.lfs else entry


def _entries(tree: Mapping[str, File]) -> dict[str, dict[str, Any]]:
    """The files and folders of a tree, by path."""
    folders = {"/".join(parts[:end]) for parts in (path.split("/") for path in tree) for end in range(1, len(parts))}
    entries = {path: _describe(path, file) for path, file in tree.items()}
    for folder in folders:
        inside = json.dumps(sorted((path, file.blob) for path, file in tree.items() if path.startswith(f"{folder}/")))
        oid = hashlib.sha1(inside.encode()).hexdigest()
        entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": oid}
    return dict(sorted(entries.items()))


def _tree(call: _Call) -> Reply:
    commit = call.repository().find(unquote(call.groups["rev"]))
    entries = _entries(commit.tree)
    folder = unquote(call.groups["path"] or "").strip("/")
    if folder and entries.get(folder, {}).get("type") != "directory":
        raise _Refusal(404, f'{folder} does not exist on "{call.groups["rev"]}"', "EntryNotFound")
    start = f"{folder}/" if folder else ""
    deep = call.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    paths = [path for path in entries if path.startswith(start) and (deep or "/" not in path[len(start) :])]
    return Reply.json([entries[path] for path in paths])


def _paths_info(call: _Call) -> Reply:
    entries = _entries(call.repository().find(unquote(call.groups["rev"])).tree)
    asked = parse_qs(call.body.decode()).get("paths", [])
    return Reply.json([entries[path.rstrip("/")] for path in asked if path.rstrip("/") in entries])


def _refs(call: _Call) -> Reply:
    repository = call.repository()

    def listed(references: Mapping[str, str], prefix: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": prefix + name, "targetCommit": target} for name, target in references.items()]

    refs = {"branches": listed(repository.branches, "refs/heads/"), "tags": listed(repository.tags, "refs/tags/")}
    pulls = {"pullRequests": listed(repository.pulls, "")} if "include_prs" in call.query else {}
    return Reply.json({**refs, "converts": [], **pulls})


def _create_branch(call: _Call) -> Reply:
    repository, branch = call.repository(write=True), unquote(call.groups["rev"])
    if branch in repository.branches:
        raise _Refusal(409, "Reference already exists")
    repository.branches[branch] = repository.find(call.json.get("startingPoint") or "main").hash
    return Reply.json({"success": True})


def _delete_branch(call: _Call) -> Reply:
    repository, branch = call.repository(write=True), unquote(call.groups["rev"])
    if branch == "main":
        raise _Refusal(403, "The main branch cannot be deleted")
    if repository.branches.pop(branch, None) is None:
        raise _Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    return Reply.json({"success": True})


def _create_tag(call: _Call) -> Reply:
    repository, tag = call.repository(write=True), call.json["tag"]
    target = repository.find(unquote(call.groups["rev"])).hash
    if tag in repository.tags:
        raise _Refusal(409, f"Tag {tag} already exists")
    repository.tags[tag] = target
    return Reply.json({"success": True})


def _writable(call: _Call) -> tuple[Repository, bool]:
    """The repository, and whether a pull request is asked for, which everyone who reads may open."""
    pull = call.query.get("create_pr") == ["1"]
    if pull:
        call.signed_in()
    return call.repository(write=not pull), pull


def _preupload(call: _Call) -> Reply:
    repository, _ = _writable(call)
    tree = repository.find(unquote(call.groups["rev"])).tree
    answers = []
    for asked in call.json["files"]:
        path = asked["path"]
        lfs = _through_lfs(path, asked["size"], base64.b64decode(asked["sample"]))
        answer = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        answers.append({**answer, "oid": tree[path].etag} if path in tree else answer)
    return Reply.json({"files": answers})


def _lfs_batch(call: _Call) -> Reply:
    asked = call.json
    call.signed_in()
    repository = call.repository(write="ref" in asked)  # the client names no branch for a pull request
    address = f"{call.hub.url}/{repository.id}.git/info/lfs/objects"
    objects = []
    for wanted in asked["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        actions = {"upload": {"href": f"{address}/{oid}"}, "verify": {"href": f"{address}/verify"}}
        missing = {} if oid in repository.objects else {"actions": actions}
        objects.append({"oid": oid, "size": size, "authenticated": True, **missing})
    return Reply.json({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})


def _lfs_upload(call: _Call) -> Reply:
    if hashlib.sha256(call.body).hexdigest() != call.groups["oid"]:
        raise _Refusal(400, "The content does not match its SHA-256")
    call.objects()[call.groups["oid"]] = call.body
    return Reply(200)


def _lfs_verify(call: _Call) -> Reply:
    call.signed_in()
    stored = call.repository().objects.get(call.json["oid"])
    if stored is None or len(stored) != call.json["size"]:
        raise _Refusal(404, "The object did not arrive")
    return Reply.json({})


def _change(repository: Repository, tree: dict[str, File], key: str, value: dict[str, Any]) -> None:
    """Apply one line of a commit to a tree."""
    path = value["path"]
    if key == "file":
        tree[path] = File(base64.b64decode(value["content"]), lfs=False)
    elif key == "lfsFile":
        stored = repository.objects.get(value["oid"])
        if stored is None or value.get("size", len(stored)) != len(stored):
            raise _Refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
        tree[path] = File(stored, lfs=True)
    elif key in ("deletedFile", "deletedFolder"):
        start = f"{path.rstrip('/')}/"
        gone = [name for name in tree if (name.startswith(start) if key == "deletedFolder" else name == path)]
        if not gone:
            raise _Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del tree[name]
    else:
        raise _Refusal(400, f"Unknown operation: {key}")


def _commit(call: _Call) -> Reply:
    repository, pull = _writable(call)
    branch = unquote(call.groups["rev"])
    references = repository.pulls if branch in repository.pulls else repository.branches
    if branch not in references:
        raise _Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    head, parent = references[branch], header.get("parentCommit")
    if parent and not head.startswith(parent):
        if not pull:
            raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
        head = repository.find(parent).hash
    tree = dict(repository.commits[head].tree)
    for line in lines:
        if line["key"] != "header":
            _change(repository, tree, line["key"], line["value"])
    if "README.md" in tree and (errors := _front_matter(tree["README.md"].content.decode(errors="replace"))[1]):
        raise _Refusal(400, f"Invalid metadata in README.md: {errors[0]}")
    if pull:
        references, branch = repository.pulls, f"refs/pr/{len(repository.pulls) + 1}"
    references[branch] = repository.add(head, header["summary"], tree)
    address = f"{call.hub.url}/{repository.id}"
    done = {"success": True, "commitOid": references[branch], "commitUrl": f"{address}/commit/{references[branch]}"}
    request = {"pullRequestUrl": f"{address}/discussions/{branch.removeprefix('refs/pr/')}"} if pull else {}
    return Reply.json({**done, **request})


def _serve(call: _Call, content: bytes, path: str, headers: Mapping[str, str]) -> Reply:
    """A file, or the range of it that is asked for."""
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(Path(path).name)}",
        "Accept-Ranges": "bytes",
        **headers,
    }
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", call.span)
    if match is None:
        return Reply(200, content, headers)
    start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
    if start > end:
        return Reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    return Reply(206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"})


def _resolve(call: _Call) -> Reply:
    repository, path = call.repository(), unquote(call.groups["path"])
    allowed = (repository.owner, *(repository.gated if not isinstance(repository.gated, bool) else ()))
    if repository.gated and call.user not in allowed:
        message = f"Access to model {repository.id} is restricted"
        if call.user is None:
            raise _Refusal(401, f"{message}. You must have access to it and be authenticated.", "GatedRepo")
        raise _Refusal(403, f"{message} and you are not in the authorized list.", "GatedRepo")
    commit = repository.find(unquote(call.groups["rev"]))
    held = {"X-Repo-Commit": commit.hash}
    if path not in commit.tree:
        raise _Refusal(404, "Entry not found", "EntryNotFound", **held)
    file = commit.tree[path]
    if not file.lfs:
        return _serve(call, file.content, path, {**held, "ETag": f'"{file.etag}"'})
    location = f"http://localhost:{call.hub.port}/cdn/{repository.id}/{file.sha256}/{quote(path)}"
    linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
    return Reply(302, f"Found. Redirecting to {location}".encode(), {**held, **linked, "Location": location})


def _cdn(call: _Call) -> Reply:
    objects, oid = call.objects(), call.groups["oid"]
    if oid not in objects:
        raise _Refusal(404, "Not Found")
    return _serve(call, objects[oid], unquote(call.groups["path"]), {"ETag": f'"{oid}"'})


Handler = Callable[[_Call], Reply]


def _routes(*routes: tuple[str, str, Handler]) -> list[tuple[str, re.Pattern[str], Handler]]:
    groups = {"{id}": "(?P<repo>[^/]+/[^/]+)", "{rev}": "(?P<rev>[^/]+)", "{path}": "(?P<path>.+)"}
    groups |= {"{sha256}": "(?P<oid>[0-9a-f]{64})"}
    pattern = re.compile("|".join(map(re.escape, groups)))
    return [(methods, re.compile(pattern.sub(lambda m: groups[m[0]], path)), run) for methods, path, run in routes]


ROUTES = _routes(
    ("GET", "/api/whoami-v2", _whoami),
    ("POST", "/api/repos/create", _create_repository),
    ("POST", "/api/validate-yaml", _validate_yaml),
    ("GET", "/api/models/{id}(?:/revision/{rev})?", _model),
    ("GET", "/api/models/{id}/tree/{rev}(?:/{path})?", _tree),
    ("POST", "/api/models/{id}/paths-info/{rev}", _paths_info),
    ("GET", "/api/models/{id}/refs", _refs),
    ("POST", "/api/models/{id}/branch/{rev}", _create_branch),
    ("DELETE", "/api/models/{id}/branch/{rev}", _delete_branch),
    ("POST", "/api/models/{id}/tag/{rev}", _create_tag),
    ("POST", "/api/models/{id}/preupload/{rev}", _preupload),
    ("POST", r"/{id}\.git/info/lfs/objects/batch", _lfs_batch),
    ("PUT", r"/{id}\.git/info/lfs/objects/{sha256}", _lfs_upload),
    ("POST", r"/{id}\.git/info/lfs/objects/verify", _lfs_verify),
    ("POST", "/api/models/{id}/commit/{rev}", _commit),
    ("HEAD GET", "/{id}/resolve/{rev}/{path}", _resolve),
    ("HEAD GET", "/cdn/{id}/{sha256}/{path}", _cdn),
)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, and sends replies as whole or as broken as the faults want them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def hub(self) -> "HubServer":
        return cast("_Server", self.server).hub

    def log_message(self, *arguments: object) -> None:
        """Say nothing: `HubServer.requests` remembers."""

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self) -> None:
        body = self._read()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip() or None
        fault = self.hub._take(
            Request(self.command, self.path, self.headers.get("User-Agent", ""), token, self.headers.get("Range", ""))
        )
        if fault and fault.kind == "status":
            reply = Reply.error(fault.status, HTTPStatus(fault.status).phrase, fault.headers)
        else:
            reply = self.hub._reply(self.command, self.path, token, self.headers.get("Range", ""), body)
        self._send(reply, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        kind, content = fault and fault.kind, reply.body
        if fault and kind == "wrong":
            flipped = bytearray(content)
            flipped[::1000] = bytes(byte ^ 0xFF for byte in flipped[::1000])
            content = bytes(flipped)
        elif fault and kind == "cut":
            content = content[: len(content) // 2 if fault.after is None else fault.after]
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        if self.command == "HEAD":
            content = b""
        if fault and kind in ("drop", "stall") and fault.after is not None:
            self.end_headers()
            self.wfile.write(content[: fault.after])
            content = content[fault.after :]
        if fault and kind == "drop":
            self.close_connection = True
            if fault.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()
                self.connection.close()
            return
        if fault and kind == "stall":
            if cast("_Server", self.server).closing.wait(fault.seconds):
                self.close_connection = True
                return
            if fault.after is not None:
                self.wfile.write(content)
                return
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hub: "HubServer") -> None:
        self.hub = hub
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", hub.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class HubServer:
    """The hub: repositories, tokens (token to name of the user, who owns what is named after them), and what to spoil.

    It serves from `open()` to `close()`, or inside a `with`; a hub that is opened again is at the same address with
    what it had. `requests` lists what was asked of it, oldest first.
    """

    def __init__(self, tokens: Mapping[str, str] | None = None, *, port: int = 0) -> None:
        self.tokens = dict(tokens or {})
        self.port = port
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> Self:
        """Serve, at the port it had if it served before; a second call does nothing."""
        if self._server is None:
            self._server = _Server(self)
            self.port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def close(self) -> None:
        """Stop serving, and cut the connections that are open; a second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        server.closing.set()
        server.shutdown()
        server.server_close()
        for connection in list(server.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Forget repositories, requests and faults, and serve."""
        with self._lock:
            self.repositories.clear()
            self.requests.clear()
            self._faults.clear()
        self.open()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self, repo_id: str, *, private: bool = False, gated: bool | Collection[str] = False) -> None:
        """Make a repository, with the commit that the hub begins with; `gated` may name the users let in."""
        with self._lock:
            repository = self.repositories[repo_id] = Repository(repo_id, private, gated)
            rules = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
            tree = {".gitattributes": File(rules.encode(), lfs=False)}
            repository.branches["main"] = repository.add(None, "initial commit", tree)

    def commit(
        self, repo_id: str, files: Mapping[str, bytes | None], branch: str = "main", message: str = "Change files"
    ) -> str:
        """Add, replace and (None) delete files of a branch, and return the commit's hash."""
        with self._lock:
            repository = self.repositories[repo_id]
            head = repository.branches[branch]
            tree = dict(repository.commits[head].tree)
            for path, content in files.items():
                if content is None:
                    del tree[path]
                    continue
                tree[path] = file = File(content, _through_lfs(path, len(content), content[:512]))
                if file.lfs:
                    repository.objects[file.sha256] = content
            repository.branches[branch] = repository.add(head, message, tree)
            return repository.branches[branch]

    def tag(self, repo_id: str, name: str, commit: str) -> None:
        self.repositories[repo_id].tags[name] = commit

    def head(self, repo_id: str, branch: str = "main") -> str:
        return self.repositories[repo_id].branches[branch]

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        return {path: file.content for path, file in self.repositories[repo_id].find(revision).tree.items()}

    def log(self, repo_id: str, branch: str = "main") -> list[str]:
        """The titles of a branch's commits, newest first."""
        return [commit.title for commit in self.repositories[repo_id].history(branch)]

    def fail(
        self,
        kind: Kind,
        *,
        path: str = "",
        method: str | None = None,
        times: int | None = None,
        status: int = 500,
        headers: Mapping[str, str] | None = None,
        after: int | None = None,
        seconds: float = 3600,
        reset: bool = False,
    ) -> None:
        """Spoil the first `times` requests (all: None) whose path, as sent, has a match of the regex `path`.

        - `status` answers with that status and those headers, and does nothing else.
        - `drop` sends the headers and `after` bytes of the body, or nothing at all (None), and closes the connection:
          in order, or with `reset` by a TCP reset.
        - `wrong` sends a body of the right length with every thousandth byte flipped.
        - `cut` sends the first `after` bytes of the body (None: half) as if there were no more; HEAD says so too.
        - `stall` sends as much as `drop` does, waits for `seconds`, and sends the rest.

        All but `status` do what was asked: a commit is made though its answer is lost. The oldest fault that matches
        and is not used up applies, alone.
        """
        fault = Fault(kind, path, method, times, status, headers or {}, after, seconds, reset)
        with self._lock:
            self._faults.append(fault)

    def heal(self) -> None:
        """Forget all faults; what stalls goes on stalling."""
        with self._lock:
            self._faults.clear()

    def _take(self, request: Request) -> Fault | None:
        """Remember a request, and find the fault that it meets."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                hit = fault.method in (None, request.method) and re.search(fault.path, request.path)
                if hit and fault.times != 0:
                    fault.times = fault.times and fault.times - 1
                    return fault
            return None

    def _reply(self, method: str, target: str, token: str | None, span: str, body: bytes) -> Reply:
        path, _, query = target.partition("?")
        found = ((run, pattern.fullmatch(path)) for methods, pattern, run in ROUTES if method in methods.split())
        run, match = next(((run, match) for run, match in found if match), (None, None))
        if run is None or match is None:
            return Reply.error(404, "Sorry, we can't find the page you are looking for.")
        if token is not None and token not in self.tokens:
            return Reply.error(401, "Invalid credentials in Authorization header")
        user = self.tokens[token] if token else None
        with self._lock:
            try:
                return run(_Call(self, user, span, parse_qs(query), body, match.groupdict()))
            except _Refusal as refusal:
                return refusal.reply


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hub_server", description="Serve a folder as a model hub.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("repo_id")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(None if arguments is None else list(arguments))
    paths = sorted(path for path in options.folder.rglob("*") if path.is_file())
    with HubServer(port=options.port) as server, contextlib.suppress(KeyboardInterrupt):
        server.create(options.repo_id)
        server.commit(
            options.repo_id, {path.relative_to(options.folder).as_posix(): path.read_bytes() for path in paths}
        )
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
