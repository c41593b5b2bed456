"""One self-contained page that invents a model's names in a browser, without any network.

``page.html`` beside this module has the markup, the style and the program; ``javascript/page`` holds their sources, and
``npm run build`` there writes it. What is added here is the model itself.
"""

import base64
import gzip
import html
import json
from importlib import resources
from typing import Any, Final

import numpy as np

from . import artifact
from .artifact import CONFIG, GRAPH, NOVELTY, Artifact

_PLACE_OF_TITLE: Final = "{{title}}"
_PLACE_OF_MODEL: Final = "{{model}}"
_MOST_SYMBOLS: Final = 200


def page(read: Artifact, title: str | None = None) -> str:
    """Return the page of a model: HTML with the program, and the model as gzip in base64.

    Args:
        read: the model.
        title: its headline, by default the model's name.

    Raises:
        ArtifactError: if a file of the model cannot be read.
    """
    config = read.config
    files = {CONFIG: (read.folder / CONFIG).read_bytes()}
    files |= {name: artifact.read_listed(read.folder, name, config) for name in config.files if name != GRAPH}
    contents = {
        "files": {name: _packed(name, data) for name, data in files.items()},
        "learnt": config.training.corpus.names,
        "points": _points(read),
    }
    template = (resources.files(__package__) / "page.html").read_text(encoding="utf-8")
    before, after = template.split(_PLACE_OF_MODEL)
    titled = (part.replace(_PLACE_OF_TITLE, html.escape(title or config.name)) for part in (before, after))
    model = json.dumps(contents, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return model.join(titled)


def _packed(name: str, data: bytes) -> str:
    """Return a file by gzip in base64.

    Hashes are in increasing order: their last bytes are nearly alike, so all bytes of one place stand together.
    """
    if name == NOVELTY:
        data = np.frombuffer(data, dtype=np.uint8).reshape(-1, 4).T.tobytes()
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _points(read: Artifact) -> list[tuple[str, Any, Any]]:
    """Return the symbols, those of a large alphabet that come first, and where they lie in a picture.

    These are the two dimensions in which what the symbols do to the network differs most, each from 0 to 1. Nothing
    stands for the end. The list is empty if the kind of model has no embedding.
    """
    vectors = read.config.architecture.symbol_vectors(read.tensors, read.config.inputs)
    if vectors is None or len(vectors) < 3:
        return []
    symbols = ["", *read.vocabulary.symbols[:_MOST_SYMBOLS]]
    shown = vectors[: len(symbols)].astype(np.float64)
    left, sizes, _ = np.linalg.svd(shown - shown.mean(axis=0), full_matrices=False)
    places = left[:, :2] * sizes[:2]
    places *= np.where(places.max(axis=0) < -places.min(axis=0), -1, 1)  # the decomposition leaves the signs open
    places = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)
    return [(symbol, round(x, 3), round(y, 3)) for symbol, (x, y) in zip(symbols, places.tolist(), strict=True)]
