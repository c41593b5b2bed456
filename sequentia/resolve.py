"""Find the folder of a model that is named by a path, as a bundled model, or as a repository on the hub."""

import os
import re
from pathlib import Path
from typing import Final, TypedDict, Unpack

from . import artifact
from .errors import ModelNotFoundError, OptionError

DEFAULT_MODEL: Final = "names"
_REPOSITORY: Final = re.compile(r"(?!\.{1,2}/)[\w.-]+/[\w.-]+(@.+)?", re.ASCII)


class DownloadOptions(TypedDict, total=False):
    """The keyword options for a model on the hub; :func:`sequentia.load` documents them."""

    revision: str | None
    cache_dir: str | os.PathLike[str] | None
    force_download: bool
    local_files_only: bool
    token: str | bool | None


def locate(model: str | os.PathLike[str] | None = None, **options: Unpack[DownloadOptions]) -> Path:
    """Return the folder of a model, downloaded if it is on the hub; :func:`sequentia.load` documents the arguments."""
    model = requested_model(model)
    folder = local_folder(model)
    if folder is not None:
        revision = options.get("revision")
        if revision is not None:
            raise OptionError(
                f"{model or folder.name!r} is a folder or a bundled model, which has no revisions",
                option="revision",
                value=revision,
            )
        return folder
    if model is not None and _is_file(model):
        raise ModelNotFoundError(f"{model} is a file: give the folder that holds the model", model=model)
    if model is None or not _REPOSITORY.fullmatch(model):
        raise ModelNotFoundError(
            f"no model {model!r}: it is neither a folder, nor a bundled model "
            f"({', '.join(artifact.bundled_models())}), nor owner/name of a repository on the hub",
            model=str(model),
        )
    from .hub import fetch

    return fetch(model, **options)


def requested_model(model: str | os.PathLike[str] | None) -> str | None:
    """Return the model that the caller or the environment names, or None for the bundled default."""
    if model is None:
        return os.environ.get("SEQUENTIA_MODEL") or None
    if not isinstance(model, str | os.PathLike):
        raise OptionError(f"model must be a name or a path, not {model!r}", option="model", value=model)
    return os.fspath(model)


def local_folder(model: str | None) -> Path | None:
    """Return the folder of a model that is bundled or a folder already, or None for any other."""
    if model is None:
        return artifact.BUNDLED / DEFAULT_MODEL
    if not model:
        return None
    folder = Path(model)
    try:
        if model in artifact.bundled_models() and not (folder / artifact.CONFIG).is_file():
            return artifact.BUNDLED / model
        return folder if folder.is_dir() else None
    except (OSError, ValueError):  # not a valid path, so not a folder
        return None


def _is_file(model: str) -> bool:
    try:
        return Path(model).is_file()
    except (OSError, ValueError):  # not a valid path
        return False
