"""Text files as tokens, and their splits."""

import dataclasses
import hashlib
import random
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequentia import CorpusError
from sequentia.training import train
from sequentia.training.corpus import Corpus, read_corpus
from sequentia.training.parts import Part, Tokens, fingerprint, split, texts
from sequentia.windows import windows

from .conftest import MOONS, NEEDS_NAMES

Write = Callable[[bytes | str], Path]
ITEMS = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Zs", "Zl", "Zp"], exclude_characters="\ufffc\ufffd"),
        min_size=1,
        max_size=9,
    ),
    min_size=2,
)


def names_of(tokens: Tokens, corpus: Corpus) -> list[str]:
    """Decode a token array name by name."""
    symbols = ("\n", *corpus.vocabulary.symbols)
    return "".join(symbols[token] for token in tokens.tolist()).splitlines()


@given(ITEMS)
def test_a_file_becomes_its_names(tmp_path_factory: pytest.TempPathFactory, items: list[str]) -> None:
    items = [unicodedata.normalize("NFC", item) for item in items]
    path = tmp_path_factory.mktemp("corpus") / "items.txt"
    path.write_bytes("\n".join(items).encode())
    corpus = read_corpus(path)
    symbols = ("\n", *corpus.vocabulary.symbols)
    assert "".join(symbols[token] for token in corpus.tokens) == "".join(f"{item}\n" for item in items)
    assert corpus.vocabulary.symbols == tuple(sorted(set("".join(items))))
    assert corpus.max_length == max(map(len, items))
    assert corpus.offsets.tolist() == np.cumsum([0] + [len(item) + 1 for item in items]).tolist()
    assert corpus.record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    counts = (corpus.record.names, corpus.record.distinct, corpus.record.symbols)
    assert counts == (len(items), len(set(items)), sum(map(len, items)))
    assert corpus.tokens.dtype == (np.uint8 if len(corpus.vocabulary.symbols) < 256 else np.uint16)


def test_what_editors_do_to_text_files(write_corpus: Write) -> None:
    corpus = read_corpus(write_corpus("\ufeffanna\r\n\r\n  eve  \n\t\nzoe\u0308 ann \r\n\n"))
    assert names_of(corpus.tokens, corpus) == ["anna", "eve", "zoë ann"]


def test_files_that_were_put_together_by_cat(write_corpus: Write) -> None:
    with pytest.warns(UserWarning, match=r"removed 1 invisible character \(1 x U\+FEFF .*, the first in line 3"):
        corpus = read_corpus(write_corpus("\ufeffanna\neve\n\ufeffzoe\nann\n"))
    assert names_of(corpus.tokens, corpus) == ["anna", "eve", "zoe", "ann"]
    assert "\ufeff" not in corpus.vocabulary.symbols


LEFT_OUT = "\u00ad\u061c\u200b\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff\ufff9"
AT_THE_ENDS = "\u00a0\u1680\u2003\u202f\u3000\u2028\u2029\x85\x0b\x0c\x1c\x1f"


@pytest.mark.parametrize("symbol", LEFT_OUT + AT_THE_ENDS)
def test_invisible_characters_are_left_out_with_a_count(write_corpus: Write, symbol: str) -> None:
    """As docs/lists.md says of each."""
    inside = symbol if symbol in LEFT_OUT else ""
    count = 4 if inside else 3
    with pytest.warns(UserWarning, match=f"removed {count} invisible characters .*, the first in line 2") as caught:
        corpus = read_corpus(write_corpus(f"eve\n{symbol}an{inside}na\nzoe{symbol}{symbol}\n"))
    assert len(caught) == 1
    assert names_of(corpus.tokens, corpus) == ["eve", "anna", "zoe"]


@pytest.mark.parametrize(
    "item", ["New\u00a0York", "\u0645\u06cc\u200c\u0634\u0648\u062f", "👩\u200d👧", "❤\ufe0f", "ab c", "東\u3000京"]
)
def test_what_an_item_may_need_is_kept(write_corpus: Write, item: str) -> None:
    corpus = read_corpus(write_corpus(f"{item}\neve\n"))
    assert names_of(corpus.tokens, corpus) == [item, "eve"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=5), min_size=2))
