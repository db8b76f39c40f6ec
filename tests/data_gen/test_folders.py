"""The authors' layout: image/ with blur_map/."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.dataset import folders, manifest, maps
from data_gen.io.errors import DataFileError
from data_gen.io.images import read_stored, write_png
from tests.support.datasets import ENCODINGS, H, W, assert_same, make_example


def write_folders(root, encoding, count=3):
    examples = [make_example(i, encoding) for i in range(count)]
    for example in examples:
        sigma_px = optics.defocus_to_sigma(example["defocus"])
        folders.write_folder_example(root, example["name"], example["image"], sigma_px, encoding)
    return examples


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_folders_round_trip(tmp_path, encoding):
    examples = write_folders(tmp_path, encoding, 11)
    stored = read_stored(tmp_path / "blur_map/scene_2.png")
    assert (stored.dtype, stored.shape) == (np.uint16, (H, W, 3))
    np.testing.assert_array_equal(
        stored, np.dstack([maps.encode_map(examples[2]["defocus"], encoding)] * 3)
    )
    opened = [folders.open_folder(tmp_path, encoding)]
    if encoding != "paper":
        opened.append(folders.open_folder(tmp_path))
    manifest.write_manifest(tmp_path, encoding, 11)
    opened.append(folders.open_folder(tmp_path))
    for folder in opened:
        assert (len(folder), folder.encoding) == (11, encoding)
        for i, example in enumerate(examples):  # natural order: scene_2 before scene_10
            assert folder.name(i) == example["name"]
            assert_same(folder.read(i), example)


def test_folder_maps_of_one_channel_or_eight_bits(tmp_path):
    image = np.zeros((2, 3, 3), np.uint8)
    sigma_10 = np.array([[0, 7, 70], [35, 1, 0]])
    for name, stored in (("a", sigma_10.astype(np.uint8)), ("b", sigma_10.astype(np.uint16))):
        write_png(tmp_path / f"image/{name}.png", image)
        write_png(tmp_path / f"blur_map/{name}.png", stored)
    folder = folders.open_folder(tmp_path)
    for i in range(2):
        np.testing.assert_allclose(folder.read(i)[1], sigma_10 / 70, rtol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 70, "generator"), (9, 9, "generator"), (10, 71, "released"), (0, 150, "released")],
)
def test_encoding_told_by_the_values(tmp_path, low, high, expected):
    image = np.zeros((1, 2, 3), np.uint8)
    for name, value in (("a", low), ("b", high)):
        write_png(tmp_path / f"image/{name}.png", image)
        write_png(tmp_path / f"blur_map/{name}.png", np.full((1, 2), value, np.uint16))
    assert folders.open_folder(tmp_path).encoding == expected


def test_encoding_that_the_values_do_not_tell(tmp_path):
    write_png(tmp_path / "image/a.png", np.zeros((1, 2, 3), np.uint8))
    for low, high in ((10, 70), (0, 151), (0, 65535)):
        write_png(tmp_path / "blur_map/a.png", np.array([[low, high]], np.uint16))
        with pytest.raises(DataFileError, match=f"must be given, .*from {low} to {high} "):
            folders.open_folder(tmp_path)
    assert folders.open_folder(tmp_path, "paper").read(0)[1].tolist() == [[0, 1]]
    manifest.write_manifest(tmp_path, "paper", 1)
    assert folders.open_folder(tmp_path).read(0)[1].tolist() == [[0, 1]]
    with pytest.raises(DataFileError, match=r"dataset.json: .*'paper'; received 'released'"):
        folders.open_folder(tmp_path, "released")
    with pytest.raises(ValueError, match="encoding must be auto or one of paper"):
        folders.open_folder(tmp_path, "mine")


def test_values_above_the_encoding_name_their_file(tmp_path):
    write_folders(tmp_path, "released")
    folder = folders.open_folder(tmp_path, "generator")
    with pytest.raises(DataFileError, match=r"blur_map/scene_1.png: .*'generator'.*up to 70"):
        folder.read(1)


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(DataFileError, match=r"image: must be a folder"):
        folders.open_folder(tmp_path)
    (tmp_path / "image").mkdir()
    with pytest.raises(DataFileError, match=r"image: the folder must hold images"):
        folders.open_folder(tmp_path)
    write_folders(tmp_path, "generator")
    manifest.write_manifest(tmp_path, "generator", 4)
    with pytest.raises(DataFileError, match="4 examples .*received 3"):
        folders.open_folder(tmp_path)
    (tmp_path / manifest.MANIFEST).unlink()
    write_png(tmp_path / "blur_map/scene_0.png", np.zeros((H, W - 1), np.uint16))
    with pytest.raises(DataFileError, match=r"scene_0.png: .*same size; .*\[10, 13\] and \[10, 12"):
        folders.open_folder(tmp_path).read(0)
    path = tmp_path / "blur_map/scene_1.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataFileError, match=r"blur_map/scene_1.png: .*complete, valid image"):
        folders.open_folder(tmp_path, "generator").read(1)
    path.unlink()
    with pytest.raises(DataFileError, match=r"image/scene_1.png: .*partner .*blur_map/scene_1.png"):
        folders.open_folder(tmp_path)
    (tmp_path / "image/scene_1.png").unlink()
    (tmp_path / "image/scene_2.png").unlink()
    with pytest.raises(DataFileError, match=r"blur_map/scene_2.png: .*partner .*image/scene_2.png"):
        folders.open_folder(tmp_path)
    example = make_example(0)
    with pytest.raises(ValueError, match="plain file name"):
        folders.write_folder_example(tmp_path, "a/b", example["image"], example["defocus"])


def test_an_example_whose_image_cannot_be_written_is_not_seen(tmp_path):
    with pytest.raises(ValueError, match="uint8 or uint16"):
        folders.write_folder_example(tmp_path, "a", np.zeros((1, 1, 3)), np.zeros((1, 1)))
    assert list(tmp_path.glob("image/*")) == []


def test_folders_in_tf_data(tmp_path):
    examples = write_folders(tmp_path, "generator")
    folder = folders.open_folder(tmp_path)
    dataset = tf.data.Dataset.range(3).map(
        lambda i: tf.numpy_function(folder.read, [i], (tf.uint8, tf.float32))
    )
    for read, example in zip(dataset.as_numpy_iterator(), examples, strict=True):
        assert_same(read, example)
