"""Which images look as if red and blue were swapped, as a reader of BGR files leaves them.

The rule: brown, skin, wood, brick and soil have hues of 10 to 50 degrees, and hardly anything but
sky and water has those of 190 to 230, which are the same with red and blue swapped. Sky is smooth.
So where of an image's textured, coloured pixels, at least `FEWEST` of all, those of a blue hue are
`TIMES` as many as the brown ones, it looks swapped. Of images whose names begin alike, `SEVERAL`
must look so, and at least `SHARE` of those whose colours tell anything: one photo of the sea is no
reason. In the collections that were tried, photos and RGB-D scenes, 0 to 19 % of the images that
tell anything looked so, and with red and blue swapped 81 to 100 %.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

import cv2
import numpy as np

SIDE_PX = 256  # what is looked at is reduced to it
SATURATED, VISIBLE, TEXTURED = 0.25, 0.15, 0.02
BROWN, BLUE = (10, 50), (190, 230)  # degrees; one is the other with red and blue swapped
FEWEST, TIMES = 0.02, 4.0
SEVERAL, SHARE = 3, 0.5


def looks_swapped(image: np.ndarray) -> bool | None:
    """uint8 [H, W, 3] RGB -> whether its colours look swapped; None: they do not tell."""
    scale = min(1.0, SIDE_PX / max(image.shape[:2]))
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    colours = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    hue, saturation, value = np.moveaxis(cv2.cvtColor(colours, cv2.COLOR_RGB2HSV), -1, 0)
    grey = cv2.GaussianBlur(colours.mean(axis=-1), None, 1.0)
    rough = np.hypot(cv2.Sobel(grey, -1, 1, 0, scale=1 / 8), cv2.Sobel(grey, -1, 0, 1, scale=1 / 8))
    told = (saturation > SATURATED) & (value > VISIBLE) & (rough > TEXTURED)
    brown, blue = (np.mean(told & (low <= hue) & (hue <= high)) for low, high in (BROWN, BLUE))
    if brown + blue < FEWEST:
        return None
    if blue > TIMES * brown:
        return True
    return False if brown > TIMES * blue else None


def notes(found: Iterable[tuple[str, bool | None]]) -> list[str]:
    """Sentences about images, given as (name of the scene, or "", `looks_swapped`)."""
    groups = defaultdict(list)
    for name, swapped in found:
        if swapped is not None:
            groups[re.match(r"[^\d_]*_?", name)[0]].append(swapped)
    return [
        f"{sum(group)} of {len(group)} {f'images {start}*' if start else 'images'} are blue where "
        f"photos are brown: are red and blue swapped?"
        + (f" --bgr-scenes '{start}*' reads them rightly" if start else "")
        for start, group in sorted(groups.items())
        if sum(group) >= max(SEVERAL, SHARE * len(group))
    ]
