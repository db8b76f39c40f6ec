"""The plots and images of a data card, as text for HTML.

Plots are SVG in the text colour of the page (`currentColor`), legible in light and dark mode.
"""

import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from data_gen.io.data_urls import data_url

BAR = "#4f86c0"
PLACEHOLDER = "#010203"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "data card",  # the same card for the same dataset, byte for byte
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **{
        f"{part}": PLACEHOLDER
        for part in (
            "text.color",
            "axes.labelcolor",
            "xtick.color",
            "ytick.color",
            "axes.edgecolor",
        )
    },
}
# As in the training summaries: 0 black (sharp) to 1 bright yellow.
COLOURS = matplotlib.colormaps["inferno"]


def histogram(values, edges, x_label: str, y_label="images", mark: float | None = None) -> str:
    """SVG of a histogram of values, with a dashed line at `mark`."""
    counts = np.histogram(values, edges)[0]
    return bars(counts, edges, x_label, y_label, mark)


def bars(heights, edges, x_label: str, y_label: str, mark: float | None = None) -> str:
    """SVG of bars between the edges [N + 1]."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.5), layout="constrained")
        axis = figure.subplots()
        axis.bar(edges[:-1], heights, np.diff(edges), align="edge", color=BAR, linewidth=0)
        axis.set_xlim(edges[0], edges[-1])
        axis.set_xlabel(x_label)
        axis.set_ylabel(y_label)
        if mark is not None:
            axis.axvline(mark, color=PLACEHOLDER, linewidth=0.8, linestyle="--")
        return _svg(figure)


def colour_bar() -> str:
    """SVG: the colour bar of the maps, labelled with the COC."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 0.55), layout="constrained")
        axis = figure.subplots()
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 28), COLOURS)
        bar = figure.colorbar(scale, cax=axis, orientation="horizontal", ticks=range(0, 29, 4))
        bar.set_label("COC (px)")
        return _svg(figure)


def _svg(figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(PLACEHOLDER, "currentColor")


def picture(image: np.ndarray, longest: int) -> str:
    """uint8 [H, W, 3] RGB -> a data URL, reduced to `longest` pixels where it is larger."""
    photo = Image.fromarray(image)
    photo.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    photo.save(data, format="JPEG", quality=88)
    return data_url(data.getvalue(), "image/jpeg")


def map_picture(defocus: np.ndarray, longest: int) -> str:
    """`defocus` [H, W] -> a data URL in the colours of `colour_bar`."""
    return picture(COLOURS(defocus, bytes=True)[..., :3], longest)
