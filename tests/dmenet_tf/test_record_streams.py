"""Ready-made pairs in TFRecord shards, read in the graph: what is drawn, its order, and resume."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_gen.dataset import folders, manifest, records, shards
from dmenet_tf.config import DataConfig
from dmenet_tf.data import sources, streams

HEIGHT, WIDTH, CROP = 40, 48, 32
SMALL = DataConfig(crop=CROP, batch=3, validation_examples=2)


def example(index, height=HEIGHT, width=WIDTH, defocus=None):
    """Every pixel tells where it comes from: (index, row, column) is its colour."""
    row, column = np.mgrid[:height, :width]
    image = np.stack([np.full_like(row, index), row, column], -1).astype(np.uint8)
    if defocus is None:  # a stored number of its own for every pixel
        defocus = (index * 2000 + row * width + column) / np.float32(65535)
    defocus = np.broadcast_to(np.float32(defocus), (height, width))
    about = {"name": f"{index}", "seed": 0, "index": index, "focus_distance": 1, "alpha_px": 1}
    return {"image": image, "defocus": defocus, **about}


def write(folder, examples, shard_size=4):
    parts = [examples[i : i + shard_size] for i in range(0, len(examples), shard_size)]
    for number, part in enumerate(parts):
        records.write_shard(folder / shards.shard_name(number, len(parts)), part)
    manifest.write_manifest(folder, "paper", len(examples))
    return str(folder)


@pytest.fixture
def syndof(tmp_path):
    return write(tmp_path / "syndof", [example(i) for i in range(10)])


def batches(config, start, count, seed=0):
    opened = sources.open_streams(config, seed)
    assert opened.synthetic.records is not None
    dataset = streams.training_batches(opened, config, seed, start)
    return list(dataset.take(count).as_numpy_iterator())


def test_shares_of_records_make_up_the_whole_batch(syndof):
    """Also over the end of an epoch, which is no end of a batch."""
    config = replace(SMALL, synthetic=(syndof,), batch=4)
    opened, whole = sources.open_streams(config, 0), batches(config, 2, 3)
    for replica in range(2):
        dataset = streams.training_batches(opened, config, 0, 2, streams.Share(replica, 1, 2))
        for part, batch in zip(dataset.take(3).as_numpy_iterator(), whole, strict=True):
            for name, value in batch.items():
                np.testing.assert_array_equal(part[name], value[replica::2])


def colours(image):
    return np.rint(image * 255).astype(int)


def numbers(drawn):
    """The records that crops are cut from."""
    return [int(colours(image)[0, 0, 0]) for batch in drawn for image in batch["synthetic"]]


def test_crops_are_those_of_the_stored_pairs_turned_together(syndof):
    stored = records.open_records(syndof)
    for batch in batches(replace(SMALL, synthetic=(syndof,)), 0, 4):
        for image, defocus in zip(batch["synthetic"], batch["defocus"], strict=True):
            index, row, column = colours(image).transpose(2, 0, 1)
            assert len(set(index.flat)) == 1
            np.testing.assert_array_equal(
                defocus[..., 0], stored.read(int(index[0, 0]))[1][row, column]
            )
            # A whole square, each pixel once.
            assert len({*zip(row.flat, column.flat, strict=True)}) == CROP**2
            assert np.ptp(row) == np.ptp(column) == CROP - 1


def test_each_record_that_is_not_held_out_comes_once_an_epoch(syndof):
    config = replace(SMALL, synthetic=(syndof,))
    opened = sources.open_streams(config, 0)
    assert [opened.held_out.source.name(i) for i in range(len(opened.held_out.source))] == ["9"]
    assert len(opened.synthetic.source) == 9
    order = numbers(batches(config, 0, 9))
    epochs = [order[i : i + 9] for i in (0, 9, 18)]
    assert all(sorted(epoch) == list(range(9)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert numbers(batches(config, 0, 3, seed=1)) != epochs[0]


@pytest.mark.parametrize("start", [1, 3, 4, 7])
def test_a_later_start_continues_exactly(syndof, start):
    config = replace(
        SMALL, synthetic=(syndof,), synthetic_scale=(0.8, 1.0), exposure=0.5, noise=0.03,
        jpeg_quality=60,
    )  # fmt: skip
    whole, later = batches(config, 0, 8), batches(config, start, 8 - start)
    for left, right in zip(whole[start:], later, strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def test_no_python_reads_the_records(syndof, monkeypatch):
    """Only opening and what is held out do."""
    config = replace(SMALL, synthetic=(syndof,))
    opened = sources.open_streams(config, 0)
    images, _ = streams.validation_set(opened, config, 0)
    assert set(colours(images)[..., 0].flat) == {9}

    def never(self, i):
        raise AssertionError("read by Python")

    monkeypatch.setattr(records.RecordIndex, "example", never)
    for _ in streams.training_batches(opened, config, 0).take(4):
        pass
    with pytest.raises(tf.errors.OpError, match="read by Python"):  # nothing of it is kept yet
        streams.validation_set(sources.open_streams(config, 0), config, 0)


def test_small_pairs_are_enlarged_with_their_blur(tmp_path):
    """20 px to the crop's 32: 1.6 times the sigma."""
    folder = write(tmp_path / "syndof", [example(i, 20, 24, 0.25) for i in range(2)])
    stored = records.open_records(folder).read(0)[1]
    for batch in batches(replace(SMALL, synthetic=(folder,)), 0, 2):
        assert batch["synthetic"].shape == (3, CROP, CROP, 3)
        np.testing.assert_allclose(batch["defocus"], stored[0, 0] * 1.6, rtol=1e-6)


