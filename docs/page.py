"""Draws docs/page.png: the page (`serving.page`) in Chromium, with the shipped model.

python docs/page.py
"""

import io
import shutil
import socket
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import dmenet_tf
from data_gen.io.atomic import write_atomic
from serving import page
from serving.web.examples import examples

OUT = Path(__file__).with_name("page.png")
EXAMPLE = list(examples()).index("chelsea")  # by Stefan van der Walt, CC0
WIDTH_PX, SCALE, LONGEST_BYTES = 1280, 0.8, 400_000
POINTED_AT = (0.88, 0.66)  # shares of the map's width and height


def main():
    with dmenet_tf.load() as estimator:
        built = page.build(estimator)
        try:
            draw(page.launch(built, port=_free_port(), block=False))
        finally:
            built.close(verbose=False)
    size = OUT.stat().st_size
    print(f"{OUT}: {size / 1000:.0f} kB")
    return 0 if size < LONGEST_BYTES else f"{OUT} must stay below {LONGEST_BYTES} bytes"


def draw(address):
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH_PX, "height": 860})
        tab.goto(address)
        tab.locator("#dm-examples button").nth(EXAMPLE).click()
        tab.wait_for_selector(".dm-viewer[data-serial]")
        tab.wait_for_selector("#dm-magnified img")
        tab.wait_for_timeout(1500)  # for the pictures to fade in
        box = tab.locator(".dm-plane").nth(1).bounding_box()
        x, y = POINTED_AT
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        picture = Image.open(io.BytesIO(tab.screenshot(full_page=True)))
        browser.close()
    picture = picture.convert("RGB")
    picture = picture.resize([round(SCALE * side) for side in picture.size])
    # 256 colours, dithered: half the size, and the map's colours without steps.
    palette = picture.quantize(256, Image.Quantize.MEDIANCUT)
    picture = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    write_atomic(OUT, lambda temporary: picture.save(temporary, "PNG", optimize=True))


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
