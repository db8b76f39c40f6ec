"""One RGB-D scene on disk: its two files and how to read them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.io.images import read_rgb
from data_gen.sources.depth import read_depth


@dataclass(frozen=True)
class Scene:
    """The two files of a scene and how to read them; `scale`, `offset` turn disparity to depth."""

    name: str
    image: Path
    depth: Path
    inverse: bool = False
    scale: float = 1.0
    offset: float = 0.0
    far: float | None = None
    bgr: bool = False

    def read(self):
        """-> image uint8 [H, W, 3] RGB, depth float32 [H, W]; `DataFileError` names the file."""
        image = self.read_image()
        depth = read_depth(self.depth, self.inverse, self.scale, self.offset, self.far)
        sizes = np.array([image.shape[:2], depth.shape])
        # In some pairs one file lacks a row or column, cropped to an even size.
        if np.ptp(sizes, axis=0).max() > 1:
            raise DataFileError(
                f"{self.image}, {self.depth}: image and depth must have the same size; "
                f"received {list(image.shape[:2])} and {list(depth.shape)}"
            )
        height, width = sizes.min(axis=0)
        return np.ascontiguousarray(image[:height, :width]), depth[:height, :width]

    def read_image(self):
        """Only the image, uint8 [H, W, 3] RGB; saves the time of cleaning depth."""
        image = read_rgb(self.image)
        return np.ascontiguousarray(image[..., ::-1]) if self.bgr else image
