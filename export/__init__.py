"""From a checkpoint to an artifact folder: weights, ONNX graph, parity ladder, model card.

Needs the extra ``[train]``.
"""

from typing import TYPE_CHECKING

from sequentia._lazy import resolve

if TYPE_CHECKING:
    from .card import model_card
    from .exporter import export

__all__ = ["export", "model_card"]

_MODULES = {"export": ".exporter", "model_card": ".card"}


def __getattr__(name: str) -> object:
    return resolve(__name__, name, _MODULES, extra="train")
