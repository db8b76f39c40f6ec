"""Makes serving/web/cat_strong_blur.jpg: the cat of scikit-image's wheel with four times its blur.

python docs/strong_blur.py
"""

from pathlib import Path

import cv2
import numpy as np

import dmenet_tf
from data_gen.io.atomic import write_atomic
from data_gen.io.pixels import as_float, to_uint8
from data_gen.scenes.photographs import read_packaged_image
from dmenet_tf.applications.magnify import magnify
from dmenet_tf.applications.planes import follow_edges, sharp_level, without_floor

OUT = Path(__file__).parents[1] / "serving" / "web" / "cat_strong_blur.jpg"
PHOTO = "chelsea.png"  # by Stefan van der Walt, CC0
FACTOR, QUALITY = 4.0, 90


def main():
    photo = read_packaged_image(PHOTO)
    with dmenet_tf.load() as estimator:
        sigma_px = estimator(photo).sigma_px
    image = as_float(photo)
    sigma_px = follow_edges(image, sigma_px)
    sigma_px = without_floor(sigma_px, sharp_level(sigma_px))
    picture = np.ascontiguousarray(to_uint8(magnify(image, sigma_px, FACTOR))[..., ::-1])
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    write_atomic(OUT, lambda temporary: temporary.write_bytes(data.tobytes()))
    print(f"{OUT}: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
