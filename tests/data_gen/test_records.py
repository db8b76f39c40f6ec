import json

import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.dataset import records
from data_gen.io.images import DataFileError, read_stored, write_png

ENCODINGS = list(optics.ENCODINGS)
H, W = 10, 13


def make_example(index, encoding="paper", height=H, width=W):
    """An example whose map is one that `encoding` holds exactly."""
    rng = np.random.default_rng(index)
    scheme = optics.ENCODINGS[encoding]
    sharp = int(scheme.encode(0.0))
    stored = rng.integers(sharp, scheme.stored_max + 1, (height, width), np.uint16)
    stored[0, 0], stored[-1, -1] = sharp, scheme.stored_max
    return {
        "image": rng.integers(0, 256, (height, width, 3), np.uint8),
        "defocus": optics.sigma_to_defocus(scheme.decode(stored)),
        "name": f"scene_{index}",
        "seed": 2**40 + index,
        "index": index,
        "focus_distance": 1.5 + index,
        "alpha_px": 0.25 * index,
    }


def write_dataset(folder, counts=(2, 0, 3), encoding="paper"):
    examples = [make_example(i, encoding) for i in range(sum(counts))]
    start = 0
    for shard, count in enumerate(counts):
        path = folder / records.shard_name(shard, len(counts))
        assert records.write_shard(path, iter(examples[start : start + count]), encoding) == count
        start += count
    records.write_manifest(folder, encoding, start)
    return examples


def assert_same(read, example):
    image, defocus = read
    assert (image.dtype, defocus.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(image, example["image"])
    np.testing.assert_array_equal(defocus, example["defocus"])


# --- maps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_stored_value_survives(encoding):
    scheme = optics.ENCODINGS[encoding]
    first = int(scheme.encode(0.0))
    stored = np.arange(first, scheme.stored_max + 1, dtype=np.uint16)[None]
    defocus = records.decode_map(stored, encoding, "m")
    assert defocus.dtype == np.float32
    assert (defocus.min(), defocus.max()) == (0, 1)
    np.testing.assert_array_equal(records.encode_map(defocus, encoding), stored)


def test_map_values_by_hand():
    # sigma = 3.5 px is defocus 0.5: paper 65535/2 (to even), generator 10*3.5, released 10*(7 + 1)
    half = np.full((2, 2), 0.5, np.float32)
    stored = {name: int(records.encode_map(half, name)[0, 0]) for name in ENCODINGS}
    assert stored == {"paper": 32768, "generator": 35, "released": 80}


# --- records ---------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_records_round_trip(tmp_path, encoding):
    examples = write_dataset(tmp_path, encoding=encoding)
    opened = records.open_records(tmp_path)
    assert len(opened) == 5
    for i, example in enumerate(examples):
        assert opened.name(i) == f"scene_{i}"
        assert_same(opened.read(i), example)
        whole = opened.example(i)
        assert whole.keys() == example.keys()
        for key in ("name", "seed", "index", "focus_distance", "alpha_px"):
            assert whole[key] == example[key]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_records_in_the_graph_are_the_same(tmp_path, encoding):
    examples = write_dataset(tmp_path, encoding=encoding)
    dataset = records.read_records(tmp_path)
    assert dataset.element_spec == {
        "image": tf.TensorSpec([None, None, 3]),
        "defocus": tf.TensorSpec([None, None, 1]),
    }
    read = list(dataset.as_numpy_iterator())
    assert len(read) == len(examples)
    for got, example in zip(read, examples, strict=True):
        np.testing.assert_array_equal(got["image"], example["image"] / np.float32(255))
        np.testing.assert_array_equal(got["defocus"][..., 0], example["defocus"])


def test_records_by_index_in_tf_data(tmp_path):
    examples = write_dataset(tmp_path)
    opened = records.open_records(tmp_path)
    order = [4, 0, 3, 3]
    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(order, tf.int64)).map(
        lambda i: tf.numpy_function(opened.read, [i], (tf.uint8, tf.float32))
    )
    for i, read in zip(order, dataset.as_numpy_iterator(), strict=True):
        assert_same(read, examples[i])


def test_examples_of_other_sizes(tmp_path):
    sizes = [(4, 5), (1, 1), (30, 7)]
    examples = [make_example(i, "paper", *size) for i, size in enumerate(sizes)]
    records.write_shard(tmp_path / records.shard_name(0, 1), examples)
    records.write_manifest(tmp_path, "paper", 3)
    opened = records.open_records(tmp_path)
    for i, example in enumerate(examples):
        assert_same(opened.read(i), example)


