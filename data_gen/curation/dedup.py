"""Keeps only dissimilar images of a collection, as the paper did to reach 2,006 of its frames.

Hash: ImageHash's `phash` of 16 x 16: signs of the 256 lowest frequencies of the grey picture at
64 x 64 pixels. Distance: how many of the 256 bits differ; 0 = alike, unrelated pictures about 128.

What is measured (how `THRESHOLD` was chosen):

| pairs of pictures                                          | distance                        |
| ---------------------------------------------------------- | ------------------------------- |
| one scene focused near and far (LFSD, 97 pairs)            | 0 to 30, half of them below 8   |
| camera turned by 1, 2, 5 per cent of the view's width      | 16, 38, 92 (medians)            |
| camera zoomed by 2, 5, 10 per cent                         | 16, 42, 74 (medians)            |
| same room and furniture, another person or pose (phone)    | 42 and up                       |
| unrelated photos (CUHK, 126,756 pairs)                     | from 84, mean 127, deviation 8  |
| unrelated photos (BSDS500, 44,850 pairs)                   | from 94                         |
| different RGB-D scenes (703 pairs)                         | from 102                        |

A quarter of the bits, 64, is twice what any change of focus makes, and 7.7 standard deviations
below the mean of unrelated pictures. The usual 8 x 8 hash separates less: LFSD's pairs reach 8 of
64 bits, unrelated ones begin at 14 and have a deviation of 4: in the 200 million pairs of 20,000
frames the two would meet. Hashes of differences (dhash) bring unrelated BSDS photos as near as 44
of 256 bits.

Grouping is greedy, in the order of the collection: a picture is kept when every one kept before it
is farther than the threshold, and otherwise counted to the nearest of them. So all kept ones are
farther apart than the threshold, and each one left out is within it of one that was kept. Single
linkage would chain the frames of a moving camera into one group whose ends have nothing in common.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from data_gen.curation import dedup_report
from data_gen.curation.options import THRESHOLD_BITS
from data_gen.io import parallel
from data_gen.io.errors import DataFileError
from data_gen.io.formats import readable_titles
from data_gen.io.images import read_rgb
from data_gen.io.search import find_images, received
from data_gen.sources import layouts, rgbd
from data_gen.sources.base import Subset, concat, read_image

HASH_SIDE = 16
BITS = HASH_SIDE**2
THRESHOLD = THRESHOLD_BITS
HASH = f"ImageHash {imagehash.__version__}, phash, {BITS} bits"
BLOCK = 512

# --- hashes and groups -------------------------------------------------------------------------


def hash_image(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] RGB -> bool [BITS]."""
    return imagehash.phash(Image.fromarray(image), hash_size=HASH_SIDE).hash.ravel()


def hash_source(source, progress: Callable = iter) -> np.ndarray:
    """The hashes of all images of a source: bool [N, BITS].

    Reads with a thread per core. `progress` wraps the range of images, as tqdm does.
    """
    hashes = np.empty((len(source), BITS), bool)
    done = parallel.ordered(lambda i: hash_image(read_image(source, i)), len(source))
    for i in progress(range(len(source))):
        hashes[i] = next(done)
    return hashes


@dataclass(frozen=True)
class Groups:
    """`leader[i]`: the kept image that represents image i (i itself if it is kept).

    `distance[i]`: bits between image i and the nearest one kept before it; -1 if there is none.
    """

    leader: np.ndarray
    distance: np.ndarray
    threshold: int

    @property
    def kept(self) -> list[int]:
        return np.flatnonzero(self.leader == np.arange(len(self.leader))).tolist()

    def merged(self) -> list[tuple[int, list[int]]]:
        """(kept image, those left out for it, farthest first).

        The largest groups come first, and of equal ones those with the farthest member.
        """
        members = {}
        for i, leader in enumerate(self.leader.tolist()):
            if leader != i:
                members.setdefault(leader, []).append(i)
        for group in members.values():
            group.sort(key=lambda i: (-self.distance[i], i))

        def rank(item):
            leader, left = item
            return -len(left), -self.distance[left[0]], leader

        return sorted(members.items(), key=rank)


