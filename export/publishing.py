"""From an artifact folder to a repository of the hub."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from huggingface_hub import ModelCard
from safetensors.torch import load

from sequentia import artifact, hub
from sequentia.artifact import CARD, PICTURES, WEIGHTS, Artifact
from sequentia.errors import ModelNotFoundError
from sequentia.hub import Published
from sequentia.session import Session
from sequentia.training.kinds import Network, network_of

from .card import CardFacts, model_card
from .parity import check_parity


def check(folder: Path) -> Artifact:
    """Read an artifact as strictly as may be: its files, its graph, and its graph beside its weights.

    Raises:
        ModelNotFoundError: if the folder holds no artifact.
        ArtifactError: if a file of the artifact is not what it must be.
        ExportError: if its graph and its weights are not the same model.
    """
    read = artifact.read(folder)
    Session(read)
    weights = artifact.read_listed(folder, WEIGHTS, read.config)
    check_parity(_network(read, weights), read.config, weights, read.graph)
    return read


def assemble(checked: Artifact, repo_id: str, facts: CardFacts) -> dict[str, bytes]:
    """Return the files that a repository of an artifact holds, by path: the artifact with a new card, and its pictures.

    Args:
        checked: the artifact.
        repo_id: the repository, for the card.
        facts: what the card is told; where it is told nothing, the artifact's present card is asked.
    """
    folder, config = checked.folder, checked.config
    files = {name: artifact.read_listed(folder, name, config) for name in config.files}
    pictures = artifact.read_pictures(folder)
    told = facts.or_else(CardFacts.of(ModelCard(files[CARD].decode(), ignore_metadata_errors=True).data))
    card = model_card(checked, pictures, repo_id=repo_id, facts=told)
    files[CARD] = card.encode()
    return artifact.pack(folder, config, files) | {f"{PICTURES}/{name}": data for name, data in pictures.items()}


def _network(read: Artifact, stored: bytes) -> Network:
    """Return the network that an artifact's weights are of."""
    config = read.config
    network = network_of(config.architecture, config.block_size, read.vocabulary.size)
    network.load(load(stored))
    return network.eval()


def publish(
    folder: Path,
    repo_id: str,
    facts: CardFacts,
    *,
    revision: str | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
    announce: Callable[[Mapping[str, bytes]], None] = lambda _files: None,
) -> Published:
    """Publish an artifact in one commit; :meth:`sequentia.SequenceModel.push_to_hub` says what the arguments are.

    Args:
        folder: the artifact.
        repo_id: the repository.
        facts: for the card; what is left out stays as the repository's card has it, or the artifact's.
        revision: a branch.
        private: whether a new repository is private.
        create_pr: open a pull request.
        commit_message: the title of the commit.
        token: one that may write.
        announce: called with the files before any of them is sent.
    """
    checked = check(folder)
    cached = hub.cached_at(folder)
    if cached is not None:  # what was loaded from a repository came without its pictures
        with suppress(ModelNotFoundError):
            hub.fetch(cached.repo_id, cached.revision, cache_dir=folder.parents[2], token=token, pictures=True)
    known = facts.or_else(CardFacts.of(hub.card_data(repo_id, revision, token=token)))
    files = assemble(checked, repo_id, known)
    announce(files)
    return hub.upload(
        files,
        repo_id,
        revision=revision,
        private=private,
        create_pr=create_pr,
        commit_message=commit_message or f"Publish {checked.config.name}",
        token=token,
    )
