"""A release never changes what a seed means without saying so."""

import json

from . import golden


def test_the_bundled_model_gives_the_golden_names() -> None:
    assert golden.compute() == json.loads(golden.PATH.read_text(encoding="utf-8"))
