"""The embedded server as a process of its own, on loopback, with this process's kernels.

Others round otherwise, and maps of the two could not be held to be equal.
"""

import os
import re
import subprocess
import sys
import threading
import time

from tensorflow.python.framework.test_util import IsMklEnabled

from serving.client import Client, ClientOptions

START_SECONDS = 120


class ServerProcess:
    """`with ServerProcess(models) as server`: a server that serves, ended at the end.

    Attributes: `address`, HOST:PORT; `pid`; `log`, the lines that it wrote. `port` 0: a free one.
    """

    def __init__(self, models, *options: str, port: int = 0, **environment: str):
        self.command = [
            sys.executable, "-m", "serving.server",
            "--address", f"127.0.0.1:{port}", "--http-port", "-1", *options,
        ]  # fmt: skip
        if models is not None:
            self.command += ["--models", str(models)]
        self.environment = environment

    def __enter__(self):
        self._process = subprocess.Popen(
            self.command,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **self.environment,
                "TF_ENABLE_ONEDNN_OPTS": str(int(IsMklEnabled())),
            },
        )
        self.pid, self.address, self.log = self._process.pid, "", []
        listening = threading.Event()
        self._reader = threading.Thread(target=self._read, args=[listening], daemon=True)
        self._reader.start()
        listening.wait(START_SECONDS)
        if not self.address:
            self.kill()
            raise RuntimeError(f"the server did not start: {''.join(self.log)}")
        self._wait_until_serving()
        return self

    def said(self, pattern: str) -> re.Match | None:
        """Where the log has it."""
        return re.search(pattern, "".join(self.log))

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        self._process.terminate()

    def wait(self, seconds: float = 60) -> int:
        """The exit code, once it has ended and the log is whole."""
        code = self._process.wait(seconds)
        self._reader.join()
        return code

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def __exit__(self, *_):
        self.terminate()
        self.wait()

    def _read(self, listening: threading.Event) -> None:
        for line in self._process.stderr:
            self.log.append(line)
            found = re.search(r" serving .*(127\.0\.0\.1:\d+)", line)
            if found:
                self.address = found.group(1)
                listening.set()
        listening.set()

    def _wait_until_serving(self) -> None:
        end = time.monotonic() + START_SECONDS
        with Client(self.address, ClientOptions(timeout_s=START_SECONDS)) as client:
            while client.health() != "SERVING":
                if time.monotonic() > end:
                    raise RuntimeError(f"the server must serve within {START_SECONDS} s")
                time.sleep(0.2)
