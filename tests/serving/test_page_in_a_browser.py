"""The page works in a browser without a network."""

import ast
import contextlib
import shutil
import socket
import threading

import pytest

pytest.importorskip("grpc", reason="needs the extra demo")

from data_gen.scenes.photographs import packaged_path
from serving import page
from serving.client import ServingError
from tests.support.page import FakeEstimator, free_port

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


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


def set_factor(tab):
    tab.locator("#dm-factor input[type=number]").fill("4")
    tab.locator("#dm-factor input[type=number]").press("Enter")


def choose_comparison(tab, index):
    tab.locator("#dm-compare label input").nth(index).check()


def choose(tab, control, index):
    tab.locator(f"{control} input").click()
    tab.get_by_role("option").nth(index).click()


def click_into_the_picture(tab):
    tab.locator("#dm-magnified img").click(position={"x": 60, "y": 120})


def visit(tab, address, estimator):
    tab.goto(address)
    upload = tab.locator("#dm-photo input[type=file]")
    upload.set_input_files(packaged_path("chelsea"))
    serial = "document.querySelector('.dm-viewer').dataset.serial"
    tab.wait_for_function(serial)
    tab.wait_for_selector("#dm-magnified img")
    tab.wait_for_selector("#dm-slider img")

    # What the page reads is what the map says.
    known = FakeEstimator.known(300, 451)
    for place in ((0.1, 0.2), (0.5, 0.5), (0.93, 0.8)):
        sigma_px, column, row = shown_sigma(tab, *place)
        assert abs(column - place[0] * 451) <= 1 and abs(row - place[1] * 300) <= 1
        assert abs(sigma_px - known[row, column]) <= 0.0051

    # The slider changes the picture, and so does a click; the server is not asked again.
    for change in (set_factor, click_into_the_picture):
        before = tab.locator("#dm-magnified img").get_attribute("src")
        change(tab)
        tab.wait_for_function(
            "before => document.querySelector('#dm-magnified img').src !== before"
            " && !document.querySelector('#dm-magnified img').src.endsWith(before)",
            arg=before,
        )
    # The slider between the photo and what it is compared with; other colours.
    for change, shown in (
        (lambda: choose_comparison(tab, 1), "#dm-slider img >> nth=1"),
        (lambda: choose_comparison(tab, 0), "#dm-slider img >> nth=1"),
        (lambda: choose(tab, "#dm-colours", 3), ".dm-map"),
        (lambda: choose(tab, "#dm-range", 1), ".dm-map"),
    ):
        picture = tab.locator(shown)
        before = picture.get_attribute("src")
        change()
        tab.wait_for_function(
            "([picture, before]) => picture.getAttribute('src') !== before",
            arg=[picture.element_handle(), before],
        )
    assert tab.locator(".dm-ticks span").all_inner_texts() == ["0", "2", "4", "6"]
    tab.locator("#dm-make").click()
    tab.locator("#dm-files").get_by_text("chelsea.sigma").first.wait_for()
    assert estimator.sides == [page.DEFAULT_SIDE]

    # An error is told, what was shown goes, and the next photo works.
    estimator.error = ServingError("no route", "UNAVAILABLE")
    tab.locator("#dm-examples button").nth(1).click()
    tab.get_by_text("The server does not answer").wait_for()
    tab.wait_for_selector(".dm-viewer[data-state=empty]")
    estimator.error = None
    tab.locator("#dm-examples button").nth(0).click()
    tab.wait_for_function(serial)

    # What is chosen while a map is made comes next.
    estimator.wait = threading.Event()
    tab.locator("#dm-examples button").nth(1).click()
    estimator.called.wait()
    with tab.expect_response(lambda response: response.url.endswith("/queue/join?")):
        tab.locator("#dm-examples button").nth(4).click()
    estimator.wait.set()
    tab.get_by_text("This map is wrong").wait_for()

    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
