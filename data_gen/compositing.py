"""The layered defocus renderer (Lee et al., CVPR 2019, section 3.1), graph-safe.

Image and depth map in, defocused image and `defocus` map out. The signed circle of confusion is
quantised into at most 350 layers ordered by depth; every layer's image and mask are blurred with
the layer's Gaussian, and the blurred layers are alpha-blended back to front:

    out = out * (1 - m) + blurred,    coverage = coverage * (1 - m) + m,    image = out / coverage

with m the blurred mask. The kernel is the sampled Gaussian of 29 taps, normalised to sum 1; the
border is symmetric (the edge pixel repeated).

How it is computed: the picture is cut into tiles. A tile and its margin of 14 px see few of the
layers, and the separable blur of a tile is two small matrix products with banded matrices
[TILE, TILE + 2*RADIUS], one per layer. A crop costs only its own tiles.

Shapes: image [H, W, 3] float in [0, 1], RGB; depth [H, W] > 0; all float32.
"""

import tensorflow as tf

from data_gen import optics

RADIUS = 14
MAX_LAYERS = 350
TILE = 32
WINDOW = TILE + 2 * RADIUS
# Finer layers than 0.1 px of COC (0.025 px of sigma) change no pixel that can be seen.
MIN_LAYER_STEP_PX = 0.1
# A blurred mask below this is noise at the rim of a kernel; the reference counts it as 0.
MASK_FLOOR = 1e-4
# Below 0.02 px the sampled Gaussian is a single 1 in float32 anyway; keeps 0 out of the division.
SIGMA_FLOOR_PX = 0.02


def gaussian_bands(sigma_px: tf.Tensor) -> tf.Tensor:
    """Blur of a window's axis as a matrix: sigma [L] pixels -> [L, TILE, WINDOW]."""
    offset = tf.range(-RADIUS, RADIUS + 1, dtype=tf.float32)
    sigma_px = tf.maximum(sigma_px, SIGMA_FLOOR_PX)[:, None]
    taps = tf.exp(-0.5 * tf.square(offset / sigma_px))
    taps /= tf.reduce_sum(taps, axis=1, keepdims=True)
    # Row i of a band holds the taps at columns i .. i + 2*RADIUS.
    rows = tf.pad(taps, [[0, 0], [0, WINDOW + 1 - taps.shape[1]]])
    flat = tf.tile(rows, [1, TILE])[:, : TILE * WINDOW]
    return tf.reshape(flat, [-1, TILE, WINDOW])


