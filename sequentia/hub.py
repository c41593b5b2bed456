"""Download models from the Hugging Face hub into its client's cache.

The library ``huggingface_hub`` transfers the files and manages the cache
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache). This module decides what to trust: it downloads only
the files of an artifact, checks their sizes before and their hashes after, and deletes a damaged file from the cache. A
branch or tag refers to a new commit only once all files of that commit are there.

``huggingface_hub.snapshot_download`` would not do: it moves the branch first, checks no hash, and where a server stalls
or asks for an hour's patience, it waits.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from huggingface_hub import HfApi, ModelInfo, constants, get_token, hf_hub_url, try_to_load_from_cache
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
from .artifact import CARD, CONFIG, MAX_BYTES, MAX_PICTURE_BYTES, PICTURES, SHOWN
from .errors import ArtifactError, HubError, ModelNotFoundError, OptionError, SequentiaError
from .hub_cache import remove_file, set_reference

TIMEOUT: Final = constants.HF_HUB_ETAG_TIMEOUT
"""Seconds until a request for metadata fails."""

PICTURE_PATHS: Final = tuple(f"{PICTURES}/{name}" for name in SHOWN)

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_ETAG: Final = re.compile(r"[\w-]+")
_RETRIES: Final = 3
_MAX_WAIT: Final = 60  # seconds
_TOO_MANY_REQUESTS: Final = 429
_REFUSED: Final = {401, 403}
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

T = TypeVar("T")
logger = logging.getLogger(__name__)


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
    pictures: bool = False,
) -> Path:
    """Return the folder of a repository's artifact in the client's cache, after downloading what is missing there.

    A commit that is in the cache needs no network. A branch or tag is looked up on the hub, unless the network is
    switched off. If the hub fails, or the new commit cannot be downloaded or stored, the last cached commit is used,
    with a warning. If the hub refuses the token but the repository is public, the token is left out, with a warning.

    Args:
        repo_id: ``owner/name``, or ``owner/name@revision`` as in the hub's own URIs.
        revision: as for :func:`sequentia.load`.
        cache_dir: as for :func:`sequentia.load`.
        force_download: as for :func:`sequentia.load`.
        local_files_only: as for :func:`sequentia.load`.
        token: as for :func:`sequentia.load`.
        pictures: also fetch the pictures of the model card.

    Raises:
        OptionError: if an option is out of its range or contradicts another.
        ModelNotFoundError: if there is no such repository, revision or artifact, or it is not in the cache.
        ArtifactError: if a file is damaged or contradicts ``config.json``.
        HubError: if the hub cannot be reached or refuses.
    """
    repo_id, _, at = repo_id.partition("@")
    if at and revision not in {None, at}:
        raise OptionError(f"{repo_id}@{at} and revision contradict each other", option="revision", value=revision)
    source = _Source(
        repo_id,
        check_revision(at or revision or constants.DEFAULT_REVISION),
        None if cache_dir is None else Path(cache_dir),
        force_download,
        client(token),
    )
    offline = local_files_only or constants.HF_HUB_OFFLINE
    if force_download and offline:
        raise OptionError(
            "force_download needs the network: leave out local_files_only, and unset HF_HUB_OFFLINE",
            option="force_download",
            value=force_download,
        )
    cached = None if force_download else source.cached()
    if cached is not None and (offline or (source.is_pinned and not pictures)):
        return cached
    if offline:
        raise ModelNotFoundError(
            f"{source} is not completely in the cache, and the network is switched off: "
            f"first run `sequentia info {source}` without local_files_only and HF_HUB_OFFLINE",
            model=repo_id,
        )
    info = None
    try:
        source, info = source.look_up(retries=0 if cached else _RETRIES)
        if cached is not None and cached.name == info.sha and not pictures:
            return cached
        return source.download(info, pictures=pictures)
    except HubError as error:
        if cached is None or (pictures and info is not None):
            raise
        logger.warning("%s; using commit %s from the cache instead", error, cached.name)
        return cached


def check_revision(revision: str) -> str:
    """Return a revision if it can be part of a path.

    Raises:
        OptionError: if it cannot.
    """
    if re.search(r"[\s\\:\x00-\x1f]", revision) or not {"", ".", ".."}.isdisjoint(revision.split("/")):
        raise OptionError(f"{revision!r} is not a valid revision", option="revision", value=revision)
    return revision


def client(token: str | bool | None) -> HfApi:
    """Return a client of the hub, without a token if the stored one cannot be read."""
    if token is None:
        try:
            get_token()
        except OSError as error:  # for example without a home folder
            logger.warning("cannot read the hub's token (%s): continuing without one", error)
            token = False
    return HfApi(token=token, library_name="sequentia", library_version=__version__)


@dataclass(frozen=True)
class _Source:
    """A revision of a repository, and the client to get it with."""

    repo_id: str
    revision: str
    cache_dir: Path | None
    force: bool
    api: HfApi

    def __str__(self) -> str:
        return self.repo_id if self.revision == constants.DEFAULT_REVISION else f"{self.repo_id}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        return _COMMIT.fullmatch(self.revision) is not None

    def cached(self) -> Path | None:
        """Return the folder in the cache, or None if a file is missing or damaged."""
        config = self._cached_file(CONFIG, self.revision)
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

    def look_up(self, retries: int) -> tuple["_Source", ModelInfo]:
        """Ask the hub for the revision's commit and files; also return this source, without a token that is refused."""
        try:
            return self, self._info(retries)
        except HubError as error:
            if error.status not in _REFUSED or not self._sends_token():
                raise
            refusal = error
        anonymous = replace(self, api=client(token=False))
        try:
            info = anonymous._info(retries)
        except SequentiaError:
            raise refusal from refusal.__cause__
        logger.warning("%s; continuing without the token", refusal)
        return anonymous, info

    def _sends_token(self) -> bool:
        return isinstance(self.api.token, str) or (self.api.token is not False and get_token() is not None)

    def _info(self, retries: int) -> ModelInfo:
        return self._request(
            lambda: self.api.model_info(self.repo_id, revision=self.revision, timeout=TIMEOUT, files_metadata=True),
            retries,
        )

    def download(self, info: ModelInfo, *, pictures: bool) -> Path:
        """Download the files of the artifact, ``config.json`` first, and return their folder."""
        files = {file.rfilename: file for file in info.siblings or []}
        commit = str(info.sha)
        if not _COMMIT.fullmatch(commit):
            raise HubError(f"{self}: no valid answer from {constants.ENDPOINT}", repo_id=self.repo_id)
        if CONFIG not in files:
            raise ModelNotFoundError(f"{self} has no {CONFIG}, so it is not a Sequentia model", model=self.repo_id)
        folder = self._download_file(commit, files[CONFIG]).parent
        config = artifact.read_config(folder)
        for name, record in config.files.items():
            found = f"{files[name].size}" if name in files else "no such file in the repository"
            if found != f"{record.size}":
                raise ArtifactError.at(
                    folder / name,
                    expected=f"{record.size} bytes, as {CONFIG} says",
                    found=found,
                    advice=f"have its owner push {self} again, or choose an earlier revision",
                )
        for name in (*config.files, CARD, *(PICTURE_PATHS if pictures else ())):
            if name in files:
                self._download_file(commit, files[name])
        if not self.is_pinned:
            set_reference(folder, self.revision)
        return folder

    def _download_file(self, commit: str, file: RepoSibling) -> Path:
        """Return the path of a file in the cache; download it if it is missing or its hash is not the hub's."""
        name = file.rfilename
        max_bytes = MAX_BYTES.get(name, MAX_PICTURE_BYTES)
        if file.size is None or file.size > max_bytes:
            raise ArtifactError.at(
                Path(self.repo_id, name),
                expected=f"at most {max_bytes} bytes",
                found=f"{file.size}",
                advice="choose another revision or model",
            )
        for force in (self.force, True):
            path = self._fetched(name, commit, force=force)
            if _digest_like(file, path) == _digest_of(file):
                return path
        remove_file(path)  # or the next load would find it
        raise ArtifactError.at(
            path, expected="the bytes whose hash the hub gives", found="other bytes, twice", advice="try again later"
        )

    def _fetched(self, name: str, commit: str, *, force: bool) -> Path:
        """Return the path of a file in the cache, unchecked."""
        if force or self._cached_file(name, commit) is None:
            # The client names a file in the cache by the server's ETag, whatever that is. If the server stalls or asks
            # it to wait, it waits, for minutes or hours. So ask for the metadata first.
            url = hf_hub_url(self.repo_id, name, revision=commit)
            head = self._request(lambda: self.api.get_hf_file_metadata(url=url, timeout=TIMEOUT), _RETRIES)
            if head.commit_hash != commit or not _ETAG.fullmatch(head.etag or ""):
                raise HubError(f"{self}: no valid answer from {url}", repo_id=self.repo_id)
        return self._request(
            lambda: Path(
                self.api.hf_hub_download(
                    self.repo_id, name, revision=commit, cache_dir=self.cache_dir, force_download=force
                )
            )
        )

    def _cached_file(self, name: str, revision: str) -> Path | None:
        with translated_errors(str(self), self.repo_id):
            path = try_to_load_from_cache(self.repo_id, name, cache_dir=self.cache_dir, revision=revision)
        return Path(path) if isinstance(path, str) else None

    def _request(self, request: Callable[[], T], retries: int = 0) -> T:
        """Make a request with this library's errors, and repeat it while the server is busy or fails."""
        for wait in (2**i for i in range(retries)):
            try:
                with translated_errors(str(self), self.repo_id):
                    return request()
            except HubError as error:
                is_temporary = error.status is not None and (error.status >= 500 or error.status == _TOO_MANY_REQUESTS)
                retry_after = _retry_after(error)
                if not is_temporary or retry_after > _MAX_WAIT:
                    raise
                time.sleep(max(wait, retry_after))
        with translated_errors(str(self), self.repo_id):
            return request()


