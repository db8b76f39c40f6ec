"""A dataset of (defocused image, defocus map) on disk: TFRecord shards, or the authors' folders.

An example is a dict: `image` uint8 [H, W, 3] RGB, `defocus` float32 [H, W] in [0, 1], and, for
records, `name`, `seed`, `index`, `focus_distance`, `alpha_px` (how it was made).

| layout  | files                                              | maps                           |
| ------- | -------------------------------------------------- | ------------------------------ |
| records | dmenet-00003-of-00010.tfrecord, dataset.json       | 16-bit PNG bytes in the record |
| folders | image/NAME.png, blur_map/NAME.png [, dataset.json] | 16 bits, three equal channels  |

Maps are stored in one of `optics.ENCODINGS`, named in each record and in dataset.json; whatever
the encoding, readers return `defocus` = sigma/7. dataset.json is written last: where it stands,
the dataset is complete.

Both readers have `len(x)`, `x.name(i)` and `x.read(i) -> (image uint8 [H, W, 3], defocus float32
[H, W])`, as RGB-D sources have; in tf.data:
`tf.numpy_function(x.read, [i], (tf.uint8, tf.float32))`.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_gen import optics
from data_gen.dataset import encoding_detection, shards
from data_gen.dataset.shards import is_records as is_records
from data_gen.dataset.shards import shard_name as shard_name
from data_gen.io.images import (
    DataFileError,
    decode_stored,
    encode_png,
    list_images,
    natural_key,
    read_bytes,
    read_rgb,
    read_stored,
    single_channel,
    write_atomic,
    write_png,
)
from data_gen.sources.base import Source

VERSION = 1
MANIFEST = "dataset.json"
# Enough maps to tell the encodings apart; every later read still checks its own map.
MAPS_FOR_GUESS = 100

# --- maps in an encoding -----------------------------------------------------------------------


def encode_map(defocus, encoding: str) -> np.ndarray:
    """`defocus` in [0, 1] -> uint16 as stored."""
    return optics.ENCODINGS[encoding].encode(optics.defocus_to_sigma(np.asarray(defocus)))


def decode_map(stored, encoding: str, name) -> np.ndarray:
    """Stored integers -> `defocus` float32; `DataFileError` naming the file if one is too large."""
    if stored.dtype.kind != "u":
        raise DataFileError(f"{name}: a map must hold integers; received {stored.dtype}")
    try:
        sigma_px = optics.ENCODINGS[encoding].decode(single_channel(stored, name))
    except ValueError as error:
        raise DataFileError(f"{name}: {error}") from error
    return optics.sigma_to_defocus(sigma_px)


def _check_pair(image, defocus, name):
    if image.shape[:2] != defocus.shape:
        raise DataFileError(
            f"{name}: image and map must have the same size; "
            f"received {list(image.shape[:2])} and {list(defocus.shape)}"
        )
    return image, defocus


# --- the manifest ------------------------------------------------------------------------------


def write_manifest(folder, encoding: str, count: int, **about):
    """Declares a dataset complete; `about`: anything else worth keeping, as the seed."""
    text = manifest_text(encoding, count, **about)
    write_atomic(Path(folder) / MANIFEST, lambda temporary: temporary.write_text(text, "utf-8"))


def manifest_text(encoding: str, count: int, **about) -> str:
    """The text of dataset.json."""
    optics.ENCODINGS[encoding]  # an unknown name must not get into a manifest
    manifest = {"version": VERSION, "encoding": encoding, "count": count, **about}
    return json.dumps(manifest, indent=2) + "\n"


def read_manifest(folder) -> dict:
    """dataset.json of a folder; `DataFileError` where it is missing or not of this version."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(read_bytes(path))
        known = manifest["version"] == VERSION and manifest["encoding"] in optics.ENCODINGS
        known = known and isinstance(manifest["count"], int)
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(
            f"{path}: a dataset must have a valid {MANIFEST}, written when it is complete ({error})"
        ) from error
    if not known:
        raise DataFileError(
            f"{path}: version must be {VERSION}, encoding one of {', '.join(optics.ENCODINGS)}, "
            f"count an integer; received {manifest}"
        )
    return manifest


# --- TFRecord shards: write --------------------------------------------------------------------


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


