"""A model hub on 127.0.0.1 for tests: the unmodified `huggingface_hub` client, 1.0.0 and later, can use it.

Everything is in memory. Point the client to it with HF_ENDPOINT, or with the argument `endpoint`.

| route | what it does | documented at |
|---|---|---|
| `POST /api/repos/create` | creates a repository with one commit; 409 if it exists | [O], [R] |
| `POST /api/validate-yaml` | reads the front matter of a card; 400 if it is not a mapping | [M], [C] |
| `GET /api/models/{id}[/revision/{rev}]` | describes a revision and its files | [O], [A] |
| `GET /api/models/{id}/tree/{rev}` | lists all files, as with `recursive=true`, and no folders | [O], [A] |
| `POST /api/models/{id}/branch/{branch}` | creates a branch; 409 if it exists | [O], [R] |
| `POST /api/models/{id}/preupload/{rev}` | says if each file goes through LFS, and what is there | [O], [U] |
| `POST /{id}.git/info/lfs/objects/batch` | says where to upload the objects that are missing | [B] |
| `PUT /{id}.git/info/lfs/objects/{sha256}` | stores an object; needs no token, like a signed address | [T] |
| `POST /api/models/{id}/commit/{rev}` | makes a commit, or with `create_pr=1` a pull request | [O], [N], [U] |
| `HEAD`, `GET /{id}/resolve/{rev}/{path}` | serves a file, or redirects to its LFS object | [O], [D] |
| `HEAD`, `GET /cdn/{sha256}/{path}` | serves an LFS object; needs no token | [D] |

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
X-Error-Code and X-Error-Message, which the client turns into exceptions. A repository that is missing or that the
caller may not see gives 401 without a token and 404 with one. A gated repository (huggingface.co/docs/hub/models-gated)
lists its files for everyone and gives them to its owner. An unknown token gives 401 everywhere. The client takes a bare
401 for a missing repository only at https addresses, so here each 401 for one has its error code.

The hub's own storage, Xet, is not supported: HF_HUB_DISABLE_XET=1 makes the client upload through LFS
(huggingface.co/docs/huggingface_hub/package_reference/environment_variables). The CDN's
addresses use `localhost` instead of 127.0.0.1, so that the client takes it for another host and sends it no token.
"""

import base64
import contextlib
import hashlib
import json
import re
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote

import yaml  # type: ignore[import-untyped]

LFS_SUFFIXES = (".onnx", ".safetensors", ".bin")
LFS_SIZE = 10 * 2**20

Kind = Literal["status", "drop", "wrong", "cut", "stall"]


class Request(NamedTuple):
    """A request that the server has received: the path as sent, with its query, and the token without `Bearer`."""

    method: str
    path: str
    user_agent: str
    token: str | None
    range: str


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@dataclass
class Fault:
    """A fault for the first `times` requests (None: all) whose path, as sent, matches the regex `path`.

    - `status` answers with `status` and `headers`, and does nothing else.
    - `drop` sends the headers and `after` bytes of the body, or nothing at all (None), and closes the connection.
    - `wrong` sends a body of the right length with every thousandth byte flipped.
    - `cut` sends the first half of the body as if it were all, and HEAD gives that length too.
    - `stall` sends as much as `drop` does, and then nothing until the hub closes.

    All but `status` carry out the request: a commit is made although its answer is lost.
    """

    kind: Kind
    path: str = ""
    method: str | None = None
    times: int | None = None
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int | None = None


class File(NamedTuple):
    """A file with its hashes: that of its content, and that of its git blob, which for LFS holds a pointer."""

    content: bytes
    lfs: bool
    sha256: str
    blob: str
    pointer_size: int

    @classmethod
    def of(cls, content: bytes, *, lfs: bool) -> Self:
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        held = pointer if lfs else content
        blob = hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()
        return cls(content, lfs, sha256, blob, len(pointer))


class Commit(NamedTuple):
    """A commit, with its title and those before it, newest first."""

    hash: str
    titles: list[str]
    tree: dict[str, File]


@dataclass
class Repository:
    """Commits by hash, and references by name; a pull request is a branch called `refs/pr/1`."""

    id: str
    private: bool
    gated: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def find(self, revision: str) -> Commit:
        commit = self.branches.get(revision) or self.tags.get(revision) or revision
        if commit not in self.commits:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[commit]

    def add(self, branch: str, titles: list[str], tree: dict[str, File]) -> str:
        """Add a commit to a branch, and return its hash."""
        commit = Commit(secrets.token_hex(20), titles, tree)
        self.commits[commit.hash] = commit
        self.branches[branch] = commit.hash
        return commit.hash