def _digest_of(file: RepoSibling) -> str | None:
    """Return the hash that the hub gives for a file: SHA-256 if it is in LFS, else the hash of its git blob."""
    return file.blob_id if file.lfs is None else file.lfs.sha256


def _digest_like(file: RepoSibling, path: Path) -> str:
    """Return the hash of a file on disk, of the kind that the hub gives."""
    digest = hashlib.sha256()
    if file.lfs is None:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as data:
        return hashlib.file_digest(data, lambda: digest).hexdigest()


# Errors


@contextlib.contextmanager
def translated_errors(what: str, repo_id: str) -> Iterator[None]:
    """Turn any error of the client into one of this library's.

    Args:
        what: the repository, perhaps with its revision, for the message.
        repo_id: the repository.
    """
    try:
        yield
    except SequentiaError:
        raise
    except Exception as error:
        raise _translation(error, what, repo_id) from error


def _translation(error: BaseException, what: str, repo_id: str) -> SequentiaError:
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, HFValidationError):
        return OptionError(f"{repo_id!r} is not a valid repository name: {error}", option="repo_id", value=repo_id)
    if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
        return ModelNotFoundError(
            f"no model {what}: there is no such folder here, and no such repository on the hub that may be read with "
            f"your token, or without one; check the name, or, if it is private, {log_in}",
            model=repo_id,
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelNotFoundError(
            f"{what}: the repository has no such revision; see {constants.ENDPOINT}/{repo_id} for those it has",
            model=repo_id,
        )
    if isinstance(error, GatedRepoError):
        reason = f"the repository is gated: ask for access at {constants.ENDPOINT}/{repo_id}, then {log_in}"
    elif status in _REFUSED:
        reason = f"the hub refused ({status}): the token is missing or not valid, or does not allow this; {log_in}"
    elif status == _TOO_MANY_REQUESTS:
        seconds = _retry_after(error)
        reason = f"too many requests (429): the hub asks to wait{f' {seconds} seconds' if seconds else ''}"
    elif status is not None:
        reason = f"the hub answered {status}: {_first_line(error)}; try again later"
    elif isinstance(error, OSError) and (error.filename is not None or error.errno in _NO_ROOM):
        where = error.filename or constants.HF_HUB_CACHE
        reason = (
            f"cannot write {where}: {error.strerror}; make room, or choose another folder with cache_dir, HF_HUB_CACHE "
            "or HF_HOME"
        )
    elif isinstance(error, OfflineModeIsEnabled):
        reason = "the variable HF_HUB_OFFLINE is set: unset it to use the network"
    elif error.__cause__ is not None and not isinstance(error.__cause__, SequentiaError):
        return _translation(error.__cause__, what, repo_id)
    else:
        reason = (
            f"no valid answer from the hub, {constants.ENDPOINT} ({type(error).__name__}: {_first_line(error)}); "
            "check the connection and HF_ENDPOINT, and try again: complete files are kept"
        )
    return HubError(f"{what}: {reason}", repo_id=repo_id, status=status)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")


def _retry_after(error: BaseException) -> int:
    """Return how many seconds the server asks to wait, 0 if it does not."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    seconds = "" if response is None else response.headers.get("Retry-After", "")
    return int(seconds) if seconds.isdecimal() else 0
