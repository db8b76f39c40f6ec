"""Where labels come from: the network on this machine, or a server.

What asks a server is another package, which contributes it through the entry point `server` of the
group `dmenet_tf.backends`, a module with

    add_options(add)                             its options, by a parser's `add_argument`
    RENAMED                                      {an option's old name: its name}
    open_backend(address, options, on_retry)     a `predictor.Backend`; options: parsed, or None

Imports neither that package nor TensorFlow before they are needed.
"""

import importlib.metadata
import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from data_gen.environment import quiet_native_stderr
from data_gen.installation import not_installed
from dmenet_tf.environment import prepare_library
from dmenet_tf.weights.shipped import named, shipped_weights

if TYPE_CHECKING:
    from dmenet_tf.prediction.predictor import Backend

GROUP, SERVER, SERVER_EXTRA = "dmenet_tf.backends", "server", "serving"


def open_local(weights=None, precision: str = "float32") -> "Backend":
    """The network on this machine.

    weights: a run's folder, an .npz of the published layout, or a loaded `TrainedModel`; None for
    those that the package ships. precision: float32, float16 or bfloat16, what it computes in.
    Raises FileNotFoundError and ValueError for missing and damaged weights.
    """
    if weights is None:
        weights = shipped_weights()
    elif isinstance(weights, str | os.PathLike):
        weights = named(weights)
    prepare_library()
    with quiet_native_stderr():
        from dmenet_tf.prediction.local import LocalBackend
    return LocalBackend(weights, precision)


def open_server(
    address: str, options=None, on_retry: Callable[[str], None] | None = None
) -> "Backend":
    """The network of the server at HOST:PORT, which has answered once.

    options: those of `add_server_options`, parsed; None for the defaults. on_retry: told in one
    line, once an outage, that the server is being tried again. Raises ImportError, in one line with
    the command to install it, where what asks a server is not installed; ConnectionError where the
    server does not answer; ValueError for an address or options that cannot be.
    """
    try:
        return _contributed().open_backend(address, options, on_retry)
    except ImportError as error:
        raise ImportError(not_installed("a server", error, SERVER_EXTRA)) from error


def add_server_options(add) -> dict[str, str]:
    """Adds the options of a server by `add`, an `add_argument`; none where none is installed.

    Returns those that were called otherwise: {old name: name}.
    """
    try:
        module = _contributed()
    except ImportError:
        return {}
    module.add_options(add)
    return module.RENAMED


def _contributed() -> ModuleType:
    for point in importlib.metadata.entry_points(group=GROUP, name=SERVER):
        return point.load()
    raise ImportError("no installed package declares how to ask one")
