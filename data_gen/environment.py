"""Settings that must be made before TensorFlow is imported, and the limits of a worker process.

Every entry point of data_gen calls `prepare` first: the commands and the Beam pipeline. Worker
processes inherit the environment.
"""

import os

# Unless the user has set them. TF_ENABLE_ONEDNN_OPTS is left alone: other kernels round
# differently, and an interrupted dataset must continue with the same bytes.
DEFAULTS = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # errors only, no notes about the machine
# Even if the user has set them, for other programs: a backend that is not installed here, such as
# a notebook's for plots, would make the import of Keras or matplotlib fail.
REQUIRED = {
    "KERAS_BACKEND": "tensorflow",
    "MPLBACKEND": "agg",  # plots are only written to files; works without a display
}


def prepare() -> None:
    """Sets the variables; call it before anything imports TensorFlow."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(REQUIRED)


def limit_to_processor(threads: int) -> None:
    """Limits this process to `threads` CPU threads and hides all GPUs.

    Must be called before TensorFlow runs its first operation; raises RuntimeError afterwards.
    """
    import cv2
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.set_visible_devices([], "GPU")
    cv2.setNumThreads(threads)