def group(hashes: np.ndarray, threshold: int = THRESHOLD) -> Groups:
    """Greedy groups of hashes bool [N, BITS], in their order.

    Distances come from products of matrices of +-1: (BITS - a.b) / 2, exact in float32. Memory:
    some 4 * (BITS + 4 * BLOCK) bytes per kept image, 180 MB for 20,000 of them.
    """
    if not 0 <= threshold < BITS:
        raise ValueError(f"threshold must lie in 0 .. {BITS - 1} bits; received {threshold}")
    count = len(hashes)
    leader, distance = np.arange(count), np.full(count, -1)
    kept, kept_signs = [], np.empty((count, BITS), np.float32)
    for start in range(0, count, BLOCK):
        signs = np.where(hashes[start : start + BLOCK], np.float32(1), np.float32(-1))
        before = len(kept)
        earlier = (BITS - signs @ kept_signs[:before].T) / 2
        within = (BITS - signs @ signs.T) / 2
        for row in range(len(signs)):
            here = [i - start for i in kept[before:]]
            to_kept = np.concatenate([earlier[row], within[row, here]])
            nearest = int(to_kept.argmin()) if to_kept.size else None
            if nearest is not None:
                distance[start + row] = to_kept[nearest]
            if nearest is not None and to_kept[nearest] <= threshold:
                leader[start + row] = kept[nearest]
            else:
                kept_signs[len(kept)] = signs[row]
                kept.append(start + row)
    return Groups(leader, distance, threshold)


# --- sources -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Photos:
    """Images without depth, hence not a `Source`; `name(i)` is the path below `root`."""

    root: Path
    paths: tuple[Path, ...]

    def __len__(self):
        return len(self.paths)

    def name(self, i) -> str:
        return self.paths[i].relative_to(self.root).as_posix()

    def read_image(self, i):
        return read_rgb(self.paths[i])


@dataclass(frozen=True)
class Prefixed:
    """A source whose names are prefixed with its folder, to distinguish several sources."""

    source: object
    prefix: str

    def __len__(self):
        return len(self.source)

    def name(self, i) -> str:
        return f"{self.prefix}/{self.source.name(i)}"

    def read_image(self, i):
        return read_image(self.source, i)


def distinct_source(
    source, threshold: int = THRESHOLD, report: Path | None = None, progress: Callable = iter
) -> Subset:
    """The dissimilar images of a source as a source: a pure function of the images and `threshold`.

    Args:
        source: its `read_image(i)`, if it has one, saves reading the depth.
        threshold: bits; images within this distance of a kept one are left out.
        report: a folder for `dedup_report.write_report`; None: no report.
        progress: wraps the iterable of work, as tqdm does.
    Raises:
        ValueError: the threshold.
        DataFileError: an image that cannot be read.
    """
    if not 0 <= threshold < BITS:  # before the hours of reading
        raise ValueError(f"threshold must lie in 0 .. {BITS - 1} bits; received {threshold}")
    groups = group(hash_source(source, progress), threshold)
    if report is not None:
        about = {"hash": HASH, "threshold": threshold}
        dedup_report.write_report(Path(report), source, groups, about)
    return Subset(source, tuple(groups.kept))


def open_collection(root):
    """RGB-D scenes where `root` has a layout of them, else the images found below it.

    Where `root` has a folder `image` (photos beside their maps or masks), only those of it.
    """
    try:
        return rgbd.open_source(root)
    except layouts.NoLayoutError:
        root = Path(root)
        root = root / "image" if (root / "image").is_dir() else root
        paths, left_out = find_images(root)
        if not paths:
            raise DataFileError(
                f"{root}: must hold images ({readable_titles()}) or RGB-D scenes; received "
                f"{received(left_out).replace('none', 'neither')}"
            ) from None
        return Photos(root, tuple(paths))


def open_collections(paths):
    """Opens collections as one source; of several, names are prefixed with their folder."""
    if not paths:
        raise ValueError("dedup needs at least one folder of images; received none")
    opened = [open_collection(path) for path in paths]
    if len(opened) == 1:
        return opened[0]
    return concat(Prefixed(each, str(path)) for each, path in zip(opened, paths, strict=True))
