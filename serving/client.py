"""A client of the defocus model, without TensorFlow: photos in, maps out.

    from serving.client import ClientOptions, RemotePredictor

    with RemotePredictor("127.0.0.1:8500", ClientOptions(timeout_s=60)) as predictor:
        sigma_px = predictor.predict_bytes(open("photo.jpg", "rb").read())  # [H, W] float32, pixels

`RemotePredictor` is a `dmenet_tf.prediction.predictor.Predictor` that holds a `RemoteBackend`:
photos above the service's limits go in tiles that give the map of the whole photo. `Client`
(`connection.py`) makes single calls. All of them may be shared by threads.
"""

import json
import math

import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.io.images import decode_stored, encode_png
from data_gen.io.photos import decode_photo
from data_gen.io.pixels import as_float
from data_gen.optics import ENCODINGS
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.prediction import tiling
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import (
    Predictor,
    TileSide,
    check_max_side,
    check_tile,
)
from serving import contract
from serving.connection import Client, ClientOptions, ServingError

__all__ = ["Client", "ClientOptions", "RemoteBackend", "RemotePredictor", "ServingError"]

SIGMA_STEP_PX = contract.SIGMA_MAX_PX / contract.PNG_MAX


class RemoteBackend:
    """The network of a server, a `dmenet_tf.prediction.predictor.Backend`.

    Args:
        address: HOST:PORT.
        options: how the server is asked (`ClientOptions`).
        exact: float32 both ways, 20 bytes a pixel. Otherwise each part goes as a lossless PNG and
            its sigma comes back in 16 bits, right to half a step of 7/65535 px; the label is then
            that sigma's, so in the `released` encoding never below 1/15. Photos of floats, of
            which a PNG would lose something, go as float32 always.
        on_retry: told in one line, once an outage, that the server is being tried again.

    Methods raise `ServingError` where the server does not answer or refuses.
    """

    def __init__(self, address, options=None, *, exact: bool = False, on_retry=None):
        self.exact = exact
        self.client = Client(address, options, on_retry)
        self._metadata = None

    @property
    def metadata(self) -> Metadata:
        """Of the model that answered last; the first time, the server is asked for it."""
        return self._metadata or self.ask_metadata()

    @property
    def settings(self) -> dict:
        # Maps that came in 16 bits are not those of floats, to the last bit.
        return {"exact": self.exact}

    def ask_metadata(self, retry_s: float | None = None) -> Metadata:
        """Of the model that answers now: it maps a small picture, of which the map is not used."""
        grey = np.full((SIZE_MULTIPLE, SIZE_MULTIPLE, 3), 128, np.uint8)
        reply = self.client.predict_encoded([encode_png(grey)], (contract.MODEL,), retry_s)
        return self._model_of(reply)

    def tile_side(self, height: int, width: int, wanted: TileSide) -> int:
        """`wanted`, but never larger than the service takes."""
        largest = largest_side(height, width)
        if wanted in ("auto", 0):
            return largest
        return min(wanted, largest) if largest else wanted

    def labels(self, part: np.ndarray) -> tuple[np.ndarray, Metadata]:
        if self.exact or part.dtype.kind == "f":
            return self._by_numbers(part)
        sigma_px, metadata = self._by_files(part)
        labels = ENCODINGS[metadata.encoding].sigma_to_label(sigma_px)
        return labels.astype(np.float32, copy=False), metadata

    def close(self) -> None:
        """Ends calls under way."""
        self.client.close()

    def _by_numbers(self, part):
        outputs = (contract.DEFOCUS, contract.MODEL)
        reply = self.client.predict_images(as_float(part)[None], outputs)
        labels = reply[contract.DEFOCUS]
        if labels.shape != (1, *part.shape[:2], 1):
            raise self.client.broken_reply(
                f"a map of {part.shape[:2]} must have that size; received {labels.shape}"
            )
        return labels[0, ..., 0], self._model_of(reply)

    def _by_files(self, part):
        outputs = (contract.SIGMA_PNG, contract.MODEL)
        reply = self.client.predict_encoded([encode_png(part)], outputs)
        try:
            stored = decode_stored(reply[contract.SIGMA_PNG][0], "the map")
        except (DataFileError, IndexError) as error:
            raise self.client.broken_reply(str(error)) from error
        if stored.dtype != np.uint16 or stored.shape != part.shape[:2]:
            raise self.client.broken_reply(
                f"a map of {part.shape[:2]} must be that in uint16; received {stored.shape}, "
                f"{stored.dtype}"
            )
        return stored.astype(np.float32) * np.float32(SIGMA_STEP_PX), self._model_of(reply)

    def _model_of(self, reply: dict) -> Metadata:
        try:
            fields = json.loads(reply[contract.MODEL][0])
            optional = set(contract.OPTIONAL_MODEL_FIELDS) & set(fields)
            metadata = Metadata(
                **{name: fields[name] for name in (*contract.MODEL_FIELDS, *sorted(optional))}
            )
            ENCODINGS[metadata.encoding]
            check_max_side(metadata.recommended_side)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise self.client.broken_reply(
                f"it must describe its model; received {error!r}"
            ) from error
        if metadata.sigma_max_px != contract.SIGMA_MAX_PX:
            raise self.client.broken_reply(
                f"its largest sigma must be {contract.SIGMA_MAX_PX:g} px; received "
                f"{metadata.sigma_max_px:g}"
            )
        self._metadata = metadata
        return metadata


class RemotePredictor(Predictor):
    """Photos in, maps out, from a server: a `Predictor` with the arguments of `RemoteBackend`.

    A context manager; `close` ends calls under way.
    """

    def __init__(
        self, address, options=None, *, tile: TileSide = "auto", exact: bool = False, on_retry=None
    ):
        check_tile(tile)
        backend = RemoteBackend(address, options, exact=exact, on_retry=on_retry)
        super().__init__(backend, tile=tile)

    def predict_bytes(self, data: bytes, name="the photo", *, max_side=None) -> np.ndarray:
        """A photo's file (any format that `predict` reads) -> sigma_px [H, W] float32, upright.

        `name` is what an error calls it. Raises `DataFileError`, a ValueError, for any other file.
        """
        return self.sigma_px(decode_photo(data, name), max_side=max_side)


def largest_side(height: int, width: int) -> int:
    """The kept side of the largest tiles of a padded photo that the service accepts.

    0 if it accepts the whole: max `contract.MAX_PIXELS` and MAX_SIDE_PX. The narrower a photo, the
    longer its tiles may be.
    """
    if height * width <= contract.MAX_PIXELS and max(height, width) <= contract.MAX_SIDE_PX:
        return 0
    along = min(contract.MAX_PIXELS // min(height, width), contract.MAX_SIDE_PX)
    read = max(math.isqrt(contract.MAX_PIXELS), along)  # with the overlap on both ends
    return (read - 2 * tiling.HALO_PX) // SIZE_MULTIPLE * SIZE_MULTIPLE