# --- TFRecord shards: read ---------------------------------------------------------------------


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
        _check_count(self.folder, self.manifest, len(self._places))

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
        values["image"], values["defocus"] = _check_pair(
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


def _check_count(folder, manifest, count):
    if count != manifest["count"]:
        raise DataFileError(
            f"{folder}: must hold the {manifest['count']} examples that {MANIFEST} states; "
            f"received {count}"
        )


# --- the authors' folders ----------------------------------------------------------------------


def write_folder_example(root, name: str, image, sigma_px, encoding="paper"):
    """Writes image/NAME.png (uint8 [H, W, 3]) and blur_map/NAME.png (sigma_px [H, W], 0..7 px)."""
    if Path(name).name != name:
        raise ValueError(f"an example's name must be a plain file name; received {name!r}")
    for path, array in folder_files(name, image, sigma_px, encoding).items():
        write_png(Path(root) / path, array)


def folder_files(name: str, image, sigma_px, encoding="paper") -> dict:
    """The arrays of an example's two files by path: the map [H, W, 3] uint16, then the image."""
    stored = optics.ENCODINGS[encoding].encode(sigma_px)
    return {
        f"blur_map/{name}.png": np.stack([stored] * 3, axis=-1),
        f"image/{name}.png": image,
    }


class FolderExamples(Source):
    """image/* with blur_map/* by number; see `open_folder`."""

    def __init__(self, pairs: list[tuple[Path, Path]], encoding: str):
        self.pairs, self.encoding = pairs, encoding

    def __len__(self):
        return len(self.pairs)

    def name(self, i) -> str:
        return self.pairs[i][0].stem

    def read(self, i):
        """-> image uint8 [H, W, 3], defocus float32 [H, W]."""
        image, blur_map = self.pairs[i]
        defocus = decode_map(read_stored(blur_map), self.encoding, blur_map)
        return _check_pair(read_rgb(image), defocus, f"{image}, {blur_map}")


def open_folder(root, encoding="auto") -> FolderExamples:
    """Opens the authors' layout, root/image/* with root/blur_map/* of the same stems.

    Args:
        encoding: a key of `optics.ENCODINGS`; or 'auto': what dataset.json says, and without one
            what the values of up to 100 maps tell (`encoding_detection.py`), else an error.
    Raises:
        DataFileError: naming the file: no such folder, empty, an image or map alone, not as many
            as dataset.json states, an encoding that the values do not tell.
    """
    if encoding not in ("auto", *optics.ENCODINGS):
        raise ValueError(
            f"encoding must be auto or one of {', '.join(optics.ENCODINGS)}; received {encoding!r}"
        )
    root = Path(root)
    images = {path.stem: path for path in list_images(root / "image")}
    maps = {path.stem: path for path in list_images(root / "blur_map")}
    for stem in sorted(images.keys() ^ maps.keys(), key=natural_key):
        path, lacks = (images[stem], "blur_map") if stem in images else (maps[stem], "image")
        raise DataFileError(
            f"{path}: must have its partner {root / lacks / stem}.png; there is none"
        )
    pairs = [(path, maps[stem]) for stem, path in images.items()]
    if (root / MANIFEST).exists():
        manifest = read_manifest(root)
        _check_count(root, manifest, len(pairs))
        if encoding not in ("auto", manifest["encoding"]):
            raise DataFileError(
                f"{root / MANIFEST}: encoding must be 'auto' or what this file states, "
                f"'{manifest['encoding']}'; received '{encoding}'"
            )
        encoding = manifest["encoding"]
    if encoding == "auto":
        encoding = _guess_encoding(root, list(maps.values()))
    return FolderExamples(pairs, encoding)


def _guess_encoding(root, maps) -> str:
    sample = maps[:: -(-len(maps) // MAPS_FOR_GUESS)]
    bounds = [(int(m.min()), int(m.max())) for m in map(read_stored, sample)]
    encoding, reason = encoding_detection.tell(bounds)
    if encoding is None:
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        raise DataFileError(
            f"{root}: the encoding of the maps must be named, or told by {MANIFEST} or by their "
            f"values; received values from {low} to {high} and no {MANIFEST} ({reason})"
        )
    return encoding
