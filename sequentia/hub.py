"""The Hugging Face hub: from a repository's id to a folder in the client's cache, and from an artifact to a repository.

The library ``huggingface_hub`` does the transport and keeps the cache
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache). What is added here is trust: only the files of an
artifact are fetched, their sizes are known before and their hashes checked after, a file that fails leaves the cache,
and a branch or tag points to a new commit only once all of that commit's files are there.
"""

import contextlib
import errno
import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCardData,
    ModelInfo,
    constants,
    get_session,
    get_token,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling

from . import __version__, artifact
from .artifact import CONFIG, FILES, MAX_BYTES, MAX_PICTURE_BYTES, PICTURES, SHOWN
from .errors import ArtifactError, HubError, ModelNotFoundError, OptionError, SequentiaError

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_BRANCH: Final = constants.DEFAULT_REVISION
_SECONDS: Final = constants.HF_HUB_ETAG_TIMEOUT
_SILENCE: Final = 6 * constants.HF_HUB_DOWNLOAD_TIMEOUT
_PATIENCE: Final = 3
_LONGEST_WAIT: Final = 60
_TOO_MANY_REQUESTS: Final = 429
_REFUSED: Final = {401, 403}
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PUBLISHED: Final = {CONFIG, *FILES, *(f"{PICTURES}/{name}" for name in SHOWN)}

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cached:
    """A repository's files in the cache.

    Attributes:
        repo_id: the repository.
        revision: the commit.
        size: bytes of the files.
    """

    repo_id: str
    revision: str
    size: int


def cached_at(folder: Path) -> Cached | None:
    """Return what a folder of the hub's cache holds, or None of another folder."""
    repository = folder.parent.parent.name.split("--")
    if folder.parent.name != "snapshots" or repository[0] != "models":
        return None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Cached(repo_id="/".join(repository[1:]), revision=folder.name, size=size)


# Fetching


def fetch(
    repo_id: str,
    revision: str | None = None,
    *,
    cache_dir: Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
    pictures: bool = False,
) -> Path:
    """Return the folder of the hub's cache with a repository's artifact, downloaded as far as it is not there.

    A commit that is in the cache needs no network. A branch or tag is looked up, unless the network is not to be used.
    If that fails, or the new commit cannot be downloaded or stored, the last known commit serves, with a warning. A
    token that the hub refuses is left out, with a warning, if the repository can be read without one.

    Args:
        repo_id: ``owner/name``, or ``owner/name@revision`` as in the hub's own URIs.
        revision: a branch, a tag or the full hash of a commit; ``main`` by default.
        cache_dir: where the client keeps its cache; its own default is ``~/.cache/huggingface/hub``.
        force_download: download also what the cache holds.
        local_files_only: do not use the network; as if the environment variable ``HF_HUB_OFFLINE`` were 1.
        token: for private and gated repositories; by default the one that is stored, or ``HF_TOKEN``.
        pictures: fetch those of the card too.

    Raises:
        OptionError: if an option is out of its range or contradicts another.
        ModelNotFoundError: if there is no such repository, revision or artifact, or it is not in the cache.
        ArtifactError: if the files are not what they must be.
        HubError: if the hub cannot be reached or refuses.
    """
    repo_id, _, at = repo_id.partition("@")
    if at and revision not in {None, at}:
        raise OptionError(f"{repo_id}@{at} and revision contradict each other", option="revision", value=revision)
    source = _Source(repo_id, _checked(at or revision or _BRANCH), cache_dir, force_download, _api(token))
    offline = local_files_only or constants.HF_HUB_OFFLINE
    if force_download and offline:
        raise OptionError(
            "force_download needs the network: leave out local_files_only, and unset HF_HUB_OFFLINE",
            option="force_download",
            value=force_download,
        )
    cached = None if force_download else source.cached()
    if cached is not None and (offline or (source.pinned and not pictures)):
        return cached
    if offline:
        raise ModelNotFoundError(
            f"{source} is not, or not as a whole, in the cache, and the network is not to be used: "
            f"run `sequentia info {source}` without local_files_only and HF_HUB_OFFLINE first",
            model=repo_id,
        )
    info = None
    try:
        source, info = source.reached(patience=0 if cached else _PATIENCE)
        if cached is not None and cached.name == info.sha and not pictures:
            return cached
        return source.download(info, pictures=pictures)
    except HubError as error:
        if cached is None or (pictures and info is not None):
            raise
        logger.warning("%s; going on with what is in the cache, commit %s", error, cached.name)
        return cached


