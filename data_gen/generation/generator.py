"""Example number `index` of a dataset: drawn, encoded and described, the same bytes anywhere.

Everything that makes datasets, in one process, in many or on a cluster, goes through `Generator`.
Bytes are equal for equal parameters, sources, library versions and kind of processor, whatever
the number of processes and threads: each example is computed on its own.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from data_gen import optics, pipeline
from data_gen.dataset import folders, records, shards
from data_gen.generation.parameters import DatasetParameters
from data_gen.io.images import encode_png
from data_gen.io.pixels import to_uint8
from data_gen.sources.base import Cached, Resized, Source, origin

# Decoded scenes kept by a process. Each epoch reads every scene once, so that a small source
# should fit as a whole; a large one costs a read for each example whatever is kept.
CACHE_BYTES = 512 * 2**20
MAX_PIXELS = 64 * 10**6


# Parameters of the dataset as a whole, which say nothing about a single image.
_OF_THE_WHOLE = ("count", "layout", "shard_size")


@dataclass(frozen=True)
class Encoded:
    """An example as it is written.

    `parts`: the record ("records") or the two PNG files by path ("folders", the map first).
    `about`: how it was made, for its line of the manifest.
    """

    index: int
    parts: dict
    about: dict

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(map(len, self.parts.values()))


class Generator:
    """The examples of a dataset by index.

    Args:
        source: RGB-D scenes.
        parameters: the dataset's.
        threads: how many examples `encoded_all` makes at a time.
    Raises (where an example is made):
        DataFileError: a scene cannot be read or used; names it.
        MemoryError: a scene is too large for this machine.
    """

    def __init__(self, source: Source, parameters: DatasetParameters, threads: int = 1):
        self.source, self.parameters, self.threads = source, parameters, threads
        resized = Resized(source, parameters.crop or 1, max_pixels=MAX_PIXELS)
        self._scenes = Cached(resized, max_bytes=CACHE_BYTES)
        self._draw = tf.function(self._drawn, input_signature=[tf.TensorSpec([], tf.int64)])

    def _drawn(self, index):
        p = self.parameters
        # Without the device, a machine's GPU would round otherwise than its processor.
        with tf.device("CPU:0"):
            key = tf.constant([p.seed, 0], tf.int32)
            return pipeline.example(key, index, self._scenes, p.crop, p.sampler, p.realism)

    def drawn(self, index: int) -> dict:
        """`pipeline.example` as arrays."""
        try:
            example = self._draw(tf.constant(index, tf.int64))
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(
                f"image {index}: its scene must fit into memory; received {error.message}"
            ) from error
        except tf.errors.OpError as error:
            # TensorFlow wraps what a source raised into text of its own.
            if self._scenes.error is not None:
                raise self._scenes.error from error
            raise
        return {key: value.numpy() for key, value in example.items()}

    def encoded(self, index: int) -> Encoded:
        """Example number `index`."""
        drawn, p = self.drawn(index), self.parameters
        example = {
            "image": to_uint8(drawn["image"]),
            "defocus": drawn["defocus"][..., 0],
            "name": self.source.name(int(drawn["scene"])),
            "seed": p.seed,
            "index": index,
            "focus_distance": drawn["focus_distance"],
            "alpha_px": drawn["alpha_px"],
        }
        name = f"{index:06d}"
        if p.layout == "records":
            values = records.record_values(example, p.encoding)
            parts = {"record": shards.serialize(values)}
            stored = values["defocus_map"], values["image"]
        else:
            sigma_px = optics.defocus_to_sigma(example["defocus"])
            arrays = folders.folder_files(name, example["image"], sigma_px, p.encoding)
            parts = {path: encode_png(array) for path, array in arrays.items()}
            stored = tuple(parts.values())
        return Encoded(index, parts, self._about(name, drawn, *stored))

    def _about(self, name, drawn, defocus_map: bytes, image: bytes) -> dict:
        scene = int(drawn["scene"])
        made = {k: v for k, v in asdict(self.parameters).items() if k not in _OF_THE_WHOLE}
        return {
            "name": name,
            "scene": self.source.name(scene),
            "source": origin(self.source, scene),
            **made,
            "height": drawn["image"].shape[0],
            "width": drawn["image"].shape[1],
            **{key: _number(drawn[key]) for key in ("focus_distance", "alpha_px", "near", "far")},
            "layers": int(drawn["layers"]),
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "map_sha256": hashlib.sha256(defocus_map).hexdigest(),
        }

    def encoded_all(self, indices):
        """The examples of `indices`, in order, `threads` of them made at a time."""
        if self.threads == 1:
            yield from map(self.encoded, indices)
            return
        pool = ThreadPoolExecutor(self.threads)
        try:
            yield from pool.map(self.encoded, indices)
        finally:
            pool.shutdown(cancel_futures=True)


def _number(value) -> float:
    """The shortest decimal that is this float32."""
    return float(str(np.float32(value)))
