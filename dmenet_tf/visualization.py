"""Maps as pictures, for TensorBoard and for files.

Images are RGB in [0, 1], [B, H, W, 3]; maps are [B, H, W] or [B, H, W, 1]; `defocus` in [0, 1].
"""

import os
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from data_gen import optics

HEADER_PX, GAP_PX = 20, 4
# "Bad" values, NaN, in a colour that the map itself never takes: they must not pass for sharp.
COLOURS = matplotlib.colormaps["inferno"].with_extremes(bad="cyan")


def colour_map(defocus) -> np.ndarray:
    """`defocus` of any shape -> uint8 RGB, [..., 3]: 0 black (sharp) to 1 bright yellow.

    The range is fixed, so colours compare between steps and runs; values beyond it take the end's
    colour, and NaN is cyan.
    """
    return COLOURS(np.asarray(defocus, np.float32), bytes=True)[..., :3]


def panel(image, predicted, truth=None, sharpness=None) -> np.ndarray:
    """A row per example, columns input, prediction, and truth and S's output where given.

    `sharpness` is S's output as a probability of blur, shown in grey, white = blurred. Returns
    uint8 RGB, [HEADER_PX + B * (H + GAP_PX), columns * (W + GAP_PX), 3].
    """
    columns = []
    for title, pictures in _columns(image, predicted, truth, sharpness).items():
        gap = (0, GAP_PX)
        pictures = np.pad(pictures, ((0, 0), gap, gap, (0, 0)), constant_values=255)
        header = np.zeros((HEADER_PX, pictures.shape[2], 3), np.uint8)
        baseline = (3, HEADER_PX - 6)
        cv2.putText(header, title, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255))
        columns.append(np.concatenate([header, *pictures]))
    return np.concatenate(columns, axis=1)


def save_panel(path, image, predicted, truth=None) -> None:
    """Writes a labelled PNG: rows of examples, the colour bar in `defocus` and `sigma_px`."""
    path = Path(path)
    columns = _columns(image, predicted, truth)
    rows, (height, width) = len(columns["input"]), columns["input"].shape[1:3]
    size = (2.6 * len(columns) + 1.8, 2.6 * rows * height / width + 0.4)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, pictures) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(title)
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
    mappable = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0.0, 1.0), COLOURS)
    bar = figure.colorbar(mappable, ax=axes, ticks=np.linspace(0.0, 1.0, 6))
    bar.ax.yaxis.set_ticks_position("left")
    bar.ax.yaxis.set_label_position("left")
    bar.set_label("defocus (0 = sharp)")
    units = (optics.defocus_to_sigma, optics.sigma_to_defocus)
    bar.ax.secondary_yaxis("right", functions=units).set_ylabel("sigma (px)")
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png")
    os.replace(temporary, path)


def _columns(image, predicted, truth=None, sharpness=None) -> dict[str, np.ndarray]:
    """{title: uint8 RGB [B, H, W, 3]}, all of the input's size."""
    image = np.asarray(image, np.float32)
    if image.ndim != 4 or image.shape[-1] != 3:
        raise ValueError(f"`image` is [B, H, W, 3]; received {image.shape}")
    columns = {"input": _to_uint8(image)}
    columns["predicted defocus"] = colour_map(_map_like(image, "predicted", predicted))
    if truth is not None:
        columns["true defocus"] = colour_map(_map_like(image, "truth", truth))
    if sharpness is not None:
        grey = _to_uint8(_map_like(image, "sharpness", sharpness))
        columns["S: P(blurred)"] = np.repeat(grey[..., None], 3, axis=-1)
    return columns


def _map_like(image: np.ndarray, name: str, values) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if values.shape not in (image.shape[:-1], image.shape[:-1] + (1,)):
        raise ValueError(
            f"`{name}` is [B, H, W] or [B, H, W, 1] of the image's size, {image.shape[:-1]}; "
            f"received {values.shape}"
        )
    return values.reshape(image.shape[:-1])


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8)
