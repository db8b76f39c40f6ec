"""The report's pictures as data URLs: photos, maps, differences, decisions and curves.

Maps of a regression are [0, 1] in the protocol's unit with fixed colours, so that rows can be
compared; differences are predicted - true: blue is too sharp, red too blurred.
Maps of a blur detection are stretched to their own range, which its caption states.
"""

import io

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from data_gen.io.data_urls import data_url
from dmenet_tf import metrics
from dmenet_tf.visualization import COLOURS

THUMBNAIL_PX = 240
DIFFERENCE_MAX = 0.5
DIFFERENCES = matplotlib.colormaps["RdBu_r"]
# Decision against mask: colours that also differ in brightness and for the colour-blind.
DECISIONS = {
    "sharp, rightly": (20, 20, 20),
    "blurred, rightly": (235, 235, 235),
    "called blurred, is sharp": (213, 94, 0),
    "called sharp, is blurred": (0, 114, 178),
}


def photo_uri(image) -> str:
    """A photo, uint8 [H, W, 3], as a small JPEG."""
    return _uri(Image.fromarray(_reduced(image, cv2.INTER_AREA)), "jpeg", quality=85)


def map_uri(values, stretch: bool) -> str:
    """A map in [0, 1] in colours, black = sharp; `stretch`: over its own range."""
    values = metrics.min_max(values) if stretch else np.asarray(values)
    return _palette_uri(_reduced(np.float32(values), cv2.INTER_AREA), COLOURS)


def difference_uri(predicted, truth) -> str:
    """predicted - truth, from -DIFFERENCE_MAX (blue) to DIFFERENCE_MAX (red)."""
    difference = _reduced(np.float32(predicted) - np.float32(truth), cv2.INTER_AREA)
    return _palette_uri(0.5 + difference / (2 * DIFFERENCE_MAX), DIFFERENCES)


def decision_uri(decided, truth) -> str:
    """A binary decision and the mask in the four colours of `DECISIONS`."""
    decided, truth = (_reduced(np.uint8(v), cv2.INTER_NEAREST) for v in (decided, truth))
    kind = np.where(decided == truth, truth, 2 + truth)
    return _indexed_uri(np.uint8(kind), list(DECISIONS.values()))


def legend_uri(colours, low: float, high: float, label: str) -> str:
    """A colour bar with its scale as SVG."""
    figure = Figure(figsize=(3.4, 0.62), layout="constrained")
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(low, high), colours)
    bar = figure.colorbar(scale, cax=figure.subplots(), orientation="horizontal")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return _svg_uri(figure)


def curves_uri(curves: dict) -> str:
    """Precision over recall, {title: (recall, precision)}; a single point for a constant map."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axis = figure.subplots()
    for number, (title, (recall, precision)) in enumerate(curves.items()):
        # Where nothing is called blurred, precision has no meaning.
        some = recall > 0
        style = {"color": f"C{number % 10}", "label": title}
        if len(np.unique(recall[some])) == 1:
            axis.plot(recall[some][:1], precision[some][:1], "o", **style)
        else:
            axis.plot(recall[some], precision[some], **style)
    axis.set(xlabel="recall of blurred pixels", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", fontsize=9)
    return _svg_uri(figure)


def errors_uri(errors: dict, label: str, log: bool) -> str:
    """Every row's errors in ascending order: {title: array}; `log`: on a logarithmic scale."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axis = figure.subplots()
    for title, values in errors.items():
        share = (np.arange(len(values)) + 0.5) / len(values)
        axis.plot(100 * share, np.sort(values), marker=".", markersize=4, label=title)
    axis.set(xlabel="images, best to worst, %", ylabel=label, xlim=(0, 100))
    if log:
        axis.set_yscale("log", nonpositive="mask")
    else:
        axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(loc="best", fontsize=9)
    return _svg_uri(figure)


def _reduced(picture, interpolation) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = THUMBNAIL_PX / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=interpolation)


def _palette_uri(values, colours) -> str:
    index = np.uint8(np.rint(255 * np.clip(values, 0.0, 1.0)))
    return _indexed_uri(index, np.uint8(np.rint(255 * colours(np.linspace(0, 1, 256))[:, :3])))


def _indexed_uri(index, palette) -> str:
    image = Image.fromarray(index).convert("P")
    image.putpalette(np.uint8(palette).ravel().tolist())
    return _uri(image, "png", optimize=True)


def _uri(image: Image.Image, kind: str, **options) -> str:
    encoded = io.BytesIO()
    image.save(encoded, kind, **options)
    return data_url(encoded.getvalue(), f"image/{kind}")


def _svg_uri(figure: Figure) -> str:
    encoded = io.BytesIO()
    figure.savefig(encoded, format="svg")
    return data_url(encoded.getvalue(), "image/svg+xml")
