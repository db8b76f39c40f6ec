"""The results of an evaluation: a table for the console, two CSV files and one HTML page.

The page is self-contained: pictures and curves are inside it, and it loads nothing.
"""

import csv
import io
import math
from pathlib import Path

import jinja2
import numpy as np

from data_gen.io.atomic import write_atomic
from dmenet_tf.evaluation import report_pictures as pictures
from dmenet_tf.evaluation.specification import ALWAYS_BLURRED, Figure, Protocol
from dmenet_tf.visualization import COLOURS

DIGITS = 4
NOT_DEFINED = "–"


def console_table(protocol: Protocol, rows) -> str:
    """The summary as aligned text, one line per row; * marks the best of each column."""
    columns = [f.title + (" ↑" if f.higher_is_better else " ↓") for f in protocol.figures]
    table = [["", "size seen", *columns]]
    for row in rows:
        cells = [
            _number(row.summary.figures[f.key]) + ("*" if _is_best(f, row, rows) else " ")
            for f in protocol.figures
        ]
        table.append([row.title, row.size, *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines + [f"note: {note}" for note in notes(protocol, rows)])


def notes(protocol, rows) -> list[str]:
    """Which figures are not over all images: none is left out silently."""
    first, total = rows[0].summary.defined, len(rows[0].measured)
    return [
        f"{figure.title} is a mean over {first[figure.key]} of {total} images; "
        "on the others it is not defined"
        for figure in protocol.figures
        if first.get(figure.key, total) < total
    ]


def write_csv(out: Path, protocol, samples, rows) -> None:
    """Writes summary.csv, one line per row, and images.csv, one per row and image."""
    keys = [figure.key for figure in protocol.figures]
    summary = [
        [row.title, row.kind, row.size, *(row.summary.figures[k] for k in keys)] for row in rows
    ]
    _write_rows(out / "summary.csv", ["row", "kind", "size", *keys], summary)
    keys = [figure.key for figure in protocol.figures if figure.of_image]
    images = [
        [samples[i].name, row.title, row.kind, *(row.measured[i].figures[k] for k in keys)]
        for i in range(len(samples))
        for row in rows
    ]
    _write_rows(out / "images.csv", ["image", "row", "kind", *keys], images)


def write_html(path: Path, protocol, samples, rows, described, command, worst=12, best=4) -> None:
    """The report. Pictures of the `worst` and `best` images by the first row's error."""
    shown = [row for row in rows if row.kind != "oracle" and row.title != ALWAYS_BLURRED] or rows
    errors = {row.title: [protocol.error(m.figures) for m in row.measured] for row in rows}
    order = worst_first(errors[rows[0].title])
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dmenet_tf.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html").render(
        protocol=protocol,
        described=described,
        command=command,
        count=len(samples),
        first=rows[0].title,
        titles=[row.title for row in rows],
        summary=_summary_cells(protocol, rows),
        notes=notes(protocol, rows),
        curves=_curves(protocol, rows, errors),
        legends=_legends(protocol),
        decisions=pictures.DECISIONS if protocol.decide else {},
        shown="decision" if protocol.decide else "difference",
        cards=[_card(protocol, samples[i], i, shown) for i in ends(order, worst, best)],
        image_figure=protocol.figures[0].title,
        images=_image_cells(protocol, samples, rows, order),
    )
    write_atomic(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def worst_first(errors) -> list[int]:
    """Indices of images, the largest error first; equal ones in their order."""
    return sorted(range(len(errors)), key=lambda index: -errors[index])


def ends(order: list[int], worst: int, best: int) -> list[int]:
    """The first `worst` and the last `best` of `order`, each once."""
    rest = order[worst:]
    return order[:worst] + rest[max(0, len(rest) - best) :]


def _summary_cells(protocol, rows) -> list[dict]:
    return [
        {
            "title": row.title,
            "kind": row.kind,
            "size": row.size,
            "cells": [
                (_number(row.summary.figures[f.key]), _is_best(f, row, rows))
                for f in protocol.figures
            ],
        }
        for row in rows
    ]


def _image_cells(protocol, samples, rows, order) -> list[dict]:
    key = protocol.figures[0].key
    return [
        {"name": samples[i].name, "cells": [_number(row.measured[i].figures[key]) for row in rows]}
        for i in order
    ]


def _curves(protocol, rows, errors) -> list[tuple[str, str]]:
    """(caption, picture)."""
    drawn = {row.title: row.summary.curve for row in rows if row.summary.curve is not None}
    sorted_errors = pictures.errors_uri(errors, protocol.error_title, log=not protocol.decide)
    curves = [(f"{protocol.error_title} of every image, sorted", sorted_errors)]
    if drawn:
        curves.insert(0, ("Precision and recall of blurred pixels", pictures.curves_uri(drawn)))
    return curves


def _legends(protocol) -> list[str]:
    if protocol.decide:
        return [pictures.legend_uri(COLOURS, 0, 1, "map, least to most blurred of its photo")]
    unit = f"sigma / {protocol.sigma_max_px:g} px"
    limit = pictures.DIFFERENCE_MAX
    return [
        pictures.legend_uri(COLOURS, 0, 1, f"map and truth: {unit}"),
        pictures.legend_uri(pictures.DIFFERENCES, -limit, limit, "difference: predicted - true"),
    ]


def _card(protocol, sample, index: int, rows) -> dict:
    """One image: input, truth, and each row's map, errors and figures."""
    detection = protocol.decide is not None
    columns = []
    for row in rows:
        predicted = row.map_of(index)
        if detection:
            wrong = pictures.decision_uri(protocol.decide(predicted), sample.truth)
            span = f"map {predicted.min():.2f} .. {predicted.max():.2f}"
        else:
            wrong = pictures.difference_uri(predicted, sample.truth)
            span = _in_pixels("map", predicted, protocol)
        figures = row.measured[index].figures
        named = [f"{f.title} {_number(figures[f.key])}" for f in protocol.figures if f.of_image]
        columns.append(
            {
                "title": row.title,
                "map": pictures.map_uri(predicted, stretch=detection),
                "wrong": wrong,
                "caption": ", ".join(named).replace("mAP", "AP"),
                "span": span,
            }
        )
    truth = sample.truth
    span = f"{truth.mean():.0%} blurred" if detection else _in_pixels("truth", truth, protocol)
    return {
        "name": sample.name,
        "size": f"{truth.shape[1]} x {truth.shape[0]}",
        "photo": pictures.photo_uri(sample.image),
        "truth": pictures.map_uri(truth, stretch=False),
        "span": span,
        "columns": columns,
    }


def _in_pixels(what, values, protocol) -> str:
    low, high = (float(v) * protocol.sigma_max_px for v in (values.min(), values.max()))
    return f"{what} sigma {low:.1f} .. {high:.1f} px"


def _number(value: float) -> str:
    return NOT_DEFINED if math.isnan(value) else f"{value:.{DIGITS}f}"


def _is_best(figure: Figure, row, rows) -> bool:
    """Whether a row has the best value among those that do not use the truth."""
    values = [r.summary.figures[figure.key] for r in rows if r.kind != "oracle"]
    if row.kind == "oracle" or np.isnan(values).all():
        return False
    best = np.nanmax(values) if figure.higher_is_better else np.nanmin(values)
    return row.summary.figures[figure.key] == best


def _write_rows(path, header, rows) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_atomic(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))
