"""The list of what is read: it is the decoder's, the folders' and the documentation's."""

import importlib.util
import io
import re

import numpy as np
import pytest
from PIL import Image

from data_gen.installation import install_command
from data_gen.io import formats
from data_gen.io.errors import DataFileError
from data_gen.io.formats import FORMATS, LeftOut
from data_gen.io.images import IMAGE_SUFFIXES, read_rgb
from data_gen.io.photos import decode_photo, read_photo
from tests.support.paths import ROOT
from tests.support.picture_files import dng, psd

ROWS, COLUMNS = np.mgrid[:48, :64]
RGB = np.dstack([COLUMNS * 4, ROWS * 5, 255 - 4 * COLUMNS]).astype(np.uint8)
WRITTEN_BY_HAND = {"Photoshop": psd, "RAW": dng}
LOSSY = ("JPEG", "AVIF", "HEIC", "JPEG 2000", "WebP", "GIF")


def skip_where_absent(form):
    if form.needs and not formats.is_available(form):
        pytest.skip(f"{form.title} needs {formats.how_to_install(form)}")


def file_of(form, rgb=RGB) -> bytes:
    if form.title in WRITTEN_BY_HAND:
        return WRITTEN_BY_HAND[form.title](rgb)
    file = io.BytesIO()
    formats.decoders()  # registers the writer of HEIC
    Image.fromarray(rgb).save(file, form.decoders[0])
    return file.getvalue()


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.title)
def test_every_format_of_the_list_is_read_under_each_of_its_names(tmp_path, form):
    skip_where_absent(form)
    for suffix in form.suffixes:
        assert suffix in IMAGE_SUFFIXES and formats.format_of(suffix.upper()) is form
        path = tmp_path / f"a{suffix}"
        path.write_bytes(file_of(form))
        for read in (read_photo, read_rgb):
            image = read(path)
            assert image.shape == RGB.shape
            # Red grows to the right, green downwards, blue to the left.
            means = image.astype(float).reshape(48, 2, 32, 3).mean((0, 2))
            assert means[0, 0] < means[1, 0] and means[0, 2] > means[1, 2]
            assert image[:24, ..., 1].mean() < image[24:, ..., 1].mean()
            if form.title not in (*LOSSY, "RAW"):
                np.testing.assert_array_equal(image, RGB)


def test_what_is_not_in_the_list_is_not_decoded(tmp_path):
    """Pillow would: by a program that runs PostScript, or as an icon's first size."""
    for kind in ("ICO", "PDF", "EPS", "DDS"):
        file = io.BytesIO()
        Image.fromarray(RGB).save(file, kind)
        with pytest.raises(DataFileError, match="x: must be a photo; .*no known image format"):
            decode_photo(file.getvalue(), "x")


def test_the_page_of_the_documentation_has_the_same_table():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|`]+) \| `([^|]+)` \| ([^|]*) \|$", page, re.M)
    assert rows == formats.table()


def test_a_format_whose_library_is_missing_is_left_out_with_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for cached in (formats.readable_suffixes, formats.decoders):
        cached.cache_clear()
    try:
        assert (
            ".heic" not in formats.readable_suffixes() and ".nef" not in formats.readable_suffixes()
        )
        left_out = LeftOut()
        left_out.count_files(map(ROOT.joinpath, ("a.HEIC", "b.heic", "c.mov", "d.txt", "e.jpg")))
        assert str(left_out) == f"left out: 2 .heic ({install_command('photos')}), 1 .mov"
    finally:
        monkeypatch.undo()
        for cached in (formats.readable_suffixes, formats.decoders):
            cached.cache_clear()
    assert str(LeftOut()) == "" and not LeftOut()


def test_heic_without_its_library_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(formats, "decoders", lambda: ("JPEG", "PNG"))
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    for name in ("a.heic", "a.jpg"):
        with pytest.raises(DataFileError, match=rf"^{name}: a HEIC file needs .*photos"):
            decode_photo(data, name)
