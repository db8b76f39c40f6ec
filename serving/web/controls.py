"""The controls and pictures of the page, in the order in which they stand on it.

Imported by `serving.page` alone, and late: it imports gradio.
"""

from pathlib import Path

import gradio as gr

from data_gen.io.images import IMAGE_SUFFIXES
from data_gen.scenes.photographs import packaged_path
from serving.web.actions import FULL, RECOMMENDED, THRESHOLD_PX

WEB = Path(__file__).parent
SIDES = (240, 320, 480, 640, 960, 1280, 2000)
FACTOR, LARGEST_FACTOR = 2.5, 4.0
RULES = {
    "otsu": "best split (Otsu)",
    "fixed": "a threshold",
    "hysteresis": "threshold and surroundings",
    "paper": "0.3 of the range (paper)",
}
# Of scikit-image's wheel; `data_gen.scenes.photographs` has sources and terms.
EXAMPLES = {"chelsea": "Cat", "coffee": "Coffee", "astronaut": "Astronaut", "rocket": "Rocket"}
CREDITS = (
    "Examples: Stefan van der Walt (cat), Rachel Michetti (coffee), both CC0; "
    "NASA and SpaceX, public domain."
)


def inputs(max_side: int | None):
    """File, gallery of examples, and size; `max_side` as `page.build` takes it."""
    photo = gr.File(
        label="Your photo", file_types=list(IMAGE_SUFFIXES), height=150, elem_id="dm-photo"
    )
    gallery = gr.Gallery(
        [(str(path), EXAMPLES[name]) for name, path in examples().items()],
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


def examples() -> dict[str, Path]:
    found = {name: packaged_path(name) for name in EXAMPLES}
    return {name: path for name, path in found.items() if path is not None}


def example_path(index: int) -> str:
    return str(list(examples().values())[index])
