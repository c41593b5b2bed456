"""A user's program that touches all of the public Python interface; type checkers read it, nothing runs it."""

from pathlib import Path
from typing import Any, assert_type

import sequentia
from sequentia import SequenceModel

version: str = sequentia.__version__

names = sequentia.generate(
    3,
    model="people",
    where={"sex": "f", "decade": 1990},
    prefix="ma",
    temperature=0.9,
    top_k=20,
    top_p=0.95,
    min_length=3,
    max_length=9,
    unique=True,
    novel=True,
    exclude=["maria"],
    avoid={"xx"},
    pattern="[a-z]+",
    suffix="a",
    seed="emma",
)
assert_type(names, list[str])

women: dict[str, Any] = {"model": "people", "where": {"sex": "f"}, "case": "title"}
assert_type(sequentia.compose("{first} {last}", 3, seed=1, first=women, last={"model": "surnames"}), list[str])
assert_type(sequentia.generate(3, seed="1:first", **women), list[str])
full_names = sequentia.compose_arrow("{first}", 3, first=women, unique=True)

model = sequentia.load(
    Path("model"),
    revision="main",
    cache_dir="cache",
    force_download=False,
    local_files_only=True,
    token=False,
    threads=2,
)
assert_type(model, SequenceModel)
assert_type(model.config.block_size, int)
assert_type(model.config.max_length, int)
assert_type(model.vocabulary.symbols, tuple[str, ...])
assert_type(model.conditions, dict[str, list[str]])
assert_type(model.knows_its_names, bool)

assert_type(model.generate(2, prefix="a", top_k=3, seed=1), list[str])
first: str = next(model.stream(unique=True, where={"sex": "m"}))
for batch in model.batches(10, temperature=0.5):
    assert_type(model.vocabulary.decode(batch), list[str])
for batch in model.batches(None):
    names += model.vocabulary.decode(batch)
for batch in model.shard(30, 10, seed=1):
    names += model.vocabulary.decode(batch)
column = model.generate_arrow(5, seed=1)
table = model.generate_arrow(5, scores=True, novel=True)

said = {"sex": "f"}
scores = model.score(names, where=said)
best: float = float(scores.max())
scores = model.score(["mary", "james"], where=[said, None])
assert_type(model.unknown_words(names), list[list[str]])
assert_type(model.next_symbols("emm"), dict[str, float])
assert_type(model.next_symbols(["emm", "ann"], where=said), list[dict[str, float]])
assert_type(model.most_likely(3, prefix="z", avoid=["zz"]), list[tuple[str, float]])
value, error, clipped = model.probability(suffix="son")
assert_type(value, float)

model.save_pretrained("copy")
assert_type(SequenceModel.from_pretrained("copy"), SequenceModel)

try:
    model.generate(2)
except sequentia.GenerationError as failure:
    assert_type(failure.candidates, int)
    assert_type(failure.names, list[str])
except sequentia.OptionError as failure:
    assert_type(failure.option, str)
except (
    sequentia.ArtifactError,
    sequentia.CorpusError,
    sequentia.ExportError,
    sequentia.HubError,
    sequentia.MissingExtraError,
    sequentia.ModelNotFoundError,
    sequentia.RecipeError,
    sequentia.TrainingError,
    sequentia.VocabularyError,
):
    raise
except sequentia.SequentiaError as failure:
    print(failure)
