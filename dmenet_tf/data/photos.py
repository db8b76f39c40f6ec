"""Real photos: those with a binary blur map (I_B), those without (I_R), and the embedded defaults.

Every collection is `len(photos)`, `photos.name(i)` and `photos.read(i)`:

| collection | read(i) |
| --- | --- |
| with maps: `LabelledPhotos`, embedded: `CutoutPhotos` | (image, blurred) |
| without: `UnlabelledPhotos`, embedded: `default_unlabelled()` | image |

image is uint8 [H, W, 3] RGB; blurred is float32 [H, W], 1 = blurred, 0 = in focus.
"""

import re
from pathlib import Path

import cv2
import numpy as np

from data_gen.io.images import (
    IMAGE_SUFFIXES,
    DataFileError,
    find_files,
    list_images,
    read_mask,
    read_rgb,
)
from data_gen.scenes.photographs import load_photographs
from dmenet_tf.data.cutouts import CutoutPhotos as CutoutPhotos

IMAGE_FOLDERS = ("image", "images")
MASK_FOLDERS = ("gt", "mask", "masks", "label", "labels")
POLARITIES = ("blurred", "sharp")

# Pictures of a microscope, a telescope and an ophthalmoscope teach nothing about a camera's photos.
SCIENTIFIC = {"hubble_deep_field", "ihc", "retina"}

# JPEG noise and smoothed outlines leave few pixels in the middle half of the range; a map of
# probabilities, or of sigma, leaves many.
MIDDLE = (64, 191)
MIDDLE_SHARE_MAX = 0.1

# The polarity check reads detail at this size: at full size, noise drowns it.
CHECK_SIDE_PX = 640
# Below this share of a photo, a class is a speck that says nothing.
CLASS_SHARE_MIN = 0.02
AGREEMENT_MIN = 0.7


class LabelledPhotos:
    """Photos with binary maps, paired by stem: image/NAME.jpg with gt/NAME.png.

    Args:
        root: a folder that holds `image` (or `images`) and `gt` (or `mask`, `masks`, `label`,
            `labels`), or a pair (folder of photos, folder of maps).
        polarity: what 255 means in the maps: "blurred" (CUHK's own files) or "sharp".
        names: only these photos; empty for all. A list of stems; a text file with a stem a line;
            or a range of the numbers that the stems end in, such as "0001-0454". What the stems
            begin with may stand before it ("out_of_focus0001-0454"), to tell apart series of the
            same numbers.
    Raises:
        ValueError: naming the file and the rule that it breaks (`DataFileError`) or the names;
            from here for folders, pairs and names, from `read` for what the files hold.
    """

    def __init__(self, root, polarity="blurred", names=None):
        if polarity not in POLARITIES:
            raise ValueError(f"polarity must be one of {POLARITIES}; received {polarity!r}")
        self.polarity = polarity
        images, masks = (_by_stem(folder) for folder in _photo_folders(root))
        if names:
            chosen = select_names(images, names)
            images, masks = (
                {stem: path for stem, path in files.items() if stem in chosen}
                for files in (images, masks)
            )
        for stem in sorted(images.keys() ^ masks.keys()):
            path, lacks = (images[stem], "map") if stem in images else (masks[stem], "photo")
            raise DataFileError(
                f"{path}: photo and map must have the same stem; received no {lacks} of this one"
            )
        self._pairs = [(path, masks[stem]) for stem, path in images.items()]

    def __len__(self):
        return len(self._pairs)

    def name(self, index):
        return self._pairs[index][0].stem

    def read(self, index):
        """(image uint8 [H, W, 3] RGB, blurred float32 [H, W], 1 = blurred)."""
        image_path, mask_path = self._pairs[index]
        image, mask = read_rgb(image_path), read_mask(mask_path)
        if image.shape[:2] != mask.shape:
            raise DataFileError(
                f"{mask_path}: a map must have the size of its photo; received "
                f"{list(mask.shape)} for {list(image.shape[:2])} in {image_path}"
            )
        high = _is_high(mask, mask_path)
        return image, np.float32(high if self.polarity == "blurred" else ~high)


class UnlabelledPhotos:
    """Photos of folders, with all folders below them, and of single files.

    Maps are not told from photos: give the folder of the photos, not the one above both.
    Raises `DataFileError` for a path that does not exist or holds no image.
    """

    def __init__(self, *paths):
        if not paths:
            raise ValueError("a folder of photos must be given; received none")
        self._files = [file for path in paths for file in _images_below(Path(path))]

    def __len__(self):
        return len(self._files)

    def name(self, index):
        return self._files[index].stem

    def read(self, index):
        """image uint8 [H, W, 3] RGB."""
        return read_rgb(self._files[index])


class PhotosInMemory:
    """Photos without maps out of {name: uint8 [H, W, 3] RGB}."""

    def __init__(self, images):
        self._names, self._images = list(images), list(images.values())

    def __len__(self):
        return len(self._names)

    def name(self, index):
        return self._names[index]

    def read(self, index):
        return self._images[index]


def default_unlabelled():
    """The everyday photographs that come with scikit-image: I_R for those who have no photos."""
    photographs = load_photographs()
    everyday = photographs.keys() - SCIENTIFIC
    return PhotosInMemory({name: photographs[name] for name in sorted(everyday)})


