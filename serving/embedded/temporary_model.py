"""Weights -> a folder of models that lasts as long as the server, for `dmenet serve --weights`.

`dmenet export` runs as a process of its own: what the conversion takes in memory, up to gigabytes,
is the system's again when it ends, and this process needs no Keras.
"""

import subprocess
import sys
from pathlib import Path

from serving import contract


def export(weights, folder: Path) -> Path:
    """Exports a run, an .npz, or with None the shipped model, into `folder`; returns it.

    Raises ValueError with the exporter's own reason where it fails.
    """
    command = [sys.executable, "-m", "serving.export", "-o", str(folder / contract.MODEL_NAME)]
    if weights is not None:
        command += ["--weights", str(weights)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in reversed(lines) if line.startswith("error: ")), "")
        why = said.removeprefix("error: ") or (lines or ["it ended without a reason"])[-1]
        raise ValueError(why)
    return folder
