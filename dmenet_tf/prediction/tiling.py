"""Large photos in overlapping tiles whose maps are those of the whole photo.

B is made of convolutions, so a pixel of its map sees a window of the photo and nothing else:
`receptive_radius_px`, computed from the tables that the network is built from. A tile is cut with
that much of the real photo around the part that is kept, so the network's padding at a cut never
reaches a kept pixel. At the photo's own border a tile ends where the photo ends, and the
network pads there as it would for the whole. Tiles begin on multiples of 16, so that poolings fall
on the same pixels. Tiled and whole maps are equal but for rounding.
"""

from collections.abc import Iterator
from typing import NamedTuple

from dmenet_tf.architecture import (
    CHANNELS_AND_COUNT,
    FINAL,
    LEVELS,
    REFINEMENTS,
    SIZE_MULTIPLE,
)

# Max kept side of an automatic tile: 51% more work than on the whole photo, and about 2 GB at width
# 0.25. A larger one saves little time and costs memory.
LARGEST_PX = 1664
# B's peak memory in bytes per pixel and full-size channel (64 at width 1.0). Measured on large
# photos: 21 to 27.
BYTES_PER_PIXEL_CHANNEL = 28.0
MEMORY_SHARE = 0.5  # of free memory: the photo, its map and other programs need some too


class Tile(NamedTuple):
    """One axis of a tile: pixels `start` to `stop` are read; `kept` is what they are read for."""

    start: int
    stop: int
    kept: slice

    @property
    def kept_inside(self) -> slice:
        """`kept`, counted from `start`."""
        return slice(self.kept.start - self.start, self.kept.stop - self.start)


def receptive_radius_px() -> int:
    """How far outside 16 x 16 aligned pixels the photo still has an influence on their map.

    Follows the border from the map back to the photo: each 3 x 3 convolution adds a pixel of its
    level, an up-sampling halves the distance (rounded away from the pixel), a pooling doubles it.
    """
    border = 1 + len(FINAL) + 2 * REFINEMENTS
    for _, _, _, convolutions in reversed(LEVELS):
        border = -(-(border + convolutions) // 2)
    for block, (_, convolutions) in reversed(list(enumerate(CHANNELS_AND_COUNT))):
        border += convolutions
        if block:
            border *= 2
    return border


HALO_PX = -(-receptive_radius_px() // SIZE_MULTIPLE) * SIZE_MULTIPLE


def check_side(side) -> None:
    """ValueError where `side` is no kept side of a tile."""
    if isinstance(side, bool) or not isinstance(side, int) or side < 0 or side % SIZE_MULTIPLE:
        raise ValueError(
            f"the side of a tile must be a multiple of {SIZE_MULTIPLE}, or 0 for whole photos; "
            f"received {side!r}"
        )


def tiles(length: int, side: int) -> Iterator[Tile]:
    """One axis of a photo, `length` a multiple of 16, in near-equal tiles that keep up to `side`.

    `side` 0: one tile.
    """
    check_side(side)
    count = -(-length // side) if side else 1
    units = length // SIZE_MULTIPLE
    for index in range(count):
        start, stop = (units * i // count * SIZE_MULTIPLE for i in (index, index + 1))
        yield Tile(max(0, start - HALO_PX), min(length, stop + HALO_PX), slice(start, stop))


def automatic_side(height: int, width: int, channels: int, free_bytes: int) -> int:
    """The side of a photo's tiles: 0 if the whole photo fits, else as large as memory allows.

    `channels`: those of B at full size, 64 times its width. `free_bytes`: available memory.
    """
    pixels = MEMORY_SHARE * free_bytes / (BYTES_PER_PIXEL_CHANNEL * channels)
    largest = (LARGEST_PX + 2 * HALO_PX) ** 2
    if height * width <= min(pixels, largest):
        return 0
    side = min(pixels, largest) ** 0.5 - 2 * HALO_PX
    # Below 64 px the overlap is 49 times the tile; with so little memory the machine has to swap.
    return max(64, int(side) // SIZE_MULTIPLE * SIZE_MULTIPLE)
