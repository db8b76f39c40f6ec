"""The four networks of DMENet (Lee et al., CVPR 2019), as functional Keras models.

    B  build_blur_estimation       photo -> defocus map, feature, auxiliary maps
    D  build_domain_discriminator  feature -> logits, synthetic or real
    C  build_content_preservation  map -> VGG19 feature, frozen
    S  build_sharpness_calibration map -> logits, blurred or sharp
       build_monotone_calibration  the same, larger maps being more blurred

`width` scales every channel count; 1.0 is the paper's. `weights/vgg19_files.py` starts B's encoder
and C from VGG19's weights.
"""

from dmenet_tf.environment import settle_keras

settle_keras()

from dmenet_tf.networks.blur_estimation import build_blur_estimation
from dmenet_tf.networks.content_preservation import build_content_preservation
from dmenet_tf.networks.discriminator import build_domain_discriminator
from dmenet_tf.networks.sharpness_calibration import (
    SHARPNESS_NETWORKS,
    build_monotone_calibration,
    build_sharpness_calibration,
)
from dmenet_tf.networks.vgg19 import balance_features

__all__ = [
    "SHARPNESS_NETWORKS",
    "balance_features",
    "build_monotone_calibration",
    "build_blur_estimation",
    "build_content_preservation",
    "build_domain_discriminator",
    "build_sharpness_calibration",
]
