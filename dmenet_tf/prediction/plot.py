"""A photo beside its map, as a matplotlib figure."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data_gen.io.pixels import as_float
from dmenet_tf.visualization import COLOURS, ColourRange

_WIDTH_IN, _DPI = 9.0, 100


def plot(image: np.ndarray, sigma_px: np.ndarray, shape, colours: ColourRange, name: str) -> Figure:
    """Photo and map, each with the pixels of the photo on its axes, and the scale of the map.

    image: RGB [h, w, 3]; sigma_px: [h, w], both as they are to be drawn. shape: (H, W) of the
    photo. colours: what the ends of the colours stand for.
    """
    height, width = shape
    panel_in = _WIDTH_IN / 2.2 * height / width
    figure = Figure(
        figsize=(_WIDTH_IN, min(max(panel_in, 1.5), 2 * _WIDTH_IN) + 0.6),
        dpi=_DPI,
        layout="compressed",
    )
    photo, map_ = figure.subplots(1, 2, sharex=True, sharey=True)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    photo.imshow(as_float(image), extent=extent)
    photo.set_title(name, parse_math=False)
    shown = map_.imshow(
        sigma_px, cmap=COLOURS, vmin=colours.low_px, vmax=colours.high_px, extent=extent
    )
    map_.set_title("sigma of the blur")
    for axis in (photo, map_):
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.colorbar(shown, ax=map_, label="pixels of the photo; 0 = sharp")
    return figure
