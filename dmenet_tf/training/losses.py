"""The losses of DMENet: unweighted, pure functions of tensors (Lee et al. 2019, Section 4).

Each returns a float32 scalar, the mean over all elements, and computes in float32 whatever type
comes in. Symbols: B, D, C, S the four networks; y the defocus map; b a binary map, 1 = blurred;
z the domain, 1 = synthetic and 0 = real.

    L_g = defocus + lambda_aux * sum of auxiliary + lambda_C * content
          + lambda_S * sharpness + lambda_adv * mean over the real domains of adversarial
    L_d = lambda_D * (discriminator(synthetic) + mean over the real domains of discriminator)
"""

import tensorflow as tf

from dmenet_tf.config import LossConfig

AUXILIARY = tuple(f"aux{level}" for level in range(5))
# A map of exactly 0 or 1 would diverge from every other label without bound.
MAP_MARGIN = 1e-6


def loss_weights(config: LossConfig) -> dict[str, float]:
    """Each named loss's lambda, as L_g and L_d sum them (section 3.3)."""
    return {
        "defocus": 1.0,
        **dict.fromkeys(AUXILIARY, config.lambda_aux),
        "content": config.lambda_content,
        "sharpness": config.lambda_sharpness,
        "sharpness_aux": config.lambda_sharpness_aux,
        "adversarial": config.lambda_adversarial,
        "d_synthetic": config.lambda_discriminator,
        # L_d takes the mean over the two real domains.
        "d_real_labelled": config.lambda_discriminator / 2,
        "d_real_unlabelled": config.lambda_discriminator / 2,
    }


def defocus_loss(defocus, label, kind="mse"):
    """MSE(B(I_S), y), or their divergence; see `map_loss`. Both [B, H, W, 1]."""
    return map_loss(defocus, label, kind)


def auxiliary_loss(auxiliary, label, kind="mse"):
    """`map_loss` of one auxiliary map [B, h, w, 1] and the label [B, H, W, 1] resized to it."""
    return map_loss(auxiliary, resize_nearest(label, tf.shape(auxiliary)[1:3]), kind)


def map_loss(defocus, label, kind="mse"):
    """What separates a map from its label, both in [0, 1]: `mse`, the paper's, or `divergence`.

    The divergence is that of two coins which come up blurred with probability y and B(I):
    y log(y / B) + (1 - y) log((1 - y) / (1 - B)). Both are least at the same map, the mean of the
    labels that an image leaves possible. But B ends in a sigmoid, through which the gradient of
    the MSE is B(1 - B) times that of the divergence: near 0 and 1 it hardly corrects a map.
    """
    if kind == "mse":
        return _mean_squared_error(defocus, label)
    defocus, label = _float32_alike(defocus, label)
    defocus = tf.clip_by_value(defocus, MAP_MARGIN, 1.0 - MAP_MARGIN)
    return tf.reduce_mean(
        tf.math.xlogy(label, label)
        + tf.math.xlogy(1.0 - label, 1.0 - label)
        - label * tf.math.log(defocus)
        - (1.0 - label) * tf.math.log1p(-defocus)
    )


def content_loss(phi_predicted, phi_label):
    """MSE(phi4(B(I_S)), phi4(y)), phi4 = C's output [B, h, w, C]."""
    return _mean_squared_error(phi_predicted, phi_label)


def sharpness_loss(logits, binary):
    """BCE(S(B(I_B)), b). Both [B, H, W, 1], b = 1 where the photo is blurred."""
    return _binary_cross_entropy(logits, binary)


def adversarial_loss(logits):
    """BCE(D(B_last(I_real)), 1): B wants a real photo's feature to pass as synthetic, z = 1."""
    return _binary_cross_entropy(logits, tf.ones_like(logits))


def discriminator_loss(logits, synthetic):
    """BCE(D(B_last(I)), z) of one domain, z = 1 where `synthetic` is True and 0 where not."""
    return _binary_cross_entropy(logits, tf.ones_like(logits) * float(synthetic))


def resize_nearest(label, size):
    """[B, H, W, C] -> [B, size[0], size[1], C], nearest neighbour, corners aligned.

    Row i comes from row `round(i * (in - 1) / (out - 1))`, halves rounded up; a single row comes
    from row 0. Columns likewise. `size` may be a tensor.
    """
    for axis in (1, 2):
        label = tf.gather(label, _source_index(tf.shape(label)[axis], size[axis - 1]), axis=axis)
    return label


def _source_index(size_in, size_out):
    steps = tf.maximum(size_out - 1, 1)  # a single output has index 0 whatever it is divided by
    # round(i * (in - 1) / steps) in integers, exact: floor(a / b + 1/2) = (2a + b) // 2b.
    return (2 * tf.range(size_out) * (size_in - 1) + steps) // (2 * steps)


def _mean_squared_error(a, b):
    a, b = _float32_alike(a, b)
    return tf.reduce_mean(tf.math.squared_difference(a, b))


def _binary_cross_entropy(logits, labels):
    logits, labels = _float32_alike(logits, labels)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def _float32_alike(a, b):
    """Both in float32; raises ValueError on unequal shapes, which would broadcast unnoticed."""
    a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    if not a.shape.is_compatible_with(b.shape):
        raise ValueError(f"a loss compares equal shapes; received {a.shape} and {b.shape}")
    return a, b
