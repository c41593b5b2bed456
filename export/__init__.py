"""Export a checkpoint as an artifact folder, with its ONNX graph and model card, and publish it on the hub.

Needs the extra ``[train]``.
"""

from typing import TYPE_CHECKING

from sequentia._lazy import resolve

if TYPE_CHECKING:
    from .card import model_card
    from .exporter import export
    from .origins import CardFacts
    from .publishing import assemble, check, publish

__all__ = ["CardFacts", "assemble", "check", "export", "model_card", "publish"]

_MODULES = {
    "CardFacts": ".origins",
    "assemble": ".publishing",
    "check": ".publishing",
    "export": ".exporter",
    "model_card": ".card",
    "publish": ".publishing",
}


def __getattr__(name: str) -> object:
    return resolve(__name__, name, _MODULES, extra="train")
