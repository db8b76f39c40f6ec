"""`dmenet apply`: magnify, refocus, depth, segment, deblur.

    dmenet apply magnify photo.jpg -o out --weights runs/demo

Maps come from weights or from files; unreadable photos are reported and skipped.
"""

import argparse
import errno
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from tqdm import tqdm

from data_gen.exit_codes import OK, SKIPPED
from data_gen.io import decoding, formats
from data_gen.io.arrays import write_npy
from data_gen.io.atomic import write_atomic
from data_gen.io.errors import DataFileError
from data_gen.io.images import encode_png, read_bytes
from data_gen.io.photos import MAX_PIXELS
from data_gen.io.pixels import as_float
from data_gen.progress import progress
from dmenet_tf import console
from dmenet_tf.applications.planes import follow_edges, sharp_level, without_floor
from dmenet_tf.applications.registry import APPLICATIONS, camera
from dmenet_tf.console import Parser, UsageError
from dmenet_tf.environment import prepare
from dmenet_tf.prediction import backends
from dmenet_tf.prediction.folders import FEW, ReadAhead, note, tiles_of, too_long
from dmenet_tf.prediction.inputs import find_photos
from dmenet_tf.prediction.predictor import Predictor, check_max_side
from dmenet_tf.prediction.summaries import is_output, output_path
from dmenet_tf.weights.shipped import existing, shipped_weights

MAP_SUFFIXES = (".sigma.npy", ".sigma.tiff", ".sigma16.png", ".npy")

EPILOG = """\
A map comes from --weights (a run's folder or an .npz), or from --map: a file for one photo, a
folder for several (NAME.jpg.sigma.npy and so on, as `dmenet predict --write npy` writes them).
Results are NAME.jpg.magnified.png and so on. Maps and results that are already in a searched folder
are not taken for photos.

exit code: 0 all done, 1 failed (one line says why), 2 wrong options, 3 some photos were skipped
  or left out, and it says which, 130 interrupted.

examples:
  dmenet apply magnify photo.jpg -o out --weights runs/demo --factor 2.5
  dmenet apply refocus photo.jpg -o out --map maps/photo.jpg.sigma.npy --at 800,420 --aperture 2
"""


