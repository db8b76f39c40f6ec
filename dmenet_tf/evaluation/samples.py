"""Photos and rendered scenes with their true maps, for the protocols.

Every one is a `data_gen.sources.base.Source`, whose plane is the truth:

| source | truth |
| --- | --- |
| `dmenet_tf.data.labelled.LabelledPhotos` | 1 = blurred, 0 = in focus |
| `RtfPhotos` | `sigma_px` |
| `RenderedScenes` over RGB-D scenes or `data_gen.sources.segments` | `defocus` |
| `data_gen.dataset`: records and folders | `defocus` |
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io
import tensorflow as tf

from data_gen import augment, pipeline
from data_gen.io.errors import DataFileError
from data_gen.io.images import IMAGE_SUFFIXES, read_bytes, read_rgb
from data_gen.io.search import find_files, left_out
from data_gen.sources.base import Source, Subset
from dmenet_tf import console
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.data.name_lists import select_names

# --- the RTF photos ----------------------------------------------------------------------------


def disc_sigma_px(radius_px):
    """sigma of the Gaussian with the variance of a uniform disc: radius / 2 along each axis."""
    return np.asarray(radius_px, np.float64) / 2.0


def read_radius_table(path) -> Callable:
    """A function from disc radius to Gaussian sigma, in pixels, by the nearest radius of a table.

    The CSV has the columns `gaussian_sigma_px` and `disc_radius_px`. Raises `DataFileError`.
    """
    text = read_bytes(path).decode("utf-8", errors="replace")
    try:
        rows = list(csv.DictReader(text.splitlines()))
        sigma_px = np.array([float(row["gaussian_sigma_px"]) for row in rows])
        radius_px = np.array([float(row["disc_radius_px"]) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DataFileError(
            f"{path}: a table of radii must have the columns gaussian_sigma_px and disc_radius_px "
            f"of numbers ({error!r})"
        ) from error
    if len(rows) == 0 or not np.isfinite([sigma_px, radius_px]).all():
        raise DataFileError(f"{path}: a table of radii must hold finite numbers, at least one pair")
    order = np.argsort(radius_px)
    sigma_px, borders = sigma_px[order], np.convolve(radius_px[order], [0.5, 0.5], mode="valid")
    return lambda radius: sigma_px[np.searchsorted(borders, np.asarray(radius, np.float64))]


class RtfPhotos(Source):
    """Photos with maps of disc radii, paired by the number that ends their names.

    `root` holds image_01.png, map_01.mat (variable `blurMap`: the radius in pixels, 0.5 = sharp)
    and so on, directly or in folders below.
    """

    def __init__(self, root, radius_to_sigma: Callable):
        images, maps = (_by_number(root, suffixes) for suffixes in (IMAGE_SUFFIXES, (".mat",)))
        for number in sorted(images.keys() ^ maps.keys()):
            path = images.get(number) or maps[number]
            raise DataFileError(
                f"{path}: photo and map must come in pairs such as image_01.png, map_01.mat; "
                "received no partner of this one"
            )
        if passed_over := left_out([root]):
            console.note(f"{root}: {passed_over}")
        self._pairs = [(images[number], maps[number]) for number in sorted(images)]
        self._radius_to_sigma = radius_to_sigma

    def __len__(self):
        return len(self._pairs)

    def name(self, index):
        return self._pairs[index][0].stem

    def read(self, index):
        """-> image uint8 [H, W, 3], sigma_px float32 [H, W]."""
        image_path, map_path = self._pairs[index]
        radius_px = _read_mat(map_path, "blurMap")
        if radius_px.ndim != 2 or radius_px.dtype.kind not in "fiu":
            raise DataFileError(
                f"{map_path}: blurMap must be an array of numbers [H, W]; "
                f"received {radius_px.dtype} {list(radius_px.shape)}"
            )
        if not (np.isfinite(radius_px).all() and radius_px.min() >= 0):
            raise DataFileError(f"{map_path}: radii must be finite and not negative")
        return read_rgb(image_path), np.float32(self._radius_to_sigma(radius_px))


def _by_number(root, suffixes) -> dict[int, Path]:
    if not Path(root).is_dir():
        raise DataFileError(f"{root}: must be a folder of photos and maps; there is no such folder")
    files = {}
    for path in find_files(root, suffixes):
        number = re.search(r"(\d+)$", path.stem)
        if number is None:
            raise DataFileError(f"{path}: the name must end in the number of the photo")
        if int(number[1]) in files:
            raise DataFileError(f"{path}: a number must belong to one file; received it twice")
        files[int(number[1])] = path
    if not files:
        raise DataFileError(f"{root}: must hold files of {' '.join(suffixes)}; received none")
    return files


# --- rendered scenes ---------------------------------------------------------------------------


class RenderedScenes(Source):
    """Whole scenes of an RGB-D source, each under a lens of its own, as the renderer gives them.

    `count` examples, a pure function of (seed, index, source): every scene once before any is
    repeated. A short side above 800 px is reduced to 800 px, as in training.
    """

    def __init__(self, source, seed: int, count: int, sampler="paper"):
        self._fitted = pipeline.fitted(source, SIZE_MULTIPLE, cache=2)
        self._rendered = pipeline.Rendered(self._fitted, seed, count, sampler)

    def __len__(self):
        return len(self._rendered)

    def name(self, index):
        turn = index // len(self._fitted)
        return self._fitted.name(self._scene(index)) + (f" (lens {turn + 1})" if turn else "")

    def read(self, index):
        """-> image uint8 [H, W, 3], defocus float32 [H, W]."""
        # The graph reads it again, and would lose the type of an error; until then it is cached.
        self._fitted.read(self._scene(index))
        return self._rendered.read(index)

    def _scene(self, index) -> int:
        order = pipeline.fold(tf.constant(self._rendered.key, tf.int32), pipeline.ORDER)
        return int(augment.epoch_index(order, index, len(self._fitted)))


def _read_mat(path, variable: str) -> np.ndarray:
    try:
        return scipy.io.loadmat(path)[variable]
    except KeyError:
        raise DataFileError(f"{path}: must hold the variable {variable}; it does not") from None
    except Exception as error:  # SciPy's reader raises nearly every type there is
        raise DataFileError(f"{path}: must be a whole .mat file ({error})") from error


# --- any source --------------------------------------------------------------------------------


def chosen(source: Source, names) -> Subset:
    """Those items of a source whose names are asked for, in any form of `select_names`."""
    all_names = [source.name(index) for index in range(len(source))]
    wanted = select_names(all_names, names)
    return Subset(source, tuple(i for i, name in enumerate(all_names) if name in wanted))
