"""Headers: which files have to be read to find out whether they can be."""

import numpy as np
import pytest
from PIL import Image

from data_gen.io.headers import looks_readable


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.tif", "a.webp", "a.bmp", "a.ppm"])
def test_images_look_readable_and_empty_or_other_files_do_not(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path)
    assert looks_readable(path)
    for data in (b"", b"not an image at all"):
        path.write_bytes(data)
        assert not looks_readable(path)
    path.unlink()
    assert not looks_readable(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_only_the_beginning_is_read(tmp_path, name):
    path = tmp_path / name
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert looks_readable(path)


@pytest.mark.parametrize("name", ["depth.npy", "photo.nef"])
def test_of_other_files_only_emptiness_is_seen(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    assert looks_readable(path)
    path.write_bytes(b"")
    assert not looks_readable(path)
    assert not looks_readable(tmp_path / f"missing-{name}")
