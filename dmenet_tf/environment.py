"""What must be settled before TensorFlow, Keras or matplotlib is imported: in one place.

A command owns its process and calls `prepare()` first thing in `main`. A library does not:
`prepare_library()` fills in what nobody has chosen. `settle_keras()` is for `dmenet_tf.networks`,
the first of the package to import Keras.

Imports nothing but the standard library, so that `--help` waits for nothing.
"""

import os

# Of ~/.keras/keras.json, Keras's own defaults. The networks are made for them, and a layer takes
# them from there wherever it is not told.
IMAGE_DATA_FORMAT, FLOAT, EPSILON = "channels_last", "float32", 1e-7


def prepare(threads: int | None = None) -> None:
    """Settles the environment of a command; without effect on what is imported already.

    Args:
        threads: intra-op threads, which compute one operation together; None leaves the choice to
            TensorFlow, which takes one per processor.

    A backend of Keras or matplotlib that the user's environment names for other programs (a
    notebook's, say) is overruled: TensorFlow and files are all that a command here can use.
    """
    prepare_library()
    os.environ["MPLBACKEND"] = "agg"
    if threads is not None:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


def prepare_library() -> None:
    """What the package needs in a process that is not its own."""
    # Keras looks at the variable once, at its import; another backend cannot run these networks.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN's convolutions: on by default on some processors alone, and nearly twice as fast
    # (`networks/folding.py`).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def settle_keras() -> None:
    """Imports Keras and gives it back the defaults that ~/.keras/keras.json may have changed.

    Raises ImportError where Keras runs on another backend than TensorFlow.
    """
    prepare_library()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            "Keras must run on TensorFlow; received the backend "
            f"{keras.backend.backend()}: set KERAS_BACKEND=tensorflow, or import dmenet_tf before "
            "keras"
        )
    keras.backend.set_image_data_format(IMAGE_DATA_FORMAT)
    keras.backend.set_floatx(FLOAT)
    keras.backend.set_epsilon(EPSILON)
