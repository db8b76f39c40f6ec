"""Headers of files: finds files that are missing, empty or no images without decoding them.

What a header cannot tell, such as a truncated image, is found when the file is read.
"""

from pathlib import Path

from PIL import Image

from data_gen.io import formats
from data_gen.io.images import IMAGE_SUFFIXES

# A RAW file's header is known to its own reader only, and reading it means developing it.
_WITH_HEADER = frozenset(IMAGE_SUFFIXES) - frozenset(formats.RAW_SUFFIXES)


def looks_readable(path) -> bool:
    """Whether a file holds something, and if it is named as an image, whether it begins as one.

    False only means that the file has to be read to find out.
    """
    path = Path(path)
    try:
        if path.suffix.lower() not in _WITH_HEADER:
            return path.stat().st_size > 0
        with Image.open(path, formats=formats.decoders()) as image:
            return min(image.size) > 0
    except Exception:  # Pillow's decoders raise nearly every exception type
        return False
