"""Features of a frozen encoder, computed once: what makes a day of training an hour on two cores.

A frozen encoder gives the same features of a crop whenever it sees it. So the first crops of the
synthetic and of the labelled domain pass through it once, and their features stay in memory as
float16. A step then takes small windows of many crops: for the cost of one whole crop it sees
pixels of dozens of photos, whose gradients agree far better than those of neighbours do.

    features [N, H / 2^i, W / 2^i, C_i] float16, i = 0 .. 4: conv1_2 .. conv5_4
    labels   [N, H, W, 1] float16

A window's corner lies on the grid of 16 px of the deepest feature. A step's windows are a pure
function of (seed, step), as all batches are.
"""

import numpy as np
import tensorflow as tf

from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.data.iteration import Elements

# Batch of a training step: images of a domain -> its label.
DOMAINS = {"synthetic": "defocus", "labelled": "blurred"}
FLOAT16_MAX = 65504.0
_STREAM = 0xCAC4E  # keeps these random numbers apart from others of the same seed


class CachedFeatures:
    """Features and labels of the first `count` crops of each domain.

    Args:
        encoder: image [B, H, W, 3] -> the five features.
        batches: dataset of training batches (`streams.training_batches`, from step 0).
        count: crops of each domain; memory in bytes is about 244 * H * W * (1 + 1) * count.
    """

    def __init__(self, encoder, batches, count: int):
        forward = tf.function(lambda images: [_half(f) for f in encoder(images, training=False)])
        self.features = dict.fromkeys(DOMAINS)
        self.labels, done = {}, 0
        with Elements(batches) as elements:
            for batch in elements:
                size = min(len(batch["defocus"]), count - done)
                for domain, label in DOMAINS.items():
                    features = forward(batch[domain][:size])
                    self._store(domain, done, count, features, batch[label][:size])
                done += size
                if done == count:
                    break

    def _store(self, domain, at, count, features, label):
        if self.features[domain] is None:
            self.features[domain] = [np.empty((count, *f.shape[1:]), np.float16) for f in features]
            self.labels[domain] = np.empty((count, *label.shape[1:]), np.float16)
        for kept, new in zip(self.features[domain], features, strict=True):
            kept[at : at + len(new)] = new
        self.labels[domain][at : at + len(label)] = label

    def batches(self, windows, batch: int, seed: int, start: int, steps: int) -> tf.data.Dataset:
        """Batches of windows from step `start` on, as `streams.training_batches` has of images.

        windows: sides in pixels, multiples of 16, one for each equal part of `steps`: small ones
            first, which learn fast, whole crops last, which bring the decoder's context. A step
            has so many of them that its pixels are those of `batch` whole crops.
        """
        crop = self.labels["synthetic"].shape[1]
        parts = []
        for part, window in enumerate(windows):
            first = max(start, steps * part // len(windows))
            last = steps * (part + 1) // len(windows)
            if last > first:
                number = max(1, round(batch * (crop / window) ** 2))
                parts.append(self._part(window, number, seed, first, last))
        dataset = parts[0]
        for part in parts[1:]:
            dataset = dataset.concatenate(part)
        return dataset.prefetch(2)

    def _part(self, window, number, seed, first, last):
        shapes = [f.shape[3] for f in self.features["synthetic"]]
        types = [tf.float16] * (len(shapes) + 1)

        def draw(step):
            out = {}
            for code, (domain, label) in enumerate(DOMAINS.items()):
                arrays = tf.numpy_function(
                    lambda s, d=domain, c=code: self._cut(d, c, window, number, seed, int(s)),
                    [step],
                    types,
                    stateful=False,
                )
                sides = [window >> i for i in range(len(shapes))] + [window]
                for array, side, channels in zip(arrays, sides, [*shapes, 1], strict=True):
                    array.set_shape([number, side, side, channels])
                out[domain] = tuple(tf.cast(array, tf.float32) for array in arrays[:-1])
                out[label] = tf.cast(arrays[-1], tf.float32)
            return out

        return tf.data.Dataset.range(first, last).map(draw, num_parallel_calls=2)

    def _cut(self, domain, code, window, number, seed, step):
        rng = np.random.default_rng([_STREAM, seed, code, step])
        labels = self.labels[domain]
        items = rng.integers(len(labels), size=number)
        places = (labels.shape[1] - window) // SIZE_MULTIPLE + 1
        corners = rng.integers(places, size=(number, 2)) * SIZE_MULTIPLE
        planes = [*self.features[domain], labels]
        shifts = [*range(len(planes) - 1), 0]
        return [
            np.stack([
                plane[i, y >> s : (y + window) >> s, x >> s : (x + window) >> s]
                for i, (y, x) in zip(items, corners, strict=True)
            ])
            for plane, s in zip(planes, shifts, strict=True)
        ]  # fmt: skip


def _half(feature):
    return tf.cast(tf.minimum(tf.cast(feature, tf.float32), FLOAT16_MAX), tf.float16)
