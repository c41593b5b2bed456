"""The network of Bengio et al. 2003 in whole numbers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from sequentia.architectures import MLPArchitecture
from sequentia.architectures.mlp import Layer, Skip
from sequentia.architectures.tree import Tree

from .network import MOST_POSITIONS, Exact, rounded, split_each, split_weights, table_range, tree_numbers

if TYPE_CHECKING:
    from .mlp import MLP, MLPStructure

_HEADROOM: Final = 1.25  # over the largest sums of typical contexts


def in_whole_numbers(
    network: "MLP",
    structure: "MLPStructure",
    bits: Mapping[str, int],
    contexts: NDArray[np.int64],
    conditions: NDArray[np.int64],
) -> Exact:
    """Return a network in whole numbers; see :meth:`.network.Network.in_whole_numbers`.

    Args:
        network: without normalisation.
        structure: that of the network as it was trained.
        bits: how many bits after the point each group has.
        contexts: int64 [n, block_size], typical ones.
        conditions: those of the contexts' names, int64 [n, conditions].
    """
    linear = [*network.hidden, network.output]
    weights = [layer.weight.detach().double().numpy().T for layer in linear]
    biases = [layer.bias.detach().double().numpy() for layer in linear]
    embedding = network.embedding.weight.detach().double().numpy()
    each = weights[0].reshape(-1, embedding.shape[1], len(biases[0]))
    first = np.einsum("ie,peu->piu", embedding, each[: network.block_size])
    others = zip(network.value_vectors(), each[network.block_size :], strict=True)
    said = [vectors.astype(np.float64) @ part for vectors, part in others]
    sums, sum_bits = np.tile(biases[0], (len(contexts), 1)), bits["first"]
    for place, table in enumerate(first):  # place by place, because all places at once take gigabytes
        sums += table[contexts[:, place]]
    for column, table in enumerate(said):
        sums += table[conditions[:, column]]
    tensors = {f"first.{place}": rounded(table, sum_bits) for place, table in enumerate(first)}
    tensors |= {f"condition.{column}": rounded(table, sum_bits) for column, table in enumerate(said)}
    layers: list[Layer] = []
    for number, (weight, bias) in enumerate(zip(weights[1:], biases[:-1], strict=True)):
        name, last = f"layer.{number}", number == len(weights) - 2
        highest = _HEADROOM * sums.max()
        if structure.activation == "relu":
            position_bits, lowest = bits["units"], 0
            largest = unit = max(1, int(rounded(highest, position_bits)))
        else:
            position_bits = min(bits["positions"], sum_bits)
            lowest, end = table_range(structure.activation, highest, bits["units"], position_bits)
            values = _activated(network, np.ldexp(np.arange(lowest, end + 1, dtype=np.float64), -position_bits))
            tensors[f"{name}.activation"] = rounded(values, bits["units"])
            largest, unit = end - lowest, int(np.abs(tensors[f"{name}.activation"]).max())
        if largest > MOST_POSITIONS:
            raise ValueError(f"units of up to {largest:,}, more than {MOST_POSITIONS:,}")
        raised = rounded(bias, sum_bits) - (lowest << sum_bits - position_bits)  # so that positions begin at 0
        if number == 0:
            tensors["first.0"] += raised
        else:
            tensors[f"layer.{number - 1}.bias"] = raised
        weight_bits = bits["output" if last else "hidden"]
        parts, low_bits = split_weights(name, weight, weight_bits, unit)
        tensors |= parts
        layers.append(
            Layer(
                position_bits=position_bits,
                largest=largest,
                unit_bits=bits["units"],
                weight_bits=weight_bits,
                low_bits=low_bits,
            )
        )
        sum_bits = layers[-1].sum_bits
        if not last:  # no one looks at the logits
            sums = _activated(network, sums) @ weight + biases[number + 1]
    tensors[f"layer.{len(layers) - 1}.bias"] = rounded(biases[-1], sum_bits)
    skip, tree, direct = _direct_numbers(network, bits)
    tensors |= direct
    exact = MLPArchitecture(
        parameters=structure.parameters - (0 if tree is None else (structure.tree - tree.states) * network.ids),
        embedding_dim=embedding.shape[1],
        hidden_sizes=[len(bias) for bias in biases[:-1]],
        activation=structure.activation,
        batch_norm=structure.batch_norm,
        direct=structure.direct,
        first_bits=bits["first"],
        layers=layers,
        direct_bits=bits.get("direct", 0),
        tree=tree,
        skip=skip,
    )
    return exact, tensors


def _direct_numbers(
    network: "MLP", bits: Mapping[str, int]
) -> tuple[Skip | None, Tree | None, dict[str, NDArray[np.int64]]]:
    """Return the direct connections in whole numbers: what the architecture says of them, and their tensors."""
    tensors: dict[str, NDArray[np.int64]] = {}
    skip, tree = None, None
    if network.direct is not None:
        rows = network.direct.weight.detach().double().numpy()
        if network.structure.tree:
            longer = network.longer.numpy().astype(np.int64)
            # A model that training started from may have contexts of symbols that are not there any more, and several
            # symbols may lead to a state: those that are one symbol in that model. Parents have lower numbers.
            parents, symbols = longer.nonzero()
            is_known, is_inner = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
            is_known[0] = is_inner[0] = is_inner[parents] = True
            for parent, child in zip(parents, longer[parents, symbols], strict=True):
                if is_known[parent] and not is_known[child]:
                    is_known[child] = True
                    rows[child] += rows[parent]
            inner, leaves = np.flatnonzero(is_known & is_inner), np.flatnonzero(is_known & ~is_inner)
            order = np.concatenate([inner, leaves])
            numbers = np.zeros(len(rows), dtype=np.int64)
            numbers[order] = np.arange(len(order))
            rows = rows[order]
            tree, tensors = tree_numbers("direct", numbers[longer[inner]], len(rows))
            rows = rows - (rows.max(axis=1) + rows.min(axis=1))[:, None] / 2  # which changes no probability
        tensors["direct"] = rounded(rows, bits["direct"])
    if network.skip is not None:
        vectors = rounded(network.embedding.weight.detach().double().numpy(), bits["skip_embedding"])
        each = network.skip.weight.detach().double().numpy().T.reshape(network.block_size, vectors.shape[1], -1)
        parts, low_bits = split_each("skip", each, bits["skip"], int(np.abs(vectors).max()))
        tensors |= {"skip.embedding": vectors, **parts}
        skip = Skip(embedding_bits=bits["skip_embedding"], weight_bits=bits["skip"], low_bits=low_bits)
    return skip, tree, tensors


def _activated(network: "MLP", sums: NDArray[np.float64]) -> NDArray[np.float64]:
    units: NDArray[np.float64] = network.activation(torch.from_numpy(sums)).numpy()
    return units