def test_items_are_as_many_lines_for_python_too(tmp_path_factory: pytest.TempPathFactory, items: list[str]) -> None:
    path = tmp_path_factory.mktemp("corpus") / "items.txt"
    path.write_bytes("\n".join(items).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            corpus = read_corpus(path)
        except CorpusError:
            return
    written = "".join(f"{name}\n" for name in texts(corpus.tokens, corpus.vocabulary))
    assert len(written.splitlines()) == len(corpus)


def test_an_alphabet_that_no_model_could_hold(write_corpus: Write) -> None:
    symbols = [chr(i) for i in range(0x3400, 0x20000) if unicodedata.category(chr(i)) in {"Lo", "Ll", "Lu", "Co"}]
    symbols = [symbol for symbol in symbols if unicodedata.normalize("NFC", symbol) == symbol]
    symbols += [chr(i) for i in range(0xF0000, 0xF0000 + 65_535 - len(symbols))]
    assert len(read_corpus(write_corpus("\n".join(symbols))).vocabulary.symbols) == 65_535
    with pytest.raises(CorpusError, match="more than 65,535 different symbols"):
        read_corpus(write_corpus("\n".join([*symbols, "a"])))


def test_alphabets_wider_than_a_byte(write_corpus: Write) -> None:
    names = [chr(0x4E00 + i) + chr(0x4E00 + 7 * i % 6000) for i in range(3000)]
    corpus = read_corpus(write_corpus("\n".join(names)))
    assert corpus.tokens.dtype == np.uint16
    assert names_of(corpus.tokens, corpus) == names
    assert len(np.unique(fingerprint(corpus.tokens))) == len(set(names)) == corpus.record.distinct


@pytest.mark.parametrize(
    ("content", "message", "line", "byte"),
    [
        (b"", "holds no items", None, None),
        (b"\n  \r\n\t\n", "holds no items", None, None),
        (b"good\nb\xe9d\n", r"byte 6 \(line 2\) is not UTF-8", 2, 6),
        ("müller\n".encode("utf-16"), r"byte 0 \(line 1\) is not UTF-8", 1, 0),
        (b"a\nb\0c\n", "line 2 contains NUL", 2, None),
        (b"a\rb\nc\n", "line 1 contains a carriage return", 1, None),
        (b"ok\n" + b"x" * 4097, "line 2 has more than 4,096 characters", 2, None),
        (b"y" * 10**6, "line 1 is longer than 65,536 bytes", 1, None),
        ("一" * 30_000, "line 1 is longer than 65,536 bytes", 1, None),
        (b"anna\tf\t7065\neve\tf\t12\n", "line 1 contains a tab: if the file is a table", 1, None),
        (b"ok\na\x1b[31mb\n", r"line 2 contains U\+001B", 2, None),
        ("ok\na\u2028b\n", r"line 2 contains U\+2028 \(line separator\)", 2, None),
        ("ok\na\x85b\n", r"line 2 contains U\+0085", 2, None),
        ("ok\n\n\ufffdna\n", r"line 3 contains U\+FFFD, which replaces a lost character", 3, None),
    ],
)
def test_a_file_that_is_no_corpus(
    write_corpus: Write, content: bytes | str, message: str, line: int | None, byte: int | None
) -> None:
    path = write_corpus(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(path)
    assert (caught.value.path, caught.value.line, caught.value.byte) == (path, line, byte)


def test_nothing_is_learnt_from_one_item(write_corpus: Write, tmp_path: Path) -> None:
    path = write_corpus(b"same\nsame\r\nsame\n")
    assert read_corpus(path).record.distinct == 1
    with pytest.raises(CorpusError, match="all items are the same; there is nothing to learn") as caught:
        train(path, tmp_path / "run", recipe="bigram-counts")
    assert caught.value.path == path
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no such file"):
        read_corpus(tmp_path / "nothing.txt")
    with pytest.raises(CorpusError, match="Is a directory"):
        read_corpus(tmp_path)


# Splits


def test_the_lecture_split_is_that_of_the_lectures(corpus: Path) -> None:
    names = corpus.read_text(encoding="utf-8").split()
    data = read_corpus(corpus)
    parts = split(data, "lecture")
    random.seed(42)
    random.shuffle(names)
    first, second = int(0.8 * len(names)), int(0.9 * len(names))
    assert names_of(parts.train.tokens, data) == names[:first]
    assert names_of(parts.dev.tokens, data) == names[first:second]
    assert names_of(parts.test.tokens, data) == names[second:]


def test_the_deduplicated_split_has_no_name_twice(write_corpus: Write) -> None:
    names = MOONS.read_text(encoding="utf-8").split()
    repeated = names + names[::3] + names[:20]
    data = read_corpus(write_corpus("\n".join(repeated)))
    assert data.record.distinct == len(names) < data.record.names
    parts = split(data, "dedup")
    train, dev, test = (names_of(part.tokens, data) for part in (parts.train, parts.dev, parts.test))
    assert sorted(train + dev + test) == sorted(names)
    random.Random(42).shuffle(names)
    assert train + dev + test == names


def test_deduplication_keeps_the_first_of_many(write_corpus: Write) -> None:
    random_names = random.Random(3).choices(["ab", "ba", "abc", "cab", "ccc", "bb", "acb", "aa"], k=400)
    data = read_corpus(write_corpus("\n".join(random_names)))
    parts = split(data, "dedup")
    expected = list(dict.fromkeys(random_names))
    random.Random(42).shuffle(expected)
    found = [names_of(part.tokens, data) for part in (parts.train, parts.dev, parts.test)]
    assert [name for names in found for name in names] == expected


def test_all_keeps_the_order_of_the_file() -> None:
    data = read_corpus(MOONS)
    parts = split(data, "all")
    np.testing.assert_array_equal(parts.train.tokens, data.tokens)
    assert parts.dev.windows == parts.test.windows == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 12))
