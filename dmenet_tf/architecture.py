"""B's plan in numbers (Lee et al. 2019, Section 4), as far as more than its builder must know it.

The networks are built from these tables, the inference graph is folded by them, and the tiles of
large photos follow from them. Imports nothing, so that a program without TensorFlow can cut tiles.
"""

SIZE_MULTIPLE = 16  # four poolings by two
# VGG19's blocks, first to last: channels, convolutions. Between two blocks, a pooling.
CHANNELS_AND_COUNT = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
# Decoder, deepest first: level, the encoder's feature that joins, channels, convolutions.
LEVELS = (
    (3, "conv4_4", 256, 3),
    (2, "conv3_4", 128, 3),
    (1, "conv2_2", 64, 3),
    (0, "conv1_2", 64, 1),
)
REFINEMENTS = 7  # residual blocks of two convolutions
# What the network may compute in where it only predicts; the first is the default.
INFERENCE_PRECISIONS = ("float32", "float16", "bfloat16")
FINAL = ((1, 64), (2, 32))  # convolutions before the last one
