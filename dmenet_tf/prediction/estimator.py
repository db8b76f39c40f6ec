"""The Python API: photos in, defocus maps out.

    import dmenet_tf

    estimator = dmenet_tf.load("runs/demo")
    result = estimator("photo.jpg")
    result.sigma_px                    # [H, W] float32, pixels of the photo; 0 = sharp
    result.save("photo.colour.png")

In a notebook, a result shows the photo beside its map. Commands and the page go through the same
code. Imports no TensorFlow before weights are loaded.
"""

import functools
import html
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from data_gen.io.data_urls import data_url
from dmenet_tf.prediction import backends
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import Prediction, Predictor, TileSide, reduced, scale_to
from dmenet_tf.prediction.rgb import PhotoLike, to_rgb
from dmenet_tf.prediction.sharpness import sharp_below_px
from dmenet_tf.prediction.summaries import SUFFIXES, measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DefocusMap", "Estimator", "load"]

# What a file's name says about its format where it does not end as `predict` would have it.
_FORMAT_OF_SUFFIX = {".npy": "npy", ".tif": "tiff", ".tiff": "tiff", ".png": "colour"}
_SHOWN_SIDE_PX = 800  # of the pictures in a plot: a notebook keeps them


@dataclass(frozen=True, repr=False, eq=False)
class DefocusMap:
    """How much each pixel of a photo is out of focus."""

    image: np.ndarray
    """The photo, RGB [H, W, 3] of uint8, uint16, or float32 in [0, 1]."""
    prediction: Prediction
    name: str = "photo"

    @property
    def sigma_px(self) -> np.ndarray:
        """[H, W] float32: Gaussian sigma of the blur in pixels of the photo; 0 = sharp."""
        return self.prediction.sigma_px

    @property
    def defocus(self) -> np.ndarray:
        """[H, W] float32 in [0, 1]: the network's own label; `metadata.encoding` has its unit."""
        return self.prediction.defocus

    @property
    def metadata(self) -> Metadata:
        """Model, units, the largest sigma that this map can hold, the size it was made at."""
        return self.prediction.metadata

    @property
    def sharp_below_px(self) -> float:
        """The sigma, in pixels of the photo, below which it counts as sharp (`sharpness.py`)."""
        return sharp_below_px(self.prediction.scale)

    def mask(self, below_px: float | None = None) -> np.ndarray:
        """[H, W] bool: True where the photo is sharp.

        below_px: sigma in pixels of the photo; `sharp_below_px` where it is None.
        """
        return self.sigma_px < (self.sharp_below_px if below_px is None else below_px)

    def figures(self, below_px: float | None = None) -> dict[str, float]:
        """Share of sharp pixels, sigma of the sharpest tenth, median sigma (`summaries.py`)."""
        below_px = self.sharp_below_px if below_px is None else below_px
        return measure(self.sigma_px, below_px)

    def save(
        self,
        path: str | os.PathLike,
        format: str | None = None,
        *,
        colours: tuple[float, float] | None = None,
    ) -> Path:
        """Writes the map, with its scale and unit; the file appears when it is complete.

        format: colour, png16, tiff, npy, overlay or side (`map_files.py`). Where it is None, the
        name says it: one of `predict`'s (photo.sigma16.png), or .npy, .tiff, or .png for colour.
        colours: the sigma, in pixels, that black and bright yellow stand for; None for the map's
        own range. Returns the path. Raises ValueError for an unknown format or ending.
        """
        from dmenet_tf.prediction.map_files import write_map  # imports matplotlib
        from dmenet_tf.visualization import ColourRange

        path = Path(path)
        format = _format_of(path) if format is None else format
        ends = None if colours is None else ColourRange(*colours)
        write_map(path, format, self.sigma_px, self.metadata, self.image, ends)
        return path

    def plot(self) -> "Figure":
        """The photo beside its map, in the map's own range of colours: a matplotlib figure."""
        from dmenet_tf.prediction.plot import plot
        from dmenet_tf.visualization import own_range

        shown = _shown(self.image), _shown(self.sigma_px)
        colours = own_range(self.sigma_px, self.metadata.sigma_max_px)
        return plot(*shown, self.sigma_px.shape, colours, self.name)

    def __repr__(self) -> str:
        height, width = self.sigma_px.shape
        figures = self.figures()
        return (
            f"DefocusMap({self.name}, {width} x {height} px: median sigma "
            f"{figures['median_sigma_px']:.2f} px, {figures['share_sharp']:.0%} sharp)"
        )

    @functools.cached_property
    def _png(self) -> bytes:
        file = io.BytesIO()
        self.plot().savefig(file, format="png")
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self._png

    def _repr_html_(self) -> str:
        picture, words = data_url(self._png, "image/png"), html.escape(repr(self))
        return (
            f'<figure style="margin:0"><img alt="{words}" src="{picture}">'
            f"<figcaption>{words}</figcaption></figure>"
        )


