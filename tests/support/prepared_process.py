"""`python -m dmenet_tf.train`, or another module, as a process that first sets something.

Set by the process itself, not by `preexec_fn`: that runs Python between fork and exec, and in a
process with the threads of TensorFlow and gRPC, as this one, such a fork may never return.
"""

import sys

# Only for a program that never ends: the tests would not either.
LIMIT_S = 300
# Where the tests themselves run in the background, programs start without Ctrl-C.
CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def command_after(statement: str, module: str = "dmenet_tf.train") -> list[str]:
    """The command line, to which options are added, of a program that runs `statement` first."""
    program = f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", f"import runpy; {statement}; {program}"]
