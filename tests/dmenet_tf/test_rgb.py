"""Photos of every kind that a program holds, as RGB."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from data_gen.io.errors import DataFileError
from dmenet_tf.prediction.predictor import check_image
from dmenet_tf.prediction.rgb import to_rgb

RNG = np.random.default_rng(0)
# No deadline: how fast the machine is proves nothing.
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)


def same(photo, expected, name="photo"):
    rgb, called = to_rgb(photo)
    np.testing.assert_array_equal(rgb, expected)
    assert rgb.dtype == expected.dtype and called == name


def png(image) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_a_path_bytes_and_a_picture_are_the_same_photo(tmp_path):
    path = tmp_path / "a b.png"
    path.write_bytes(png(RGB))
    same(path, RGB, "a b.png")
    same(str(path), RGB, "a b.png")
    for data in (png(RGB), bytearray(png(RGB)), memoryview(png(RGB))):
        same(data, RGB)
    same(Image.fromarray(RGB), RGB)
    same(Image.open(path), RGB, "a b.png")


def test_pictures_of_any_mode():
    grey = RGB[..., 0]
    same(Image.fromarray(grey), np.repeat(grey[..., None], 3, 2))
    same(Image.fromarray(np.dstack([RGB, grey])), RGB)  # alpha is dropped
    same(Image.fromarray(RGB).quantize(256), np.asarray(Image.fromarray(RGB).quantize(256).convert(
        "RGB")))  # fmt: skip
    deep = grey.astype(np.uint16) * 257
    same(Image.fromarray(deep), np.repeat(deep[..., None], 3, 2))
    wide = Image.fromarray(deep.astype(np.int32))
    same(wide, np.repeat(deep[..., None], 3, 2))


def test_a_rotation_that_a_file_declares_is_applied_to_a_picture_too():
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(RGB).save(file, "PNG", exif=exif)
    same(Image.open(file), np.rot90(RGB, -1))
    same(file.getvalue(), np.rot90(RGB, -1))


@given(data=st.data())
def test_arrays_keep_their_bits_and_become_rgb(data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.float16, np.float32, np.float64]))
    size = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    channels = data.draw(st.sampled_from([(), (1,), (3,), (4,)]))
    bounds = {} if np.issubdtype(dtype, np.integer) else {"min_value": 0, "max_value": 1}
    values = arrays.from_dtype(np.dtype(dtype), **bounds)
    array = data.draw(arrays.arrays(dtype, size + channels, elements=values))
    rgb, _ = to_rgb(array)
    expected = array.astype(np.float32) if array.dtype.kind == "f" else array
    expected = np.broadcast_to(expected.reshape(*size, -1)[..., :3], (*size, 3))
    np.testing.assert_array_equal(rgb, expected)
    assert rgb.dtype == expected.dtype and rgb.flags.c_contiguous
    assert check_image(rgb) is rgb  # what a predictor takes, with nothing left to do


@given(
    arrays.arrays(
        st.sampled_from([np.bool_, np.int8, np.int32, np.int64, np.uint32, np.complex64, np.uint8]),
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
    )
)
def test_other_arrays_are_refused_by_one_rule(array):
    fine = array.dtype == np.uint8 and array.size > 0
    shape = array.shape if array.ndim != 2 else (*array.shape, 1)
    if fine and len(shape) == 3 and shape[2] in (1, 3, 4):
        assert to_rgb(array)[0].shape == (*shape[:2], 3)
        return
    with pytest.raises(ValueError, match=r"an image must be .*; received"):
        to_rgb(array)


@given(st.floats(width=32).filter(lambda value: not 0 <= value <= 1))
def test_floats_beyond_0_to_1_are_refused(value):
    image = np.full((2, 2, 3), 0.5, np.float32)
    image[1, 0, 2] = value
    with pytest.raises(ValueError, match=r"\[0, 1\]; received values from"):
        to_rgb(image)


@given(st.binary(max_size=200))
def test_bytes_are_a_photo_or_an_error_in_one_line(data):
    with pytest.raises(DataFileError) as raised:
        to_rgb(data)
    assert "\n" not in str(raised.value)


def test_what_is_no_photo_at_all():
    with pytest.raises(TypeError, match="a NumPy array; received dict"):
        to_rgb({})
    with pytest.raises(DataFileError, match=r"nowhere\.jpg"):
        to_rgb(Path("nowhere.jpg"))
