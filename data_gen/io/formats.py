"""What is read as a picture: one list for the decoder, for folders, and for the table in docs.

`FORMATS` is the list. A folder gives the files whose suffix is in it; the decoder tells the format
from the bytes and takes the same ones. Some need a library that is not installed with the rest: the
extra `photos`. Files of pictures and videos that are not read here are counted (`LeftOut`), so that
a folder never gets smaller without a word.
"""

import functools
import importlib.util
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image, features

from data_gen.installation import install_command

EXTRA = "photos"  # of setup.py


class Format(NamedTuple):
    """A kind of file. `needs`: the module, or the feature of Pillow, without which it is not read.

    `decoders`: Pillow's names of it; none for what Pillow does not read. `install`: the command
    that brings what it needs; "" where the extra `photos` does.
    """

    title: str
    suffixes: tuple[str, ...]
    decoders: tuple[str, ...]
    about: str = ""
    needs: str = ""
    install: str = ""


RAW_SUFFIXES = (
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2",
    ".pef", ".srw", ".3fr", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".rwl", ".x3f",
)  # fmt: skip

FORMATS = (
    # A phone's JPEG may hold several pictures: Pillow calls that MPO, and the first is the photo.
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ("JPEG", "MPO"), "CMYK too"),
    Format("PNG", (".png",), ("PNG",), "8 and 16 bits a channel"),
    Format("TIFF", (".tif", ".tiff"), ("TIFF",),
           "8 and 16 bits, floats in [0, 1]; of several pages the first full-size one"),
    Format("WebP", (".webp",), ("WEBP",), "of an animation the first frame"),
    Format("AVIF", (".avif",), ("AVIF",), "", "avif", "pip install -U 'pillow>=11.3'"),
    Format("JPEG 2000", (".jp2", ".j2k", ".jpx", ".jpf", ".j2c"), ("JPEG2000",), "",
           "jpg_2000", "pip install -U pillow"),
    Format("BMP", (".bmp", ".dib"), ("BMP", "DIB")),
    Format("TGA", (".tga",), ("TGA",)),
    Format("GIF", (".gif",), ("GIF",), "of an animation the first frame"),
    Format("PNM", (".ppm", ".pgm", ".pbm", ".pnm"), ("PPM",)),
    Format("PCX", (".pcx",), ("PCX",)),
    Format("SGI", (".sgi",), ("SGI",)),
    Format("Photoshop", (".psd",), ("PSD",), "the picture of all layers that Photoshop stores"),
    Format("HEIC", (".heic", ".heif", ".hif"), ("HEIF",), "", "pillow_heif"),
    Format("RAW", RAW_SUFFIXES, (), "developed with the camera's white balance; told from the "
           "bytes too, under the name of a TIFF", "rawpy"),
)  # fmt: skip

_CODECS = ("avif", "jpg_2000")  # features of Pillow; an older one does not know the first at all

# Pictures and videos that nothing here reads. Other files (text, databases of thumbnails,
# sidecars of editors) are nobody's photos and are passed over in silence.
NOT_READ = (
    ".jxl", ".exr", ".hdr", ".psb", ".xcf", ".insp",
    ".mov", ".mp4", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".3gp", ".mpg", ".mpeg",
    ".wmv", ".insv", ".lrv",
)  # fmt: skip


def is_available(form: Format) -> bool:
    """Whether this installation reads a format."""
    if not form.needs:
        return True
    if form.needs in _CODECS:
        return form.needs in features.get_supported()
    return importlib.util.find_spec(form.needs) is not None


@functools.cache
def readable_suffixes() -> tuple[str, ...]:
    """The suffixes, in lower case, of what this installation reads."""
    return tuple(s for form in FORMATS if is_available(form) for s in form.suffixes)


def readable_titles() -> str:
    """The formats that this installation reads, as errors list them: "JPEG, PNG, ..."."""
    return ", ".join(form.title for form in FORMATS if is_available(form))


@functools.cache
def decoders() -> tuple[str, ...]:
    """Pillow's names of the formats that it is let decode, all of them registered with it."""
    if importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    names = (name for form in FORMATS if is_available(form) for name in form.decoders)
    return tuple(name for name in names if name in Image.OPEN)


def format_of(suffix: str) -> Format | None:
    """The format with a suffix, read here or not."""
    return next((form for form in FORMATS if suffix.lower() in form.suffixes), None)


class LeftOut(Counter):
    """How many files of which suffix a search has passed over, though they are pictures or videos.

    A name with a space, as "folders without permission", stands for itself.
    """

    def count_files(self, paths: Iterable[Path]) -> None:
        """Counts those of `paths` that are pictures or videos and are not read here."""
        known = {suffix for form in FORMATS for suffix in form.suffixes} | set(NOT_READ)
        unread = known - set(readable_suffixes())
        self.update(s for path in paths if (s := path.suffix.lower()) in unread)

    def __str__(self) -> str:
        """As "left out: 3 .heic (the command that installs it), 1 .mov"; "" for none."""
        parts = []
        for suffix, number in sorted(self.items(), key=lambda item: (-item[1], item[0])):
            form = format_of(suffix)
            what = f"{suffix}: {number}" if " " in suffix else f"{number} {suffix}"
            parts.append(what + (f" ({how_to_install(form)})" if form else ""))
        return f"left out: {', '.join(parts)}" if parts else ""


def how_to_install(form: Format) -> str:
    """The command after which a format is read."""
    return form.install or install_command(EXTRA)


def _needs(form: Format) -> str:
    if not form.needs:
        return ""
    return f"needs `{form.install}`" if form.install else f"needs the extra `{EXTRA}`"


def table() -> list[tuple[str, str, str]]:
    """(format, suffixes, remarks) of every format, for the page docs/data.md."""
    return [
        (
            form.title,
            " ".join(form.suffixes),
            "; ".join(filter(None, (form.about, _needs(form)))),
        )
        for form in FORMATS
    ]