def _checked(revision: str) -> str:
    """Return a revision that can be part of a path."""
    if re.search(r"[\s\\:\x00-\x1f]", revision) or not {"", ".", ".."}.isdisjoint(revision.split("/")):
        raise OptionError(f"{revision!r} cannot be a revision", option="revision", value=revision)
    return revision


def _api(token: str | bool | None) -> HfApi:
    if token is None:
        try:
            get_token()
        except OSError as error:  # where there is no home folder, say
            logger.warning("cannot read the hub's token (%s): going on without one", error)
            token = False
    return HfApi(token=token, library_name="sequentia", library_version=__version__)


@dataclass(frozen=True)
class _Source:
    """A revision of a repository, and how to get at it."""

    repo_id: str
    revision: str
    cache_dir: Path | None
    force: bool
    api: HfApi

    def __str__(self) -> str:
        return self.repo_id if self.revision == _BRANCH else f"{self.repo_id}@{self.revision}"

    @property
    def pinned(self) -> bool:
        return _COMMIT.fullmatch(self.revision) is not None

    def cached(self) -> Path | None:
        """Return the folder of the cache, if it holds the whole artifact."""
        config = self._held(CONFIG, self.revision)
        if config is None:
            return None
        folder = config.parent
        try:
            listed = artifact.read_config(folder)
            for name in listed.files:
                artifact.read_listed(folder, name, listed)
        except SequentiaError:
            return None
        return folder

    def reached(self, patience: int) -> tuple["_Source", ModelInfo]:
        """Ask the hub what the revision is; return how it answers, without the token if it refuses that, and what."""
        try:
            return self, self._info(patience)
        except HubError as error:
            if error.status not in _REFUSED or not self._sends_token():
                raise
            refusal = error
        anonymous = replace(self, api=_api(token=False))
        try:
            info = anonymous._info(patience)
        except SequentiaError:
            raise refusal from refusal.__cause__
        logger.warning("%s; going on without the token", refusal)
        return anonymous, info

    def _sends_token(self) -> bool:
        return isinstance(self.api.token, str) or (self.api.token is not False and get_token() is not None)

    def _info(self, patience: int) -> ModelInfo:
        """Ask the hub what the revision is, and what files it has."""
        return self._ask(
            lambda: self.api.model_info(self.repo_id, revision=self.revision, timeout=_SECONDS, files_metadata=True),
            patience,
        )

    def download(self, info: ModelInfo, *, pictures: bool) -> Path:
        """Download the files of the artifact, ``config.json`` first, and return their folder."""
        files = {file.rfilename: file for file in info.siblings or []}
        commit = str(info.sha)
        if not _COMMIT.fullmatch(commit):
            raise HubError(f"{self}: no proper answer from {constants.ENDPOINT}", repo_id=self.repo_id)
        if CONFIG not in files:
            raise ModelNotFoundError(f"{self} holds no {CONFIG}: it is no model of Sequentia", model=self.repo_id)
        folder = self._file(commit, files[CONFIG], MAX_BYTES[CONFIG]).parent
        config = artifact.read_config(folder)
        for name, record in config.files.items():
            found = f"{files[name].size}" if name in files else "no such file in the repository"
            if found != f"{record.size}":
                raise ArtifactError.at(
                    folder / name,
                    expected=f"{record.size} bytes, as {CONFIG} says",
                    found=f"{found}: have its owner push {self} again, or choose an earlier revision",
                )
        for name in config.files:
            self._file(commit, files[name], MAX_BYTES[name])
        for name in sorted(_PUBLISHED.difference([CONFIG], FILES) & files.keys()) if pictures else ():
            self._file(commit, files[name], MAX_PICTURE_BYTES)
        if not self.pinned:
            self._point_to(folder)
        return folder

    def _file(self, commit: str, file: RepoSibling, most: int) -> Path:
        """Return the path of a file in the cache, downloaded if it is not there or not what the hub says it is."""
        name = file.rfilename
        if file.size is None or file.size > most:
            raise ArtifactError.at(Path(self.repo_id, name), expected=f"at most {most} bytes", found=f"{file.size}")
        for force in (self.force, True):
            path = self._downloaded(name, commit, force=force)
            if _digest_like(file, path) == _digest_of(file):
                return path
        with contextlib.suppress(OSError):  # a damaged file must not stay where the next load would find it
            blob = path.parent / path.readlink() if path.is_symlink() else path
            path.unlink()
            blob.unlink(missing_ok=True)
        raise ArtifactError.at(
            path, expected="the file of which the hub gives the hash", found="other bytes, twice: try again later"
        )

    def _downloaded(self, name: str, commit: str, *, force: bool) -> Path:
        if force or self._held(name, commit) is None:
            # The client names files by what the server says, and tries for minutes where it stalls: look before.
            url = hf_hub_url(self.repo_id, name, revision=commit)
            head = self._ask(lambda: self.api.get_hf_file_metadata(url=url, timeout=_SECONDS), _PATIENCE)
            if head.commit_hash != commit or not re.fullmatch(r"[\w-]+", head.etag or ""):
                raise HubError(f"{self}: no proper answer from {url}", repo_id=self.repo_id)
        return self._ask(
            lambda: Path(
                self.api.hf_hub_download(
                    self.repo_id, name, revision=commit, cache_dir=self.cache_dir, force_download=force
                )
            )
        )

    def _held(self, name: str, revision: str) -> Path | None:
        """Return the path of a file in the cache."""
        with self._translated():
            path = try_to_load_from_cache(self.repo_id, name, cache_dir=self.cache_dir, revision=revision)
        return Path(path) if isinstance(path, str) else None

    def _point_to(self, folder: Path) -> None:
        """Have the branch or tag mean this commit for those who are offline."""
        from ._files import write_file

        reference = folder.parents[1] / "refs" / self.revision
        with contextlib.suppress(OSError):  # it may be read-only, or another process may be doing the same
            reference.parent.mkdir(parents=True, exist_ok=True)
            write_file(reference, folder.name.encode())

    def _ask(self, request: Callable[[], T], patience: int = 0) -> T:
        """Make a request, again while the server is busy or fails; what goes wrong becomes an error of this library."""
        for wait in (2**i for i in range(patience)):
            try:
                with self._translated():
                    return request()
            except HubError as error:
                if error.status is None or (error.status < 500 and error.status != _TOO_MANY_REQUESTS):
                    raise
                asked = _wait_asked_for(error)
                if asked > _LONGEST_WAIT:
                    raise
                time.sleep(max(wait, asked))
        with self._translated():
            return request()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(str(self), self.repo_id):
            yield


