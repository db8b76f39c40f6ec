"""Why a run stopped, in one line: errors of TensorFlow and of files, for people.

TensorFlow turns what a Python function of a pipeline raises into text, with the traceback in it; a
damaged TFRecord has no name there at all. The error itself, which names the file, is kept by what
the streams read through, or found by reading the records again.
"""

import contextlib
import re

import tensorflow as tf

from data_gen.dataset.records import find_damaged
from data_gen.io.errors import DataFileError
from dmenet_tf.data.sources import Streams
from dmenet_tf.training import distribution


class StoppedError(RuntimeError):
    """Training stopped; the message is one line, and says what of the run is kept."""


@contextlib.contextmanager
def explained(streams: Streams | None = None):
    """Raises what stands behind an error of TensorFlow in the block: `StoppedError`."""
    try:
        yield
    except tf.errors.OpError as error:
        raise StoppedError(explain(error, streams)) from error


def explain(error: Exception, streams: Streams | None) -> str:
    """One line for an error of a file, of another worker, of TensorFlow or of the system."""
    if not isinstance(error, tf.errors.OpError):
        return str(error)
    if distribution.is_of_lost_worker(error):
        return distribution.GONE
    if streams is None:
        return _first_line(error)
    behind = [reader.error for reader in streams.readers if reader.error is not None]
    behind = [cause for cause in behind if not isinstance(cause, tf.errors.OpError)]
    if behind:
        return str(behind[0])
    of_data = isinstance(error, (tf.errors.DataLossError, tf.errors.InvalidArgumentError))
    if of_data and streams.synthetic.records:
        try:
            find_damaged(*streams.synthetic.records)
        except DataFileError as damage:
            return str(damage)
    return _first_line(error)


# How the checks of `debugging.checked` tell which operation it was.
_NOT_FINITE = re.compile(r'Detected (Infinity or NaN in output \d+ of graph op "[^"]*")')


def _first_line(error: tf.errors.OpError) -> str:
    if found := _NOT_FINITE.search(error.message or ""):
        return f"every number of a step is finite; received {found.group(1)}"
    line = (error.message or type(error).__name__).strip().splitlines()[0]
    # Names of nodes and operations mean nothing to who runs the program.
    return re.sub(r"\{\{.*?\}\}|\s*\[Op:.*?\].*", "", line).strip()
