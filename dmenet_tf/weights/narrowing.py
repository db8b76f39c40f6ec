"""A narrower encoder out of a trained one: the start of a small model that learns from a large one.

Of each convolution the channels stay that carry most to what reads them: the next convolution and,
where it joins there, the decoder. A channel carries its root mean square over photographs times the
norm of the weights that read it; magnitudes of weights alone (Li et al., "Pruning Filters for
Efficient ConvNets", 2017) say nothing of how strong a feature is. The decoder keeps its width.
"""

import keras
import numpy as np

from data_gen.io.pixels import as_float
from data_gen.scenes.photographs import load_photographs
from dmenet_tf.architecture import CHANNELS_AND_COUNT, LEVELS
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.layers import scaled, to_be_loaded
from dmenet_tf.weights.load import TrainedModel, with_model

_SIDE = 256  # of the parts of photographs that the features are measured on
_ENCODER = [
    f"conv{block}_{i}"
    for block, (_, count) in enumerate(CHANNELS_AND_COUNT, start=1)
    for i in range(1, count + 1)
]
_CHANNELS = [channels for channels, count in CHANNELS_AND_COUNT for _ in range(count)]
_LAST, _DEEPEST_HEAD = _ENCODER[-1], "level4_aux_conv1"
_JOINS = {f"level{level}_conv1": skip for level, skip, _, _ in LEVELS}
_DEEPEST_JOIN = next(iter(_JOINS))  # which reads the last feature, enlarged, besides its own skip


def narrow_encoder(trained: TrainedModel, encoder_width: float) -> TrainedModel:
    """A model of that encoder width and the same decoder, for training to continue from.

    Raises ValueError where the encoder is not wider than that.
    """
    layers = {layer.name: layer for layer in trained.model.layers if layer.weights}
    kernels = {
        n: np.asarray(layer.kernel) for n, layer in layers.items() if hasattr(layer, "kernel")
    }
    widest = kernels[_ENCODER[0]].shape[-1]
    if scaled(_CHANNELS[0], encoder_width) >= widest:
        raise ValueError(
            f"an encoder can only become narrower; received width {encoder_width} for one whose "
            f"first convolution has {widest} channels"
        )
    counts = {name: kernels[name].shape[-1] for name in _ENCODER}
    kept = _kept(kernels, _strengths(trained.model), encoder_width)
    decoder_width = layers[_DEEPEST_JOIN].filters / LEVELS[0][2]
    with to_be_loaded():
        model = build_blur_estimation(encoder_width, decoder_width)
    for layer in model.layers:
        if layer.weights:
            weights = [np.asarray(w) for w in layers[layer.name].get_weights()]
            layer.set_weights(_narrowed(layer.name, weights, kept, counts))
    return with_model(trained, model)


def _kept(kernels, strengths, width) -> dict[str, np.ndarray]:
    """Numbers of the channels that stay, of each convolution of the encoder, in their order."""
    kept = {}
    for name, channels in zip(_ENCODER, _CHANNELS, strict=True):
        squares = sum(np.square(k).sum(axis=(0, 1, 3)) for k in _read_by(name, kernels))
        carried = strengths[name] * np.sqrt(squares)
        kept[name] = np.sort(np.argsort(-carried, kind="stable")[: scaled(channels, width)])
    return kept


def _read_by(name, kernels):
    """Of every kernel that reads a convolution's channels, the part that does."""
    count = kernels[name].shape[-1]
    if name == _LAST:
        yield from (kernels[reader][:, :, :count] for reader in (_DEEPEST_HEAD, _DEEPEST_JOIN))
    else:
        yield kernels[_ENCODER[_ENCODER.index(name) + 1]]
    yield from (kernels[join][:, :, -count:] for join, skip in _JOINS.items() if skip == name)


def _narrowed(name, weights, kept, counts):
    """A layer's weights, reading and giving only the channels that stay."""
    if name in _ENCODER:
        position = _ENCODER.index(name)
        inputs = kept[_ENCODER[position - 1]] if position else slice(None)
        kernel, bias = weights
        return [kernel[:, :, inputs][..., kept[name]], bias[kept[name]]]
    if name == _DEEPEST_HEAD:
        return [weights[0][:, :, kept[_LAST]], *weights[1:]]
    if name in _JOINS:
        kernel, skip = weights[0], _JOINS[name]
        below = kernel.shape[2] - counts[skip]
        first = kept[_LAST] if name == _DEEPEST_JOIN else np.arange(below)
        return [kernel[:, :, np.concatenate([first, below + kept[skip]])], *weights[1:]]
    return weights


def _strengths(model) -> dict[str, np.ndarray]:
    """Root mean square over photographs of each channel of the encoder's convolutions."""
    features = keras.Model(model.input, {name: model.get_layer(name).output for name in _ENCODER})
    photos = load_photographs().values()
    parts = [photo[:_SIDE, :_SIDE] for photo in photos if min(photo.shape[:2]) >= _SIDE]
    squares = [
        {
            name: np.square(f).mean(axis=(0, 1, 2))
            for name, f in features(as_float(part)[None]).items()
        }
        for part in parts
    ]
    return {name: np.sqrt(np.mean([s[name] for s in squares], axis=0)) for name in _ENCODER}
