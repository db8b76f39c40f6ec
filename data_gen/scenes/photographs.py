"""Photographs that come with an installed package, so that the project needs no download.

The files lie in scikit-image's wheel (`skimage/data`) and are read from there directly:
`skimage.data.*()` would go to the network for a file that the wheel does not hold.

Two views of them, both `{name: uint8 [H, W, 3] RGB}`, read-only arrays:

- `load_photographs`: the colour photographs whole, as taken, natural defocus included.
- `load_texture_photographs`: those parts of colour and grey photographs that are in focus, reduced
  until they are sharp at the level of one pixel, so that a defocus label laid over them holds.

Sources and terms, from scikit-image's own documentation (`skimage.data`):

| name | what | terms |
| --- | --- | --- |
| astronaut | Eileen Collins, NASA Great Images | public domain |
| chelsea | cat, by Stefan van der Walt | CC0 |
| coffee | cup, by Rachel Michetti | CC0 |
| rocket | Falcon 9 on its pad, SpaceX | public domain |
| motorcycle_left, _right | Middlebury 2014 stereo, reduced 4 times | no terms stated |
| retina | fundus, by Mikael Haggstrom | CC0 |
| hubble_deep_field | NASA | free use in the public domain |
| ihc | stained tissue, CMMI | no known copyright restrictions |
| camera | by Lav Varshney | CC0 |
| brick, grass, gravel | CC0Textures | CC0 |
| coins | coins from Pompeii, Brooklyn Museum | no known copyright restrictions |
| text | handwriting | public domain |
| moon, page | surface of the moon; a scanned page | no terms stated |
| horse | silhouette, by Andreas Preuss | CC0 |
"""

import functools
from pathlib import Path

import cv2
import numpy as np
import skimage.io

MINIMUM_PHOTOGRAPHS = 4

_FOLDER = Path(skimage.__file__).parent / "data"

_COLOUR_FILES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
)

# file -> (rows, columns, reduction). The blur at each photo's strong edges was measured by the
# ratio of gradients before and after a known blur. Blurred parts are cropped away (the flag and
# the shuttle behind the astronaut, the room behind the cat), and the reduction brings nine edges
# of ten below sigma = 1 px.
_TEXTURES = {
    "astronaut.png": (slice(130, 512), slice(20, 440), 2.2),
    "chelsea.png": (slice(20, 300), slice(30, 310), 1.6),
    "coffee.png": (slice(None), slice(None), 2.0),
    "rocket.jpg": (slice(None), slice(None), 1.4),
    "motorcycle_left.png": (slice(None), slice(None), 1.8),
    "retina.jpg": (slice(250, 1150), slice(150, 1300), 3.5),
    "hubble_deep_field.jpg": (slice(None), slice(None), 2.0),
    "ihc.png": (slice(None), slice(None), 1.7),
    "camera.png": (slice(None), slice(None), 1.7),
    "brick.png": (slice(None), slice(None), 2.4),
    "grass.png": (slice(None), slice(None), 1.5),
    "gravel.png": (slice(None), slice(None), 1.7),
    "coins.png": (slice(None), slice(None), 1.4),
    "moon.png": (slice(None), slice(None), 2.0),
    "page.png": (slice(0, 150), slice(None), 1.4),
    "text.png": (slice(None), slice(None), 1.5),
}


def packaged_path(name):
    """Path of a photograph by its name in the table above; None if absent."""
    files = (path for path in _FOLDER.glob(f"{name}.*") if path.suffix in (".png", ".jpg"))
    return next(files, None)


def read_packaged_image(file_name):
    """One image file of scikit-image's wheel: uint8 [H, W, 3] RGB (grey repeated), None if absent.

    Transparency is laid over white.
    """
    path = _FOLDER / file_name
    if not path.is_file():
        return None
    image = skimage.io.imread(path)
    if image.dtype != np.uint8:
        raise ValueError(f"a photograph must hold uint8 values; received {image.dtype} in {path}")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        alpha = image[..., 3:] / 255.0
        image = np.uint8(np.rint(image[..., :3] * alpha + 255.0 * (1.0 - alpha)))
    return image


def load_photographs():
    """The colour photographs, whole and as taken: {name: uint8 [H, W, 3] RGB, read-only}.

    Some have natural defocus (the cat, the coffee cup's far rim), which makes them suitable as
    unlabelled photos. Images missing from the installed version of scikit-image are left out.

    Raises:
      FileNotFoundError: fewer than `MINIMUM_PHOTOGRAPHS` are there.
    """
    return dict(_photographs())


def load_texture_photographs():
    """The parts in focus, reduced to be sharp pixel by pixel: {name: uint8 [H, W, 3], read-only}.

    Grey photographs are included, as three equal channels. Errors as in `load_photographs`.
    """
    return dict(_texture_photographs())


@functools.cache
def _photographs():
    return _collect({file_name: (slice(None), slice(None), 1.0) for file_name in _COLOUR_FILES})


@functools.cache
def _texture_photographs():
    return _collect(_TEXTURES)


def _collect(parts):
    found = {}
    for file_name, (rows, columns, reduction) in parts.items():
        image = read_packaged_image(file_name)
        if image is None:
            continue
        image = np.ascontiguousarray(image[rows, columns])
        if reduction != 1.0:
            # INTER_AREA averages over each pixel's footprint: no aliasing, hardly any blur.
            image = cv2.resize(
                image, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA
            )
        image.flags.writeable = False
        found[Path(file_name).stem] = image
    if len(found) < MINIMUM_PHOTOGRAPHS:
        raise FileNotFoundError(
            f"at least {MINIMUM_PHOTOGRAPHS} of scikit-image's packaged photographs are needed; "
            f"received {len(found)} ({', '.join(found) or 'none'}) in {_FOLDER}"
        )
    return found