def build_parser() -> argparse.ArgumentParser:
    """Options of all applications; imports no TensorFlow."""
    parser = Parser(
        prog="dmenet apply",
        usage="%(prog)s NAME PHOTO... -o OUT (--weights PATH | --map FILE) [options]",
        description="Magnifies blur, refocuses, estimates depth, cuts out, or deblurs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(
        dest="name", required=True, metavar="NAME", prog="dmenet apply"
    )
    for name, application in APPLICATIONS.items():
        subparser = subparsers.add_parser(
            name,
            usage="%(prog)s PHOTO... -o OUT (--weights PATH | --map FILE) [options]",
            help=application.help,
            description=f"{application.help[0].upper()}{application.help[1:]}.",
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_common(subparser)
        application.add_options(subparser.add_argument_group(f"options of {name}"))
    return parser


def _add_common(parser) -> None:
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTO", help="file, folder, quoted pattern, or - for stdin")
    add("-o", "--out", type=Path, required=True, help="folder of the results")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--weights", metavar="PATH", help="a run's folder, or DMENet_BDCS.npz")
    source.add_argument("--map", type=Path, metavar="FILE", help="a ready map, or a folder of maps")
    add("--max-side", type=int, metavar="N",
        help="reduce larger photos to N px for the network; 0 = never (default: the model's "
        "advice)")  # fmt: skip
    add("--follow-edges", action=argparse.BooleanOptionalAction, default=None,
        help="smooth the map within objects, up to the photo's edges (default: predicted maps "
        "only)")  # fmt: skip
    add("--sharp", type=_sharp, metavar="PX",
        help="blur that counts as none, subtracted in squares; auto: that of the photo's sharp "
        "part (default: auto for predicted maps in magnify, refocus, depth; else 0)")  # fmt: skip
    add("--max-pixels", type=float, default=MAX_PIXELS / 1e6, metavar="M",
        help="refuse photos above M million pixels (default %(default)g)")  # fmt: skip
    add("--format", choices=("png", "jpg"), default="png",
        help="format of resulting photos (default %(default)s)")  # fmt: skip


def _sharp(text):
    if text == "auto":
        return text
    value = float(text)
    if not 0 <= value < np.inf:
        raise argparse.ArgumentTypeError(f"must be >= 0, or auto; received {text}")
    return value


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    prepare()

    def work():
        options = build_parser().parse_args(argv)
        check(options)
        return run(options)

    return console.run(work, "interrupted; results that are there are complete", (ImportError,))


def check(options) -> None:
    """Raises `UsageError` for values of options that cannot be, before anything is opened."""
    if not 0 < options.max_pixels < np.inf:
        raise UsageError(f"--max-pixels must be above 0; received {options.max_pixels:g}")
    try:
        check_max_side(options.max_side)
        if options.name == "depth":
            camera(options)
        if not options.weights and not options.map:
            shipped_weights()
    except FileNotFoundError as error:
        raise UsageError(f"--weights or --map must be given: {error}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    if options.map and options.max_side is not None:
        raise UsageError("--max-side goes with --weights, not with --map")


def run(options) -> int:
    """Applies `options.name` to every photo; returns the exit code."""
    application = APPLICATIONS[options.name]
    photos, left_out = find_photos(options.photos, options.out, is_output)
    map_of = _stored(options, photos) if options.map else _predicted(options)
    skipped = 0
    with (
        ReadAhead(int(options.max_pixels * 1e6)) as reader,
        progress(total=len(photos), unit="photo", least=FEW, leave=False) as bar,
    ):
        for photo, image in reader.each(photos):
            try:
                if isinstance(image, Exception):
                    raise image
                colours = as_float(image)
                sigma_px = _prepare(colours, map_of(photo, image), options)
                results = application.apply(colours, sigma_px, options)
                if application.remark and (remark := application.remark(results, options)):
                    note(f"{photo}: {remark}")
                texts = application.texts(sigma_px, options) if application.texts else {}
                for suffix, result in results.items():
                    path = output_path(options.out, photo.name, f".{suffix}")
                    if suffix in texts:
                        _write_described(path, result, texts[suffix])
                    else:
                        _write(path, result, options.format, image.dtype, photo.path)
            except (DataFileError, OSError) as error:
                skipped += 1
                tqdm.write(f"skipped {_reason(photo, error)}", file=sys.stderr)
            bar.update()
    print(f"{len(photos) - skipped} of {len(photos)} done; results in {options.out}")
    if left_out:
        print(left_out, file=sys.stderr)
    return SKIPPED if skipped or left_out else OK


def _reason(photo, error):
    """Why a photo is skipped; an error that is not about this photo alone is raised again."""
    if isinstance(error, DataFileError):
        return error
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return too_long(photo)


def _predicted(options):
    if options.weights:
        existing(options.weights)
    predictor = Predictor(backends.open_local(options.weights))
    if predictor.metadata.licence:
        print(f"note: {predictor.metadata.licence}", file=sys.stderr)

    def predict(photo, image):
        predictor.progress = tiles_of(photo)
        return predictor.sigma_px(image, max_side=options.max_side)

    return predict


def _stored(options, photos):
    if not options.map.exists():
        raise FileNotFoundError(f"--map must be a file or a folder; there is no {options.map}")
    if options.map.is_file() and len(photos) > 1:
        raise ValueError(
            f"several photos need a folder of maps; received the file {options.map} for "
            f"{len(photos)} photos"
        )

    def read(photo, image):
        path = options.map if options.map.is_file() else _map_below(options.map, photo.name)
        sigma_px = _read_map(path)
        if sigma_px.shape != image.shape[:2]:
            raise DataFileError(
                f"{path}: a map must have the size of its photo, {list(image.shape[:2])}; "
                f"received {list(sigma_px.shape)}"
            )
        return sigma_px

    return read


def _map_below(folder, name):
    for suffix in MAP_SUFFIXES:
        path = output_path(folder, name, suffix)
        if path.is_file():
            return path
    raise DataFileError(f"{folder}: must hold the photo's map, {name}.sigma.npy; received none")


def _read_map(path) -> np.ndarray:
    from dmenet_tf.prediction.map_files import read_map  # imports Matplotlib, for the colours

    sigma_px, _ = read_map(path)
    if not (np.isfinite(sigma_px).all() and sigma_px.min() >= 0):
        raise DataFileError(f"{path}: a map must hold sigma in pixels, finite and >= 0")
    return sigma_px


def _prepare(image, sigma_px, options) -> np.ndarray:
    """A map as the application takes it: edges follow the photo, and what is sharp has none."""
    predicted = options.map is None
    if predicted if options.follow_edges is None else options.follow_edges:
        sigma_px = follow_edges(image, sigma_px)
    sharp_px = options.sharp
    if sharp_px is None:
        sharp_px = "auto" if predicted and APPLICATIONS[options.name].floor else 0.0
    if sharp_px == "auto":
        sharp_px = sharp_level(sigma_px)
    return without_floor(sigma_px, sharp_px)


def _write(path, result, photo_format, photo_type, source):
    """Writes a result by its type: maps and masks as they are, photos with the bits they had."""
    if path.suffix == ".npy":
        write_npy(path, result)
        return
    if result.dtype != np.float32:
        data = encode_png(result)
        write_atomic(path, lambda temporary: temporary.write_bytes(data))
        return
    if result.shape[2] == 3:
        path = path.with_name(f"{path.name}.{photo_format}")
        if photo_format == "png" and photo_type != np.uint8:
            data = encode_png(np.rint(np.clip(result, 0, 1) * 65535).astype(np.uint16))
            write_atomic(path, lambda temporary: temporary.write_bytes(data))
            return
    picture = Image.fromarray(np.rint(np.clip(result, 0, 1) * 255).astype(np.uint8))
    extra = {"icc_profile": _colour_profile(source)}
    if path.suffix == ".jpg":
        extra |= {"quality": 95, "subsampling": 0}
    else:
        extra["compress_level"] = 3  # half the time of the default for a few per cent of size
    kind = "JPEG" if path.suffix == ".jpg" else "PNG"
    write_atomic(path, lambda temporary: picture.save(temporary, kind, **extra))


def _write_described(path, values, texts: dict[str, str]):
    """Writes integers [H, W] as a PNG that says what they are."""
    about = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        about.add_text(key, text)
    picture = Image.fromarray(values)
    write_atomic(path, lambda t: picture.save(t, "PNG", pnginfo=about, compress_level=3))


def _colour_profile(source):
    """The photo's ICC profile, so that its colours stay; None where it has none."""
    if source is None:
        return None
    data = read_bytes(source)
    if decoding.is_raw(data, source):
        return None  # developed to sRGB; a profile would be that of the preview
    try:
        with Image.open(io.BytesIO(data), formats=formats.decoders()) as opened:
            return opened.info.get("icc_profile") if opened.mode in ("RGB", "RGBA") else None
    except Exception:  # slightly damaged: its pixels were read all the same
        return None
