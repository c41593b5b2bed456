"""Models of words: what is split, learnt, generated, scored and refused, with real small trainings."""

import json
import random
import re
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import sequentia
from sequentia import GenerationError, OptionError, SequenceModel, VocabularyError, search
from sequentia.errors import CorpusError, RecipeError, TrainingError
from sequentia.generation import stream_names
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.options import Plan
from sequentia.training import compare, evaluate_model, read_corpus, read_recipe, split, train
from sequentia.training.auto import plan
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.losses import cross_entropy
from sequentia.training.parts import texts
from sequentia.training.preparing import learnt, prepare
from sequentia.vocabulary import UNKNOWN, Vocabulary, WordVocabulary, vocabulary_of

from .conftest import MOONS
from .test_cli import fail, run_here, succeed

STREETS = [
    *("Abbey Road", "Baker Street", "Camden High Street", "Church Lane", "Élysée Road", "Fleet Street", "High Street"),
    *("Kings Road", "Long Lane", "Mill Lane", "New Road", "North Street", "Old Church Road", "Park Lane"),
    *("Queens Road", "Regent Street", "South Street", "Station Road"),
]
RARE = ["Zeppelin Way", "Church Mews"]  # words that occur once


def run_train(*arguments: object) -> str:
    """Run the command ``train``, and return what it tells beside its results."""
    result = run_here("train", *arguments)
    assert result.returncode == 0, result
    return result.stderr


@pytest.fixture(scope="module")
def list_of_streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = random.Random(5)
    lines = [*(f"{chosen.choice(['Upper', 'Lower', 'Old'])} {name}" for name in STREETS for _ in range(9)), *RARE]
    path = tmp_path_factory.mktemp("words") / "streets.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(list_of_streets: Path) -> Path:
    """A small model of words, made by the command."""
    folder = list_of_streets.parent / "streets"
    small = ["steps=150", "hidden_sizes=[24]", "embedding_dim=8", "block_size=3", "batch_size=64", "split=all"]
    settings = [part for each in small for part in ("--set", each)]
    run_train(list_of_streets, "-o", folder, "--recipe", "words", *settings)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> SequenceModel:
    return sequentia.load(folder)


# Vocabularies


def test_text_is_split_at_white_space_and_joined_by_single_spaces() -> None:
    vocabulary = WordVocabulary(["the", "Zoë", UNKNOWN])
    ids = vocabulary.encode("  Zoe\u0308\u00a0the\t the\u3000")
    assert ids.tolist() == [2, 1, 1]
    assert vocabulary.decode(np.array([[2, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]])) == ["Zoë the the", "", "the"]
    assert vocabulary.encode("the end", unknown=True).tolist() == [1, 3]
    assert vocabulary.lacking("the end is THE end") == ["end", "is", "THE", "end"]
    assert vocabulary.ids_of([UNKNOWN, "Zoë"]) == [None, 2], "no text holds the unknown word itself"


def test_names_become_the_bytes_of_their_text() -> None:
    vocabulary = WordVocabulary(["a", "Zoë", "😀!", UNKNOWN])
    names = np.random.default_rng(0).integers(0, 4, (40, 6)).astype(vocabulary.dtype)
    names = np.take_along_axis(names, np.argsort(names == 0, axis=1, kind="stable"), axis=1)  # boundaries last
    names[3] = 0
    data, lengths = vocabulary.to_utf8(names)
    assert data.tobytes().decode() == "".join(vocabulary.decode(names))
    assert lengths.tolist() == [len(text.encode()) for text in vocabulary.decode(names)]


@pytest.mark.parametrize(
    "symbols",
    [["a b", UNKNOWN], ["", UNKNOWN], ["a", "a", UNKNOWN], ["a"], [UNKNOWN], ["e\u0301", UNKNOWN], [UNKNOWN, "a"]],
)
def test_what_is_no_vocabulary_of_words_is_refused(symbols: list[str]) -> None:
    with pytest.raises(VocabularyError):
        vocabulary_of("words", symbols)


def test_vocabularies_of_two_kinds_are_not_equal() -> None:
    assert type(vocabulary_of("characters", "ab")) is Vocabulary
    assert WordVocabulary(["a", UNKNOWN]) == vocabulary_of("words", ["a", UNKNOWN]) != Vocabulary(["a"])


