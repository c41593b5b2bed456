"""The networks of the ladder, compared with the published loops written out plainly."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sequentia.arithmetic import Inputs
from sequentia.export import export
from sequentia.training import read_recipe, train
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.kinds import BatchNorm
from sequentia.training.kinds.initialization import initialize
from sequentia.training.kinds.mlp import MLP, MLPRecipe
from sequentia.training.parts import Part

from .conftest import MOONS, SMALL
from .labelled import embed
from .test_training import history

INPUTS = Inputs(block_size=3, ids=27)


def plain_windows() -> tuple[Tensor, Tensor, int]:
    """Contexts of three symbols and targets of the lecture's training part, cut by the lecture's own loop."""
    words = MOONS.read_text(encoding="utf-8").split()
    symbols = sorted(set("".join(words)))
    random.seed(42)
    random.shuffle(words)
    contexts, targets = [], []
    for word in words[: int(0.8 * len(words))]:
        context = [0] * 3
        for target in [*(symbols.index(symbol) + 1 for symbol in word), 0]:
            contexts.append(context)
            targets.append(target)
            context = [*context[1:], target]
    return torch.tensor(contexts), torch.tensor(targets), len(symbols) + 1


def normalised(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    return gain * (x - x.mean(0)) / torch.sqrt(x.var(0) + 1e-5) + bias


Network = tuple[list[Tensor], Callable[[Tensor], Tensor]]


def mlp(ids: int, g: torch.Generator) -> Network:
    c, w1, b1, w2, b2 = (torch.randn(shape, generator=g) for shape in ((ids, 10), (30, 200), 200, (200, ids), ids))
    return [c, w1, b1, w2, b2], lambda x: torch.tanh(c[x].view(-1, 30) @ w1 + b1) @ w2 + b2


def mlp_init(ids: int, g: torch.Generator) -> Network:
    c = torch.randn((ids, 10), generator=g)
    w1 = torch.randn((30, 200), generator=g) * (5 / 3) / 30**0.5
    b1 = torch.randn(200, generator=g) * 0.01
    w2 = torch.randn((200, ids), generator=g) * 0.01
    b2 = torch.randn(ids, generator=g) * 0
    return [c, w1, b1, w2, b2], lambda x: torch.tanh(c[x].view(-1, 30) @ w1 + b1) @ w2 + b2


def mlp_batchnorm(ids: int, g: torch.Generator) -> Network:
    c = torch.randn((ids, 10), generator=g)
    w1 = torch.randn((30, 200), generator=g) * (5 / 3) / 30**0.5
    w2 = torch.randn((200, ids), generator=g) * 0.01
    b2 = torch.randn(ids, generator=g) * 0
    gain, bias = torch.ones(200), torch.zeros(200)
    return [c, w1, w2, b2, gain, bias], lambda x: torch.tanh(normalised(c[x].view(-1, 30) @ w1, gain, bias)) @ w2 + b2


def deep_batchnorm(ids: int, g: torch.Generator) -> Network:
    c = torch.randn((ids, 10), generator=g)
    widths = [30, 100, 100, 100, 100, 100, ids]
    weights = [torch.randn((a, b), generator=g) / a**0.5 for a, b in pairwise(widths)]
    biases, shifts = ([torch.zeros(width) for width in widths[1:]] for _ in range(2))
    gains = [torch.ones(width) for width in widths[1:]]
    gains[-1] *= 0.1

    def forward(x: Tensor) -> Tensor:
        x = c[x].view(-1, 30)
        for i, (weight, bias, gain, shift) in enumerate(zip(weights, biases, gains, shifts, strict=True)):
            x = normalised(x @ weight + bias, gain, shift)
            x = torch.tanh(x) if i < 5 else x
        return x

    return [c, *weights, *biases, *gains, *shifts], forward


@pytest.mark.parametrize(
    ("recipe", "build"),
    [("mlp", mlp), ("mlp-init", mlp_init), ("mlp-batchnorm", mlp_batchnorm), ("deep-batchnorm", deep_batchnorm)],
)
def test_the_published_random_number_protocol(
    tmp_path: Path, recipe: str, build: Callable[[int, torch.Generator], Network]
) -> None:
    """Parameters, then minibatches, from one generator; plain descent."""
    train(MOONS, tmp_path / "run", recipe=recipe, overrides=["steps=8"])
    x, y, ids = plain_windows()
    g = torch.Generator().manual_seed(2147483647)
    parameters, forward = build(ids, g)
    for parameter in parameters:
        parameter.requires_grad_()
    lines = history(tmp_path / "run")
    assert len(lines) == 8
    for line in lines:
        ix = torch.randint(0, len(x), (32,), generator=g)
        loss = functional.cross_entropy(forward(x[ix]), y[ix])
        assert line["loss"] == pytest.approx(loss.item(), rel=1e-6)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= 0.1 * gradient


def test_the_bigram_network(tmp_path: Path) -> None:
    """One-hot input times a matrix, the whole text at each step, and the L2 term."""
    train(MOONS, tmp_path / "run", recipe="bigram", overrides=["split=all", "steps=4"])
    words = MOONS.read_text(encoding="utf-8").split()
    symbols = [".", *sorted(set("".join(words)))]
    pairs = [(symbols.index(a), symbols.index(b)) for w in words for a, b in zip(f".{w}", f"{w}.", strict=True)]
    x, y = torch.tensor(pairs).T
    g = torch.Generator().manual_seed(2147483647)
    w = torch.randn((len(symbols), len(symbols)), generator=g).requires_grad_()
    lines = history(tmp_path / "run")
    assert len(lines) == 4
    for line in lines:
        loss = functional.cross_entropy(functional.one_hot(x, len(symbols)).float() @ w, y) + 0.01 * (w**2).mean()
        assert line["loss"] == pytest.approx(loss.item(), rel=1e-6)
        (gradient,) = torch.autograd.grad(loss, [w])
        w.data -= 50 * gradient


@pytest.mark.parametrize("batch_norm", ["none", "hidden", "all"])
@pytest.mark.parametrize("hidden_bias", ["true", "false"])
def test_folding_changes_no_logits(batch_norm: str, hidden_bias: str) -> None:
    recipe = read_recipe("deep-batchnorm", [f"batch_norm={batch_norm}", f"hidden_bias={hidden_bias}"])
    assert isinstance(recipe, MLPRecipe)
    g = torch.Generator().manual_seed(1)
    network = MLP(INPUTS, recipe.structure(INPUTS))
    initialize(network, recipe, g)
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data += 0.3 * torch.rand(tensor.shape, generator=g)
    contexts = torch.randint(0, 27, (500, 3), generator=g)
    folded = network.eval().for_inference()
    assert not [module for module in folded.modules() if isinstance(module, BatchNorm)]
    torch.testing.assert_close(folded(contexts), network(contexts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("initialization", ["scaled", "lecun", "kaiming", "small"])
def test_a_normalised_output_starts_near_the_uniform_distribution(initialization: str) -> None:
    recipe = read_recipe("deep-batchnorm", [f"initialization={initialization}"])
    assert isinstance(recipe, MLPRecipe)
    network = MLP(INPUTS, recipe.structure(INPUTS))
    g = torch.Generator().manual_seed(1)
    initialize(network, recipe, g)
    logits = network(torch.randint(0, 27, (500, 3), generator=g))
    loss = functional.cross_entropy(logits, torch.randint(0, 27, (500,), generator=g))
    assert loss.item() == pytest.approx(math.log(27), abs=0.02)


def test_the_running_statistics(tmp_path: Path) -> None:
    """A plain mean over the first thousand steps, so that a short run is not held against its start."""
    checkpoint = train(
        MOONS, tmp_path / "run", recipe="mlp-batchnorm", overrides=["steps=300", "learning_rate=1e-9", "batch_size=64"]
    )
    network = Checkpoint.load(tmp_path / "run").network()
    assert isinstance(network, MLP)
    x, _, _ = plain_windows()
    with torch.no_grad():
        hidden = network.hidden[0](network.embedding(x).flatten(start_dim=1))
    weights = checkpoint.weights
    assert (weights["hidden_norms.0.running_mean"] - hidden.mean(0)).abs().max() < 0.15
    torch.testing.assert_close(weights["hidden_norms.0.running_var"], hidden.var(0), rtol=0.1, atol=0.05)


@pytest.mark.parametrize("values", [(), (3,), (3, 40)])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_a_large_batch_looks_up_what_a_small_one_multiplies(bias: str, values: tuple[int, ...]) -> None:
    recipe = read_recipe("mlp", ["hidden_sizes=[32, 16]", "initialization=kaiming", f"hidden_bias={bias}"])
    assert isinstance(recipe, MLPRecipe)
    inputs = INPUTS._replace(values=values)
    network = MLP(inputs, recipe.structure(inputs))
    initialize(network, recipe, torch.Generator().manual_seed(1))
    embed(network)
    generator = torch.Generator().manual_seed(2)
    contexts = torch.randint(0, 27, (1000, 3), generator=generator)
    conditions = torch.stack(
        [torch.zeros(1000, dtype=torch.int64), *(torch.randint(0, n, (1000,), generator=generator) for n in values)]
    )[1:].T
    together = network.train()(contexts, conditions)
    pieces = zip(torch.split(contexts, 100), torch.split(conditions, 100), strict=True)
    torch.testing.assert_close(together, torch.cat([network(*piece) for piece in pieces]))
    torch.testing.assert_close(together, network.eval()(contexts, conditions))
    torch.testing.assert_close(network.train()(contexts), network(contexts, 0 * conditions))
    assert not values or not torch.allclose(network(contexts), together)


@pytest.mark.parametrize("recipe", ["mlp", "mlp-batchnorm", "deep-batchnorm"])
def test_conditions_are_embedded_after_the_symbols(recipe: str) -> None:
    """Like further symbols of the context, with tables of their own."""
    settings = read_recipe(recipe)
    assert isinstance(settings, MLPRecipe)
    inputs, longer = Inputs(3, 27, (27, 27)), Inputs(5, 27)
    network = settings.new_network(inputs, torch.Generator().manual_seed(1)).eval()
    other = MLP(longer, settings.structure(longer)).eval()
    state = network.state_dict()
    for name in ("conditions.0.weight", "conditions.1.weight"):
        state[name].copy_(state["embedding.weight"])
    other.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("conditions.")})
    rows = torch.randint(0, 27, (200, 5), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(rows[:, :3], rows[:, 3:]), other(rows))
    torch.testing.assert_close(network.for_inference()(rows[:, :3], rows[:, 3:]), other(rows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("symbols", [1, 2, 3])
def test_direct_connections_add_a_row_of_a_table(symbols: int) -> None:
    recipe = read_recipe("mlp-batchnorm", [f"direct={symbols}"])
    assert isinstance(recipe, MLPRecipe)
    inputs = Inputs(3, 6)
    network = MLP(inputs, recipe.structure(inputs))
    plain = MLP(inputs, msgspec.structs.replace(network.structure, direct=0))
    assert network.direct is not None
    network.direct.weight.data += 1  # which initialize() undoes
    initialize(network, recipe, torch.Generator().manual_seed(1))
    initialize(plain, recipe, torch.Generator().manual_seed(1))
    contexts = torch.cartesian_prod(*[torch.arange(6)] * 3)
    assert torch.equal(network.train()(contexts), plain.train()(contexts))

    network.direct.weight.data = torch.randn(6**symbols, 6, generator=torch.Generator().manual_seed(2))
    expected = plain.eval()(contexts)
    for row, context in enumerate(contexts.tolist()):
        index = sum(context[-1 - i] * 6**i for i in range(symbols))
        expected[row] += network.direct.weight[index]
    assert torch.equal(network.eval()(contexts), expected)
    torch.testing.assert_close(network.for_inference()(contexts), expected, atol=1e-5, rtol=1e-5)


def test_a_tree_adds_a_row_for_each_end_of_a_context_that_it_knows() -> None:
    recipe = read_recipe("mlp", ["direct=3", "tree=9", "block_size=3"])
    assert isinstance(recipe, MLPRecipe)
    inputs = Inputs(3, 3)
    network = MLP(inputs, recipe.structure(inputs))
    initialize(network, recipe, torch.Generator().manual_seed(1))
    network.prepare(Part.of(np.array([1, 2, 0, 1, 2, 1, 0, 1, 1, 0], dtype=np.uint8)))
    plain = MLP(inputs, msgspec.structs.replace(network.structure, direct=0, tree=0))
    initialize(plain, recipe, torch.Generator().manual_seed(1))
    assert network.direct is not None
    network.direct.weight.data = torch.randn(9, 3, generator=torch.Generator().manual_seed(2))
    contexts = torch.cartesian_prod(*[torch.arange(3)] * 3)
    expected = plain.eval()(contexts)
    # The most frequent: "1" 5 times, "|" and "|1" 3 times, "2" and "12" and "|12" 2 times, then "21", "121", …
    known: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)]
    longer = network.longer.long()
    states: dict[tuple[int, ...], int] = {(): 0}
    for context in known[1:]:
        states[context] = int(longer[states[context[1:]], context[0]])
        assert states[context], "this context is known"
    assert len(set(states.values())) == 7
    assert int(longer.max()) == 8, "and two of the rare ones"
    for row, context in enumerate(contexts.tolist()):
        for length in range(4):
            state = 0
            for symbol in context[3 - length :][::-1]:
                state = int(longer[state, symbol]) or -1
                if state < 0:
                    break
            if state >= 0:
                expected[row] += network.direct.weight[state]
    torch.testing.assert_close(network.eval()(contexts), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.for_inference()(contexts), expected, atol=1e-5, rtol=1e-5)


def test_skip_connections_lead_from_the_embeddings_to_the_logits() -> None:
    recipe = read_recipe("mlp-batchnorm", ["skip=true"])
    assert isinstance(recipe, MLPRecipe)
    inputs = Inputs(3, 6)
    network = MLP(inputs, recipe.structure(inputs))
    plain = MLP(inputs, msgspec.structs.replace(network.structure, skip=False))
    assert network.structure.parameters == sum(each.numel() for each in network.parameters())
    assert network.skip is not None
    network.skip.weight.data += 1  # which initialize() undoes
    initialize(network, recipe, torch.Generator().manual_seed(1))
    initialize(plain, recipe, torch.Generator().manual_seed(1))
    contexts = torch.cartesian_prod(*[torch.arange(6)] * 3)
    assert torch.equal(network.train()(contexts), plain.train()(contexts))

    network.skip.weight.data = torch.randn(network.skip.weight.shape, generator=torch.Generator().manual_seed(2))
    embedded = network.embedding(contexts).flatten(start_dim=1)
    expected = plain.eval()(contexts) + embedded @ network.skip.weight.T
    torch.testing.assert_close(network.eval()(contexts), expected)
    torch.testing.assert_close(network.for_inference()(contexts), expected, atol=1e-5, rtol=1e-5)


def test_direct_connections_draw_no_random_numbers(tmp_path: Path) -> None:
    """Neither for the parameters nor, which a drawn table would shift, for dropout."""
    overrides = [*SMALL, "steps=1", "dropout=0.5"]
    plain = train(MOONS, tmp_path / "plain", recipe="mlp", overrides=overrides)
    direct = train(MOONS, tmp_path / "direct", recipe="mlp", overrides=[*overrides, "direct=2", "skip=true"])
    assert history(tmp_path / "direct")[0]["loss"] == history(tmp_path / "plain")[0]["loss"]
    for name, tensor in plain.part("random").items():
        assert torch.equal(direct.part("random")[name], tensor)
    assert direct.weights.keys() - plain.weights.keys() == {"direct.weight", "skip.weight"}


@pytest.mark.parametrize("sizes", [[60], [60, 40]])
def test_dropout_leaves_units_out_of_a_minibatch(sizes: list[int]) -> None:
    recipe = read_recipe("mlp", [f"hidden_sizes={sizes}", "initialization=kaiming"])
    assert isinstance(recipe, MLPRecipe)
    network = MLP(INPUTS, recipe.structure(INPUTS), dropout=0.75).train()
    initialize(network, recipe, torch.Generator().manual_seed(1))
    contexts = torch.randint(0, 27, (50, 3), generator=torch.Generator().manual_seed(2))
    torch.manual_seed(3)
    network(contexts).square().sum().backward()
    for layer, width in zip(network.hidden, sizes, strict=True):
        assert isinstance(layer.weight, Tensor)
        assert layer.weight.grad is not None
        assert int((layer.weight.grad != 0).any(dim=1).sum()) == width // 4
    if len(sizes) == 1:  # then the logits are linear in the units, and right on average
        with torch.no_grad():
            drawn = torch.stack([network(contexts) for _ in range(2000)])
            error = (drawn.mean(dim=0) - network.eval()(contexts)).abs() / (drawn.std(dim=0) / 2000**0.5)
        assert float(error.max()) < 6


def test_tied_embeddings_are_the_weights_of_the_output(tmp_path: Path) -> None:
    overrides = [*SMALL, "embedding_dim=8", "hidden_sizes=[16,8]", "tied=true", "average_decay=0.9"]
    trained = train(MOONS, tmp_path / "run", recipe="mlp", overrides=overrides)
    untied = train(MOONS, tmp_path / "untied", recipe="mlp", overrides=[*overrides, "tied=false"])
    network = trained.network()
    assert isinstance(network, MLP)
    assert torch.equal(network.output.weight, network.embedding.weight)
    assert trained.record.structure.parameters == untied.record.structure.parameters - 8 * network.ids
    assert trained.record.metrics is not None
    exported = export(tmp_path / "run", tmp_path / "model")
    assert exported.metrics.dev is not None
    assert trained.record.metrics.dev is not None
    assert exported.metrics.dev.loss == pytest.approx(trained.record.metrics.dev.loss, abs=2e-3)


@pytest.mark.parametrize("initialization", ["scaled", "kaiming", "lecun"])
def test_tied_embeddings_start_near_the_uniform_distribution(initialization: str) -> None:
    overrides = [f"initialization={initialization}", "embedding_dim=64", "hidden_sizes=[100, 64]", "tied=true"]
    recipe = read_recipe("mlp", overrides)
    assert isinstance(recipe, MLPRecipe)
    logits = recipe.new_network(INPUTS, torch.Generator().manual_seed(1))(torch.cartesian_prod(*[torch.arange(27)] * 3))
    assert float(logits.detach().std()) < 1


@pytest.mark.parametrize("rows", [50, 1000])  # a large batch looks up what a small one multiplies
def test_embedding_dropout_hides_each_symbol_on_its_own(rows: int) -> None:
    recipe = read_recipe("mlp", ["embedding_dropout=0.25"])
    assert isinstance(recipe, MLPRecipe)
    network = recipe.new_network(INPUTS, torch.Generator().manual_seed(1))
    contexts = torch.randint(0, 27, (rows, 3), generator=torch.Generator().manual_seed(2))
    seen = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    with torch.no_grad():
        embedded = network.embedding(contexts)[:, None] * (seen / 0.75)[None, :, :, None]
        hidden = torch.tanh(network.hidden[0](embedded.flatten(start_dim=2)))
        possible = network.output(hidden)
        torch.manual_seed(3)
        drawn = network.train()(contexts)
        which = torch.isclose(possible, drawn[:, None], atol=1e-5).all(dim=2)
        assert bool((which.sum(dim=1) == 1).all())
        share = float(seen[which.int().argmax(dim=1)].mean())
        assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / (3 * rows))
        torch.testing.assert_close(
            network.eval()(contexts),
            network.output(torch.tanh(network.hidden[0](network.embedding(contexts).flatten(start_dim=1)))),
        )


@pytest.mark.parametrize("recipe", ["mlp", "gru"])
def test_mixed_precision_learns_nearly_the_same(tmp_path: Path, recipe: str) -> None:
    overrides = [*(SMALL if recipe == "mlp" else ["hidden_size=24", "embedding_dim=8"]), "steps=100", "batch_size=64"]
    exact = train(MOONS, tmp_path / "exact", recipe=recipe, overrides=overrides)
    mixed = train(MOONS, tmp_path / "mixed", recipe=recipe, overrides=[*overrides, "mixed_precision=true"])
    losses = [each.record.metrics.train for each in (exact, mixed) if each.record.metrics is not None]
    first, second = (each.loss for each in losses if each is not None)
    assert first != second
    assert first == pytest.approx(second, abs=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in mixed.weights.values())
