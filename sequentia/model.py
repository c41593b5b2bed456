"""A loaded artifact: names out, probabilities of names, probabilities of next symbols."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from . import artifact
from .artifact import Artifact
from .config import Config
from .contexts import Contexts
from .errors import GenerationError, OptionError
from .generation import Names, draw_shard, stream_names
from .likelihood import name_losses
from .options import Plan, SamplingOptions, check_int, texts
from .resolve import chosen, here, locate
from .sampling import log_softmax
from .session import Session
from .vocabulary import BOUNDARY, Vocabulary
from .windows import windows

if TYPE_CHECKING:
    import pyarrow as pa


class SequenceModel:
    """A model ready to generate; safe to share between threads, to pickle, and to use after a fork.

    Args:
        source: a checked artifact, as :func:`sequentia.artifact.read` returns it.
        threads: how many of them draw names, where many are wanted: so many runs of onnxruntime go on at once.

    Raises:
        ArtifactError: if onnxruntime refuses the graph, or the graph contradicts ``config.json``.
    """

    def __init__(self, source: Artifact, *, threads: int | None = None) -> None:
        self._artifact = source
        self._threads = 1 if threads is None else check_int("threads", threads, least=1)
        self._session = Session(source)
        self._contexts = self._no_contexts()
        _models.add(self)
        _prepare_for_forks()

    @property
    def config(self) -> Config:
        """The artifact's configuration: vocabulary, sizes, provenance, metrics."""
        return self._artifact.config

    @property
    def knows_its_names(self) -> bool:
        """Whether it can tell the names it was trained on, which the option ``novel`` needs."""
        return self._artifact.known is not None

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's alphabet."""
        return self._artifact.vocabulary

    def generate(self, n: int = 1, **options: Unpack[SamplingOptions]) -> list[str]:
        """Return the first ``n`` names of a seeded stream; see :func:`sequentia.generate` for the options.

        Raises:
            GenerationError: if the options leave too few names; ``error.names`` holds those that were found.
        """
        names: list[str] = []
        try:
            for batch in self.batches(n, **options):
                names += self.vocabulary.decode(batch)
        except GenerationError as error:
            raise error.with_names(names) from error.__cause__
        return names

    def stream(self, **options: Unpack[SamplingOptions]) -> Iterator[str]:
        """Return the endless stream of which :meth:`generate` is the start, with the same options.

        It ends in a :class:`~sequentia.GenerationError` only if the options leave nothing to go on with: more than
        10,000 candidates in a row are rejected, and more than were accepted before.
        """
        return chain.from_iterable(map(self.vocabulary.decode, self._names(self._plan(options))))

    def batches(self, n: int, **options: Unpack[SamplingOptions]) -> Iterator[Names]:
        """Return the first ``n`` names of a stream as ids, in batches that are drawn one after the other.

        However many there are, the memory stays the same; :meth:`Vocabulary.decode` makes text of them.

        Returns:
            Batches of ids, unsigned [names, longest], each name ended by boundaries or the row's end.
        """
        n = check_int("n", n, least=0)
        plan = self._plan(options)
        plan.check_enough(n)
        return self._names(plan, n)

    def shard(self, first: int, count: int, **options: Unpack[SamplingOptions]) -> Iterator[Names]:
        """Return the names that some candidates of a stream give, as ids: all of them, but for those that are filtered.

        With a seed, shards that are drawn anywhere and laid side by side are the stream: where ``novel`` and
        ``exclude`` drop nothing, ``shard(30, 10)`` is the names 30 to 39.

        Args:
            first: index of the first candidate.
            count: how many.
            options: as for :func:`sequentia.generate`, without ``unique``, for which all shards would have to be one.

        Returns:
            Batches as of :meth:`batches`.

        Raises:
            OptionError: if an option is out of its range or contradicts another.
        """
        first, count, plan = check_int("first", first, least=0), check_int("count", count, least=0), self._plan(options)
        if plan.unique:
            raise OptionError(
                "unique: whether a name came before cannot be told by a shard alone", option="unique", value=True
            )
        return draw_shard(self._contexts, self.vocabulary, plan, first, count)

    def generate_arrow(self, n: int = 1, **options: Unpack[SamplingOptions]) -> "pa.ChunkedArray":
        """Return what :meth:`generate` does as an Arrow column of strings, without a Python string in between.

        Raises:
            MissingExtraError: if pyarrow is missing; the extra ``[arrow]`` brings it.
        """
        from .arrow import column, strings

        chunks = []
        try:
            for batch in self.batches(n, **options):
                chunks.append(strings(batch, self.vocabulary))  # noqa: PERF401 - the chunks before an error count
        except GenerationError as error:
            raise error.with_names(column(chunks).to_pylist()) from error.__cause__
        return column(chunks)

    def score(self, names: Iterable[str]) -> NDArray[np.float64]:
        """Return the natural-log probability of each whole name, float64 [n].

        It is that of drawing exactly this name without any option: its symbols one by one, then the end.

        Raises:
            OptionError: if what is given is not several strings.
            VocabularyError: if a name holds an unknown symbol.
        """
        encoded = [np.append(self.vocabulary.encode(name), BOUNDARY) for name in texts("names", names)]
        if not encoded:
            return np.zeros(0)
        tokens = np.concatenate(encoded)
        return -name_losses(tokens, self.config.block_size, self._contexts.predict, self.vocabulary.size)

    @overload
    def next_symbols(self, prefix: str = "") -> dict[str, float]: ...

    @overload
    def next_symbols(self, prefix: list[str]) -> list[dict[str, float]]: ...

    def next_symbols(self, prefix: str | list[str] = "") -> dict[str, float] | list[dict[str, float]]:
        """Return the probability of each symbol that may follow a prefix, the most probable first.

        The empty string stands for the end of the name; the probabilities sum to 1. Of several prefixes, all are
        computed at once, and it is a list.

        Raises:
            OptionError: if it is neither a string nor several.
            VocabularyError: if a prefix holds an unknown symbol.
        """
        prefixes = (
            [prefix] if isinstance(prefix, str) else texts("prefix", prefix, needed="a string, or a list of several")
        )
        encoded = [np.append(self.vocabulary.encode(each), BOUNDARY) for each in prefixes]
        if not encoded:
            return []
        ends = np.cumsum([len(ids) for ids in encoded]) - 1
        contexts, _ = windows(np.concatenate(encoded), ends, self.config.block_size)
        rows = np.exp(log_softmax(self._contexts.predict(contexts)))
        symbols = ("", *self.vocabulary.symbols)
        ranked = zip(np.argsort(-rows, axis=1, kind="stable").tolist(), rows.tolist(), strict=True)
        found = [{symbols[i]: row[i] for i in order} for order, row in ranked]
        return found[0] if isinstance(prefix, str) else found

    def most_likely(
        self,
        n: int = 1,
        *,
        prefix: str = "",
        min_length: int = 1,
        max_length: int | None = None,
        pattern: str | None = None,
        novel: bool = False,
        exclude: Iterable[str] = (),
    ) -> list[tuple[str, float]]:
        """Return the ``n`` most probable names with their natural-log probabilities, the most probable first.

        The result is exact, not sampled; where the options allow fewer names, it holds those. A probability is that of
        :meth:`score`, of the whole name and without options. Of names equally probable, the lower in the order of ids
        comes first.

        Args:
            n: how many, up to a million; memory and time grow with it.
            prefix: what every name starts with.
            min_length: fewest symbols in a name, the prefix included.
            max_length: most symbols in a name, the prefix included; by default the model's own limit.
            pattern: a regular expression that the whole name matches.
            novel: leave out the names that the model was trained on.
            exclude: names to leave out.

        Raises:
            OptionError: if an option is out of its range or contradicts another.
            VocabularyError: if the prefix holds a symbol unknown to the model.
            GenerationError: if a million prefixes were not enough to be sure.
        """
        from .search import MOST_PREFIXES, most_likely

        n = check_int("n", n, least=0, most=MOST_PREFIXES)
        plan = self._plan(
            {
                "prefix": prefix,
                "min_length": min_length,
                "max_length": max_length,
                "pattern": pattern,
                "novel": novel,
                "exclude": exclude,
            }
        )
        return most_likely(self._contexts, self.vocabulary, plan, n)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        threads: int | None = None,
    ) -> "SequenceModel":
        """Load a model: :func:`sequentia.load` under the name that the hub's libraries give it."""
        return load(
            pretrained_model_name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            threads=threads,
        )

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the model's artifact, as it was loaded, into a folder, wholly or not at all; what else is there stays.

        Raises:
            ArtifactError: if the files that it was loaded from are no longer there or have changed, or if the folder
                holds another project's ``config.json`` or ``README.md``.
        """
        source, config = self._artifact.folder, self.config
        files = {name: artifact.read_listed(source, name, config) for name in config.files}
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
        license: str | None = None,  # noqa: A002 - the hub's own word
        language: str | Sequence[str] | None = None,
        datasets: str | Sequence[str] | None = None,
    ) -> str:
        """Publish the model's artifact, as it was loaded, in a repository of the hub; needs the extra ``[train]``.

        Its graph is held against its weights once more, its card is written anew, and all goes into one commit; where
        nothing has changed, there is none.

        Args:
            repo_id: ``owner/name``; made if it does not exist.
            commit_message: by default one that names the model.
            private: whether a new repository is private; an old one must agree with it.
            token: one that may write; by default the stored one, or the variable ``HF_TOKEN``.
            revision: a branch, made if it does not exist; ``main`` by default.
            create_pr: open a pull request instead of committing to the branch.
            license: for the card, an identifier of the hub such as ``mit``; by default that of the present card.
            language: for the card, ISO 639 codes; by default those of the present card.
            datasets: for the card, datasets on the hub; by default those of the present card.

        Returns:
            The URL of the repository, of its branch or of the pull request.

        Raises:
            MissingExtraError: if the extra ``[train]`` is missing.
            ArtifactError: if the files that it was loaded from are no longer there or have changed.
            ExportError: if graph and weights are not the same model.
            OptionError: if an option is out of its range or contradicts another.
            HubError: if the hub cannot be reached or refuses.
        """
        from .export import CardFacts, publish

        return publish(
            self._artifact.folder,
            repo_id,
            CardFacts.from_values(license, language, datasets),
            commit_message=commit_message,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
        ).url

    def logits(self, contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run the network.

        A row's result depends on that row alone: not on the others, their number or the number of threads.

        Args:
            contexts: int64 [n, block_size] ids, oldest symbol first, left-padded with the boundary.

        Returns:
            float32 [n, 1 + symbols].
        """
        return self._session.logits(contexts)

    def _plan(self, options: Mapping[str, object]) -> Plan:
        return Plan.of(options, self.vocabulary, self.config.max_length, self._artifact.known)

    def _names(self, plan: Plan, wanted: int | None = None) -> Iterator[Names]:
        return stream_names(self._contexts, self.vocabulary, plan, wanted, self._threads)

    def _no_contexts(self) -> Contexts:
        return Contexts(self.logits, self.config.block_size, self.vocabulary.size)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._artifact, self._threads)

    def __repr__(self) -> str:
        return f"SequenceModel({self.config.name!r}, {self.vocabulary.describe()})"