def test_crops_drawn_at_other_sizes_keep_their_labels(tmp_path):
    """A square of 32 to 40 px becomes one of 32: the label says by how much."""
    folder = write(tmp_path / "syndof", [example(i, defocus=0.5) for i in range(4)])
    config = replace(SMALL, synthetic=(folder,), synthetic_scale=(0.8, 0.9))
    sides = set()
    for batch in batches(config, 0, 6):
        for image, defocus in zip(batch["synthetic"], batch["defocus"], strict=True):
            assert len(np.unique(defocus)) == 1
            side = 0.5 / defocus[0, 0, 0] * CROP
            assert side == pytest.approx(round(side), abs=1e-3) and 35 <= round(side) <= 40
            sides.add(round(side))
            assert np.ptp(image[..., 1]) * 255 == pytest.approx(side - 1, abs=2)
    assert len(sides) > 1


def test_several_folders_and_held_out_ones_of_their_own(tmp_path, syndof):
    other = write(tmp_path / "other", [example(i) for i in range(20, 23)])
    config = replace(SMALL, synthetic=(syndof, other))
    assert sources.open_streams(config, 0).synthetic.records.counts == (9, 3)
    order = numbers(batches(config, 0, 4))
    assert sorted(order) == [*range(9), 20, 21, 22]
    config = replace(SMALL, synthetic=(syndof,), synthetic_validation=(other,))
    opened = sources.open_streams(config, 0)
    assert opened.synthetic.records.counts == (10,) and len(opened.held_out.source) == 3


def test_records_beside_image_folders_take_the_other_way(tmp_path, syndof):
    pair = example(30)
    folders.write_folder_example(tmp_path / "images", "30", pair["image"], pair["defocus"] * 7)
    manifest.write_manifest(tmp_path / "images", "paper", 1)
    config = replace(SMALL, synthetic=(syndof, str(tmp_path / "images")))
    opened = sources.open_streams(config, 0)
    assert opened.synthetic.records is None
    drawn = list(streams.training_batches(opened, config, 0).take(4).as_numpy_iterator())
    assert 30 in numbers(drawn) and 9 not in numbers(drawn)


def test_photos_are_the_same_beside_records_and_beside_scenes(tmp_path, syndof):
    """The streams share no random numbers."""
    cv2.imwrite(str(tmp_path / "photo.png"), colours(np.random.default_rng(0).random((50, 50, 3))))
    config = replace(SMALL, unlabelled=(str(tmp_path / "photo.png"),))
    scenes = sources.open_streams(config, 0)
    (beside,) = streams.training_batches(scenes, config, 0).take(1).as_numpy_iterator()
    (batch,) = batches(replace(config, synthetic=(syndof,)), 0, 1)
    for name in ("labelled", "blurred", "unlabelled"):
        np.testing.assert_array_equal(batch[name], beside[name])


def test_shards_at_a_url_give_the_same_batches(syndof):
    """Through TensorFlow's file system in memory; photos and what is held out as before."""
    url = "ram://record_streams/syndof"
    tf.io.gfile.makedirs(url)
    for file in Path(syndof).iterdir():
        tf.io.gfile.copy(str(file), f"{url}/{file.name}", overwrite=True)
    local, remote = (batches(replace(SMALL, synthetic=(x,)), 2, 2) for x in (syndof, url))
    for left, right in zip(local, remote, strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
    tf.io.gfile.makedirs("ram://record_streams/photos")
    with pytest.raises(
        ValueError, match="a URL must hold TFRecord shards; received ram://.*photos"
    ):
        sources.open_streams(replace(SMALL, synthetic=("ram://record_streams/photos",)), 0)
