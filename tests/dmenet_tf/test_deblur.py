"""Deblurring shows its tiles; what it does to pictures, `test_applications.py` asks."""

import numpy as np

from dmenet_tf.applications import deblur, planes


def test_a_deblurred_photo_of_many_tiles_shows_them(monkeypatch):
    monkeypatch.setattr(planes, "TILE", 16)
    shown = []

    def progress(tiles, total):
        shown.append(total)
        return tiles

    for height, width in ((40, 48), (32, 48)):  # 3 x 3 tiles and fewer are done in no time
        image, sigma_px = np.full((height, width, 3), 0.5, np.float32), np.ones((height, width))
        deblur.deblur(image, sigma_px, 1, progress=progress)
    assert shown == []
    deblur.deblur(np.full((60, 48, 3), 0.5, np.float32), np.ones((60, 48)), 1, progress=progress)
    assert shown == [12]