def test_shards_are_whole_names(lengths: list[int], count: int) -> None:
    tokens = np.concatenate([np.append(np.ones(length, dtype=np.uint8), 0) for length in lengths])
    shards = Part.of(tokens).shards(count)
    assert len(shards) == count
    np.testing.assert_array_equal(np.concatenate([shard.tokens for shard in shards]), tokens)
    cuts = np.cumsum([0, *(shard.windows for shard in shards)])
    assert all(tokens[cut - 1] == 0 for cut in cuts[1:])
    even = np.arange(1, count + 1) * len(tokens) // count
    assert (even <= cuts[1:]).all()
    assert (cuts[1:] - even <= max(lengths) + 1).all()


def test_too_few_names_to_split(write_corpus: Write) -> None:
    data = read_corpus(write_corpus("a\nb\n"))
    assert names_of(split(data, "lecture").train.tokens, data) == ["b"]
    one = msgspec.structs.replace(data.record, names=1)
    with pytest.raises(CorpusError, match="use the split 'all'"):
        split(dataclasses.replace(data, tokens=data.tokens[:2], record=one), "lecture")


@NEEDS_NAMES
def test_the_published_counts_of_names_txt(names_txt: Path) -> None:
    data = read_corpus(names_txt)
    assert (len(data), data.record.distinct, len(data.tokens)) == (32_033, 29_494, 228_146)
    assert split(data, "dedup").train.windows < split(data, "lecture").train.windows
    parts = split(data, "lecture")
    assert [part.windows for part in (parts.train, parts.dev, parts.test)] == [182_625, 22_655, 22_866]
    assert [part.names for part in (parts.train, parts.dev, parts.test)] == [
        25_626,
        3_203,
        3_204,
    ]
    first_five = data.tokens[: data.offsets[5]]
    contexts, targets = windows(first_five, np.arange(len(first_five)), 3)
    symbols = ".abcdefghijklmnopqrstuvwxyz"
    shown = [
        "".join(symbols[i] for i in context) + " → " + symbols[target]
        for context, target in zip(contexts, targets, strict=True)
    ]
    assert (len(shown), shown[0], shown[-1]) == (32, "... → e", "hia → .")
