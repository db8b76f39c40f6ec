"""Filling of what near objects hide, as an option of the renderer.

The paper's blend divides by the coverage, so the soft rim of a near, blurred object shows nothing
of the background that a real lens would see around the object's edge. The authors' public
generator fills that background in. How it does so is not described; this module follows what its
results show (`blurred_with_inpainting` in the tests): before each layer in front of the focus
plane is blended, the picture so far is continued, smoothly, from the pixels farther than that
layer into all others.

A continuation costs as much as the blur of some ten layers. So near layers of nearly equal blur
are blended as one, with the kernel of the middle one: their sigmas lie `SIGMA_STEP_PX` apart at
most, or `SIGMA_STEP` of the larger ones.

The continuation is pull-push (Gortler et al., 1996, section 5.3): known pixels are averaged into
ever coarser grids until each cell has some, and holes take the interpolated coarser values.
"""

import tensorflow as tf

# Finest grid cells 1 px, coarsest 64 px; beyond that, the mean of all known pixels.
LEVELS = 6
# Half of it is what a kernel may be off: an edge of full contrast then changes by a hundredth.
SIGMA_STEP_PX, SIGMA_STEP = 0.12, 0.1


def pull_push(planes: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Continues an image smoothly into its holes.

    Args:
        planes: [C, H, W] float32, any H and W. As planes, because a weight on an innermost axis of
            channels would take twice the time.
        known: [H, W] bool; at least one pixel, or the result is 0.
    Returns:
        [C, H, W]: `planes` where known.
    """
    size = tf.shape(known)
    pad = tf.math.floormod(-size, 2**LEVELS)
    # A hole may contain anything, even NaN, which must not spread by 0 * NaN.
    light, weight = tf.where(known, planes, 0.0), tf.cast(known, tf.float32)[None]
    # Colours times their weight, and the weight.
    light, weight = (
        tf.pad(each, [[0, 0], [0, pad[0]], [0, pad[1]]])[..., None] for each in (light, weight)
    )
    grids = [(light, weight)]
    for _ in range(LEVELS):
        light = 4.0 * tf.nn.avg_pool2d(light, 2, 2, "VALID")
        total = 4.0 * tf.nn.avg_pool2d(weight, 2, 2, "VALID")
        weight = tf.minimum(total, 1.0)
        light = light * tf.math.divide_no_nan(weight, total)
        grids.append((light, weight))
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(light, (1, 2), keepdims=True), tf.reduce_sum(weight, (1, 2), keepdims=True)
    )
    filled = light + (1.0 - weight) * mean
    for light, weight in reversed(grids[:-1]):
        filled = tf.image.resize(filled, tf.shape(light)[1:3], method="bilinear")
        filled = light + (1.0 - weight) * filled
    return filled[:, : size[0], : size[1], 0]


def representatives(sigma_px: tf.Tensor, first_near: tf.Tensor) -> tf.Tensor:
    """Which layer each one is blended as, int32 [L]: the middle of near ones of nearly equal blur.

    sigma_px: [L], farthest first, growing from `first_near` on, the index of the first layer in
    front of the focus plane: 0 or less where all are, L or more where none is.
    """
    first_near = tf.clip_by_value(first_near, 0, tf.size(sigma_px))
    near = tf.floor(_steps(sigma_px[first_near:]))
    first = tf.searchsorted(near, near, side="left")
    last = tf.searchsorted(near, near, side="right") - 1
    return tf.concat([tf.range(first_near), first_near + (first + last) // 2], axis=0)


def _steps(sigma_px):
    """How many steps lie below a sigma: of equal size up to the border, of equal ratio beyond."""
    border = SIGMA_STEP_PX / SIGMA_STEP
    beyond = tf.math.log(tf.maximum(sigma_px / border, 1.0)) / SIGMA_STEP
    return tf.minimum(sigma_px, border) / SIGMA_STEP_PX + beyond


def blend_near_layers(base, image, layer_index, kernels, first_near, floor):
    """Blends the layers in front of the focus plane over what lies behind, filled in.

    Args:
        base: [H, W, 3] all layers before `first_near`, blended; used where one of them is seen.
        image: [H + 2R, W + 2R, 3], layer_index: [H + 2R, W + 2R] int32: with a margin of R px.
        kernels: [L, 2R + 1, 2R + 1].
        first_near: index of the first layer in front of the focus plane.
        floor: a blurred mask below it counts as 0.
    Returns:
        [H, W, 3].
    """
    radius = kernels.shape[1] // 2
    inner = layer_index[radius:-radius, radius:-radius]
    size = tf.shape(inner)
    present = tf.sort(tf.unique(tf.reshape(layer_index, [-1]))[0])
    present = tf.boolean_mask(present, present >= first_near)
    planes = tf.transpose(tf.concat([image, tf.ones_like(image[..., :1])], axis=-1), [2, 0, 1])

    def blend(i, state):
        layer = present[i]
        # Only what the layer's blur reaches changes; a hole is continued from a little farther.
        top, left, bottom, right = _reach(layer_index == layer, size, radius)
        mask = tf.cast(
            layer_index[top : bottom + 2 * radius, left : right + 2 * radius] == layer, tf.float32
        )
        part = planes[:, top : bottom + 2 * radius, left : right + 2 * radius]
        blurred = _convolve(part * mask, kernels[layer])
        behind = _continued(state, inner, layer, (top, left, bottom, right))
        alpha = blurred[3:]
        alpha = tf.where(alpha < floor, 0.0, alpha)
        changed = behind * (1.0 - alpha) + tf.concat([blurred[:3], alpha], axis=0)
        row = tf.concat(
            [state[:, top:bottom, :left], changed, state[:, top:bottom, right:]], axis=2
        )
        return i + 1, tf.concat([state[:, :top], row, state[:, bottom:]], axis=1)

    seen = tf.cast(inner < first_near, tf.float32)[None]
    light = tf.math.multiply_no_nan(tf.transpose(base, [2, 0, 1]), seen)
    start = (0, tf.concat([light, seen], axis=0))
    shapes = (tf.TensorShape([]), tf.TensorShape([4, None, None]))
    _, state = tf.while_loop(lambda i, _: i < tf.size(present), blend, start, shapes)
    return tf.transpose(state[:3] / state[3:], [1, 2, 0])


def _reach(mask, size, radius):
    """Box (top, left, bottom, right) of the picture that a mask [H + 2R, W + 2R] is blurred into.

    It holds at least a pixel.
    """
    box = []
    for axis in (0, 1):
        places = tf.where(tf.reduce_any(mask, axis=1 - axis))[:, 0]
        first = tf.cast(tf.reduce_min(places), tf.int32) - 2 * radius
        last = tf.cast(tf.reduce_max(places), tf.int32)
        first = tf.clip_by_value(first, 0, size[axis] - 1)
        box.append((first, tf.clip_by_value(last, first, size[axis] - 1) + 1))
    (top, bottom), (left, right) = box
    return top, left, bottom, right


def _continued(state, inner, layer, box):
    """The picture so far [4, h, w] (light and coverage) in a box, continued behind a layer."""
    size = tf.shape(inner)
    (top, left, bottom, right), margin = box, 2**LEVELS
    first = tf.maximum(top - margin, 0), tf.maximum(left - margin, 0)
    last = tf.minimum(bottom + margin, size[0]), tf.minimum(right + margin, size[1])
    known = inner[first[0] : last[0], first[1] : last[1]] < layer

    def continued():
        part = state[:, first[0] : last[0], first[1] : last[1]]
        filled = pull_push(tf.math.divide_no_nan(part[:3], part[3:]), known)
        filled = filled[:, top - first[0] : bottom - first[0], left - first[1] : right - first[1]]
        return tf.concat([filled, tf.ones_like(filled[:1])], axis=0)

    def nothing():
        """With nothing behind it, a layer is blended as the paper has it."""
        return state[:, top:bottom, left:right]

    return tf.cond(tf.reduce_any(known), continued, nothing)


def _convolve(planes, kernel):
    """planes [C, H + 2R, W + 2R] with one kernel: the part [C, H, W] that needs no border."""
    size, reach = tf.shape(planes)[1:], kernel.shape[0] - 1
    # A side with a large prime factor takes twice as long.
    sides = tf.gather(_FAST_SIDES, tf.searchsorted(_FAST_SIDES, size))
    spectrum = tf.signal.rfft2d(planes, sides) * tf.signal.rfft2d(kernel, sides)[None]
    full = tf.signal.irfft2d(spectrum, sides)
    # Circular: the first `reach` rows and columns hold what wrapped around.
    return full[:, reach : size[0], reach : size[1]]


# Products of 2, 3 and 5, up to more than any picture's side.
_FAST_SIDES = sorted(
    2**i * 3**j * 5**k for i in range(18) for j in range(12) for k in range(8)
    if 2**i * 3**j * 5**k <= 2**17
)  # fmt: skip
