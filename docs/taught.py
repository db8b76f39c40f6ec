"""Photos with a model's maps as a SYNDOF folder: what another model learns from.

python docs/taught.py PHOTOS ... --out taught [--weights PATH ...] [--side 416]
python docs/taught.py CUHK --labelled --names 0001-0454 --out taught

Each photo is reduced to --side and mapped at that size: a map is right pixel by pixel in the
photo beside it (`dmenet train --synthetic taught`). Several teachers give the mean of their
logits. With --labelled each map is the posterior of teacher and label: its logit moves by --pull
upwards where the label says blurred, downwards where it says sharp. The same command continues an
interrupted one.
"""

import argparse
from contextlib import ExitStack
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
from dmenet_tf.data.labelled import LabelledPhotos


def main() -> None:
    options = parse_arguments()
    with ExitStack() as stack:
        teachers = [stack.enter_context(dmenet_tf.load(path)) for path in options.weights]
        photos = Labelled(options) if options.labelled else Unlabelled(options)
        for number in tqdm(range(len(photos)), unit="photo", disable=None):
            name = f"{number:05d}"
            if (options.out / "image" / f"{name}.png").exists():  # written after its map
                continue
            photo, shift = photos[number]
            maps = [teacher(photo, max_side=0).sigma_px for teacher in teachers]
            sigma_px = SIGMA_MAX_PX * sigmoid(np.mean([logit(m) for m in maps], axis=0) + shift)
            write_folder_example(options.out, name, photo, sigma_px.astype(np.float32))
    write_manifest(options.out, "paper", len(photos))
    print(f"{len(photos)} photos with maps: {options.out}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path, help="folders of photos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--weights", nargs="+", default=["large"], help="of the teachers (default: large)"
    )
    parser.add_argument("--side", type=int, default=416, help="longer side of photo and map in px")
    parser.add_argument(
        "--labelled", action="store_true", help="PHOTOS is one folder of photos and blur maps"
    )
    parser.add_argument("--names", help="which of them, as in dmenet train --labelled-names")
    parser.add_argument("--pull", type=float, default=1.0, help="logits towards a photo's label")
    return parser.parse_args()


class Unlabelled:
    """(photo, 0.0) of every photo in some folders."""

    def __init__(self, options):
        self.side = options.side
        self.paths = [p for folder in options.photos for p in find_files(folder, IMAGE_SUFFIXES)]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        return reduced(read_rgb(self.paths[number]), self.side), 0.0


class Labelled:
    """(photo, shift of the logit [H, W]) of every labelled photo."""

    def __init__(self, options):
        self.side, self.pull = options.side, options.pull
        (folder,) = options.photos
        self.photos = LabelledPhotos(folder, names=options.names)

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, number):
        photo, blurred = (reduced(part, self.side) for part in self.photos.read(number))
        return photo, self.pull * (2 * blurred - 1)


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """The image with a longer side of at most `side`."""
    scale = min(1.0, side / max(image.shape[:2]))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def logit(sigma_px: np.ndarray) -> np.ndarray:
    """Of the share of the largest sigma, kept finite."""
    share = np.clip(sigma_px / SIGMA_MAX_PX, 0.004, 0.996)
    return np.log(share / (1 - share))


def sigmoid(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-value))


if __name__ == "__main__":
    main()