def _restore(source: Artifact, threads: int) -> SequenceModel:
    return SequenceModel(source, threads=threads)


_models: "WeakSet[SequenceModel]" = WeakSet()


@cache
def _prepare_for_forks() -> None:
    """Give a forked process sessions and caches of its own, since the locks of the parent's may be held for ever."""

    def renew() -> None:
        for model in _models:
            model._session.reopen_after_fork()
            model._contexts = model._no_contexts()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
    threads: int | None = None,
) -> SequenceModel:
    """Load a model.

    Args:
        model: a folder that holds an artifact, the name of a bundled model, or a repository of the hub, ``owner/name``
            or ``owner/name@revision``, in this order; ``None`` is the environment variable ``SEQUENTIA_MODEL`` if that
            is set, else the bundled default.
        revision: a branch, a tag or the full hash of a commit; ``main`` by default. A commit that is in the cache is
            loaded without the network, and so is any other revision where the hub cannot be reached.
        cache_dir: where downloads are kept; the hub's own cache by default.
        force_download: download also what the cache holds.
        local_files_only: do not use the network; nor is it used where the variable ``HF_HUB_OFFLINE`` is 1.
        token: of the hub; by default the stored one, or the variable ``HF_TOKEN``.
        threads: how many of them draw names, where many are wanted; one by default.

    Raises:
        ModelNotFoundError: if there is no such model.
        ArtifactError: if a file of the model is damaged or inconsistent.
        HubError: if the hub cannot be reached or refuses.
        OptionError: if an option contradicts another.
    """
    folder = locate(
        model,
        revision=revision,
        cache_dir=cache_dir,
        force_download=force_download,
        local_files_only=local_files_only,
        token=token,
    )
    return SequenceModel(artifact.read(folder), threads=threads)


