"""Depth and disparity files -> clean depth maps: finite, positive, larger = farther.

Two steps: of the numbers that `depth_files.py` reads, unknown ones become NaN and sky +inf;
`clean_depth` then fills the map. The rules:

| file holds | unknown                                          | sky                              |
| ---------- | ------------------------------------------------ | -------------------------------- |
| distances  | <= 0, NaN, inf; 65535 in 16-bit files of one     | > 1e6 in float files (1e11 in    |
|            | channel, where a sensor is saturated             | MPI Sintel); the largest value   |
|            |                                                  | of the type (`_is_saturated`)    |
| disparity  | 0, NaN, inf; -1 or another single negative code  | -                                |

- The largest value of a type stands for all that is farther, as 65535 does in SYNTHIA's files of
  three channels: 65504 and inf in float16, 32767, 2147483647 and so on. In wider types 65504
  and 65535 count too where nothing is larger: a converted float16 or uint16 map. In 8 bits
  255 is an ordinary distance: such maps are scaled to their whole range.
- depth = scale / (disparity + offset), with the calibration where there is one, else 1/disparity.
- A disparity map with different negative values is exact and relative (light fields): there 0 is
  an ordinary value, and all are shifted until the farthest depth is 3 times the nearest.
- Specks: where the nearest (farthest) known depth lies beyond the 1st (99th) percentile by more
  than a factor of 2, that side is clipped to the percentile. One wrong speck at a hundredth of the
  scene's distance would otherwise take the largest circle of confusion for itself and leave the
  rest of the image sharp under every lens; a street that ends 300 m away would make every lens
  focus behind everything visible. Other maps keep every value.
- Sky becomes the far plane: `far` where given (nothing is farther then), else the farthest known
  depth after clipping.
- Unknown pixels take the depth of the nearest known one. At least a tenth must be known.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from data_gen.io.errors import DataFileError
from data_gen.io.images import single_channel
from data_gen.sources.depth_files import read_array

SPECK_PERCENT = 1.0
SPECK_FACTOR = 2.0
MIN_KNOWN = 0.1
SKY_FROM = 1e6  # 1,000 km, or 1 km in millimetres
SATURATED = 65535
HALF_SATURATED = 65504  # the largest float16
RELATIVE_FAR_TO_NEAR = 3.0


# --- what the numbers mean -------------------------------------------------------------------


def metric_depth(values: np.ndarray, name) -> np.ndarray:
    """Stored distances -> float32 [H, W] with NaN = unknown and +inf = sky."""
    stored = single_channel(values, name)
    depth = np.where(np.isfinite(stored) & (stored > 0), stored, np.nan).astype(np.float32)
    if values.dtype.kind == "f":
        depth[depth > SKY_FROM] = np.inf
    sensor = values.dtype == np.uint16 and values.ndim == 2
    depth[_is_saturated(stored)] = np.nan if sensor else np.inf
    return depth


def _is_saturated(stored: np.ndarray) -> np.ndarray:
    """bool [H, W]: where a map holds the largest value of its type, or what that was converted to.

    A wider type than the map once had shows it where nothing is larger, sky of 1e11 m aside.
    """
    if stored.dtype.itemsize == 1:
        return np.zeros(stored.shape, bool)
    if stored.dtype == np.float16:
        return (stored >= HALF_SATURATED) & ~np.isnan(stored)
    if stored.dtype.itemsize == 2:
        return stored == np.iinfo(stored.dtype).max
    wide = stored.dtype.kind != "f"  # a float's largest value is beyond `SKY_FROM` anyway
    saturated = (stored == np.iinfo(stored.dtype).max) if wide else np.zeros(stored.shape, bool)
    known = stored[(stored <= SKY_FROM) & (stored > 0)]
    converted = known.max() if known.size else 0
    if converted in (HALF_SATURATED, SATURATED):
        saturated |= stored == converted
    return saturated


def disparity_depth(values: np.ndarray, name, scale=1.0, offset=0.0) -> np.ndarray:
    """Stored disparities -> float32 depth [H, W] = scale / (disparity + offset), NaN = unknown."""
    disparity = single_channel(values, name).astype(np.float64)
    disparity[~np.isfinite(disparity)] = np.nan
    negative = disparity[disparity < 0]
    if negative.size and negative.min() < negative.max():
        low, high = np.nanmin(disparity), np.nanmax(disparity)
        # (high - low + lift) / lift = RELATIVE_FAR_TO_NEAR
        disparity += (high - low) / (RELATIVE_FAR_TO_NEAR - 1) - low
    else:
        disparity[disparity <= 0] = np.nan
    disparity += offset
    return (scale / np.where(disparity > 0, disparity, np.nan)).astype(np.float32)


# --- cleaning --------------------------------------------------------------------------------


def clean_depth(depth: np.ndarray, name, far: float | None = None) -> np.ndarray:
    """A map with NaN = unknown and +inf = sky -> float32 [H, W], finite and > 0.

    Args:
        depth: [H, W], larger = farther, any unit.
        name: the file, for errors.
        far: the far plane in the unit of `depth`; None: the farthest known depth.
    Raises:
        DataFileError: less than a tenth of the pixels is known. (A constant map is valid: a flat
            scene, which no lens can blur.)
    """
    unknown, sky = np.isnan(depth), np.isposinf(depth)
    if unknown.mean() > 1 - MIN_KNOWN:
        raise DataFileError(
            f"{name}: at least {MIN_KNOWN:.0%} of a depth map must be known; "
            f"received {1 - unknown.mean():.1%}"
        )
    known = depth[~(unknown | sky)]
    # A frame that is all sky is a flat scene; its distance has no effect.
    low, high = _bounds(known) if known.size else (1.0, 1.0)
    far_plane = high if far is None else far
    whole = np.minimum(np.clip(depth, low, high), far_plane)
    whole[sky] = far_plane
    if unknown.any():
        nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
        whole = whole[tuple(nearest)]
    return whole.astype(np.float32)


def _bounds(known):
    """Nearest and farthest depth, without specks."""
    low, high = known.min(), known.max()
    inner_low, inner_high = np.percentile(known, (SPECK_PERCENT, 100 - SPECK_PERCENT))
    return (
        inner_low if low * SPECK_FACTOR < inner_low else low,
        inner_high if high > inner_high * SPECK_FACTOR else high,
    )


def planar(distance: np.ndarray, focal_widths: float) -> np.ndarray:
    """Distances [H, W] along the rays of pixels -> depth along the optical axis.

    focal_widths: the focal length in widths of the image; the axis goes through its centre. For a
    pixel at (x, y) from the centre, depth = distance * f / sqrt(x^2 + y^2 + f^2).
    """
    height, width = distance.shape
    focal = focal_widths * width
    x = np.arange(width) - (width - 1) / 2
    y = np.arange(height) - (height - 1) / 2
    ray = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + focal**2)
    return (distance * (focal / ray)).astype(np.float32)


def known_depth(
    path, inverse=False, scale=1.0, offset=0.0, mask=None, ray_focal_widths=None
) -> np.ndarray:
    """A depth (or, `inverse`, disparity) file -> float32 [H, W], NaN = unknown, +inf = sky.

    Args:
        scale, offset: of `disparity_depth`; distances are multiplied by `scale`.
        mask: a file of the same size, 0 where depth is unknown; None: none.
        ray_focal_widths: of `planar`; None for distances along the axis.
    """
    values = read_array(path)
    if inverse:
        depth = disparity_depth(values, path, scale, offset)
    else:
        depth = metric_depth(values, path)
        depth = depth if scale == 1 else depth * np.float32(scale)
    if ray_focal_widths is not None:
        depth = planar(depth, ray_focal_widths)
    if mask is not None:
        valid = single_channel(read_array(mask), mask)
        if valid.shape != depth.shape:
            raise DataFileError(
                f"{mask}: a mask must have the size of its depth, {list(depth.shape)}; "
                f"received {list(valid.shape)}"
            )
        depth[valid == 0] = np.nan
    return depth


def read_depth(
    path, inverse=False, scale=1.0, offset=0.0, far=None, mask=None, ray_focal_widths=None
) -> np.ndarray:
    """The file as `known_depth` reads it -> clean float32 [H, W], finite, > 0."""
    depth = known_depth(path, inverse, scale, offset, mask, ray_focal_widths)
    return clean_depth(depth, path, far)
