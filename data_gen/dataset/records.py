"""A dataset of (defocused image, defocus map) as TFRecord shards: write beside read.

    dmenet-00003-of-00010.tfrecord, ..., dataset.json

An example is a dict: `image` uint8 [H, W, 3] RGB, `defocus` float32 [H, W] in [0, 1], and `name`,
`seed`, `index`, `focus_distance`, `alpha_px` (how it was made). A record holds the image and the
map as PNG bytes, the map in 16 bits in the encoding of `optics.ENCODINGS` that the record and
dataset.json name. Whatever the encoding, readers return `defocus` = sigma/7.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from data_gen import optics
from data_gen.dataset import folders, shards
from data_gen.dataset.manifest import MANIFEST, check_count, read_manifest
from data_gen.dataset.maps import check_pair, decode_map, encode_map
from data_gen.io.atomic import write_atomic
from data_gen.io.images import DataFileError, decode_stored, encode_png
from data_gen.sources.base import Source

# Earlier names, which `dmenet_tf.data.streams` still uses.
is_records = shards.is_records
open_folder, write_folder_example = folders.open_folder, folders.write_folder_example

# --- write ------------------------------------------------------------------------------------


def serialize(example: dict, encoding="paper") -> bytes:
    """An example -> the bytes of a record."""
    return shards.serialize(record_values(example, encoding))


def record_values(example: dict, encoding="paper") -> dict:
    """An example -> the values of a record, image and map as PNG bytes."""
    image, defocus = np.asarray(example["image"]), np.asarray(example["defocus"])
    if image.dtype != np.uint8 or image.shape != (*defocus.shape, 3):
        raise ValueError(
            "an example's image must be uint8 [H, W, 3] and its defocus [H, W]; received "
            f"{image.dtype} {list(image.shape)} and {list(defocus.shape)}"
        )
    return {
        "image": encode_png(image),
        "defocus_map": encode_png(encode_map(defocus, encoding)),
        "encoding": encoding.encode(),
        "name": example["name"].encode(),
        **{key: int(example[key]) for key in ("seed", "index")},
        **{key: float(example[key]) for key in ("focus_distance", "alpha_px")},
    }


def write_shard(path, examples, encoding="paper") -> int:
    """Writes one shard from an iterable of examples, atomically; returns how many there were."""
    records = [serialize(example, encoding) for example in examples]
    write_atomic(path, lambda temporary: shards.write_records(temporary, records))
    return len(records)


# --- read -------------------------------------------------------------------------------------


class RecordIndex(Source):
    """The examples of a folder of shards by number, with no order of reading imposed.

    Opening reads the records' lengths only. A flipped bit in an image or map is found by the
    checksums inside its PNG when it is read.

    Raises `DataFileError` naming the file: dataset.json missing, shards missing, a shard cut off,
    a count other than dataset.json's, a damaged record.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.manifest = read_manifest(folder)
        self.encoding = self.manifest["encoding"]
        self.files = shards.complete_shards(self.folder)
        self._places = [(file, *place) for file in self.files for place in shards.scan(file)]
        check_count(self.folder, self.manifest, len(self._places))

    def __len__(self):
        return len(self._places)

    def name(self, i) -> str:
        return self._values(i)[1]["name"].decode()

    def read(self, i):
        """-> image uint8 [H, W, 3], defocus float32 [H, W]."""
        example = self.example(i)
        return example["image"], example["defocus"]

    def example(self, i) -> dict:
        """The whole example, as it was written."""
        place, values = self._values(i)
        encoding = values.pop("encoding").decode(errors="replace")
        if encoding != self.encoding:
            raise DataFileError(
                f"{place}: a record's encoding must be that of {MANIFEST}, '{self.encoding}'; "
                f"received '{encoding}'"
            )
        image = decode_stored(values["image"], place)
        stored = decode_stored(values.pop("defocus_map"), place)
        values["image"], values["defocus"] = check_pair(
            image, decode_map(stored, encoding, place), place
        )
        return {**values, "name": values["name"].decode(errors="replace")}

    def _values(self, i):
        """The record's place, for errors, and its values as stored."""
        file, offset, length = self._places[i]
        place = f"{file}, record at byte {offset}"
        with open(file, "rb") as opened:
            opened.seek(offset)
            return place, shards.deserialize(opened.read(length), place)


open_records = RecordIndex


def read_records(folder) -> tf.data.Dataset:
    """All examples in order as {`image` [H, W, 3], `defocus` [H, W, 1]} float32 in [0, 1].

    Everything happens in the graph. TensorFlow checks each record's checksum, and names no file
    when one is wrong; `open_records(folder).read(i)` does.
    """
    records = RecordIndex(folder)
    # All stored values at once: the same numbers, bit for bit, as `decode_map` gives.
    stored_max = optics.ENCODINGS[records.encoding].stored_max
    table = decode_map(np.arange(stored_max + 1, dtype=np.uint16)[None], records.encoding, folder)

    def parse(record):
        example = tf.io.parse_single_example(record, shards.FEATURES)
        tf.debugging.assert_equal(example["encoding"], records.encoding)
        image = tf.io.decode_png(example["image"], channels=3)
        stored = tf.io.decode_png(example["defocus_map"], channels=1, dtype=tf.uint16)
        defocus = tf.gather(tf.constant(table[0]), tf.cast(stored, tf.int32))
        return {"image": tf.cast(image, tf.float32) / 255.0, "defocus": defocus}

    dataset = tf.data.TFRecordDataset([str(file) for file in records.files])
    return dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
