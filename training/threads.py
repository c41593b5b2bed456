"""How many threads PyTorch computes a run with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from .checkpoint import RunRecord

_LEAST_PRODUCTS: Final = 1 << 25


@contextmanager
def threads_for(record: RunRecord) -> Iterator[None]:
    """Let PyTorch compute with one thread if the steps of a run are small, and afterwards with as many as before.

    A step of ``_LEAST_PRODUCTS`` products, parameters times rows of a minibatch, takes one core a millisecond or two.
    Below that, a second thread on an idle core makes it at most a fifth quicker, or not at all. But if another program
    uses that core, each operation waits until the second thread gets its turn: a step of ``fast`` was measured to take
    some 100 times as long.
    """
    before, recipe = torch.get_num_threads(), record.recipe.descent
    rows = 0 if recipe is None else recipe.batch_size or record.inputs.ids ** (recipe.block_size + 1)
    if before == 1 or record.recipe.teachers or record.structure.parameters * rows >= _LEAST_PRODUCTS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
