"""Publish an artifact folder as a repository of the hub."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml  # type: ignore[import-untyped]
from huggingface_hub import (
    CardData,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    ModelCardData,
    ModelInfo,
    constants,
    get_session,
)
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from sequentia import artifact, hub
from sequentia.artifact import CARD, CONFIG, FILES, PICTURES, WEIGHTS, Artifact
from sequentia.errors import ArtifactError, ModelNotFoundError, OptionError
from sequentia.hub_cache import snapshot_at
from sequentia.page import page as page_of
from sequentia.session import Session

from .card import model_card
from .origins import CardFacts
from .parity import check_parity

PAGE: Final = "index.html"
"""The path of a page in a repository: a static web server shows it, and so does a static Space of the hub."""

_MAIN: Final = constants.DEFAULT_REVISION
_TIMEOUT: Final = 6 * constants.HF_HUB_DOWNLOAD_TIMEOUT  # seconds
_OUR_FILES: Final = {CONFIG, CARD, *FILES, *hub.PICTURE_PATHS}


@dataclass(frozen=True)
class Published:
    """The result of publishing.

    Attributes:
        url: the address of the repository, of the branch or of the pull request.
        commit: the hash of the commit.
        new: whether the commit is new; it is not if nothing has changed.
    """

    url: str
    commit: str
    new: bool


def check(folder: Path) -> Artifact:
    """Read an artifact with all checks: its files, its graph, and its graph against its weights.

    Raises:
        ModelNotFoundError: if the folder holds no artifact.
        ArtifactError: if a file of the artifact is damaged or inconsistent.
        ExportError: if its graph and its weights are not the same model.
    """
    read = artifact.read(folder)
    Session(read)
    weights = artifact.read_listed(folder, WEIGHTS, read.config)
    check_parity(read.config, weights, read.graph)
    return read


def assemble(checked: Artifact, repo_id: str, facts: CardFacts, *, page: bool = False) -> dict[str, bytes]:
    """Return the files of an artifact's repository by path: the artifact with a new card, its pictures, and its page.

    Args:
        checked: the artifact.
        repo_id: the repository, for the card.
        facts: what the card says; a missing fact is taken from the artifact's present card.
        page: whether there is a page.
    """
    folder, config = checked.folder, checked.config
    files = {name: artifact.read_listed(folder, name, config) for name in config.files}
    pictures = artifact.read_pictures(folder)
    told = facts.or_else(CardFacts.of(_present(folder)))
    card = model_card(checked, pictures, repo_id=repo_id, facts=told)
    files[CARD] = card.encode()
    packed = artifact.pack(folder, config, files) | {f"{PICTURES}/{name}": data for name, data in pictures.items()}
    if page:
        packed[PAGE] = page_of(checked).encode()
    return packed


def _present(folder: Path) -> CardData | None:
    """Return the metadata of a folder's card, which anyone may have edited, or None without a card or metadata.

    Raises:
        ArtifactError: if they are damaged: what they say of the license would be lost.
    """
    card = artifact.read_card(folder)
    try:
        text = "" if card is None else card.decode()
        if not REGEX_YAML_BLOCK.search(text):  # the client would log a warning
            return None
        return ModelCard(text, ignore_metadata_errors=True).data
    except (ValueError, yaml.YAMLError) as error:
        raise ArtifactError.at(
            folder / CARD,
            expected="a model card, with metadata in YAML",
            found=str(error),
            advice="mend the metadata, or delete the file",
        ) from error


def publish(
    folder: Path,
    repo_id: str,
    facts: CardFacts,
    *,
    revision: str | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    page: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
    announce: Callable[[Mapping[str, bytes]], None] = lambda _files: None,
) -> Published:
    """Publish an artifact in one commit, which also removes the files that only an earlier artifact had.

    :meth:`sequentia.SequenceModel.push_to_hub` documents the options and the errors.

    Args:
        folder: the artifact.
        repo_id: the repository.
        facts: for the card; a missing fact stays as it is in the repository's card, or else in the artifact's.
        revision: a branch.
        private: whether a new repository is private.
        create_pr: open a pull request.
        page: also publish a page that invents names in a browser, as ``index.html``; without it, a page that is there
            stays as it is.
        commit_message: the title of the commit.
        token: a token that may write.
        announce: called with the files before any of them is sent.
    """
    branch, api = hub.check_revision(_MAIN if revision is None else revision), hub.client(token)
    if create_pr and branch != _MAIN:
        raise OptionError("a pull request goes to main: leave out revision", option="revision", value=revision)
    checked = check(folder)
    cached = snapshot_at(folder)
    if cached is not None:  # loading from a repository fetches no pictures
        with suppress(ModelNotFoundError):
            hub.fetch(cached.repo_id, revision=cached.revision, cache_dir=cached.cache_dir, token=token, pictures=True)
    files = assemble(checked, repo_id, facts.or_else(CardFacts.of(_card_data(api, repo_id, branch))), page=page)
    announce(files)
    with hub.translated_errors(repo_id, repo_id), _timeout():
        before = _prepare(api, repo_id, branch, private)
        old = {file.rfilename for file in before.siblings or []} & _OUR_FILES - files.keys()
        commit = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(path, data) for path, data in files.items()),
                *(CommitOperationDelete(path) for path in sorted(old)),
            ],
            commit_message=commit_message or f"Publish {checked.config.name}",
            revision=None if branch == _MAIN else branch,
            create_pr=create_pr,
        )
    address = f"{constants.ENDPOINT}/{repo_id}"
    url = commit.pr_url or (address if branch == _MAIN else f"{address}/tree/{branch}")
    return Published(url=url, commit=commit.oid, new=commit.oid != before.sha)


def _card_data(api: HfApi, repo_id: str, branch: str) -> ModelCardData | None:
    """Return the metadata of a repository's card, or None if there is no such repository, branch or card."""
    try:
        with hub.translated_errors(repo_id, repo_id):
            return api.model_info(repo_id, revision=branch, timeout=hub.TIMEOUT).card_data
    except ModelNotFoundError:
        return None


def _prepare(api: HfApi, repo_id: str, branch: str, private: bool | None) -> ModelInfo:
    """Create the repository and the branch if they do not exist, and return what the branch holds."""
    api.create_repo(repo_id, private=private, exist_ok=True)
    info = api.model_info(repo_id, timeout=hub.TIMEOUT)
    if private is not None and info.private != private:
        raise OptionError(
            f"{repo_id} is {'private' if info.private else 'public'} already: change that at "
            f"{constants.ENDPOINT}/{repo_id}/settings, or leave out private",
            option="private",
            value=private,
        )
    if branch == _MAIN:
        return info
    api.create_branch(repo_id, branch=branch, exist_ok=True)
    return api.model_info(repo_id, revision=branch, timeout=hub.TIMEOUT)


@contextmanager
def _timeout() -> Iterator[None]:
    """Have the client give up after a minute without an answer; by default it waits forever."""
    session = get_session()
    before = session.timeout
    session.timeout = _TIMEOUT
    try:
        yield
    finally:
        session.timeout = before
