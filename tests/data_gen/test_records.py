"""TFRecord datasets: round trips, damage, and the ways through tf.data."""

import json

import numpy as np
import pytest
import tensorflow as tf

from data_gen.dataset import manifest, records, shards
from data_gen.io.errors import DataFileError
from tests.support.datasets import ENCODINGS, assert_same, make_example, write_dataset


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
    records.write_shard(tmp_path / shards.shard_name(0, 1), examples)
    manifest.write_manifest(tmp_path, "paper", 3)
    opened = records.open_records(tmp_path)
    for i, example in enumerate(examples):
        assert_same(opened.read(i), example)


def test_an_interrupted_shard_leaves_nothing(tmp_path):
    path = tmp_path / shards.shard_name(0, 1)

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
    assert shards.is_records(tmp_path)
    path = tmp_path / manifest.MANIFEST
    text = path.read_text()
    path.unlink()
    assert shards.is_records(tmp_path)
    with pytest.raises(DataFileError, match=r"dataset.json: a dataset must have a valid"):
        records.open_records(tmp_path)
    for wrong in ("{", "[]", '{"version": 1}', '{"version": 1, "encoding": [], "count": 1}'):
        path.write_text(wrong)
        with pytest.raises(DataFileError, match=r"dataset.json: a dataset must have a valid"):
            records.open_records(tmp_path)
    for key, value in (("version", 2), ("encoding", "mine"), ("count", "5")):
        path.write_text(json.dumps({**json.loads(text), key: value}))
        with pytest.raises(DataFileError, match=r"dataset.json: version must be 1"):
            records.open_records(tmp_path)
    path.write_text(json.dumps({**json.loads(text), "count": 6}))
    with pytest.raises(DataFileError, match="6 examples .*received 5"):
        records.open_records(tmp_path)
    path.write_text(text)
    (tmp_path / shards.shard_name(1, 3)).unlink()
    with pytest.raises(DataFileError, match=r"missing \['dmenet-00001-of-00003.tfrecord'\]"):
        records.open_records(tmp_path)
    with pytest.raises(KeyError):
        manifest.write_manifest(tmp_path, "mine", 5)


def test_a_cut_shard_is_named(tmp_path):
    write_dataset(tmp_path)
    path = tmp_path / shards.shard_name(2, 3)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(DataFileError, match=r"00002-of-00003.tfrecord: .*complete record"):
            records.open_records(tmp_path)


def test_no_flipped_bit_changes_an_image_or_map_unseen(tmp_path):
    write_dataset(tmp_path, (1,))
    path = tmp_path / shards.shard_name(0, 1)
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
    manifest.write_manifest(tmp_path, "released", 1)
    with pytest.raises(DataFileError, match=r"record at byte 12: .*'released'; .*'generator'"):
        records.open_records(tmp_path).read(0)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(records.read_records(tmp_path))


# --- the shuffled stream -------------------------------------------------------------------------


def indices_of(stream, count):
    """Which of the examples made by `make_example` the first `count` of a stream are."""
    known = {make_example(i)["image"].tobytes(): i for i in range(60)}
    images = [example["image"] for example in stream.take(count).as_numpy_iterator()]
    return [known[np.rint(image * 255).astype(np.uint8).tobytes()] for image in images]


@pytest.fixture
def opened(tmp_path):
    write_dataset(tmp_path, (7, 0, 9, 4))
    return records.open_records(tmp_path)


def test_a_stream_holds_each_record_once_an_epoch_in_an_order_of_its_own(opened):
    order = indices_of(records.shuffled_records([opened], 3, cycle=2, window=5), 60)
    epochs = [order[:20], order[20:40], order[40:]]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert order != indices_of(records.shuffled_records([opened], 4, cycle=2, window=5), 60)
    # Shuffled beyond the interleaving of shards and beyond windows.
    assert sum(abs(a - b) == 1 for a, b in zip(epochs[0], epochs[0][1:], strict=False)) < 10


