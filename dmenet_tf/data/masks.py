"""Binary masks of a collection: are both classes there, and does 255 mean blurred or sharp?

`mask_files.py` reads them.
"""

import cv2
import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.sources.base import origin
from dmenet_tf.data.mask_files import read_mask

POLARITIES = ("blurred", "sharp")
# The polarity check reads detail at this size: at full size, noise drowns it.
CHECK_SIDE_PX = 640
# Below this share of a photo, a class is a speck that says nothing.
CLASS_SHARE_MIN = 0.02
AGREEMENT_MIN = 0.7


def check_polarity(photos, sample=40):
    """Makes sure that the maps' polarity is right: what is in focus has the stronger detail.

    Detail is the mean absolute Laplacian of a region. On CUHK it is the stronger in the region in
    focus on 99.8 % of the photos. Photos with one class only are left out.

    Args:
        photos: any collection with maps.
        sample: how many photos are read, spread evenly over the collection.
    Returns:
        The share of photos that agree.
    Raises:
        ValueError: fewer than 70 % agree, or no photo has both classes.
    """
    indices = np.unique(np.linspace(0, len(photos) - 1, sample).round().astype(int))
    votes = [sharp_has_more_detail(*photos.read(int(index))) for index in indices]
    votes = [vote for vote in votes if vote is not None]
    if not votes:
        raise ValueError(
            "the polarity of the maps can be checked only on photos with a blurred part and one "
            f"in focus; received {len(indices)} photos, none with both{_example(photos, 0)}"
        )
    share = float(np.mean(votes))
    if share < AGREEMENT_MIN:
        advice = (
            f"the maps are inverted: use the other polarity of {POLARITIES}, which says what 255 is"
            if share <= 1 - AGREEMENT_MIN
            else "the maps do not follow the blur in either polarity"
        )
        raise ValueError(
            f"the part in focus must have stronger detail than the blurred part on at least "
            f"{AGREEMENT_MIN:.0%} of the photos; received {share:.0%} of {len(votes)}: {advice}"
        )
    return share


def check_both_classes(photos, blurred_shares):
    """Raises `DataFileError` where the masks of a whole collection hold one class only.

    blurred_shares: of each photo, in order. Such a collection says nothing about a map: every
    figure would be that of a constant.
    """
    for share, title in ((0.0, "in focus"), (1.0, "blurred")):
        if all(each == share for each in blurred_shares):
            raise DataFileError(
                "the masks of a collection must hold both classes, blurred and in focus; received "
                f"{len(blurred_shares)} masks that are {title} throughout{_example(photos, 0)}"
            )


def _example(photos, index) -> str:
    """ ", such as FILE with the value 255"; nothing for what has no files."""
    path = (origin(photos, index) or {}).get("mask")
    return f", such as {path} with {read_mask(path).described}" if path else ""


def sharp_has_more_detail(image, blurred):
    """Whether detail agrees with the map; None where a class covers next to nothing."""
    scale = CHECK_SIDE_PX / max(blurred.shape)
    if scale < 1:
        size = round(blurred.shape[1] * scale), round(blurred.shape[0] * scale)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        blurred = cv2.resize(blurred, size, interpolation=cv2.INTER_NEAREST)
    is_blurred = blurred > 0.5
    if not CLASS_SHARE_MIN < is_blurred.mean() < 1 - CLASS_SHARE_MIN:
        return None
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
    return bool(detail[~is_blurred].mean() > detail[is_blurred].mean())
