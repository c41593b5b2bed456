"""The setting of Bengio et al. 2003 on the Brown corpus: make its list, and measure models against counted baselines.

    python benchmarks/bengio.py list brown.csv
    sequentia train brown.csv --column sentence --split-column part --recipe bengio -o bengio
    python benchmarks/bengio.py measure brown.csv bengio

``list`` reads the corpus from NLTK's data (``python -m nltk.downloader brown``), or from a text file with one
sentence a line, its tokens between spaces. The first 800,000 words are for training, the next 200,000 for validation,
the rest for the test, to the end of the sentence. The recipe merges words of at most 3 occurrences, as the paper does;
here those in the training part count.

``measure`` prints the perplexity per word, on the words of the model's own vocabulary. The ends of sentences are
measured apart: an end is predicted like a word, but the paper's text has none. The baselines are counted on the
training part: a trigram model interpolated by expectation-maximization on the validation part (Jelinek and Mercer
1980), with weights for five frequencies of the context, and modified Kneser-Ney models of orders 3 to 5 (Chen and
Goodman 1999).
"""

import argparse
import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import sequentia
from sequentia import SequenceModel
from sequentia.sampling import log_softmax
from sequentia.windows import windows

TRAINING, VALIDATION = 800_000, 200_000
PARTS: Final = ("train", "dev", "test")

_CHUNK: Final = 512
_ROUNDS: Final = 30
_FREQUENCIES: Final = (1, 5, 20, 100)

Ngram = tuple[int, ...]
Model = Callable[[Ngram], float]
"""The probability of the last of some ids after the others."""


def read_sentences(path: Path | None) -> list[list[str]]:
    """Return the sentences of the corpus, as words."""
    if path is None:
        from nltk.corpus import brown

        return [list(sentence) for sentence in brown.sents()]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [line.split() for line in file]


def write_list(sentences: Sequence[Sequence[str]], output: Path) -> None:
    """Write the table of sentences and their parts."""
    before = 0
    with output.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["sentence", "part"])
        for sentence in sentences:
            part = (before >= TRAINING) + (before >= TRAINING + VALIDATION)
            table.writerow([" ".join(sentence), PARTS[part]])
            before += len(sentence)


def read_list(path: Path, model: SequenceModel) -> list[list[Ngram]]:
    """Return the sentences of each part, as ids of a model's vocabulary, each with its end."""
    parts: dict[str, list[Ngram]] = {part: [] for part in PARTS}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            ids = model.vocabulary.encode(row["sentence"], unknown=True)
            parts[row["part"]].append((*ids.tolist(), 0))
    return list(parts.values())


def ngrams(sentence: Ngram, order: int) -> Iterable[Ngram]:
    """Yield each id of a sentence behind those before it, with boundaries where there are none."""
    padded = (0,) * (order - 1) + sentence
    for end in range(order, len(padded) + 1):
        yield padded[end - order : end]


def interpolated_trigram(train: Sequence[Ngram], validation: Sequence[Ngram], ids: int) -> Model:
    """Return a mixture of a uniform, a unigram, a bigram and a trigram model."""
    counts = [Counter(each for sentence in train for each in ngrams(sentence, order)) for order in (1, 2, 3)]
    totals: list[Counter[Ngram]] = [Counter() for _ in counts]
    for order, found in enumerate(counts):
        for ngram, count in found.items():
            totals[order][ngram[:-1]] += count

    def shares(ngram: Ngram) -> list[float]:
        found = [1 / ids]
        for order in range(3):
            last = ngram[2 - order :]
            total = totals[order][last[:-1]]
            found.append(counts[order][last] / total if total else 0.0)
        return found

    def bucket(ngram: Ngram) -> int:
        return int(np.digitize(totals[2][ngram[:2]], _FREQUENCIES))

    held_out: dict[int, list[list[float]]] = defaultdict(list)
    for sentence in validation:
        for ngram in ngrams(sentence, 3):
            held_out[bucket(ngram)].append(shares(ngram))
    weights = {number: fitted(np.array(rows)) for number, rows in held_out.items()}
    usual = fitted(np.array([row for rows in held_out.values() for row in rows]))
    return lambda ngram: float(np.dot(weights.get(bucket(ngram), usual), shares(ngram)))