def test_the_vocabulary_comes_from_the_training_part(list_of_streets: Path) -> None:
    corpus = read_corpus(list_of_streets, symbols="words")
    parts = split(corpus, "lecture")
    before = [list(texts(part.tokens, corpus.vocabulary)) for part in (parts.train, parts.dev, parts.test)]
    assert sorted(chain(*before)) == sorted(list_of_streets.read_text(encoding="utf-8").splitlines())
    for rare in (0, 1, 3, 8):
        found, vocabulary = learnt(parts, corpus.vocabulary, rare)
        words = " ".join(before[0]).split()
        expected = sorted(
            {word for word in words if words.count(word) > rare}, key=lambda word: (-words.count(word), word)
        )
        assert vocabulary.symbols == (*expected, UNKNOWN)
        for part, lines in zip((found.train, found.dev, found.test), before, strict=True):
            spelt = [" ".join(word if word in expected else UNKNOWN for word in line.split()) for line in lines]
            assert list(texts(part.tokens, vocabulary)) == spelt
            assert part.tokens.dtype == np.uint8


def test_a_list_without_frequent_words_is_an_error(list_of_streets: Path) -> None:
    corpus = read_corpus(list_of_streets, symbols="words")
    with pytest.raises(CorpusError, match="no word occurs more than 900 times"):
        learnt(split(corpus, "all"), corpus.vocabulary, 900)


def test_more_words_than_a_vocabulary_holds(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"w{i} w{i // 2}" for i in range(70_000)), encoding="utf-8")
    corpus = read_corpus(path, symbols="words")
    assert corpus.tokens.dtype == np.uint32
    parts = split(corpus, "all")
    with pytest.raises(CorpusError, match=r"70,000 words occur more than 0 times .*; set rare=1"):
        learnt(parts, corpus.vocabulary, 0)
    found, vocabulary = learnt(parts, corpus.vocabulary, 1)
    assert vocabulary.size == 35_002
    assert found.train.tokens.dtype == np.uint16


# The artifact


def test_the_artifact_says_that_its_symbols_are_words(folder: Path, model: SequenceModel) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["symbols"] == "words"
    assert config["vocabulary"][-1] == UNKNOWN
    assert "Street" in config["vocabulary"]
    assert "Zeppelin" not in config["vocabulary"]
    assert config["training"]["settings"]["symbols"] == "words"
    assert config["max_length"] == 4
    assert model.vocabulary.kind == "words"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "word-level" in text
    assert "word by word" in text
    assert f"a vocabulary of {len(config['vocabulary']) - 1} words" in text


def test_a_changed_kind_of_symbols_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    for symbols in ("characters", "syllables"):
        (copy / "config.json").write_text(json.dumps(config | {"symbols": symbols}), encoding="utf-8")
        with pytest.raises(sequentia.ArtifactError, match=r"symbol 0 of the vocabulary|Invalid enum value"):
            sequentia.load(copy)


# Generation


def test_names_are_of_known_words(model: SequenceModel) -> None:
    names = model.generate(300, seed=1)
    words = {word for name in names for word in name.split(" ")}
    assert words <= set(model.vocabulary.symbols[:-1])
    assert {"Street", "Road", "Lane"} <= words
    assert model.generate(300, seed=1) == names
    assert [name for batch in model.shard(100, 50, seed=1) for name in model.vocabulary.decode(batch)] == names[100:150]
    assert model.generate_arrow(300, seed=1).to_pylist() == names
    assert len(set(model.generate(60, seed=1, unique=True))) == 60


def test_the_unknown_word_is_never_drawn_however_probable(model: SequenceModel) -> None:
    for options in ({"temperature": 3.0}, {"temperature": 50.0, "max_length": 12}, {"top_k": 40}, {"temperature": 0.0}):
        assert not any(UNKNOWN in name for name in model.generate(200, seed=2, **options))
    assert model.next_symbols("Upper")[UNKNOWN] > 0
    assert not any(UNKNOWN in name for name, _ in model.most_likely(500))


def test_prefix_suffix_and_lengths_are_of_words(model: SequenceModel) -> None:
    for name in model.generate(40, seed=3, prefix="Upper  Church"):
        assert name.startswith("Upper Church ") or name == "Upper Church"
    for name in model.generate(40, seed=3, suffix="Church Lane", prefix="Lower"):
        assert name.split()[0] == "Lower"
        assert name.split()[-2:] == ["Church", "Lane"]
    assert {len(name.split()) for name in model.generate(100, seed=3, min_length=3, max_length=3)} == {3}


