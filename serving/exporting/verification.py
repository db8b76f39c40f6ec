"""Whether a written SavedModel answers as the Keras model does, before anyone is served by it.

It is loaded by the classic session loader, as the C++ server does, and asked for maps of random
images of awkward sizes and of real photographs.
"""

import cv2
import numpy as np
import tensorflow as tf

from data_gen.optics import ENCODINGS
from data_gen.scenes.photographs import load_photographs
from dmenet_tf.prediction.local import predict_defocus
from dmenet_tf.weights.load import TrainedModel
from serving import contract

# Of `defocus`. Rounding alone: the Keras model at width 1.0 and random weights differs from itself
# by 4e-5 under other kernels, and by 7e-5 from the folded graph; at the demo's width by 7e-6. A
# convolution padded or folded wrongly differs by 1e-2.
LARGEST_DIFFERENCE = 3e-4
_PNG_STEPS = 1  # between the two signatures, which share their kernels
_PHOTO_SIDE_PX = 320
_RANDOM_SIZES = ((1, 1), (3, 40), (33, 17), (64, 96))


def verify(folder, trained: TrainedModel) -> dict:
    """Largest differences by name: of `defocus` and `sigma_px` from the Keras model, and in steps
    of the PNG between the two signatures.

    Raises `serving.export.PublishError` where one is too large.
    """
    with SessionModel(folder) as served:
        figures = [_compare(served, trained, image) for image in _test_images()]
    largest = {name: float(max(f[name] for f in figures)) for name in figures[0]}
    largest = {name: float(f"{value:.2g}") for name, value in largest.items()}
    allowed = {
        "defocus": LARGEST_DIFFERENCE,
        "sigma_px": LARGEST_DIFFERENCE * _sigma_per_label(trained),
        "png_steps": _PNG_STEPS,
    }
    beyond = {name: v for name, v in largest.items() if not v <= allowed[name]}  # NaN too
    if beyond:
        from serving.export import PublishError

        raise PublishError(
            f"the exported model must answer as the Keras model does, to {allowed}; received "
            f"differences of {beyond}. Nothing was published"
        )
    return largest


class SessionModel:
    """A SavedModel in a session of its own: `with SessionModel(folder) as served`."""

    def __init__(self, folder):
        with tf.Graph().as_default() as graph:
            self._session = tf.compat.v1.Session(graph=graph)
            loaded = tf.compat.v1.saved_model.loader.load(
                self._session, [tf.saved_model.SERVING], str(folder)
            )
        self.signatures = loaded.signature_def

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._session.close()

    def __call__(self, signature: str, value) -> dict[str, np.ndarray]:
        """All outputs of a signature for its one input."""
        described = self.signatures[signature]
        (source,) = described.inputs.values()
        outputs = {name: info.name for name, info in described.outputs.items()}
        return self._session.run(outputs, {source.name: value})


def _sigma_per_label(trained: TrainedModel) -> float:
    encoding = ENCODINGS[trained.encoding]
    return encoding.label_max / encoding.gain


def _test_images():
    """RGB uint8 [H, W, 3]."""
    rng = np.random.default_rng(0)
    for size in _RANDOM_SIZES:
        yield rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for photo in list(load_photographs().values())[:2]:
        scale = _PHOTO_SIDE_PX / max(photo.shape[:2])
        yield cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _compare(served: SessionModel, trained: TrainedModel, pixels) -> dict[str, float]:
    image = pixels[None].astype(np.float32) / np.float32(255)
    defocus = predict_defocus(trained.model, image)
    sigma_px = ENCODINGS[trained.encoding].label_to_sigma(defocus)
    numbers = served(contract.SIGNATURE_IMAGES, image)
    stored = contract.PNG_MAX * (numbers[contract.SIGMA_PX] / contract.SIGMA_MAX_PX)
    png = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    files = served(contract.SIGNATURE_ENCODED, [png])
    decoded = cv2.imdecode(
        np.frombuffer(files[contract.SIGMA_PNG][0], np.uint8), cv2.IMREAD_UNCHANGED
    )
    return {
        "defocus": np.abs(numbers[contract.DEFOCUS] - defocus).max(),
        "sigma_px": np.abs(numbers[contract.SIGMA_PX] - sigma_px).max(),
        "png_steps": np.abs(decoded - np.rint(stored[0, ..., 0])).max(),
    }
