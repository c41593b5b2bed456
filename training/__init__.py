"""From a list to a checkpoint: corpus, splits, recipes, networks, counts, training, evaluation and pictures.

Training needs the extra ``[train]``. Reading a corpus, listing the recipes and evaluating an artifact do without it.
"""

from typing import TYPE_CHECKING

from sequentia._lazy import resolve

if TYPE_CHECKING:
    from .corpus import read_corpus
    from .evaluation import compare, evaluate_model
    from .learning_rates import find_learning_rate
    from .mixing import mix
    from .parts import split
    from .pictures import plot
    from .recipes import read_recipe, recipe_names
    from .sweep import find_recipe
    from .trainer import train

__all__ = [
    "compare",
    "evaluate_model",
    "find_learning_rate",
    "find_recipe",
    "mix",
    "plot",
    "read_corpus",
    "read_recipe",
    "recipe_names",
    "split",
    "train",
]

_MODULES = {
    "compare": ".evaluation",
    "evaluate_model": ".evaluation",
    "find_learning_rate": ".learning_rates",
    "find_recipe": ".sweep",
    "mix": ".mixing",
    "plot": ".pictures",
    "read_corpus": ".corpus",
    "read_recipe": ".recipes",
    "recipe_names": ".recipes",
    "split": ".parts",
    "train": ".trainer",
}


def __getattr__(name: str) -> object:
    return resolve(__name__, name, _MODULES, extra="train")
