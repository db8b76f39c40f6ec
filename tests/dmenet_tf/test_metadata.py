"""What a map says about itself."""

import json
from types import SimpleNamespace

import pytest

from dmenet_tf.prediction.metadata import Metadata


@pytest.mark.parametrize("advice, expected", [({}, None), ({"recommended_side": 0}, None),
                                              ({"recommended_side": 320}, 320)])  # fmt: skip
def test_a_models_recommended_size_is_taken_over_and_none_is_no_size(advice, expected):
    trained = SimpleNamespace(identity="0123", encoding="paper", licence="", **advice)
    metadata = Metadata.of(trained)
    assert metadata.recommended_side == expected and metadata.max_side is None
    fields = json.loads(metadata.to_json())
    assert fields.get("recommended_side") == expected and "max_side" not in fields
    assert Metadata(**fields) == metadata
