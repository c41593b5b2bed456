"""Models that stay loaded, and ``generate``, which uses them."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from . import artifact
from ._forks import renew_after_fork
from .case import Case
from .conditions import Where
from .model import SequenceModel, load
from .resolve import local_folder, requested_model

_KEPT: Final = 4

_Version = tuple[int, int]
_Key = tuple[str | Path | None, _Version | None]


def loaded(model: str | os.PathLike[str] | None) -> SequenceModel:
    """Return a model from the cache of loaded models; reload a folder if its ``config.json`` has changed."""
    source = requested_model(model)
    folder = local_folder(source)
    if folder is None:
        return _models.of(source, None)
    config = folder / artifact.CONFIG
    stamp = config.stat() if config.is_file() else None
    version = (stamp.st_mtime_ns, stamp.st_ino) if stamp else None
    return _models.of(None if source is None else folder.absolute(), version)


class LoadedModels:
    """The last four models that were asked for, safe to share between threads: each is loaded once.

    A thread waits while another loads the model that it asks for, but not while another model is loaded.
    """

    def __init__(self) -> None:
        self._models: dict[_Key, SequenceModel] = {}
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the locks."""
        self._lock = threading.Lock()
        self._loading: dict[_Key, threading.Lock] = {}

    def of(self, model: str | Path | None, version: _Version | None) -> SequenceModel:
        """Return a model; load it if this version of it is not loaded.

        Raises:
            SequentiaError: as :func:`sequentia.load` does.
        """
        key = model, version
        with self._lock:
            found = self._found(key)
            if found is not None:
                return found
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            with self._lock:
                found = self._found(key)  # perhaps another thread has loaded it meanwhile
            return self._load(key) if found is None else found

    def _found(self, key: _Key) -> SequenceModel | None:
        found = self._models.pop(key, None)
        if found is not None:
            self._models[key] = found  # now the last one that was asked for
        return found

    def _load(self, key: _Key) -> SequenceModel:
        try:
            model = load(key[0])
            with self._lock:
                self._models[key] = model
                while len(self._models) > _KEPT:
                    del self._models[next(iter(self._models))]
        finally:
            with self._lock:
                self._loading.pop(key, None)
        return model


_models: Final = LoadedModels()


def generate(
    n: int = 1,
    *,
    model: str | os.PathLike[str] | None = None,
    where: Where = None,
    prefix: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_length: int = 1,
    max_length: int | None = None,
    unique: bool = False,
    novel: bool = False,
    exclude: Iterable[str] = (),
    avoid: Iterable[str] = (),
    pattern: str | None = None,
    suffix: str = "",
    seed: int | str | None = None,
    case: Case | None = None,
) -> list[str]:
    r"""Invent names.

    A seed is a promise: with it, the result is the same on every call and on every machine, and ``generate(10)`` is the
    start of ``generate(1000)``.

    With ``prefix``, ``suffix``, ``pattern``, ``avoid`` and lengths: names that match, as often as the model would
    invent them. A name is drawn from the model's distribution given that it meets them all; see
    :meth:`SequenceModel.probability`.

    Args:
        n: number of names.
        model: see :func:`sequentia.load`; the model stays loaded for later calls.
        where: what the names are to be, for a model with conditions: a value for each condition that matters, such as
            ``{"sex": "f"}``. The others are left to the model. ``load(model).conditions`` lists the values.
        prefix: start of every name, normalised to NFC; of whole words for a model of words.
        temperature: below 1 gives more usual names, above 1 less usual ones; 0 always takes the most probable symbol.
        top_k: draw each symbol from this many of the most probable ones.
        top_p: draw each symbol from the smallest set of most probable ones with at least this total probability.
        min_length: fewest symbols, that is characters or words, in a name, the prefix included.
        max_length: most symbols in a name, the prefix included. By default the length of the longest name of the list;
            if ``min_length``, the prefix or the suffix is longer, that.
        unique: return no name twice in one call.
        novel: return no name of the list that the model was made from: of no part, train, dev or test. For each name of
            the list, it also rejects one in 2**32 other names by mistake.
        exclude: names not to return, spelled as the model spells them, or with ``case`` in any case.
        avoid: strings that no name contains; of whole words for a model of words.
        pattern: a regular expression, of characters, that every name matches in full: literals, ``.``, classes such as
            ``[a-e]``, ``[^x]`` and ``\w`` (ASCII only), groups, ``|``, ``?``, ``*``, ``+`` and ``{2,3}``.
        suffix: end of every name, normalised to NFC.
        seed: a whole number from 0 to 2**128 - 1, or a string, taken as it is and not normalised; by default a random
            number for each call.
        case: return names in ``"lower"``, ``"title"`` or ``"upper"`` case instead of the model's own. Capital and small
            letters are then the same in ``prefix``, ``suffix`` and ``avoid``; these, the lengths, ``pattern`` and
            ``novel`` are about the model's own spelling. ``exclude`` and ``unique`` are about the names as shown.

    Raises:
        OptionError: if an option is out of range or contradicts another.
        VocabularyError: if the prefix or the suffix contains a symbol that the model does not know.
        GenerationError: if names that match are too rare to be found, ``novel`` and ``exclude`` reject 16,384
            candidates for a name, or ``unique`` finds no other name. ``error.names`` is the list of those found.
        ModelNotFoundError: if there is no such model.
        ArtifactError: if the model is damaged.
        HubError: if the model is on the hub, and the hub cannot be reached or refuses the request.
    """
    return loaded(model).generate(
        n,
        where=where,
        prefix=prefix,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_length=min_length,
        max_length=max_length,
        unique=unique,
        novel=novel,
        exclude=exclude,
        avoid=avoid,
        pattern=pattern,
        suffix=suffix,
        seed=seed,
        case=case,
    )