def test_an_interrupted_shard_leaves_nothing(tmp_path):
    path = tmp_path / records.shard_name(0, 1)

    def examples():
        yield make_example(0)
        # What another program sees while the shard is written:
        assert list(tmp_path.glob("*.tfrecord")) == []
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        records.write_shard(path, examples())
    assert list(tmp_path.iterdir()) == []
    # And a shard that stands is not touched by a failed attempt to write it again.
    records.write_shard(path, [make_example(1)])
    whole = path.read_bytes()
    with pytest.raises(RuntimeError, match="stopped"):
        records.write_shard(tmp_path / "new" / path.name, examples_that_stop())
    with pytest.raises(RuntimeError, match="stopped"):
        records.write_shard(path, examples_that_stop())
    assert path.read_bytes() == whole
    assert list(tmp_path.glob("*.*")) == [path]


def examples_that_stop():
    yield make_example(0)
    raise RuntimeError("stopped")


def test_what_an_example_must_be():
    example = make_example(0)
    for wrong in (
        {"image": example["image"].astype(np.float32)},
        {"image": example["image"][:-1]},
        {"defocus": example["defocus"][..., None]},
    ):
        with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\] and its defocus \[H, W\]"):
            records.serialize({**example, **wrong})
    with pytest.raises(ValueError, match=r"sigma_px must lie in \[0, 7\]"):
        records.serialize({**example, "defocus": example["defocus"] + 0.1})


def test_incomplete_datasets_are_refused(tmp_path):
    write_dataset(tmp_path)
    assert records.is_records(tmp_path)
    manifest = tmp_path / records.MANIFEST
    text = manifest.read_text()
    manifest.unlink()
    assert records.is_records(tmp_path)
    with pytest.raises(DataFileError, match=r"dataset.json: a dataset must have a valid"):
        records.open_records(tmp_path)
    for wrong in ("{", "[]", '{"version": 1}', '{"version": 1, "encoding": [], "count": 1}'):
        manifest.write_text(wrong)
        with pytest.raises(DataFileError, match=r"dataset.json: a dataset must have a valid"):
            records.open_records(tmp_path)
    for key, value in (("version", 2), ("encoding", "mine"), ("count", "5")):
        manifest.write_text(json.dumps({**json.loads(text), key: value}))
        with pytest.raises(DataFileError, match=r"dataset.json: version must be 1"):
            records.open_records(tmp_path)
    manifest.write_text(json.dumps({**json.loads(text), "count": 6}))
    with pytest.raises(DataFileError, match="6 examples .*received 5"):
        records.open_records(tmp_path)
    manifest.write_text(text)
    (tmp_path / records.shard_name(1, 3)).unlink()
    with pytest.raises(DataFileError, match=r"missing \['dmenet-00001-of-00003.tfrecord'\]"):
        records.open_records(tmp_path)
    with pytest.raises(KeyError):
        records.write_manifest(tmp_path, "mine", 5)


def test_the_manifest_keeps_what_it_is_given(tmp_path):
    records.write_manifest(tmp_path, "generator", 7, seed=3)
    expected = {"version": 1, "encoding": "generator", "count": 7, "seed": 3}
    assert records.read_manifest(tmp_path) == expected


def test_a_cut_shard_is_named(tmp_path):
    write_dataset(tmp_path)
    path = tmp_path / records.shard_name(2, 3)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(DataFileError, match=r"00002-of-00003.tfrecord: .*whole record"):
            records.open_records(tmp_path)


def test_no_flipped_bit_changes_an_image_or_map_unseen(tmp_path):
    write_dataset(tmp_path, (1,))
    path = tmp_path / records.shard_name(0, 1)
    whole = path.read_bytes()
    right = records.open_records(tmp_path).read(0)
    refused = 0
    for at in range(12, len(whole) - 4, 7):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            read = records.open_records(tmp_path).read(0)
        except DataFileError as error:
            assert "dmenet-00000-of-00001.tfrecord, record at byte 12" in str(error)
            refused += 1
        else:  # in the name, seed or lens
            assert_same(read, {"image": right[0], "defocus": right[1]})
    assert refused > 50
    # The way through the graph checks the record as a whole.
    with pytest.raises(tf.errors.DataLossError):
        list(records.read_records(tmp_path))


def test_a_record_of_another_encoding_is_refused(tmp_path):
    write_dataset(tmp_path, (1,), "generator")
    records.write_manifest(tmp_path, "released", 1)
    with pytest.raises(DataFileError, match=r"record at byte 12: .*'released'; .*'generator'"):
        records.open_records(tmp_path).read(0)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(records.read_records(tmp_path))


# --- folders ---------------------------------------------------------------------------------


