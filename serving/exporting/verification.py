"""How much the outputs of a written SavedModel differ from the Keras model's.

It is loaded by the classic session loader, as the C++ server does, and predicts maps of random
images of awkward sizes and of real photographs. It only measures: `publishing.py` judges.
"""

import cv2
import numpy as np
import tensorflow as tf

from data_gen.optics import ENCODINGS
from data_gen.scenes.photographs import load_photographs
from dmenet_tf.networks.folding import fold
from dmenet_tf.prediction.local import predict_defocus
from dmenet_tf.prediction.predictor import pad_to_stride
from dmenet_tf.weights.load import TrainedModel
from serving import contract
from serving.saved_model.session import LoadedModel

# Of `defocus`, from rounding: at width 1.0 with random weights, the Keras model under other kernels
# differs from itself by 4e-5, and from the folded graph by 7e-5; at the demo's width by 7e-6. Wrong
# padding or folding of a convolution makes a difference of 1e-2.
LARGEST_DIFFERENCE = 3e-4
# Largest relative error of a number that is rounded to the format: half a step of its mantissa.
UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
# Maps are rounded between any two layers, weights once. On the shipped models' photos both together
# made up to 5 times the difference that rounded weights alone do.
_ROUNDINGS = 8.0
_PNG_STEPS = 1  # between the two signatures, which share their kernels
_PHOTO_SIDE_PX = 320
# In this order: the second differs from the first in both sides, so that the Keras model is traced
# for any size then, and not once more.
_RANDOM_SIZES = ((1, 1), (33, 17), (3, 40), (64, 96))


def differences(folder, trained: TrainedModel) -> dict[str, float]:
    """The largest differences, to two digits; NaN if any is.

    `defocus` and `sigma_px`: from the Keras model. `png_steps`: between the PNG's values of one
    signature and the rounded numbers of the other.
    """
    with LoadedModel(folder) as served:
        figures = [_compare(served, trained, image) for image in _test_images()]
    # np.max keeps NaN, which max can lose.
    largest = {name: np.max([f[name] for f in figures]) for name in figures[0]}
    return {name: float(f"{value:.2g}") for name, value in largest.items()}


def rounding(trained: TrainedModel, precision: str = "float32") -> dict[str, float]:
    """The max of each of `differences` that rounding alone explains."""
    encoding = ENCODINGS[trained.encoding]
    defocus = LARGEST_DIFFERENCE if precision == "float32" else _of_format(trained, precision)
    return {
        "defocus": defocus,
        "sigma_px": defocus * encoding.label_max / encoding.gain,
        "png_steps": _PNG_STEPS,
    }


def _of_format(trained: TrainedModel, precision: str) -> float:
    """What a format's rounding of weights, maps and the output may change `defocus` by.

    How much a network makes of a rounding is its own: it is measured on its weights, rounded and
    computed with in float32.
    """
    kind = tf.as_dtype(precision)
    exact = fold(trained.model)
    rounded = exact.with_weights(lambda w: np.float32(np.asarray(w).astype(kind.as_numpy_dtype)))
    by_weights = max(
        np.abs(_map(rounded, pixels) - _map(exact, pixels)).max() for pixels in _test_images()
    )
    return _ROUNDINGS * (float(by_weights) + UNIT_ROUNDOFF[precision])


def _map(folded, pixels) -> np.ndarray:
    padded = pad_to_stride(pixels)[None].astype(np.float32) / np.float32(255)
    return folded(tf.constant(padded)).numpy()[:, : pixels.shape[0], : pixels.shape[1]]


def _test_images():
    """RGB uint8 [H, W, 3]."""
    rng = np.random.default_rng(0)
    for size in _RANDOM_SIZES:
        yield rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for photo in list(load_photographs().values())[:2]:
        scale = _PHOTO_SIDE_PX / max(photo.shape[:2])
        yield cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _compare(served: LoadedModel, trained: TrainedModel, pixels) -> dict[str, float]:
    image = pixels[None].astype(np.float32) / np.float32(255)
    defocus = predict_defocus(trained.model, image)
    sigma_px = ENCODINGS[trained.encoding].label_to_sigma(defocus)
    numbers = served.signature(contract.SIGNATURE_IMAGES).run({contract.IMAGES: image})
    stored = contract.PNG_MAX * (numbers[contract.SIGMA_PX] / contract.SIGMA_MAX_PX)
    png = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    files = served.signature(contract.SIGNATURE_ENCODED).run({contract.ENCODED_IMAGES: [png]})
    decoded = cv2.imdecode(
        np.frombuffer(files[contract.SIGMA_PNG][0], np.uint8), cv2.IMREAD_UNCHANGED
    )
    return {
        "defocus": np.abs(numbers[contract.DEFOCUS] - defocus).max(),
        "sigma_px": np.abs(numbers[contract.SIGMA_PX] - sigma_px).max(),
        "png_steps": np.abs(decoded - np.rint(stored[0, ..., 0])).max(),
    }