def symmetric_index(index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Positions on an endless axis -> positions in [0, size), mirrored with the edge repeated."""
    index = tf.math.floormod(index, 2 * size)
    return tf.minimum(index, 2 * size - 1 - index)


def layer_bounds(lens: optics.Lens, near, far):
    """(first, last, step): numbers of the nearest and the farthest layer, and COC px a layer.

    `near`, `far` bound the WHOLE depth map; layer number n holds signed COCs n*step .. (n+1)*step.
    """
    bounds = optics.signed_coc_px(tf.stack([near, far]), lens)
    # MAX_LAYERS - 1 steps: the range touches one layer more when it does not start on a border.
    step = tf.maximum((bounds[1] - bounds[0]) / (MAX_LAYERS - 1), MIN_LAYER_STEP_PX)
    first, last = tf.unstack(tf.floor(bounds / step))
    return first, last, step


def quantise(depth: tf.Tensor, lens: optics.Lens, near, far):
    """Layers of a depth map: index [H, W] int32 (0 = farthest) and their `sigma_px` [L].

    Layers are equal steps of the signed COC, so that near and far side of the focus plane never
    share one. `near`, `far` bound the WHOLE depth map: a crop then has the layers of the whole.
    """
    first, last, step = layer_bounds(lens, near, far)
    level = tf.clip_by_value(tf.floor(optics.signed_coc_px(depth, lens) / step), first, last)
    centre = (tf.range(last, first - 1.0, -1.0) + 0.5) * step
    sigma_px = optics.coc_to_sigma(optics.blur_coc_px(centre, lens))
    return tf.cast(last - level, tf.int32), sigma_px


def blend_layers(image, layer_index, layer_sigma_px, crop=None) -> tf.Tensor:
    """Blurs and blends layers back to front.

    Args:
        image: [H, W, 3] float32.
        layer_index: [H, W] int32, 0 = the farthest layer.
        layer_sigma_px: [L] float32, farthest first.
        crop: None for the whole image, or (top, left, height, width).
    Returns:
        [height, width, 3] float32.
    """
    size = tf.shape(layer_index)
    top, left, height, width = (0, 0, size[0], size[1]) if crop is None else crop
    rows, columns = -(-height // TILE), -(-width // TILE)
    row_index = symmetric_index(tf.range(-RADIUS, rows * TILE + RADIUS) + top, size[0])
    column_index = symmetric_index(tf.range(-RADIUS, columns * TILE + RADIUS) + left, size[1])

    def gather(plane):
        return tf.gather(tf.gather(plane, row_index, axis=0), column_index, axis=1)

    # [h, 4, w]: channels between rows and columns, so both products are plain reshapes.
    planes = tf.concat([image, tf.ones_like(image[..., :1])], axis=-1)
    planes = tf.transpose(gather(planes), [0, 2, 1])
    layers = gather(layer_index)
    bands = gaussian_bands(layer_sigma_px)

    def tile(position):
        y, x = (position // columns) * TILE, (position % columns) * TILE
        window_layers = tf.slice(layers, [y, x], [WINDOW, WINDOW])
        window = tf.slice(planes, [y, 0, x], [WINDOW, 4, WINDOW])
        return _blend_window(window, window_layers, bands)

    blended = tf.map_fn(
        tile, tf.range(rows * columns), fn_output_signature=tf.TensorSpec([TILE, TILE, 3])
    )
    blended = tf.reshape(blended, [rows, columns, TILE, TILE, 3])
    blended = tf.transpose(blended, [0, 2, 1, 3, 4])
    return tf.reshape(blended, [rows * TILE, columns * TILE, 3])[:height, :width]


def _blend_window(window, window_layers, bands):
    """One tile: window [WINDOW, 4, WINDOW], its layers [WINDOW, WINDOW] -> [TILE, TILE, 3]."""
    present = tf.sort(tf.unique(tf.reshape(window_layers, [-1]))[0])
    band = tf.gather(bands, present)
    mask = tf.cast(window_layers[None] == present[:, None, None], tf.float32)
    stack = window[None] * mask[:, :, None]
    stack = tf.reshape(stack, [-1, WINDOW * 4, WINDOW])
    blurred = tf.matmul(stack, band, transpose_b=True)
    blurred = tf.matmul(band, tf.reshape(blurred, [-1, WINDOW, 4 * TILE]))
    blurred = tf.reshape(blurred, [-1, TILE, 4, TILE])
    alpha = blurred[:, :, 3]
    alpha = tf.where(alpha < MASK_FLOOR, 0.0, alpha)
    # What all layers in front let through: the recursion of the blend, written out.
    through = tf.math.cumprod(1.0 - alpha, axis=0, exclusive=True, reverse=True)
    colour = tf.reduce_sum(blurred[:, :, :3] * through[:, :, None], axis=0)
    coverage = tf.reduce_sum(alpha * through, axis=0)
    # A pixel's own layer weighs at least 0.003 (the centre tap at 7 px): coverage is never 0.
    return tf.transpose(colour / coverage[:, None], [0, 2, 1])


@tf.function(reduce_retracing=True)
def render(image, depth, lens: optics.Lens, crop=None):
    """Defocuses an all-in-focus image.

    Args:
        image: [H, W, 3] float32 in [0, 1].
        depth: [H, W] float32 > 0, finite, larger = farther.
        lens: focus distance in the unit of `depth`, alpha in pixels.
        crop: None, or (top, left, height, width): only that part, as if cut from the whole.
    Returns:
        (image [h, w, 3], defocus [h, w, 1]), float32.
    """
    near, far = tf.reduce_min(depth), tf.reduce_max(depth)
    layer_index, layer_sigma_px = quantise(depth, lens, near, far)
    # The masks below MASK_FLOOR weigh in the colour only: white may come out a little whiter.
    blurred = tf.clip_by_value(blend_layers(image, layer_index, layer_sigma_px, crop), 0.0, 1.0)
    defocus = optics.defocus_map(depth, lens)
    if crop is not None:
        top, left, height, width = crop
        defocus = defocus[top : top + height, left : left + width]
    return blurred, defocus[..., None]
