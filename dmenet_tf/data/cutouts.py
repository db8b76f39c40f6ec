"""Photos with a binary blur map for those who have none: cut-outs under a disc-shaped blur.

One picture, cut out, lies in front of another; one of the two is in focus. The optics are on
purpose unlike those of I_S, as a real camera's are: a disc instead of a Gaussian, blurred in
linear light so that highlights grow into discs, with sensor noise and JPEG on top.

A disc of radius r px is a circle of confusion of 2r px.
"""

import cv2
import numpy as np

from data_gen.io.pixels import to_display, to_linear
from data_gen.scenes.photographs import load_texture_photographs
from data_gen.scenes.shapes import photo_segments, random_shape, real_outlines
from data_gen.scenes.textures import random_color_transform

MINIMUM_SIZE_PX = 32
RADIUS_PX = (2.0, 10.0)
# The share of the image that the object in front may cover, so that both classes can be learned.
OBJECT_SHARE = (0.12, 0.7)
# Mean absolute Laplacian, in 8-bit steps, below which a picture shows no blur when it is blurred.
MINIMUM_DETAIL = 5.0
# Keeps these random numbers apart from those of other generators with the same seed and index.
_STREAM = 0xC07


class CutoutPhotos:
    """`count` photos of `size` px a side; each is a pure function of (seed, index).

    Raises:
        ValueError: `size` below 32 px, where a disc of 10 px leaves nothing in focus.
        FileNotFoundError: the photographs of scikit-image are not installed.
    """

    def __init__(self, seed: int, count: int, size: int):
        if size < MINIMUM_SIZE_PX:
            raise ValueError(f"size must be at least {MINIMUM_SIZE_PX} px; received {size}")
        self.seed, self.count, self.size = seed, count, size
        # Cut and kept once, here rather than within the first example.
        real_outlines()
        self._segments = [segment for segment in photo_segments() if segment.radius_px > 30]
        self._pictures = [image for _, image in sorted(load_texture_photographs().items())]

    def __len__(self):
        return self.count

    def name(self, index):
        return f"cutout-{self.seed}-{index:06d}"

    def read(self, index):
        """(image uint8 [size, size, 3] RGB, blurred float32 [size, size], 1 = blurred)."""
        if not 0 <= index < self.count:
            raise IndexError(f"index must lie in [0, {self.count}); received {index}")
        rng = np.random.default_rng([_STREAM, self.seed, index])
        front, alpha = self._objects(rng)
        ground = self._picture(rng)
        highlights = rng.exponential(1.5)
        front, ground = (_to_linear(layer, highlights) for layer in (front, ground))
        disc = disc_kernel(rng.uniform(*RADIUS_PX))
        front_blurred = rng.random() < 0.5
        if front_blurred:
            image = composite(_blur(front * alpha[..., None], disc), _blur(alpha, disc), ground)
        else:
            image = composite(front * alpha[..., None], alpha, _blur(ground, disc))
        blurred = (alpha > 0.5) == front_blurred
        return _photograph(rng, image), blurred.astype(np.float32)

    def _picture(self, rng):
        """A part of a photograph, in focus: uint8 [size, size, 3]."""
        # Eight tries find a part with detail nearly always; the last serves where they do not.
        for _ in range(8):
            picture = self._pictures[rng.integers(len(self._pictures))]
            if rng.random() < 0.5:
                scale = 1 / rng.uniform(1.0, 1.5)
                picture = cv2.resize(
                    picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
                )
            height, width = picture.shape[:2]
            top = rng.integers(max(height - self.size, 0) + 1)
            left = rng.integers(max(width - self.size, 0) + 1)
            part = picture[top : top + self.size, left : left + self.size]
            if np.abs(cv2.Laplacian(part, cv2.CV_32F)).mean() > MINIMUM_DETAIL:
                break
        part = np.rot90(part, rng.integers(4))
        down, right = (self.size - side for side in part.shape[:2])
        part = cv2.copyMakeBorder(part, 0, down, 0, right, cv2.BORDER_REFLECT)
        if rng.random() < 0.4:
            part = cv2.transform(part, random_color_transform(rng))
        return part

    def _objects(self, rng):
        """Cut-outs in front: (uint8 [size, size, 3], alpha float32 [size, size])."""
        while True:
            if rng.random() < 0.3:
                front, alpha = self._segment(rng)
            else:
                front = self._picture(rng)
                alpha = np.zeros((self.size, self.size), np.uint8)
                for _ in range(rng.choice((1, 1, 2, 3))):
                    center = rng.uniform(0.1, 0.9, 2) * self.size
                    radius_px = rng.uniform(0.2, 0.7) * self.size
                    _fill(alpha, random_shape(rng), center, radius_px, rng.normal(0.0, 0.5))
            if OBJECT_SHARE[0] < np.mean(alpha > 127) < OBJECT_SHARE[1]:
                return front, np.float32(alpha) / 255.0

    def _segment(self, rng):
        """Segments of one photograph with their own pixels, at their own scale."""
        front = np.zeros((self.size, self.size, 3), np.uint8)
        alpha = np.zeros((self.size, self.size), np.uint8)
        for _ in range(rng.integers(1, 6)):
            pixels, shape, radius_px = self._segments[rng.integers(len(self._segments))]
            half = np.array(pixels.shape[1::-1]) / 2
            corner = np.int32(rng.uniform(0.0, 1.0, 2) * self.size - half)
            own = np.zeros_like(alpha)
            _fill(own, shape, corner + half - 0.5, radius_px)
            # cv2 shifts, and leaves out what falls beyond the image.
            shift = np.float32([[1, 0, corner[0]], [0, 1, corner[1]]])
            moved = cv2.warpAffine(
                pixels,
                shift,
                own.shape[::-1],
                flags=cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_REPLICATE,
            )
            np.copyto(front, moved, where=own[..., None] > 0)
            np.maximum(alpha, own, out=alpha)
        return front, alpha