@pytest.mark.parametrize("start", [1, 6, 19, 20, 33])
def test_a_stream_continues_wherever_it_is_started(opened, start):
    whole = records.shuffled_records([opened], 3, window=8)
    part = list(records.shuffled_records([opened], 3, start, window=8).take(9).as_numpy_iterator())
    expected = list(whole.skip(start).take(9).as_numpy_iterator())
    for left, right in zip(part, expected, strict=True):
        assert left.keys() == right.keys() == {"image", "defocus", "number"}
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
    assert [example["number"] for example in part] == list(range(start, start + 9))


def test_batches_of_two_starts_are_the_same(opened):
    def batches(step):
        return records.shuffled_records([opened], 1, step * 3).batch(3, drop_remainder=True)

    whole = list(batches(0).take(20).as_numpy_iterator())
    resumed = list(batches(11).take(9).as_numpy_iterator())
    for left, right in zip(whole[11:], resumed, strict=True):
        np.testing.assert_array_equal(left["image"], right["image"])
        np.testing.assert_array_equal(left["defocus"], right["defocus"])


def test_a_stream_of_several_datasets_and_of_a_part_of_each(tmp_path):
    examples = {}
    for name, encoding in (("a", "paper"), ("b", "released")):
        write_dataset(tmp_path / name, (4, 3), encoding)
        for i in range(7):
            examples[encoding, i] = make_example(i, encoding)["defocus"]
    datasets = [records.open_records(tmp_path / name) for name in "ab"]
    stream = records.shuffled_records(datasets, 0, counts=[5, 2])
    read = [example["defocus"][..., 0] for example in stream.take(14).as_numpy_iterator()]
    expected = [examples["paper", i] for i in range(5)] + [examples["released", i] for i in (0, 1)]
    for epoch in (read[:7], read[7:]):
        assert {plane.tobytes() for plane in epoch} == {plane.tobytes() for plane in expected}
    with pytest.raises(ValueError, match="a count must lie in 0 .. 7; received 8"):
        records.shuffled_records(datasets, 0, counts=[8, 0])
    with pytest.raises(ValueError, match="must have at least one"):
        records.shuffled_records(datasets, 0, counts=[0, 0])


def test_a_window_holds_so_many_records_or_so_many_bytes(tmp_path, opened, monkeypatch):
    assert opened.size_bytes == sum(
        len(record.numpy())
        for file in opened.files
        for record in tf.data.TFRecordDataset(str(file))
    )
    assert records.window_in_memory([opened]) == records.WINDOW == 256
    monkeypatch.setattr(records, "WINDOW_BYTES", 20 * opened.size_bytes // len(opened))
    assert 19 <= records.window_in_memory([opened, opened]) <= 20
    monkeypatch.setattr(records, "WINDOW_BYTES", 1)
    assert records.window_in_memory([opened]) == records.WINDOW_MIN == 16


def test_damage_is_found_and_named(tmp_path, opened):
    records.find_damaged([opened, opened], [len(opened), 0])
    file = opened.files[0]
    data, (offset, length) = bytearray(file.read_bytes()), next(shards.scan(file))
    data[offset + length // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataFileError, match=f"{file.name}: all records must match their checksums"):
        records.find_damaged([opened], [len(opened)])


def test_records_that_were_written_damaged_are_named(tmp_path):
    """Their checksums are right; their maps are not."""
    examples = [make_example(i, "released") for i in range(3)]
    values = [records.record_values(example, "released") for example in examples]
    values[1]["defocus_map"] = values[1]["defocus_map"][:-20]
    path = tmp_path / shards.shard_name(0, 1)
    shards.write_records(path, map(shards.serialize, values))
    manifest.write_manifest(tmp_path, "released", 3)
    opened = records.open_records(tmp_path)
    records.find_damaged([opened], [1])
    with pytest.raises(DataFileError, match=f"{path.name}, record at byte"):
        records.find_damaged([opened], [2])


def test_a_stream_needs_no_python_and_checks_what_it_reads(tmp_path, opened):
    spec = records.shuffled_records([opened], 0).element_spec
    assert spec["image"].shape.as_list() == [None, None, 3] and spec["number"].dtype == tf.int64
    graph = records.shuffled_records([opened], 0)._as_serialized_graph().numpy()
    assert b"TFRecordDataset" in graph and b"PyFunc" not in graph
    manifest.write_manifest(tmp_path, "released", 20)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(records.shuffled_records([records.open_records(tmp_path)], 0).take(1))
