"""Statistics of a dataset of (image, defocus map), read once in bounded memory.

Units: `coc_px` = 28 * defocus, the diameter that blurs. A pixel is SHARP where sigma is below 1 px
(`optics.SHARP_BELOW_PX`, as in summaries of maps), which is coc_px < 4. Focus position:
(S1 - near)/(far - near) of the scene's depth range, 0 = its nearest point, 1 = its farthest.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_gen import optics
from data_gen.dataset.records import RecordIndex
from data_gen.io import parallel

SHARP_COC_PX = optics.sigma_to_coc(optics.SHARP_BELOW_PX)
BIN_PX = 0.5
COC_EDGES_PX = np.arange(0, optics.C_MAX_PX + BIN_PX, BIN_PX)


@dataclass(frozen=True)
class ImageRow:
    """One image: size, COC in pixels, and how it was made; None where that is unknown."""

    file: str
    width: int
    height: int
    mean_coc_px: float
    max_coc_px: float
    sharp_share: float
    scene: str | None = None
    alpha_px: float | None = None
    focus_position: float | None = None
    layers: int | None = None


@dataclass
class Statistics:
    """Statistics of a dataset; `add` one image at a time."""

    rows: list[ImageRow] = field(default_factory=list)
    pixels: int = 0
    sharp_pixels: int = 0
    coc_histogram: np.ndarray = field(
        default_factory=lambda: np.zeros(len(COC_EDGES_PX) - 1, np.int64)
    )
    """Pixels per bin of `COC_EDGES_PX`; the last bin includes its upper edge."""

    def add(self, row: ImageRow, histogram: np.ndarray, sharp_pixels: int):
        self.rows.append(row)
        self.pixels += row.width * row.height
        self.sharp_pixels += sharp_pixels
        self.coc_histogram += histogram

    @property
    def sharp_share(self) -> float:
        return self.sharp_pixels / self.pixels

    def values(self, name: str) -> np.ndarray:
        """A column of the rows as float64, without images whose value is unknown."""
        column = [getattr(row, name) for row in self.rows]
        return np.array([value for value in column if value is not None], np.float64)

    def scenes(self) -> list[tuple[str, int]]:
        """(scene, number of its images), largest first; empty if scenes are unknown."""
        counts = Counter(row.scene for row in self.rows if row.scene is not None)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def collect(dataset, lines: dict[int, dict], progress: Callable = iter) -> Statistics:
    """Reads every image of an opened dataset.

    Args:
        dataset: `records.RecordIndex` or `folders.FolderExamples`.
        lines: from `manifest.read_lines`; {} without a manifest.
        progress: wraps the range of images, as tqdm does.
    """
    statistics = Statistics()
    done = parallel.ordered(lambda i: measure(dataset, i, lines), len(dataset))
    for _ in progress(range(len(dataset))):
        statistics.add(*next(done))
    return statistics


def measure(dataset, i: int, lines: dict[int, dict]):
    """(row, histogram of COC, number of sharp pixels) of image `i`."""
    name, image, defocus, made = read(dataset, i, lines)
    coc_px = optics.defocus_to_coc(defocus)
    sharp = int((coc_px < SHARP_COC_PX).sum())
    # float32 of a full blur may lie a rounding error above 28 px.
    histogram = np.histogram(np.minimum(coc_px, optics.C_MAX_PX), COC_EDGES_PX)[0]
    row = ImageRow(
        name,
        image.shape[1],
        image.shape[0],
        float(coc_px.mean(dtype=np.float64)),
        float(coc_px.max()),
        sharp / coc_px.size,
        made["scene"] if isinstance(made.get("scene"), str) else made.get("name"),
        made.get("alpha_px"),
        focus_position(made),
        made.get("layers"),
    )
    return row, histogram, sharp


def read(dataset, i: int, lines: dict[int, dict]):
    """(file name or number, image uint8, defocus, how it was made as far as known)."""
    if isinstance(dataset, RecordIndex):
        example = dataset.example(i)
        made = {key: value for key, value in example.items() if key not in ("image", "defocus")}
        made |= lines.get(example["index"], {})
        return f"record {example['index']}", example["image"], example["defocus"], made
    stem = dataset.name(i)
    # Files written by this project are named by their index.
    made = lines.get(int(stem), {}) if stem.isdecimal() else {}
    if "file" in made and Path(made["file"]).stem != stem:
        made = {}
    return dataset.pairs[i][0].name, *dataset.read(i), made


def focus_position(made: dict) -> float | None:
    """(S1 - near)/(far - near), or None if it is unknown or the scene is flat."""
    if not {"focus_distance", "near", "far"} <= made.keys() or made["far"] <= made["near"]:
        return None
    return (made["focus_distance"] - made["near"]) / (made["far"] - made["near"])
