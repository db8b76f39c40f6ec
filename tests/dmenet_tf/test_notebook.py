"""The Python API in a notebook: three lines, and a picture."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.weights.published import save_published
from tests.support.paths import ROOT

nbclient = pytest.importorskip("nbclient", reason="needs the extra test")
nbformat = pytest.importorskip("nbformat", reason="needs the extra test")
pytest.importorskip("ipykernel", reason="needs the extra test")

CELL = """\
import dmenet_tf
estimator = dmenet_tf.load("small.npz")
estimator("photo.jpg")"""


def test_three_lines_show_the_picture(tmp_path, monkeypatch):
    save_published(tmp_path / "small.npz", build_blur_estimation(0.03), encoding="paper")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "this Python", "language": "python"}
    folder = tmp_path / "jupyter" / "kernels" / "here"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = nbclient.NotebookClient(
        notebook,
        timeout=None,  # a busy machine takes its time
        startup_timeout=600,
        kernel_name="here",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    (shown,) = [o for o in notebook.cells[0].outputs if o.output_type == "execute_result"]
    assert {"image/png", "text/html", "text/plain"} <= set(shown.data)
    assert shown.data["text/plain"].startswith("DefocusMap(photo.jpg, 64 x 48 px: median sigma")
    assert "<figcaption>DefocusMap(photo.jpg" in shown.data["text/html"]
    assert [o for o in notebook.cells[0].outputs if o.output_type == "stream"] == []  # no noise
