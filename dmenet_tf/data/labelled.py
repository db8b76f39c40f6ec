"""Real photos with a binary blur map: I_B.

`read(i)` gives (image uint8 [H, W, 3] RGB, blurred float32 [H, W], 1 = blurred, 0 = in focus), as
the embedded `cutouts.CutoutPhotos` does. `mask_files.py` reads masks, `name_lists.py` lists of
names.
"""

import contextlib
from pathlib import Path

import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.io.images import by_stem, read_rgb
from data_gen.io.search import find_images, list_images
from dmenet_tf import console
from dmenet_tf.data.mask_files import Mask, read_mask
from dmenet_tf.data.masks import POLARITIES
from dmenet_tf.data.name_lists import select_names

IMAGE_FOLDERS = ("image", "images")
MASK_FOLDERS = ("gt", "mask", "masks", "label", "labels")


class LabelledPhotos:
    """Photos with binary maps, paired by stem: image/NAME.jpg with gt/NAME.png.

    Args:
        root: a folder that holds `image` (or `images`) and `gt` (or `mask`, `masks`, `label`,
            `labels`), or a pair (folder of photos, folder of maps).
        polarity: what 255, the larger of a map's two values, means: "blurred" (CUHK's own files)
            or "sharp".
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
        images, masks = (by_stem(_images_of(folder)) for folder in _photo_folders(root))
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
        self._with_both: tuple[Mask | None] | None = None

    def __len__(self):
        return len(self._pairs)

    def name(self, index):
        return self._pairs[index][0].stem

    def origin(self, index) -> dict:
        """The two files of a photo."""
        image, mask = self._pairs[index]
        return {"image": str(image), "mask": str(mask)}

    def paths(self, index) -> tuple[Path, ...]:
        return self._pairs[index]

    def read(self, index):
        """(image uint8 [H, W, 3] RGB, blurred float32 [H, W], 1 = blurred)."""
        image_path, mask_path = self._pairs[index]
        image, mask = read_rgb(image_path), read_mask(mask_path)
        if image.shape[:2] != mask.plane.shape:
            raise DataFileError(
                f"{mask_path}: a map must have the size of its photo; received "
                f"{list(mask.plane.shape)} for {list(image.shape[:2])} in {image_path}"
            )
        high = mask.is_high(self._two_valued)
        return image, np.float32(high if self.polarity == "blurred" else ~high)

    def _two_valued(self) -> Mask | None:
        """The first map of the collection that has both values, which tells what one alone is."""
        if self._with_both is None:
            masks = (_mask_or_none(path) for _, path in self._pairs)
            self._with_both = (next((m for m in masks if m and len(m.levels) == 2), None),)
        return self._with_both[0]


def _mask_or_none(path) -> Mask | None:
    with contextlib.suppress(DataFileError):  # that is said where its own photo is read
        return read_mask(path)
    return None


def _photo_folders(root):
    """(folder of photos, folder of maps)."""
    if isinstance(root, (tuple, list)):
        return Path(root[0]), Path(root[1])
    root = Path(root)
    if not root.is_dir():
        raise DataFileError(f"{root}: must be a folder of labelled photos; there is no such folder")
    return tuple(_only_folder(root, names) for names in (IMAGE_FOLDERS, MASK_FOLDERS))


def _images_of(folder) -> list[Path]:
    images = list_images(folder)
    _, left_out = find_images(folder, recursive=False)
    if left_out:
        console.note(f"{folder}: {left_out}")
    return images


def _only_folder(root, names):
    found = [path for path in root.iterdir() if path.is_dir() and path.name.lower() in names]
    if len(found) != 1:
        raise DataFileError(
            f"{root}: must hold exactly one of the folders {', '.join(names)}; "
            f"received {', '.join(sorted(path.name for path in found)) or 'none of them'}"
        )
    return found[0]
