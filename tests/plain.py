"""A second evaluator, written from docs/format.md alone: numbers of plain Python, no NumPy, no onnxruntime.

The tests hold the library against it. :mod:`tests.plain_constraints` is its other half: which names a stream has.
"""

import hashlib
import json
import math
import struct
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache, reduce
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

MASK = 2**64 - 1
FORMATS = {"I8": "b", "I16": "h", "I32": "i"}
WEIGHTS = [math.floor(2**32 * math.exp(-d / 256) + 0.5) for d in range(5856)] + [0]


def read_tensors(data: bytes) -> dict[str, list[Any]]:
    start = 8 + int.from_bytes(data[:8], "little")
    tensors: dict[str, list[Any]] = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            (*rows, width), (begin, end) = entry["shape"], entry["data_offsets"]
            form = f"<{math.prod(entry['shape'])}{FORMATS[entry['dtype']]}"
            values = list(struct.unpack(form, data[start + begin : start + end]))
            tensors[name] = [values[at : at + width] for at in range(0, len(values), width)] if rows else values
    return tensors


def shift(x: int, bits: int) -> int:
    return x << -bits if bits <= 0 else (x + (1 << bits - 1)) >> bits


def philox(key: int, counter: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    k0, k1 = key & MASK, key >> 64
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & MASK, (p0 >> 64) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c0, c1, c2, c3


@cache
def key_of(seed: int | str) -> int:
    return seed if isinstance(seed, int) else int.from_bytes(hashlib.sha256(seed.encode()).digest()[:16], "little")


@lru_cache(2**16)
def uniforms(seed: int | str, name: int, draws: int, attempt: int = 0) -> list[int]:
    """Return a name's uniform numbers, in steps of 2^-53."""
    counters = range(name * draws // 4 + 1, (name + 1) * draws // 4 + 1)
    blocks = (philox(key_of(seed), (at & MASK, at >> 64, attempt, 0)) for at in counters)
    return [word >> 11 for block in blocks for word in block]


def weights(
    logits: list[int], allowed: list[bool], temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> list[int]:
    ids = [i for i, may in enumerate(allowed) if may]
    largest = max(logits[i] for i in ids)
    if temperature == 0:
        best = min(i for i in ids if logits[i] == largest)
        return [2**32 * (i == best) for i in range(len(logits))]
    distance = {i: math.floor(min((largest - logits[i]) / temperature + 0.5, 5856)) for i in ids}
    kept = {i: WEIGHTS[distance[i]] for i in sorted(ids, key=lambda i: (distance[i], i))[:top_k]}
    total, before, found = sum(kept.values()), 0, [0] * len(logits)
    for i in sorted(kept, key=lambda i: (-kept[i], i)):
        if before < top_p * total:
            found[i] = kept[i]
        before += kept[i]
    return found


def draw(relative: list[int], uniform: int) -> int:
    return choose(list(accumulate(relative)), uniform)


def choose(sums: Sequence[float], uniform: int) -> int:
    """Return the first id whose sum is greater than the uniform share of the last one."""
    return bisect_right(sums, (uniform * 2.0**-53) * sums[-1])


class Plain:
    """An artifact, from config.json, model.safetensors and perhaps novelty.crc32."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.architecture = config["architecture"]
        self.tensors = t = read_tensors((folder / "model.safetensors").read_bytes())
        self.symbols, self.words = ["", *config["vocabulary"]], config.get("symbols") == "words"
        self.separator = " " if self.words else ""
        self.block_size, self.longest = config["block_size"], config["max_length"]
        self.conditions: dict[str, list[str]] = config.get("conditions", {})
        hashes = folder / "novelty.crc32"
        self.known = {number for (number,) in struct.iter_unpack("<I", hashes.read_bytes())} if hashes.is_file() else {}
        self.after = cache(lambda context, said=(): self.logits(list(context), said))
        self.weights_after = cache(self.weights_of)
        self.columns = cache(lambda name: list(zip(*self.tensors[name], strict=True)))
        self.steps = cache(lambda n: dict(zip(accumulate(t[f"{n}.gaps"]), t[f"{n}.reached"], strict=True)))

    def said(self, where: dict[str, Any] | None) -> tuple[int, ...]:
        return tuple(v.index(where[c]) + 1 if where and c in where else 0 for c, v in self.conditions.items())

    def logits(self, context: list[int], said: Sequence[int] = ()) -> list[int]:
        """Return the logits after a context, in steps of 1/256."""
        return getattr(self, self.architecture["model"])(context, said or [0] * len(self.conditions))  # type: ignore[no-any-return]

    def combination(self, said: Sequence[int]) -> int:
        return reduce(lambda row, c: row * (len(c[1]) + 1) + c[0], zip(said, self.conditions.values(), strict=True), 0)

    def product(self, name: str, x: list[int], low_bits: int) -> list[int]:
        sums = [sum(map(mul, x, column)) for column in self.columns(f"{name}.weight")]
        if not low_bits:
            return sums
        lows = [sum(map(mul, x, column)) for column in self.columns(f"{name}.weight.low")]
        return [high + shift(low, low_bits) for high, low in zip(sums, lows, strict=True)]

    def bigram(self, context: list[int], _said: Sequence[int]) -> list[int]:
        return list(self.tensors["table"][context[-1]])

    def ngram(self, context: list[int], said: Sequence[int]) -> list[int]:
        start = self.tensors["start"][self.combination(said)] if said else 0
        state = self.walk("table", start, context[1 - max(self.architecture["order"], 2) :])
        return list(self.tensors["table"][state])

    def walk(self, table: str, state: int, context: list[int]) -> int:
        longer = self.steps(table).get(state * len(self.symbols) + context[-1]) if context else 0
        return self.walk(table, longer, context[:-1]) if longer else state

    def mlp(self, context: list[int], said: Sequence[int]) -> list[int]:
        a, t, bits = self.architecture, self.tensors, self.architecture["first_bits"]
        rows = [t[f"first.{i}"][s] for i, s in enumerate(context)] + self.condition_rows("", said)
        sums = [sum(column) for column in zip(*rows, strict=True)]
        for n, layer in enumerate(a["layers"]):
            units = [min(max(shift(x, bits - layer["position_bits"]), 0), layer["largest"]) for x in sums]
            if a["activation"] != "relu":
                units = [t[f"layer.{n}.activation"][position] for position in units]
            products = self.product(f"layer.{n}", units, layer["low_bits"])
            sums = [x + bias for x, bias in zip(products, t[f"layer.{n}.bias"], strict=True)]
            bits = layer["unit_bits"] + layer["weight_bits"] - layer["low_bits"]
        logits = [shift(x, bits - 8) for x in sums]
        if a["direct"]:
            row = reduce(lambda row, symbol: row * len(self.symbols) + symbol, context[-a["direct"] :], 0)
            row = self.walk("direct", 0, context[-a["direct"] :]) if a.get("tree") else row
            logits = [x + shift(y, a["direct_bits"] - 8) for x, y in zip(logits, t["direct"][row], strict=True)]
        for i, symbol in enumerate(context if (skip := a.get("skip")) else []):
            products = self.product(f"skip.{i}", t["skip.embedding"][symbol], low := skip["low_bits"])
            bits = skip["embedding_bits"] + skip["weight_bits"] - low - 8
            logits = [x + shift(y, bits) for x, y in zip(logits, products, strict=True)]
        return logits

    def condition_rows(self, prefix: str, said: Sequence[int]) -> list[list[int]]:
        return [self.tensors[f"{prefix}condition.{n}"][value] for n, value in enumerate(said)]

    def gate(self, name: str, table: str, symbol: int, said: Sequence[int], sums: list[int]) -> list[int]:
        values = self.tensors[table]
        rows = [self.tensors[f"{name}.given"][symbol], *self.condition_rows(f"{name}.", said), sums]
        return [values[min(max(sum(column), 0), len(values) - 1)] for column in zip(*rows, strict=True)]

    def gru(self, context: list[int], said: Sequence[int]) -> list[int]:
        a, t, state = self.architecture, self.tensors, self.tensors["start"][self.combination(said)]
        bits, one = a["state_bits"] + a["weight_bits"] - a["low_bits"] - a["position_bits"], 1 << a["state_bits"]
        for symbol in context:
            products = (self.product(gate, state, a["low_bits"]) for gate in ("reset", "update", "new"))
            reset, update, new = ([shift(x, bits) for x in sums] for sums in products)
            reset = self.gate("reset", "sigmoid", symbol, said, reset)
            update = self.gate("update", "sigmoid", symbol, said, update)
            shown = zip(reset, new, t["new.bias"], strict=True)
            shown_steps = [shift(r * (x + bias), a["gate_bits"]) for r, x, bias in shown]
            new = self.gate("new", "tanh", symbol, said, shown_steps)
            after = [n + shift(u * (s - n), a["gate_bits"]) for u, s, n in zip(update, state, new, strict=True)]
            state = [min(max(x, -one), one) for x in after]
        sums = self.product("output", state, a["output_low_bits"])
        bits = a["state_bits"] + a["output_bits"] - a["output_low_bits"] - 8
        return [shift(x + bias, bits) for x, bias in zip(sums, t["output.bias"], strict=True)]

    def context(self, ids: list[int]) -> tuple[int, ...]:
        return tuple(([0] * self.block_size + ids)[-self.block_size :])

    def relative(self, ids: list[int], o: dict[str, Any]) -> list[int]:
        context, said = self.context(ids), self.said(o.get("where"))
        return self.weights_after(context, said, o.get("temperature", 1.0), o.get("top_k"), o.get("top_p") or 1.0)

    def weights_of(self, context: tuple[int, ...], said: tuple[int, ...], *options: Any) -> list[int]:
        logits = self.after(context, said)
        return weights(logits, [any(context)] + [True] * (len(logits) - 2) + [not self.words], *options)

    def split(self, text: str) -> list[str]:
        return (str.split if self.words else list)(unicodedata.normalize("NFC", text))

    def encode(self, text: str) -> list[int]:
        return [self.symbols.index(symbol) for symbol in self.split(text)]