def fitted(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights, float64 [models], with which some probabilities, [n, models], are highest in the mean."""
    weights = np.full(found.shape[1], 1 / found.shape[1])
    for _ in range(_ROUNDS):
        explained = found * weights
        explained /= explained.sum(axis=1, keepdims=True)
        weights = explained.mean(axis=0)
    return weights


def kneser_ney(train: Sequence[Ngram], order: int, ids: int) -> Model:
    """Return an interpolated Kneser-Ney model with three discounts for each order (Chen and Goodman 1999)."""
    counts = [Counter(each for sentence in train for each in ngrams(sentence, order))]
    for _ in range(1, order):  # shorter n-grams count once for each different symbol before them
        counts.insert(0, Counter(ngram[1:] for ngram in counts[0]))
    discounts, totals, masses = [], [], []
    for found in counts:
        numbers = Counter(found.values())
        share = numbers[1] / (numbers[1] + 2 * numbers[2])
        taken = [0.0, *(n - (n + 1) * share * numbers[n + 1] / numbers[n] for n in (1, 2, 3))]
        total: Counter[Ngram] = Counter()
        mass: dict[Ngram, float] = defaultdict(float)
        for ngram, count in found.items():
            total[ngram[:-1]] += count
            mass[ngram[:-1]] += taken[min(count, 3)]
        discounts.append(taken)
        totals.append(total)
        masses.append(mass)

    def probability(ngram: Ngram) -> float:
        found = 1 / ids
        for length in range(order):
            last = ngram[order - 1 - length :]
            total = totals[length][last[:-1]]
            if not total:
                break
            count = counts[length][last]
            found = (count - discounts[length][min(count, 3)] + masses[length][last[:-1]] * found) / total
        return found

    return probability


def probabilities(model: Model, order: int, sentences: Sequence[Ngram]) -> NDArray[np.float64]:
    """Return what a model gives to each id of some sentences, float64 [ids]."""
    return np.array([model(ngram) for sentence in sentences for ngram in ngrams(sentence, order)])


def network_probabilities(model: SequenceModel, sentences: Sequence[Ngram]) -> NDArray[np.float64]:
    """Return what an exported model gives to each id of some sentences, float64 [ids]."""
    tokens = np.array([each for sentence in sentences for each in sentence], dtype=np.int64)
    found = []
    for first in range(0, len(tokens), _CHUNK):
        positions = np.arange(first, min(first + _CHUNK, len(tokens)))
        contexts, targets = windows(tokens, positions, model.config.block_size)
        rows = log_softmax(model.logits(contexts))
        found.append(np.exp(rows[np.arange(len(targets)), targets]))
    return np.concatenate(found)


def main() -> None:
    """Make the list, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("list")
    making.add_argument("output", type=Path)
    making.add_argument("--text", type=Path, help="the corpus, one sentence a line; .gz is unpacked")
    measuring = commands.add_parser("measure")
    measuring.add_argument("list", type=Path)
    measuring.add_argument("models", nargs="+", help="run folders; the first one's vocabulary is that of the baselines")
    arguments = parser.parse_args()
    if arguments.command == "list":
        write_list(read_sentences(arguments.text), arguments.output)
        return
    models = {name: sequentia.load(name) for name in arguments.models}
    first = next(iter(models.values()))
    train, validation, test = read_list(arguments.list, first)
    ids = first.vocabulary.size
    trigram = "interpolated trigram"
    baselines = {trigram: (interpolated_trigram(train, validation, ids), 3)}
    baselines |= {f"Kneser-Ney, {order} words": (kneser_ney(train, order, ids), order) for order in (3, 4, 5)}
    found = {
        name: [probabilities(model, order, part) for part in (validation, test)]
        for name, (model, order) in baselines.items()
    }
    for name, network in models.items():
        if network.vocabulary != first.vocabulary:
            raise SystemExit(f"{name}: its vocabulary is not that of {arguments.models[0]}")
        own = found[name] = [network_probabilities(network, part) for part in (validation, test)]
        weights = fitted(np.stack([own[0], found[trigram][0]], axis=1))
        found[f"{name} and trigram, {weights[0]:.2f} and {weights[1]:.2f}"] = [
            np.stack(pair, axis=1) @ weights for pair in zip(own, found[trigram], strict=True)
        ]
    ends = [np.array([each == 0 for sentence in part for each in sentence]) for part in (validation, test)]
    best = min(_perplexity(rows[1][~ends[1]]) for name, rows in found.items() if name.startswith("Kneser-Ney"))
    print(f"{ids - 1:,} words; {(~ends[0]).sum():,} of validation, {(~ends[1]).sum():,} of test\n")
    print("| model | validation | test | to Kneser-Ney | ends, nats |\n|---|---|---|---|---|")
    for name, rows in found.items():
        words = [_perplexity(row[~end]) for row, end in zip(rows, ends, strict=True)]
        end_loss = -np.log(rows[1][ends[1]]).mean()
        print(f"| {name} | {words[0]:.1f} | {words[1]:.1f} | {words[1] / best:.3f} | {end_loss:.3f} |")


def _perplexity(found: NDArray[np.float64]) -> float:
    return float(np.exp(-np.log(found).mean()))


if __name__ == "__main__":
    main()
