"""Distilling a mixture of finished models into one."""

from pathlib import Path

import numpy as np
import pytest

import sequentia
from sequentia import OptionError, RecipeError, artifact
from sequentia.export import export
from sequentia.sampling import log_softmax
from sequentia.session import Session
from sequentia.training import mix
from sequentia.training.checkpoint import Checkpoint
from sequentia.training.mixing import INVENTED, _mixture, _own_names, _together
from sequentia.training.parts import Part
from sequentia.vocabulary import Vocabulary

from .test_cli import fail, run_here
from .test_starting import GOLDEN, all_contexts, member_of

SMALL = ("hidden_sizes=[24]", "direct=1", "steps=40", "batch_size=128")


@pytest.fixture(autouse=True)
def _short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sequentia.training.mixing._NAMES", 600)
    monkeypatch.setattr("sequentia.training.mixing._OWN_NAMES", 100)


def test_a_mixture_is_the_weighted_mean_of_its_models() -> None:
    symbols = list("abcdefgh")
    models = [GOLDEN / "mlp-relu", GOLDEN / "ngram-4"]
    members = [member_of(model, ["abc", "defgh"])[0] for model in models]
    part = Part.of(Vocabulary(symbols).tokens(["bad", "cafe", "gab"]).astype(np.uint8))
    contexts = all_contexts(part, 3)
    expected = sum(
        weight * np.exp(log_softmax(Session(artifact.read(model)).logits(contexts[:, -size:])))
        for model, size, weight in zip(models, (3, 3), (0.75, 0.25), strict=True)
    )
    np.testing.assert_allclose(np.exp(_mixture(members, [3, 1])(contexts)), expected, rtol=1e-5)


def test_models_that_write_in_other_cases_share_one_alphabet() -> None:
    names, surnames = (artifact.read(artifact.BUNDLED / name) for name in ("names", "surnames"))
    alphabet = _together([names.config, surnames.config])
    assert alphabet.symbols == names.config.vocabulary
    assert all(name.islower() for name in _own_names(surnames, alphabet, 1, 20))
    assert _together([surnames.config, names.config]).symbols == surnames.config.vocabulary


def test_conditions_of_all_models_are_those_of_the_mixture() -> None:
    configs = [artifact.read_config(GOLDEN / name) for name in ("mlp-where", "ngram-where", "gru-where")]
    values = _together(configs).values
    assert values == {**configs[0].conditions, **configs[1].conditions}


def test_two_models_become_one(tmp_path: Path) -> None:
    """It has the conditions of one, knows the lists of both, and its card says where it comes from."""
    mix(["names", "people"], tmp_path / "both", weights=[0.4, 0.6], overrides=SMALL)
    config = export(tmp_path / "both", tmp_path / "both")
    people = sequentia.load("people")
    assert config.conditions == people.conditions
    listed = (tmp_path / "both" / INVENTED).read_text(encoding="utf-8").splitlines()
    assert listed[0] == "invented name,sex,decade"
    assert len(listed) == 601
    assert config.training.corpus.file == INVENTED
    assert config.metrics.dev is not None
    assert config.metrics.dev.names == 60
    assert config.training.settings["teacher_weights"] == [0.4, 0.6]
    model = sequentia.load(tmp_path / "both")
    assert len(model.generate(20, where={"sex": "f"}, seed=1)) == 20
    known = artifact.read(tmp_path / "both").known
    theirs = [artifact.read(artifact.BUNDLED / name).known for name in ("names", "people")]
    assert known is not None
    assert all(each is not None and np.isin(each.hashes, known.hashes).all() for each in theirs)
    card = (tmp_path / "both" / artifact.CARD).read_text(encoding="utf-8")
    assert "No list of real names was read" in card
    assert "It learnt from a mixture of the model `names`, which learnt from `names.txt`" in card
    assert "and of the model `people`, which" in card


def test_a_seed_gives_the_same_model_and_a_run_goes_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        mix(["names", str(GOLDEN / "mlp-relu")], tmp_path / name, overrides=[*SMALL, "seed=3"])
    again = mix(["names", str(GOLDEN / "mlp-relu")], tmp_path / "two", resume=True)
    first = Checkpoint.load(tmp_path / "one")
    assert first.record == again.record
    assert all((tensor == again.tensors[name]).all() for name, tensor in first.tensors.items())
    assert (tmp_path / "one" / INVENTED).read_bytes() == (tmp_path / "two" / INVENTED).read_bytes()


def test_models_that_spell_in_other_ways_leave_no_hashes(tmp_path: Path) -> None:
    """SMITH is not the name smith of the mixture."""
    mixed = mix(["names", "surnames"], tmp_path / "both", overrides=SMALL)
    assert mixed.known is None


def test_the_command_line_mixes(tmp_path: Path) -> None:
    settings = [argument for each in SMALL for argument in ("--set", each)]
    result = run_here("mix", "names", "people", "--weights", "0.7", "0.3", "-o", tmp_path / "both", *settings)
    assert result.returncode == 0, result
    recipe = Checkpoint.load(tmp_path / "both").record.recipe
    assert (recipe.teachers, recipe.teacher_weights) == (["model:names", "model:people"], [0.7, 0.3])  # type: ignore[union-attr]


def test_what_cannot_be_mixed_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "two models or more" in fail("mix", "names", "-o", out)
    assert "for each of the 2 models" in fail("mix", "names", "people", "--weights", "0.7", "-o", out)
    assert "no model 'nothing'" in fail("mix", "names", "nothing", "-o", out)
    assert "give a number for each model" in fail("mix", "names", "people", "--weights", "much", "-o", out, code=2)
    with pytest.raises(OptionError, match="a positive number"):
        mix(["names", "people"], out, weights=[1, -1])
    with pytest.raises(RecipeError, match="no key 'teachers' for model gru"):
        mix(["names", "people"], out, recipe="gru")
    assert not out.exists()
