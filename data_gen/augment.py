"""Resizing, cropping and turning of an image together with its map; the order of an epoch.

TensorFlow operations without state, for eager use and inside Dataset.map. Where they draw, they
take a `seed`, int32 [2], and are a pure function of it: give every operation its own.

Shapes: image [H, W, C] float32, map [H, W, 1] float32; `map=None` is handed through as None.
A map is `defocus` in [0, 1], binary (1 = blurred), or depth.
Settings: Lee et al., CVPR 2019, section 5: crops of 240 px, flips and quarter turns.
"""

import tensorflow as tf

from data_gen.io.resizing import SHORT_SIDE_MAX


def fit_scale(height, width, crop):
    """Scale of the paper's resizing rule, a float32 scalar; 1 where nothing is to be resized.

    A short side below `crop` is enlarged to `crop`, one above 800 px (or above a `crop` that is
    larger still) is reduced to that. `height`, `width` integers or tensors, `crop` a Python int.
    """
    short = tf.minimum(height, width)
    target = tf.minimum(tf.maximum(short, crop), max(SHORT_SIDE_MAX, crop))
    return tf.cast(target, tf.float32) / tf.cast(short, tf.float32)


def resize_with_map(image, map, scale, *, values):
    """Resizes an image by `scale` and its map with it.

    Resizing by s multiplies every blur's sigma by s, so the values of a `defocus` map must be
    "scaled" too (and are clipped to 1), which the authors' program does not do. Those of a binary
    map or a depth map are "kept". Maps are sampled at the nearest pixel: a mean of the two sides
    of an edge belongs to neither.

    Args:
        image: [H, W, C]; integers come back as float32 of the same range.
        map: [H, W, 1] or None.
        scale: > 0, a number or a scalar tensor.
        values: "scaled" for `defocus`, "kept" for binary maps and depth.
    Returns:
        (image [h, w, C] float32, map [h, w, 1]), h = round(scale * H), w = round(scale * W).
    """
    if values not in ("scaled", "kept"):
        raise ValueError(f"values must be 'scaled' or 'kept'; received {values!r}")
    scale = tf.cast(scale, tf.float32)
    size = tf.round(tf.cast(tf.shape(image)[:2], tf.float32) * scale)
    # A strip of a few pixels must not vanish when it is reduced.
    size = tf.maximum(tf.cast(size, tf.int32), 1)
    # Antialiased: reduced without it, a sharp texture folds into a false one.
    image = tf.image.resize(image, size, method="bilinear", antialias=True)
    if map is None:
        return image, None
    map = tf.image.resize(map, size, method="nearest")
    return image, tf.minimum(map * scale, 1.0) if values == "scaled" else map


def fit_to_crop(image, map, crop, *, values):
    """`resize_with_map` by `fit_scale`, in the graph: prepares an image for a crop of `crop` px.

    Args:
        image: [H, W, 3] float32 in [0, 1]; map, values: as in `resize_with_map`.
    """
    scale = fit_scale(tf.shape(image)[0], tf.shape(image)[1], crop)
    return tf.cond(
        tf.equal(scale, 1.0),
        lambda: (image, map),
        lambda: resize_with_map(image, map, scale, values=values),
    )


def crop_corner(seed, size, crop):
    """Top left corner, int32 [2], of a random square of `crop` px in an image; all as probable.

    `size`: (height, width), int32 [2].
    Raises:
        InvalidArgumentError: a side is shorter than `crop` (see `fit_scale`).
    """
    fits = tf.debugging.assert_greater_equal(
        size, crop, f"a crop of {crop} px needs an image with both sides at least as long"
    )
    # In a graph the check must come before the operation that it guards.
    with tf.control_dependencies([fits]):
        places = tf.identity(size) - crop + 1
    # Two numbers in [0, 1) and not integers below a bound: those have no bound per element.
    corner = tf.random.stateless_uniform([2], seed) * tf.cast(places, tf.float32)
    # A number just below 1 may be rounded up to the first place that is too far.
    return tf.minimum(tf.cast(corner, tf.int32), places - 1)


def random_crop(seed, image, map, crop):
    """The same square of `crop` px (a Python int) from both; errors as in `crop_corner`.

    Returns:
        (image [crop, crop, C], map [crop, crop, 1]).
    """
    corner = crop_corner(seed, tf.shape(image)[:2], crop)

    def cut(plane):
        if plane is None:
            return None
        square = tf.slice(plane, [corner[0], corner[1], 0], [crop, crop, -1])
        return tf.ensure_shape(square, [crop, crop, None])

    return cut(image), cut(map)


def random_flip_turn(seed, image, map):
    """One of the square's eight symmetries (flips, quarter turns), each as probable, for both.

    Raises:
        InvalidArgumentError: the image is not square.
    """
    size = tf.shape(image)
    square = tf.debugging.assert_equal(size[0], size[1], "quarter turns need a square image")
    with tf.control_dependencies([square]):
        draws = symmetry(seed)

    def turn(plane):
        if plane is None:
            return None
        return turned(draws[None], plane[None])[0]

    return turn(image), turn(map)


def symmetry(seed):
    """A symmetry of the square, bool [3]: mirrored left-right, mirrored up-down, transposed.

    Every one of the eight is exactly one choice of these, in this order.
    """
    return tf.random.stateless_uniform([3], seed) < 0.5


def turned(symmetries, squares):
    """Squares [N, S, S, C], each by its symmetry [N, 3]: `random_flip_turn` of a batch."""
    chosen = tf.reshape(symmetries, [-1, 3, 1, 1, 1])
    squares = tf.where(chosen[:, 0], tf.reverse(squares, [2]), squares)
    squares = tf.where(chosen[:, 1], tf.reverse(squares, [1]), squares)
    return tf.where(chosen[:, 2], tf.transpose(squares, [0, 2, 1, 3]), squares)


def epoch_index(seed, index, count):
    """The item at place `index` of an endless run over `count` items, an int64 scalar.

    Places e*count .. (e+1)*count - 1 are epoch e: every item exactly once, in an order of its
    own. No list is kept or shuffled, so any place is found at once.
    """
    index, count = tf.cast(index, tf.int64), tf.cast(count, tf.int64)
    some = tf.debugging.assert_positive(count, "an epoch needs at least one item")
    with tf.control_dependencies([some]):
        count = tf.identity(count)
    epoch_seed = tf.random.experimental.stateless_fold_in(seed, index // count)
    return tf.random.experimental.index_shuffle(index % count, epoch_seed, count - 1)
