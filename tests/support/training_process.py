"""`python -m dmenet_tf.train` as a process of its own, with something set before it starts.

Set by the process itself, not by `preexec_fn`: that runs Python between fork and exec, and in a
process with the threads of TensorFlow and gRPC, as this one, such a fork may never return.
"""

import sys

# Only for a program that never ends: the tests would not either.
LIMIT_S = 300
# Where the tests themselves run in the background, programs start without Ctrl-C.
CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def command_after(statement: str) -> list[str]:
    """The command line, to which options are added, of a training that runs `statement` first."""
    train = "runpy.run_module('dmenet_tf.train', run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", f"import runpy; {statement}; {train}"]
