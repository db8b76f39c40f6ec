"""What keeps a console readable."""

import argparse
import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def quiet_native_stderr():
    """Within it, what native libraries write to standard error is shown only if it fails.

    TensorFlow, on import, tells of GPUs that are not there before any setting can stop it.
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


class Parser(argparse.ArgumentParser):
    """Raises ValueError for wrong options, so that a command reports them as its other errors."""

    def error(self, message):
        raise ValueError(message)
