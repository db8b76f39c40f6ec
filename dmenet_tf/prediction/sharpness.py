"""What counts as sharp: one definition for summaries, the page and the Python API.

A network cannot see blur below a pixel of what it is shown, and a photo may be reduced before it
is: by `scale`, 1 where it is not. So a pixel of a photo is sharp where its blur, in pixels that
the network sees, is below `SHARP_BELOW_PX`; in pixels of the photo, below that divided by `scale`.
Images of a data set are seen as they are: its card takes the same limit.
"""

from data_gen.optics import SHARP_BELOW_PX


def sharp_below_px(scale: float, sharp_below: float = SHARP_BELOW_PX) -> float:
    """The sigma in pixels of the photo below which it counts as sharp.

    scale: the factor, at most 1, by which the photo was reduced for the network. sharp_below: the
    same limit in pixels that the network sees.
    """
    return sharp_below / scale
