import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequentia import VocabularyError
from sequentia.vocabulary import Vocabulary

SYMBOLS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")


@given(st.text(SYMBOLS, min_size=1))
def test_every_text_round_trips(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    vocabulary = Vocabulary(sorted(set(text)))
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert 0 not in ids
    assert vocabulary.decode(ids[None]) == [text]
    assert vocabulary.size == len(set(text)) + 1


@pytest.mark.parametrize("text", [".", "Mary Ann", "O'Brien", "👍🏽", "🇨🇿", "👩‍👩‍👧", "王小明", "Ångström"])
def test_symbols_that_others_reserve_or_split(text: str) -> None:
    vocabulary = Vocabulary(sorted(set(unicodedata.normalize("NFC", text))))
    assert vocabulary.decode(vocabulary.encode(text)[None]) == [unicodedata.normalize("NFC", text)]


def test_text_is_composed_before_it_is_encoded() -> None:
    assert Vocabulary("é").encode("e\N{COMBINING ACUTE ACCENT}").tolist() == [1]


def test_rows_end_at_the_boundary() -> None:
    assert Vocabulary("abc").decode(np.array([[1, 2, 0], [3, 0, 0], [0, 0, 0], [1, 2, 3]])) == [
        "ab",
        "c",
        "",
        "abc",
    ]


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_nothing_to_decode(shape: tuple[int, int]) -> None:
    assert Vocabulary("abc").decode(np.zeros(shape, dtype=np.int64)) == [""] * shape[0]


def test_an_unknown_symbol_is_named_with_its_place() -> None:
    with pytest.raises(VocabularyError, match=r"'emxa' holds 'x' at position 2") as caught:
        Vocabulary("aem").encode("emxa")
    assert (caught.value.symbol, caught.value.position, caught.value.text) == ("x", 2, "emxa")


@pytest.mark.parametrize("symbols", [["ab"], [""], ["a", "a"], ["\0"], ["\n"], ["\ud800"]])
def test_what_is_no_alphabet(symbols: list[str]) -> None:
    with pytest.raises(VocabularyError):
        Vocabulary(symbols)


def test_value_semantics() -> None:
    vocabulary = Vocabulary("abc")
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert len({vocabulary, Vocabulary("abc"), Vocabulary("abd")}) == 2
    assert vocabulary != "abc"
