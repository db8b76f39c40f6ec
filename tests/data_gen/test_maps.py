"""Maps in an encoding."""

import numpy as np
import pytest

from data_gen import optics
from data_gen.dataset import maps
from tests.support.datasets import ENCODINGS


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_stored_value_survives(encoding):
    scheme = optics.ENCODINGS[encoding]
    first = int(scheme.encode(0.0))
    stored = np.arange(first, scheme.stored_max + 1, dtype=np.uint16)[None]
    defocus = maps.decode_map(stored, encoding, "m")
    assert defocus.dtype == np.float32
    assert (defocus.min(), defocus.max()) == (0, 1)
    np.testing.assert_array_equal(maps.encode_map(defocus, encoding), stored)


def test_map_values_by_hand():
    # sigma = 3.5 px is defocus 0.5: paper 65535/2 (to even), generator 10*3.5, released 10*(7 + 1)
    half = np.full((2, 2), 0.5, np.float32)
    stored = {name: int(maps.encode_map(half, name)[0, 0]) for name in ENCODINGS}
    assert stored == {"paper": 32768, "generator": 35, "released": 80}
