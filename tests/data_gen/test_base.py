"""Sources: the protocol, and what combines them."""

from pathlib import Path

import numpy as np
import pytest

from data_gen.dataset.folders import FolderExamples
from data_gen.dataset.records import RecordIndex
from data_gen.io.errors import DataFileError
from data_gen.pipeline import ProceduralScenes, Rendered, fitted
from data_gen.sources.base import (
    Cached,
    Concat,
    Resized,
    Source,
    Subset,
    concat,
    origin,
    paths,
    read_image,
)
from data_gen.sources.rgbd import RgbdScenes


class Counting:
    """Scenes of one size that count how often they are read."""

    def __init__(self, height, width):
        self.size, self.reads = (height, width), 0

    name = staticmethod(str)

    def __len__(self):
        return 3

    def read(self, index):
        self.reads += 1
        image = np.full((*self.size, 3), 100 + index, np.uint8)
        return image, np.full(self.size, 0.25, np.float32)


@pytest.mark.parametrize(
    "size, crop, fitted",
    [
        ((50, 70), 32, (50, 70)),
        ((20, 30), 40, (40, 60)),  # short side enlarged to the crop
        ((1000, 1600), 32, (800, 1280)),  # short side reduced to 800
        ((1, 3), 16, (16, 48)),
    ],
)
def test_resizing(size, crop, fitted):
    image, depth = Resized(Counting(*size), crop).read(1)
    assert image.shape == (*fitted, 3) and depth.shape == fitted
    assert image.dtype == np.uint8 and (image == 101).all() and (depth == 0.25).all()


def test_resizing_scales_the_blur_of_ready_made_maps():
    # Halving an image halves every sigma in it.
    _, defocus = Resized(Counting(1600, 1600), 32, values="scaled").read(0)
    np.testing.assert_allclose(defocus, 0.125)


@pytest.mark.parametrize(
    "kind",
    [Concat, Subset, Resized, Cached, RgbdScenes, ProceduralScenes, Rendered, RecordIndex]
    + [FolderExamples],
)
def test_every_source_says_that_it_is_one(kind):
    assert Source in kind.__mro__


def test_a_source_without_read_cannot_be_made():
    class Nameless(Source):
        def __len__(self):
            return 1

    with pytest.raises(TypeError, match="name.*read"):
        Nameless()


def test_concat_counts_on_and_refuses_what_lies_outside():
    joined = concat([Counting(4, 5), Subset(Counting(4, 5), (2,)), Counting(4, 5)])
    assert [joined.name(i) for i in range(len(joined))] == ["0", "1", "2", "2", "0", "1", "2"]
    assert joined.read(3)[0][0, 0, 0] == 102
    for i in (-1, 7):
        with pytest.raises(IndexError, match=f"must lie in 0 .. 6; received {i}"):
            joined.read(i)


@pytest.mark.parametrize("indices", [(2, 0), range(2, -1, -2)])
def test_subset_keeps_its_order(indices):
    part = Subset(Counting(4, 5), indices)
    assert len(part) == 2 and [part.name(i) for i in range(2)] == ["2", "0"]
    assert part.read(0)[0][0, 0, 0] == 102
    with pytest.raises(IndexError):
        part.read(2)


def test_a_large_item_is_refused_before_it_is_enlarged():
    # 2 x 10 enlarged to 40 x 200 = 8,000 pixels.
    assert Resized(Counting(2, 10), 40, max_pixels=8000).read(0)[1].shape == (40, 200)
    with pytest.raises(DataFileError, match="^1: a scene must have .* received 2 x 10 px"):
        Resized(Counting(2, 10), 40, max_pixels=7999).read(1)


def test_the_items_used_last_are_kept():
    source = Counting(50, 50)
    cached = Cached(source, max_items=2)
    for index in (0, 1, 0, 1, 1):
        cached.read(index)
    assert source.reads == 2
    for index in (2, 0):
        cached.read(index)
    assert source.reads == 4
    kept = fitted(source, 32, cache=1)
    kept.read(1), kept.read(1)
    assert source.reads == 5


def test_a_cache_is_bounded_in_bytes():
    source = Counting(10, 10)
    bytes_of_one = 10 * 10 * (3 + 4)
    cached = Cached(source, max_bytes=2 * bytes_of_one)
    for index in (0, 1, 0, 2, 0, 1):
        cached.read(index)
    assert source.reads == 4  # 0, 1, 2, and 1 again, which 2 had pushed out
    for _ in range(2):
        Cached(source, max_bytes=bytes_of_one - 1).read(0)
    assert source.reads == 6


def test_a_cache_remembers_the_first_error():
    class Broken(Counting):
        def read(self, index):
            raise DataFileError(f"scene {index}: must be readable")

    cached = Cached(Broken(2, 2), max_items=1)
    for index in (1, 2):
        with pytest.raises(DataFileError):
            cached.read(index)
    assert str(cached.error) == "scene 1: must be readable"


def test_files_and_images_are_found_through_every_combination():
    class WithFiles(Counting):
        def origin(self, index):
            return {"image": f"{index}.png"}

        def paths(self, index):
            return (Path(f"{index}.png"),)

        def read_image(self, index):
            return np.full((1, 1, 3), index, np.uint8)

    source = WithFiles(50, 50)
    for wrapped in (Subset(source, (2, 1)), Resized(Subset(source, (2, 1)), 32)):
        assert origin(Cached(wrapped, max_items=1), 1) == {"image": "1.png"}
    assert origin(concat([source, source]), 4) == {"root": 1, "image": "1.png"}
    assert origin(Counting(1, 1), 0) is None
    assert paths(concat([source, Subset(source, (2, 1))]), 4) == (Path("1.png"),)
    assert paths(concat([Counting(1, 1)]), 0) == ()
    assert read_image(concat([source, Subset(source, (2, 1))]), 4)[0, 0, 0] == 1
    assert source.reads == 0
    assert read_image(Counting(2, 2), 1)[0, 0, 0] == 101
