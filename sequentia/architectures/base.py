"""What every kind of model has in common: the struct that ``config.json`` holds of it, and what is asked of that."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""By the name of a tensor: its dtype, as safetensors spells it, and its shape."""


class BaseArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """A kind of model, in enough detail to rebuild it around its weights; the key ``model`` says which kind.

    Attributes:
        parameters: how many numbers were learnt; for an n-gram model, its counts.
    """

    parameters: Count

    @abstractmethod
    def tensors(self, block_size: int, ids: int) -> Shapes:
        """Return the dtype and shape of every tensor in ``model.safetensors``, by name.

        Args:
            block_size: symbols of context.
            ids: how many ids there are, the boundary included.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return a phrase that says what the model consists of."""

    @abstractmethod
    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""

    def products(self, block_size: int, ids: int) -> int:  # noqa: ARG002 - part of the interface
        """Return how many multiplications the logits of one context take; look-ups take none."""
        return 0


def listed(values: Sequence[float], form: str = "") -> str:
    """Return numbers as words list them: ``1, 2 and 3``."""
    *most, last = (format(value, form) for value in values)
    return f"{', '.join(most)} and {last}" if most else last
