"""The layered defocus renderer (Lee et al., CVPR 2019, section 3.1), graph-safe.

Image and depth map in, defocused image and `defocus` map out. The signed circle of confusion is
quantised into at most 350 layers ordered by depth; every layer's image and mask are blurred with
the layer's kernel, and the blurred layers are alpha-blended back to front:

    out = out * (1 - m) + blurred,    coverage = coverage * (1 - m) + m,    image = out / coverage

with m the blurred mask. The kernel is the sampled Gaussian of 29 taps, normalised to sum 1; the
border is symmetric (the edge pixel repeated). `realism.Realism` offers other kernels, blending
in linear light, and filling of the background behind near objects (`filling.py`).

How it is computed: the picture is cut into tiles. A tile and its margin of 14 px see few of the
layers, and the blur of each is a few small matrix products (`tile_blurs.py`). A crop costs only its
own tiles. The tile is compiled by XLA, once a process, into a loop over its layers that stays in
the processor's cache: half the processor's time of the same sums layer after layer in whole arrays
(tests/benchmarks/render.py), which is how a polygon is applied, by transforms. A tile takes one
core; tiles of one example and of several run at the same time, as many as TensorFlow has threads
(tests/benchmarks/render_cores.py).

Shapes: image [H, W, 3] float in [0, 1], RGB; depth [H, W] > 0; all float32.
"""

import functools

import tensorflow as tf

from data_gen.rendering import apertures, filling, light
from data_gen.rendering.apertures import RADIUS
from data_gen.rendering.layers import LayerBounds, layer_bounds, quantise
from data_gen.rendering.lens import Lens, defocus_map
from data_gen.rendering.options import PLAIN, Realism
from data_gen.rendering.tile_blurs import (
    TILE,
    WINDOW,
    blur_by_band,
    blur_by_spectrum,
    even_spectra,
    gaussian_bands,
)

# Side of the transform for kernels of any shape: a product of small primes >= WINDOW.
FFT_SIDE = 72
# A blurred mask below this is noise at the rim of a kernel; the reference counts it as 0.
MASK_FLOOR = 1e-4
# Index of pixels that belong to no layer.
NO_LAYER = -1