def test_avoid_exclude_and_novel(model: SequenceModel, list_of_streets: Path) -> None:
    usual = model.generate(200, seed=4)
    found = model.generate(200, seed=4, avoid=["Road", "Church Lane", "Nowhere"])
    assert any("Road" in name.split() for name in usual)
    assert not any("Road" in name.split() or "Church Lane" in name for name in found)
    assert any("Church" in name.split() for name in found), "words are avoided, not their letters"
    most = max(set(usual), key=usual.count)
    assert most not in model.generate(200, seed=4, exclude=[most.replace(" ", "  "), "No such Street"])
    lines = set(list_of_streets.read_text(encoding="utf-8").splitlines())
    assert not lines & set(model.generate(100, seed=4, novel=True))


def test_what_the_model_cannot_spell_is_a_clear_error(model: SequenceModel) -> None:
    with pytest.raises(VocabularyError, match="word 2 of 'Upper Zeppelin', 'Zeppelin', is not among those"):
        model.generate(prefix="Upper Zeppelin")
    with pytest.raises(VocabularyError, match=r"'street', is not among .*; try 'Street'"):
        model.generate(suffix="street")
    with pytest.raises(VocabularyError, match="is not among"):
        model.generate(prefix=UNKNOWN)
    with pytest.raises(OptionError, match="a pattern is over characters; use prefix, suffix and avoid"):
        model.generate(pattern="a.*")
    with pytest.raises(OptionError, match="has 3 words, more than max_length 2"):
        model.generate(prefix="Old Church Road", max_length=2)
    with pytest.raises(OptionError, match="avoid must not contain the empty string"):
        model.generate(avoid=[" "])


def test_the_number_of_names_that_constraints_allow_leaves_the_unknown_word_out(model: SequenceModel) -> None:
    known = len(model.vocabulary.symbols) - 1
    with pytest.raises(GenerationError, match=f"the constraints allow {known}"):
        model.generate(known + 1, max_length=1, unique=True)


def test_most_likely_names_have_their_scores(model: SequenceModel) -> None:
    found = model.most_likely(25)
    scores = model.score([name for name, _ in found])
    assert np.allclose([score for _, score in found], scores)
    assert (np.diff(scores) <= 0).all()
    assert all(name.split()[-1] == "Road" for name, _ in model.most_likely(5, suffix="Road"))


# Scores


def test_an_unknown_word_is_scored_as_the_unknown_one(model: SequenceModel) -> None:
    first, second, known = model.score(["Upper Zeppelin", "Upper  Quagga", "Upper Street"])
    probability = model.next_symbols("Upper")[UNKNOWN]
    assert first == second != known
    assert first < np.log(probability)
    assert model.unknown_words(["Upper Zeppelin", "Old Church Road", "x y"]) == [["Zeppelin"], [], ["x", "y"]]


def test_score_says_which_words_are_unknown_on_request(folder: Path, tmp_path: Path) -> None:
    names = ["Upper Zeppelin Way", "Old Church Road"]
    silent = run_here("score", "--model", str(folder), *names)
    assert silent.stderr == "Unknown words count as one in 1 of these names; --unknown adds them.\n"
    plain = silent.stdout.splitlines()
    told = succeed("score", "--model", str(folder), "--unknown", *names).splitlines()
    assert [line.split("\t")[:2] for line in told] == [line.split("\t") for line in plain]
    assert [line.split("\t")[2] for line in told] == ["Zeppelin Way", ""]
    source, table = tmp_path / "names.txt", tmp_path / "scores"
    source.write_text("\n".join(names), encoding="utf-8")
    for suffix in (".csv", ".jsonl", ".json", ".parquet"):
        succeed("score", "--model", str(folder), "--unknown", "-i", str(source), "-o", str(table.with_suffix(suffix)))
    assert table.with_suffix(".csv").read_text(encoding="utf-8").splitlines()[0] == "name,log_probability,unknown"
    rows = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
    assert [row["unknown"] for row in rows] == ["Zeppelin Way", ""]
    assert [json.loads(line) for line in table.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()] == rows
    from pyarrow import parquet

    assert parquet.read_table(table.with_suffix(".parquet")).to_pylist() == rows


def test_an_unknown_character_stays_an_error() -> None:
    with pytest.raises(VocabularyError, match="is not in the vocabulary"):
        sequentia.load("names").score(["a1"])


# Training and measuring


