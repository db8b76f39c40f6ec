"""The embedded server as a process of its own, on loopback, with this process's kernels.

Others round otherwise, and maps of the two could not be held to be equal.
"""

import os
import subprocess
import sys
import threading
import time

from tensorflow.python.framework.test_util import IsMklEnabled

from serving.client import Client, ClientOptions

START_SECONDS = 120


class ServerProcess:
    """`with ServerProcess(models) as server`: `address`, `pid`, `kill()`. `port` 0: a free one."""

    def __init__(self, models, *options: str, port: int = 0):
        self.command = [
            sys.executable, "-m", "serving.server", "--models", str(models),
            "--address", f"127.0.0.1:{port}", "--metrics-port", "-1", *options,
        ]  # fmt: skip

    def __enter__(self):
        self._process = subprocess.Popen(
            self.command,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": str(int(IsMklEnabled()))},
        )
        self.pid, self.address, written = self._process.pid, "", []
        for line in self._process.stderr:
            written.append(line)
            if " serving " in line and "127.0.0.1:" in line:
                self.address = "127.0.0.1:" + line.split("127.0.0.1:")[1].split()[0]
                break
        if not self.address:
            raise RuntimeError(f"the server did not start: {''.join(written)}")
        # Whatever else it writes must not fill the pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._wait_until_serving()
        return self

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(60)

    def _wait_until_serving(self) -> None:
        end = time.monotonic() + START_SECONDS
        with Client(self.address, ClientOptions(timeout_s=START_SECONDS)) as client:
            while client.health() != "SERVING":
                if time.monotonic() > end:
                    raise RuntimeError(f"the server must serve within {START_SECONDS} s")
                time.sleep(0.2)