def _digest_of(file: RepoSibling) -> str | None:
    """Return the hash that the hub gives of a file: SHA-256, or where git keeps it that of its blob."""
    return file.blob_id if file.lfs is None else file.lfs.sha256


def _digest_like(file: RepoSibling, path: Path) -> str:
    digest = hashlib.sha256()
    if file.lfs is None:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as data:
        return hashlib.file_digest(data, lambda: digest).hexdigest()


# Publishing


@dataclass(frozen=True)
class Published:
    """What became of a push.

    Attributes:
        url: of the repository, of the branch or of the pull request.
        commit: its hash.
        new: whether there is a new commit; there is none where nothing has changed.
    """

    url: str
    commit: str
    new: bool


def card_data(repo_id: str, revision: str | None = None, *, token: str | bool | None = None) -> ModelCardData | None:
    """Return the metadata of a repository's card, None if there is no such repository, revision or card."""
    try:
        with translated(repo_id, repo_id):
            return _api(token).model_info(repo_id, revision=_checked(revision or _BRANCH), timeout=_SECONDS).card_data
    except ModelNotFoundError:
        return None


def upload(
    files: Mapping[str, bytes],
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    commit_message: str,
    token: str | bool | None = None,
) -> Published:
    """Put files into a repository in one commit, and take out those of an earlier artifact that are not among them.

    Args:
        files: contents by path.
        repo_id: ``owner/name``; made if it does not exist.
        revision: a branch, made if it does not exist; ``main`` by default.
        private: whether a new repository is private; an old one must agree with it.
        create_pr: open a pull request instead of committing to the branch.
        commit_message: the title of the commit.
        token: one that may write; by default the stored one, or ``HF_TOKEN``.

    Raises:
        OptionError: if an option is out of its range, or the repository is not as private as it should be.
        HubError: if the hub cannot be reached or refuses.
    """
    branch, api = _checked(_BRANCH if revision is None else revision), _api(token)
    if create_pr and branch != _BRANCH:
        raise OptionError("a pull request goes to main: leave out revision", option="revision", value=revision)
    with translated(repo_id, repo_id), _unless_silent():
        api.create_repo(repo_id, private=private, exist_ok=True)
        info = api.model_info(repo_id, timeout=_SECONDS)
        if private is not None and info.private != private:
            is_so = "private" if info.private else "public"
            raise OptionError(
                f"{repo_id} is {is_so} already: change that at {constants.ENDPOINT}/{repo_id}/settings, or leave out "
                "private",
                option="private",
                value=private,
            )
        if branch != _BRANCH and not create_pr:
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        before = api.model_info(repo_id, revision=branch, timeout=_SECONDS)
        stale = {file.rfilename for file in before.siblings or []} & _PUBLISHED - files.keys()
        commit = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(path, data) for path, data in files.items()),
                *(CommitOperationDelete(path) for path in sorted(stale)),
            ],
            commit_message=commit_message,
            revision=None if branch == _BRANCH else branch,
            create_pr=create_pr,
        )
    place = f"{constants.ENDPOINT}/{repo_id}"
    url = commit.pr_url or (place if branch == _BRANCH else f"{place}/tree/{branch}")
    return Published(url=url, commit=commit.oid, new=commit.oid != before.sha)


