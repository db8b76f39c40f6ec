"""What several tests of this folder share."""

import numpy as np
import pytest

from tests.support.depth_files import H, W


@pytest.fixture
def image():
    """[H, W, 3] of any colours, to lie beside a depth map."""
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
