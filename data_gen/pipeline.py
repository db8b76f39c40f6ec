"""Defocused examples out of RGB-D scenes, through tf.data.

An example is a pure function of (seed, index): a scene of the source, a lens sampled from its
whole depth map, a crop with its margin, the renderer, a flip and a turn. So resume is exact,
sharding is a stride over indices, and a failure can be replayed.

Scenes come from a `data_gen.sources.base.Source` whose plane is depth.
"""

import numpy as np
import tensorflow as tf

from data_gen import augment
from data_gen.rendering import compositing, light
from data_gen.rendering.layers import LayerBounds, layer_bounds
from data_gen.rendering.lens import LENS_SAMPLERS, Lens
from data_gen.rendering.options import PLAIN, Realism
from data_gen.scenes.composition import make_scene
from data_gen.sources.base import Cached, Resized, Source

# One stream of random numbers per purpose, so that adding a draw to one never shifts another.
ORDER, LENS, CROP, TURN, NOISE = range(5)


class ProceduralScenes(Source):
    """The built-in default source: `count` scenes, each a pure function of (seed, index).

    `read(i) -> (image uint8 [H, W, 3], depth float32 [H, W] > 0)`.
    """

    def __init__(self, seed: int, count: int, height: int, width: int):
        self.seed, self.count, self.height, self.width = seed, count, height, width

    def __len__(self):
        return self.count

    def name(self, index):
        return f"procedural-{self.seed}-{index:06d}"

    def read(self, index):
        return make_scene(self.seed, index, self.height, self.width)


def fitted(source: Source, crop: int, cache: int, values="kept") -> Cached:
    """A source resized to what a crop needs (`base.Resized`), its last `cache` items kept."""
    return Cached(Resized(source, crop, values), max_items=cache)


def fold(seed: tf.Tensor, *numbers) -> tf.Tensor:
    """A new seed out of a seed int32 [2] and integers, each combination its own stream."""
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int32))
    return seed


def read_pair(source, index: tf.Tensor):
    """`source.read` as a graph operation: image float32 [H, W, 3] in [0, 1], plane [H, W]."""
    image, plane = tf.numpy_function(
        lambda i: source.read(int(i)), [index], (tf.uint8, tf.float32), stateful=False
    )
    image.set_shape([None, None, 3])
    plane.set_shape([None, None])
    return tf.cast(image, tf.float32) / 255.0, plane


class Rendered(Source):
    """`count` examples of RGB-D scenes as ready-made pairs, uncropped, with one lens per example.

    `read(i) -> (image uint8 [H, W, 3], defocus float32 [H, W])`, a pure function of (seed, i).
    Rendered on the processor, where other threads read and a GPU trains (see `io/resizing.py`).
    """

    def __init__(self, source, seed: int, count: int, sampler="paper", realism: Realism = PLAIN):
        self.source, self.key, self.count = source, (seed, 0), count
        key = tf.constant(self.key, tf.int32)
        self._example = tf.function(lambda index: example(key, index, source, 0, sampler, realism))

    def __len__(self):
        return self.count

    def name(self, index):
        return f"rendered-{index:06d}"

    def read(self, index):
        with tf.device("CPU:0"):
            drawn = self._example(tf.constant(index, tf.int64))
        image = np.rint(drawn["image"].numpy() * np.float32(255.0)).astype(np.uint8)
        return image, drawn["defocus"].numpy()[..., 0]


def example(
    seed: tf.Tensor, index, source, crop: int, sampler="paper", realism: Realism = PLAIN
) -> dict:
    """One training example.

    Args:
        seed: int32 [2].
        index: integer scalar, any size: running number of the example.
        source: scenes at least `crop` on their short side (see `fitted`).
        crop: side of the square in pixels; 0 for the whole scene, neither flipped nor turned.
        sampler: a key of `lens.LENS_SAMPLERS`.
        realism: aperture, light, filling and noise of the rendering.
    Returns:
        {`image` [S, S, 3], `defocus` [S, S, 1]} float32 in [0, 1], `scene` int64,
        `focus_distance`, `alpha_px`, `near` and `far` (bounds of the scene's depth) float32,
        `layers` int32 (number of layers that the renderer splits the depth range into).
    """
    scene = augment.epoch_index(fold(seed, ORDER), index, len(source))
    image, depth = read_pair(source, scene)
    near, far = tf.reduce_min(depth), tf.reduce_max(depth)
    lens, layers = drawn_lens(seed, index, near, far, sampler)
    window = None
    if crop:
        corner = augment.crop_corner(fold(seed, CROP, index), tf.shape(depth), crop)
        window = (corner[0], corner[1], crop, crop)
    image, defocus = compositing.render(image, depth, lens, window, realism, layers)
    image = light.add_sensor_noise(fold(seed, NOISE, index), image, realism)
    if crop:
        image.set_shape([crop, crop, 3])
        defocus.set_shape([crop, crop, 1])
        image, defocus = augment.random_flip_turn(fold(seed, TURN, index), image, defocus)
    return {
        "image": image,
        "defocus": defocus,
        "scene": scene,
        "focus_distance": lens.focus_distance,
        "alpha_px": lens.alpha_px,
        "near": near,
        "far": far,
        "layers": layers.count,
    }


def drawn_lens(seed: tf.Tensor, index, near, far, sampler) -> tuple[Lens, LayerBounds]:
    """The lens of an example, and its layers, where the whole scene lies between near and far."""
    lens = LENS_SAMPLERS[sampler](fold(seed, LENS, index), near, far)
    return lens, layer_bounds(lens, near, far)


def examples(
    seed: int, indices, source, crop: int, sampler="paper", realism: Realism = PLAIN
) -> tf.data.Dataset:
    """The examples of `indices`, an int64 dataset or array, computed on the fly and in order."""
    key = tf.constant([seed, 0], tf.int32)
    if not isinstance(indices, tf.data.Dataset):
        indices = tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))
    return indices.map(
        lambda index: example(key, index, source, crop, sampler, realism),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
