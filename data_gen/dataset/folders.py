"""The authors' layout of a dataset: image/NAME.png and blur_map/NAME.png [, dataset.json].

Maps have 16 bits in three equal channels (one channel and 8 bits are read too), in one of
`optics.ENCODINGS`; whatever the encoding, the reader returns `defocus` = sigma/7.
"""

from pathlib import Path

import numpy as np

from data_gen import optics
from data_gen.dataset import encoding_detection
from data_gen.dataset.manifest import MANIFEST, check_count, read_manifest
from data_gen.dataset.maps import check_pair, decode_map
from data_gen.io.errors import DataFileError
from data_gen.io.images import by_stem, read_rgb, read_stored, write_png
from data_gen.io.search import list_images, natural_key
from data_gen.sources.base import Source

# Enough maps to distinguish the encodings; every later read still checks its own map.
MAPS_FOR_GUESS = 100


def write_folder_example(root, name: str, image, sigma_px, encoding: optics.EncodingName = "paper"):
    """Writes image/NAME.png (uint8 [H, W, 3]) and blur_map/NAME.png (sigma_px [H, W], 0..7 px)."""
    if Path(name).name != name:
        raise ValueError(f"an example's name must be a plain file name; received {name!r}")
    for path, array in folder_files(name, image, sigma_px, encoding).items():
        write_png(Path(root) / path, array)


def folder_files(name: str, image, sigma_px, encoding="paper") -> dict:
    """The arrays of an example's two files by path: the map [H, W, 3] uint16, then the image."""
    stored = optics.ENCODINGS[encoding].encode(sigma_px)
    return {
        f"blur_map/{name}.png": np.stack([stored] * 3, axis=-1),
        f"image/{name}.png": image,
    }


class FolderExamples(Source):
    """image/* with blur_map/* by number; see `open_folder`."""

    def __init__(self, pairs: list[tuple[Path, Path]], encoding: str):
        self.pairs, self.encoding = pairs, encoding

    def __len__(self):
        return len(self.pairs)

    def name(self, i) -> str:
        return self.pairs[i][0].stem

    def paths(self, i) -> tuple[Path, ...]:
        return self.pairs[i]

    def read(self, i):
        """-> image uint8 [H, W, 3], defocus float32 [H, W]."""
        image, blur_map = self.pairs[i]
        defocus = decode_map(read_stored(blur_map), self.encoding, blur_map)
        return check_pair(read_rgb(image), defocus, f"{image}, {blur_map}")


def open_folder(root, encoding="auto") -> FolderExamples:
    """Opens the authors' layout, root/image/* with root/blur_map/* of the same stems.

    Args:
        encoding: a key of `optics.ENCODINGS`; or 'auto': as stated by dataset.json, or else
            detected from up to 100 maps (`encoding_detection.py`), or else an error.
    Raises:
        DataFileError: naming the file: a missing or empty folder, an image without map or the
            reverse, a count other than that in dataset.json, an ambiguous encoding.
    """
    if encoding not in ("auto", *optics.ENCODINGS):
        raise ValueError(
            f"encoding must be auto or one of {', '.join(optics.ENCODINGS)}; received {encoding!r}"
        )
    root = Path(root)
    images, maps = (by_stem(list_images(root / name)) for name in ("image", "blur_map"))
    for stem in sorted(images.keys() ^ maps.keys(), key=natural_key):
        path, lacks = (images[stem], "blur_map") if stem in images else (maps[stem], "image")
        raise DataFileError(f"{path}: must have a partner {root / lacks / stem}.png; it is missing")
    pairs = [(path, maps[stem]) for stem, path in images.items()]
    if (root / MANIFEST).exists():
        manifest = read_manifest(root)
        check_count(root, manifest, len(pairs))
        if encoding not in ("auto", manifest["encoding"]):
            raise DataFileError(
                f"{root / MANIFEST}: encoding must be 'auto' or what this file states, "
                f"'{manifest['encoding']}'; received '{encoding}'"
            )
        encoding = manifest["encoding"]
    if encoding == "auto":
        encoding = _guess_encoding(root, list(maps.values()))
    return FolderExamples(pairs, encoding)


def _guess_encoding(root, maps) -> str:
    sample = maps[:: -(-len(maps) // MAPS_FOR_GUESS)]
    bounds = [(int(m.min()), int(m.max())) for m in map(read_stored, sample)]
    encoding, reason = encoding_detection.detect(bounds)
    if encoding is None:
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        raise DataFileError(
            f"{root}: the encoding of the maps must be given, or follow from {MANIFEST} or from "
            f"their values; received values from {low} to {high} and no {MANIFEST} ({reason})"
        )
    return encoding
