"""Real photos without maps: I_R, and the embedded default.

`read(i)` gives an image, uint8 [H, W, 3] RGB.
"""

from pathlib import Path

from data_gen.io.errors import DataFileError
from data_gen.io.images import read_rgb
from data_gen.io.search import find_images, received
from data_gen.scenes.photographs import load_photographs
from dmenet_tf import console

# Pictures of a microscope, a telescope and an ophthalmoscope teach nothing about a camera's photos.
SCIENTIFIC = {"hubble_deep_field", "ihc", "retina"}


class UnlabelledPhotos:
    """Photos of folders, with all folders below them, and of single files.

    What a folder holds of pictures that are not read here is said in a note.

    Maps are not told from photos: give the folder of the photos, not the one above both.
    Raises `DataFileError` for a path that does not exist or holds no image.
    """

    def __init__(self, *paths):
        if not paths:
            raise ValueError("a folder of photos must be given; received none")
        self._files = [file for path in paths for file in _images_below(Path(path))]

    def __len__(self):
        return len(self._files)

    def name(self, index):
        return self._files[index].stem

    def paths(self, index) -> tuple[Path, ...]:
        return (self._files[index],)

    def read(self, index):
        """image uint8 [H, W, 3] RGB."""
        return read_rgb(self._files[index])


class PhotosInMemory:
    """Photos without maps out of {name: uint8 [H, W, 3] RGB}."""

    def __init__(self, images):
        self._names, self._images = list(images), list(images.values())

    def __len__(self):
        return len(self._names)

    def name(self, index):
        return self._names[index]

    def read(self, index):
        return self._images[index]


def default_unlabelled():
    """The everyday photographs that come with scikit-image: I_R for those who have no photos."""
    photographs = load_photographs()
    everyday = photographs.keys() - SCIENTIFIC
    return PhotosInMemory({name: photographs[name] for name in sorted(everyday)})


def _images_below(path):
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataFileError(f"{path}: must be a folder of photos or a photo; there is no such path")
    files, left_out = find_images(path)
    if not files:
        raise DataFileError(
            f"{path}: a folder of photos must hold images; received {received(left_out)}"
        )
    if left_out:
        console.note(f"{path}: {left_out}")
    return files
