"""What must be set before TensorFlow is imported, and what a process of its own sets after it.

Every entry point of data_gen calls `prepare` first: the commands, the Beam pipeline, and through
the environment that they inherit the worker processes. A variable that the user has set stays.
"""

import os

# TF_ENABLE_ONEDNN_OPTS is not here: other kernels round otherwise, and a dataset is continued with
# the bytes that it was begun with.
VARIABLES = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow's notes about the machine are no news to a user
    "KERAS_BACKEND": "tensorflow",
    "MPLBACKEND": "agg",  # plots go into files; a machine without a screen has no other
}


def prepare() -> None:
    """Sets the variables; call it before anything imports TensorFlow."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)


def limit_to_processor(threads: int) -> None:
    """Keeps this process to `threads` threads of the processor, and off any GPU.

    Before TensorFlow has run an operation; it raises RuntimeError afterwards.
    """
    import cv2
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.set_visible_devices([], "GPU")
    cv2.setNumThreads(threads)
