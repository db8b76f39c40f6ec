"""Example number `index` of a dataset: rendered, encoded and described, with reproducible bytes.

All writers of datasets (one process, several, or a cluster) go through `Generator`. The same
parameters, source, library versions and type of CPU give the same bytes for any number of processes
and threads: each example is computed independently.
"""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from data_gen import optics, pipeline
from data_gen.dataset import folders, records, shards
from data_gen.generation.parameters import DatasetParameters
from data_gen.io import parallel
from data_gen.io.images import encode_png
from data_gen.io.pixels import to_uint8
from data_gen.sources.base import Cached, Resized, Source, origin

# Cache of decoded scenes per process. Each epoch reads every scene once: a small source should fit
# completely; a large one needs a read per example with any cache.
CACHE_BYTES = 512 * 2**20
MAX_PIXELS = 64 * 10**6


# Parameters of the dataset that have no effect on a single image.
_OF_THE_WHOLE = ("count", "layout", "shard_size")


@dataclass(frozen=True)
class Encoded:
    """An example, encoded for writing.

    `parts`: the record ("records") or the two PNG files by path ("folders", the map first).
    `about`: how it was made, for its line of the manifest.
    """

    index: int
    parts: dict
    about: dict

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(map(len, self.parts.values()))


class Generator:
    """The examples of a dataset by index.

    Args:
        source: RGB-D scenes.
        parameters: those of the dataset.
        threads: number of examples that `encoded_all` computes at a time.
    Raises (when an example is computed):
        DataFileError: a scene cannot be read or used; the message names it.
        MemoryError: a scene is too large for this machine.
    """

    def __init__(self, source: Source, parameters: DatasetParameters, threads: int = 1):
        self.source, self.parameters, self.threads = source, parameters, threads
        resized = Resized(source, parameters.crop or 1, max_pixels=MAX_PIXELS)
        self._scenes = Cached(resized, max_bytes=CACHE_BYTES)
        self._draw = tf.function(self._drawn, input_signature=[tf.TensorSpec([], tf.int64)])

    def _drawn(self, index):
        p = self.parameters
        # A GPU would round differently from a CPU.
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
            # TensorFlow turns an exception of a source into text.
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
        """The examples of `indices`, in order, `threads` of them at a time."""
        if self.threads == 1:
            yield from map(self.encoded, indices)
            return
        with parallel.threads(self.threads) as pool:
            yield from pool.map(self.encoded, indices)


def _number(value) -> float:
    """The shortest decimal that rounds to this float32."""
    return float(str(np.float32(value)))
