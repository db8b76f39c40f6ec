"""Applies a map to photos: one subcommand per application.

    python -m dmenet_tf.applications magnify photo.jpg -o out --weights runs/demo

Maps come from weights or from files; photos that cannot be read are reported and skipped.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from data_gen.io.images import DataFileError, encode_png, write_atomic
from data_gen.io.pixels import as_float
from dmenet_tf.applications.planes import follow_edges
from dmenet_tf.applications.registry import APPLICATIONS, FLOORED, build_parser, camera
from dmenet_tf.prediction.folders import read_ahead
from dmenet_tf.prediction.inputs import find_photos
from dmenet_tf.prediction.summaries import output_path

EXIT_UNREADABLE, EXIT_INTERRUPTED = 3, 130
MAP_SUFFIXES = (".sigma.npy", ".sigma.tiff", ".sigma16.png", ".npy")
# A subject in focus is predicted as this at most; more is blur.
SHARP_AUTO_MAX_PX = 1.5


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    options = build_parser().parse_args(argv)
    try:
        return run(options)
    except (OSError, ValueError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; results that stand are whole", file=sys.stderr)
        return EXIT_INTERRUPTED


def run(options) -> int:
    """Applies `options.name` to every photo; returns the exit code."""
    _, _, apply = APPLICATIONS[options.name]
    if options.name == "depth":
        camera(options)  # a wrong one fails before the work
    photos = find_photos(options.photos, options.out)
    map_of = _predicted(options) if options.weights else _stored(options, photos)
    failed = 0
    with tqdm(total=len(photos), unit="photo", disable=None, leave=False) as bar:
        for photo, image in read_ahead(photos, int(options.max_pixels * 1e6)):
            try:
                if isinstance(image, Exception):
                    raise image
                colours = as_float(image)
                sigma_px = _prepare(colours, map_of(photo, image), options)
                for suffix, result in apply(colours, sigma_px, options).items():
                    path = output_path(options.out, photo.name, f".{suffix}")
                    _write(path, result, options.format, image.dtype, photo.path)
            except DataFileError as error:
                failed += 1
                tqdm.write(f"skipped {error}", file=sys.stderr)
            bar.update()
    print(f"{len(photos) - failed} of {len(photos)} done; results in {options.out}")
    return EXIT_UNREADABLE if failed else 0


def _predicted(options):
    if not Path(options.weights).exists():
        raise FileNotFoundError(
            f"--weights must be a run's folder or an .npz; there is no {options.weights}"
        )
    from dmenet_tf.prediction.local import Predictor  # imports TensorFlow

    predictor = Predictor(options.weights)
    return lambda _, image: predictor.sigma_px(image, max_side=options.max_side)


def _stored(options, photos):
    if not options.map.exists():
        raise FileNotFoundError(f"--map must be a file or a folder; there is no {options.map}")
    if options.map.is_file() and len(photos) > 1:
        raise ValueError(
            f"a map belongs to one photo: give a folder of maps; received {options.map} for "
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
    predicted = options.weights is not None
    if predicted if options.follow_edges is None else options.follow_edges:
        sigma_px = follow_edges(image, sigma_px)
    sharp_px = options.sharp
    if sharp_px is None:
        sharp_px = "auto" if predicted and options.name in FLOORED else 0.0
    if sharp_px == "auto":
        sharp_px = sharp_level(sigma_px)
    return without_floor(sigma_px, sharp_px)


def sharp_level(sigma_px) -> float:
    """What a map says of the photo's sharp part: three quarters of the lower class of Otsu's two
    lie below; 1.5 px at most, where a photo has no sharp part."""
    from skimage.filters import threshold_otsu

    lower = sigma_px[sigma_px <= threshold_otsu(sigma_px)]
    return min(float(np.quantile(lower, 0.75)), SHARP_AUTO_MAX_PX)


def without_floor(sigma_px, sharp_px: float) -> np.ndarray:
    """Blur beyond what counts as none: Gaussians add in squares."""
    sharp_px = np.float32(sharp_px)
    return np.sqrt(np.maximum(sigma_px - sharp_px, 0.0) * (sigma_px + sharp_px))


def _write(path, result, photo_format, photo_type, source):
    """A result by its type: maps and masks as they are, pictures with the photo's bits."""
    if path.suffix == ".npy":

        def save(temporary):
            with open(temporary, "wb") as file:  # np.save adds .npy to a name without it
                np.save(file, result)

        write_atomic(path, save)
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


def _colour_profile(source):
    """The photo's ICC profile, so that its colours stay; None where it has none."""
    if source is None:
        return None
    with Image.open(source) as opened:  # it was read before
        return opened.info.get("icc_profile") if opened.mode in ("RGB", "RGBA") else None