def symmetric_index(index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Positions on an endless axis -> positions in [0, size), mirrored with the edge repeated."""
    index = tf.math.floormod(index, 2 * size)
    return tf.minimum(index, 2 * size - 1 - index)


def cut_mirrored(plane, top, left, height, width):
    """plane [H, W, ...] -> [height, width, ...] from (top, left), mirrored beyond its borders."""
    rows = symmetric_index(tf.range(top, top + height), tf.shape(plane)[0])
    columns = symmetric_index(tf.range(left, left + width), tf.shape(plane)[1])
    return tf.gather(tf.gather(plane, rows), columns, axis=1)


# --- the blend -----------------------------------------------------------------------------------


def blend_layers(
    image, layer_index, layer_sigma_px, crop=None, realism: Realism = PLAIN, first_near=None
) -> tf.Tensor:
    """Blurs and blends layers back to front.

    Args:
        image: [H, W, 3] float32.
        layer_index: [H, W] int32, 0 = the farthest layer.
        layer_sigma_px: [L] float32, farthest first.
        crop: None for the whole image, or (top, left, height, width).
        realism: its aperture and `fill_background` are used.
        first_near: index of the first layer in front of the focus plane; None: the first after
            the sharpest one.
    Returns:
        [height, width, 3] float32.
    """
    size = tf.shape(layer_index)
    top, left, height, width = (0, 0, size[0], size[1]) if crop is None else crop
    sigma_px = tf.convert_to_tensor(layer_sigma_px, tf.float32)
    if first_near is None:
        first_near = tf.argmin(sigma_px, output_type=tf.int32) + 1
    if realism.aperture == "gaussian":
        blend, parameters = blend_by_bands, gaussian_bands(sigma_px)
    if realism.aperture != "gaussian" or realism.fill_background:
        in_front = tf.range(tf.size(sigma_px)) >= first_near
        kernels = apertures.kernels(sigma_px, in_front, realism)
    if realism.aperture == "disc":
        blend, parameters = blend_by_waves, even_spectra(kernels)
    elif realism.aperture == "polygon":
        blend, parameters = _blend_by_fft, tf.signal.rfft2d(kernels, [FFT_SIDE] * 2)
    if not realism.fill_background:
        return blend_tiles(image, layer_index, (top, left, height, width), blend, parameters)
    # Holes are filled from beyond a crop too: from as far as a blurred rim reaches.
    margin = 0 if crop is None else RADIUS
    inner = (top - margin, left - margin, height + 2 * margin, width + 2 * margin)
    behind = tf.where(layer_index < first_near, layer_index, NO_LAYER)
    base = blend_tiles(image, behind, inner, blend, parameters)
    outer = (inner[0] - RADIUS, inner[1] - RADIUS, inner[2] + 2 * RADIUS, inner[3] + 2 * RADIUS)
    image, layer_index = cut_mirrored(image, *outer), cut_mirrored(layer_index, *outer)
    layer_index = tf.gather(filling.representatives(sigma_px, first_near), layer_index)
    blended = filling.blend_near_layers(
        base, image, layer_index, kernels, first_near, floor=MASK_FLOOR
    )
    return blended[margin : margin + height, margin : margin + width]


def blend_tiles(image, layer_index, crop, blend, parameters):
    """Strip by strip, tile by tile, each by `blend`; NaN where no layer reaches a pixel."""
    top, left, height, width = crop
    rows, columns = -(-height // TILE), -(-width // TILE)

    def strip(row):
        place = (top + row * TILE - RADIUS, left - RADIUS, WINDOW, columns * TILE + 2 * RADIUS)
        # [WINDOW, 3, w]: channels between rows and columns, so both products are plain reshapes.
        planes = tf.transpose(cut_mirrored(image, *place), [0, 2, 1])
        layers = cut_mirrored(layer_index, *place)

        def tile(column):
            window = tf.slice(planes, [0, 0, column * TILE], [WINDOW, 3, WINDOW])
            window_layers = tf.slice(layers, [0, column * TILE], [WINDOW, WINDOW])
            present = tf.sort(tf.unique(tf.reshape(window_layers, [-1]))[0])
            present = tf.boolean_mask(present, present != NO_LAYER)
            return blend(window, window_layers, present, parameters)

        tiles = tf.map_fn(tile, tf.range(columns), fn_output_signature=_TILE_SPEC)
        return tf.reshape(tf.transpose(tiles, [1, 0, 2, 3]), [TILE, columns * TILE, 3])

    strip_spec = tf.TensorSpec([TILE, None, 3])
    strips = tf.map_fn(strip, tf.range(rows), fn_output_signature=strip_spec)
    return tf.reshape(strips, [rows * TILE, columns * TILE, 3])[:height, :width]


_TILE_SPEC = tf.TensorSpec([TILE, TILE, 3])


# The tile's blends: window [WINDOW, 3, WINDOW], its layers [WINDOW, WINDOW] and which of them are
# present [l], ascending, -> [TILE, TILE, 3].


def blend_by_bands(window, window_layers, present, bands):
    """Separable kernels, compiled. `bands`: [L, TILE, WINDOW]."""
    return _compiled(_blend_with(blur_by_band), window, window_layers, present, bands)


def blend_by_waves(window, window_layers, present, spectra):
    """Kernels that are even along both axes, compiled. `spectra`: [L, WINDOW, WINDOW]."""
    return _compiled(_blend_with(blur_by_spectrum), window, window_layers, present, spectra)


def _compiled(blend, window, window_layers, present, parameters):
    count = tf.size(present)
    # XLA compiles for shapes: the number of layers present must not be one of them.
    room = tf.shape(parameters)[0]
    present = tf.reshape(tf.pad(present, [[0, room - count]]), [room])
    window = tf.ensure_shape(window, [WINDOW, 3, WINDOW])
    window_layers = tf.ensure_shape(window_layers, [WINDOW, WINDOW])
    return blend(window, window_layers, present, count, parameters)


@functools.cache  # compiled once a process
def _blend_with(blur):
    """The loop over a tile's layers; blur: (stack, its layer's parameters) -> [TILE, 4, TILE]."""

    @tf.function(jit_compile=True)
    def blend_all(window, window_layers, present, count, parameters):
        def blend(i, out, coverage):
            # tf.gather: with present[i], XLA would compile anew for every value of `count`.
            layer = tf.gather(present, i)
            mask = tf.cast(window_layers == layer, tf.float32)[:, None]
            stack = tf.concat([window * mask, mask], axis=1)
            blurred = blur(stack, tf.gather(parameters, layer))
            alpha = blurred[:, 3]
            alpha = tf.where(alpha < MASK_FLOOR, 0.0, alpha)
            out = out * (1.0 - alpha)[:, None] + blurred[:, :3]
            return i + 1, out, coverage * (1.0 - alpha) + alpha

        start = (0, tf.zeros([TILE, 3, TILE]), tf.zeros([TILE, TILE]))
        _, out, coverage = tf.while_loop(lambda i, *_: i < count, blend, start)
        # A pixel's own layer weighs at least 0.0015 (a disc of 28 px): where all pixels have a
        # layer, coverage is never 0.
        return tf.transpose(out / coverage[:, None], [0, 2, 1])

    return blend_all


def blend_by_bands_plain(window, window_layers, present, bands):
    """`blend_by_bands` without XLA, to measure against."""
    stack = _masked(window, window_layers, present)
    band = tf.gather(bands, present)
    blurred = tf.matmul(tf.reshape(stack, [-1, WINDOW * 4, WINDOW]), band, transpose_b=True)
    blurred = tf.matmul(band, tf.reshape(blurred, [-1, WINDOW, 4 * TILE]))
    return _blend_blurred(tf.reshape(blurred, [-1, TILE, 4, TILE]))


def _blend_by_fft(window, window_layers, present, spectra):
    """Any kernel: circular convolution, but the margin takes all that wraps around."""
    stack = tf.transpose(_masked(window, window_layers, present), [0, 2, 1, 3])
    spectrum = tf.signal.rfft2d(stack, [FFT_SIDE] * 2) * tf.gather(spectra, present)[:, None]
    blurred = tf.signal.irfft2d(spectrum, [FFT_SIDE] * 2)
    kept = slice(2 * RADIUS, 2 * RADIUS + TILE)
    return _blend_blurred(tf.transpose(blurred[..., kept, kept], [0, 2, 1, 3]))


def _masked(window, window_layers, present):
    """Each layer's part of the window and its mask, [l, WINDOW, 4, WINDOW]."""
    mask = tf.cast(window_layers[None] == present[:, None, None], tf.float32)[:, :, None]
    return tf.concat([window[None] * mask, mask], axis=2)


