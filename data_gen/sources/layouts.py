"""Folder layouts of RGB-D data sets: the folder of a data set -> its scenes.

| layout         | files under the root                                                           |
| -------------- | ------------------------------------------------------------------------------ |
| `sintel`       | [training/]clean or final/SCENE/frame_*.png, [training/]depth/SCENE/*.dpt      |
| `synthia`      | [SEQUENCE/]RGB/Stereo_*/Omni_*/N.png, [SEQUENCE/]Depth/Stereo_*/Omni_*/N.png   |
| `syndof-input` | image/**, depth/** of the authors' generator: same folders, same stem or the   |
|                | only file of its folder; always depth, never disparity                         |
| `middlebury`   | SCENE/im0.png, disp0.pfm, calib.txt (2014, 2021); SCENE/view1.png, disp1.png   |
|                | (2005, 2006); SCENE/im2.*, disp2.* (2001, 2003)                                |
| `hypersim`, `diode`, `tum`: see `recordings.py`                                                |
| `folder`       | rgb|image|images|color/**, depth|disp|disparity/** with the same stems, or     |
|                | SCENE/rgb|image|color|im0|view1.*, SCENE/depth*|disp*.*                        |

MPI Sintel's pass `clean` is preferred to `final`, whose pictures have blur of their own.
Units: millimetres for a calibrated Middlebury scene, those of the file otherwise; the unit does
not matter to a lens sampled from the bounds of the map.
"""

from collections import Counter
from dataclasses import replace

from data_gen.io.errors import DataFileError
from data_gen.io.formats import readable_titles
from data_gen.io.images import IMAGE_SUFFIXES, by_stem
from data_gen.io.search import find_files, natural_key
from data_gen.sources.depth_files import DEPTH_SUFFIXES, read_calibration, why_not_read
from data_gen.sources.recordings import diode, hypersim, tum
from data_gen.sources.scene import Scene, UnpairedError

IMAGE_FOLDERS = ("rgb", "image", "images", "color")
DEPTH_FOLDERS = ("depth", "disp", "disparity")
IMAGE_STEMS = ("rgb", "image", "color", "im0", "view1")
# Order of preference if a scene has several: of a stereo pair the left view, like the image.
DEPTH_STEMS = ("depth", "disp", "disparity", "depth0", "disp0", "depth1", "disp1")
MIDDLEBURY_PAIRS = {"im0": "disp0", "view1": "disp1", "im2": "disp2"}


class NoLayoutError(DataFileError):
    """A folder has none of the layouts of RGB-D scenes."""


def find_scenes(root, layouts):
    """(name, scenes) of the first of `layouts` that finds scenes under `root`."""
    if not root.is_dir():
        raise DataFileError(f"{root}: a source must be a folder; it does not exist")
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
            [f"{image}: must have {depth} beside it; it is missing" for image, depth in lacking]
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
                + _unread(image.parent, DEPTH_STEMS)
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
    "hypersim": hypersim,
    "diode": diode,
    "tum": tum,
    "folder": _folder,
}
LOOKED_FOR = {
    "sintel": "[training/]clean|final/ with [training/]depth/",
    "synthia": "[*/]RGB/Stereo_*/Omni_*/ with [*/]Depth/",
    "syndof-input": "image/ with depth/",
    "middlebury": "*/im0.* with disp0.pfm, */view1.* with disp1.*, */im2.* with disp2.*",
    "hypersim": "images/*_final_preview/ with *_geometry_hdf5/frame.*.depth_meters.hdf5",
    "diode": "*.png with *_depth.npy and *_depth_mask.npy",
    "tum": "associations.txt, or rgb.txt with depth.txt",
    "folder": f"{'|'.join(IMAGE_FOLDERS)}/ with {'|'.join(DEPTH_FOLDERS)}/, or "
    f"*/{'|'.join(IMAGE_STEMS)}.* with depth*|disp*",
}


def _pair_trees(images, depths, depth_suffixes=DEPTH_SUFFIXES, lone_files=False):
    """Scenes of two mirrored trees, paired by path without suffix, or as lone files of a folder."""
    left = by_stem(find_files(images, IMAGE_SUFFIXES), images)
    right = by_stem(find_files(depths, depth_suffixes), depths)
    if lone_files:
        _rename_lone(left, right)
    problems = []
    for stem in sorted(left.keys() ^ right.keys()):
        have, wanted = (left, depths / stem) if stem in left else (right, images / stem)
        problems.append(
            f"{have[stem]}: image and depth must come in pairs; looked for {wanted} with any of "
            + (
                " ".join(depth_suffixes) + _unread(wanted.parent, (stem.name.lower(),))
                if have is left
                else readable_titles()
            )
        )
    if problems:
        raise UnpairedError(problems)
    return [Scene(stem.as_posix(), image, right[stem]) for stem, image in left.items()]


def _rename_lone(left, right):
    """Pairs an image and a depth file of different stems if each is alone in its folder."""
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


def _unread(folder, stems) -> str:
    """Why a file that would be depth by its stem is not read, as the end of a sentence, or ""."""
    if not folder.is_dir():
        return ""
    for path in sorted(folder.iterdir()):
        # NAME.npy.gz as well, whose stem is NAME.npy.
        same = path.stem.lower() in stems or path.name.partition(".")[0].lower() in stems
        if same and path.is_file() and path.suffix.lower() not in DEPTH_SUFFIXES:
            return f"; {why_not_read(path)}"
    return ""


def _with_stem(folder, stem, suffixes):
    """The file in a folder with this stem (ignoring case) and one of the suffixes, or None."""
    return next(
        (p for p in find_files(folder, suffixes, recursive=False) if p.stem.lower() == stem), None
    )
