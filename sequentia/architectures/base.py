"""The base class of all kinds of models."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""The dtype, as safetensors spells it, and the shape of each tensor, by name."""


class BaseArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="model"):
    """A model's structure in enough detail to rebuild it from its weights; the key ``model`` gives its kind.

    Attributes:
        parameters: number of learnt parameters; for an n-gram model, the number of counts.
    """

    parameters: Count

    @abstractmethod
    def tensors(self, block_size: int, ids: int) -> Shapes:
        """Return the dtype and shape of every tensor in ``model.safetensors``, by name.

        Args:
            block_size: symbols in a context.
            ids: number of ids, the boundary included.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return a phrase that describes the model's parts."""

    @abstractmethod
    def summarize(self) -> str:
        """Return a phrase that names the kind of model, with its source."""

    def multiplications(self, block_size: int, ids: int) -> int:  # noqa: ARG002 - part of the interface
        """Return the number of multiplications for the logits of one context; table look-ups need none."""
        return 0


def format_list(values: Sequence[float], format_spec: str = "") -> str:
    """Return numbers as a list in prose: ``1, 2 and 3``."""
    *first, last = (format(value, format_spec) for value in values)
    return f"{', '.join(first)} and {last}" if first else last
