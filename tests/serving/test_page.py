"""The page: what it shows is what the map says, and it works in a browser without a network."""

import ast
import base64
import contextlib
import shutil
import socket
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("grpc", reason="needs the extra demo")

import dmenet_tf
from data_gen.exit_codes import USAGE
from data_gen.io.images import write_png
from data_gen.scenes.photographs import packaged_path
from dmenet_tf import DefocusMap
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import Prediction, resolved_side, scale_to
from serving import page
from serving.client import ServingError
from serving.web import results
from tests.support.paths import ROOT

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


class FakeEstimator:
    """A map that is known: sigma grows from left to right, and a little downwards."""

    def __init__(self, recommended_side=None, error=None):
        self.metadata = Metadata("fake", "paper", recommended_side=recommended_side)
        self.error, self.sides = error, []

    def __call__(self, image, *, max_side=None):
        self.sides.append(max_side)
        if self.error:
            raise self.error
        side = resolved_side(max_side, self.metadata)
        scale = scale_to(side, *image.shape[:2])
        metadata = replace(self.metadata, sigma_max_px=7.0 / scale, max_side=side)
        sigma_px = self.known(*image.shape[:2])
        return DefocusMap(image, Prediction(sigma_px, sigma_px / 7, metadata, scale))

    @staticmethod
    def known(height, width):
        column, row = np.linspace(0, 5, width), np.linspace(0, 1, height)
        return (column[None, :] + row[:, None]).astype(np.float32)


