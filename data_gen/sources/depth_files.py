"""Depth files of any format -> the numbers that they store.

| names end in | format |
| --- | --- |
| `.png .tif .tiff .pgm .ppm .bmp` | images of 8 or 16 bits or float |
| `.npy .npz .mat .h5 .hdf5` | arrays; of several in a file the only map |
| `.pfm` | float, as Middlebury has it |
| `.dpt` | float, as MPI Sintel has it |
| `.exr` | float or half, with the extra `exr`: the channel Z (as `Layer.Depth.Z` of Blender), or |
|        | the only one, or several that are equal |

What the numbers mean, `depth.py` says. Rotated bits, as in the Kinect PNGs of SUN RGB-D, are taken
as they stand: depth * 8, monotonic up to 8.19 m.
"""

import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import scipy.io

from data_gen.installation import install_command
from data_gen.io.errors import DataFileError
from data_gen.io.images import decode_stored, read_bytes

DEPTH_SUFFIXES = (
    ".png", ".npy", ".npz", ".pfm", ".mat", ".tif", ".tiff", ".pgm", ".ppm", ".dpt", ".bmp", ".h5",
    ".hdf5",
)  # fmt: skip
EXR = ".exr"
if importlib.util.find_spec("OpenEXR") is not None:
    DEPTH_SUFFIXES += (EXR,)
# What to do about others that hold depth in some data sets.
NOT_READ = {
    ".flo": "it holds optical flow, not depth",
    ".bin": "its layout differs between programs: convert it to .npy",
    ".raw": "it states no size: convert it to .npy",
    ".gz": "unpack it first",
    ".zip": "unpack it first",
    ".jpg": "a JPEG changes what it stores, and depth with it",
    ".jpeg": "a JPEG changes what it stores, and depth with it",
}
DPT_TAG = 202021.25


def why_not_read(path: Path) -> str:
    """A sentence about a file that is not read as depth, by its name."""
    if path.suffix.lower() == EXR:
        return f"{path} is not read: OpenEXR is not installed ({install_command('exr')})"
    reason = NOT_READ.get(path.suffix.lower(), f"depth is read from {' '.join(DEPTH_SUFFIXES)}")
    return f"{path} is not read: {reason}"


def read_array(path) -> np.ndarray:
    """The stored numbers of a depth file: [H, W], or [H, W, 3] for a colour image."""
    path = Path(path)
    reader = {
        ".dpt": _dpt, ".pfm": _pfm, ".npy": _npz, ".npz": _npz, ".mat": _mat, ".h5": _hdf5,
        ".hdf5": _hdf5, EXR: _exr,
    }  # fmt: skip
    data = read_bytes(path)
    try:
        array = reader.get(path.suffix.lower(), decode_stored)(data, path)
    except DataFileError:
        raise
    except (
        Exception
    ) as error:  # damaged files make SciPy and NumPy raise nearly every exception type
        raise DataFileError(f"{path}: must be a complete, valid depth file ({error})") from error
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "uif":
        raise DataFileError(
            f"{path}: a depth file must hold numbers [H, W]; "
            f"received {array.dtype} {list(array.shape)}"
        )
    return array


def _dpt(data, path):
    tag, (width, height) = np.frombuffer(data, "<f4", 1)[0], np.frombuffer(data, "<i4", 2, 4)
    if tag != DPT_TAG or len(data) != 12 + 4 * int(width) * int(height):
        raise DataFileError(
            f"{path}: a .dpt file must begin with the float {DPT_TAG}, width and height, and hold "
            f"width * height floats; received {tag:g}, {width}, {height} and {len(data)} bytes"
        )
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width)


def _pfm(data, path):
    # Rows run bottom to top. The scale's sign is the byte order; Middlebury's files have
    # magnitudes there (1/255, 1/ndisp) that are not factors of the values.
    header = re.match(rb"(P[fF])\s+(\d+)\s+(\d+)\s+(\S+)\s", data)
    if not header:
        raise DataFileError(f"{path}: a .pfm file must begin with Pf, width, height and scale")
    channels = 3 if header[1] == b"PF" else 1
    width, height, dtype = int(header[2]), int(header[3]), "<f4" if float(header[4]) < 0 else ">f4"
    if len(data) - header.end() != 4 * channels * width * height:
        raise DataFileError(
            f"{path}: a .pfm file of {width} x {height} x {channels} must hold as many floats; "
            f"received {len(data) - header.end()} bytes"
        )
    values = np.frombuffer(data, dtype, offset=header.end()).reshape(height, width, channels)
    return values[::-1, :, 0] if channels == 1 else values[::-1]


def _npz(data, path):
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    return loaded if isinstance(loaded, np.ndarray) else _only_map(dict(loaded), path)


def _mat(data, path):
    return _only_map(scipy.io.loadmat(io.BytesIO(data)), path)


def _hdf5(data, path):
    import h5py

    found = {}
    with h5py.File(io.BytesIO(data), "r") as file:
        # Only those that can be a map are read: a file may hold a whole data set beside it.
        file.visititems(
            lambda name, item: (
                found.update({name: item}) if isinstance(item, h5py.Dataset) else None
            )
        )
        return _only_map(found, path)[()]


def _exr(data, path):
    import OpenEXR

    with OpenEXR.File(str(path), separate_channels=True) as file:
        planes = {name: channel.pixels for name, channel in file.channels().items()}
    depths = [plane for name, plane in planes.items() if name.split(".")[-1].upper() == "Z"]
    found = depths or list(planes.values())
    if not found or any(not np.array_equal(found[0], one, equal_nan=True) for one in found[1:]):
        raise DataFileError(
            f"{path}: an .exr of depth must have a channel Z, one channel, or equal ones; received "
            f"{', '.join(planes)}"
        )
    return found[0]


def _only_map(named, path):
    maps = {
        name: value
        for name, value in named.items()
        if getattr(value, "ndim", 0) in (2, 3) and min(value.shape[:2]) > 1
    }
    if len(maps) != 1:
        raise DataFileError(f"{path}: a depth file must hold one map; received {sorted(maps)}")
    return next(iter(maps.values()))


def read_calibration(path):
    """Middlebury's calib.txt -> (scale, offset) of `disparity_depth`, for depth in mm.

    depth = baseline * f / (disparity + doffs), with cam0=[f 0 cx; ...]. (1, 0) without the file.
    """
    if not Path(path).exists():
        return 1.0, 0.0
    text = read_bytes(path).decode(errors="replace")
    numbers = [
        re.search(rf"^{key}\s*=\s*\[?\s*([-+.\deE]+)", text, re.MULTILINE)
        for key in ("cam0", "baseline", "doffs")
    ]
    if not all(numbers):
        raise DataFileError(f"{path}: a calibration must state cam0=[f ...], baseline= and doffs=")
    focal, baseline, offset = (float(number[1]) for number in numbers)
    return baseline * focal, offset