def test_the_losses_of_the_artifact_are_those_of_the_run(folder: Path, list_of_streets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = train(list_of_streets, run, recipe="words", overrides=["steps=40", "hidden_sizes=[16]", "rare=2"])
    from sequentia.export import export

    config = export(run, run)
    metrics = evaluate_model(sequentia.load(run), list_of_streets)
    assert trained.record.metrics is not None
    assert metrics.dev is not None
    assert config.metrics.dev is not None
    assert metrics.dev.windows == config.metrics.dev.windows
    assert abs(metrics.dev.loss - config.metrics.dev.loss) < 0.01
    assert config.metrics.baselines["ngram"] > 0
    with pytest.raises(OptionError, match="cannot be compared"):
        compare(sequentia.load(run), sequentia.load("names"), list_of_streets)


def test_a_run_goes_on_with_its_words(list_of_streets: Path, tmp_path: Path) -> None:
    settings = ["steps=30", "hidden_sizes=[16]", "checkpoint_every=10", "symbols=words"]
    whole = train(list_of_streets, tmp_path / "whole", recipe="mlp", overrides=settings)
    assert whole.record.vocabulary[-1] == UNKNOWN
    again = train(list_of_streets, tmp_path / "whole", resume=True)
    assert again.record == whole.record
    assert Checkpoint.load(tmp_path / "whole").record.alphabet.kind == "words"


@pytest.mark.parametrize(("recipe", "settings"), [("gru", ["steps=8"]), ("ngram", ["order=3"]), ("bigram-counts", [])])
def test_other_kinds_of_models_learn_words(
    recipe: str, settings: list[str], list_of_streets: Path, tmp_path: Path
) -> None:
    from sequentia.export import export

    train(list_of_streets, tmp_path, recipe=recipe, overrides=[*settings, "symbols=words"])
    export(tmp_path, tmp_path)
    model = sequentia.load(tmp_path)
    words = set(model.vocabulary.symbols[:-1])
    assert all(set(name.split(" ")) <= words for name in model.generate(30, seed=0))


def test_conditions_and_weights(tmp_path: Path) -> None:
    path = tmp_path / "streets.csv"
    rows = [f"{name},{('north', 'south')[i % 2]},{1 + i % 3}" for i, name in enumerate(STREETS * 6)]
    path.write_text("\n".join(["street,part,weight", *rows]), encoding="utf-8")
    options = ["--column", "street", "--condition", "part", "--weight", "weight", "--set", "batch_size=16"]
    folder = tmp_path / "model"
    run_train(path, "-o", folder, "--recipe", "words", "--set", "average_decay=0", *options)
    model = sequentia.load(folder)
    south, north = (model.generate(100, where={"part": part}, seed=1) for part in ("south", "north"))
    assert south != north
    assert len(model.config.samples.groups) == 2


def test_losses_say_how_many_words_are_unknown_and_which_names_are_new(tmp_path: Path) -> None:
    """Two names that differ in an unknown word are not the same name, though the network reads the same."""
    names = [f"{first} {last}" for first in ("Upper", "Lower") for last in ("Road", "Lane", "Street") for _ in range(5)]
    rows = [*((name, "train") for name in names), ("Upper Aa", "train"), ("Upper Bb", "dev"), ("Lower Road", "dev")]
    table, folder = tmp_path / "streets.csv", tmp_path / "run"
    table.write_text("name,part\n" + "\n".join(map(",".join, rows)), encoding="utf-8")
    small = [setting for each in ("rare=1", "symbols=words", "final=measured") for setting in ("--set", each)]
    columns = ["--column", "name", "--split-column", "part"]
    printed = run_here("train", table, *columns, "-o", folder, "--recipe", "ngram", *small).stdout
    assert re.search(r"(?m)^dev +[0-9.]+ +2 +6 +17%$", printed), "one of six predictions"
    model = sequentia.load(folder)
    measured = evaluate_model(model, table)
    for metrics in (model.config.metrics, measured):
        assert metrics.train is not None
        assert metrics.train.unknown == 1
        assert metrics.dev_unseen is not None
        assert (metrics.dev_unseen.names, metrics.dev_unseen.unknown) == (1, 1)
    assert "| dev |" in (folder / "README.md").read_text(encoding="utf-8")
    assert "| 17% |" in (folder / "README.md").read_text(encoding="utf-8")
    other = tmp_path / "other"
    run_here("train", table, *columns, "-o", other, "--recipe", "ngram", *small, "--set", "rare=0")
    with pytest.raises(OptionError, match="do not know the same words"):
        compare(model, sequentia.load(other), table)


def test_training_goes_on_from_a_model_of_words(folder: Path, list_of_streets: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.txt"
    more = [f"{first} {name}" for first in ("Upper", "Nether") for name in STREETS] * 2
    path.write_text("\n".join(more), encoding="utf-8")
    told: list[str] = []
    trained = train(
        path, tmp_path / "tuned", recipe="tune", overrides=[f"start={folder}", "steps=20"], tell=told.append
    )
    assert re.fullmatch(rf"The model {re.escape(str(folder))} knows only \d\d% of the words in this list\.", told[0])
    assert trained.record.recipe.symbols == "words"
    assert "Nether" in trained.record.vocabulary
    with pytest.raises(RecipeError, match="is one of characters, and this run learns words"):
        train(path, tmp_path / "other", recipe="mlp", overrides=["symbols=words", "teachers=['model:names']"])
    with pytest.raises(RecipeError, match="symbols is that of the model"):
        read_recipe("tune", [f"start={folder}", "symbols=characters"])
    assert "only models of characters can be mixed" in fail("mix", str(folder), "names", "-o", str(tmp_path / "mixed"))


def test_info_speaks_of_words(folder: Path) -> None:
    printed = succeed("info", str(folder))
    assert "sees         the last 3 words" in printed
    assert "longest name 4 words" in printed


def test_moons_are_not_words(tmp_path: Path) -> None:
    told: list[str] = []
    train(MOONS, tmp_path, recipe="mlp", overrides=["symbols=auto", "steps=3"], tell=told.append)
    assert not told
    assert Checkpoint.load(tmp_path).record.recipe.symbols == "characters"


# Characters or words


def invented_companies(path: Path, count: int) -> Path:
    """Write names of companies that are made of a few hundred words, some of them much more often than others."""
    chosen = random.Random(1)
    syllables = ["ka", "ron", "ti", "vel", "mo", "sar", "lin", "do", "pe", "gra", "xu", "bri", "nal", "of"]
    first, second = (
        ["".join(chosen.choices(syllables, k=chosen.randint(2, 4))).title() for _ in range(n)] for n in (90, 60)
    )
    last = ["Incorporated", "Limited", "Corporation", "Holdings"]

    def frequent(words: list[str]) -> str:
        return words[int(len(words) * chosen.random() ** 2)]

    names = [" ".join(map(frequent, (first, second, last))) for _ in range(count)]
    path.write_text("\n".join(names), encoding="utf-8")
    return path


def test_auto_takes_words_where_they_make_dev_more_probable(tmp_path: Path) -> None:
    path = invented_companies(tmp_path / "companies.txt", 1500)
    found = prepare(path, read_recipe("auto", ["symbols=auto"]))
    assert found.recipe.symbols == "words"
    line, decision = found.lines
    characters, words = (float(number) for number in re.findall(r"\d\.\d\d", line))
    assert words < characters
    assert decision == "The model learns words."
    default = prepare(path, read_recipe("auto"))
    assert default.recipe.symbols == "characters"
    assert default.lines == [line, "A model of words may suit this list better: --symbols words."]
    assert not prepare(path, read_recipe("mlp")).lines
    assert found.corpus.vocabulary.kind == "words"
    planned = plan(found.recipe, found.parts.train, found.corpus.vocabulary.symbols, {})
    assert planned.recipe.symbols == "words"
    assert planned.recipe.final == "all"
    assert planned.recipe.teachers == [*(f"ngram order={order}" for order in (2, 3, 4, 6)), "words"]
    assert f"a vocabulary of {len(found.corpus.vocabulary.symbols) - 1}" in planned.lines[0]


def test_auto_takes_characters_where_words_do_not_repeat(tmp_path: Path) -> None:
    chosen = random.Random(2)
    names = ["".join(chosen.choices("abcdefg", k=6)) + " " + "".join(chosen.choices("hijklm", k=6)) for _ in range(600)]
    path = tmp_path / "names.txt"
    path.write_text("\n".join(names), encoding="utf-8")
    for overrides in ([], ["symbols=auto"]):
        found = prepare(path, read_recipe("auto", overrides))
        assert (found.recipe.symbols, found.lines) == ("characters", [])


def test_unknown_words_are_charged_for_their_letters(tmp_path: Path) -> None:
    """Half of the words of each item are new: as one unknown word they would cost nearly nothing."""
    chosen = random.Random(3)
    names = [f"the {''.join(chosen.choices('abcdefgh', k=9))} of the day" for _ in range(1000)]
    path = tmp_path / "days.txt"
    path.write_text("\n".join(names), encoding="utf-8")
    line, _ = prepare(path, read_recipe("auto", ["symbols=auto"])).lines
    bits = [float(number) for number in re.findall(r"\d\.\d\d", line)]
    assert all(27 / 25 < each < 1.5 for each in bits), "the 9 letters take 27 of the bits of 25 characters"


def test_a_plan_for_many_words_has_no_tables(tmp_path: Path) -> None:
    chosen = random.Random(4)
    lines = [" ".join(f"w{chosen.randrange(8000)}" for _ in range(8)) for _ in range(4000)]
    path = tmp_path / "many.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = prepare(path, read_recipe("auto", ["symbols=words", "final=measured"]))
    planned = plan(found.recipe, found.parts.train, found.corpus.vocabulary.symbols, {})
    assert not planned.recipe.teachers
    assert "too large for so many words" in planned.lines[1]


def test_the_whole_default_on_words(tmp_path: Path) -> None:
    path, folder = invented_companies(tmp_path / "companies.txt", 400), tmp_path / "model"
    told = run_train(path, "-o", folder, "--symbols", "words")
    assert "The plan: 5 members (counts of 2, 3, 4, 6 words; a feed-forward network)" in told
    model = sequentia.load(folder)
    assert model.config.training.settings["final"] == "all"
    assert model.config.metrics.dev is not None
    assert model.config.metrics.dev.loss < model.config.metrics.baselines["uniform"]
    assert (folder / "pictures" / "embedding.png").is_file()


# Large vocabularies


def test_the_cross_entropy_of_many_ids_is_that_of_pytorch() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, weight = torch.randn(12, 5000, generator=generator), torch.tensor(0.7)
    targets = torch.randint(0, 5000, (12,), generator=generator)
    found, expected = (logits.clone().requires_grad_() for _ in range(2))
    ours, theirs = cross_entropy(found, targets), functional.cross_entropy(expected, targets)
    (weight * ours).backward()  # type: ignore[no-untyped-call]
    (weight * theirs).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours, theirs)
    assert found.grad is not None
    torch.testing.assert_close(found.grad, expected.grad)


def test_tables_of_counts_that_would_be_too_large_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"w{i % 9000} w{i * 7 % 9000} w{i * 11 % 9000}" for i in range(18_000)), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"choose a lower order, .*or for words a larger rare, or a network"):
        train(path, tmp_path / "run", recipe="ngram", overrides=["symbols=words", "split=all"])


