"""How far a network's own float32 rounding goes on this machine: what tests may tolerate.

A mirrored image through mirrored kernels gives the mirrored map: the same sums, added in another
order. So does a transposed image. What differs between the orders is rounding, and nothing else.
"""

import keras
import numpy as np

from dmenet_tf.networks import build_blur_estimation

# Another implementation adds in an order of its own, which may be worse than these three.
_MARGIN = 8.0
_ORDERS = (  # of [H, W, ...]
    lambda array: array[::-1],
    lambda array: array[:, ::-1],
    lambda array: array.swapaxes(0, 1),
)


def tolerance(model: keras.Model, image: np.ndarray, width: float) -> float:
    """The difference in `defocus` that rounding alone explains, above 0.

    model: of `build_blur_estimation(width)`. image: RGB [H, W, 3] of uint8, H and W multiples of
    16: large enough that its worst pixel is as bad as that of other photos.
    """
    values = image / np.float32(255)
    expected = _defocus(model, values)
    other, worst = build_blur_estimation(width), 0.0
    for order in _ORDERS:
        for theirs, ours in zip(other.weights, model.weights, strict=True):
            array = np.asarray(ours)
            theirs.assign(order(array) if array.ndim == 4 else array)
        found = order(_defocus(other, np.ascontiguousarray(order(values))))
        worst = max(worst, float(np.abs(found - expected).max()))
    # Kernels that add in one order whatever the image leave only the rounding of the map itself.
    return _MARGIN * max(worst, float(np.finfo(np.float32).eps))


def _defocus(model, values):
    return np.asarray(model(values[None], training=False)["defocus"])[0, ..., 0]
