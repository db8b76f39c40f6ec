"""Draws docs/maps.png: photographs, and their maps by the model that the package ships.

python docs/maps.py [--out FILE]
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
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    photographs = load_photographs()
    rows = []
    with dmenet_tf.load() as estimator:
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
    write_png(out, page)
    print(f"maps of photographs by the shipped model: {out}")


if __name__ == "__main__":
    main()