def analyse(path, estimator=None, max_side=0):
    return results.analyse(path, estimator or FakeEstimator(), max_side, page.DEFAULT_SIDE)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    write_png(path, np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    return path


def read_as_the_page_does(value, x, y):
    """(sigma, photo's row, photo's column) at a pixel of the shown picture, as web/viewer.js."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(value["sigma"])), "<u2")
    row = int((y + 0.5) * value["photo_height"] / value["height"])
    column = int((x + 0.5) * value["photo_width"] / value["width"])
    return steps[y * value["width"] + x] * value["step_px"], row, column


# --- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(60, 90), (40, 3001), (2001, 33)])
def test_what_is_read_is_the_maps_value_at_the_pixel_that_is_named(tmp_path, height, width):
    path = tmp_path / "photo.png"
    write_png(path, np.zeros((height, width, 3), np.uint8))
    value = results.viewer_value(analyse(path))
    assert max(value["width"], value["height"]) <= results.VIEW_SIDE_PX
    assert (value["photo_width"], value["photo_height"]) == (width, height)
    sigma_px = FakeEstimator.known(height, width)
    for x in np.linspace(0, value["width"] - 1, 7).astype(int):
        for y in (0, value["height"] // 2, value["height"] - 1):
            read, row, column = read_as_the_page_does(value, int(x), y)
            assert abs(read - sigma_px[row, column]) <= value["step_px"] / 2 + 1e-6


def test_the_size_that_is_chosen_goes_to_the_server(photo):
    estimator = FakeEstimator(recommended_side=30)
    analysis = analyse(photo, estimator, 45)
    assert analysis.scale == 0.5 and analysis.largest_px == 14
    # A pixel of what the network saw is two of the photo's.
    assert analysis.figures["sharp_below_px"] == 2
    assert analyse(photo, estimator, 0).scale == 1
    assert analyse(photo, estimator, None).scale == pytest.approx(1 / 3)
    analyse(photo, plain := FakeEstimator(), None)
    assert (estimator.sides, plain.sides) == ([45, 0, 30], [page.DEFAULT_SIDE])


def test_what_counts_as_sharp_is_told_in_pixels_of_both(photo):
    """12.68 px of a photo are not called sharp because the network saw less than a pixel of it."""
    value = results.viewer_value(analyse(photo, max_side=45))
    assert (value["scale"], value["sharp_below_px"]) == (0.5, 2)
    assert "no blur that shows" in value["below"] and "sharp" not in value["below"]
    assert results.viewer_value(analyse(photo))["below"] == "sharp"
    words = results.summary_html(analyse(photo, max_side=45))
    assert "No visible blur" in words and "Sharp part" not in words
    assert "a blur below 2 px, which is 1 px of what the network saw" in words
    assert "Sharp part" in results.summary_html(analyse(photo))
    assert "a blur below 1 px</small>" in results.summary_html(analyse(photo))


def test_the_summary_is_of_the_whole_map_in_words(photo):
    words = results.summary_html(analyse(photo))
    sigma_px = FakeEstimator.known(60, 90)
    assert f"{np.mean(sigma_px < 1):.0%}" in words
    assert f"{np.median(sigma_px):.2f} px" in words
    assert "90 x 60 px" in words


def test_the_cut_out_keeps_what_is_sharp(photo):
    analysis = analyse(photo)
    alpha = results.cutout(analysis, "fixed", 3.0)[..., 3]
    assert alpha.shape == (60, 90)
    assert alpha[:, :30].min() == 255 and alpha[:, -20:].max() == 0
    less = results.cutout(analysis, "fixed", 2.0)[..., 3]
    assert less.mean() < alpha.mean()


def test_blur_grows_with_the_factor_and_1_changes_nothing():
    analysis = analyse(packaged_path("chelsea"))
    detail = [
        np.abs(np.diff(results.magnified(analysis, factor)[:, 150:].astype(float), axis=1))
        for factor in (1, 1.5, 3)
    ]
    assert detail[0].mean() > 1.1 * detail[1].mean() > 1.21 * detail[2].mean()
    assert np.array_equal(results.magnified(analysis, 1), analysis.photo)


def test_colours_and_scale_are_those_of_the_maps_own_range(photo):
    value = results.viewer_value(analyse(photo))
    sigma_px = FakeEstimator.known(60, 90)
    assert (value["low_px"], value["high_px"]) == (sigma_px.min(), sigma_px.max())
    assert value["ticks"] == [0, 1, 2, 3, 4, 5, 6]


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, expected",
    [
        ("UNAVAILABLE", "server does not answer"),
        ("DEADLINE_EXCEEDED", "took too long"),
        ("INVALID_ARGUMENT", "refused this photo: why"),
    ],
)
def test_a_servers_error_is_told_in_plain_words(photo, code, expected):
    with pytest.raises(results.PageError, match=expected):
        analyse(photo, FakeEstimator(error=ServingError("why", code)))


def test_what_is_no_photo_is_refused_before_the_server_is_asked(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear reader")
    estimator = FakeEstimator()
    with pytest.raises(results.PageError, match="letter.jpg: must be a photo") as caught:
        analyse(path, estimator)
    assert str(tmp_path) not in str(caught.value) and estimator.sides == []


def test_a_photo_of_too_many_pixels_is_refused(photo, monkeypatch):
    monkeypatch.setattr(results, "MAX_PHOTO_PIXELS", 5000)
    with pytest.raises(results.PageError, match="at most 0.005 million pixels"):
        analyse(photo)


def test_an_error_on_the_page_holds_no_markup():
    pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import error_message

    assert error_message("<img src=x>.jpg").message == "&lt;img src=x&gt;.jpg"


def test_the_sizes_to_choose_from_are_sizes_of_the_estimator(photo):
    pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import FULL, RECOMMENDED, Actions

    estimator = FakeEstimator(recommended_side=30)
    actions = Actions(estimator, page.DEFAULT_SIDE)
    for side in (RECOMMENDED, "45", FULL):
        analysis, *_ = actions.open(str(photo), side, "otsu", 2.0)
        assert analysis.photo_width == 90
    assert estimator.sides == [30, 45, 0]
    for chosen, shown in ((None, RECOMMENDED), (45, "45"), (0, FULL)):
        built = page.build(estimator, chosen)
        (control,) = [b for b in built.blocks.values() if getattr(b, "label", "") == "Max side"]
        assert control.value == shown and shown in {value for _, value in control.choices}


# --- the command -------------------------------------------------------------------------------


def test_neither_tensorflow_nor_matplotlib_is_imported_and_gradio_late():
    program = (
        "import sys, serving.page; serving.page.build_parser();"
        "early = {'tensorflow', 'gradio', 'numpy', 'grpc'} & set(sys.modules);"
        "import serving.web.results;"
        "found = early | ({'tensorflow', 'keras'} & set(sys.modules));"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_says_in_one_line_what_is_missing(monkeypatch, capsys):
    def fail(options):
        raise ModuleNotFoundError("No module named 'gradio'", name="gradio")

    monkeypatch.setattr(page, "run", fail)
    assert page.main([]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "the page needs" in message
    assert "pip install -e" in message and "[demo]" in message


def test_wrong_options_are_told_in_one_line(capsys):
    for command, message in (
        (["--sever", "a:1"], "--sever; did you mean --server"),
        (["--server", "nowhere"], "HOST:PORT"),
        (["--max-side", "3"], "--max-side must be 0, or at least 16; received 3"),
        (["--server", "a:1", "--tls-cert", "x"], "certificate and its key go together"),
        (["--server", "a:1", "--weights", "run"], "--weights or by --server; received both"),
    ):
        assert page.main(command) == USAGE
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.fixture
def launched(monkeypatch):
    """The estimators of pages that were made; nothing is shown, and nothing waits."""
    estimators = []

    class Page:
        def close(self, verbose):
            pass

    def build(estimator, max_side):
        estimators.append(estimator)
        return Page()

    monkeypatch.setattr(page, "build", build)
    monkeypatch.setattr(page, "launch", lambda *_: None)
    return estimators


@pytest.mark.parametrize("options, weights", [([], None), (["--weights", "run"], "run")])
def test_without_a_server_the_page_predicts_by_itself(launched, monkeypatch, options, weights):
    loaded = contextlib.nullcontext("an estimator")
    asked = []
    monkeypatch.setattr(dmenet_tf, "load", lambda given: asked.append(given) or loaded)
    assert page.main(options) == 0
    assert launched == [loaded] and asked == [weights]


def test_a_server_that_does_not_answer_yet_is_told_at_the_start(launched, monkeypatch, capsys):
    monkeypatch.setattr(page, "RETRY_S", 0.0)
    assert page.main(["--server", f"127.0.0.1:{free_port()}"]) == 0
    assert len(launched) == 1
    error = capsys.readouterr().err
    assert error.startswith("note: the server does not answer yet") and error.count("\n") == 1


def test_the_viewer_takes_no_value_into_its_template():
    # gradio evaluates the filled template as JavaScript: a value in it could run.
    template = (page.WEB / "viewer.html").read_text()
    assert "${" not in template and "{{" not in template and "`" not in template


# --- in a browser ------------------------------------------------------------------------------


@contextlib.contextmanager
def recorded_connections(monkeypatch):
    """Hosts to which Python's sockets of this process connect."""
    hosts, connect = set(), socket.socket.connect

    def record(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            hosts.add(address[0])
        return connect(self, address)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", record)
        yield hosts


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome, which is not installed")
    with playwright.sync_playwright() as running:
        context = running.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1280, "height": 900},
        )
        context.set_default_timeout(600_000)  # of a hang, not of a busy machine
        yield context
        context.close()


