"""The HTML page of a data card: the contents of a dataset, with plots."""

import json
import shlex
from pathlib import Path

import jinja2
import numpy as np

from data_gen import optics
from data_gen.curation import card_plots
from data_gen.curation.card_statistics import (
    BIN_PX,
    COC_EDGES_PX,
    SHARP_COC_PX,
    Statistics,
    read,
)
from data_gen.dataset import folders, records, shards
from data_gen.dataset.manifest import MANIFEST, MANIFEST_LINES, PARAMETERS, read_manifest
from data_gen.io.errors import DataFileError

PERCENTILES = {"min": 0, "lower quartile": 25, "median": 50, "upper quartile": 75, "max": 100}
SUMMARY = {
    "mean COC of the image (px)": ("mean_coc_px", "{:.2f}"),
    "max COC of the image (px)": ("max_coc_px", "{:.2f}"),
    "share of sharp pixels": ("sharp_share", "{:.1%}"),
    "focus position in the depth range": ("focus_position", "{:.2f}"),
    "lens: alpha (px)": ("alpha_px", "{:.2f}"),
    "layers": ("layers", "{:.0f}"),
    "width (px)": ("width", "{:.0f}"),
    "height (px)": ("height", "{:.0f}"),
}
SHARP = f"sigma < {optics.SHARP_BELOW_PX:g} px, COC < {SHARP_COC_PX:g} px"
FACTS = ("source", "scenes", "version", "encoding")  # of the files; all others are options
PICTURE_PX = 640
MAX_SCENES = 120


def open_dataset(folder, encoding="auto"):
    """Opens a dataset with `records.open_records` or `folders.open_folder`, by its layout.

    A folder with neither layout is opened as records, whose error says what is missing. An
    unfinished dataset is an error: its card would describe only a part.
    """
    if not Path(folder).is_dir():
        raise DataFileError(f"{folder}: a dataset must be a folder; it does not exist")
    if (Path(folder) / PARAMETERS).exists():
        read_manifest(folder)
    if (Path(folder) / "image").is_dir() and not shards.is_records(folder):
        return folders.open_folder(folder, encoding)
    return records.open_records(folder)


def render(folder, dataset, statistics: Statistics, lines: dict, pictures: int) -> str:
    """The card as HTML."""
    template = Path(__file__).with_name("card.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    scenes = statistics.scenes()
    chosen = np.linspace(0, len(dataset) - 1, min(pictures, len(dataset))).round().astype(int)
    layout = "TFRecord shards" if isinstance(dataset, records.RecordIndex) else "folders"
    return environment.from_string(template).render(
        title=Path(folder).resolve().name,
        layout=layout,
        headline=_headline(statistics, scenes),
        unknown=_unknown(statistics, lines),
        about=_about(Path(folder), dataset),
        plots=_plots(statistics),
        summary_columns=PERCENTILES,
        summary=_summary(statistics),
        scenes=scenes[:MAX_SCENES],
        scenes_text=_scenes_text(scenes),
        sheet_text=f"{len(chosen)} images, evenly spread over the dataset, beside their maps.",
        sheet=[_pair(dataset, statistics, int(i), lines) for i in chosen],
        colour_bar=card_plots.colour_bar(),
    )


# --- the parts of the page ---------------------------------------------------------------------


def _headline(statistics, scenes):
    scene_count = f"{len(scenes):,}" if scenes else "unknown"
    return [
        ("images", f"{len(statistics.rows):,}"),
        ("scenes", scene_count),
        ("megapixels", f"{statistics.pixels / 1e6:,.1f}"),
        (f"of pixels sharp ({SHARP})", f"{statistics.sharp_share:.1%}"),
        ("max COC", f"{statistics.values('max_coc_px').max():.2f} px"),
    ]


def _unknown(statistics, lines):
    """What is unknown about the dataset, one sentence each."""
    total, sentences = len(statistics.rows), []
    if not lines:
        sentences.append(f"There is no {MANIFEST_LINES}, which describes each image's lens.")
    elif len(lines) != total:
        sentences.append(f"{MANIFEST_LINES} has {len(lines)} lines for {total} images.")
    for name, column in (
        ("Focus position", "focus_position"),
        ("Number of layers", "layers"),
        ("Lens (alpha)", "alpha_px"),
    ):
        missing = total - len(statistics.values(column))
        if missing:
            flat = " (or the scene is flat)" if column == "focus_position" and lines else ""
            sentences.append(f"{name} of {missing:,} of {total:,} images{flat}.")
    if not statistics.scenes():
        sentences.append("Scene that each image was made from.")
    return sentences


def _about(folder, dataset):
    """(name, value) of parameters.json and dataset.json: facts, the encoding, and the options."""
    about = {}
    for file in (PARAMETERS, MANIFEST):
        if (folder / file).exists():
            about |= json.loads((folder / file).read_text(encoding="utf-8"))
    told = (
        ""
        if "encoding" in about
        else ", detected from the maps' values or given on the command line"
    )
    facts = about | {"encoding": f"{dataset.encoding}{told}"}
    rows = [(name, facts[name]) for name in FACTS if name in facts]
    options = {name: value for name, value in about.items() if name not in FACTS}
    return [*rows, ("options", " ".join(_as_typed(options)))] if options else rows


def _as_typed(options: dict):
    """Options as they are given on a command line; those that are off or not given are left out."""
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, dict):  # a group of options, which has no prefix
            yield from _as_typed(value)
        elif value is True:
            yield flag
        elif value is not None and value is not False and value not in ([], ""):  # 0 is given
            values = value if isinstance(value, list) else [value]
            yield shlex.join([flag, *map(str, values)])


