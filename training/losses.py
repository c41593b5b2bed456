"""The cross-entropy of a minibatch, with less work for large vocabularies."""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_MANY_IDS: Final = 4096


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy, float32 [].

    Of many ids, the logits of a minibatch take more memory than a processor's cache. There, PyTorch's own gradient goes
    over that memory three times, and that of :class:`_Frugal` once.

    Args:
        logits: float32 or bfloat16 [n, ids].
        targets: int64 [n]; or probabilities, float32 [n, ids].
    """
    if logits.shape[1] < _MANY_IDS or targets.is_floating_point():
        return functional.cross_entropy(logits.float(), targets)
    return _Frugal.apply(logits, targets)  # type: ignore[no-any-return, no-untyped-call]


class _Frugal(torch.autograd.Function):
    """The cross-entropy, whose gradient overwrites the log probabilities."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean negative log probability of the targets."""
        log_probabilities = functional.log_softmax(logits, dim=1)
        ctx.save_for_backward(log_probabilities, targets)
        return -log_probabilities.gather(1, targets[:, None]).float().mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the logits: the probabilities, less 1 at the targets, divided by the rows."""
        log_probabilities, targets = ctx.saved_tensors
        found = log_probabilities.exp_()
        found[torch.arange(len(targets), device=targets.device), targets] -= 1
        return found.mul_(gradient / len(targets)), None
