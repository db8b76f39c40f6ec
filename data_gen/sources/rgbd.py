"""Readers of all-in-focus RGB-D scenes in the layouts that data sets come in.

`open_source` gives a `Source`: `len(source)`, `source.name(i)`, `source.read(i)` -> image
uint8 [H, W, 3] RGB and depth float32 [H, W], finite, > 0, larger = farther. How depth is cleaned
(holes, sky, specks, disparity) stands in `data_gen/sources/depth.py`.

| layout         | files under the root                                                           |
| -------------- | ------------------------------------------------------------------------------ |
| `sintel`       | [training/]clean or final/SCENE/frame_*.png, [training/]depth/SCENE/*.dpt      |
| `synthia`      | [SEQUENCE/]RGB/Stereo_*/Omni_*/N.png, [SEQUENCE/]Depth/Stereo_*/Omni_*/N.png   |
| `syndof-input` | image/**, depth/** of the authors' generator: same folders, same stem or the   |
|                | only file of its folder; depth, whatever a file's name says                    |
| `middlebury`   | SCENE/im0.png, disp0.pfm, calib.txt (2014, 2021); SCENE/view1.png, disp1.png   |
|                | (2005, 2006); SCENE/im2.*, disp2.* (2001, 2003)                                |
| `folder`       | rgb|image|images|color/**, depth|disp|disparity/** with the same stems, or     |
|                | SCENE/rgb|image|color|im0|view1.*, SCENE/depth*|disp*.*                        |

MPI Sintel's pass `clean` is preferred to `final`, whose pictures have blur of their own.
Units: millimetres for a calibrated Middlebury scene, those of the file otherwise; the unit does
not matter to a lens sampled from the bounds of the map.
"""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import accumulate
from pathlib import Path

import numpy as np

from data_gen.io.images import IMAGE_SUFFIXES, DataFileError, find_files, natural_key, read_rgb
from data_gen.sources.depth import DEPTH_SUFFIXES, read_calibration, read_depth

IMAGE_FOLDERS = ("rgb", "image", "images", "color")
DEPTH_FOLDERS = ("depth", "disp", "disparity")
IMAGE_STEMS = ("rgb", "image", "color", "im0", "view1")
# In this order where a scene has several: of a stereo pair the left view's, as of the image.
DEPTH_STEMS = ("depth", "disp", "disparity", "depth0", "disp0", "depth1", "disp1")
MIDDLEBURY_PAIRS = {"im0": "disp0", "view1": "disp1", "im2": "disp2"}
DEPTH_KINDS = ("auto", "metric", "inverse")


class NoLayoutError(DataFileError):
    """A folder has none of the layouts of RGB-D scenes."""


class UnpairedError(DataFileError):
    """Images without depth, or depth without images; `problems` has a sentence for each file."""

    def __init__(self, problems: list[str]):
        more = f" (and {len(problems) - 1} more such files)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = problems


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
        # One row or column is what cropping to even sizes takes off one file of some pairs.
        if np.ptp(sizes, axis=0).max() > 1:
            raise DataFileError(
                f"{self.image}, {self.depth}: image and depth must have the same size; "
                f"received {list(image.shape[:2])} and {list(depth.shape)}"
            )
        height, width = sizes.min(axis=0)
        return np.ascontiguousarray(image[:height, :width]), depth[:height, :width]

    def read_image(self):
        """The image alone, uint8 [H, W, 3] RGB, without the time that cleaning depth takes."""
        image = read_rgb(self.image)
        return np.ascontiguousarray(image[..., ::-1]) if self.bgr else image


@dataclass(frozen=True)
class Source:
    """Scenes by index. Immutable, so it can be read from many threads."""

    scenes: tuple[Scene, ...]
    root: Path = Path()

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

    def read_image(self, i):
        """-> image uint8 [H, W, 3] RGB."""
        return self.scenes[i].read_image()


