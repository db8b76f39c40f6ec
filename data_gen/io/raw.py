"""Camera RAW files -> RGB, through `rawpy` (LibRaw), which the extra `photos` brings."""

import io

import numpy as np

from data_gen.installation import install_command
from data_gen.io.errors import DataFileError
from data_gen.io.formats import EXTRA


def develop(data: bytes, name, check_size=None) -> np.ndarray:
    """A RAW file -> RGB uint16 [H, W, 3], sRGB, upright, with the camera's white balance.

    check_size: called with (width, height) before anything is decoded. Raises `DataFileError`
    where rawpy is not installed, or cannot read the file.
    """
    try:
        import rawpy
    except ImportError as error:
        raise DataFileError(
            f"{name}: a camera's RAW file must be developed, which needs {install_command(EXTRA)}; "
            "received one (the preview within it would be a few pixels)"
        ) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            if check_size is not None:
                check_size(raw.sizes.width, raw.sizes.height)
            return raw.postprocess(use_camera_wb=True, output_bps=16)
    except DataFileError:
        raise
    except Exception as error:  # LibRaw's errors, and those of files that are no RAW after all
        raise DataFileError(
            f"{name}: must be a complete RAW file of a camera that LibRaw knows ({error})"
        ) from error
