"""C, the content preservation network: a defocus map seen through a frozen VGG19.

    defocus  [B, H, W, 1]         a map in [0, 1], repeated to the three channels of a grey image
    phi4     [B, H/8, W/8, 512]   float32, conv4_4 after its ReLU (l = 4), sizes rounded down

The loss compares the features of the predicted and of the true map, which keeps edges where a
plain MSE would smear them (Lee et al. 2019, Section 4).
"""

import keras

from dmenet_tf.networks.float16 import TrueValues
from dmenet_tf.networks.vgg19 import vgg19_features


def build_content_preservation(width=1.0):
    """C at `width` times VGG19's channels, not trainable; see the module for input and output."""
    defocus = keras.Input((None, None, 1), name="defocus")
    grey = keras.layers.Concatenate(name="grey_image")([defocus] * 3)
    phi4 = vgg19_features(grey, width, last="conv4_4")["conv4_4"]
    phi4 = TrueValues(name="phi4")(phi4)
    model = keras.Model(defocus, phi4, name="content_preservation")
    model.trainable = False
    return model
