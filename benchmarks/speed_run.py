"""Compare the recipe `fast` with the published training loop, which takes 200,000 steps to the same loss.

    python benchmarks/speed_run.py names.txt [--rounds 1] [--peer-steps 200000]

The peer is the network of part 2 of the makemore lectures (A. Karpathy, neural networks: zero to hero), 11,897
parameters, trained as published there: plain tensors, autograd, minibatches of 32, rate 0.1 and after half of the steps
0.01; published dev loss 2.17. Both are trained in turn, each in a fresh process with one thread on the CPU, with the
same reading of the list, the same split and the same evaluation. Prints the seconds of the training alone and of the
whole process, the dev losses in nats per symbol, and the ratios; with several rounds, medians. The process of `fast`
also writes history and checkpoints and draws 10,000 samples. Fails if `fast` misses 2.17 or its training is not 20
times as quick. With fewer steps of the peer, its seconds are extrapolated and its loss stays far above 2.17.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

_STEPS = 200_000
_MOST_DEV_LOSS = 2.17
_LEAST_RATIO = 20


class Run(NamedTuple):
    """Seconds of the training and of the process around it, and the dev loss in nats per symbol."""

    training: float
    process: float
    dev: float


def train_peer(corpus: Path, steps: int) -> tuple[float, float]:
    import numpy as np
    import torch
    from torch.nn import functional

    from sequentia.arithmetic import Inputs
    from sequentia.training import read_corpus, split
    from sequentia.training.evaluation import evaluate, losses_of
    from sequentia.windows import windows

    torch.set_num_threads(1)
    data = read_corpus(corpus)
    parts, ids = split(data, "lecture"), data.vocabulary.size
    train = parts.train
    contexts, targets = (torch.from_numpy(x) for x in windows(train.tokens, np.arange(train.windows), 3))
    generator = torch.Generator().manual_seed(2147483647)
    embedding = torch.randn((ids, 10), generator=generator)
    weight_1 = torch.randn((30, 200), generator=generator)
    bias_1 = torch.randn(200, generator=generator)
    weight_2 = torch.randn((200, ids), generator=generator)
    bias_2 = torch.randn(ids, generator=generator)
    parameters = [embedding, weight_1, bias_1, weight_2, bias_2]
    for parameter in parameters:
        parameter.requires_grad = True

    def logits(context: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(embedding[context].view(-1, 30) @ weight_1 + bias_1)
        return hidden @ weight_2 + bias_2

    start = time.perf_counter()
    for step in range(steps):
        batch = torch.randint(0, len(contexts), (32,), generator=generator)
        loss = functional.cross_entropy(logits(contexts[batch]), targets[batch])
        for parameter in parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        rate = 0.1 if step < steps // 2 else 0.01
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.data += -rate * parameter.grad
    seconds = time.perf_counter() - start

    with torch.no_grad():
        losses = losses_of(Inputs(3, ids), lambda context, _=None: logits(torch.from_numpy(context)).numpy())
        metrics = evaluate(parts, losses, {})
    assert metrics.dev is not None
    return seconds, metrics.dev.loss


def train_fast(corpus: Path) -> tuple[float, float]:
    import torch

    from sequentia.training import train
    from sequentia.training.descent import Descent

    torch.set_num_threads(1)
    run, seconds = Descent.run, 0.0

    def timed(*arguments: Any) -> None:
        nonlocal seconds
        start = time.perf_counter()
        run(*arguments)
        seconds = time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder, patch.object(Descent, "run", timed):
        metrics = train(corpus, Path(folder), recipe="fast", device="cpu").record.metrics
    assert metrics is not None
    assert metrics.dev is not None
    return seconds, metrics.dev.loss


def run_process(corpus: Path, arguments: list[str]) -> Run:
    start = time.perf_counter()
    command = [sys.executable, __file__, str(corpus), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    training, dev = json.loads(shown)
    return Run(training, time.perf_counter() - start, dev)


def run_peer(corpus: Path, steps: int) -> Run:
    run = run_process(corpus, ["--only", "peer", "--peer-steps", str(steps)])
    training = run.training * _STEPS / steps
    return Run(training, run.process - run.training + training, run.dev)


def middle(runs: list[Run]) -> Run:
    return Run(*map(median, zip(*runs, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description="The recipe `fast` against the published training loop.")
    parser.add_argument("corpus", type=Path, help="the list names.txt of karpathy/makemore")
    parser.add_argument("--rounds", type=int, default=1, help="runs of the peer, each after one of `fast`")
    parser.add_argument("--peer-steps", type=int, default=_STEPS, help="fewer are extrapolated to 200,000")
    parser.add_argument("--only", choices=["peer", "fast"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.rounds, options.peer_steps) < 1:
        parser.error("--rounds and --peer-steps have to be 1 or more")
    if options.only:
        peer_run = options.only == "peer"
        print(json.dumps(train_peer(options.corpus, options.peer_steps) if peer_run else train_fast(options.corpus)))
        return
    fasts, peers = [run_process(options.corpus, ["--only", "fast"])], []
    for _ in range(options.rounds):
        peers.append(run_peer(options.corpus, options.peer_steps))
        fasts.append(run_process(options.corpus, ["--only", "fast"]))
    peer, fast = middle(peers), middle(fasts)
    worst = max(run.dev for run in fasts)
    training, process = peer.training / fast.training, peer.process / fast.process
    print(f"{'':28}{'training':>10}{'process':>10}{'dev':>8}")
    print(f"{'published loop':28}{peer.training:8.2f} s{peer.process:8.2f} s{peer.dev:8.4f}")
    print(f"{'recipe fast':28}{fast.training:8.2f} s{fast.process:8.2f} s{fast.dev:8.4f}")
    print(f"{'times as quick':28}{training:10.0f}{process:10.0f}")
    if options.peer_steps != _STEPS:
        print(
            f"the published loop took {options.peer_steps:,} of its 200,000 steps: seconds extrapolated, dev not final"
        )
    if worst > _MOST_DEV_LOSS:
        sys.exit(f"the dev loss of `fast` is {worst:.4f}, above {_MOST_DEV_LOSS}")
    if training < _LEAST_RATIO:
        sys.exit(f"less than {_LEAST_RATIO} times as quick")


if __name__ == "__main__":
    main()
