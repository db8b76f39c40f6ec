"""All-in-focus scenes with depth made from photos that people have segmented (BSDS500).

A root holds images/**/NAME.jpg and groundTruth/**/NAME.mat, which `scipy.io` reads. Each segment
becomes a plane, so that textures and outlines are real and the map of a rendering is exact. Depth
itself is invented, and takes no folder layout's options.
"""

import zlib
from pathlib import Path

import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.io.images import IMAGE_SUFFIXES, by_stem, read_rgb
from data_gen.io.search import find_files
from data_gen.sources.base import Source

NEAREST, FARTHEST = 1.0, 10.0
MAX_PLANES = 5  # of a training scene: a subject and its surroundings rather than a mosaic


class SegmentScenes(Source):
    """Scenes by index; the plane is depth from 1 to 10, larger = farther.

    Args:
        root: see the module.
        seed: with a scene's name, it settles the scene's depth.
        max_planes: None gives each of n segments a distance of its own, the n from 1 to 10 in equal
            ratios. A number gives each scene 2 to so many distances, and each segment one of them.

    Of several people's segmentations, the one with the median number of segments is taken.
    Raises `DataFileError` for a photo without segments or the reverse.
    """

    def __init__(self, root, seed: int = 0, max_planes: int | None = None):
        root = self.root = Path(root)
        self.seed, self.max_planes = seed, max_planes
        images = _by_stem_below(root / "images", IMAGE_SUFFIXES)
        segments = _by_stem_below(root / "groundTruth", (".mat",))
        for stem in sorted(images.keys() ^ segments.keys()):
            raise DataFileError(
                f"{images.get(stem) or segments[stem]}: images/**/NAME.jpg and "
                "groundTruth/**/NAME.mat must come in pairs; received no partner of this one"
            )
        self._pairs = [(images[stem], segments[stem]) for stem in images]

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, i) -> str:
        return self._pairs[i][0].stem

    def origin(self, i) -> dict:
        """The scene's two files, relative to the root."""
        kinds = ("image", "segments")
        return {
            kind: path.relative_to(self.root).as_posix()
            for kind, path in zip(kinds, self._pairs[i], strict=True)
        }

    def paths(self, i) -> tuple[Path, ...]:
        return self._pairs[i]

    def read_image(self, i):
        """-> image uint8 [H, W, 3] RGB."""
        return read_rgb(self._pairs[i][0])

    def read(self, i):
        """-> image uint8 [H, W, 3] RGB, depth float32 [H, W]."""
        image_path, segments_path = self._pairs[i]
        image, segments = read_rgb(image_path), read_segments(segments_path)
        if image.shape[:2] != segments.shape:
            raise DataFileError(
                f"{segments_path}: segments must have the size of their photo; received "
                f"{list(segments.shape)} for {list(image.shape[:2])}"
            )
        _, segments = np.unique(segments, return_inverse=True)
        distances = self._distances(self.name(i), count=int(segments.max()) + 1)
        return image, np.float32(distances[segments.reshape(image.shape[:2])])

    def _distances(self, name: str, count: int) -> np.ndarray:
        draw = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        if self.max_planes is None:
            return draw.permutation(np.geomspace(NEAREST, FARTHEST, count))
        planes = int(draw.integers(2, self.max_planes + 1))
        return np.geomspace(NEAREST, FARTHEST, planes)[draw.integers(0, planes, count)]


def training_scenes(root) -> SegmentScenes:
    """The scenes that SYNDOF is rendered from: few planes each, always the same."""
    return SegmentScenes(root, max_planes=MAX_PLANES)


def read_segments(path) -> np.ndarray:
    """Segment numbers [H, W] of the segmentation with the median number of segments in a file."""
    import scipy.io  # opening other sources does not wait for it

    try:
        people = scipy.io.loadmat(path)["groundTruth"]
        found = [person[0, 0]["Segmentation"] for person in people.ravel()]
        found.sort(key=lambda labels: len(np.unique(labels)))  # stable: ties in the file's order
        return found[(len(found) - 1) // 2]
    except Exception as error:  # SciPy's reader raises nearly every type there is
        raise DataFileError(
            f"{path}: must be a .mat file whose groundTruth holds segmentations as BSDS500 files "
            f"do ({type(error).__name__}: {error})"
        ) from error


def _by_stem_below(folder, suffixes) -> dict[str, Path]:
    files = by_stem(find_files(folder, suffixes) if folder.is_dir() else ())
    if not files:
        raise DataFileError(f"{folder}: must hold files of {' '.join(suffixes)}; received none")
    return files
