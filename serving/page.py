"""The page for photographers: drop a photo, see where it is sharp.

    python -m serving.page --server 127.0.0.1:8500

A gradio page (extra `demo`) in front of a server of maps, which it asks through `serving.client`.
It imports no TensorFlow, loads nothing from elsewhere, and listens on this machine only unless
told otherwise. Uploads stay in a temporary folder that goes when the page ends.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

# Before gradio is imported: the page must not report home, nor look for a newer version.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from serving.contract import DEFAULT_ADDRESS

WEB = Path(__file__).with_name("web")
MAX_FILE_SIZE = "100mb"
SIDES = (240, 320, 480, 640, 960, 1280, 2000)
# The demo's network learned from crops of 64 px: on larger photos it takes noise for sharpness.
DEFAULT_SIDE = 320
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
SESSIONS = 32  # whose photos are kept in memory, some 10 MB each
MINUTE_S = 60
RETRY_S = 5.0  # for a server that starts anew; who looks at the page does not wait for longer


# --- the page ----------------------------------------------------------------------------------


def build(predictor, max_side: int | None = DEFAULT_SIDE):
    """The page as `gr.Blocks`.

    predictor: `serving.client.RemotePredictor` or what has the same methods. max_side: the size
    that is chosen at first; None for full size.
    """
    import gradio as gr

    from serving.web.actions import Actions

    actions = Actions(predictor)
    with gr.Blocks(
        title="Where is it sharp?",
        analytics_enabled=False,
        delete_cache=(10 * MINUTE_S, 60 * MINUTE_S),
    ) as page:
        gr.HTML(
            "<h1>Where is it sharp?</h1><p>How much each pixel of a photo is out of focus, "
            "estimated from the photo alone. Nothing leaves your server.</p>",
            elem_classes="dm-head",
        )
        analysis = gr.State(time_to_live=60 * MINUTE_S)
        source = gr.State()
        with gr.Row():
            with gr.Column(scale=1, min_width=270):
                photo, gallery, side = _inputs(gr, max_side)
            with gr.Column(scale=3, min_width=300):
                viewer, words = _viewer(gr)
                with gr.Row(visible=False) as results:
                    tinted, cut, rule, threshold, magnified, factor = _results(gr)

        def pick(event: gr.SelectData):
            return _example_path(event.index), None

        opened = [analysis, viewer, words, threshold, tinted, cut, magnified, results]
        chosen = (
            photo.upload(lambda path: path, photo, source, api_visibility="private"),
            gallery.select(pick, None, [source, photo], api_visibility="private"),
            side.input(lambda: None, api_visibility="private"),
        )
        for event in chosen:
            done = event.success(
                actions.open,
                [source, side, rule, factor],
                opened,
                show_progress_on=[viewer],
                api_visibility="private",
            )
            # What was shown belongs to another photo.
            done.failure(
                lambda: (None, None, "", gr.update(visible=False)),
                None,
                [analysis, viewer, words, results],
                api_visibility="private",
            )
        gr.on(
            [rule.input, threshold.input],
            actions.cut,
            [analysis, rule, threshold],
            [threshold, cut],
            trigger_mode="always_last",
            api_visibility="private",
        )
        factor.input(
            actions.magnify,
            [analysis, factor],
            magnified,
            trigger_mode="always_last",
            api_visibility="private",
        )
    return page


def _inputs(gr, max_side):
    from data_gen.io.images import IMAGE_SUFFIXES

    photo = gr.File(
        label="Your photo", file_types=list(IMAGE_SUFFIXES), height=150, elem_id="dm-photo"
    )
    gallery = gr.Gallery(
        [(str(path), EXAMPLES[name]) for name, path in _examples().items()],
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
        [*((f"{n} px", str(n)) for n in sides), ("full size", "full")],
        value=str(max_side) if max_side else "full",
        label="Longer side at most",
        info="The photo is reduced to this for the network. Small suits small networks.",
        elem_id="dm-side",
    )
    return photo, gallery, side


def _viewer(gr):
    viewer = gr.HTML(
        html_template=(WEB / "viewer.html").read_text(encoding="utf-8"),
        js_on_load=(WEB / "viewer.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="dm-viewer",
    )
    return viewer, gr.HTML(elem_id="dm-words", apply_default_css=False)


def _results(gr):
    from serving.web.actions import THRESHOLD_PX

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
        gr.HTML("Grey is sharp; colour is blur.", elem_classes="dm-note")
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
    return tinted, cut, rule, threshold, magnified, factor


def _examples() -> dict[str, Path]:
    from data_gen.scenes.photographs import packaged_path

    found = {name: packaged_path(name) for name in EXAMPLES}
    return {name: path for name, path in found.items() if path is not None}


def _example_path(index: int) -> str:
    return str(list(_examples().values())[index])


# --- the command -------------------------------------------------------------------------------


def launch(page, host="127.0.0.1", port=7860, block=True) -> str:
    """Serves the page and returns its address; with `block`, not before it is interrupted."""
    import gradio as gr

    system = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
    mono = ("ui-monospace", "Menlo", "Consolas", "monospace")
    theme = gr.themes.Default(primary_hue="teal", font=system, font_mono=mono)
    # gradio's own greys are below the contrast that reading takes.
    theme.set(
        body_text_color_subdued="#57606a",
        body_text_color_subdued_dark="#a3adb8",
        block_info_text_color="#57606a",
        block_info_text_color_dark="#a3adb8",
    )
    page.queue(max_size=16)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=MAX_FILE_SIZE,
        state_session_capacity=SESSIONS,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme,
        css=(WEB / "page.css").read_text(encoding="utf-8"),
    )
    if block:
        print(f"The page is at {address} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return address


def build_parser() -> argparse.ArgumentParser:
    """Options; imports neither TensorFlow nor gradio."""
    parser = argparse.ArgumentParser(
        prog="dmenet page", description="A web page: drop a photo, see where it is sharp."
    )
    add = parser.add_argument
    add("--server", metavar="HOST:PORT", default=DEFAULT_ADDRESS,
        help="that predicts the maps (default %(default)s)")  # fmt: skip
    add("--port", type=int, default=7860, help="of the page (default %(default)s)")
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="where it listens; 0.0.0.0: all the network (default %(default)s)")  # fmt: skip
    add("--max-side", type=int, default=DEFAULT_SIDE, metavar="N",
        help="size chosen at first, 0 for full (default %(default)s, for the demo)")  # fmt: skip
    add("--timeout", type=float, default=60, metavar="S", help="of a request (default %(default)g)")
    add("--tls-ca", default="", metavar="PEM", help="authorities of the server's certificate")
    add("--tls-cert", default="", metavar="PEM", help="certificate of this client, and")
    add("--tls-key", default="", metavar="PEM", help="its key")
    return parser


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    options = build_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop of any kind is orderly
    try:
        return run(options)
    except KeyboardInterrupt:
        return 0
    except ImportError as error:
        print(f"error: {error}: the page needs pip install 'dmenet-tf[demo]'", file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def run(options) -> int:
    """Serves the page until it is interrupted; the server may start later."""
    from serving.client import ClientOptions, RemotePredictor

    client = ClientOptions(
        timeout_s=options.timeout,
        retry_s=RETRY_S,
        tls_ca=options.tls_ca,
        tls_certificate=options.tls_cert,
        tls_key=options.tls_key,
    )
    with (
        tempfile.TemporaryDirectory(prefix="dmenet-page-") as folder,
        RemotePredictor(options.server, client) as predictor,
    ):
        os.environ["GRADIO_TEMP_DIR"] = folder  # where gradio keeps uploads and pictures
        page = build(predictor, options.max_side or None)
        try:
            launch(page, options.host, options.port)
        finally:
            page.close(verbose=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
