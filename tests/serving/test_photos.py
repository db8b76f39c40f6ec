"""POST /photo: a photo's file in, its map's file out."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from data_gen.io.images import encode_png
from dmenet_tf.prediction.map_files import read_map
from serving import contract
from tests.support.http_calls import ask
from tests.support.servers import FakeContext, serve, wait_until
from tests.support.serving_calls import image_file

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
SIGMA_PX = 7 * PIXELS.mean(axis=-1) / 255  # the tiny model's map


def photo(running, body=None, query="", **headers):
    body = encode_png(PIXELS) if body is None else body
    return ask(running.http_port, "POST", f"{contract.PHOTO_PATH}{query}", body, **headers)


def file_of(form: str, **save) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, form, **save)
    return file.getvalue()


def test_npy_holds_sigma_in_pixels(running):
    answer = photo(running, query="?format=npy")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-npy")
    np.testing.assert_allclose(np.load(io.BytesIO(answer.body)), SIGMA_PX, atol=1e-4)


@pytest.mark.parametrize(("form", "step"), [("png16", 7 / 65535), ("colour", 7 / 240)])
def test_a_png_reads_back_as_predicts_own(running, tmp_path, form, step):
    answer = photo(running, query=f"?format={form}")
    assert answer.headers["Content-Type"] == "image/png"
    path = tmp_path / "map.png"
    path.write_bytes(answer.body)
    sigma_px, metadata = read_map(path)
    np.testing.assert_allclose(sigma_px, SIGMA_PX, atol=step)
    assert metadata.model == "tiny 1"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/png"),
        ("image/png", "image/png"),
        ("application/octet-stream", "application/x-npy"),
        ("text/html, application/x-npy;q=0.9", "application/x-npy"),
        ("image/tiff", "image/tiff"),
    ],
)
def test_accept_chooses(running, accept, kind):
    assert photo(running, Accept=accept).headers["Content-Type"] == kind


def test_any_photo_of_a_user_is_read(running):
    """Formats that the signature `encoded` does not take, and EXIF rotations."""
    for body in (file_of("WEBP", lossless=True), file_of("TIFF"), file_of("BMP")):
        found = np.load(io.BytesIO(photo(running, body, "?format=npy").body))
        np.testing.assert_allclose(found, SIGMA_PX, atol=1e-4)
    turned = Image.Exif()
    turned[0x0112] = 6
    body = file_of("PNG", exif=turned)
    assert np.load(io.BytesIO(photo(running, body, "?format=npy").body)).shape == (30, 20)


def test_a_photo_above_a_requests_limit_goes_in_parts(running):
    height, width = 1100, 2000  # 2.2 million pixels
    assert height * width > contract.MAX_PIXELS
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    answer = photo(running, encode_png(pixels), "?format=npy&max_side=0")
    assert answer.status == 200, answer.body
    expected = 7 * pixels.mean(axis=-1) / 255
    np.testing.assert_allclose(np.load(io.BytesIO(answer.body)), expected, atol=1e-4)


def test_max_side_reduces_for_the_network(running):
    flat = encode_png(np.full((64, 96, 3), 51, np.uint8))
    sigma_px = np.load(io.BytesIO(photo(running, flat, "?format=npy&max_side=48").body))
    assert sigma_px.shape == (64, 96)
    np.testing.assert_allclose(sigma_px, 2 * 7 * 0.2, atol=1e-3)  # a pixel of 48 is two of 96


def test_notes_of_reading_come_along(running):
    file = io.BytesIO()
    image = Image.fromarray(PIXELS)
    image.save(file, "TIFF", save_all=True, append_images=[image])
    answer = photo(running, file.getvalue())
    assert answer.status == 200 and "page" in answer.headers["X-Note"]


@pytest.mark.parametrize(
    ("query", "body", "status", "why"),
    [
        ("", b"", 400, "must not be empty"),
        ("", b"no photo at all", 400, "no known image format"),
        ("", image_file(64, 64, "JPEG")[:-900], 400, "the photo: "),
        ("?format=gif", None, 400, "format must be one of colour, png16"),
        ("?max_side=3", None, 400, "max_side must be at least 16"),
        ("?max_side=-1", None, 400, "max_side must be a whole number"),
        ("?colour=red", None, 400, "'colour'"),
        ("?version=1&label=stable", None, 400, "received both"),
        ("?version=9", None, 404, "9"),
        ("?label=stable", None, 404, "stable"),
        ("?model=other", None, 404, "other"),
    ],
)
def test_what_is_refused(running, query, body, status, why):
    answer = photo(running, body, query)
    assert answer.status == status
    assert why in answer.error


def test_the_declared_size_is_checked_before_decoding(running, monkeypatch):
    monkeypatch.setattr(contract, "MAX_PHOTO_PIXELS", 100)
    answer = photo(running)
    assert answer.status == 400 and "30 x 20" in answer.error


def test_photos_wait_in_a_queue(models):
    with serve(models, jobs=1, queue=0, http_port=0) as one:
        with one.photos.place(FakeContext()):
            answer = photo(one)
            assert answer.status == 503 and "queue is full" in answer.error
        assert photo(one).status == 200


def test_all_parts_of_a_photo_under_way_are_answered_while_stopping(models):
    one = serve(models, jobs=1, grace_s=60, http_port=0).start()
    assert one.wait_until_serving(120)
    with ThreadPoolExecutor(2) as pool:
        with one.scheduler.place(FakeContext()):
            under_way = pool.submit(photo, one)
            wait_until(lambda: one.scheduler.waiting == 1)  # its first call of two
            port, stopped = one.http_port, pool.submit(one.stop)
            wait_until(lambda: ask(port, "GET", contract.HEALTH_PATH).status == 503)
            assert photo(one).status == 503
        assert under_way.result().status == 200
        assert stopped.result() is True


def test_get_is_told_to_post(running):
    answer = ask(running.http_port, "GET", contract.PHOTO_PATH)
    assert answer.status == 400 and "POST" in answer.error