def write_folders(root, encoding, count=3):
    examples = [make_example(i, encoding) for i in range(count)]
    for example in examples:
        sigma_px = optics.defocus_to_sigma(example["defocus"])
        records.write_folder_example(root, example["name"], example["image"], sigma_px, encoding)
    return examples


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_folders_round_trip(tmp_path, encoding):
    examples = write_folders(tmp_path, encoding, 11)
    stored = read_stored(tmp_path / "blur_map/scene_2.png")
    assert (stored.dtype, stored.shape) == (np.uint16, (H, W, 3))
    np.testing.assert_array_equal(
        stored, np.dstack([records.encode_map(examples[2]["defocus"], encoding)] * 3)
    )
    opened = [records.open_folder(tmp_path, encoding)]
    if encoding != "paper":
        opened.append(records.open_folder(tmp_path))
    records.write_manifest(tmp_path, encoding, 11)
    opened.append(records.open_folder(tmp_path))
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
    folder = records.open_folder(tmp_path)
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
    assert records.open_folder(tmp_path).encoding == expected


def test_encoding_that_the_values_do_not_tell(tmp_path):
    write_png(tmp_path / "image/a.png", np.zeros((1, 2, 3), np.uint8))
    for low, high in ((10, 70), (0, 151), (0, 65535)):
        write_png(tmp_path / "blur_map/a.png", np.array([[low, high]], np.uint16))
        with pytest.raises(DataFileError, match=f"must be named, .*from {low} to {high} "):
            records.open_folder(tmp_path)
    assert records.open_folder(tmp_path, "paper").read(0)[1].tolist() == [[0, 1]]
    records.write_manifest(tmp_path, "paper", 1)
    assert records.open_folder(tmp_path).read(0)[1].tolist() == [[0, 1]]
    with pytest.raises(DataFileError, match=r"dataset.json: .*'paper'; received 'released'"):
        records.open_folder(tmp_path, "released")
    with pytest.raises(ValueError, match="encoding must be auto or one of paper"):
        records.open_folder(tmp_path, "mine")


def test_values_above_the_encoding_name_their_file(tmp_path):
    write_folders(tmp_path, "released")
    folder = records.open_folder(tmp_path, "generator")
    with pytest.raises(DataFileError, match=r"blur_map/scene_1.png: .*'generator'.*up to 70"):
        folder.read(1)


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(DataFileError, match=r"image: must be a folder"):
        records.open_folder(tmp_path)
    (tmp_path / "image").mkdir()
    with pytest.raises(DataFileError, match=r"image: the folder must hold images"):
        records.open_folder(tmp_path)
    write_folders(tmp_path, "generator")
    records.write_manifest(tmp_path, "generator", 4)
    with pytest.raises(DataFileError, match="4 examples .*received 3"):
        records.open_folder(tmp_path)
    (tmp_path / records.MANIFEST).unlink()
    write_png(tmp_path / "blur_map/scene_0.png", np.zeros((H, W - 1), np.uint16))
    with pytest.raises(DataFileError, match=r"scene_0.png: .*same size; .*\[10, 13\] and \[10, 12"):
        records.open_folder(tmp_path).read(0)
    path = tmp_path / "blur_map/scene_1.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataFileError, match=r"blur_map/scene_1.png: .*whole, valid image"):
        records.open_folder(tmp_path, "generator").read(1)
    path.unlink()
    with pytest.raises(DataFileError, match=r"image/scene_1.png: .*partner .*blur_map/scene_1.png"):
        records.open_folder(tmp_path)
    (tmp_path / "image/scene_1.png").unlink()
    (tmp_path / "image/scene_2.png").unlink()
    with pytest.raises(DataFileError, match=r"blur_map/scene_2.png: .*partner .*image/scene_2.png"):
        records.open_folder(tmp_path)
    example = make_example(0)
    with pytest.raises(ValueError, match="plain file name"):
        records.write_folder_example(tmp_path, "a/b", example["image"], example["defocus"])


def test_an_example_whose_image_cannot_be_written_is_not_seen(tmp_path):
    with pytest.raises(ValueError, match="uint8 or uint16"):
        records.write_folder_example(tmp_path, "a", np.zeros((1, 1, 3)), np.zeros((1, 1)))
    assert list(tmp_path.glob("image/*")) == []


def test_folders_in_tf_data(tmp_path):
    examples = write_folders(tmp_path, "generator")
    folder = records.open_folder(tmp_path)
    dataset = tf.data.Dataset.range(3).map(
        lambda i: tf.numpy_function(folder.read, [i], (tf.uint8, tf.float32))
    )
    for read, example in zip(dataset.as_numpy_iterator(), examples, strict=True):
        assert_same(read, example)
