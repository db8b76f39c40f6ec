"""A batch of crops rendered at once, where a device wants much to do at a time: on a GPU.

The sums of `compositing.py`, by the same tiles of the same sizes: here all tiles of all crops take
their n-th layer together, each tile its own. That is a loop of a few large operations, where there
every tile is a loop of small ones that stays in a core's cache. Tiles of many layers are taken
together, so that those of few do not wait for them.

Differences to a crop of `compositing.render`: rounding; neither polygons nor filling.
"""

import tensorflow as tf

from data_gen.rendering import apertures, light
from data_gen.rendering.apertures import RADIUS
from data_gen.rendering.compositing import MASK_FLOOR
from data_gen.rendering.layers import MAX_LAYERS, LayerBounds, layer_index, layer_sigma_px
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

# Loops over layers, each of tiles with about as many layers as another.
LOOPS = 4


def check(realism: Realism) -> None:
    """Raises ValueError for what cannot be rendered so."""
    if realism.aperture == "polygon" or realism.fill_background:
        filled = " with fill_background" if realism.fill_background else ""
        raise ValueError(
            "a batch is rendered with apertures gaussian and disc, without fill_background; "
            f"received {realism.aperture}{filled}"
        )


def side_needed(crop: int) -> int:
    """Side in pixels of the square that `render` needs of a scene for a crop of `crop` px."""
    return -(-crop // TILE) * TILE + 2 * RADIUS


@tf.function(autograph=False)
def render(
    image,
    depth,
    lens: Lens,
    layers: LayerBounds,
    crop: int,
    realism: Realism = PLAIN,
    disc=None,
):
    """Defocuses crops of all-in-focus scenes.

    Args:
        image: [N, S, S, 3] float32 in [0, 1], N known and S = `side_needed(crop)`: of each scene
            the square whose top left corner is `RADIUS` px above and left of the crop's, mirrored
            beyond the scene's borders (`compositing.symmetric_index`).
        depth: [N, S, S] float32 > 0, finite, larger = farther.
        lens: its distance and alpha [N]; layers: [N], those of the WHOLE scenes.
        realism: aperture and light.
        disc: bool [N], crops that have a round aperture in linear light whatever `realism` says;
            None: none.
    Returns:
        (image [N, crop, crop, 3], defocus [N, crop, crop, 1]), float32.
    """
    check(realism)
    in_light = realism.linear_light if disc is None else disc | realism.linear_light
    linear = light.srgb_to_linear(image)
    chosen = tf.reshape(in_light, [-1, 1, 1, 1])
    blended = _blend(tf.where(chosen, linear, image), depth, lens, layers, realism, disc)
    blended = tf.clip_by_value(blended[:, :crop, :crop], 0.0, 1.0)
    blended = tf.where(chosen, light.linear_to_srgb(blended), blended)
    inner = slice(RADIUS, RADIUS + crop)
    return blended, defocus_map(depth[:, inner, inner], _shaped(lens, layers, 1, 1)[0])[..., None]


def _shaped(lens: Lens, layers: LayerBounds, *axes: int) -> tuple[Lens, LayerBounds]:
    """Their tensors [N] as [N, *axes], to be taken with tensors of so many more axes."""

    def shaped(value):
        return tf.reshape(value, [-1, *axes])

    lens = lens._replace(focus_distance=shaped(lens.focus_distance), alpha_px=shaped(lens.alpha_px))
    return lens, LayerBounds(*map(shaped, layers))


def _blend(image, depth, lens, layers, realism, disc):
    """[N, S, S, 3] -> the layers of all tiles blurred and blended, [N, rows * TILE, .., 3]."""
    count, side = image.shape[0], image.shape[1]
    along = (side - 2 * RADIUS) // TILE  # tiles along an axis
    blur, parameters = _blur(lens, layers, realism, disc)
    # [N * along * along, WINDOW, 3, WINDOW], as in `compositing.blend_tiles`.
    windows = tf.transpose(_tiles(image, along), [0, 1, 3, 2, 5, 4])
    windows = tf.reshape(windows, [-1, WINDOW, 3, WINDOW])
    index = _tiles(layer_index(depth, *_shaped(lens, layers, 1, 1))[..., None], along)
    index = tf.reshape(tf.transpose(index, [0, 1, 3, 2, 4, 5]), [-1, WINDOW, WINDOW])
    of_crop = tf.repeat(tf.range(count), along**2) * MAX_LAYERS
    present, counts = _present(index)
    order = tf.argsort(counts, direction="DESCENDING", stable=True)
    blended = []
    for part in tf.split(order, _parts(order.shape[0])):
        gathered = [tf.gather(x, part) for x in (windows, index, present, of_crop)]
        most = tf.reduce_max(tf.gather(counts, part))
        blended.append(_blend_tiles(*gathered, most, blur, parameters))
    tiles = tf.gather(tf.concat(blended, axis=0), tf.argsort(order))
    tiles = tf.reshape(tiles, [count, along, along, TILE, 3, TILE])
    return tf.reshape(tf.transpose(tiles, [0, 1, 3, 2, 5, 4]), [count, along * TILE, -1, 3])


def _tiles(planes, along: int):
    """[N, S, S, C] -> [N, along, WINDOW, along, WINDOW, C], windows overlapping by the margin."""
    starts = TILE * tf.range(along)[:, None] + tf.range(WINDOW)
    return tf.gather(tf.gather(planes, starts, axis=1), starts, axis=3)


def _blur(lens, layers, realism, disc):
    """What blurs a stack by its layer's parameters, and those, [N * MAX_LAYERS, ...]."""
    lens, layers = _shaped(lens, layers, 1)
    numbers = layers.last - tf.range(MAX_LAYERS, dtype=tf.float64)
    sigma_px = tf.reshape(layer_sigma_px(numbers, lens, layers), [-1])
    if realism.aperture == "gaussian" and disc is None:
        return blur_by_band, gaussian_bands(sigma_px)
    discs = _kernels(sigma_px, Realism(aperture="disc"))
    if realism.aperture == "disc":
        return blur_by_spectrum, even_spectra(discs)
    chosen = tf.repeat(disc, MAX_LAYERS)[:, None, None]
    return blur_by_spectrum, even_spectra(tf.where(chosen, discs, _kernels(sigma_px, realism)))


def _kernels(sigma_px, realism):
    return apertures.kernels(sigma_px, tf.zeros_like(sigma_px, tf.bool), realism)


def _present(index):
    """Layers of each tile, ascending and then MAX_LAYERS [T, MAX_LAYERS]; how many of them [T]."""
    tiles = index.shape[0]
    keys = tf.reshape(index, [tiles, -1]) + MAX_LAYERS * tf.range(tiles)[:, None]
    seen = tf.math.unsorted_segment_sum(
        tf.ones([tiles * WINDOW**2], tf.int32), tf.reshape(keys, [-1]), tiles * MAX_LAYERS
    )
    seen = tf.reshape(seen, [tiles, MAX_LAYERS]) > 0
    layers = tf.where(seen, tf.range(MAX_LAYERS), MAX_LAYERS)
    return tf.sort(layers, axis=1), tf.reduce_sum(tf.cast(seen, tf.int32), axis=1)


def _parts(tiles: int) -> list[int]:
    """Sizes of up to LOOPS parts of so many tiles."""
    each = -(-tiles // LOOPS)
    return [min(each, tiles - start) for start in range(0, tiles, each)]


def _blend_tiles(windows, index, present, of_crop, most, blur, parameters):
    """`compositing`'s loop over layers, of all tiles: [T, TILE, 3, TILE]."""
    tiles = windows.shape[0]

    def blend(i, out, coverage):
        layer = tf.gather(present, i, axis=1)
        # A tile without an i-th layer has an empty mask, which changes nothing.
        mask = tf.cast(index == layer[:, None, None], tf.float32)[:, :, None]
        stack = tf.concat([windows * mask, mask], axis=2)
        own = tf.gather(parameters, of_crop + tf.minimum(layer, MAX_LAYERS - 1))
        blurred = blur(stack, own)
        alpha = blurred[:, :, 3]
        alpha = tf.where(alpha < MASK_FLOOR, 0.0, alpha)
        out = out * (1.0 - alpha)[:, :, None] + blurred[:, :, :3]
        return i + 1, out, coverage * (1.0 - alpha) + alpha

    start = (0, tf.zeros([tiles, TILE, 3, TILE]), tf.zeros([tiles, TILE, TILE]))
    _, out, coverage = tf.while_loop(lambda i, *_: i < most, blend, start, parallel_iterations=1)
    return out / coverage[:, :, None]