class Estimator:
    """Maps photos: `estimator(photo)`. Made by `load`.

    A context manager; `close` ends calls of a server that are under way.
    """

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    @property
    def metadata(self) -> Metadata:
        """Of the model: what it is, its unit, its terms, the size it recommends."""
        return self.predictor.metadata

    @overload
    def __call__(self, photo: PhotoLike, *, max_side: int | None = None) -> DefocusMap: ...

    @overload
    def __call__(
        self, photo: list[PhotoLike] | tuple[PhotoLike, ...], *, max_side: int | None = None
    ) -> list[DefocusMap]: ...

    def __call__(self, photo, *, max_side=None):
        """The map of a photo, or a list of maps of a list of photos.

        Args:
            photo: a path, the bytes of a file, a PIL image, or an array of uint8, uint16, or
                floats in [0, 1]: grey [H, W], RGB [H, W, 3] or RGBA [H, W, 4]; or a list of these.
            max_side: a photo whose longer side is above it is reduced to it for the network, and
                the map brought back to full size. 0: full size; None: what the model recommends,
                or full size.

        What is worth knowing of a file that is read all the same (of several pages the first, a
        damaged end) is a warning. Raises ValueError for what is no photo, and ConnectionError where
        a server fails.
        """
        if isinstance(photo, list | tuple):
            return [self(one, max_side=max_side) for one in photo]
        notes: list[str] = []
        image, name = to_rgb(photo, notes.append)
        for line in notes:
            warnings.warn(line, stacklevel=2)
        return DefocusMap(image, self.predictor.predict(image, max_side=max_side), name)

    def close(self) -> None:
        self.predictor.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def load(
    weights: str | os.PathLike | None = None,
    *,
    server: str | None = None,
    tile: TileSide = "auto",
    precision: str = "float32",
) -> Estimator:
    """An estimator of defocus maps.

    Args:
        weights: a run's folder, or an .npz of the published layout; None for the weights that the
            package ships, where it ships any.
        server: HOST:PORT of a server of the model, instead of weights.
        tile: see `dmenet_tf.prediction.predictor.Predictor`.
        precision: what weights are computed with: float32; float16 or bfloat16 for a GPU or a
            processor that is faster so.

    Raises FileNotFoundError where there are no weights, ValueError for damaged ones,
    ConnectionError where the server does not answer, and ImportError where what asks it is not
    installed.
    """
    if server is None:
        return Estimator(Predictor(backends.open_local(weights, precision), tile=tile))
    if weights is not None:
        raise ValueError("maps are made by weights or by a server; received both")
    return Estimator(Predictor(backends.open_server(server), tile=tile))


def _format_of(path: Path) -> str:
    for format, suffix in SUFFIXES.items():
        if path.name.endswith(suffix):
            return format
    if path.suffix.lower() not in _FORMAT_OF_SUFFIX:
        raise ValueError(
            f"the name of a map must end in {', '.join(_FORMAT_OF_SUFFIX)}, or `format` be given; "
            f"received {path}"
        )
    return _FORMAT_OF_SUFFIX[path.suffix.lower()]


def _shown(array: np.ndarray) -> np.ndarray:
    return reduced(array, scale_to(_SHOWN_SIDE_PX, *array.shape[:2]))
