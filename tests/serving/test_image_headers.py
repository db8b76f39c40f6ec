"""The size that an image file declares, read from its header alone."""

import struct

import pytest

from serving.embedded.image_headers import declared_size
from tests.support.serving_calls import image_file


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(900)}])
def test_declared_size_is_that_of_the_image(form, options):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (37, 19)).save(file, form, **options)
    assert declared_size(file.getvalue()) == (19, 37)


def test_a_size_within_metadata_is_not_taken():
    """A thumbnail's frame header inside a JPEG's application data."""
    file = image_file(8, 12, "JPEG")
    thumbnail = image_file(100, 100, "JPEG")[:600]
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert declared_size(file[:2] + segment + file[2:]) == (8, 12)