def _blend_blurred(blurred):
    """Blurred layers [l, TILE, 4, TILE] back to front -> [TILE, TILE, 3]."""
    alpha = blurred[:, :, 3]
    alpha = tf.where(alpha < MASK_FLOOR, 0.0, alpha)
    through = _light_through(alpha)
    colour = tf.reduce_sum(blurred * through[:, :, None], axis=0)[:, :3]
    coverage = tf.reduce_sum(alpha * through, axis=0)
    return tf.transpose(colour / coverage[:, None], [0, 2, 1])


def _light_through(alpha):
    """What all layers in front of each one let through: the blend's recursion, written out.

    exclusive, reverse cumulative product of 1 - alpha [l, H, W] over layers, by doubling: log2(l)
    passes over whole arrays are faster than tf.math.cumprod's walk along the first axis.
    """
    count = tf.shape(alpha)[0]

    def shifted(through, by):
        pad = [[0, tf.minimum(by, count)], [0, 0], [0, 0]]
        return tf.pad(through[by:], pad, constant_values=1.0)

    def double(by, through):
        return 2 * by, through * shifted(through, by)

    start = (1, shifted(1.0 - alpha, 1))
    shapes = (tf.TensorShape([]), tf.TensorShape([None, *alpha.shape[1:]]))
    return tf.while_loop(lambda by, _: by < count, double, start, shapes)[1]


@tf.function(reduce_retracing=True)
def render(
    image,
    depth,
    lens: Lens,
    crop=None,
    realism: Realism = PLAIN,
    layers: LayerBounds | None = None,
):
    """Defocuses an all-in-focus image.

    Args:
        image: [H, W, 3] float32 in [0, 1].
        depth: [H, W] float32 > 0, finite, larger = farther.
        lens: focus distance in the unit of `depth`, alpha in pixels.
        crop: None, or (top, left, height, width): only that part, as if cut from the whole.
        realism: aperture, linear light, filling. (Noise needs a seed: `light.add_sensor_noise`.)
        layers: `layer_bounds` of the whole depth map, where the caller has them already.
    Returns:
        (image [h, w, 3], defocus [h, w, 1]), float32.
    """
    if layers is None:
        layers = layer_bounds(lens, tf.reduce_min(depth), tf.reduce_max(depth))
    layer_index, layer_sigma_px = quantise(depth, lens, layers)
    if realism.linear_light:
        image = light.srgb_to_linear(image)
    blurred = blend_layers(image, layer_index, layer_sigma_px, crop, realism, layers.first_near)
    # The masks below MASK_FLOOR weigh in the colour only: white may come out a little whiter.
    blurred = tf.clip_by_value(blurred, 0.0, 1.0)
    if realism.linear_light:
        blurred = light.linear_to_srgb(blurred)
    defocus = defocus_map(depth, lens)
    if crop is not None:
        top, left, height, width = crop
        defocus = defocus[top : top + height, left : left + width]
    return blurred, defocus[..., None]
