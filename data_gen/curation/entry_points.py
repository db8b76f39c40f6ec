"""The commands inspect, dedup and card, which look at existing data.

    python -m data_gen inspect SYNDOF/
    python -m data_gen dedup sintel/ synthia/ --out distinct
    python -m data_gen card syndof

Each imports its implementation after parsing its options, so --help does not load TensorFlow.
"""

import functools
import json
import sys
from dataclasses import asdict

from data_gen import command_line, environment, exit_codes
from data_gen.curation.options import HASH_BITS, CardOptions, DedupOptions, InspectOptions
from data_gen.progress import progress

INSPECT = """Reports what a folder contains and everything that is wrong with it.

python -m data_gen inspect SYNDOF/

python -m data_gen inspect sintel/ --json

Reads the authors' released folders (image/, blur_map/), datasets written by `python -m data_gen` in
either layout, and RGB-D scenes. Exit code: 0 if nothing is wrong, 1 if there are problems.
"""

DEDUP = """Keeps only dissimilar images of a collection, as the paper did (2,006 of its frames).

python -m data_gen dedup sintel/ synthia/ --out distinct

python -m data_gen dedup photos/ --out distinct --threshold 48
"""

CARD = """Writes a data card: the contents of a dataset as one HTML file with plots.

python -m data_gen card syndof

python -m data_gen card SYNDOF/ --encoding released -o syndof.html

Without -o, the card is written beside the data: card.html in the dataset's folder.

Reads datasets written by `python -m data_gen` in either layout and the authors' folders (image/,
blur_map/). Focus distances and layers come from manifest.jsonl; without it the card lists them as
unknown. The file is self-contained: no scripts, no links, no external resources.
"""

CARD_FILE = "card.html"
NOTHING_WRITTEN = "interrupted; nothing was written"


def inspect(argv=None) -> int:
    """`python -m data_gen inspect`; returns the exit code."""
    environment.prepare()
    options = command_line.parse(InspectOptions, argv, "python -m data_gen inspect", INSPECT)
    return command_line.run(lambda: _inspect(options))


def _inspect(options: InspectOptions) -> int:
    from data_gen.curation import inspection

    bar = functools.partial(progress, desc="reading", leave=False)
    report = inspection.inspect(options.folder, options.encoding, bar)
    if options.json:
        print(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    else:
        print(inspection.as_text(report))
    return exit_codes.FAILED if report.problems else exit_codes.OK


def dedup(argv=None) -> int:
    """`python -m data_gen dedup`; returns the exit code."""
    environment.prepare()
    options = command_line.parse(DedupOptions, argv, "python -m data_gen dedup", DEDUP)
    return command_line.run(lambda: _dedup(options), NOTHING_WRITTEN)


def _dedup(options: DedupOptions) -> int:
    from data_gen.curation import dedup as deduplication
    from data_gen.io import search

    source = deduplication.open_collections(options.source)
    bar = functools.partial(progress, desc="reading images", unit="image")
    distinct = deduplication.distinct_source(source, options.threshold, options.out, bar)
    groups = json.loads((options.out / "report.json").read_text(encoding="utf-8"))["groups"]
    for each in groups[:10]:
        print(f"{each['kept']} stands for {len(each['merged'])} more")
    if len(groups) > 10:
        print(f"... and {len(groups) - 10} more groups in {options.out / 'report.json'}")
    print(
        f"{len(source)} images, {len(distinct)} kept, {len(source) - len(distinct)} left out in "
        f"{len(groups)} groups (threshold {options.threshold} of {HASH_BITS} bits)"
    )
    print(f"contact sheet: {options.out / 'merged.png'}; list: {options.out / 'kept.txt'}")
    left_out = search.left_out(options.source)
    if left_out:
        print(left_out, file=sys.stderr)
    return exit_codes.SKIPPED if left_out else exit_codes.OK


def card(argv=None) -> int:
    """`python -m data_gen card`; returns the exit code."""
    environment.prepare()
    options = command_line.parse(CardOptions, argv, "python -m data_gen card", CARD)
    return command_line.run(lambda: _card(options), NOTHING_WRITTEN)


def _card(options: CardOptions) -> int:
    from data_gen.curation import card as data_card
    from data_gen.curation.card_statistics import collect
    from data_gen.dataset.manifest import read_lines
    from data_gen.io.atomic import write_text

    if options.pictures < 1:
        raise ValueError(f"pictures must be at least 1; received {options.pictures}")
    dataset = data_card.open_dataset(options.folder, options.encoding)
    lines, problems = read_lines(options.folder)
    statistics = collect(dataset, lines, functools.partial(progress, desc="reading", unit="image"))
    page = data_card.render(options.folder, dataset, statistics, lines, options.pictures)
    out = options.folder / CARD_FILE if options.out is None else options.out
    write_text(out, page)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    print(f"{out}: the card of {len(dataset)} images")
    return exit_codes.OK