def shown_sigma(tab, x_share, y_share):
    """Points at a share of the map's width and height -> (sigma, column, row) that are told."""
    box = tab.locator(".dm-plane").nth(1).bounding_box()
    tab.mouse.move(box["x"] + x_share * box["width"], box["y"] + y_share * box["height"])
    tab.wait_for_function("document.querySelector('.dm-readout').textContent.startsWith('sigma')")
    words = tab.locator(".dm-readout").inner_text()
    sigma, place = words.removeprefix("sigma = ").split(" px at pixel ")
    return float(sigma), *ast.literal_eval(place[: place.index(")") + 1])


def test_a_visit(browser, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="needs the extra demo")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    estimator = FakeEstimator()
    requests, complaints = [], []
    tab = browser.new_page()
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    with recorded_connections(monkeypatch) as hosts:
        built = page.build(estimator)
        address = page.launch(built, port=free_port(), block=False)
        try:
            visit(tab, address, estimator)
        finally:
            built.close(verbose=False)
    own = (address.rstrip("/"), "data:", "blob:" + address.rstrip("/"))
    assert [url for url in requests if not url.startswith(own)] == []
    assert hosts <= {"127.0.0.1", "::1", "localhost"}
    assert complaints == []


def visit(tab, address, estimator):
    tab.goto(address)
    upload = tab.locator("#dm-photo input[type=file]")
    upload.set_input_files(packaged_path("chelsea"))
    serial = "document.querySelector('.dm-viewer').dataset.serial"
    tab.wait_for_function(serial)
    tab.wait_for_selector("#dm-magnified img")

    # What the page reads is what the map says.
    known = FakeEstimator.known(300, 451)
    for place in ((0.1, 0.2), (0.5, 0.5), (0.93, 0.8)):
        sigma_px, column, row = shown_sigma(tab, *place)
        assert abs(column - place[0] * 451) <= 1 and abs(row - place[1] * 300) <= 1
        assert abs(sigma_px - known[row, column]) <= 0.0051

    # The slider changes the picture, and the server is not asked again.
    before = tab.locator("#dm-magnified img").get_attribute("src")
    tab.locator("#dm-factor input[type=number]").fill("4")
    tab.locator("#dm-factor input[type=number]").press("Enter")
    tab.wait_for_function(
        "before => document.querySelector('#dm-magnified img').src !== before"
        " && !document.querySelector('#dm-magnified img').src.endsWith(before)",
        arg=before,
    )
    assert estimator.sides == [page.DEFAULT_SIDE]

    # An error is told, what was shown goes, and the next photo works.
    estimator.error = ServingError("no route", "UNAVAILABLE")
    tab.locator("#dm-examples button").nth(1).click()
    tab.get_by_text("The server does not answer").wait_for()
    tab.wait_for_selector(".dm-viewer[data-state=empty]")
    estimator.error = None
    tab.locator("#dm-examples button").nth(0).click()
    tab.wait_for_function(serial)

    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