def disc_kernel(radius_px):
    """A uniform disc, float32 with sum 1; a pixel cut by its rim counts in part."""
    reach = int(np.ceil(radius_px))
    at = np.arange(-reach, reach + 1, dtype=np.float32)
    disc = np.clip(radius_px + 0.5 - np.hypot(at, at[:, None]), 0.0, 1.0)
    return disc / disc.sum()


def composite(front, alpha, ground):
    """`front`, already multiplied by its `alpha`, over `ground`; all linear light.

    A blurred object is passed with its alpha blurred: at its rim the lens sees past it.
    """
    return front + (1.0 - alpha[..., None]) * ground


def _blur(layer, disc):
    return cv2.filter2D(layer, -1, disc, borderType=cv2.BORDER_REFLECT)


def _fill(alpha, shape, center, radius_px, angle=0.0):
    """Draws a `Shape` of the unit square into `alpha`, uint8, in place; holes stay holes."""
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    # cv2 takes fixed-point coordinates: 4 fractional bits.
    contours = [
        np.int32(np.rint((contour @ turn * radius_px + center) * 16)) for contour in shape.contours
    ]
    cv2.fillPoly(alpha, contours, 255, cv2.LINE_AA, shift=4)


def _to_linear(image, highlights):
    """8-bit -> linear light; what is nearly white may be brighter than the sensor could hold."""
    linear = to_linear(image / np.float32(255.0))
    return linear * (1.0 + np.float32(highlights) * linear**8)


def _photograph(rng, linear):
    """What a camera stores: photon and readout noise, clipping, gamma, JPEG. uint8 RGB."""
    photon, readout = 10 ** rng.uniform(-4.5, -3.2), 10 ** rng.uniform(-3.5, -2.3)
    deviation = np.sqrt(photon * np.maximum(linear, 0.0) + readout**2)
    noisy = linear + np.float32(deviation) * rng.standard_normal(linear.shape, np.float32)
    stored = np.uint8(np.rint(to_display(noisy) * 255.0))
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(stored, cv2.COLOR_RGB2BGR), quality)[1]
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
