"""What can be done with a map: magnify, refocus, depth, segment, deblur; one file each.

Each is a pure function: image float32 [H, W, 3] RGB in [0, 1] and `sigma_px` float32 [H, W], the
standard deviation of the blur in pixels, 0 = sharp. None of them imports TensorFlow, so
with a map from a file they run without it.
"""
