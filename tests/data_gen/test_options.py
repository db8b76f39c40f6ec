"""Options of the rendering: impossible values are refused."""

import pytest

from data_gen.rendering.options import Realism


@pytest.mark.parametrize(
    "options, message",
    [
        ({"aperture": "star"}, "gaussian, disc or polygon; received 'star'"),
        ({"blades": 2}, "3 .. 32; received 2"),
        ({"shot_noise": -1.0}, "shot_noise must lie in"),
        ({"rotation_deg": float("nan")}, "finite; received nan"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Realism(**options)