class _Refusal(Exception):  # noqa: N818
    """Answer a request with an error."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        if code:
            headers["X-Error-Code"] = code
        self.reply = _json({"error": message}, status, **{"X-Error-Message": message, **headers})


class _Call(BaseHTTPRequestHandler):
    """A connection: it parses each request for the routes, and sends the reply, with a fault if one applies.

    `user` is the caller's name, and `parts` are the named parts of the path, unquoted.
    """

    server: "_Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        """Log nothing: `HubServer.requests` has the requests."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def repository(self, to: Literal["read", "propose", "write"] = "read") -> Repository:
        """The repository, if the caller may read it, open a pull request, or write."""
        repository = self.hub.repositories.get(self.parts["repo"])
        if repository is None or (repository.private and self.user != repository.owner):
            raise _Refusal(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if to != "read" and self.user is None:
            raise _Refusal(401, "Invalid username or password.")
        if to == "write" and self.user != repository.owner:
            raise _Refusal(403, f"You don't have the right to write to {repository.id}.")
        return repository

    def revision(self) -> Commit:
        return self.repository().find(self.parts.get("rev", "main"))

    def _answer(self) -> None:
        self.hub = self.server.hub
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip() or None
        agent, span = self.headers.get("User-Agent", ""), self.headers.get("Range", "")
        fault = self.hub._take(Request(self.command, self.path, agent, token, span))
        try:
            if fault and fault.kind == "status":
                raise _Refusal(fault.status, "As the test wants it", **fault.headers)
            if token is not None and token not in self.hub.tokens:
                raise _Refusal(401, "Invalid credentials in Authorization header")
            self.user = self.hub.tokens[token] if token else None
            with self.hub.lock:
                reply = self._routed()
        except _Refusal as refusal:
            reply = refusal.reply
        self._send(reply, fault)

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815

    def _routed(self) -> Reply:
        path, _, query = self.path.partition("?")
        self.query = parse_qs(query)
        for methods, pattern, route in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in methods.split():
                self.parts = {name: unquote(part) for name, part in match.groupdict().items() if part is not None}
                return route(self)
        raise _Refusal(404, "Sorry, we can't find the page you are looking for.")

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        content = reply.body
        if fault and fault.kind == "wrong":
            flipped = bytearray(content)
            flipped[::1000] = bytes(byte ^ 0xFF for byte in flipped[::1000])
            content = bytes(flipped)
        if fault and fault.kind == "cut":
            content = content[: len(content) // 2]
        most: int | None = len(content)
        if fault and fault.kind in ("drop", "stall"):
            most = fault.after
            self.close_connection = True
        if most is not None:
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[:most])
        if fault and fault.kind == "stall":
            self.server.closing.wait()


def _json(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value, default=str).encode(), {"Content-Type": "application/json", **headers})


def _front_matter(content: str) -> tuple[dict[str, Any], list[str]]:
    """The metadata of a card, and the errors in it."""
    match = re.match(r"---[^\S\n]*\n(.*?)^---[^\S\n]*$", content.replace("\r\n", "\n"), re.DOTALL | re.MULTILINE)
    try:
        metadata = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        return {}, [str(error)]
    if metadata is not None and not isinstance(metadata, dict):
        return {}, ["The metadata should be a mapping."]
    return metadata or {}, []


def _through_lfs(path: str, size: int, sample: bytes) -> bool:
    """The client uploads an empty file as a regular one, whatever the answer."""
    return size > 0 and (size > LFS_SIZE or path.endswith(LFS_SUFFIXES) or b"\0" in sample)


def _create_repository(call: _Call) -> Reply:
    asked = call.json
    owner = asked.get("organization") or call.user
    repo_id = f"{owner}/{asked['name']}"
    if call.user is None or owner != call.user:
        message = f'You don\'t have the rights to create a model under the namespace "{owner}"'
        raise _Refusal(403 if call.user else 401, message)
    found = {"url": f"{call.hub.url}/{repo_id}", "id": repo_id, "name": repo_id}
    if repo_id in call.hub.repositories:
        return _json({"error": "You already created this model repo", **found}, 409)
    call.hub.create(repo_id, private=bool(asked.get("private")) or asked.get("visibility") == "private")
    return _json(found)


def _validate_yaml(call: _Call) -> Reply:
    _, errors = _front_matter(call.json["content"])
    return _json({"errors": [{"message": text} for text in errors], "warnings": []}, 400 if errors else 200)


def _described(file: File, *, blob: str, sha256: str) -> dict[str, Any]:
    """What listings say about a file; each has its own names for the hashes."""
    size = len(file.content)
    lfs = {"lfs": {sha256: file.sha256, "size": size, "pointerSize": file.pointer_size}} if file.lfs else {}
    return {"size": size, blob: file.blob, **lfs}


