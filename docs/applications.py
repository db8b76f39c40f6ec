"""Draws docs/applications.png: what a map is good for, on a procedural scene with its true map.

python docs/applications.py
"""

from pathlib import Path

import cv2
import numpy as np

from data_gen import optics
from data_gen.io.images import write_png
from data_gen.rendering import compositing
from data_gen.rendering.lens import Lens, max_alpha_px
from data_gen.scenes.composition import make_scene
from dmenet_tf.applications.deblur import deblur
from dmenet_tf.applications.magnify import magnify
from dmenet_tf.applications.refocus import refocus
from dmenet_tf.applications.segment import cut_out, sharp_mask
from dmenet_tf.visualization import colour_map

SEED, INDEX, HEIGHT, WIDTH = 11, 28, 360, 480
C_MAX_PX = 12.0
SCALE = 0.56  # a file that a page loads at once
HEADER_PX, GAP_PX = 30, 6
OUT = Path(__file__).with_name("applications.png")


def main():
    scene, depth = make_scene(SEED, INDEX, HEIGHT, WIDTH)
    near, far = float(depth.min()), float(depth.max())
    alpha_px = float(max_alpha_px(near, far, near, C_MAX_PX))
    photo, defocus = compositing.render(scene.astype(np.float32) / 255, depth, Lens(near, alpha_px))
    photo = np.float32(np.rint(photo.numpy() * 255) / 255)
    sigma_px = optics.defocus_to_sigma(defocus.numpy()[..., 0])
    rgba = cut_out(photo, sharp_mask(photo, sigma_px, "fixed", 1.2))
    checks = 0.75 + 0.1 * ((np.indices((HEIGHT, WIDTH)) // 12).sum(axis=0) % 2)[..., None]
    pictures = {
        "photo, in focus in front": photo,
        f"map: sigma 0 .. {sigma_px.max():.1f} px": colour_map(sigma_px / sigma_px.max()) / 255,
        "apply magnify --factor 3": magnify(photo, sigma_px, 3.0, linear=False),
        "apply refocus (on the back)": refocus(
            photo, sigma_px, float(sigma_px.max()), 1.5, linear=False
        ),
        "apply segment": rgba[..., :3] * rgba[..., 3:] + checks * (1 - rgba[..., 3:]),
        "apply deblur": deblur(photo, sigma_px, linear=False),
    }
    cells = [_cell(title, picture) for title, picture in pictures.items()]
    rows = [np.concatenate(cells[i : i + 3], axis=1) for i in (0, 3)]
    picture = cv2.resize(
        np.concatenate(rows), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA
    )
    write_png(OUT, picture)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB")


def _cell(title, picture):
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    header = np.full((HEADER_PX, WIDTH, 3), 255, np.uint8)
    cv2.putText(
        header, title, (2, HEADER_PX - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.pad(np.concatenate([header, pixels]), ((0, GAP_PX), (0, GAP_PX), (0, 0)), mode="edge")


if __name__ == "__main__":
    main()
