"""Opening the streams: what is checked at once, and photos that turn out to be unreadable."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from dmenet_tf.config import DataConfig
from dmenet_tf.data import sources, streams

SMALL = DataConfig(crop=32, batch=2, procedural_scenes=4, validation_examples=1)
SIDE = 48


@pytest.fixture
def photos(tmp_path):
    """Twelve grey photos, each of its own brightness, with masks: image/, gt/."""
    for name in ("image", "gt"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(12):
        photo, mask = np.full((SIDE, SIDE, 3), 10 * i, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        photo[:, : SIDE // 2] += np.uint8(np.arange(SIDE)[:, None, None] % 2 * 9)  # in focus
        mask[:, SIDE // 2 :] = 255
        cv2.imwrite(str(tmp_path / "photos" / "image" / f"{i:02d}.png"), photo)
        cv2.imwrite(str(tmp_path / "photos" / "gt" / f"{i:02d}.png"), mask)
    return tmp_path / "photos"


def cut(path):
    """Leaves the header whole."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 40])


def batches(config, start, count):
    opened = sources.open_streams(config, 0)
    drawn = streams.training_batches(opened, config, 0, start).take(count)
    return list(drawn.as_numpy_iterator()), opened


@pytest.mark.parametrize("domain", ["labelled", "unlabelled"])
def test_a_broken_photo_is_skipped_and_all_others_stay_as_they_were(photos, domain):
    folder = str(photos if domain == "labelled" else photos / "image")
    config = replace(SMALL, **{domain: (folder,)}, cache=1)
    whole, opened = batches(config, 0, 12)
    assert opened.skipped == []
    cut(photos / "image" / "05.png")
    skipping, opened = batches(config, 0, 12)
    (problem,) = opened.skipped
    assert problem.startswith(f"{photos}/image/05.png: must be a complete")
    changed = [
        not np.array_equal(a, b)
        for left, right in zip(whole, skipping, strict=True)
        for a, b in zip(left[domain], right[domain], strict=True)
    ]
    assert sum(changed) == 2  # once in each of two epochs of twelve
    for start in (1, 7):
        later, _ = batches(config, start, 12 - start)
        for left, right in zip(skipping[start:], later, strict=True):
            for name in left:
                np.testing.assert_array_equal(left[name], right[name])


def test_each_collection_has_its_share(photos):
    config = replace(SMALL, labelled=(str(photos),), unlabelled=(str(photos / "image"),))
    (photos / "image" / "03.png").write_bytes(b"")
    opened = sources.open_streams(config, 0)
    assert len(opened.skipped) == 2 and len(set(opened.skipped)) == 1
    (photos / "gt" / "04.png").write_bytes(b"")
    with pytest.raises(DataFileError, match=r"at most 1 of 12 photos .*gt/04.png"):
        sources.open_streams(config, 0)
    opened = sources.open_streams(replace(config, max_bad=0.1), 0)
    assert len(opened.skipped) == 3
    with pytest.raises(DataFileError, match=r"^[^ ]*image/03.png: the file must not be empty"):
        sources.open_streams(replace(config, max_bad=0), 0)


def test_held_out_photos_are_read_as_a_whole(photos):
    config = replace(
        SMALL, labelled=(str(photos),), labelled_names="00-08", labelled_validation="09-11"
    )
    assert len(sources.open_streams(config, 0).labelled_held_out) == 3
    cut(photos / "image" / "10.png")
    with pytest.raises(DataFileError, match="image/10.png: must be a complete"):
        sources.open_streams(config, 0)


@pytest.mark.parametrize("name", ["rgb.png", "depth.npy"])
def test_files_of_scenes_are_checked_before_any_work(tmp_path, name):
    for i in range(3):
        folder = tmp_path / "scenes" / f"{i}"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "rgb.png"), np.full((SIDE, SIDE, 3), i, np.uint8))
        np.save(folder / "depth.npy", np.ones((SIDE, SIDE), np.float32))
    config = replace(SMALL, synthetic=(str(tmp_path / "scenes"),))
    seen = []
    sources.open_streams(config, 0, lambda items, total: (seen.append(total), items)[1])
    assert seen == [6]  # those held out are the same ones: too few to hold any out
    (tmp_path / "scenes" / "1" / name).write_bytes(b"")
    with pytest.raises(DataFileError, match=f"scenes/1/{name}: the file must not be empty"):
        sources.open_streams(config, 0)


def test_depth_of_half_the_size_is_resized_where_it_is_asked_for(tmp_path):
    write_png(tmp_path / "s/rgb.png", np.zeros((8, 12, 3), np.uint8))
    np.save(tmp_path / "s/depth.npy", 1 + np.arange(24, dtype=np.float32).reshape(4, 6))
    with pytest.raises(DataFileError, match="--resize-depth nearest"):
        sources.open_path(tmp_path, DataConfig())[0].read(0)
    source, _ = sources.open_path(tmp_path, DataConfig(resize_depth="nearest"))
    assert source.read(0)[1].shape == (8, 12)
