"""Names of the layouts of scenes, as types for options. Imports nothing."""

from typing import Literal

SEGMENTS = "segments"  # segmented photos, whose depth is invented (`segments.py`)
# The keys of `layouts.LAYOUTS`, and auto: the first of them that fits.
RgbdLayout = Literal[
    "auto", "sintel", "synthia", "syndof-input", "middlebury", "hypersim", "diode", "tum", "folder"
]
Layout = Literal[RgbdLayout, "segments"]
