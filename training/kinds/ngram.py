"""N-gram counts with interpolated Kneser-Ney smoothing: recipe, and slow reference network."""

from collections.abc import Mapping
from itertools import product

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sequentia.architectures import NGramArchitecture
from sequentia.architectures.base import combinations
from sequentia.architectures.ngram import Discounts, Order
from sequentia.arithmetic import LOGIT_BITS, Inputs
from sequentia.conditions import Said
from sequentia.training.counts import count_ngrams
from sequentia.training.parts import Part

from .backoff import (
    MAX_TABLE_BYTES,
    OWN,
    BackOff,
    BackOffTables,
    Counts,
    discount_after,
    joined_tables,
    of_names,
    without_last,
)
from .base import BaseRecipe, BaseStructure, ConflictError, Natural
from .network import Exact, Network, rounded, tree_numbers


class NGramStructure(BaseStructure, frozen=True, kw_only=True, tag="ngram"):
    """The sizes of an n-gram model.

    Attributes:
        order: symbols in an n-gram: the context and the symbol after it.
        discounts: numbers subtracted from the counts of order 1, 2 and so on; the last one applies to all higher
            orders.
        least_count: contexts that occur fewer times are left to shorter ones.
    """

    order: Order
    discounts: Discounts
    least_count: Natural = 0


class NGramRecipe(BaseRecipe, frozen=True, kw_only=True, tag="ngram"):
    """N-gram counts with interpolated Kneser-Ney smoothing.

    With conditions, names with the same values are counted apart; their probabilities count 0.6, and those of the names
    that share all but the last of these values 0.4, and so on: of those, some again count 0.4 and their last value is
    dropped, until none is left. Values that no name has together are dropped likewise.

    Attributes:
        order: symbols in an n-gram: the context and the symbol after it.
        discounts: numbers subtracted from the counts of order 1, 2 and so on; the last one applies to all higher
            orders.
        least_count: contexts that occur fewer times are left to shorter ones, so that tables are smaller; 0 for all.
    """

    order: Order = 6
    discounts: Discounts
    least_count: Natural = 0

    @property
    def block_size(self) -> int:
        """Symbols of context; 1 for unigrams, which ignore it."""
        return max(1, self.order - 1)

    def structure(self, inputs: Inputs) -> NGramStructure:
        """Return the structure; its number of parameters stays 0 until names are counted."""
        try:
            combinations(inputs)
        except ValueError as error:
            raise ConflictError("model", str(error)) from error
        return NGramStructure(order=self.order, discounts=self.discounts, least_count=self.least_count, parameters=0)

    def count(self, part: Part, inputs: Inputs) -> tuple[NGramStructure, dict[str, Tensor]]:
        """Return the structure, and the n-grams of the training part with their counts."""
        ngrams, counts = count_ngrams(part, self.order)
        structure = msgspec.structs.replace(self.structure(inputs), parameters=len(ngrams))
        return structure, {"ngrams": torch.from_numpy(ngrams), "counts": torch.from_numpy(counts)}


class NGram(Network):
    """N-gram counts, smoothed for each context directly by the definition. It is slow and serves as a reference."""

    def __init__(self, inputs: Inputs, structure: NGramStructure) -> None:
        super().__init__(inputs)
        self.structure = structure
        self.ngrams: Tensor
        self.counts: Tensor
        rows, order = structure.parameters, len(inputs.values) + structure.order
        self.register_buffer("ngrams", torch.zeros((rows, order), dtype=torch.int32))
        self.register_buffer("counts", torch.zeros(rows, dtype=torch.int32))

    def forward(self, context: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the logits of the next symbol, float32 [batch, ids].

        Args:
            context: int64 [batch, block_size].
            conditions: int64 [batch, conditions]; by default, none is said.
        """
        said = self.not_said(context) if conditions is None else conditions
        rows = [
            np.log(self._mixed(symbols, tuple(values)))
            for symbols, values in zip(context.cpu().numpy(), said.tolist(), strict=True)
        ]
        return torch.from_numpy(np.array(rows, dtype=np.float32)).to(context.device)

    def _mixed(self, context: NDArray[np.int64], said: Said) -> NDArray[np.float64]:
        """Return the probability of each symbol after a context of names with some values."""
        ngrams, counts = of_names(self.ngrams.cpu().numpy(), self.counts.cpu().numpy(), said)
        if not any(said):
            return self._probabilities(context, ngrams, counts)
        others = self._mixed(context, without_last(said))
        return OWN * self._probabilities(context, ngrams, counts) + (1 - OWN) * others if len(ngrams) else others

    def _probabilities(
        self, context: NDArray[np.int64], ngrams: NDArray[np.int32], counts: Counts
    ) -> NDArray[np.float64]:
        """Return the probability of each symbol after a context; see :meth:`BackOffTables.of` for the formula."""
        ids, order, discounts = self.ids, self.structure.order, self.structure.discounts
        p = np.full(ids, 1 / ids)
        for length in range(order):
            if length:
                matching = ngrams[:, -1 - length] == context[-length]
                ngrams, counts = ngrams[matching], counts[matching]
            if not len(ngrams) or (length and counts.sum() < self.structure.least_count):
                break
            if length == order - 1:
                count = np.bincount(ngrams[:, -1], weights=counts, minlength=ids)
            else:
                before_and_after = np.zeros((ids, ids), dtype=bool)
                before_and_after[ngrams[:, -2 - length], ngrams[:, -1]] = True
                count = before_and_after.sum(axis=0)
            discount = discount_after(length, discounts)
            taken = np.minimum(count, discount)
            p = (count - taken + taken.sum() * p) / count.sum()
        return p

    def _tables(self) -> "dict[Said, BackOffTables]":
        """Return the tables of the names with each combination of values that occurs, 0 for values left out."""
        ngrams, counts = self.ngrams.cpu().numpy(), self.counts.cpu().numpy()
        occurring = np.unique(ngrams[:, : len(self.inputs.values)], axis=0).tolist()
        choices = {choice for row in occurring for choice in product(*((0, value) for value in row))}
        tables, size = {}, 0
        for said in sorted(choices):
            own = of_names(ngrams, counts, said)
            limits = MAX_TABLE_BYTES - size, self.structure.least_count
            tables[said] = BackOffTables.of(*own, self.structure.discounts, self.ids, *limits)
            size += tables[said].log_probabilities.nbytes
        return tables

    def for_inference(self) -> "BackOff":
        """Return the smoothed counts as tables."""
        return BackOff(self._tables(), self.inputs, self.structure.order).to(self.counts.device).eval()

    def in_whole_numbers(
        self,
        bits: Mapping[str, int],  # noqa: ARG002 - part of the interface
        contexts: NDArray[np.int64],  # noqa: ARG002
        conditions: NDArray[np.int64],  # noqa: ARG002
    ) -> Exact:
        """Return the smoothed counts as tables, in steps of 1/256 nat."""
        structure, tables = self.structure, self._tables()
        start, joined = joined_tables(tables, self.inputs)
        longer = joined.longer if len(joined.longer) else np.zeros((len(tables), self.ids), dtype=np.int32)
        tree, steps = tree_numbers("table", longer, len(joined.log_probabilities))
        architecture = NGramArchitecture(
            parameters=structure.parameters,
            order=structure.order,
            discounts=structure.discounts,
            tree=tree,
        )
        tensors = {**steps, "table": rounded(joined.log_probabilities, LOGIT_BITS)}
        return architecture, {"start": start, **tensors} if self.inputs.values else tensors
