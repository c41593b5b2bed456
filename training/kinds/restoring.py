"""The weights of a network from the whole numbers of its artifact, so that it can be trained on.

An artifact holds products: what each symbol adds to the first layer at each place. They are factorised again into
embeddings and weights, exactly except for rounding, because their rank is at most the width of an embedding.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sequentia.architectures import GRUArchitecture, MLPArchitecture
from sequentia.architectures.gru import GATES
from sequentia.architectures.mlp import Activation, Layer
from sequentia.arithmetic import Inputs
from sequentia.vocabulary import BOUNDARY
from sequentia.weights import Tensors

Floats = NDArray[np.float64]
Weights = dict[str, Tensor]
"""The parameters of a module, float32, by name."""

_ACTIVATED: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {"tanh": torch.tanh, "gelu": functional.gelu}


def mlp_weights(architecture: MLPArchitecture, tensors: Tensors, inputs: Inputs) -> Weights:
    """Return the weights of :class:`.mlp.MLP` with the structure of an architecture.

    Each place's table is centred over the symbols, and each condition's taken relative to "not said"; what is taken
    away goes into the bias. So the mean of the symbols' embeddings is zero, and so is the embedding of "not said".
    """
    width, units = architecture.embedding_dim, architecture.hidden_sizes[0]
    tables = [_steps(tensors[f"first.{place}"], architecture.first_bits) for place in range(inputs.block_size)]
    places = np.stack(tables, axis=1)  # [ids, places, units]
    means: Floats
    if architecture.skip is None:
        means = places.mean(axis=0)
        vectors, parts = factorised((places - means).reshape(inputs.ids, -1), width)
    else:  # the embeddings are known
        vectors = _steps(tensors["skip.embedding"], architecture.skip.embedding_bits)
        known = np.column_stack([vectors, np.ones(inputs.ids)])
        found = np.linalg.lstsq(known, places.reshape(inputs.ids, -1))[0].astype(np.float64)
        parts, means = found[:-1], found[-1].reshape(inputs.block_size, units)
    bias = means.sum(axis=0)
    columns = [parts.reshape(width, -1, units).swapaxes(0, 1).reshape(-1, units)]
    weights = {"embedding.weight": vectors}
    for column in range(len(inputs.values)):
        table = _steps(tensors[f"condition.{column}"], architecture.first_bits)
        bias = bias + table[0]
        weights[f"conditions.{column}.weight"], part = factorised(table - table[0], width)
        columns.append(part)
    weights["hidden.0.weight"] = np.concatenate(columns).T
    for number, layer in enumerate(architecture.layers):
        name, last = f"layer.{number}", number == len(architecture.layers) - 1
        activated = tensors.get(f"{name}.activation")
        weights[f"hidden.{number}.bias"] = bias + _lowest(architecture.activation, layer, activated)
        target = "output" if last else f"hidden.{number + 1}"
        weights[f"{target}.weight"] = _joined(tensors, name, layer.low_bits, layer.weight_bits).T
        bias = _steps(tensors[f"{name}.bias"], layer.sum_bits)
    weights["output.bias"] = bias
    if architecture.direct:
        rows = _steps(tensors["direct"], architecture.direct_bits)
        if architecture.tree is not None:
            steps = tensors["direct.reached"]
            is_step, places = steps > 0, np.cumsum(tensors["direct.gaps"], dtype=np.int64)
            reached, (parents, symbols) = steps[is_step], np.divmod(places[is_step], inputs.ids)
            rows[reached] -= rows[parents]
            weights["longer"] = np.zeros((len(rows), inputs.ids))
            weights["longer"][parents, symbols] = reached
        weights["direct.weight"] = rows
    if architecture.skip is not None:
        bits = architecture.skip.low_bits, architecture.skip.weight_bits
        skips = [_joined(tensors, f"skip.{place}", *bits) for place in range(inputs.block_size)]
        weights["skip.weight"] = np.concatenate(skips).T
    return _as_tensors(weights)


def gru_weights(architecture: GRUArchitecture, tensors: Tensors, inputs: Inputs) -> Weights:
    """Return the weights of :class:`.gru.GRU` with the structure of an architecture."""
    units, bits = architecture.hidden_size, architecture.position_bits
    ends = np.repeat(
        [architecture.largest_sigmoid // 2, architecture.largest_sigmoid // 2, architecture.largest_tanh // 2], units
    )
    given = _steps(np.concatenate([tensors[f"{gate}.given"] for gate in GATES], axis=1) - ends, bits)
    said = [
        _steps(np.concatenate([tensors[f"{gate}.condition.{column}"] for gate in GATES], axis=1), bits)
        for column in range(len(inputs.values))
    ]
    new_bias = _steps(tensors["new.bias"], bits)
    given[BOUNDARY, units : 2 * units] = _first_update(
        given[BOUNDARY], said, new_bias, _steps(tensors["start"], architecture.state_bits)
    )
    means = given.mean(axis=0)
    rows = [given - means, *(table - table[0] for table in said)]
    vectors, parts = factorised(np.concatenate(rows), architecture.embedding_dim)
    embedding, *values = np.split(vectors, np.cumsum([len(each) for each in rows])[:-1])
    weights = {"embedding.weight": embedding, "gru.weight_ih_l0": parts.T}
    weights |= {f"conditions.{column}.weight": table for column, table in enumerate(values)}
    weights["gru.bias_ih_l0"] = means + sum(table[0] for table in said)
    weights["gru.weight_hh_l0"] = np.concatenate(
        [_joined(tensors, gate, architecture.low_bits, architecture.weight_bits).T for gate in GATES]
    )
    weights["gru.bias_hh_l0"] = np.concatenate([np.zeros(2 * units), new_bias])
    weights["output.weight"] = _joined(tensors, "output", architecture.output_low_bits, architecture.output_bits).T
    sum_bits = architecture.state_bits + architecture.output_bits - architecture.output_low_bits
    weights["output.bias"] = _steps(tensors["output.bias"], sum_bits)
    return _as_tensors(weights)


def factorised(table: Floats, rank: int) -> tuple[Floats, Floats]:
    """Return the best factors of a table, [rows, rank] and [rank, columns]: the truncated singular value decomposition.

    The first factor has entries of about 1, like new embeddings. Where the table's own rank is lower, its further
    columns are zero; the rows of the second factor there are small random numbers, so that training can use them.
    """
    left, values, right = np.linalg.svd(table, full_matrices=False)
    used = min(rank, int(np.count_nonzero(values > 1e-9 * max(1.0, values[0]))))
    scale = math.sqrt(len(table))
    vectors = np.zeros((len(table), rank))
    vectors[:, :used] = left[:, :used] * scale
    parts = np.random.default_rng(0).standard_normal((rank, table.shape[1])) / math.sqrt(rank)
    parts[:used] = values[:used, None] * right[:used] / scale
    return vectors, parts


def _first_update(given: Floats, said: list[Floats], new_bias: Floats, start: Floats) -> Floats:
    """Return what the boundary adds to the update gate, float64 [units], found from the states after it.

    Its row of the table holds another number, which makes further boundaries change nothing. A state after one boundary
    is (1 - update) * new. Each unit's number comes from the combination of values at which ``new`` is largest.

    Args:
        given: what the boundary adds to all gates, [3 * units]; that of the update gate is not used.
        said: what each condition's values add, [values, 3 * units] each.
        new_bias: the bias of the new state that the reset gate scales.
        start: the state after a boundary for each combination of values, [combinations, units].
    """
    sums = given[None]
    for table in said:  # the last condition is the lowest digit of a combination
        sums = (sums[:, None] + table[None]).reshape(-1, len(given))
    reset, _, new = np.split(sums, len(GATES), axis=1)
    new = np.tanh(new + new_bias / (1 + np.exp(-reset)))
    best = np.abs(new).argmax(axis=0), np.arange(new.shape[1])
    share = np.divide(start[best], new[best], out=np.full(new.shape[1], 0.5), where=new[best] != 0)
    update = 1 - np.clip(share, 1e-3, 1 - 1e-3)
    units = new.shape[1]
    added = (sums - given)[:, units : 2 * units]
    found: Floats = np.log(update / (1 - update)) - added[best]
    return found


def _lowest(activation: Activation, layer: Layer, table: NDArray[np.integer] | None) -> float:
    """Return what the first position of a layer's table stands for: the sum there.

    The table itself tells: its entries between a quarter and three quarters of the highest are inverted.
    """
    if table is None:
        return 0.0
    values = _steps(table, layer.unit_bits)
    positions = np.ldexp(np.arange(len(table), dtype=np.float64), -layer.position_bits)
    highest = values.max()
    if highest <= 0:
        return float(-positions[-1])
    inside = (values >= highest / 4) & (values <= 3 * highest / 4)
    sums: Floats = _ACTIVATED[activation](torch.from_numpy(positions)).numpy()
    inside &= values <= sums[-1]
    return float((np.interp(values[inside], sums, positions) - positions[inside]).mean())


def _steps(numbers: NDArray[np.integer], bits: int) -> Floats:
    """Return what whole numbers in steps of 2^-bits stand for."""
    return np.ldexp(numbers.astype(np.float64), -bits)


def _joined(tensors: Tensors, name: str, low_bits: int, bits: int) -> Floats:
    """Return a weight matrix whose lowest bits may stand in a tensor of their own, float64 [inputs, outputs]."""
    numbers = tensors[f"{name}.weight"].astype(np.int64) << low_bits
    if low_bits:
        numbers = numbers + tensors[f"{name}.weight.low"]
    return _steps(numbers, bits)


def _as_tensors(weights: dict[str, Floats]) -> Weights:
    return {name: torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32)) for name, each in weights.items()}