def _model(call: _Call) -> Reply:
    repository, commit = call.repository(), call.revision()
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.tree)]
    if "blobs" in call.query:
        for sibling in siblings:
            sibling.update(_described(commit.tree[sibling["rfilename"]], blob="blobId", sha256="sha256"))
    readme = commit.tree.get("README.md")
    return _json(
        {
            "id": repository.id,
            "author": repository.owner,
            "sha": commit.hash,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "cardData": _front_matter(readme.content.decode(errors="replace"))[0] if readme else None,
            "siblings": siblings,
        }
    )


def _tree(call: _Call) -> Reply:
    files = sorted(call.revision().tree.items())
    return _json([{"type": "file", "path": path, **_described(file, blob="oid", sha256="oid")} for path, file in files])


def _create_branch(call: _Call) -> Reply:
    repository, branch = call.repository("write"), call.parts["rev"]
    if branch in repository.branches:
        raise _Refusal(409, "Reference already exists")
    repository.branches[branch] = repository.find(call.json.get("startingPoint", "main")).hash
    return _json({"success": True})


def _preupload(call: _Call) -> Reply:
    repository = call.repository("propose" if "create_pr" in call.query else "write")
    tree = repository.find(call.parts["rev"]).tree
    answers = []
    for asked in call.json["files"]:
        path = asked["path"]
        lfs = _through_lfs(path, asked["size"], base64.b64decode(asked["sample"]))
        answer = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        if path in tree:
            answer["oid"] = tree[path].sha256 if tree[path].lfs else tree[path].blob
        answers.append(answer)
    return _json({"files": answers})


def _lfs_batch(call: _Call) -> Reply:
    asked = call.json
    repository = call.repository("write" if "ref" in asked else "propose")  # a pull request's names no branch
    objects = []
    for wanted in asked["objects"]:
        address = f"{call.hub.url}/{repository.id}.git/info/lfs/objects/{wanted['oid']}"
        missing = {} if wanted["oid"] in call.hub.objects else {"actions": {"upload": {"href": address}}}
        objects.append({"oid": wanted["oid"], "size": wanted["size"], "authenticated": True, **missing})
    return _json({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})


def _lfs_upload(call: _Call) -> Reply:
    if hashlib.sha256(call.body).hexdigest() != call.parts["oid"]:
        raise _Refusal(400, "The content does not match its SHA-256")
    call.hub.objects[call.parts["oid"]] = call.body
    return Reply(200)


