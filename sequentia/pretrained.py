"""What models have in all libraries of the hub: ``from_pretrained``, ``save_pretrained`` and ``push_to_hub``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self, Unpack

from . import artifact
from .artifact import Artifact
from .errors import MissingExtraError
from .options import check_int
from .resolve import DownloadOptions, locate


class Pretrained:
    """A model that is stored as an artifact.

    Args:
        source: a checked artifact, as :func:`sequentia.artifact.read` returns it.
        threads: number of threads that the model may use; one by default.
    """

    def __init__(self, source: Artifact, *, threads: int | None = None) -> None:
        self._artifact = source
        self._threads = 1 if threads is None else check_int("threads", threads, least=1)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        **options: Unpack[DownloadOptions],
    ) -> Self:
        """Load a model, as :func:`sequentia.load` does; this is the name that the hub's libraries use.

        Args:
            pretrained_model_name_or_path: as ``model`` of :func:`sequentia.load`.
            threads: as for :func:`sequentia.load`.
            options: as for :func:`sequentia.load`: ``revision``, ``cache_dir``, ``force_download``,
                ``local_files_only`` and ``token``.
        """
        return cls(artifact.read(locate(pretrained_model_name_or_path, **options)), threads=threads)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the model's artifact into a folder: all files or none. Other files in the folder are kept.

        Raises:
            ArtifactError: if the files that the model was loaded from are missing or have changed, or if the folder
                contains another project's ``config.json`` or ``README.md``.
        """
        source, config = self._artifact.folder, self._artifact.config
        files = {name: artifact.read_listed(source, name, config) for name in config.files}
        card = artifact.read_card(source)
        files |= {} if card is None else {artifact.CARD: card}
        artifact.write(Path(save_directory), config, files, artifact.read_pictures(source))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        page: bool = False,
        license: str | None = None,  # noqa: A002 - the hub's own word
        language: str | Sequence[str] | None = None,
        datasets: str | Sequence[str] | None = None,
    ) -> str:
        """Publish the model's artifact, as it was loaded, in a repository of the hub; needs the extra ``[train]``.

        This compares the graph with the weights once more, writes a new card, and makes one commit, or none if nothing
        has changed.

        Args:
            repo_id: ``owner/name``; created if it does not exist.
            commit_message: title of the commit; by default one that names the model.
            private: whether a new repository is private; it is an error if an existing one differs.
            token: a token that may write; by default the stored one, or the variable ``HF_TOKEN``.
            revision: a branch, created if it does not exist; ``main`` by default.
            create_pr: open a pull request instead of committing to the branch.
            page: also publish ``index.html``, a page that invents names in a browser; see ``sequentia page``. Without
                it, a page that is there stays as it is.
            license: for the card, an identifier of the hub such as ``mit``; by default that of the present card.
            language: for the card, ISO 639 codes; by default those of the present card.
            datasets: for the card, datasets on the hub; by default those of the present card.

        Returns:
            The URL of the repository, of its branch or of the pull request.

        Raises:
            MissingExtraError: if the extra ``[train]`` is missing, or the source folder hides the installed package.
            ArtifactError: if the files that it was loaded from are no longer there or have changed.
            ExportError: if the graph and the weights are not the same model.
            OptionError: if an option is out of its range or contradicts another.
            HubError: if the hub cannot be reached or refuses.
        """
        try:
            from .export import CardFacts, publish
        except ModuleNotFoundError as error:
            if error.name != f"{__package__}.export":
                raise
            raise MissingExtraError.in_source_folder() from error
        return publish(
            self._artifact.folder,
            repo_id,
            CardFacts.from_values(license, language, datasets),
            commit_message=commit_message,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            page=page,
        ).url
