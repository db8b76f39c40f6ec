"""A network on several domains at once: convolutions over all images, statistics of each domain.

Each domain passes a network in its own batch-norm batch (Lee et al. 2019). Convolutions know no
domains: in one batch they are fewer and larger, and the gradient of a kernel is one product.
"""

import tensorflow as tf

from dmenet_tf.networks.layers import Group, batch_of_groups


def forward(network, inputs: dict, followers: dict | None = None) -> dict:
    """`network` in training on each domain's images: {domain: what it gives for them}.

    Domains whose images are of one size, which must be known when this is traced, go through in one
    batch, in the order of `inputs`; otherwise each by itself. The values are the same.

    Args:
        network: a tensor or nest of tensors, images along the first axis -> such a nest.
        inputs: {domain: such a nest}.
        followers: {domain: what follows its statistics, see `layers.Group`}; a domain that is not
            named moves the network's own moving statistics.
    """
    followers = followers or {}
    if not _alike(inputs.values()):
        return {
            name: forward(network, {name: images}, followers)[name]
            for name, images in inputs.items()
        }
    sizes = [_number(images) for images in inputs.values()]
    groups = [Group(*pair) for pair in zip(sizes, map(followers.get, inputs), strict=True)]
    joined = tf.nest.map_structure(lambda *parts: _concat(parts), *inputs.values())
    with batch_of_groups(groups):
        outputs = network(joined)
    divided = [tf.split(tensor, sizes) for tensor in tf.nest.flatten(outputs)]
    return {
        name: tf.nest.pack_sequence_as(outputs, [parts[i] for parts in divided])
        for i, name in enumerate(inputs)
    }


def estimate(parts, images: dict, followers: dict, maps: set, auxiliary_maps: set) -> dict:
    """B in training: {domain: those of its outputs that a loss or a moving statistic needs}.

    All domains pass the decoder together, and only some what follows it: those whose outputs a loss
    takes together, those that statistics follow and no loss does apart, since of these no gradient
    is to be computed.

    Args:
        parts: `blur_estimation.Parts`.
        images: {domain: images [B, H, W, 3], or a tuple of the encoder's features}.
        followers: as of `forward`.
        maps, auxiliary_maps: domains of whose `defocus`, `aux0` .. `aux4` there is a loss.
    """

    def decoder(images):
        cached = isinstance(images, tuple)
        features = images if cached else parts.encoder(images, training=True)
        return [features[-1], *parts.decoder(list(features), training=True)]

    levels = forward(decoder, images, followers)
    features = {name: levels[name][-1] for name in images}
    estimates = {name: {"feature": feature} for name, feature in features.items()}
    followed = {name for name in images if followers.get(name) != {}}
    for network, inputs, learning in (
        (parts.heads, levels, auxiliary_maps), (parts.refinement, features, maps)
    ):  # fmt: skip
        for names in (learning, followed - learning):
            some = {name: value for name, value in inputs.items() if name in names}
            if some:
                outputs = forward(lambda x, n=network: n(x, training=True), some, followers)
                for name, values in outputs.items():
                    estimates[name] |= values
    return estimates


def _alike(inputs) -> bool:
    shapes = [[t.shape[1:] for t in tf.nest.flatten(images)] for images in inputs]
    known = all(shape.is_fully_defined() for image in shapes for shape in image)
    return len(shapes) == 1 or known and all(shape == shapes[0] for shape in shapes)


def _number(images):
    first = tf.nest.flatten(images)[0]
    return tf.shape(first)[0] if first.shape[0] is None else first.shape[0]


def _concat(parts):
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)
