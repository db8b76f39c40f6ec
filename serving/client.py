"""A client of the defocus model, without TensorFlow: photos in, maps out.

    from serving.client import ClientOptions, RemotePredictor

    with RemotePredictor("127.0.0.1:8500", ClientOptions(timeout_s=60)) as predictor:
        sigma_px = predictor.predict_bytes(open("photo.jpg", "rb").read())  # [H, W] float32, pixels

`RemotePredictor` has the methods of `dmenet_tf.prediction.local.Predictor` and shares its code
for sizes: photos above the service's limits go in tiles that give the map of the whole photo.
`Client` (`connection.py`) makes single calls. Both may be shared by threads.
"""

import json
import math

import numpy as np

from data_gen.io.images import DataFileError, decode_stored, encode_png
from data_gen.io.photos import decode_photo
from data_gen.optics import ENCODINGS
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.prediction import tiling
from dmenet_tf.prediction.map_files import Metadata
from dmenet_tf.prediction.predictor import AnySizePredictor, ModelChanged, as_float
from serving import contract
from serving.connection import Client, ClientOptions, ServingError

__all__ = ["Client", "ClientOptions", "RemotePredictor", "ServingError"]

SIGMA_STEP_PX = contract.SIGMA_MAX_PX / contract.PNG_MAX
_SAME_MODEL_TRIES = 3  # a photo whose tiles met a new version is predicted again


class RemotePredictor(AnySizePredictor):
    """Photos in, maps out, from a server.

    Args:
        address: HOST:PORT.
        options: how the server is asked (`ClientOptions`).
        tile, max_side: as for `AnySizePredictor`. Tiles are never larger than the service takes.
        exact: float32 both ways, 20 bytes a pixel. Otherwise each part goes as a lossless PNG and
            its sigma comes back in 16 bits, right to half a step of 7/65535 px; `defocus` is then
            that sigma's, so in the `released` encoding never below 1/15. Photos of floats, of
            which a PNG would lose something, go as float32 always.
        on_retry: told in one line, once an outage, that the server is being tried again.

    Methods raise `ServingError` where the server does not answer or refuses, ValueError for what
    is no image. A context manager; `close` ends calls under way.
    """

    def __init__(self, address, options=None, *, tile="auto", max_side=None, exact=False,
                 on_retry=None):  # fmt: skip
        super().__init__(tile=tile, max_side=max_side)
        self.exact = exact
        self.client = Client(address, options, on_retry)
        self._metadata = None

    @property
    def metadata(self) -> Metadata:
        """Of the model that answered last; the first time, the server is asked for it."""
        return self._metadata or self.ask_metadata()

    def ask_metadata(self, retry_s: float | None = None) -> Metadata:
        """Of the model that answers now: the map of a small picture is asked for and left aside."""
        grey = np.full((SIZE_MULTIPLE, SIZE_MULTIPLE, 3), 128, np.uint8)
        reply = self.client.predict_encoded([encode_png(grey)], (contract.MODEL,), retry_s)
        return self._model_of(reply)

    def predict_bytes(self, data: bytes, name="the photo") -> np.ndarray:
        """A photo's file (any form that `predict` reads) -> sigma_px [H, W] float32, upright.

        `name` is what an error calls it. Raises `DataFileError`, a ValueError, for what is none.
        """
        return self.sigma_px(decode_photo(data, name))

    def close(self) -> None:
        self.client.close()

    def _side(self, height: int, width: int) -> int:
        largest = largest_side(height, width)
        if self.tile in ("auto", 0):
            return largest
        return min(self.tile, largest) if largest else self.tile

    def _in_parts(self, image, output):
        for _ in range(_SAME_MODEL_TRIES):
            try:
                return super()._in_parts(image, output)
            except ModelChanged as error:
                changed = error
        raise ServingError(
            f"{self.client.address}: the tiles of a photo must come from one model; {changed}, "
            f"{_SAME_MODEL_TRIES} times in turn: ask for a version or a label",
            "ABORTED",
        )

    def _predict_part(self, part, output):
        if self.exact or part.dtype.kind == "f":
            return self._by_numbers(part, output)
        sigma_px, metadata = self._by_files(part)
        if output == "sigma_px":
            return sigma_px, metadata
        return ENCODINGS[metadata.encoding].sigma_to_label(sigma_px), metadata

    def _by_numbers(self, part, output):
        reply = self.client.predict_images(as_float(part)[None], (output, contract.MODEL))
        values = reply[output]
        if values.shape != (1, *part.shape[:2], 1):
            raise self.client.broken_reply(f"{output} of {part.shape[:2]} is {values.shape}")
        return values[0, ..., 0], self._model_of(reply)

    def _by_files(self, part):
        outputs = (contract.SIGMA_PNG, contract.MODEL)
        reply = self.client.predict_encoded([encode_png(part)], outputs)
        try:
            stored = decode_stored(reply[contract.SIGMA_PNG][0], "the map")
        except (DataFileError, IndexError) as error:
            raise self.client.broken_reply(str(error)) from error
        if stored.dtype != np.uint16 or stored.shape != part.shape[:2]:
            raise self.client.broken_reply(
                f"a map of {part.shape[:2]} in 16 bits is {stored.shape}, {stored.dtype}"
            )
        return stored.astype(np.float32) * np.float32(SIGMA_STEP_PX), self._model_of(reply)

    def _model_of(self, reply: dict) -> Metadata:
        try:
            fields = json.loads(reply[contract.MODEL][0])
            metadata = Metadata(**{name: fields[name] for name in contract.MODEL_FIELDS})
            ENCODINGS[metadata.encoding]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise self.client.broken_reply(f"what it says about the model: {error!r}") from error
        if metadata.sigma_max_px != contract.SIGMA_MAX_PX:
            raise self.client.broken_reply(
                f"its largest sigma must be {contract.SIGMA_MAX_PX:g} px; it says "
                f"{metadata.sigma_max_px:g}"
            )
        self._metadata = metadata
        return metadata


def largest_side(height: int, width: int) -> int:
    """The kept side of the largest tiles of a padded photo that the service takes.

    0 where it takes the whole: at most `contract.MAX_PIXELS` and MAX_SIDE_PX. The tiles of a
    narrow photo are as long as their narrowness lets them be.
    """
    if height * width <= contract.MAX_PIXELS and max(height, width) <= contract.MAX_SIDE_PX:
        return 0
    along = min(contract.MAX_PIXELS // min(height, width), contract.MAX_SIDE_PX)
    read = max(math.isqrt(contract.MAX_PIXELS), along)  # with the overlap on both ends
    return (read - 2 * tiling.HALO_PX) // SIZE_MULTIPLE * SIZE_MULTIPLE
