"""What the page does: values of its controls in, values of its outputs out.

Imported by `serving.page` alone, and late: it imports gradio.
"""

import html

import gradio as gr

from serving.web import results
from serving.web.examples import remark_on
from serving.web.words import summary_html

THRESHOLD_PX = 1.5  # of what the network sees; in a photo reduced by s, 1 / s as much
WITH_THRESHOLD = ("fixed", "hysteresis")
RECOMMENDED, FULL = "recommended", "0"  # values of the size's control besides pixels
OWN, SEVEN, GIVEN = "own", "7", "given"  # of the scale's
MAP, MAGNIFIED, DEBLURRED = "map", "magnified", "deblurred"  # of what the slider compares with


class Actions:
    """The page's functions: values of its controls in, values of its outputs out."""

    def __init__(self, estimator, default_side: int):
        self.estimator, self.default_side = estimator, default_side

    def open(self, path, side, rule, factor, name, scale, bright_px):
        """A photo was chosen: every output anew, as `page.build` lists them in `opened`."""
        if path is None:  # another size was chosen before any photo
            return [gr.skip()] * 11
        max_side = None if side == RECOMMENDED else int(side)
        try:
            analysis = results.analyse(path, self.estimator, max_side, self.default_side)
        except results.PageError as error:
            raise error_message(error) from error
        for note in analysis.notes:
            gr.Warning(html.escape(note), duration=None)
        threshold_px, colours = THRESHOLD_PX / analysis.scale, chosen(name, scale, bright_px)
        return (
            analysis,
            results.viewer_value(analysis, colours),
            summary_html(analysis, remark_on(path)),
            MAP,
            results.compared(colours.draw(analysis), analysis),
            _threshold(rule, analysis, threshold_px),
            results.tinted(analysis, colours),
            results.cutout(analysis, rule, threshold_px),
            results.magnified(analysis, factor),
            gr.update(visible=True),
            gr.update(value=None, visible=False),
        )

    def colour(self, analysis, compared_with, name, scale, bright_px):
        """-> (number of the scale, viewer, slider, overlay, files) in other colours"""
        number = gr.update(visible=scale == GIVEN)
        if analysis is None or (scale == GIVEN and not bright_px):  # cleared, to type another one
            return number, *[gr.skip()] * 4
        colours = chosen(name, scale, bright_px)
        return (
            number,
            results.viewer_value(analysis, colours),
            results.compared(colours.draw(analysis), analysis)
            if compared_with == MAP
            else gr.skip(),
            results.tinted(analysis, colours),
            gr.update(value=None, visible=False),
        )

    def compare(self, analysis, compared_with, magnified, name, scale, bright_px):
        """-> the slider's two pictures; magnified: the picture that is shown."""
        if analysis is None:
            return gr.skip()
        if compared_with == DEBLURRED:
            picture = results.deblurred(analysis)
        elif compared_with == MAGNIFIED:
            picture = magnified
        else:
            picture = chosen(name, scale, bright_px).draw(analysis)
        return results.compared(picture, analysis)

    def cut(self, analysis, rule, threshold_px):
        """-> (threshold's slider, picture)"""
        if analysis is None:
            return _threshold(rule), None
        return _threshold(rule), results.cutout(analysis, rule, threshold_px)

    def magnify(self, analysis, factor, compared_with):
        """-> (picture, slider); the server is not asked again."""
        if analysis is None:
            return None, gr.skip()
        return _magnified(results.magnified(analysis, factor), analysis, compared_with)

    def focus(self, analysis, factor, compared_with, event: gr.SelectData):
        """A click into the magnified picture -> (the photo in focus there, slider)"""
        if analysis is None:
            return None, gr.skip()
        picture = results.refocused(analysis, *event.index, factor)
        return _magnified(picture, analysis, compared_with)

    def files(self, analysis, name, scale, bright_px):
        """-> the files to download, now shown"""
        paths = analysis and results.files(analysis, chosen(name, scale, bright_px))
        return gr.update(value=paths, visible=analysis is not None)


def chosen(name: str, scale: str, bright_px: float | None) -> results.Colours:
    """The colours that three controls say; bright_px: of the third, for GIVEN alone."""
    bright_px = {SEVEN: 7.0, GIVEN: bright_px}.get(scale)
    return results.Colours(name, bright_px or None)


def _magnified(picture, analysis, compared_with):
    shown = results.compared(picture, analysis) if compared_with == MAGNIFIED else gr.skip()
    return picture, shown


def _threshold(rule, analysis=None, threshold_px=None):
    """The slider in pixels of the photo at hand, shown for the rules that take one."""
    update = {"visible": rule in WITH_THRESHOLD}
    if analysis is not None:
        update |= {"maximum": round(analysis.largest_px, 1), "value": round(threshold_px, 2)}
    return gr.update(**update)


def error_message(message):
    """Stays until it is closed; gradio would show markup, and a file's name may hold some."""
    return gr.Error(html.escape(str(message)), duration=None, print_exception=False)
