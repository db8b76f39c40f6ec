"""Maps of photos.

    python -m dmenet_tf.predict photos/ -o maps --weights runs/demo

Parses, finds the photos, and hands them one by one to the network, while the next is being read.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # nearly twice as fast (folding.py)

from tqdm import tqdm

from data_gen.imagefiles import DataFileError
from data_gen.photofiles import MAX_PIXELS, decode_photo, read_photo
from dmenet_tf import summaries
from dmenet_tf.console import quiet_native_stderr
from dmenet_tf.inputs import Photo, find_photos
from dmenet_tf.summaries import SUFFIXES, SUMMARY_SUFFIX, output_path

# TensorFlow takes seconds to import: `--help` and wrong options must not wait for it. Modules that
# need it are imported where they are used.

EXIT_UNREADABLE, EXIT_INTERRUPTED = 3, 130
EPILOG = """\
forms (--write a,b,...; default colour); sigma is the blur's Gaussian deviation in pixels:
  colour   NAME.colour.png    black = sharp .. bright yellow = the largest sigma, 7 px
  png16    NAME.sigma16.png   16 bit, 65535 = the largest sigma
  tiff     NAME.sigma.tiff    float32, sigma in pixels
  npy      NAME.sigma.npy     float32, sigma in pixels
  overlay  NAME.overlay.png   the grey photo, tinted with the colours
  side     NAME.side.png      photo, colours and scale side by side
  Each carries model, units and scale, as does NAME.json, which also has the share of sharp area,
  the median sigma and a focus score; OUT/summary.csv and summary.json have a row per photo.

exit code: 0 all done, 1 nothing could be done (one line says why), 3 some photos were unreadable
  (the rest is done), 130 interrupted. The same command continues: maps that stand are kept.

example:
  python -m dmenet_tf.predict photos/ "more/*.tif" -o maps --weights runs/demo --write colour,npy
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(message)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m dmenet_tf.predict",
        usage="%(prog)s INPUT... -o OUT --weights PATH [options]",
        description="Writes the defocus map of every photo.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="file, folder, quoted pattern, or - for stdin")
    add("-o", "--out", type=Path, required=True, help="folder of the maps; mirrors INPUT's folders")
    add("--weights", required=True, metavar="PATH", help="a run's folder, or DMENet_BDCS.npz")
    add("--write", type=_forms, action="extend", metavar="FORMS", help="see below")
    add("--tile", type=_tile, default="auto", help="side in px, 0 = whole, or auto (default)")
    add("--max-side", type=int, metavar="N", help="reduce larger photos to N px, for speed")
    add(
        "--sharp-below",
        type=float,
        default=1.0,
        metavar="PX",
        help="sigma that counts as sharp, in pixels that the network sees (default 1)",
    )
    add("--max-pixels", type=float, default=MAX_PIXELS / 1e6, metavar="M",
        help="refuse photos above M million pixels (default %(default)g)")  # fmt: skip
    add("--overwrite", action="store_true", help="write again what is already there")
    return parser


def _forms(text: str) -> list[str]:
    forms = text.split(",")
    unknown = [form for form in forms if form not in SUFFIXES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"must be of {', '.join(SUFFIXES)}; received {unknown[0]!r}"
        )
    return forms