def test_the_largest_vocabulary_is_remembered_and_drawn_in_batches() -> None:
    ids = 65_536
    logits = np.random.default_rng(0).normal(size=ids).astype(np.float32)
    logits[0] += 10
    cache = LogitCache(lambda contexts: np.tile(logits, (len(contexts), 1)), 4, ids)
    vocabulary = WordVocabulary([*(f"w{i}" for i in range(ids - 2)), UNKNOWN])
    assert vocabulary.size == ids
    batches = list(stream_names(Methods(cache), vocabulary, Plan.of({"seed": 1}, vocabulary, 12), 150))
    assert [len(batch) for batch in batches] == [64, 64, 22]
    assert all(not (batch == vocabulary.unknown).any() for batch in batches)
    constrained = Plan.of({"seed": 1, "suffix": "w5", "avoid": ["w7 w8"], "max_length": 3}, vocabulary, 12)
    names = vocabulary.decode(next(stream_names(Methods(cache), vocabulary, constrained, 3)))
    assert names
    assert all(name.split()[-1] == "w5" and len(name.split()) <= 3 for name in names), "the look ahead finds them"


def test_a_search_among_words_ends_before_it_takes_all_memory(
    model: SequenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, value in (("_MOST_WAITING", 200), ("_MOST_LOGITS", 50 * model.vocabulary.size)):
        with monkeypatch.context() as lower:
            lower.setattr(search, limit, value)
            with pytest.raises(GenerationError, match="too many are equally probable"):
                model.most_likely(40, min_length=4)


def test_the_most_probable_names_are_found_some_symbols_at_a_time(
    model: SequenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = [{}, {"suffix": "Road", "max_length": 3}, {"prefix": "Upper", "avoid": ["Street"]}]
    expected = [model.most_likely(40, **options) for options in asked]
    for symbols in (1, 3):
        monkeypatch.setattr(search, "_AT_ONCE", symbols)
        assert [model.most_likely(40, **options) for options in asked] == expected