def _plots(statistics):
    """SVG and caption of each histogram; unknown quantities are left out."""
    share = 100 * statistics.coc_histogram / statistics.pixels
    plots = [
        (
            card_plots.bars(share, COC_EDGES_PX, "COC (px)", "% of pixels", SHARP_COC_PX),
            f"Circle of confusion of all pixels, bins of {BIN_PX:g} px. Left of the dashed line "
            f"({SHARP_COC_PX:g} px, a sigma of {optics.SHARP_BELOW_PX:g} px) is sharp: "
            f"{statistics.sharp_share:.1%}.",
        ),
        (
            card_plots.histogram(
                statistics.values("max_coc_px"), COC_EDGES_PX[::2], "max COC of an image (px)"
            ),
            f"Strongest blur of each image; the max is {optics.C_MAX_PX:g} px.",
        ),
        (
            card_plots.histogram(
                100 * statistics.values("sharp_share"), np.arange(0, 105, 5), "sharp pixels (%)"
            ),
            f"Share of an image that is sharp ({SHARP}).",
        ),
    ]
    focus, layers = statistics.values("focus_position"), statistics.values("layers")
    if focus.size:
        svg = card_plots.histogram(focus, np.linspace(0, 1, 21), "focus: 0 nearest, 1 farthest")
        plots.append(
            (svg, "Focus distance S1 in the depth range of its scene: (S1 - near)/(far - near).")
        )
    if layers.size:
        edges = np.linspace(0, max(350, layers.max()) + 1, 28)
        svg = card_plots.histogram(layers, edges, "layers")
        plots.append((svg, "Number of layers that the renderer split the scene's depth into."))
    return [{"svg": svg, "caption": caption} for svg, caption in plots]


def _summary(statistics):
    """(name, formatted percentiles) of each known quantity."""
    rows = []
    for name, (column, form) in SUMMARY.items():
        values = statistics.values(column)
        if values.size:
            numbers = np.percentile(values, list(PERCENTILES.values()))
            rows.append((name, [form.format(number) for number in numbers]))
    return rows


def _scenes_text(scenes):
    if not scenes:
        return ""
    counts = [count for _, count in scenes]
    text = f"{len(scenes):,} scenes with {min(counts)} to {max(counts)} images each"
    hidden = len(scenes) - MAX_SCENES
    return text + (f"; the {MAX_SCENES} with the most images are listed." if hidden > 0 else ".")


def _pair(dataset, statistics, i, lines):
    """One image of the contact sheet: image and map as data URLs, and the caption."""
    name, image, defocus, _ = read(dataset, i, lines)
    row = statistics.rows[i]
    facts = [name, row.scene, f"{row.width} x {row.height}"]
    if row.focus_position is not None:
        facts.append(f"focus at {row.focus_position:.2f}")
    facts += [f"COC up to {row.max_coc_px:.1f} px", f"{row.sharp_share:.0%} sharp"]
    return {
        "name": name,
        "image": card_plots.picture(image, PICTURE_PX),
        "map": card_plots.map_picture(defocus, PICTURE_PX),
        "caption": ", ".join(fact for fact in facts if fact is not None),
    }
