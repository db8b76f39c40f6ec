"""Settings that must be made before TensorFlow, Keras or matplotlib is imported.

A command owns its process and calls `prepare()` first in its `main`. In somebody else's process,
the package calls `prepare_library()`, which changes less. `dmenet_tf.networks`, the first package
to import Keras, calls `settle_keras()`.

Imports nothing heavy: `--help` does not wait for it.
"""

import os

import data_gen.environment

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The defaults of Keras, which ~/.keras/keras.json may replace. The networks are built for them.
IMAGE_DATA_FORMAT, FLOAT, EPSILON = "channels_last", "float32", 1e-7


def prepare(threads: int | None = None) -> None:
    """Prepares the process of a command; has no effect on modules that are already imported.

    `threads`: intra-op threads, which compute one operation together; by default TensorFlow has one
    per core.
    """
    data_gen.environment.prepare()
    prepare_library()
    if threads is not None:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


def prepare_library() -> None:
    """Sets only what the networks need; leaves the backend of the user's plots alone."""
    # Keras reads the variable when it is imported; these networks run on no other backend.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN's convolutions are nearly twice as fast (`networks/folding.py`), and by default on only
    # for some processors.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def reach_directly(host: str) -> None:
    """Excepts this machine from the user's proxies: `host`, an address of it, and the loopback.

    A program that listens here asks itself whether it answers, as gradio does; no proxy leads here.
    """
    for name in ("no_proxy", "NO_PROXY"):  # programs differ in which they read
        given = os.environ.get(name, os.environ.get(name.swapcase(), ""))
        hosts = [word.strip() for word in given.split(",") if word.strip()]
        if "*" not in hosts:
            hosts += [own for own in (*LOOPBACK, host) if own not in hosts]
        os.environ[name] = ",".join(hosts)


def settle_keras() -> None:
    """Imports Keras and restores the defaults that ~/.keras/keras.json may have changed.

    Raises ImportError if Keras was already imported with another backend than TensorFlow.
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
