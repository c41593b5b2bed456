"""Conditions: what a name was said to be, such as its sex or its decade."""

import threading
from collections.abc import Mapping, Sequence
from typing import Final
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from ._forks import renew_after_fork
from .arithmetic import Inputs
from .errors import OptionError
from .likelihood import ConditionedPredict, Predict
from .logit_cache import LogitCache
from .lookahead import Methods, remembered

_LISTED: Final = 30
_REMEMBERED: Final = 4

Where = Mapping[str, object] | None
"""The option ``where``: a value for each condition that is said."""

Said = tuple[int, ...]
"""The id of each condition's value, 0 where it is not said."""


def listed(values: Sequence[str]) -> str:
    """Return values for a message: the first ones, and how many more there are."""
    more = f" and {len(values) - _LISTED:,} more" if len(values) > _LISTED else ""
    return ", ".join(map(repr, values[:_LISTED])) + more


def said_by(where: object, conditions: Mapping[str, Sequence[str]]) -> Said:
    """Return the option ``where`` as ids.

    Args:
        where: None, or a mapping from conditions to their values, texts or whole numbers; normalised to NFC.
        conditions: the values of each condition of the model.

    Raises:
        OptionError: if a condition or a value does not exist.
    """
    if where is None:
        return (0,) * len(conditions)
    if not isinstance(where, Mapping):
        example = next(((name, values[0]) for name, values in conditions.items()), ("sex", "f"))
        raise OptionError(
            f"where must map conditions to values, such as {dict([example])}, not {where!r}",
            option="where",
            value=where,
        )
    said = dict.fromkeys(conditions, 0)
    for key, value in where.items():
        name = normalize("NFC", key) if isinstance(key, str) else key
        if name not in said:
            known = f"its conditions are {listed(list(conditions))}" if conditions else "it has none"
            raise OptionError(f"where: the model has no condition {key!r}; {known}", option="where", value=where)
        said[name] = _id_of(name, value, conditions[name], where)
    return tuple(said.values())


def said_by_each(where: Sequence[Where], conditions: Mapping[str, Sequence[str]], names: int) -> NDArray[np.int64]:
    """Return the option ``where`` for each of some names as ids, int64 [names, conditions].

    Raises:
        OptionError: if there are more or fewer than names, or a condition or a value does not exist.
    """
    if len(where) != names:
        raise OptionError(
            f"where has {len(where)} entries for {names} names: give one for each name, or one for all",
            option="where",
            value=where,
        )
    said = [said_by(each, conditions) for each in where]
    return np.array(said, dtype=np.int64).reshape(names, len(conditions))


def text_of(value: object) -> str | None:
    """Return a value of ``where`` as text, whole numbers included; None if it is neither."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)  # as of a column of decades with gaps
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        value = str(value)
    return normalize("NFC", value) if isinstance(value, str) else None


def _id_of(name: str, value: object, values: Sequence[str], where: object) -> int:
    text = text_of(value)
    if text not in values:
        raise OptionError(f"where: {name} must be one of {listed(values)}, not {value!r}", option="where", value=where)
    return values.index(text) + 1


def bind(predict: ConditionedPredict, said: Said) -> Predict:
    """Return a function from contexts to logits where conditions have given values."""
    if not any(said):
        return predict
    row = np.array(said, dtype=np.int64)

    def bound(contexts: NDArray[np.int64]) -> NDArray[np.floating]:
        return predict(contexts, np.tile(row, (len(contexts), 1)))

    return bound


class Bindings:
    """A model with the values of its conditions bound, safe to share between threads.

    It remembers the logits and methods of the last four combinations of values, at most 32 MiB of logits each.

    Args:
        predict: computes the logits.
        inputs: what the model reads.
    """

    def __init__(self, predict: ConditionedPredict, inputs: Inputs) -> None:
        self._predict, self._inputs = predict, inputs
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._known: dict[Said, Methods] = {}

    def of(self, said: Said) -> Methods:
        """Return the methods, and their cache of logits, where conditions have given values."""
        with self._lock:
            return remembered(self._known, said, lambda: self._bound(said), _REMEMBERED)

    def _bound(self, said: Said) -> Methods:
        return Methods(LogitCache(bind(self._predict, said), self._inputs.block_size, self._inputs.ids))
