"""One RGB-D scene on disk: its two files and how to read them.

The sizes of the two may differ by a whole ratio (depth half of colour): then depth is resized by
`resize_depth`, where that is given. "nearest" repeats or drops values; it invents none at edges.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.io.images import read_rgb
from data_gen.sources.depth import read_depth

NEAREST = "nearest"


class UnpairedError(DataFileError):
    """Images without depth, or depth without images; `problems` has one sentence per file."""

    def __init__(self, problems: list[str]):
        more = f" (and {len(problems) - 1} more such files)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = problems


@dataclass(frozen=True)
class Scene:
    """The files of a scene and how to read them.

    `scale` and `offset` turn disparity to depth; `scale` also multiplies distances. `mask`: a file
    of the depth's size, 0 where depth is unknown. `ray_focal_widths`: the focal length in widths of
    the image, where distances are along the rays of pixels; None where they are along the axis.
    `resize_depth`: NEAREST, or None.
    """

    name: str
    image: Path
    depth: Path
    inverse: bool = False
    scale: float = 1.0
    offset: float = 0.0
    far: float | None = None
    bgr: bool = False
    mask: Path | None = None
    ray_focal_widths: float | None = None
    resize_depth: str | None = None

    def read(self):
        """-> image uint8 [H, W, 3] RGB, depth float32 [H, W]; `DataFileError` names the file."""
        image = self.read_image()
        depth = self.read_depth()
        ratio = _whole_ratio(image.shape[:2], depth.shape)
        if self.resize_depth == NEAREST and ratio is not None:
            depth = _resized(depth, ratio)
        sizes = np.array([image.shape[:2], depth.shape])
        # In some pairs one file lacks a row or column, cropped to an even size; or, after resizing,
        # less than a pixel of the smaller one.
        largest = max(1, round(max(ratio, 1 / ratio)) - 1) if self.resize_depth and ratio else 1
        if np.ptp(sizes, axis=0).max() > largest:
            advice = "" if ratio is None else f"; --resize-depth {NEAREST} resizes depth"
            raise DataFileError(
                f"{self.image}, {self.depth}: image and depth must have the same size; "
                f"received {list(image.shape[:2])} and {list(depth.shape)}{advice}"
            )
        height, width = sizes.min(axis=0)
        return np.ascontiguousarray(image[:height, :width]), depth[:height, :width]

    def read_depth(self) -> np.ndarray:
        """Only the depth, in its file's own size: float32 [H, W], finite, > 0."""
        how = self.inverse, self.scale, self.offset
        return read_depth(self.depth, *how, self.far, self.mask, self.ray_focal_widths)

    def read_image(self):
        """Only the image, uint8 [H, W, 3] RGB; saves the time of cleaning depth."""
        image = read_rgb(self.image)
        return np.ascontiguousarray(image[..., ::-1]) if self.bgr else image


def _whole_ratio(image, depth) -> float | None:
    """2.0 where an image has twice the height and width of its depth, 0.5 for the reverse.

    None for equal sizes and other ratios. Sides may differ from it by less than a pixel of the
    smaller one.
    """
    ratio = image[0] / depth[0]
    whole = round(max(ratio, 1 / ratio))
    if whole < 2:
        return None
    small, large = (depth, image) if ratio > 1 else (image, depth)
    if all(abs(b - whole * a) < whole for a, b in zip(small, large, strict=True)):
        return float(whole) if ratio > 1 else 1 / whole
    return None


def _resized(depth: np.ndarray, ratio: float) -> np.ndarray:
    if ratio > 1:
        return depth.repeat(int(ratio), axis=0).repeat(int(ratio), axis=1)
    step = round(1 / ratio)
    # Of so many pixels, the one in the middle.
    return depth[step // 2 :: step, step // 2 :: step]
