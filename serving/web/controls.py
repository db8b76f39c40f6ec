"""The controls and pictures of the page, in the order in which they stand on it.

Imported by `serving.page` alone, and late: it imports gradio.
"""

from pathlib import Path

import gradio as gr

from data_gen.io.images import IMAGE_SUFFIXES
from dmenet_tf.visualization import INFERNO
from serving.web.actions import (
    DEBLURRED,
    FULL,
    GIVEN,
    MAGNIFIED,
    MAP,
    OWN,
    RECOMMENDED,
    SEVEN,
    THRESHOLD_PX,
)
from serving.web.examples import CREDITS, examples

WEB = Path(__file__).parent
SIDES = (240, 320, 480, 640, 960, 1280, 2000)
FACTOR, LARGEST_FACTOR = 2.5, 4.0
RULES = {
    "otsu": "best split (Otsu)",
    "fixed": "a threshold",
    "hysteresis": "threshold and surroundings",
    "paper": "0.3 of the range (paper)",
}
COLOURS = {
    INFERNO: "black, red, yellow",
    "plasma": "blue, red, yellow",
    "magma": "black, violet, cream",
    "bone": "black, grey, white",
}
SCALES = {OWN: "this photo's own", SEVEN: "0 to 7 px", GIVEN: "0 to ..."}
COMPARED = {MAP: "the map", MAGNIFIED: "the magnified blur", DEBLURRED: "the photo deblurred"}


def inputs(max_side: int | None):
    """File, gallery of examples, and size; `max_side` as `page.build` takes it."""
    photo = gr.File(
        label="Your photo", file_types=list(IMAGE_SUFFIXES), height=150, elem_id="dm-photo"
    )
    gallery = gr.Gallery(
        [(str(one.path), one.caption) for one in examples().values()],
        label="Or an example",
        columns=2,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="dm-examples",
    )
    gr.HTML(CREDITS, elem_classes="dm-note", padding=False)
    sides = sorted({*SIDES, *([max_side] if max_side else [])})
    side = gr.Dropdown(
        [
            ("recommended", RECOMMENDED),
            *((f"{n} px", str(n)) for n in sides),
            ("full size", FULL),
        ],
        value=RECOMMENDED if max_side is None else str(max_side),
        label="Max side",
        info="A larger photo is reduced to this for the network. Small sizes suit small networks.",
        elem_id="dm-side",
    )
    return photo, gallery, side


def viewer():
    """Photo and map side by side with what is read from them, and the figures in words."""
    planes = gr.HTML(
        html_template=(WEB / "viewer.html").read_text(encoding="utf-8"),
        js_on_load=(WEB / "viewer.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="dm-viewer",
    )
    return planes, gr.HTML(elem_id="dm-words", apply_default_css=False)


def look():
    """Which colours the map has, and over which sigma: name, scale, the number of the scale."""
    return (
        gr.Dropdown(
            [(text, name) for name, text in COLOURS.items()],
            value=INFERNO,
            label="Colours of the map",
            elem_id="dm-colours",
        ),
        gr.Dropdown(
            [(text, scale) for scale, text in SCALES.items()],
            value=OWN,
            label="Scale",
            elem_id="dm-range",
        ),
        gr.Number(
            7.0,
            label="Bright end, sigma in px",
            minimum=0.1,
            step=0.1,
            visible=False,
            elem_id="dm-bright",
        ),
    )


def comparison():
    """What the photo is compared with, and the slider between both."""
    with_what = gr.Radio(
        [(text, value) for value, text in COMPARED.items()],
        value=MAP,
        label="Compare the photo with",
        info="Deblurring takes some seconds, and restores little above a sigma of 3 px.",
        elem_id="dm-compare",
    )
    slider = gr.ImageSlider(
        label="Before and after: drag the line",
        interactive=False,
        buttons=["fullscreen"],
        max_height=420,
        elem_id="dm-slider",
    )
    return with_what, slider


def results():
    """Overlay with the map's files, cut-out with its rule and threshold, magnified blur with its
    factor."""

    def picture(label, alt_text, **more):
        return gr.Image(
            label=label,
            alt_text=alt_text,
            interactive=False,
            buttons=["download", "fullscreen"],
            **{"format": "jpeg", **more},
        )

    with gr.Column(min_width=240):
        tinted = picture("Overlay", "The photo in grey, tinted where it is blurred")
        gr.HTML("Grey is sharpest; colour is blur.", elem_classes="dm-note")
        make = gr.Button("Files of the map", size="sm", elem_id="dm-make")
        files = gr.File(
            label="Map of the whole photo: colours, 16 bit, numbers",
            file_count="multiple",
            interactive=False,
            visible=False,
            elem_id="dm-files",
        )
    with gr.Column(min_width=240):
        cut = picture(
            "What is sharp",
            "The sharp part of the photo on a transparent ground",
            format="png",
            image_mode="RGBA",
            elem_classes="dm-cutout",
        )
        rule = gr.Dropdown(
            [(text, rule) for rule, text in RULES.items()], value="otsu", label="Cut out by"
        )
        threshold = gr.Slider(
            0.1, 7, THRESHOLD_PX, step=0.05, label="Threshold, sigma in px", visible=False
        )
    with gr.Column(min_width=240):
        magnified = picture(
            "Magnified blur",
            "The photo as a faster lens would have taken it",
            elem_id="dm-magnified",
        )
        factor = gr.Slider(
            1, LARGEST_FACTOR, FACTOR, step=0.1, label="Times the blur", elem_id="dm-factor"
        )
        gr.HTML("Click into the picture to focus there.", elem_classes="dm-note")
    return tinted, make, files, cut, rule, threshold, magnified, factor


def example_path(index: int) -> str:
    return str(list(examples().values())[index].path)
