"""The recipe that looks at the list before it decides what to train."""

from typing import Annotated, NoReturn

from msgspec import Meta

from sequentia.arithmetic import Inputs

from .base import BaseRecipe, ConflictError


class AutoRecipe(BaseRecipe, frozen=True, kw_only=True, tag="auto"):
    """A recipe that becomes another one for each list; see :func:`sequentia.training.auto.plan`.

    Attributes:
        minutes: about how long the whole command may take on two cores; 0: as suits the length of the list.
        prior: a model of names in general, from which training starts if it knows the symbols of the list: a bundled
            one, a folder, or a repository on the hub. Empty: none.
    """

    minutes: Annotated[float, Meta(ge=0, le=1 << 20)] = 0.0
    prior: str = "prior"

    @property
    def auto(self) -> "AutoRecipe":
        """This recipe."""
        return self

    @property
    def block_size(self) -> int:
        """The plan says it."""
        raise ConflictError("model", "auto becomes another recipe for each list, and has no network of its own")

    def structure(self, inputs: Inputs) -> NoReturn:  # noqa: ARG002 - part of the interface
        """Raise an error: it has no network of its own."""
        raise ConflictError("model", "auto becomes another recipe for each list, and cannot be used here")
