"""Draws docs/maps.png: photographs, and their maps by the model that the package ships.

python docs/maps.py [--weights RUN] [--out FILE]

With --weights, the maps by those weights stand beside them.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

import dmenet_tf
from data_gen.io.images import write_png
from data_gen.scenes.photographs import load_photographs

OUT = Path(__file__).with_name("maps.png")
# CC0, and twice public domain. The third shows where maps fail: a sky could be sharp or blurred.
PHOTOGRAPHS = ("chelsea", "astronaut", "rocket")
HEIGHT_PX, GAP_PX = 240, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="a run's folder or an .npz, to compare with")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    columns = [maps(None)]
    what = "maps of photographs by the shipped model"
    if options.weights:
        columns.append(maps(options.weights))
        what += f" (left) and by {options.weights} (right)"
    write_png(options.out, np.hstack(columns))
    print(f"{what}: {options.out}")


def maps(weights) -> np.ndarray:
    """The photographs with their maps, one below another: RGB uint8."""
    photographs, rows = load_photographs(), []
    with dmenet_tf.load(weights) as estimator:
        for name in PHOTOGRAPHS:
            picture = Image.open(io.BytesIO(estimator(photographs[name])._repr_png_()))
            width = round(picture.width * HEIGHT_PX / picture.height)
            rows.append(np.asarray(picture.convert("RGB").resize((width, HEIGHT_PX))))
    page = np.full(
        (len(rows) * (HEIGHT_PX + GAP_PX), max(row.shape[1] for row in rows), 3), 255, np.uint8
    )
    for i, row in enumerate(rows):
        top = i * (HEIGHT_PX + GAP_PX)
        page[top : top + HEIGHT_PX, : row.shape[1]] = row
    return page


if __name__ == "__main__":
    main()