def select_names(stems, names):
    """The set of those `stems` that `names` asks for, in any form that `LabelledPhotos` takes.

    Raises:
        ValueError: a stem that is asked for is not there, a range matches none, or `names` is
            neither a range nor a file.
    """
    stems = set(stems)
    if isinstance(names, (str, Path)):
        series = re.fullmatch(r"(.*?)(\d+)-(\d+)", str(names))
        if series and not Path(names).is_file():
            return _in_series(stems, series[1], int(series[2]), int(series[3]))
        names = _read_stems(Path(names))
    missing = sorted(set(names) - stems)
    if missing:
        raise ValueError(
            f"every photo that is asked for must be there; received no photo for {len(missing)} "
            f"names, such as {', '.join(missing[:3])}"
        )
    return set(names)


def check_polarity(photos, sample=40):
    """Makes sure that the maps' polarity is right: what is in focus has the stronger detail.

    Detail is the mean absolute Laplacian of a region. On CUHK it is the stronger in the region in
    focus on 99.8 % of the photos. Photos with one class only are left out.

    Args:
        photos: any collection with maps.
        sample: how many photos are read, spread evenly over the collection.
    Returns:
        The share of photos that agree.
    Raises:
        ValueError: fewer than 70 % agree, or no photo has both classes.
    """
    indices = np.unique(np.linspace(0, len(photos) - 1, sample).round().astype(int))
    votes = [sharp_has_more_detail(*photos.read(int(index))) for index in indices]
    votes = [vote for vote in votes if vote is not None]
    if not votes:
        raise ValueError(
            "the polarity of the maps can be checked only on photos with a blurred part and one "
            f"in focus; received {len(indices)} photos, none with both"
        )
    share = float(np.mean(votes))
    if share < AGREEMENT_MIN:
        advice = (
            f"the maps are inverted: use the other polarity of {POLARITIES}, which says what 255 is"
            if share <= 1 - AGREEMENT_MIN
            else "the maps do not follow the blur in either polarity"
        )
        raise ValueError(
            f"the part in focus must have stronger detail than the blurred part on at least "
            f"{AGREEMENT_MIN:.0%} of the photos; received {share:.0%} of {len(votes)}: {advice}"
        )
    return share


def sharp_has_more_detail(image, blurred):
    """Whether detail agrees with the map; None where a class covers next to nothing."""
    scale = CHECK_SIDE_PX / max(blurred.shape)
    if scale < 1:
        size = round(blurred.shape[1] * scale), round(blurred.shape[0] * scale)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        blurred = cv2.resize(blurred, size, interpolation=cv2.INTER_NEAREST)
    is_blurred = blurred > 0.5
    if not CLASS_SHARE_MIN < is_blurred.mean() < 1 - CLASS_SHARE_MIN:
        return None
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
    return bool(detail[~is_blurred].mean() > detail[is_blurred].mean())


def _photo_folders(root):
    """(folder of photos, folder of maps)."""
    if isinstance(root, (tuple, list)):
        return Path(root[0]), Path(root[1])
    root = Path(root)
    if not root.is_dir():
        raise DataFileError(f"{root}: must be a folder of labelled photos; there is no such folder")
    return tuple(_only_folder(root, names) for names in (IMAGE_FOLDERS, MASK_FOLDERS))


def _only_folder(root, names):
    found = [path for path in root.iterdir() if path.is_dir() and path.name.lower() in names]
    if len(found) != 1:
        raise DataFileError(
            f"{root}: must hold exactly one of the folders {', '.join(names)}; "
            f"received {', '.join(sorted(path.name for path in found)) or 'none of them'}"
        )
    return found[0]


def _by_stem(folder):
    files = {}
    for path in list_images(folder):
        if path.stem in files:
            raise DataFileError(
                f"{path}: a folder must hold one image of a stem; received {files[path.stem]} too"
            )
        files[path.stem] = path
    return files


def _in_series(stems, prefix, first, last):
    """Stems that end in a number of `first` .. `last`, with `prefix` before it if there is one."""
    found = set()
    for stem in stems:
        before, number = re.fullmatch(r"(.*?)(\d*)", stem).groups()
        if number and first <= int(number) <= last and prefix in ("", before):
            found.add(stem)
    if not found:
        raise ValueError(
            f"a range of names must match at least one photo; received {prefix}{first}-{last} "
            f"for {len(stems)} photos such as {min(stems)}"
        )
    return found


def _read_stems(path):
    if not path.is_file():
        raise ValueError(
            "names must be a range such as 0001-0454 or a text file with a name a line; "
            f"received {path}, and there is no such file"
        )
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    # A list of file names serves as well as one of stems.
    return [
        line[: -len(Path(line).suffix)] if Path(line).suffix.lower() in IMAGE_SUFFIXES else line
        for line in lines
        if line
    ]


def _is_high(mask, path):
    """Which pixels of a map are 255 and not 0."""
    middle = np.mean((mask >= MIDDLE[0]) & (mask <= MIDDLE[1]))
    if middle > MIDDLE_SHARE_MAX or mask.max() == 1:
        raise DataFileError(
            f"{path}: a binary map must hold 0 and 255; received values up to {mask.max()}, "
            f"{middle:.0%} of them between {MIDDLE[0]} and {MIDDLE[1]}"
        )
    return mask >= 128


def _images_below(path):
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataFileError(f"{path}: must be a folder of photos or a photo; there is no such path")
    files = find_files(path, IMAGE_SUFFIXES)
    if not files:
        raise DataFileError(f"{path}: a folder of photos must hold images; received none")
    return files
