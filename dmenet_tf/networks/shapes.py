"""The variables of B by layer and shape, known without building B, which takes Keras half a second.

`tests/dmenet_tf/test_shapes.py` compares them with the network that Keras builds.
"""

from dmenet_tf.architecture import CHANNELS_AND_COUNT, FINAL, LEVELS, REFINEMENTS
from dmenet_tf.networks.layers import scaled

# Variables of a batch normalisation, [channels] each.
STATISTICS = ("beta", "moving_mean", "moving_variance")


def variable_shapes(width: float, decoder_width: float) -> dict[str, dict[str, tuple[int, ...]]]:
    """{layer: {variable: shape}} of `build_blur_estimation(width, decoder_width)`."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}

    def convolve(before: int, channels: int, name: str, size: int = 3) -> int:
        shapes[name] = {"kernel": (size, size, before, channels), "bias": (channels,)}
        return channels

    def block(before: int, channels: int, name: str, size: int = 3) -> int:
        convolve(before, channels, name, size)
        shapes[name.replace("conv", "bn")] = dict.fromkeys(STATISTICS, (channels,))
        return channels

    x, encoded = 3, {}
    for number, (channels, count) in enumerate(CHANNELS_AND_COUNT, start=1):
        for i in range(1, count + 1):
            name = f"conv{number}_{i}"
            x = encoded[name] = convolve(x, scaled(channels, width), name)

    def auxiliary(before: int, channels: int, level: int) -> None:
        name = f"level{level}_aux_conv"
        block(block(before, scaled(channels, decoder_width), f"{name}1"), 1, f"{name}2")

    auxiliary(x, 256, 4)
    for level, skip, channels, count in LEVELS:
        x += encoded[skip]
        for i in range(1, count + 1):
            x = block(x, scaled(channels, decoder_width), f"level{level}_conv{i}")
        auxiliary(x, max(channels // 2, 32), level)
    for index in range(REFINEMENTS):
        channels, name = scaled(64, decoder_width), f"refine{index}"
        block(x, channels, f"{name}_shortcut_conv", size=1)
        x = block(block(x, channels, f"{name}_conv1"), channels, f"{name}_conv2")
    for i, channels in FINAL:
        x = block(x, scaled(channels, decoder_width), f"final_conv{i}")
    convolve(x, 1, "final_conv3")
    return shapes
