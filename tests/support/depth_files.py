"""Depth files of other programs, written by their formats' rules."""

import struct


def write_dpt(path, depth):
    height, width = depth.shape
    header = struct.pack("<fii", 202021.25, width, height)
    path.write_bytes(header + depth.astype("<f4").tobytes())


def write_pfm(path, values, scale=-1.0, order="<f4"):
    header = f"Pf\n{values.shape[1]} {values.shape[0]}\n{scale}\n".encode()
    path.write_bytes(header + values[::-1].astype(order).tobytes())
