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


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs a notebook in `tmp_path`, in a kernel of this Python."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "this Python", "language": "python"}
    folder = tmp_path / "jupyter" / "kernels" / "here"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def run(notebook):
        client = nbclient.NotebookClient(
            notebook,
            timeout=None,  # a busy machine takes its time
            startup_timeout=600,
            kernel_name="here",
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute()
        return notebook.cells

    return run


def test_three_lines_show_the_picture(tmp_path, execute):
    save_published(tmp_path / "small.npz", build_blur_estimation(0.03), encoding="paper")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    (cell,) = execute(notebook)
    (shown,) = [o for o in cell.outputs if o.output_type == "execute_result"]
    assert {"image/png", "text/html", "text/plain"} <= set(shown.data)
    assert shown.data["text/plain"].startswith("DefocusMap(photo.jpg, 64 x 48 px: median sigma")
    assert "<figcaption>DefocusMap(photo.jpg" in shown.data["text/html"]
    assert [o for o in cell.outputs if o.output_type == "stream"] == []  # no noise


# The cat's eyes, and the room behind it: how much detail the three pictures have in both.
MEASURE = """\
import cv2
def detail(picture, part):
    grey = np.float32(picture).mean(axis=-1)[part]
    return float(cv2.Laplacian(grey, cv2.CV_32F).std())
eyes, room = np.s_[90:130, 110:260], np.s_[140:200, 390:440]
[[detail(picture, part) for picture in (image, wider, refocused)] for part in (eyes, room)]"""


@pytest.mark.process
def test_the_notebook_of_the_docs_refocuses_its_photo(execute):
    notebook = nbformat.read(ROOT / "docs" / "refocus.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(MEASURE))
    *_, last = execute(notebook)
    eyes, room = json.loads(last.outputs[0].data["text/plain"])
    as_taken, wider, refocused = eyes
    assert wider > 0.8 * as_taken  # in focus, it stays so
    assert refocused < 0.8 * as_taken
    as_taken, wider, _ = room
    assert wider < 0.9 * as_taken
