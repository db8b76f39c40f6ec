"""Shards at a URL, through TensorFlow's file system in memory, whose URLs begin with ram://."""

import uuid
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data_gen.dataset import records, shards
from data_gen.io.errors import DataFileError
from data_gen.io.remote import RemotePath, place
from tests.support.datasets import assert_same, write_dataset


@pytest.fixture
def both(tmp_path):
    """The same data set in a folder and at a URL of its own."""
    write_dataset(tmp_path / "syndof", (4, 3, 5))
    url = f"ram://{uuid.uuid4().hex}/syndof"
    tf.io.gfile.makedirs(url)
    for file in (tmp_path / "syndof").iterdir():
        tf.io.gfile.copy(str(file), f"{url}/{file.name}")
    return tmp_path / "syndof", url


def test_only_urls_are_remote():
    assert place("a/b") == Path("a/b") and place(Path("a")) == Path("a")
    remote = place("ram://bucket/a/b/")
    assert isinstance(remote, RemotePath) and place(remote) is remote
    assert str(remote) == "ram://bucket/a/b" and remote.name == "b"
    assert remote / "c" == place("ram://bucket/a/b/c")


def test_records_by_number_are_those_of_the_folder(both):
    local, remote = map(records.open_records, both)
    assert shards.is_records(both[1]) and len(remote) == len(local) == 12
    assert [file.name for file in remote.files] == [file.name for file in local.files]
    assert remote.records_per_shard().keys() == set(remote.files)
    for i in range(12):
        image, defocus = remote.read(i)
        assert_same(local.read(i), {"image": image, "defocus": defocus})


@pytest.mark.parametrize("start", [0, 7, 12, 17])
def test_the_stream_is_that_of_the_folder_from_any_start(both, start):
    """Order by (seed, epoch), and a start within an epoch."""
    streams = (records.shuffled_records([records.open_records(x)], 3, start) for x in both)
    for left, right in zip(*(s.take(15).as_numpy_iterator() for s in streams), strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def test_damage_and_what_is_missing_are_named(both):
    url = both[1]
    tf.io.gfile.remove(f"{url}/{shards.shard_name(1, 3)}")
    with pytest.raises(DataFileError, match=rf"{url}: .*missing \['dmenet-00001-of-00003"):
        records.open_records(url)
    tf.io.gfile.remove(f"{url}/dataset.json")
    with pytest.raises(DataFileError, match=f"{url}/dataset.json: the file must exist"):
        records.open_records(url)
    with pytest.raises(OSError, match="ram://nowhere/x"):
        shards.is_records("ram://nowhere/x")


def test_stores_that_tensorflow_cannot_read_are_refused_in_one_line():
    rule = r"store that TensorFlow reads, gs:// .*; received s3://bucket/syndof$"
    with pytest.raises(ValueError, match=rule):
        place("s3://bucket/syndof")
