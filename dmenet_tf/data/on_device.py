"""Batches made where the training runs: photos cut and scenes rendered by the device itself.

The pipeline of the host only draws numbers, the same ones as `streams.py`: which item, where to
cut, which lens. From these, the step's own graph makes the images of all examples at once, out of
what lies in the device's memory (`resident.py`, `rendering/batched.py`). So a batch equals that of
`streams.training_batches` but for rounding, for JPEG (`jpeg.py`), for the grain of noise, which is
one draw for a batch, and for records, which come in the order of folders.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from data_gen import augment, pipeline
from data_gen.rendering import batched, light
from data_gen.rendering.apertures import RADIUS
from data_gen.rendering.layers import LayerBounds
from data_gen.rendering.lens import LENS_SAMPLERS, Lens
from dmenet_tf.config import DataConfig
from dmenet_tf.data import degradation
from dmenet_tf.data import streams as datasets
from dmenet_tf.data.resident import Resident
from dmenet_tf.data.sources import Streams, rendered_side

DRAWN = "drawn"


class OnDevice:
    """The streams in the device's memory; `drawn` gives what `batch` makes batches of."""

    def __init__(
        self,
        streams: Streams,
        config: DataConfig,
        unlabelled: bool = True,
        progress: Callable = lambda items, **_: items,
    ):
        """Reads all items; errors as of `Resident`.

        unlabelled: whether there are unlabelled photos in it; without D nothing reads them.
        progress: `progress(items, desc=...)` wraps the iterable of items, as tqdm does.
        """
        self._config, self._ready = config, streams.synthetic.ready
        if not self._ready:
            batched.check(config.realism)
        self._residents = {
            name: Resident(source, partial(progress, desc=f"reading {name} images"))
            for name, source in (
                ("synthetic", streams.synthetic.source),
                ("labelled", streams.labelled),
                *((("unlabelled", streams.unlabelled),) if unlabelled else ()),
            )
        }

    def drawn(self, seed: int, start: int = 0) -> tf.data.Dataset:
        """One nest of numbers a step, from step `start` on, without end."""
        config = self._config
        domains = {
            "synthetic": (datasets.SYNTHETIC, self._draw_pair if self._ready else self._draw_scene),
            "labelled": (datasets.LABELLED, self._draw_photo),
            "unlabelled": (datasets.UNLABELLED, self._draw_photo),
        }

        def example(number):
            return {
                name: draw(name, tf.constant([seed, domain], tf.int32), number)
                for name, (domain, draw) in domains.items()
                if name in self._residents
            }

        numbers = tf.data.Dataset.range(start * config.batch, tf.int64.max)
        examples = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        drawn = examples.batch(config.batch, True).map(lambda numbers: {DRAWN: numbers})
        return drawn.prefetch(tf.data.AUTOTUNE)

    def batch(self, drawn: dict) -> dict:
        """The batch of an element of `drawn`, with the keys of `training_batches`."""
        numbers = drawn[DRAWN]
        make = self._pairs if self._ready else self._rendered
        image, defocus = make(numbers["synthetic"])
        image = self._degraded(numbers["synthetic"], image)
        batch = {"synthetic": image, "defocus": defocus}
        batch["labelled"], batch["blurred"] = self._photos("labelled", numbers["labelled"])
        if "unlabelled" in numbers:
            batch["unlabelled"] = self._photos("unlabelled", numbers["unlabelled"])[0]
        return batch

    # --- what is drawn, of one example ---------------------------------------------------------

    def _draw_place(self, name, key, index, scale) -> dict:
        item, drawn = self._draw_item(name, key, index)
        size = tf.gather(self._residents[name].sizes, item)
        corner, side = datasets.place(key, index, size, self._config.crop, scale)
        return drawn | {"corner": corner, "side": side}

    def _draw_item(self, name, key, index) -> tuple[tf.Tensor, dict]:
        """Which item, and what is drawn of any: it and how its crop is turned."""
        order = pipeline.fold(key, pipeline.ORDER)
        item = augment.epoch_index(order, index, len(self._residents[name]))
        return item, {
            "item": tf.cast(item, tf.int32),
            "symmetry": augment.symmetry(pipeline.fold(key, pipeline.TURN, index)),
        }

    def _draw_photo(self, name, key, index) -> dict:
        return self._draw_place(name, key, index, datasets.photo_scale(self._config))

    def _draw_pair(self, name, key, index) -> dict:
        scale = datasets.synthetic_scale(self._config)
        return self._draw_place(name, key, index, scale) | self._draw_degradation(key, index)

    def _draw_scene(self, name, key, index) -> dict:
        config, resident = self._config, self._residents[name]
        side = rendered_side(config)
        item, drawn = self._draw_item(name, key, index)
        near, far = tf.unstack(tf.gather(resident.ranges, item))
        lens, layers = pipeline.drawn_lens(key, index, near, far, config.sampler)
        size = tf.gather(resident.sizes, item)
        drawn |= {
            "corner": augment.crop_corner(pipeline.fold(key, pipeline.CROP, index), size, side),
            "focus_distance": lens.focus_distance,
            "alpha_px": lens.alpha_px,
            "layers": layers,
            "noise": pipeline.fold(key, pipeline.NOISE, index),
        }
        if config.disc_share:
            drawn["disc"] = datasets.with_disc(key, index, config)
        scale = datasets.synthetic_scale(config)
        if scale is not None:
            of_rendered = tf.constant([side, side])
            place = datasets.place_in_rendered(key, index, of_rendered, config.crop, scale)
            drawn["inner_corner"], drawn["inner_side"] = place
        return drawn | self._draw_degradation(key, index)

    def _draw_degradation(self, key, index) -> dict:
        config, seed = self._config, pipeline.fold(key, datasets.DEGRADATION, index)
        return {
            "amounts": degradation.drawn(seed, config.exposure, config.noise, config.jpeg_quality)
        }

    # --- what is made of it, of all examples at once -------------------------------------------

    def _photos(self, name, numbers):
        low, _ = self._config.photo_side
        most = self._config.crop
        if low:  # the side of the largest square that is reduced to a crop
            sizes = self._residents[name].sizes
            sides = np.rint(self._config.crop * sizes.max(axis=1) / low)
            most = int(np.clip(sides, self._config.crop, sizes.min(axis=1)).max())
        return self._cut(name, numbers, most, "kept")

    def _pairs(self, numbers):
        sides = self._residents["synthetic"].sizes.min(axis=1)
        most = min(rendered_side(self._config), int(sides.max()))
        return self._cut("synthetic", numbers, most, "scaled")

    def _cut(self, name, numbers, most: int, values):
        """Squares of up to `most` px, reduced to crops and turned: (image, plane)."""
        crop, resident, item = self._config.crop, self._residents[name], numbers["item"]
        top, left = numbers["corner"][:, :1], numbers["corner"][:, 1:]
        along = tf.range(most)
        image = resident.image(item, top + along, left + along)
        if most == crop:
            plane = resident.plane(item, top + along, left + along)[..., None]
        else:
            image = reduced(image, numbers["side"], crop)
            nearest = nearest_places(numbers["side"], crop)
            plane = resident.plane(item, top + nearest, left + nearest)[..., None]
            if values == "scaled":
                plane = _scaled(plane, numbers["side"], crop)
        return tuple(augment.turned(numbers["symmetry"], x) for x in (image, plane))

    def _rendered(self, numbers):
        config, resident = self._config, self._residents["synthetic"]
        side = rendered_side(config)
        along = tf.range(batched.side_needed(side)) - RADIUS
        top, left = numbers["corner"][:, :1], numbers["corner"][:, 1:]
        place = numbers["item"], top + along, left + along
        # The diameter that counts as sharp is the sampler's, whatever it is given.
        sharp_coc_px = LENS_SAMPLERS[config.sampler](tf.zeros([2], tf.int32), 1.0, 2.0).sharp_coc_px
        lens = Lens(numbers["focus_distance"], numbers["alpha_px"], sharp_coc_px)
        image, defocus = batched.render(
            resident.image(*place),
            resident.plane(*place),
            lens,
            LayerBounds(*numbers["layers"]),
            side,
            config.realism,
            numbers.get("disc"),
        )
        image = light.add_sensor_noise(numbers["noise"][0], image, config.realism)
        image, defocus = (augment.turned(numbers["symmetry"], x) for x in (image, defocus))
        if "inner_side" not in numbers:
            return image, defocus
        corner, inner = numbers["inner_corner"], numbers["inner_side"]
        return (
            reduced(_from(image, corner), inner, config.crop),
            _scaled(_nearest(defocus, corner, inner, config.crop), inner, config.crop),
        )

    def _degraded(self, numbers, image):
        config = self._config
        amounts = config.exposure, config.noise, config.jpeg_quality
        return degradation.degrade_batch(numbers["amounts"], image, *amounts)


