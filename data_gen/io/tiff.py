"""The structure of a TIFF: which page is the photo, and whether it is a camera's RAW file.

A RAW file of most makers (DNG, NEF, ARW, PEF) is a TIFF whose first page is a thumbnail: a reader
of TIFF returns that, a few pixels of the photo. What the sensor saw lies in a SubIFD, or is marked
by its colour space (a filter array). Other makers changed the first bytes.

A page is chosen by writing its address into the header: every decoder then takes it for the first.
"""

import functools
import io
import logging
import struct
from typing import NamedTuple

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# RAW files whose first bytes are no TIFF's: Panasonic, Olympus (three), Fujifilm, Canon, Minolta,
# Sigma; Canon's CR3 is an ISO file.
_RAW_MAGIC = (
    b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILMCCD-RAW", b"II\x1a\0\0\0HEAPCCDR", b"\0MRM",
    b"FOVb",
)  # fmt: skip
_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
# Compressions of Sony, Epson, Samsung, Nikon, Kodak and Pentax, which no other TIFF has.
_OF_MAKERS = (32767, 32769, 32770, 34713, 65000, 65535)
_DNG_VERSION, _PHOTOMETRIC, _COMPRESSION, _SUBFILE_TYPE = 50706, 262, 259, 254
_REDUCED, _MASK = 1, 4
PAGES_MAX = 64
# A page of at least this share of the largest one's pixels is full-size: scans differ a little.
FULL_SIZE_SHARE = 0.5


class Page(NamedTuple):
    """A page: its `address` in the file, its size, and TIFF's tags of these names."""

    address: int
    height: int
    width: int
    subfile_type: int
    photometric: int
    compression: int
    number: int
    """Counted from 1 over the main pages; 0 for a page within another (a SubIFD)."""


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF does, BigTIFF included."""
    return data[:4] in _MAGIC


def is_raw(data: bytes) -> bool:
    """Whether a file is a camera's RAW file, told from its bytes."""
    if data.startswith(_RAW_MAGIC) or data[4:12] == b"ftypcrx ":
        return True
    if not is_tiff(data):
        return False
    if data[8:10] == b"CR" or data[8:12] in (b"IIII", b"MMMM"):  # Canon's CR2, Phase One's IIQ
        return True
    pages, is_dng = _read_pages(data)
    return is_dng or any(
        page.photometric in (_FILTER_ARRAY, _LINEAR_RAW) or page.compression in _OF_MAKERS
        for page in pages
    )


def first_full_page(data: bytes) -> tuple[bytes, str]:
    """A TIFF whose first page is the photo, and a note if it has several pages, else "".

    The first page of full size: not marked as reduced or as a mask, with at least half the pixels
    of the largest. A TIFF of one page, or one that cannot be parsed, stays as it is: the decoder
    says what is wrong.
    """
    pages, _ = _read_pages(data)
    pictures = [page for page in pages if not page.subfile_type & (_REDUCED | _MASK)] or pages
    if len(pages) < 2:
        return data, ""
    largest = max(page.height * page.width for page in pictures)
    chosen = next(
        page for page in pictures if page.height * page.width >= FULL_SIZE_SHARE * largest
    )
    full = [page for page in pictures if page.number]
    note = ""
    if len(full) > 1 or chosen.address != pages[0].address:
        which = f"page {chosen.number}" if chosen.number else "a page within the first"
        note = (
            f"of {len(pages)} pages, {which} was read: the first of full "
            f"size, {chosen.width} x {chosen.height} px"
        )
    if chosen.address == pages[0].address:
        return data, note
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):  # BigTIFF
        return data[:8] + struct.pack(order + "Q", chosen.address) + data[16:], note
    return data[:4] + struct.pack(order + "I", chosen.address) + data[8:], note


@functools.cache
def _tifffile():
    """The library, which takes longer to import than a photo to read, and logs what it dislikes."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile


def _read_pages(data: bytes) -> tuple[list[Page], bool]:
    """(pages and the pages within them, whether it is a DNG); none where it cannot be parsed."""
    pages, is_dng = [], False
    try:
        with _tifffile().TiffFile(io.BytesIO(data)) as file:
            for number in range(PAGES_MAX):
                try:
                    page = file.pages[number]
                except IndexError:
                    break
                pages.append(_page(page, number + 1))
                is_dng = is_dng or _DNG_VERSION in page.tags
                pages += [_page(sub, 0) for sub in page.pages or ()]
    except Exception:  # a damaged file makes the parser raise nearly every type there is
        pass
    return pages, is_dng


def _page(page, number: int) -> Page:
    def value(tag, default=0):
        found = page.tags.get(tag)
        return default if found is None else int(found.value)

    return Page(
        page.offset, page.imagelength, page.imagewidth, value(_SUBFILE_TYPE), value(_PHOTOMETRIC),
        value(_COMPRESSION), number,
    )  # fmt: skip
