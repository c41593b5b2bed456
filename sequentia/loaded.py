"""Models that stay loaded, and ``generate``, which uses them."""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from . import artifact
from .case import Case
from .conditions import Where
from .model import SequenceModel, load
from .resolve import local_folder, requested_model


def loaded(model: str | os.PathLike[str] | None) -> SequenceModel:
    """Return a model from the cache of loaded models; reload a folder if its ``config.json`` has changed."""
    source = requested_model(model)
    folder = local_folder(source)
    if folder is None:
        return _load_once(source, None)
    config = folder / artifact.CONFIG
    stamp = config.stat() if config.is_file() else None
    return _load_once(
        None if source is None else folder.absolute(), (stamp.st_mtime_ns, stamp.st_ino) if stamp else None
    )


@lru_cache(maxsize=4)
def _load_once(model: str | Path | None, _version: tuple[int, int] | None) -> SequenceModel:
    return load(model)


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
