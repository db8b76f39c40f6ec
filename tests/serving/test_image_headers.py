"""The size that an image file declares, read from its header alone."""

import contextlib
import io
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from serving.embedded.image_headers import declared_size

# No deadline: how fast the machine is proves nothing.
PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
FORMATS, SIDES = st.sampled_from(["PNG", "JPEG"]), st.integers(1, 300)


def file_of(height, width, form, **options) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 20, 200)).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(900)}])
def test_declared_size_is_that_of_the_image(form, options):
    assert declared_size(file_of(19, 37, form, **options)) == (19, 37)


@given(height=SIDES, width=SIDES, form=FORMATS)
def test_any_size_is_read(height, width, form):
    assert declared_size(file_of(height, width, form)) == (height, width)


@given(height=SIDES, width=SIDES, form=FORMATS, share=st.floats(0, 1))
def test_a_truncated_file_has_its_own_size_or_none(height, width, form, share):
    file = file_of(height, width, form)
    with contextlib.suppress(ValueError):
        assert declared_size(file[: int(share * len(file))]) == (height, width)


@given(data=st.binary(max_size=200), magic=st.sampled_from([b"", PNG_MAGIC, JPEG_MAGIC]))
@example(data=b"\xff" * 50, magic=JPEG_MAGIC)  # fill bytes alone
@example(data=b"\xff\xe0\x00\x00" * 20, magic=JPEG_MAGIC)  # segments of no length
@example(data=b"\xff\xc0\x00\x11\x08\x00\x00\x00\x07", magic=JPEG_MAGIC)  # no rows
def test_no_bytes_do_harm(data, magic):
    try:
        height, width = declared_size(magic + data)
    except ValueError:
        return
    assert magic and 0 < height < 2**32 and 0 < width < 2**32


@given(
    marker=st.integers(0xE0, 0xEF),
    content=st.binary(max_size=300),
    size=st.tuples(st.integers(1, 2**16 - 1), st.integers(1, 2**16 - 1)),
)
def test_a_size_within_metadata_is_not_taken(marker, content, size):
    """A thumbnail's frame header, and anything else, inside a JPEG's application data."""
    file = file_of(8, 12, "JPEG")
    content += b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", *size)
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
    assert declared_size(file[:2] + segment + file[2:]) == (8, 12)