@dataclass(frozen=True)
class Joined:
    """Several sources one after another; see `join`. `origin` numbers their roots from 0."""

    sources: tuple

    def __len__(self):
        return sum(map(len, self.sources))

    def _find(self, i):
        if not 0 <= i < len(self):
            raise IndexError(f"an index must lie in 0 .. {len(self) - 1}; received {i}")
        ends = list(accumulate(map(len, self.sources)))
        k = bisect_right(ends, i)
        return k, i - (ends[k - 1] if k else 0)

    def name(self, i) -> str:
        k, i = self._find(i)
        return self.sources[k].name(i)

    def read(self, i):
        k, i = self._find(i)
        return self.sources[k].read(i)

    def origin(self, i) -> dict | None:
        k, i = self._find(i)
        files = origin(self.sources[k], i)
        return files and {"root": k, **files}

    def read_image(self, i):
        k, i = self._find(i)
        return read_image(self.sources[k], i)


def read_image(source, i):
    """The image of a source alone: by `source.read_image(i)` where it has one, or `source.read`."""
    reader = getattr(source, "read_image", None)
    return reader(i) if reader else source.read(i)[0]


def origin(source, i) -> dict | None:
    """`source.origin(i)`, the files of a scene relative to its root; None where it has none."""
    of_source = getattr(source, "origin", None)
    return of_source(i) if of_source else None


def join(sources) -> Joined:
    """One source of several, of any kind that has `len`, `name(i)` and `read(i)`."""
    return Joined(tuple(sources))


def open_source(root, layout="auto", depth="auto", bgr_scenes=(), far=None) -> Source:
    """Finds the scenes under `root`; reads nothing but calibrations yet.

    Args:
        root: the data set's folder.
        layout: one of `LAYOUTS`, or 'auto'.
        depth: what the files of the layouts 'folder' and 'syndof-input' hold: 'metric', 'inverse'
            (disparity, larger = nearer), or 'auto': by name in 'folder' (disp* is inverse).
        bgr_scenes: patterns of names, as 'nyu_*', whose images have red and blue swapped.
        far: the far plane in the depth files' unit: sky is there and nothing beyond it; None: at
            the farthest known depth of each map.
    Raises:
        ValueError: an unknown option.
        DataFileError: no such layout under the root; an image without depth or the reverse.
    """
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
    scenes = [replace(s, far=far, bgr=swap) for s, swap in zip(scenes, bgr, strict=True)]
    return Source(tuple(scenes), Path(root))


def find_scenes(root, layouts):
    """The first of `layouts` that finds anything under `root`: its name and scenes."""
    if not root.is_dir():
        raise DataFileError(f"{root}: a source must be a folder; there is no such folder")
    for layout in layouts:
        scenes = LAYOUTS[layout](root)
        if scenes:
            return layout, scenes
    raise NoLayoutError(
        f"{root}: a source must have the layout {' or '.join(layouts)}; found none of: "
        + "; ".join(LOOKED_FOR[layout] for layout in layouts)
    )


# --- the layouts: root -> scenes, none where the root is not of the layout --------------------


def _sintel(root):
    for base in (root / "training", root):
        for images in (base / "clean", base / "final"):
            if images.is_dir() and find_files(base / "depth", (".dpt",)):
                return _pair_trees(images, base / "depth", depth_suffixes=(".dpt",))
    return []


def _synthia(root):
    scenes = []
    for images in sorted([*root.glob("RGB"), *root.glob("*/RGB")], key=natural_key):
        depths = images.with_name("Depth")
        if any(images.glob("Stereo_*/Omni_*")) and depths.is_dir():
            prefix = images.parent.relative_to(root)
            pairs = _pair_trees(images, depths)
            scenes += [replace(s, name=(prefix / s.name).as_posix()) for s in pairs]
    return scenes


def _syndof_input(root):
    images, depths = root / "image", root / "depth"
    if not (images.is_dir() and depths.is_dir()):
        return []
    return _pair_trees(images, depths, lone_files=True)


def _middlebury(root):
    scenes, lacking = [], []
    for image in find_files(root, IMAGE_SUFFIXES):
        stem = MIDDLEBURY_PAIRS.get(image.stem)
        # A disp0.png beside im0.png is not the official file: layout 'folder' reads it.
        suffixes = (".pfm",) if stem == "disp0" else (".png", ".pgm", ".pfm")
        depth = stem and _with_stem(image.parent, stem, suffixes)
        if depth:
            scale, offset = read_calibration(image.with_name("calib.txt"))
            name = _folder_name(image, root)
            scenes.append(Scene(name, image, depth, inverse=True, scale=scale, offset=offset))
        # Illum*/Exp* hold the 2005 and 2006 scenes under other lights; im2 is a common name.
        elif stem not in (None, "disp2") and not image.parent.name.startswith("Exp"):
            lacking.append((image, stem + "".join(suffixes)))
    if scenes and lacking:
        raise UnpairedError(
            [f"{image}: must have {depth} beside it; there is none" for image, depth in lacking]
        )
    return scenes


