"""200 steps of the demo in each type learn as float32's do."""

import pytest

from tests.support.agreement import demo_batches, losses_of_the_demo, relative_to
from tests.support.precision import settings_restored

pytestmark = pytest.mark.slow

# Training magnifies any rounding: two runs in float32 whose sums are in another order go some way
# apart, too. More than a tenth of the mean loss would be a type in which something does not learn.
TOLERANCE = 0.1


@pytest.fixture(scope="module")
def batches():
    return demo_batches()


@pytest.fixture(scope="module")
def exact(batches):
    return losses_of_the_demo("float32", batches, steps=200)


restored = pytest.fixture(autouse=True)(settings_restored)


@pytest.mark.parametrize("kind", ["tf32", "mixed_bfloat16", "mixed_float16"])
def test_200_steps_agree_with_float32(kind, batches, exact):
    difference = relative_to(exact, losses_of_the_demo(kind, batches, steps=200))
    assert all(abs(value) < TOLERANCE for value in difference.values()), difference
