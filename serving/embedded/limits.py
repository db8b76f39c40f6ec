"""The max number of pixels of a request, checked by shapes and headers before any decoding."""

from collections.abc import Sequence

from serving import contract
from serving.embedded.errors import invalid
from serving.embedded.image_headers import declared_size


def check_images(shape: Sequence[int]) -> int:
    """Pixels of `images` [N, H, W, 3]; INVALID_ARGUMENT above the contract's limits."""
    count, height, width = shape[:3]
    _check_side(height, width)
    return _check_pixels(count * height * width)


def check_encoded(files: Sequence[bytes]) -> int:
    """Pixels that JPEG and PNG files declare together; INVALID_ARGUMENT above the limits, and for
    other files."""
    pixels = 0
    for index, file in enumerate(files):
        try:
            height, width = declared_size(file)
        except ValueError as error:
            raise invalid(f"`{contract.ENCODED_IMAGES}` [{index}]: {error}") from None
        _check_side(height, width)
        pixels += height * width
    return _check_pixels(pixels)


def _check_side(height: int, width: int) -> None:
    if max(height, width) > contract.MAX_SIDE_PX:
        raise invalid(
            f"an image must have sides of at most {contract.MAX_SIDE_PX} px; "
            f"received {width} x {height}"
        )


def _check_pixels(pixels: int) -> int:
    if pixels > contract.MAX_PIXELS:
        raise invalid(
            f"the images of a request must have at most {contract.MAX_PIXELS} pixels together; "
            f"received {pixels}; send larger ones in tiles"
        )
    return pixels
