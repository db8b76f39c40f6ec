"""The three streams: what they hold, their defaults, exact continuation, and refusals."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_gen import __main__ as data_gen_command
from data_gen import optics
from data_gen.dataset import folders, records
from dmenet_tf.config import DataConfig
from dmenet_tf.data import sources
from dmenet_tf.data import streams as datasets

SMALL = DataConfig(crop=32, batch=2, procedural_scenes=20, validation_examples=3)
KEYS = {"synthetic": 3, "defocus": 1, "labelled": 3, "blurred": 1, "unlabelled": 3}


def batches(config, start, count, seed=0):
    streams = sources.open_streams(config, seed)
    dataset = datasets.training_batches(streams, config, seed, start)
    return list(dataset.take(count).as_numpy_iterator())


def test_embedded_defaults_and_exact_continuation():
    whole, later = batches(SMALL, 0, 4), batches(SMALL, 2, 2)
    for batch in whole:
        assert {name: value.shape[-1] for name, value in batch.items()} == KEYS
        for value in batch.values():
            assert value.shape[:3] == (2, 32, 32) and value.dtype == np.float32
            assert value.min() >= 0 and value.max() <= 1
        assert set(np.unique(batch["blurred"])) <= {0.0, 1.0}
    for left, right in zip(whole[2:], later, strict=True):
        for name in KEYS:
            np.testing.assert_array_equal(left[name], right[name])
    other = batches(SMALL, 0, 1, seed=1)[0]
    assert all(not np.array_equal(other[name], whole[0][name]) for name in KEYS)


@pytest.mark.parametrize("here", [1, 2, 4])
def test_shares_of_a_batch_make_up_the_whole_one(here):
    """Four replicas, `here` on each machine, from the second step on."""
    config = replace(SMALL, batch=8)
    streams, (whole,) = sources.open_streams(config, 0), batches(config, 1, 1)
    for first in range(0, 4, here):
        share = datasets.Share(first, here, 4)
        dataset = datasets.training_batches(streams, config, 0, 1, share).map(share.divided)
        (parts,) = dataset.take(1).as_numpy_iterator()
        assert len(parts) == here
        for replica, part in enumerate(parts, first):
            for name in KEYS:
                np.testing.assert_array_equal(part[name], whole[name][replica::4])


def test_validation_examples_are_held_out_and_the_same_for_every_run():
    streams = sources.open_streams(SMALL, 0)
    images, defocus = datasets.validation_set(streams, SMALL, 0)
    assert images.shape == (3, 32, 32, 3) and defocus.shape == (3, 32, 32, 1)
    again, _ = datasets.validation_set(sources.open_streams(SMALL, 0), SMALL, 0)
    np.testing.assert_array_equal(images, again)
    trained_on = {streams.synthetic.source.name(i) for i in range(len(streams.synthetic.source))}
    assert not trained_on & {
        streams.held_out.source.name(i) for i in range(len(streams.held_out.source))
    }


def test_a_fixed_set_of_examples_is_rendered_once():
    config = replace(SMALL, fixed_examples=3, validation_crop=48)
    streams = sources.open_streams(config, 0)
    assert streams.synthetic.ready and len(streams.synthetic.source) == 3
    pairs = [streams.synthetic.source.read(i) for i in range(3)]
    assert streams.synthetic.source.read(1)[0] is pairs[1][0]
    values = {value for _, defocus in pairs for value in np.unique(defocus)}
    for batch in batches(config, 0, 4):
        assert set(np.unique(batch["defocus"])) <= values
    # What is held out is rendered anew, from other scenes and at its own size.
    images, _ = datasets.validation_set(streams, config, 0)
    assert images.shape == (3, 48, 48, 3)


def write_scene(folder, seed, height=48, width=40):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "rgb.png"), rng.integers(0, 256, (height, width, 3), np.uint8))
    np.save(folder / "depth.npy", rng.uniform(1, 5, (height, width)).astype(np.float32))


@pytest.fixture
def rgbd(tmp_path):
    for i in range(20):
        write_scene(tmp_path / "rgbd" / f"scene{i:02d}", i)
    return tmp_path / "rgbd"


def test_rgbd_folders_hold_out_their_last_tenth(rgbd):
    streams = sources.open_streams(replace(SMALL, synthetic=(str(rgbd),)), 0)
    assert not streams.synthetic.ready
    held_out = [streams.held_out.source.name(i) for i in range(len(streams.held_out.source))]
    assert held_out == ["scene18", "scene19"] and len(streams.synthetic.source) == 18


@pytest.mark.parametrize("layout", ["records", "folders"])
def test_ready_made_pairs(tmp_path, layout):
    out = tmp_path / "syndof"
    options = ["--count", "10", "--crop", "48", "--layout", layout]
    assert data_gen_command.main(["--out", str(out), *options]) == 0
    config = replace(SMALL, synthetic=(str(out),))
    streams = sources.open_streams(config, 0)
    assert streams.synthetic.ready
    assert len(streams.synthetic.source) == 9 and len(streams.held_out.source) == 1
    batch = batches(config, 0, 1)[0]
    # The crops are cut out of the stored pairs, pixel by pixel, flipped or turned together.
    opened = records.open_records(out) if layout == "records" else folders.open_folder(out)
    stored = [opened.read(i) for i in range(len(opened))]
    values = {np.float32(v) for _, defocus in stored for v in np.unique(defocus)}
    assert set(np.unique(batch["defocus"])) <= values


def test_rgbd_and_ready_made_do_not_mix(tmp_path, rgbd):
    out = tmp_path / "syndof"
    assert data_gen_command.main(["--out", str(out), "--count", "1", "--crop", "32"]) == 0
    with pytest.raises(ValueError, match="either RGB-D scenes or ready-made pairs.*received both"):
        sources.open_streams(replace(SMALL, synthetic=(str(rgbd), str(out))), 0)


def test_a_map_in_the_wrong_encoding_names_its_file(tmp_path):
    root = tmp_path / "syndof"
    for i in range(3):
        image, sigma = np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 6.9)
        folders.write_folder_example(root, f"{i}", image, sigma, "released")
    config = replace(SMALL, synthetic=(str(root),), encoding="generator")
    streams = sources.open_streams(config, 0)
    with pytest.raises(ValueError, match=r"blur_map/0.png.*'generator' encoding holds.*up to 70"):
        streams.synthetic.source.read(0)
    # And from inside the pipeline.
    with pytest.raises(Exception, match=r"blur_map/\d.png.*'generator' encoding holds"):
        batches(config, 0, 1)


@pytest.fixture
def labelled(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("image", "gt"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(1, 13):
        photo = rng.integers(0, 256, (60, 60, 3), np.uint8)
        photo[:, 30:] = cv2.GaussianBlur(photo, (0, 0), 3)[:, 30:]
        mask = np.zeros((60, 60), np.uint8)
        mask[:, 30:] = 255
        cv2.imwrite(str(tmp_path / "photos" / "image" / f"p{i:04d}.png"), photo)
        cv2.imwrite(str(tmp_path / "photos" / "gt" / f"p{i:04d}.png"), mask)
    return tmp_path / "photos"


def test_labelled_photos_split_by_number(labelled):
    config = replace(
        SMALL,
        labelled=(str(labelled),),
        labelled_names="0001-0009",
        labelled_validation="0010-0012",
    )
    streams = sources.open_streams(config, 0)
    assert len(streams.labelled) == 9 and len(streams.labelled_held_out) == 3
    batch = batches(config, 0, 1)[0]
    # The blurred side has less detail in every crop that holds both.
    for photo, blurred in zip(batch["labelled"], batch["blurred"][..., 0], strict=True):
        detail = np.abs(cv2.Laplacian(photo.mean(-1), cv2.CV_32F))
        if 0.2 < blurred.mean() < 0.8:
            assert detail[blurred == 0].mean() > 2 * detail[blurred == 1].mean()


def test_inverted_polarity_is_refused(labelled):
    config = replace(SMALL, labelled=(str(labelled),), polarity="sharp")
    with pytest.raises(ValueError, match="polarity"):
        sources.open_streams(config, 0)


@pytest.mark.parametrize("option", ["synthetic", "labelled", "unlabelled"])
def test_missing_and_empty_folders_are_named(tmp_path, option):
    for name in ("empty", "missing"):
        folder = tmp_path / name
        if name == "empty":
            folder.mkdir()
        with pytest.raises((OSError, ValueError), match=name):
            sources.open_streams(replace(SMALL, **{option: (str(folder),)}), 0)


def test_enlarged_photos_have_room_for_a_crop(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((9, 20, 3), np.uint8))
    batch = batches(replace(SMALL, unlabelled=(str(tmp_path),)), 0, 1)[0]
    assert batch["unlabelled"].shape == (2, 32, 32, 3)


def test_real_files(shared):
    data = shared / "data"
    config = replace(
        SMALL,
        synthetic=(str(data / "native"), str(data / "rgbd")),
        bgr_scenes=("nyu_*",),
        labelled=(str(data / "cuhk"),),
        labelled_names="0001-0020",
        unlabelled=(str(data / "photos_shallow_dof"),),
    )
    for batch in batches(config, 0, 3):
        assert all(np.isfinite(value).all() for value in batch.values())
        assert optics.defocus_to_sigma(batch["defocus"].max()) <= optics.SIGMA_MAX_PX


def test_resized_crops_keep_their_labels(tmp_path):
    """Half the size: half the sigma of I_S; a photo's classes stay where they are."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (96, 96, 3), np.uint8)
    source = Constant(pixels, np.full((96, 96), 0.5, np.float32))
    key = tf.constant([0, 0], tf.int32)
    half = datasets.pair_example(source, key, 0, 32, lambda size, draw: 0.5, "scaled")
    assert half[0].shape == (32, 32, 3)
    np.testing.assert_allclose(half[1], 0.25, rtol=1e-6)
    # A square of 96 px is the largest there is: a third, whatever is asked for.
    third = datasets.pair_example(source, key, 0, 32, lambda size, draw: 0.1, "scaled")
    np.testing.assert_allclose(third[1], 0.5 / 3, rtol=1e-6)
    # Never enlarged.
    whole = datasets.pair_example(source, key, 0, 32, lambda size, draw: 3.0, "kept")
    np.testing.assert_allclose(whole[1], 0.5)
    assert {tuple(p) for p in np.rint(whole[0] * 255).astype(int).reshape(-1, 3).tolist()} <= {
        tuple(p) for p in pixels.reshape(-1, 3).tolist()
    }


class Constant:
    """One image and its map."""

    def __init__(self, image, plane):
        self.pair = image, plane

    def __len__(self):
        return 1

    def read(self, index):
        return self.pair


def test_variety_of_all_streams_continues_exactly():
    config = replace(
        SMALL, synthetic_scale=(0.6, 1.0), photo_side=(36, 48), exposure=0.5, noise=0.03,
        jpeg_quality=60, disc_share=0.5,
    )  # fmt: skip
    whole, later = batches(config, 0, 2), batches(config, 1, 1)
    for name in KEYS:
        assert whole[1][name].shape[:3] == (2, 32, 32)
        np.testing.assert_array_equal(whole[1][name], later[0][name])
    assert set(np.unique(whole[0]["blurred"])) <= {0.0, 1.0}


def test_held_out_scenes_may_be_named(rgbd, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(rgbd, other)
    config = replace(SMALL, synthetic=(str(rgbd),), synthetic_validation=(str(other),))
    streams = sources.open_streams(config, 0)
    train, held_out = (len(part.source) for part in (streams.synthetic, streams.held_out))
    assert train == held_out == len(sources.open_path(rgbd, config)[0])
