"""Draws docs/ablation.png: photographs, and their maps by runs that leave out parts of DMENet.

python docs/ablation.py RUN [RUN ...] [--out FILE]

Every map in the colours of its own range, black for its sharpest pixel. A run's column is called as
its folder.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

import dmenet_tf
from data_gen.scenes.photographs import load_photographs
from dmenet_tf.visualization import colour_map, own_range

OUT = Path(__file__).with_name("ablation.png")
PHOTOGRAPHS = ("chelsea", "astronaut", "rocket")
WIDTH_PX, HEADING_PX = 200, 18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    photographs = [load_photographs()[name] for name in PHOTOGRAPHS]
    columns = [column("photo", photographs)]
    for run in options.runs:
        with dmenet_tf.load(str(run)) as estimator:
            columns.append(column(run.name, [coloured(estimator(p).sigma_px) for p in photographs]))
    # Of 256 colours, a third of the size.
    Image.fromarray(np.hstack(columns)).quantize(256).save(options.out)
    print(f"maps of {len(options.runs)} runs: {options.out}")


def coloured(sigma_px: np.ndarray) -> np.ndarray:
    return colour_map(own_range(sigma_px).share(sigma_px))


def column(title: str, pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one width below a title: RGB uint8."""
    heading = Image.new("RGB", (WIDTH_PX, HEADING_PX), "white")
    ImageDraw.Draw(heading).text((4, 3), title, fill="black")
    rows = [np.asarray(heading)]
    for picture in pictures:
        height = round(picture.shape[0] * WIDTH_PX / picture.shape[1])
        rows.append(cv2.resize(picture, (WIDTH_PX, height), interpolation=cv2.INTER_AREA))
    return np.vstack(rows)


if __name__ == "__main__":
    main()
