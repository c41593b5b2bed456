"""Search for a learning rate: one minibatch at each of a series of rising rates (Smith 2015, section 3.3)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from sequentia._files import check_vacant, write_file
from sequentia._json import read_json
from sequentia.columns import ColumnRequest
from sequentia.config import Columns
from sequentia.errors import RecipeError, TrainingError
from sequentia.options import check_int

from .checkpoint import RunRecord
from .descent import Descent, device_named, isolated
from .preparing import prepare
from .progress import Progress, Report
from .recipes import default_recipe, read_recipe
from .starting import starting_weights, with_models
from .threads import threads_for

LEARNING_RATES: Final = "learning_rates.json"
_LOWEST, _HIGHEST = -3, 0
_RECIPE: Final = "names"
_FEWEST_STEPS: Final = 40
_SMOOTHED_OVER: Final = 0.05
_RUNAWAY: Final = 10


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The result of a search.

    Attributes:
        corpus: name of the corpus file.
        recipe: name of the recipe.
        overrides: ``key=value`` changes to it.
        rates: learning rate of each step, each higher by the same factor.
        losses: loss of the minibatch at each rate, in nats; fewer than the steps asked for if the loss diverged.
        smoothed: moving average of the losses over a twentieth of the steps.
        suggested: the rate with the lowest smoothed loss.
    """

    corpus: str
    recipe: str
    overrides: list[str]
    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggested: float

    def __post_init__(self) -> None:
        if not len(self.rates) == len(self.losses) == len(self.smoothed) > 0:
            raise ValueError("lists of different lengths")

    @property
    def at_the_end(self) -> bool:
        """Whether the suggestion is the lowest or highest rate tried, so that the best rate may lie outside."""
        return self.suggested in (self.rates[0], self.rates[-1])


def find_learning_rate(
    corpus: Path,
    folder: Path,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    steps: int = 1000,
    report: Report | None = None,
    columns: ColumnRequest | Columns | None = None,
) -> Search:
    """Train a new network while the rate rises exponentially from 10^-3 to 1, a minibatch each.

    At low rates the loss hardly falls, at high rates it diverges; the best rates lie in between. The suggestion is the
    rate at which the loss, averaged over a twentieth of the steps, is lowest. The search ends early once the loss is
    NaN or ten times the first loss.

    Args:
        corpus: a UTF-8 text file, one item per line.
        folder: receives ``learning_rates.json``.
        recipe: name or path of a recipe that takes steps, by default ``names``; its teachers are not used.
        overrides: ``key=value`` changes to it.
        device: as for :func:`sequentia.training.train`.
        steps: number of rates to try, 40 or more.
        report: called after each step.
        columns: those of a table to read.

    Raises:
        CorpusError: if the corpus cannot be used.
        OptionError: if there are fewer than 40 steps.
        RecipeError: if the recipe is malformed, or has no learning rate.
        TrainingError: if the folder holds something else, or the loss is NaN at the first rate.
    """
    check_int("steps", steps, least=_FEWEST_STEPS)
    name = recipe or default_recipe(overrides, _RECIPE)
    settings = read_recipe(name, overrides)
    descending = settings.descent
    if descending is None:
        raise RecipeError(f"recipe {name} has no learning rate", key="learning_rate")
    if not (folder / LEARNING_RATES).is_file():
        check_vacant(folder, "it holds no search to replace; choose another folder")
    target = device_named(device)
    settings, data, parts, _ = prepare(corpus, settings, columns)
    part = parts.train
    record = with_models(RunRecord.start(name, overrides, settings, data))
    del data, parts  # the part is a copy
    rates = np.logspace(_LOWEST, _HIGHEST, steps).tolist()
    losses: list[float] = []
    with isolated(target), threads_for(record):
        descent = Descent(descending, record, target)
        descent.prepare(part)
        if descending.start:
            descent.start_from(starting_weights(descending, record, part))
        for rate in rates:
            loss = descent.descend(part, rate).item()
            first = losses[0] if losses else loss
            if not loss <= _RUNAWAY * first:  # true for NaN as well
                break
            losses.append(loss)
            if report:
                done = len(losses)
                report(
                    Progress(phase="searching", done=done, total=steps, step=done, steps=steps, loss=loss, rate=rate)
                )
    if not losses:
        raise TrainingError(f"the loss became no number at learning rate {rates[0]:g}, the first; try another recipe")
    smoothed = _smoothed(losses, max(1, round(_SMOOTHED_OVER * steps)))
    search = Search(
        corpus=record.corpus.file,
        recipe=Path(record.recipe_name).name,
        overrides=list(overrides),
        rates=rates[: len(losses)],
        losses=losses,
        smoothed=smoothed,
        suggested=rates[int(np.argmin(smoothed))],
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / LEARNING_RATES, msgspec.json.encode(search) + b"\n")
    return search


def read_search(folder: Path) -> Search:
    """Return the result of the search in a folder.

    Raises:
        TrainingError: if its file is damaged.
    """
    return read_json(folder / LEARNING_RATES, Search)


def _smoothed(losses: list[float], width: int) -> list[float]:
    """Return the moving average of the losses; the window is cut off at the ends."""
    window = np.ones(min(width, len(losses)))
    means: list[float] = (
        np.convolve(losses, window, "same") / np.convolve(np.ones(len(losses)), window, "same")
    ).tolist()
    return means
