"""The page for photographers: drop a photo, see where it is sharp.

    dmenet page                              with the shipped model, in this process
    dmenet page --weights runs/demo
    dmenet page --server 127.0.0.1:8500      asks a server; imports no TensorFlow

A gradio page (extra `demo`). It loads nothing from other sites, and listens on this machine only
unless told otherwise. Uploads are kept in a temporary folder that is removed when the page ends.
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

from data_gen import interrupts
from data_gen.exit_codes import FAILED, OK
from data_gen.installation import not_installed
from dmenet_tf import console, environment
from dmenet_tf.console import Parser, UsageError
from serving import backend

WEB = Path(__file__).with_name("web")
MAX_FILE_SIZE = "100mb"
# Where a model recommends no size. The demo's network learned from crops of 64 px: on larger photos
# it takes noise for sharpness.
DEFAULT_SIDE = 320
SESSIONS = 32  # whose photos are kept in memory, some 10 MB each
MINUTE_S = 60
RETRY_S = 5.0  # for a server that starts anew; a visitor of the page does not wait for longer


# --- the page ----------------------------------------------------------------------------------


def build(estimator, max_side: int | None = None):
    """The page as `gr.Blocks`.

    estimator: a `dmenet_tf.Estimator`. max_side: the size that is chosen at first; 0 for full size;
    None for what the model recommends, or DEFAULT_SIDE.
    """
    import gradio as gr

    from serving.web import controls
    from serving.web.actions import Actions

    actions = Actions(estimator, DEFAULT_SIDE)
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
                photo, gallery, side = controls.inputs(max_side)
            with gr.Column(scale=3, min_width=300):
                viewer, words = controls.viewer()
                with gr.Column(visible=False) as results:
                    with gr.Row():
                        look = controls.look()
                    compared_with, slider = controls.comparison()
                    with gr.Row():
                        shown = controls.results()
                    tinted, make, files, cut, rule, threshold, magnified, factor = shown

        def pick(event: gr.SelectData):
            return controls.example_path(event.index), None

        opened = [analysis, viewer, words, compared_with, slider, threshold, tinted, cut, magnified]
        opened += [results, files]
        chosen = (
            photo.upload(lambda path: path, photo, source, api_visibility="private"),
            gallery.select(pick, None, [source, photo], api_visibility="private"),
            side.input(lambda: None, api_visibility="private"),
        )
        for event in chosen:
            done = event.success(
                actions.open,
                [source, side, rule, factor, *look],
                opened,
                show_progress_on=[viewer],
                trigger_mode="always_last",  # what is chosen meanwhile comes next
                api_visibility="private",
                concurrency_id="map",  # one photo at a time, whichever way it was chosen
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
            [analysis, factor, compared_with],
            [magnified, slider],
            show_progress_on=[magnified],
            trigger_mode="always_last",
            api_visibility="private",
        )
        magnified.select(
            actions.focus,
            [analysis, factor, compared_with],
            [magnified, slider],
            show_progress_on=[magnified],
            api_visibility="private",
        )
        gr.on(
            [control.input for control in look],
            actions.colour,
            [analysis, compared_with, *look],
            [look[-1], viewer, slider, tinted, files],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )
        compared_with.input(
            actions.compare,
            [analysis, compared_with, magnified, *look],
            slider,
            api_visibility="private",
        )
        make.click(
            actions.files,
            [analysis, *look],
            files,
            show_progress_on=[files],
            api_visibility="private",
        )
    return page


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
    environment.reach_directly(host)
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
    parser = Parser(
        prog="dmenet page",
        description="A web page: drop a photo, see where it is sharp.",
        renamed=backend.RENAMED,
    )
    add = parser.add_argument
    add("--weights", metavar="PATH", help="a run's folder, or an .npz (default: the shipped model)")
    add("--server", metavar="HOST:PORT", help="a server that predicts the maps, instead of weights")
    add("--port", type=int, default=7860, help="of the page (default %(default)s)")
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="where the page listens; 0.0.0.0: everywhere (default %(default)s)")  # fmt: skip
    add("--max-side", type=int, metavar="N",
        help="size chosen at first, 0 = full (default: what the model recommends, or "
        f"{DEFAULT_SIDE})")  # fmt: skip
    add("--timeout", type=float, default=60, metavar="S",
        help="max seconds for an answer (default %(default)g)")  # fmt: skip
    backend.add_tls_options(add)
    return parser


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    environment.prepare()
    signal.signal(signal.SIGTERM, interrupts.interrupt)  # a stop of any kind is orderly
    return console.run(lambda: _checked(argv))


def _checked(argv) -> int:
    try:
        options = build_parser().parse_args(argv)
        if options.max_side is not None and options.max_side != 0 and options.max_side < 16:
            raise UsageError(f"--max-side must be 0, or at least 16; received {options.max_side}")
        if options.weights and options.server:
            raise UsageError("maps are made by --weights or by --server; received both")
        return run(options)
    except KeyboardInterrupt:
        return OK  # it is how the page ends
    except ImportError as error:
        print(f"error: {not_installed('the page', error, 'demo')}", file=sys.stderr)
    return FAILED


def run(options) -> int:
    """Serves the page until it is interrupted; a server may start later."""
    estimator = _local(options.weights) if options.server is None else _remote(options)
    with tempfile.TemporaryDirectory(prefix="dmenet-page-") as folder, estimator:
        os.environ["GRADIO_TEMP_DIR"] = folder  # where gradio keeps uploads and pictures
        page = build(estimator, options.max_side)
        try:
            launch(page, options.host, options.port)
        finally:
            page.close(verbose=False)
    return OK


def _local(weights: str | None):
    import gradio  # noqa: F401  whether it is installed is told before TensorFlow is waited for

    from dmenet_tf import load

    return load(weights)


def _remote(options):
    from dmenet_tf import Estimator
    from serving.client import RemotePredictor, ServingError

    try:
        client_options = backend.client_options(options, retry_s=RETRY_S)
        predictor = RemotePredictor(options.server, client_options)
    except ValueError as error:  # of the address or of an option
        raise UsageError(str(error)) from error
    try:
        predictor.backend.ask_metadata(RETRY_S)
    except ServingError as error:
        print(f"note: the server does not answer yet: {error}", file=sys.stderr)
    return Estimator(predictor)


if __name__ == "__main__":
    sys.exit(main())