def _loaded(model: str | os.PathLike[str] | None) -> SequenceModel:
    """Return a model that stays loaded; a folder's for as long as its configuration does not change."""
    source = chosen(model)
    folder = here(source)
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
    prefix: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_length: int = 1,
    max_length: int | None = None,
    unique: bool = False,
    novel: bool = False,
    exclude: Iterable[str] = (),
    pattern: str | None = None,
    seed: int | None = None,
) -> list[str]:
    r"""Invent names.

    With a seed the result is the same on every call, and ``generate(10)`` is the start of ``generate(1000)``.

    Args:
        n: how many.
        model: as for :func:`load`; it stays loaded for the next call.
        prefix: what every name starts with; it is normalised to NFC, as every name is.
        temperature: below 1 makes usual names, above 1 unusual ones; 0 takes the most probable symbol each time.
        top_k: draw each symbol from this many of the most probable ones.
        top_p: draw each symbol from the fewest of the most probable ones that have this share of the probability.
        min_length: fewest symbols of a name, the prefix included: before that, no name ends.
        max_length: most symbols, the prefix included: there, every name ends. By default the length of the
            longest name the model was trained on.
        unique: no name twice in one call.
        novel: no name that the model was trained on. One name in 2**32 for each of those is dropped without need.
        exclude: names not to return, spelled as the model would spell them.
        pattern: a regular expression that every name matches in full: literals, ``.``, classes such as ``[a-e]``,
            ``[^x]`` and ``\w`` (which knows ASCII alone), groups, ``|``, ``?``, ``*``, ``+`` and ``{2,3}``. Each symbol
            is drawn from those after which the pattern can still be met.
        seed: a whole number from 0 to 2**128 - 1; by default a new one each time.

    Returns:
        The names.

    Raises:
        OptionError: if an option is out of its range or contradicts another.
        VocabularyError: if the prefix holds a symbol unknown to the model.
        GenerationError: if the options leave too few names.
        ModelNotFoundError: if there is no such model.
        ArtifactError: if the model is damaged.
        HubError: if it is on the hub, and that cannot be reached or refuses.
    """
    return _loaded(model).generate(
        n,
        prefix=prefix,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_length=min_length,
        max_length=max_length,
        unique=unique,
        novel=novel,
        exclude=exclude,
        pattern=pattern,
        seed=seed,
    )