def _commit(call: _Call) -> Reply:
    pull = "create_pr" in call.query
    repository, branch = call.repository("propose" if pull else "write"), call.parts["rev"]
    if branch not in repository.branches:
        raise _Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    head, title = repository.find(branch), ""
    tree = dict(head.tree)
    for line in map(json.loads, call.body.splitlines()):
        key, value = line["key"], line["value"]
        if key == "header":
            title = value["summary"]
        elif key == "file":
            tree[value["path"]] = File.of(base64.b64decode(value["content"]), lfs=False)
        elif key == "lfsFile" and value["oid"] in call.hub.objects:
            tree[value["path"]] = File.of(call.hub.objects[value["oid"]], lfs=True)
        elif key == "lfsFile":
            raise _Refusal(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
        elif key == "deletedFile" and value["path"] in tree:
            del tree[value["path"]]
        elif key == "deletedFile":
            raise _Refusal(404, f"A file with this name doesn't exist: {value['path']}", "EntryNotFound")
        else:
            raise _Refusal(400, f"Unknown operation: {key}")
    address, request = f"{call.hub.url}/{repository.id}", {}
    if pull:
        number = 1 + sum(name.startswith("refs/pr/") for name in repository.branches)
        branch, request = f"refs/pr/{number}", {"pullRequestUrl": f"{address}/discussions/{number}"}
    done = repository.add(branch, [title, *head.titles], tree)
    return _json({"success": True, "commitOid": done, "commitUrl": f"{address}/commit/{done}", **request})


def _serve(call: _Call, content: bytes, headers: Mapping[str, str]) -> Reply:
    """Serve a file, or the requested range of it."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("Range", ""))
    if match is None:
        return Reply(200, content, headers)
    start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
    if start > end:
        return Reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    return Reply(206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"})


def _resolve(call: _Call) -> Reply:
    repository, path = call.repository(), call.parts["path"]
    if repository.gated and call.user != repository.owner:
        message = f"Access to model {repository.id} is restricted and you are not in the authorized list."
        raise _Refusal(403 if call.user else 401, message, "GatedRepo")
    commit = call.revision()
    headers = {"X-Repo-Commit": commit.hash}
    if path not in commit.tree:
        raise _Refusal(404, "Entry not found", "EntryNotFound", **headers)
    file = commit.tree[path]
    if not file.lfs:
        return _serve(call, file.content, {**headers, "ETag": f'"{file.blob}"'})
    headers["Location"] = f"http://localhost:{call.hub.port}/cdn/{file.sha256}/{quote(path)}"
    linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
    return Reply(302, b"", {**headers, **linked})


def _cdn(call: _Call) -> Reply:
    oid = call.parts["oid"]
    if oid not in call.hub.objects:
        raise _Refusal(404, "Not Found")
    return _serve(call, call.hub.objects[oid], {"ETag": f'"{oid}"'})


ID, REV, OID, PATH = "(?P<repo>[^/]+/[^/]+)", "(?P<rev>[^/]+)", "(?P<oid>[0-9a-f]{64})", "(?P<path>.+)"
ROUTES: list[tuple[str, str, Callable[[_Call], Reply]]] = [
    ("POST", "/api/repos/create", _create_repository),
    ("POST", "/api/validate-yaml", _validate_yaml),
    ("GET", f"/api/models/{ID}(?:/revision/{REV})?", _model),
    ("GET", f"/api/models/{ID}/tree/{REV}", _tree),
    ("POST", f"/api/models/{ID}/branch/{REV}", _create_branch),
    ("POST", f"/api/models/{ID}/preupload/{REV}", _preupload),
    ("POST", rf"/{ID}\.git/info/lfs/objects/batch", _lfs_batch),
    ("PUT", rf"/{ID}\.git/info/lfs/objects/{OID}", _lfs_upload),
    ("POST", f"/api/models/{ID}/commit/{REV}", _commit),
    ("HEAD GET", f"/{ID}/resolve/{REV}/{PATH}", _resolve),
    ("HEAD GET", f"/cdn/{OID}/{PATH}", _cdn),
]


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, hub: "HubServer") -> None:
        self.hub = hub
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", hub.port), _Call)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)


class HubServer:
    """The hub: repositories, tokens (user names by token; a user owns the repositories under that name), and faults.

    It serves from `open()` to `close()`. Opened again, it has the same address and contents. `objects` holds the LFS
    objects by SHA-256, and `requests` the requests, oldest first.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self.tokens = tokens
        self.port = 0
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self.lock = threading.Lock()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Start serving, on the same port as before if there was one; a second call does nothing."""
        if self._server is None:
            self._server = _Server(self)
            self.port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop serving, and cut open connections; a second call does nothing."""
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
        """Delete everything except the tokens, and serve."""
        for collection in (self.repositories, self.objects, self.requests, self._faults):
            collection.clear()
        self.open()

    def create(self, repo_id: str, *, private: bool = False, gated: bool = False) -> None:
        """Create a repository with an initial commit."""
        repository = self.repositories[repo_id] = Repository(repo_id, private, gated)
        rules = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        tree = {".gitattributes": File.of(rules.encode(), lfs=False)}
        repository.add("main", ["initial commit"], tree)

    def commit(self, repo_id: str, files: Mapping[str, bytes | None]) -> str:
        """Add, replace and (None) delete files of main, and return the commit's hash."""
        repository = self.repositories[repo_id]
        head = repository.find("main")
        tree = dict(head.tree)
        for path, content in files.items():
            if content is None:
                del tree[path]
                continue
            tree[path] = file = File.of(content, lfs=_through_lfs(path, len(content), content[:512]))
            if file.lfs:
                self.objects[file.sha256] = content
        return repository.add("main", ["Change files", *head.titles], tree)

    def tag(self, repo_id: str, name: str, commit: str) -> None:
        self.repositories[repo_id].tags[name] = commit

    def head(self, repo_id: str) -> str:
        return self.repositories[repo_id].branches["main"]

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        return {path: file.content for path, file in self.repositories[repo_id].find(revision).tree.items()}

    def log(self, repo_id: str) -> list[str]:
        """The titles of the commits of main, newest first."""
        return self.repositories[repo_id].find("main").titles

    def fail(self, kind: Kind, **details: Any) -> None:
        """Add a `Fault`; to each request, only the oldest matching one that is not used up applies."""
        self._faults.append(Fault(kind, **details))

    def heal(self) -> None:
        """Remove all faults; a connection that stalls already keeps stalling."""
        self._faults.clear()

    def _take(self, request: Request) -> Fault | None:
        """Record a request, and return the fault that applies to it."""
        with self.lock:
            self.requests.append(request)
            for fault in self._faults:
                hit = fault.method in (None, request.method) and re.search(fault.path, request.path)
                if hit and fault.times != 0:
                    fault.times = fault.times and fault.times - 1
                    return fault
            return None