def _tile(text: str) -> str | int:
    return text if text == "auto" else int(text)


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop of any kind is orderly
    try:
        options = build_parser().parse_args(argv)
        return predict(options)
    except (OSError, ValueError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return EXIT_INTERRUPTED


def predict(options) -> int:
    """Writes the maps of `options` (see `build_parser`) and returns the exit code."""
    photos = find_photos(options.inputs, options.out, summaries.is_output)
    _check(options)
    from dmenet_tf.anysize import check_options

    check_options(options.tile, options.max_side)
    with quiet_native_stderr():
        from dmenet_tf.inference import Predictor

    predictor = Predictor(options.weights, tile=options.tile, max_side=options.max_side)
    if predictor.trained.licence:
        print(f"note: {predictor.trained.licence}", file=sys.stderr)
    return _Folder(options, predictor).write(photos)


def _check(options) -> None:
    for name in ("max_pixels", "sharp_below"):
        value = getattr(options, name)
        if not 0 < value < float("inf"):
            raise ValueError(f"--{name.replace('_', '-')} must be above 0; received {value:g}")
    if not Path(options.weights).exists():
        raise FileNotFoundError(
            f"--weights must be a run's folder or an .npz; there is no {options.weights} "
            "(python -m dmenet_tf.train --preset demo makes runs/demo)"
        )


class _Folder:
    """Writes maps into the folder OUT, and counts."""

    def __init__(self, options, predictor):
        from dmenet_tf.mapfiles import Metadata, program_version

        self.options, self.predictor, self.out = options, predictor, options.out
        self.forms = list(dict.fromkeys(options.write or ["colour"]))
        trained = predictor.trained
        self.metadata = Metadata(
            trained.identity,
            trained.encoding,
            version=program_version(),
            licence=trained.licence,
        )
        self.done, self.kept, self.failed = 0, 0, {}

    def write(self, photos: list[Photo]) -> int:
        todo = [photo for photo in photos if self.options.overwrite or not self._stands(photo)]
        self.kept = len(photos) - len(todo)
        try:
            with tqdm(
                total=len(photos), initial=self.kept, unit="photo", disable=None, leave=False
            ) as bar:
                for photo, image in read_ahead(todo, int(self.options.max_pixels * 1e6)):
                    bar.set_postfix_str(photo.name.name, refresh=True)
                    if isinstance(image, Exception):
                        self.failed[str(photo)] = str(image)
                        tqdm.write(f"skipped {image}", file=sys.stderr)
                    else:
                        self._write_photo(photo, image)
                        self.done += 1
                    bar.update()
        finally:
            if self.done or self.kept or self.failed:
                summaries.write_tables(self.out, self.failed)
        counts = [f"{self.done} written"]
        counts += [f"{self.kept} already there"] if self.kept else []
        counts += [f"{len(self.failed)} unreadable"] if self.failed else []
        print(
            f"{len(photos)} photo{'s' * (len(photos) != 1)}: {', '.join(counts)}; "
            f"maps in {self.out}, figures in {self.out / summaries.TABLE_CSV}"
        )
        return EXIT_UNREADABLE if self.failed else 0

    def _made_with(self, photo: Photo) -> dict:
        """All that a photo's files depend on, besides the photo's bytes."""
        made_with = {
            "model": self.metadata.model,
            "version": self.metadata.version,
            "max_side": self.options.max_side,
            "sharp_below": self.options.sharp_below,
        }
        if photo.path is not None:
            status = photo.path.stat()
            made_with |= {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        return made_with

    def _stands(self, photo: Photo) -> bool:
        """Whether all that is asked for is there, made from this photo in the same way."""
        values = summaries.read_summary(output_path(self.out, photo.name, SUMMARY_SUFFIX))
        return (
            photo.path is not None  # what comes through a pipe is new each time
            and values is not None
            and values.get("made_with") == self._made_with(photo)
            and set(self.forms) <= set(summaries.forms_present(self.out, photo.name))
        )

    def _write_photo(self, photo: Photo, image) -> None:
        from dmenet_tf.mapfiles import write_map

        shape = image.shape[:2]
        started = time.monotonic()
        sigma_px = self.predictor.sigma_px(image)
        seconds = time.monotonic() - started
        largest = self.predictor.largest_sigma_px(*shape)
        metadata = replace(self.metadata, sigma_max_px=largest)
        # Forms that stand there from another model or photo would contradict the new summary.
        present = summaries.forms_present(self.out, photo.name)
        for form in dict.fromkeys([*self.forms, *present]):
            path = output_path(self.out, photo.name, SUFFIXES[form])
            write_map(path, form, sigma_px, metadata, image)
        # The network cannot tell less than its own pixel, which of a reduced photo is larger.
        sharp_below_px = self.options.sharp_below / self.predictor.scale(*shape)
        figures = summaries.measure(sigma_px, sharp_below_px, largest)
        values = summaries.summary(photo, shape, figures, seconds, metadata, self._made_with(photo))
        summaries.write_summary(output_path(self.out, photo.name, SUMMARY_SUFFIX), values)


def read_ahead(photos: list[Photo], max_pixels: int) -> Iterator[tuple[Photo, object]]:
    """(photo, its image or the error), each read by a thread while the one before is in use."""

    def read(photo: Photo):
        try:
            if photo.path is None:
                return decode_photo(sys.stdin.buffer.read(), photo, max_pixels)
            return read_photo(photo.path, max_pixels)
        except DataFileError as error:
            return error
        except MemoryError:
            return DataFileError(f"{photo}: a photo must fit into memory; there is not enough")

    with ThreadPoolExecutor(1) as reader:
        following = [reader.submit(read, photo) for photo in photos[:1]]
        for index, photo in enumerate(photos):
            image = following.pop().result()
            following += [reader.submit(read, later) for later in photos[index + 1 : index + 2]]
            yield photo, image


if __name__ == "__main__":
    sys.exit(main())
