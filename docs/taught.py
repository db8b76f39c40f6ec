"""Photos with a model's maps as a SYNDOF folder: what a smaller model learns from.

python docs/taught.py PHOTOS ... --out taught [--weights PATH] [--side 416]

Each photo is reduced to --side and mapped at that size: a map is right pixel by pixel in the
photo beside it (`dmenet train --synthetic taught`). The same command continues an interrupted one.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import dmenet_tf
from data_gen.dataset.folders import write_folder_example
from data_gen.dataset.manifest import write_manifest
from data_gen.io.images import IMAGE_SUFFIXES, read_rgb
from data_gen.io.search import find_files
from data_gen.optics import SIGMA_MAX_PX


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path, help="folders of photos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", help="of the teacher (default: the shipped model)")
    parser.add_argument("--side", type=int, default=416, help="longer side of photo and map in px")
    options = parser.parse_args()
    photos = [path for folder in options.photos for path in find_files(folder, IMAGE_SUFFIXES)]
    with dmenet_tf.load(options.weights) as teacher:
        for number, path in enumerate(tqdm(photos, unit="photo", disable=None)):
            name = f"{number:05d}"
            if (options.out / "image" / f"{name}.png").exists():  # written after its map
                continue
            photo = reduced(read_rgb(path), options.side)
            sigma_px = teacher(photo, max_side=0).sigma_px
            write_folder_example(options.out, name, photo, np.clip(sigma_px, 0, SIGMA_MAX_PX))
    write_manifest(options.out, "paper", len(photos))
    print(f"{len(photos)} photos with maps: {options.out}")


def reduced(photo: np.ndarray, side: int) -> np.ndarray:
    """The photo with a longer side of at most `side`."""
    scale = min(1.0, side / max(photo.shape[:2]))
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
