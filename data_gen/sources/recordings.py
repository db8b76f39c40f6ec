"""The layouts of three data sets that are more than images and depth of the same names.

| layout     | files under the root                                                               |
| ---------- | ---------------------------------------------------------------------------------- |
| `hypersim` | **/images/scene_CAM_final_preview/frame.N.tonemap.jpg (or .color.jpg),             |
|            | **/images/scene_CAM_geometry_hdf5/frame.N.depth_meters.hdf5                        |
| `diode`    | **/NAME.png, NAME_depth.npy, NAME_depth_mask.npy                                   |
| `tum`      | [SEQUENCE/]associations.txt, or rgb.txt and depth.txt, and the files they name     |

Hypersim (its README): distances in metres to the optical centre, along the ray of each pixel; the
depth that a lens knows is along the axis (`depth.planar`). Its cameras have a horizontal angle of
view of 60 degrees, so a focal length of 1 / (2 tan 30 deg) widths. DIODE: metres; the mask is 1
where a pixel was measured. TUM RGB-D: 16 bits, 5000 = 1 m, 0 = unknown; colour and depth were taken
at different times, and those within 0.02 s of each other go together, as in its own tool.
"""

import math
from pathlib import Path

from data_gen.io.errors import DataFileError
from data_gen.io.images import IMAGE_SUFFIXES, read_bytes
from data_gen.io.search import find_files, natural_key
from data_gen.sources.scene import Scene, UnpairedError

HYPERSIM_FOCAL_WIDTHS = 1 / (2 * math.tan(math.radians(30)))
_DISTANCES, _PREVIEWS = ".depth_meters.hdf5", (".tonemap.jpg", ".color.jpg")
_DIODE_DEPTH, _DIODE_MASK = "_depth.npy", "_depth_mask.npy"
TUM_PER_METRE = 5000
TUM_APART_S = 0.02
_TUM_LISTS = ("associations.txt", "associate.txt", "rgb.txt")


def hypersim(root: Path) -> list[Scene]:
    scenes, problems = [], []
    for path in find_files(root, (".hdf5",)):
        if not path.name.endswith(_DISTANCES):
            continue
        folder = path.parent.with_name(path.parent.name.replace("geometry_hdf5", "final_preview"))
        frame = path.name.removesuffix(_DISTANCES)
        image = _first(folder / f"{frame}{ending}" for ending in _PREVIEWS)
        if image is None:
            problems.append(f"{path}: must have its image, {folder / frame}{_PREVIEWS[0]}")
            continue
        name = f"{image.parent.relative_to(root).as_posix()}/{frame}"
        scenes.append(Scene(name, image, path, ray_focal_widths=HYPERSIM_FOCAL_WIDTHS))
    # Whoever loaded the geometry of all frames has the previews of all of them.
    if scenes and problems:
        raise UnpairedError(problems)
    return scenes


def diode(root: Path) -> list[Scene]:
    scenes, problems = [], []
    for mask in find_files(root, (".npy",)):
        if not mask.name.endswith(_DIODE_MASK):
            continue
        stem = mask.name.removesuffix(_DIODE_MASK)
        depth = mask.with_name(stem + _DIODE_DEPTH)
        image = _first(mask.with_name(stem + suffix) for suffix in IMAGE_SUFFIXES)
        if image is None or not depth.exists():
            lacking = f"{stem}.png" if image is None else depth.name
            problems.append(f"{mask}: must have {lacking} beside it; it is missing")
            continue
        name = image.relative_to(root).with_suffix("").as_posix()
        scenes.append(Scene(name, image, depth, mask=mask))
    if problems:
        raise UnpairedError(problems)
    return scenes


def tum(root: Path) -> list[Scene]:
    scenes = []
    for folder in sorted([root, *(p for p in root.iterdir() if p.is_dir())], key=natural_key):
        lists = _first(folder / name for name in _TUM_LISTS)
        if lists is None or (lists.name == "rgb.txt" and not (folder / "depth.txt").is_file()):
            continue
        pairs = _by_time(folder) if lists.name == "rgb.txt" else _associated(lists)
        for image, depth in pairs:
            name = (folder / image).relative_to(root).with_suffix("").as_posix()
            scenes.append(Scene(name, folder / image, folder / depth, scale=1 / TUM_PER_METRE))
    return scenes


def _associated(path: Path) -> list[tuple[str, str]]:
    """Lines of "time rgb/FILE time depth/FILE", or depth first."""
    pairs = []
    for words in _lines(path):
        files = words[1::2]
        if len(words) != 4:
            raise DataFileError(
                f"{path}: a line must be 'time file time file'; received {' '.join(words)[:100]!r}"
            )
        pairs.append(tuple(sorted(files, key=lambda file: "depth" in file.lower())))
    return pairs


def _by_time(folder: Path) -> list[tuple[str, str]]:
    """Each image with the depth nearest to it in time, the closest pairs first, each file once."""
    images, depths = (_timed(folder / name) for name in ("rgb.txt", "depth.txt"))
    close, first = [], 0
    for time, image in images:
        while first < len(depths) and depths[first][0] <= time - TUM_APART_S:
            first += 1
        index = first
        while index < len(depths) and depths[index][0] < time + TUM_APART_S:
            close.append((abs(depths[index][0] - time), time, image, depths[index][1]))
            index += 1
    taken: set[str] = set()
    pairs = []
    for _, time, image, depth in sorted(close):
        if not {image, depth} & taken:
            taken |= {image, depth}
            pairs.append((time, image, depth))
    return [(image, depth) for _, image, depth in sorted(pairs)]


def _timed(path: Path) -> list[tuple[float, str]]:
    try:
        return sorted((float(time), file) for time, file in _lines(path))
    except ValueError as error:
        raise DataFileError(f"{path}: a line must be 'time file' ({error})") from error


def _lines(path: Path) -> list[list[str]]:
    lines = read_bytes(path).decode(errors="replace").splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


def _first(paths) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
