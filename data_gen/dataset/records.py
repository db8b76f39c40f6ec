"""A dataset of (defocused image, defocus map) as TFRecord shards: write beside read.

    dmenet-00003-of-00010.tfrecord, ..., dataset.json

An example is a dict: `image` uint8 [H, W, 3] RGB, `defocus` float32 [H, W] in [0, 1], and `name`,
`seed`, `index`, `focus_distance`, `alpha_px` (how it was made). A record holds the image and the
map as PNG bytes, the map in 16 bits in the encoding of `optics.ENCODINGS` that the record and
dataset.json name. Whatever the encoding, readers return `defocus` = sigma/7.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_gen import optics
from data_gen.dataset import shards
from data_gen.dataset.manifest import MANIFEST, check_count, read_manifest
from data_gen.dataset.maps import check_pair, decode_map, encode_map
from data_gen.io.atomic import write_atomic
from data_gen.io.errors import DataFileError
from data_gen.io.images import decode_stored, encode_png
from data_gen.io.parallel import ordered
from data_gen.io.remote import place
from data_gen.sources.base import Source

# Records that are shuffled together, encoded; fewer where they are large (`window_in_memory`).
WINDOW, WINDOW_MIN, WINDOW_BYTES = 256, 16, 128 * 2**20

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
    """The examples of a folder of shards, or of a URL, by number, for random access.

    Opening reads the records' lengths only. A flipped bit in an image or map is found by the
    checksums inside its PNG when it is read.

    Raises `DataFileError` naming the file: dataset.json missing, shards missing, a shard cut off,
    a count other than dataset.json's, a damaged record.
    """

    def __init__(self, folder):
        self.folder = place(folder)
        self.manifest = read_manifest(folder)
        self.encoding = self.manifest["encoding"]
        self.files = shards.complete_shards(self.folder)
        self._places = [(file, *place) for file in self.files for place in shards.scan(file)]
        check_count(self.folder, self.manifest, len(self._places))

    def __len__(self):
        return len(self._places)

    def records_per_shard(self) -> dict[Path, int]:
        """{shard: number of its records}, in the order of the shards; some may be empty."""
        held = Counter(file for file, *_ in self._places)
        return {file: held[file] for file in self.files}

    @property
    def size_bytes(self) -> int:
        """Size of all records, encoded."""
        return sum(length for _, _, length in self._places)

    def name(self, i) -> str:
        return self._values(i)[1]["name"].decode()

    def read(self, i):
        """-> image uint8 [H, W, 3], defocus float32 [H, W]."""
        example = self.example(i)
        return example["image"], example["defocus"]

    def example(self, i) -> dict:
        """The complete example, as it was written."""
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
        """The place of the record, for errors, and its stored values."""
        file, offset, length = self._places[i]
        place = f"{file}, record at byte {offset}"
        with file.open("rb") as opened:
            opened.seek(offset)
            return place, shards.deserialize(opened.read(length), place)


open_records = RecordIndex


# --- read through tf.data, in the graph ----------------------------------------------------------


def read_records(folder) -> tf.data.Dataset:
    """All examples in order as {`image` [H, W, 3], `defocus` [H, W, 1]} float32 in [0, 1].

    Runs entirely in the graph. TensorFlow verifies each record's checksum but names no file when it
    is wrong; `open_records(folder).read(i)` does.
    """
    dataset = RecordIndex(folder)
    parse = _parser([dataset.encoding])
    records = tf.data.TFRecordDataset([str(file) for file in dataset.files])
    return records.map(
        lambda record: parse(record, 0), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def window_in_memory(datasets: Sequence[RecordIndex]) -> int:
    """A `window` for `shuffled_records`: 256 records, or as many as 128 MB hold; at least 16."""
    records, size = sum(map(len, datasets)), sum(dataset.size_bytes for dataset in datasets)
    return max(WINDOW_MIN, min(WINDOW, WINDOW_BYTES * records // max(1, size)))


def shuffled_records(
    datasets: Sequence[RecordIndex],
    seed: int,
    start: int = 0,
    counts: Sequence[int] | None = None,
    cycle: int = 8,
    window: int = WINDOW,
    keep: Callable | None = None,
) -> tf.data.Dataset:
    """The examples of datasets in an endless, shuffled order, read entirely in the graph.

    The order is a pure function of `seed`: example number n of the stream is the same wherever the
    stream starts. Numbers e*N .. (e+1)*N - 1 are epoch e, in which each of the N records occurs
    once. An epoch has its own order of shards; `cycle` shards are read at a time, one record from
    each in turn, and every `window` consecutive records of the result are shuffled. So neighbours
    in a shard end up apart, and `window` encoded records are in memory.

    A start in the middle of an epoch reads the records before it in that epoch, without decoding
    them.

    Args:
        datasets: opened folders, of one encoding or of several.
        seed: 0 .. 2^31 - 1.
        start: number of the first example; step * batch size continues a training run.
        counts: number of records to use from the beginning of each dataset, the rest being held
            out; None: all of them.
        cycle, window: see above; other values give another order.
        keep: number of an example, a tensor -> whether it is decoded and given; None: all are.
    Returns:
        {`image` [H, W, 3], `defocus` [H, W, 1]} float32 in [0, 1], and `number`, int64: that of
        the example in the stream, for the seeds of crops and flips. So a stream of batches is

            stream = shuffled_records(datasets, seed, start * batch)
            stream.map(cut, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(batch)

        with cut(example) = `augment.fit_to_crop(..., values="scaled")`, then
        `augment.random_crop` and `augment.random_flip_turn` by `fold(key, purpose, number)`.
    Raises:
        ValueError: no records at all, or a count above the number of records.
    """
    encodings = sorted({dataset.encoding for dataset in datasets})
    files, takes, schemes = _shards_to_read(datasets, counts, encodings)
    total, parse = sum(takes), _parser(encodings)
    if not total:
        raise ValueError("a stream of records must have at least one; received none")
    files, schemes = tf.constant(files), tf.constant(schemes)
    takes = tf.constant(takes, tf.int64)

    def records_of(shard):
        records = tf.data.TFRecordDataset(files[shard]).take(takes[shard])
        return records.map(lambda record: (record, schemes[shard]))

    def epoch(number):
        key = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int32), number)
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(files)), key)

        def shuffled(place, window_of):
            # Window 0 must not be shuffled by the key that shuffled the shards.
            window_key = tf.random.experimental.stateless_fold_in(key, place + 1)
            order = tf.random.experimental.stateless_shuffle(
                tf.range(tf.size(window_of[0])), window_key
            )
            return tf.data.Dataset.from_tensor_slices(
                tuple(tf.gather(values, order) for values in window_of)
            )

        shards_in_turn = tf.data.Dataset.from_tensor_slices(order).interleave(
            records_of, cycle, 1, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return shards_in_turn.batch(window).enumerate().flat_map(shuffled)

    first_epoch, within = divmod(start, total)
    stream = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch).skip(within)
    stream = stream.enumerate(start)
    if keep is not None:
        stream = stream.filter(lambda number, _: keep(number))
    return stream.map(
        lambda number, record: {**parse(*record), "number": number},
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def find_damaged(datasets: Sequence[RecordIndex], counts: Sequence[int]) -> None:
    """Raises the first `DataFileError` of the first `counts` records of each dataset, if any.

    TensorFlow's errors within `shuffled_records` name neither the shard nor the record.
    """
    for dataset in datasets:
        for file in dataset.files:
            try:
                for _ in tf.data.TFRecordDataset(str(file)):
                    pass
            except tf.errors.OpError as error:
                raise DataFileError(
                    f"{file}: all records must match their checksums ({error.message})"
                ) from error
    for dataset, count in zip(datasets, counts, strict=True):
        for _ in ordered(lambda i, dataset=dataset: bool(dataset.read(i)), count):
            pass


def _shards_to_read(datasets, counts, encodings):
    """(file, number of its records to take, place of its encoding) of every shard with any."""
    counts = [len(dataset) for dataset in datasets] if counts is None else list(counts)
    shards_to_read = []
    for dataset, left in zip(datasets, counts, strict=True):
        if not 0 <= left <= len(dataset):
            raise ValueError(
                f"{dataset.folder}: a count must lie in 0 .. {len(dataset)}; received {left}"
            )
        for file, records in dataset.records_per_shard().items():
            if take := min(records, left):
                shards_to_read.append((str(file), take, encodings.index(dataset.encoding)))
            left -= take
    files, takes, schemes = zip(*shards_to_read, strict=True) if shards_to_read else ((), (), ())
    return files, takes, schemes


def _parser(encodings: Sequence[str]) -> Callable:
    """A graph function (record, place of its encoding in `encodings`) -> image and defocus."""
    top = max(optics.ENCODINGS[encoding].stored_max for encoding in encodings)
    tables = np.zeros((len(encodings), top + 1), np.float32)
    stored_max = [optics.ENCODINGS[encoding].stored_max for encoding in encodings]
    for table, encoding, largest in zip(tables, encodings, stored_max, strict=True):
        # All stored values at once: the same numbers, bit for bit, as `decode_map` gives.
        stored = np.arange(largest + 1, dtype=np.uint16)[None]
        table[: largest + 1] = decode_map(stored, encoding, encoding)[0]

    def parse(record, scheme):
        example = tf.io.parse_single_example(record, shards.FEATURES)
        tf.debugging.assert_equal(example["encoding"], tf.constant(encodings)[scheme])
        image = tf.io.decode_png(example["image"], channels=3)
        stored = tf.io.decode_png(example["defocus_map"], channels=1, dtype=tf.uint16)
        stored = tf.cast(stored, tf.int32)
        tf.debugging.assert_less_equal(stored, tf.constant(stored_max)[scheme])
        defocus = tf.gather(tf.constant(tables)[scheme], stored)
        return {"image": tf.cast(image, tf.float32) / 255.0, "defocus": defocus}

    return parse
