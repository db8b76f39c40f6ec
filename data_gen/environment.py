"""Settings that must be made before TensorFlow is imported, and the limits of a worker process.

Every entry point of data_gen calls `prepare` first: the commands and the Beam pipeline. Worker
processes inherit the environment.
"""

import contextlib
import os
import sys
import tempfile

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


@contextlib.contextmanager
def quiet_native_stderr():
    """Shows what native libraries write to standard error only if the block fails.

    TensorFlow reports missing GPUs on import, before any setting can stop it.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            os.write(kept, written.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


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
