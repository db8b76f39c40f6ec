"""All-in-focus RGB-D scenes from the folders of a data set, in any of the layouts of `layouts.py`.

How depth is cleaned (holes, sky, specks, disparity) is described in `depth.py`.
"""

import contextlib
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from data_gen.io.errors import DataFileError
from data_gen.sources import plausibility
from data_gen.sources.base import Source
from data_gen.sources.layouts import LAYOUTS, find_scenes
from data_gen.sources.scene import NEAREST, Scene

DEPTH_KINDS = ("auto", "metric", "inverse")


@dataclass(frozen=True)
class RgbdScenes(Source):
    """Scenes by index; the plane is depth, finite, > 0, larger = farther. Immutable."""

    scenes: tuple[Scene, ...]
    root: Path = Path()
    guessed: bool = False
    """Whether the name alone says that the depth files are larger = farther."""

    def __len__(self):
        return len(self.scenes)

    def name(self, i) -> str:
        return self.scenes[i].name

    def read(self, i):
        """-> image uint8 [H, W, 3] RGB, depth float32 [H, W] finite, > 0, larger = farther."""
        return self.scenes[i].read()

    def origin(self, i) -> dict:
        """The scene's two files, relative to the root."""
        files = (("image", self.scenes[i].image), ("depth", self.scenes[i].depth))
        return {kind: path.relative_to(self.root).as_posix() for kind, path in files}

    def note(self) -> str:
        """A line for the user where depth that was taken for metric by its name looks inverse, else
        "". Reads a few scenes."""
        if not self.guessed or len(self) < plausibility.MIN_SCENES:
            return ""
        nearer = []
        step = max(1, len(self) // plausibility.LOOKED_AT)
        for scene in self.scenes[::step][: plausibility.LOOKED_AT]:
            with contextlib.suppress(DataFileError):  # whoever reads it will say so
                nearer.append(plausibility.nearer_below(scene.read_depth()))
        return plausibility.inverse_note(self.root, nearer)

    def paths(self, i) -> tuple[Path, ...]:
        return self.scenes[i].image, self.scenes[i].depth

    def read_image(self, i):
        """-> image uint8 [H, W, 3] RGB."""
        return self.scenes[i].read_image()


def open_source(
    root, layout="auto", depth="auto", bgr_scenes=(), far=None, resize_depth=None
) -> RgbdScenes:
    """Finds the scenes under `root`; reads nothing but calibrations yet.

    Args:
        root: the data set's folder.
        layout: one of `layouts.LAYOUTS`, or 'auto'.
        depth: what the files of the layouts 'folder' and 'syndof-input' hold: 'metric', 'inverse'
            (disparity, larger = nearer), or 'auto': by name in 'folder' (disp* is inverse).
        bgr_scenes: patterns of names, as 'nyu_*', whose images have red and blue swapped.
        far: the far plane in the depth files' unit: sky is there and nothing beyond it; None: at
            the farthest known depth of each map.
        resize_depth: 'nearest' resizes depth whose size differs from the image's by a whole ratio;
            None refuses it.
    Raises:
        ValueError: an unknown option.
        DataFileError: no such layout under the root; an image without depth or the reverse.
    """
    if resize_depth not in (None, NEAREST):
        raise ValueError(f"resize_depth must be None or {NEAREST!r}; received {resize_depth!r}")
    if layout not in ("auto", *LAYOUTS) or depth not in DEPTH_KINDS or not (far is None or far > 0):
        raise ValueError(
            f"layout must be one of auto, {', '.join(LAYOUTS)}; depth one of "
            f"{', '.join(DEPTH_KINDS)}; far None or > 0; received {layout!r}, {depth!r}, {far!r}"
        )
    layout, scenes = find_scenes(Path(root), LAYOUTS if layout == "auto" else (layout,))
    if depth != "auto":
        if layout not in ("folder", "syndof-input"):
            raise ValueError(
                f"{root}: the layout '{layout}' itself says what its depth files hold, depth must "
                f"be 'auto'; received {depth!r}"
            )
        scenes = [replace(scene, inverse=depth == "inverse") for scene in scenes]
    bgr = [any(fnmatch(scene.name, pattern) for pattern in bgr_scenes) for scene in scenes]
    scenes = [
        replace(s, far=far, bgr=swap, resize_depth=resize_depth)
        for s, swap in zip(scenes, bgr, strict=True)
    ]
    guessed = layout == "folder" and depth == "auto" and not any(s.inverse for s in scenes)
    return RgbdScenes(tuple(scenes), Path(root), guessed)