@contextlib.contextmanager
def _unless_silent() -> Iterator[None]:
    """Have the client give up on a server that is silent for a minute; by itself it would wait for ever."""
    session = get_session()
    before = session.timeout
    session.timeout = _SILENCE
    try:
        yield
    finally:
        session.timeout = before


# What goes wrong


@contextlib.contextmanager
def translated(what: str, repo_id: str) -> Iterator[None]:
    """Raise an error of this library for any that the client raises."""
    try:
        yield
    except SequentiaError:
        raise
    except Exception as error:
        raise _translation(error, what, repo_id) from error


def _translation(error: BaseException, what: str, repo_id: str) -> SequentiaError:
    log_in = "log in by `hf auth login`, or set HF_TOKEN"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, HFValidationError):
        return OptionError(f"{repo_id!r} cannot be a repository: {error}", option="repo_id", value=repo_id)
    if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
        return ModelNotFoundError(
            f"no model {what}: there is neither such a folder here, nor such a repository on the hub that may be read "
            f"with your token, or without one; check the name, or, if it is private, {log_in}",
            model=repo_id,
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelNotFoundError(
            f"{what}: the repository has no such revision; {constants.ENDPOINT}/{repo_id} shows what it has",
            model=repo_id,
        )
    if isinstance(error, GatedRepoError):
        reason = f"the repository is gated: ask for access at {constants.ENDPOINT}/{repo_id}, then {log_in}"
    elif status in {401, 403}:
        reason = f"the hub refused ({status}): there is no token, or it is not valid, or may not do this; {log_in}"
    elif status == _TOO_MANY_REQUESTS:
        reason = f"the hub asks to wait{_in_seconds(error)} (429): too many requests"
    elif status is not None:
        reason = f"the hub answered {status}: {_first_line(error)}; try again later"
    elif isinstance(error, OSError) and (error.filename is not None or error.errno in _NO_ROOM):
        where = error.filename or constants.HF_HUB_CACHE
        reason = (
            f"cannot store it in {where}: {error.strerror}; make room, or choose another folder by cache_dir, "
            "HF_HUB_CACHE or HF_HOME"
        )
    elif isinstance(error, OfflineModeIsEnabled):
        reason = "the variable HF_HUB_OFFLINE is set: unset it to use the network"
    elif error.__cause__ is not None and not isinstance(error.__cause__, SequentiaError):
        return _translation(error.__cause__, what, repo_id)
    else:
        reason = (
            f"no proper answer from the hub, {constants.ENDPOINT} ({type(error).__name__}: {_first_line(error)}); "
            "check the connection and HF_ENDPOINT, and try again: what has arrived is kept"
        )
    return HubError(f"{what}: {reason}", repo_id=repo_id, status=status)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")


def _wait_asked_for(error: BaseException) -> int:
    """Return for how many seconds the server asks to be left alone, if it does."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    seconds = "" if response is None else response.headers.get("Retry-After", "")
    return int(seconds) if seconds.isdecimal() else 0


def _in_seconds(error: BaseException) -> str:
    seconds = _wait_asked_for(error)
    return f" {seconds} seconds" if seconds else ""