def _folder(root):
    children = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    images = next((children[name] for name in IMAGE_FOLDERS if name in children), None)
    depths = next((children[name] for name in DEPTH_FOLDERS if name in children), None)
    if images and depths:
        pairs = _pair_trees(images, depths)
        return [
            replace(s, inverse=_says_disparity(depths) or _says_disparity(s.depth)) for s in pairs
        ]
    scenes, problems = [], []
    for image in find_files(root, IMAGE_SUFFIXES):
        if image.stem.lower() not in IMAGE_STEMS:
            continue
        found = (_with_stem(image.parent, stem, DEPTH_SUFFIXES) for stem in DEPTH_STEMS)
        depth = next(filter(None, found), None)
        if depth is None:
            problems.append(
                f"{image}: an image must have its depth beside it; looked for "
                f"{', '.join(DEPTH_STEMS)} with {' '.join(DEPTH_SUFFIXES)}"
            )
            continue
        name = _folder_name(image, root)
        scenes.append(Scene(name, image, depth, inverse=_says_disparity(depth)))
    if problems:
        raise UnpairedError(problems)
    return scenes


LAYOUTS = {
    "sintel": _sintel,
    "synthia": _synthia,
    "syndof-input": _syndof_input,
    "middlebury": _middlebury,
    "folder": _folder,
}
LOOKED_FOR = {
    "sintel": "[training/]clean|final/ with [training/]depth/",
    "synthia": "[*/]RGB/Stereo_*/Omni_*/ with [*/]Depth/",
    "syndof-input": "image/ with depth/",
    "middlebury": "*/im0.* with disp0.pfm, */view1.* with disp1.*, */im2.* with disp2.*",
    "folder": f"{'|'.join(IMAGE_FOLDERS)}/ with {'|'.join(DEPTH_FOLDERS)}/, or "
    f"*/{'|'.join(IMAGE_STEMS)}.* with depth*|disp*",
}


def _pair_trees(images, depths, depth_suffixes=DEPTH_SUFFIXES, lone_files=False):
    """Scenes of two mirrored trees, paired by path without suffix, or as lone files of a folder."""
    left = _by_stem(images, IMAGE_SUFFIXES)
    right = _by_stem(depths, depth_suffixes)
    if lone_files:
        _rename_lone(left, right)
    problems = []
    for stem in sorted(left.keys() ^ right.keys()):
        have, wanted = (left, depths / stem) if stem in left else (right, images / stem)
        problems.append(
            f"{have[stem]}: image and depth must come in pairs; looked for {wanted} with any of "
            + " ".join(depth_suffixes if have is left else IMAGE_SUFFIXES)
        )
    if problems:
        raise UnpairedError(problems)
    return [Scene(stem.as_posix(), image, right[stem]) for stem, image in left.items()]


def _by_stem(folder, suffixes):
    files = {}
    for path in find_files(folder, suffixes):
        stem = path.relative_to(folder).with_suffix("")
        if stem in files:
            raise DataFileError(f"{path}: a name must stand for one file; {files[stem]} has it too")
        files[stem] = path
    return files


def _rename_lone(left, right):
    """Gives a depth file the stem of its image where each is the only one of its folder."""
    images = Counter(stem.parent for stem in left)
    depths = Counter(stem.parent for stem in right)
    lone = {stem.parent: stem for stem in right if depths[stem.parent] == 1}
    for stem in left:
        if images[stem.parent] == 1 and stem.parent in lone:
            right[stem] = right.pop(lone[stem.parent])


def _folder_name(path, root):
    return path.parent.relative_to(root).as_posix() if path.parent != root else root.name


def _says_disparity(path):
    return path.stem.lower().startswith("disp")


def _with_stem(folder, stem, suffixes):
    """The file of a folder with this stem, in any case, and one of the suffixes; None if none."""
    return next((p for p in find_files(folder, suffixes, "*") if p.stem.lower() == stem), None)
