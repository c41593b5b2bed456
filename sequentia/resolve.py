"""From the name of a model - a folder, a bundled model, a repository on the hub - to the folder of its files."""

import os
import re
from pathlib import Path
from typing import Final

from . import artifact
from .errors import ModelNotFoundError, OptionError

DEFAULT_MODEL: Final = "names"
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+(@.+)?", re.ASCII)


def locate(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Return the folder of a model, as :func:`load` understands its arguments; what is on the hub is fetched."""
    model = chosen(model)
    folder = here(model)
    if folder is not None:
        if revision is not None:
            raise OptionError(
                f"{model or folder.name!r} is a folder or a bundled model, which has no revisions",
                option="revision",
                value=revision,
            )
        return folder
    if model is None or not _REPOSITORY.fullmatch(model):
        raise ModelNotFoundError(
            f"no model {model!r}: it is neither a folder, nor a bundled model "
            f"({', '.join(artifact.bundled_models())}), nor owner/name of a repository on the hub",
            model=str(model),
        )
    from .hub import fetch

    return fetch(
        model,
        revision,
        cache_dir=None if cache_dir is None else Path(cache_dir),
        force_download=force_download,
        local_files_only=local_files_only,
        token=token,
    )


def chosen(model: str | os.PathLike[str] | None) -> str | None:
    """Return the model that the caller or the environment asks for, None for the bundled default."""
    if model is None:
        return os.environ.get("SEQUENTIA_MODEL") or None
    if not isinstance(model, str | os.PathLike):
        raise OptionError(f"model must be a name or a path, not {model!r}", option="model", value=model)
    return os.fspath(model)


def here(model: str | None) -> Path | None:
    """Return the folder of a model that is on this machine."""
    if model is None:
        return artifact.BUNDLED / DEFAULT_MODEL
    if not model:
        return None
    folder = Path(model)
    try:
        if model in artifact.bundled_models() and not (folder / artifact.CONFIG).is_file():
            return artifact.BUNDLED / model
        return folder if folder.is_dir() else None
    except (OSError, ValueError):  # what cannot be a path is no folder
        return None
