"""Optimizers: how the gradients of a step change the parameters.

They are those of PyTorch in their functional form. Its classes import its compiler: half a second for what training
never uses.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-8

State = dict[str, Tensor]
"""What an optimizer remembers of a parameter, by name."""


class Optimizer(ABC):
    """Changes parameters against their gradients.

    Attributes:
        states: the state of each parameter that has one, by the parameter's number.

    Args:
        parameters: those to change.
        weight_decay: a step takes this share, times the learning rate, off each parameter.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float) -> None:
        self._parameters, self._weight_decay = list(parameters), weight_decay
        self.states: dict[int, State] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def restore(self, states: Mapping[int, State]) -> None:
        """Go on from the states of another optimizer of its kind."""
        self.states = {
            number: {name: value.to(self._parameters[number].device, copy=True) for name, value in state.items()}
            for number, state in states.items()
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change each parameter that has a gradient, at a learning rate."""
        numbers = [number for number, parameter in enumerate(self._parameters) if parameter.grad is not None]
        parameters: list[Tensor] = [self._parameters[number] for number in numbers]
        self._step(numbers, parameters, [each.grad for each in parameters if each.grad is not None], rate)

    @abstractmethod
    def _step(self, numbers: list[int], parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None: ...


class SGD(Optimizer):
    """Stochastic gradient descent; it has no states."""

    def _step(self, numbers: list[int], parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        sgd(
            parameters,
            gradients,
            [None for _ in numbers],
            lr=rate,
            weight_decay=self._weight_decay,
            momentum=0.0,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            fused=True,
        )


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def _step(self, numbers: list[int], parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        for number, parameter in zip(numbers, parameters, strict=True):
            if number not in self.states:
                self.states[number] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        means, squares, steps = (
            [self.states[number][name] for number in numbers] for name in ("exp_avg", "exp_avg_sq", "step")
        )
        adamw(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            lr=rate,
            weight_decay=self._weight_decay,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
            fused=True,
        )


OPTIMIZERS: Final[dict[str, type[Optimizer]]] = {"sgd": SGD, "adamw": AdamW}