def reduced(squares: tf.Tensor, sides: tf.Tensor, crop: int) -> tf.Tensor:
    """The first `sides` px, at least `crop`, of squares [N, S, S, C] reduced to [N, crop, crop, C].

    As `tf.image.resize(square, antialias=True)` does it, here as two products with a matrix.
    """
    most = squares.shape[1]
    factor = tf.cast(sides, tf.float32)[:, None, None] / crop
    centre = (tf.range(crop, dtype=tf.float32)[:, None] + 0.5) * factor
    place = tf.range(most, dtype=tf.float32) + 0.5
    weight = tf.maximum(1.0 - tf.abs(place - centre) / factor, 0.0)
    weight = tf.where(tf.range(most) < sides[:, None, None], weight, 0.0)
    weight /= tf.reduce_sum(weight, axis=-1, keepdims=True)
    rows = tf.einsum("npy,nyxc->npxc", weight, squares)
    return tf.einsum("nqx,npxc->npqc", weight, rows)


def nearest_places(sides: tf.Tensor, crop: int) -> tf.Tensor:
    """Where in squares of these sides the pixels of a crop are taken from: int32 [N, crop]."""
    factor = tf.cast(sides, tf.float32)[:, None] / crop
    place = tf.cast(tf.floor((tf.range(crop, dtype=tf.float32) + 0.5) * factor), tf.int32)
    return tf.minimum(place, sides[:, None] - 1)


def _scaled(plane, sides, crop):
    """A `defocus` map after its image was reduced."""
    scale = crop / tf.cast(sides, tf.float32)
    return tf.minimum(plane * tf.reshape(scale, [-1, 1, 1, 1]), 1.0)


def _from(squares, corners):
    """Squares [N, S, S, C] moved so that `corners` [N, 2] are their first pixels."""
    along = tf.range(squares.shape[1])
    return _taken(squares, corners[:, :1] + along, corners[:, 1:] + along)


def _nearest(squares, corners, sides, crop):
    nearest = nearest_places(sides, crop)
    return _taken(squares, corners[:, :1] + nearest, corners[:, 1:] + nearest)


def _taken(squares, rows, columns):
    last = squares.shape[1] - 1
    rows, columns = (tf.minimum(places, last) for places in (rows, columns))
    return tf.gather(tf.gather(squares, rows, batch_dims=1), columns, axis=2, batch_dims=1)
