"""Depth files of other programs, written by their formats' rules."""

import struct

H, W = 12, 16  # of small scenes


def write_dpt(path, depth):
    height, width = depth.shape
    header = struct.pack("<fii", 202021.25, width, height)
    path.write_bytes(header + depth.astype("<f4").tobytes())


def write_exr(path, channels):
    """channels: {name: [H, W] of float32 or float16}"""
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


def write_pfm(path, values, scale=-1.0, order="<f4"):
    header = f"Pf\n{values.shape[1]} {values.shape[0]}\n{scale}\n".encode()
    path.write_bytes(header + values[::-1].astype(order).tobytes())
