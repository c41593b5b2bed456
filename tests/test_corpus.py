"""Text files as tokens, and their splits."""

import dataclasses
import hashlib
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequentia import CorpusError
from sequentia.training.corpus import Corpus, Tokens, fingerprint, read_corpus, shards, split
from sequentia.windows import windows

from .conftest import MOONS

Write = Callable[[bytes | str], Path]
ITEMS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=9),
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
    if len(set(items)) == 1:
        with pytest.raises(CorpusError, match="every line holds the same item"):
            read_corpus(path)
        return
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
        (b"same\nsame\r\nsame\n", "every line holds the same item", None, None),
        (b"good\nb\xe9d\n", r"byte 6 \(line 2\) is not UTF-8", 2, 6),
        ("müller\n".encode("utf-16"), r"byte 0 \(line 1\) is not UTF-8", 1, 0),
        (b"a\nb\0c\n", "line 2 holds NUL", 2, None),
        (b"a\rb\nc\n", "line 1 holds a carriage return", 1, None),
        (b"ok\n" + b"x" * 4097, "line 2 has more than 4096 symbols", 2, None),
        (b"y" * 10**6, "line 1 has more than 4096 symbols", 1, None),
        ("一" * 30_000, "line 1 has more than 4096 symbols", 1, None),
    ],
)
def test_a_file_that_is_no_corpus(
    write_corpus: Write, content: bytes | str, message: str, line: int | None, byte: int | None
) -> None:
    path = write_corpus(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(path)
    assert (caught.value.path, caught.value.line, caught.value.byte) == (path, line, byte)


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
    assert names_of(parts.train, data) == names[:first]
    assert names_of(parts.dev, data) == names[first:second]
    assert names_of(parts.test, data) == names[second:]


def test_the_deduplicated_split_has_no_name_twice(write_corpus: Write) -> None:
    names = MOONS.read_text(encoding="utf-8").split()
    repeated = names + names[::3] + names[:20]
    data = read_corpus(write_corpus("\n".join(repeated)))
    assert data.record.distinct == len(names) < data.record.names
    parts = split(data, "dedup")
    train, dev, test = (names_of(part, data) for part in (parts.train, parts.dev, parts.test))
    assert sorted(train + dev + test) == sorted(names)
    random.Random(42).shuffle(names)
    assert train + dev + test == names


def test_deduplication_keeps_the_first_of_many(write_corpus: Write) -> None:
    random_names = random.Random(3).choices(["ab", "ba", "abc", "cab", "ccc", "bb", "acb", "aa"], k=400)
    data = read_corpus(write_corpus("\n".join(random_names)))
    parts = split(data, "dedup")
    expected = list(dict.fromkeys(random_names))
    random.Random(42).shuffle(expected)
    assert [name for part in (parts.train, parts.dev, parts.test) for name in names_of(part, data)] == expected


def test_all_keeps_the_order_of_the_file() -> None:
    data = read_corpus(MOONS)
    parts = split(data, "all")
    np.testing.assert_array_equal(parts.train, data.tokens)
    assert len(parts.dev) == len(parts.test) == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 12))
def test_shards_are_whole_names(lengths: list[int], count: int) -> None:
    tokens = np.concatenate([np.append(np.ones(length, dtype=np.uint8), 0) for length in lengths])
    cuts = shards(tokens, count)
    assert (len(cuts), cuts[0], cuts[-1]) == (count + 1, 0, len(tokens))
    assert all(tokens[cut - 1] == 0 for cut in cuts[1:])
    even = np.arange(1, count + 1) * len(tokens) // count
    assert (even <= cuts[1:]).all()
    assert (cuts[1:] - even <= max(lengths) + 1).all()


def test_too_few_names_to_split(write_corpus: Write) -> None:
    data = read_corpus(write_corpus("a\nb\n"))
    assert names_of(split(data, "lecture").train, data) == ["b"]
    one = msgspec.structs.replace(data.record, names=1)
    with pytest.raises(CorpusError, match="use the split 'all'"):
        split(dataclasses.replace(data, tokens=data.tokens[:2], record=one), "lecture")


def test_the_published_counts_of_names_txt(names_txt: Path | None) -> None:
    if names_txt is None:
        pytest.skip("SEQUENTIA_NAMES does not say where names.txt is")
    data = read_corpus(names_txt)
    assert (len(data), data.record.distinct, len(data.tokens)) == (32_033, 29_494, 228_146)
    assert len(split(data, "dedup").train) < len(split(data, "lecture").train)
    parts = split(data, "lecture")
    assert [len(part) for part in (parts.train, parts.dev, parts.test)] == [182_625, 22_655, 22_866]
    assert [np.count_nonzero(part == 0) for part in (parts.train, parts.dev, parts.test)] == [
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
