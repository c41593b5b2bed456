"""Models: generating names, and computing probabilities of names and next symbols."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from . import artifact
from .artifact import Artifact
from .case import check_case, in_case
from .conditions import Bindings, Where, said_by, said_by_each
from .config import Config
from .errors import GenerationError, OptionError
from .generation import draw_shard, stream_names
from .iterating import SharedIterator
from .likelihood import name_losses, ranked_probabilities
from .lookahead import Methods, Probability
from .namer import Namer
from .options import ConstraintOptions, Plan, SamplingOptions, check_int, check_names, strings
from .pretrained import Pretrained
from .resolve import locate
from .session import Session
from .vocabulary import BOUNDARY, Names, Vocabulary
from .windows import windows

if TYPE_CHECKING:
    import pyarrow as pa


class SequenceModel(Pretrained):
    """A loaded model; it can be shared between threads, pickled and used after a fork.

    Args:
        source: a checked artifact, as :func:`sequentia.artifact.read` returns it.
        threads: number of threads that draw names when several batches are needed; one by default.

    Raises:
        ArtifactError: if onnxruntime rejects the graph.
    """

    def __init__(self, source: Artifact, *, threads: int | None = None) -> None:
        super().__init__(source, threads=threads)
        self._session = Session(source)
        self._bindings = Bindings(self.logits, self.config.inputs)

    @property
    def config(self) -> Config:
        """The artifact's configuration: vocabulary, sizes, provenance and metrics."""
        return self._artifact.config

    @property
    def knows_its_names(self) -> bool:
        """Whether the model includes the hashes of the names of its list, which the option ``novel`` needs."""
        return self._artifact.known is not None

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's alphabet."""
        return self._artifact.vocabulary

    @property
    def conditions(self) -> dict[str, list[str]]:
        """The values of each condition that ``where`` takes, by its name; empty for a model without conditions."""
        return {name: list(values) for name, values in self.config.conditions.items()}

    def generate(self, n: int = 1, **options: Unpack[SamplingOptions]) -> list[str]:
        """Return the first ``n`` names of a seeded stream; see :func:`sequentia.generate` for the options.

        Raises:
            GenerationError: if the options allow too few names; ``error.names`` is the list of those found.
        """
        names: list[str] = []
        n = check_int("n", n, least=0)
        if n == 1:
            plan, methods = self._plan(options), self._methods(options)
            plan.check_enough(1)
            return [Namer(methods, self.vocabulary, plan, methods.beginnings(plan))(plan.seed)]
        try:
            for batch in self.batches(n, **options):
                names += self._texts(batch, options)
        except GenerationError as error:
            raise error.with_names(names) from error.__cause__
        return names

    def stream(self, **options: Unpack[SamplingOptions]) -> Iterator[str]:
        """Return an endless stream of names; :meth:`generate` returns its start.

        Threads can share a stream: each name goes to one of them.

        The stream raises :class:`~sequentia.GenerationError` when names that match are too rare to be found, when
        ``novel`` and ``exclude`` reject 16,384 candidates for a name, or with ``unique``, when the number of candidates
        rejected in a row exceeds 10,000 plus the number accepted before.
        """
        batches = self.batches(None, **options)
        return SharedIterator(name for batch in batches for name in self._texts(batch, options))

    def namer(self, **options: Unpack[SamplingOptions]) -> Namer:
        """Return a function from seeds to names: ``namer(**options)(7)`` is ``generate(1, seed=7, **options)[0]``.

        It checks the options once and remembers how names begin, so that it is many times as fast. Without a seed, it
        returns a random name. See :func:`sequentia.generate` for the options; ``seed`` and ``unique`` are not allowed.

        Raises:
            OptionError: if an option is out of range or contradicts another.
        """
        check_names(options, SamplingOptions, refused=("unique", "seed"))
        if options.get("seed") is not None:
            raise OptionError("seed: give each name's to the function", option="seed", value=options["seed"])
        plan = self._plan(options)
        if plan.unique:
            raise OptionError("unique: a single name has no others to differ from", option="unique", value=True)
        return Namer(self._methods(options), self.vocabulary, plan)

    def batches(self, n: int | None, **options: Unpack[SamplingOptions]) -> Iterator[Names]:
        """Return the first ``n`` names of a stream as ids, in batches that are drawn on demand; without end if None.

        The memory does not depend on ``n``. :meth:`Vocabulary.decode` converts a batch to text. A batch is ids,
        unsigned [names, longest], each row padded with boundaries. They have the model's own spelling, also with
        ``case``. Threads can share the iterator: each batch goes to one of them.
        """
        plan = self._plan(options)
        if n is not None:
            n = check_int("n", n, least=0)
            plan.check_enough(n)
        return SharedIterator(stream_names(self._methods(options), self.vocabulary, plan, n, self._threads))

    def shard(self, first: int, count: int, **options: Unpack[SamplingOptions]) -> Iterator[Names]:
        """Return the names ``first`` … ``first + count - 1`` of a stream, as ids.

        With a seed, ``shard(30, 10)`` always contains the ten names 30 to 39, wherever it is drawn. So consecutive
        shards joined together give the stream. The batches are as from :meth:`batches`.

        Args:
            first: index of the first name.
            count: number of names.
            options: see :func:`sequentia.generate`; ``unique`` is not allowed, because it depends on other shards.

        Raises:
            OptionError: if an option is out of range or contradicts another.
            GenerationError: while the batches are drawn, as :meth:`stream` does.
        """
        check_names(options, SamplingOptions, refused=("unique",))
        first, count = check_int("first", first, least=0), check_int("count", count, least=0)
        plan = self._plan(options)
        if plan.unique:
            raise OptionError(
                "unique is not available for shards: a shard does not know the names of the others",
                option="unique",
                value=True,
            )
        return SharedIterator(draw_shard(self._methods(options), self.vocabulary, plan, first, count))

    @overload
    def generate_arrow(
        self, n: int = 1, *, scores: Literal[False] = False, **options: Unpack[SamplingOptions]
    ) -> "pa.ChunkedArray[pa.StringScalar]": ...

    @overload
    def generate_arrow(
        self, n: int = 1, *, scores: Literal[True], **options: Unpack[SamplingOptions]
    ) -> "pa.Table": ...

    def generate_arrow(
        self, n: int = 1, *, scores: bool = False, **options: Unpack[SamplingOptions]
    ) -> "pa.ChunkedArray[pa.StringScalar] | pa.Table":
        """Return the names of :meth:`generate` as an Arrow column, without creating Python strings.

        With ``scores``, return a table of ``name``, string, and ``log_probability``, float64, as :meth:`score` has it;
        with ``case`` too, also of ``spelled``, string, the name that was scored.

        Raises:
            MissingExtraError: if pyarrow is missing; the extra ``[arrow]`` installs it.
            GenerationError: if the options allow too few names; ``error.names`` is the list of those found.
        """
        from .arrow import collect
        from .output import LOG_PROBABILITY, NAME, SPELLED

        score = partial(self.score, where=options.get("where")) if scores else None
        batches, case = self.batches(check_int("n", n, least=0), **options), check_case(options.get("case"))
        return collect(batches, self.vocabulary, score, case, (NAME, LOG_PROBABILITY, SPELLED))

    def score(self, names: Iterable[str], *, where: Where | Sequence[Where] = None) -> NDArray[np.float64]:
        """Return the natural-log probability of each name, float64 [n].

        It is the sum of the log-probabilities of its symbols and its end. Lengths and all options play no part.

        Args:
            names: the names. In a model of words, the unknown word stands for those that :meth:`unknown_words` returns.
            where: what is said of the conditions, as in :func:`sequentia.generate`; or a list, one for each name.

        Raises:
            OptionError: if ``names`` is not an iterable of strings, or ``where`` does not suit the model or the names.
            VocabularyError: if a name contains a character that the model lacks.
        """
        texts = strings("names", names)
        tokens, inputs = self.vocabulary.tokens(texts, unknown=True), self.config.inputs
        if not isinstance(where, list | tuple):
            cache = self._methods({"where": where}).cache
            return -name_losses(tokens, inputs, lambda contexts, _=None: cache.distinct_logits(contexts))
        return -name_losses(tokens, inputs, self.logits, said_by_each(where, self.config.conditions, len(texts)))

    def unknown_words(self, names: Iterable[str]) -> list[list[str]]:
        """Return the words of each name that the model lacks, or the characters if it is a model of characters."""
        return [self.vocabulary.lacking(text) for text in strings("names", names)]

    @overload
    def next_symbols(self, prefix: str = "", *, where: Where = None) -> dict[str, float]: ...

    @overload
    def next_symbols(self, prefix: list[str], *, where: Where = None) -> list[dict[str, float]]: ...

    def next_symbols(
        self, prefix: str | list[str] = "", *, where: Where = None
    ) -> dict[str, float] | list[dict[str, float]]:
        """Return the probability of each symbol that may follow a prefix, the most probable first.

        The key ``""`` is the end of the name, U+FFFD any word that a model of words lacks. The probabilities sum to 1.

        Args:
            prefix: the start of a name, or a list of several, which returns a list and is faster than one by one.
            where: what is said of the conditions, as in :func:`sequentia.generate`.

        Raises:
            OptionError: if ``prefix`` is neither a string nor an iterable of strings, or ``where`` is wrong.
            VocabularyError: if a prefix contains an unknown symbol.
        """
        prefixes = [prefix] if isinstance(prefix, str) else strings("prefix", prefix, "a string or a list of strings")
        tokens = self.vocabulary.tokens(prefixes)
        contexts, _ = windows(tokens, np.flatnonzero(tokens == BOUNDARY), self.config.block_size)
        logits = self._methods({"where": where}).cache.distinct_logits(contexts)
        results = ranked_probabilities(logits, ("", *self.vocabulary.symbols))
        return results[0] if isinstance(prefix, str) else results

    def most_likely(self, n: int = 1, **options: Unpack[ConstraintOptions]) -> list[tuple[str, float]]:
        """Return the ``n`` most probable names with their natural-log probabilities, the most probable first.

        The result is exact, not sampled. It is shorter than ``n`` if the options allow fewer names. The probabilities
        are those of :meth:`score`, which ignore the options. Equally probable names are sorted by their ids.

        Args:
            n: number of names, at most a million; memory and time grow with it.
            options: ``where``, ``prefix``, ``suffix``, ``min_length``, ``max_length``, ``pattern``, ``avoid``,
                ``novel`` and ``exclude``; see :func:`sequentia.generate`.

        Raises:
            OptionError: if an option is out of range or contradicts another.
            VocabularyError: if the prefix contains a symbol that the model does not know.
            GenerationError: if the search needs more than a million prefixes; ``error.names`` is the list of names
                found.
        """
        from .search import MOST_PREFIXES, most_likely

        n = check_int("n", n, least=0, most=MOST_PREFIXES)
        check_names(options, ConstraintOptions)
        plan = self._plan(options)
        return most_likely(self._methods(options).cache, self.vocabulary, plan, n)

    def probability(self, **options: Unpack[SamplingOptions]) -> Probability:
        """Return how probable it is that a name meets constraints: how rare a request is.

        The estimate is of the model's names under ``temperature``, ``top_k``, ``top_p`` and ``prefix``; ``seed``,
        ``unique``, ``novel`` and ``exclude`` play no part.

        Raises:
            OptionError: if an option is out of range or contradicts another.
            VocabularyError: if the prefix or the suffix contains an unknown symbol.
        """
        return self._methods(options).probability(self._plan(options))

    def logits(self, contexts: NDArray[np.int64], conditions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Run the network and return its logits, float32 [n, 1 + symbols].

        Each row of the result depends on its own context alone, not on other rows or the number of threads.

        Args:
            contexts: int64 [n, block_size] ids, oldest symbol first, left-padded with the boundary.
            conditions: int64 [n, conditions], the index of each condition's value in :attr:`conditions` plus 1, or 0
                where it is not said; by default, none is said.
        """
        return self._session.logits(contexts, conditions)

    def _plan(self, options: Mapping[str, object]) -> Plan:
        return Plan.of(options, self.vocabulary, self.config.max_length, self._artifact.known)

    def _texts(self, batch: Names, options: Mapping[str, object]) -> list[str]:
        return in_case(self.vocabulary.decode(batch), check_case(options.get("case")))

    def _methods(self, options: Mapping[str, object]) -> Methods:
        return self._bindings.of(said_by(options.get("where"), self.config.conditions))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SequenceModel, threads=self._threads), (self._artifact,)

    def __repr__(self) -> str:
        return f"SequenceModel({self.config.name!r}, {self.vocabulary.describe()})"


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
            or ``owner/name@revision``, tried in this order. ``None`` means the environment variable ``SEQUENTIA_MODEL``
            if that is set, else the bundled default.
        revision: a branch, a tag or the full hash of a commit; ``main`` by default. A commit that is in the cache is
            loaded without the network. So is a branch or tag if the hub cannot be reached.
        cache_dir: the folder for downloads; the hub's own cache by default.
        force_download: download also files that are in the cache.
        local_files_only: do not use the network; the variable ``HF_HUB_OFFLINE=1`` does the same.
        token: a token of the hub; by default the stored one, or the variable ``HF_TOKEN``.
        threads: number of threads that draw names when many are asked for; 1 by default.

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
