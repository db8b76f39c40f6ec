"""What a real TensorBoard serves of a run."""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest

from dmenet_tf import visualization as pictures
from tests.support.monitored import IMAGE, PREDICTED, TRUTH, WEIGHTS, interrupt_and_resume


class Server:
    """A TensorBoard process on a free port; `get` returns a data route's JSON or bytes."""

    def __init__(self, logdir, log_path, *flags):
        self._log_path = log_path
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), *flags]
        command += ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
        with log_path.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    def wait_for(self, condition):
        """Polls until `condition()` holds; fails with the server's own words."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if value := condition():
                    return value
            except (OSError, ValueError, LookupError):  # not up yet, or the run is not read yet
                pass
            time.sleep(0.1)
        raise AssertionError(f"TensorBoard did not come to it: {self._log_path.read_text()}")

    def get(self, route, **query):
        address = re.search(r"at (http://\S+?)/? ", self._log_path.read_text())
        if address is None:
            raise ValueError("the server has not told its port yet")
        url = f"{address[1]}/data/plugin/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.read() if "individual" in route else json.load(reply)

    def points(self, run, tag):
        """[(step, value)] of a scalar; JSON holds NaN as a string."""
        rows = self.get("scalars/scalars", run=run, tag=tag)
        return [(step, value) for _, step, value in rows]


def test_tensorboard_shows_the_run(tmp_path):
    """Both of TensorBoard's readers serve the same: one run resumed before, one under its eyes."""
    logdir, servers = tmp_path / "runs", []
    interrupt_and_resume(logdir / "before")

    def start_servers():
        for flag in ("--load_fast=auto", "--load_fast=false"):
            log_path = tmp_path / f"tensorboard{len(servers)}.txt"
            servers.append(Server(logdir, log_path, flag))
        for server in servers:
            server.wait_for(lambda server=server: server.points("watched", "loss/data")[5])

    try:
        interrupt_and_resume(logdir / "watched", between=start_servers)
        for server in servers:
            check_served_run(server, "before")
            check_served_run(server, "watched")
    finally:
        for server in servers:
            server.process.terminate()
            server.process.wait(30)


def check_served_run(server, run):
    data = [1, 2, 3, 4, 5.5, 6.5, 7.5, 8.5]
    server.wait_for(lambda: server.points(run, "loss/data")[-1][0] == 8)
    assert server.points(run, "loss/data") == list(enumerate(data, 1))
    assert server.points(run, "validation/mse") == [(3, pytest.approx(0.03)), (6, 0.5)]
    assert server.points(run, "weighted/content")[-1] == (8, pytest.approx(0.01))
    assert set(server.get("scalars/tags")[run]) == {
        *(f"{group}/{name}" for group in ("loss", "weighted") for name in WEIGHTS),
        *("total/L_g", "total/L_d", "validation/mse", "train/learning_rate", "train/loss_scale"),
        *("train/images_per_second", "train/discriminator_accuracy"),
    }
    assert list(server.get("images/tags")[run]) == ["images/examples"]
    (shown,) = server.get("images/images", run=run, tag="images/examples", sample=0)
    query = dict(urllib.parse.parse_qsl(shown["query"]))
    png = np.frombuffer(server.get("images/individualImage", **query), np.uint8)
    picture = cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert shown["step"] == 6
    np.testing.assert_array_equal(
        picture, pictures.panel(IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
    )
    check_plugins(server, run)
    (config,) = server.get("text/text", run=run, tag="config")
    assert "<code>[optics]\nc_max_px = 28.0\n```\n# not a title\n</code>" in config["text"]


def check_plugins(server, run):
    ((_, step, bins),) = server.get("histograms/histograms", run=run, tag="weights/B/kernel")
    assert step == 2 and sum(count for _, _, count in bins) == 6
    curves = server.get("pr_curves/pr_curves", run=run, tag="precision_recall/labelled_validation")
    ((curve,),) = curves.values()
    # At thresholds 0 and 0.5: all of four called blurred, then three; TensorBoard leaves out none.
    assert curve["step"] == 3 and curve["recall"] == [1, 1]
    assert curve["precision"] == pytest.approx([0.5, 2 / 3])
    request = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 9}
    found = server.get("hparams/session_groups", request=json.dumps(request))
    (group,) = (g for g in found["sessionGroups"] if g["sessions"][0]["name"] == run)
    # None is left out, and a list is text.
    steps = group["hparams"].pop("training.steps")
    assert group["hparams"] == {"training.jit": "auto", "training.windows": "32 64"}
    # Of the last start; a TensorBoard that watches keeps what it read first.
    assert steps == 9 or (run == "watched" and steps == 8)
    (figure,) = group["sessions"][0]["metricValues"]
    assert figure["name"]["tag"] == "validation/mse" and figure["value"] == 0.5
