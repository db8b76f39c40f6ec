"""TFRecord shards: their names, the features of a record, and where each record begins.

A shard is `dmenet-00003-of-00010.tfrecord`; a record is a tf.train.Example of `FEATURES`, framed as
length(8) crc(4) data(length) crc(4).
"""

import errno
import re
import struct
from pathlib import Path

import tensorflow as tf

from data_gen.io.errors import DataFileError
from data_gen.io.remote import place

SHARD_PATTERN = re.compile(r"dmenet-(\d{5})-of-(\d{5})\.tfrecord")

FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "defocus_map": tf.io.FixedLenFeature([], tf.string),
    "encoding": tf.io.FixedLenFeature([], tf.string),
    "name": tf.io.FixedLenFeature([], tf.string),
    "seed": tf.io.FixedLenFeature([], tf.int64),
    "index": tf.io.FixedLenFeature([], tf.int64),
    "focus_distance": tf.io.FixedLenFeature([], tf.float32),
    "alpha_px": tf.io.FixedLenFeature([], tf.float32),
}


def shard_name(shard: int, shards: int) -> str:
    """File name of shard number `shard`, from 0, of `shards`."""
    return f"dmenet-{shard:05d}-of-{shards:05d}.tfrecord"


def serialize(values: dict) -> bytes:
    """The values of `FEATURES` (bytes, int or float) -> the bytes of a record."""
    features = {key: _feature(values[key]) for key in FEATURES}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # Otherwise the order of the entries follows a hash that differs between processes.
    return example.SerializeToString(deterministic=True)


def _feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def write_records(path, records):
    """Writes a shard file from an iterable of serialized records; `OSError` if the disk is full."""
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
    except tf.errors.OpError as error:
        number = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
        raise OSError(number, error.message, str(path)) from error


def deserialize(record: bytes, name) -> dict:
    """Inverse of `serialize`; `DataFileError` naming `name` if the record is damaged."""
    try:
        feature = tf.train.Example.FromString(record).features.feature
        return {key: _value(feature[key]) for key in FEATURES}
    except Exception as error:  # protobuf's own error type is not public
        raise DataFileError(f"{name}: must be a complete record of a dataset ({error})") from error


def _value(feature):
    (value,) = getattr(feature, feature.WhichOneof("kind")).value
    return value


def is_records(folder) -> bool:
    """Whether a folder contains shards, complete or not."""
    return any(SHARD_PATTERN.fullmatch(path.name) for path in place(folder).glob("*.tfrecord"))


def complete_shards(folder) -> list[Path]:
    """The shards of a folder in order; `DataFileError` if one is missing or of another dataset."""
    shards = sorted(path for path in folder.iterdir() if SHARD_PATTERN.fullmatch(path.name))
    totals = {int(SHARD_PATTERN.fullmatch(path.name)[2]) for path in shards}
    expected = [shard_name(i, total) for total in totals for i in range(total)]
    missing = sorted(set(expected) - {path.name for path in shards})
    if len(totals) != 1 or missing:
        raise DataFileError(
            f"{folder}: all shards of one dataset, {shard_name(0, 1)} and so on, must be there; "
            f"received {len(shards)}, of {sorted(totals)}, missing {missing[:3]}"
        )
    return shards


def scan(shard: Path):
    """Offset and length of each record's data; `DataFileError` if the last one is truncated."""
    size, offset = shard.stat().st_size, 0
    with shard.open("rb") as file:
        while offset < size:
            file.seek(offset)
            header = file.read(12)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size
            if offset + length + 16 > size:
                raise DataFileError(
                    f"{shard}: a shard must end with a complete record; the one at byte {offset} "
                    f"reaches beyond the file's {size} bytes"
                )
            yield offset + 12, length
            offset += length + 16
