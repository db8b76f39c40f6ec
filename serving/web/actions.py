"""What the page does: values of its controls in, values of its outputs out.

Imported by `serving.page` alone, and late: it imports gradio.
"""

import html

import gradio as gr

from serving.web import results

THRESHOLD_PX = 1.5  # of what the network sees; in a photo reduced by s, 1 / s as much
WITH_THRESHOLD = ("fixed", "hysteresis")
RECOMMENDED, FULL = "recommended", "0"  # values of the size's control besides pixels


class Actions:
    """The page's functions: values of its controls in, values of its outputs out."""

    def __init__(self, estimator, default_side: int):
        self.estimator, self.default_side = estimator, default_side

    def open(self, path, side, rule, factor):
        """A photo was chosen: every output anew, as `build` lists them in `opened`."""
        if path is None:  # another size was chosen before any photo
            return [gr.skip()] * 9
        max_side = None if side == RECOMMENDED else int(side)
        try:
            analysis = results.analyse(path, self.estimator, max_side, self.default_side)
        except results.PageError as error:
            raise error_message(error) from error
        for note in analysis.notes:
            gr.Warning(html.escape(note), duration=None)
        threshold_px = THRESHOLD_PX / analysis.scale
        return (
            analysis,
            results.viewer_value(analysis),
            results.summary_html(analysis),
            _threshold(rule, analysis, threshold_px),
            results.tinted(analysis),
            results.cutout(analysis, rule, threshold_px),
            results.magnified(analysis, factor),
            gr.update(visible=True),
            gr.update(value=None, visible=False),
        )

    def cut(self, analysis, rule, threshold_px):
        """-> (threshold's slider, picture)"""
        if analysis is None:
            return _threshold(rule), None
        return _threshold(rule), results.cutout(analysis, rule, threshold_px)

    def magnify(self, analysis, factor):
        """-> picture; the server is not asked again."""
        return None if analysis is None else results.magnified(analysis, factor)

    def focus(self, analysis, factor, event: gr.SelectData):
        """A click into the magnified picture -> the photo in focus there."""
        return None if analysis is None else results.refocused(analysis, *event.index, factor)

    def files(self, analysis):
        """-> the files to download, now shown"""
        return gr.update(value=analysis and results.files(analysis), visible=analysis is not None)


def _threshold(rule, analysis=None, threshold_px=None):
    """The slider in pixels of the photo at hand, shown for the rules that take one."""
    update = {"visible": rule in WITH_THRESHOLD}
    if analysis is not None:
        update |= {"maximum": round(analysis.largest_px, 1), "value": round(threshold_px, 2)}
    return gr.update(**update)


def error_message(message):
    """Stays until it is closed; gradio would show markup, and a file's name may hold some."""
    return gr.Error(html.escape(str(message)), duration=None, print_exception=False)
