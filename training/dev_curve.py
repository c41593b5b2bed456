"""The loss on names of the dev part while a network trains, and the state in which it was lowest."""

import math
from typing import Final

import torch
from torch import Tensor

from sequentia.arithmetic import Inputs
from sequentia.likelihood import name_losses

from .checkpoint import Best
from .kinds import DescentRecipe, Network, predictor
from .parts import Part
from .team import Team

_MEASUREMENTS: Final = 36  # a multiple of the parts of a sweep's trial
_MOST_WINDOWS: Final = 1 << 13
_LEAST_WINDOWS: Final = 1 << 10
_SHARE: Final = 64  # one window is measured for at least so many that are trained on


def names_to_measure(dev: Part, recipe: DescentRecipe) -> Part:
    """Return evenly spaced names of the dev part, few enough that measuring them costs little beside the training."""
    trained_on = recipe.steps * recipe.batch_size or math.inf
    return dev.spread(int(min(_MOST_WINDOWS, max(_LEAST_WINDOWS, trained_on / _SHARE / _MEASUREMENTS))))


class DevCurve:
    """Measures the loss on dev after the first step and after each 36th part of the steps, and keeps the best state.

    A state is kept only if the recipe has ``patience``.

    Attributes:
        best: when the loss was lowest, None before the first measurement or without ``patience``.
        state: the tensors of the network at that time.

    Args:
        recipe: what the run does.
        inputs: what the network reads.
        team: the processes; the first one measures.
    """

    def __init__(self, recipe: DescentRecipe, inputs: Inputs, team: Team) -> None:
        self._recipe, self._inputs, self._team = recipe, inputs, team
        self._steps = {1, *(-(-recipe.steps * part // _MEASUREMENTS) for part in range(1, _MEASUREMENTS + 1))}
        self.best: Best | None = None
        self.state: dict[str, Tensor] = {}

    @property
    def stops(self) -> bool:
        """Whether the training should stop: the loss was not lowered by as many measurements as ``patience`` says."""
        return self.best is not None and self.best.waited >= self._recipe.patience

    def due(self, step: int) -> bool:
        """Return whether to measure after some steps."""
        return step in self._steps

    def measure(self, network: Network, names: Part, device: torch.device, step: int) -> float:
        """Return the mean loss of a network on names in nats per symbol, and note if it is the lowest.

        It draws no random numbers, and leaves the network as it was.
        """
        loss = self._team.from_first(self._loss(network, names, device) if self._team.rank == 0 else 0.0)
        if self._recipe.patience:
            if math.isfinite(loss) and (self.best is None or loss < self.best.dev):
                self.best = Best(step=step, dev=loss, waited=0)
                self.state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            elif self.best is not None:
                self.best = Best(step=self.best.step, dev=self.best.dev, waited=self.best.waited + 1)
        return loss

    def _loss(self, network: Network, names: Part, device: torch.device) -> float:
        was_training = network.training
        try:
            predict = predictor(network.eval(), device)
            losses = name_losses(names.tokens, self._inputs, predict, names.conditions if self._inputs.values else None)
        finally:
            network.train(was_training)
        return float(losses.sum()) / names.windows
