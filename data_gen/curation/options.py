"""Options of inspect, dedup and card; imports no TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_gen.optics import EncodingOrAuto

HASH_BITS = 256
# Chosen from the measurements in `dedup.py`.
THRESHOLD_BITS = 64

Out = tyro.conf.arg(aliases=["-o"])


@dataclass(frozen=True)
class InspectOptions:
    """Reports a folder's layout, encoding, ranges and pairs, and everything wrong with it."""

    folder: tyro.conf.Positional[Path]
    """A dataset (image/ with blur_map/, or records), or RGB-D scenes."""
    encoding: EncodingOrAuto = "auto"
    """Encoding of the maps; auto: as stated by the dataset, or detected from the values."""
    json: bool = False
    """Print one JSON object instead of text."""


@dataclass(frozen=True)
class DedupOptions:
    """Keeps only dissimilar images of RGB-D collections or folders of photos."""

    source: tyro.conf.Positional[tuple[Path, ...]]
    """RGB-D folders in any layout, or folders of photos; each image is compared with all others."""
    out: Annotated[Path, Out]
    """Folder of the report: kept.txt, report.json, distances.png, merged.png."""
    threshold: Annotated[int, tyro.conf.arg(metavar="BITS")] = THRESHOLD_BITS
    """Images whose hash differs from a kept one by at most this many of 256 bits are left out."""

    def __post_init__(self):
        if not 0 <= self.threshold < HASH_BITS:
            raise ValueError(
                f"threshold must lie in 0 .. {HASH_BITS - 1} bits; received {self.threshold}"
            )


@dataclass(frozen=True)
class CardOptions:
    """Writes a data card: one HTML file with histograms, counts and a contact sheet."""

    folder: tyro.conf.Positional[Path]
    """Dataset: records, or folders image/ and blur_map/."""
    out: Annotated[Path | None, Out] = None
    """The file to write; by default card.html in the dataset's folder."""
    encoding: EncodingOrAuto = "auto"
    """Encoding of the maps; auto: as stated by the dataset, or detected from the values."""
    pictures: int = 24
    """Number of images on the contact sheet, evenly spread over the dataset."""
