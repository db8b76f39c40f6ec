"""Procedural all-in-focus RGB-D scenes with exact depth: the source that needs no download.

`make_scene(seed, index, height, width)` is a pure function: the same arguments give the same
bytes, independent of earlier calls and of the thread.

A scene is a background (a slanted ground, a wall, a wall with floor or side walls, now and then a
relief) and one to ten objects painted far to near with a depth test: tilted cards and cut-outs,
pieces of photographs, prisms, ellipsoids, thin structures, foliage. Surfaces: `scene_surfaces`,
outlines: `scene_shapes`, textures: `scene_textures`. The far plane is 1.5 to 8 times as far as the
near one; there is no sky. Colours, contrasts and light are drawn independently of depth, so that
only blur reveals it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_gen.scenes.shapes import leaf_shape, photo_segments, random_shape, random_strokes
from data_gen.scenes.surfaces import (
    Camera,
    Canvas,
    Pose,
    facing_pose,
    map_texture,
    paint_ellipsoid,
    paint_prism,
    paint_shape,
    plane_inverse_depth,
    shade,
)
from data_gen.scenes.textures import random_color_transform, random_texture, smooth_noise

_STREAM = 0x5CE7E  # keeps these draws apart from other uses of the same (seed, index)
_MIN_DEPTH_RATIO, _MAX_DEPTH_RATIO = 1.5, 8.0
_MAX_TILT = 1.3  # radians between a flat object and the plane across its viewing ray


class Limits(NamedTuple):
    """Inverse depths of the far and the near plane, far < near."""

    far: float
    near: float

    def at(self, share):
        """0 -> far, 1 -> near, linear in inverse depth (as defocus is)."""
        return self.far + share * (self.near - self.far)


def make_scene(seed, index, height, width):
    """One all-in-focus image and its depth.

    Args:
      seed, index: integers >= 0, which alone determine the scene.
      height, width: size in pixels, integers >= 1.

    Returns:
      (image uint8 [height, width, 3] RGB, depth float32 [height, width], > 0, any unit).

    Raises:
      ValueError: a negative seed or index, or a size below 1.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be >= 0; received {seed} and {index}")
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be >= 1; received {height} and {width}")
    rng = np.random.default_rng((seed, index, _STREAM))
    focal_px = rng.uniform(0.9, 2.0) * max(height, width)
    camera = Camera(focal_px, (width - 1) / 2, (height - 1) / 2)
    near = 1 / np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    ratio = np.exp(rng.uniform(np.log(_MIN_DEPTH_RATIO), np.log(_MAX_DEPTH_RATIO)))
    limits = Limits(near / ratio, near)
    canvas = _paint_background(rng, camera, limits, height, width)
    for paint, placement in _place_objects(rng, canvas, limits):
        paint(rng, canvas, limits, *placement)
    return _expose(rng, canvas.color), 1 / canvas.inverse_depth


def background_planes(rng, camera, limits, height, width):
    """Planes p (inverse depth q = p.ray) whose largest q is the background, list of [3].

    Seen from within a convex room, a ray ends at the nearest of its planes, where q is largest.
    """

    def slanted(azimuth, contact, q_contact, q_edge):
        """Affine along `azimuth`: q_contact at `contact` (share of the half frame), q_edge at 1."""
        direction = np.array((np.cos(azimuth), np.sin(azimuth)))
        half = max(np.abs(direction) @ (camera.center_x, camera.center_y), 0.5)  # 0 for one pixel
        slope = (q_edge - q_contact) / ((1 - contact) * half)
        gradient = slope * direction * camera.focal_px
        return np.array((*gradient, q_contact - slope * contact * half))

    downwards = np.pi / 2 + rng.normal(0, 0.15)
    if rng.random() < 0.2:  # ground that fills the frame
        azimuth = downwards if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
        return [slanted(azimuth, -1.0, limits.far, limits.at(rng.uniform(0.7, 1.0)))]
    tilt = rng.uniform(0.0, 0.4) if rng.random() < 0.6 else 0.0
    planes = [slanted(rng.uniform(0, 2 * np.pi), -1.0, limits.far, limits.at(tilt))]
    sides = [downwards] if rng.random() < 0.6 else []
    sides += [side + rng.normal(0, 0.1) for side in (0.0, np.pi, -np.pi / 2) if rng.random() < 0.12]
    for azimuth in sides:
        contact = rng.uniform(-0.5, 0.7)
        edge = limits.at(rng.uniform(0.3, 1.0))
        planes.append(slanted(azimuth, contact, limits.at(tilt / 2), edge))
    return planes


def _paint_background(rng, camera, limits, height, width):
    light = np.array((rng.normal(), rng.normal() - 0.7, -1.0))
    light /= np.linalg.norm(light)
    frame = slice(0, height), slice(0, width)
    planes = background_planes(rng, camera, limits, height, width)
    surfaces = np.stack([plane_inverse_depth(plane, camera, frame) for plane in planes])
    seen = np.argmax(surfaces, axis=0)
    inverse_depth = surfaces.max(axis=0)
    color = np.zeros((height, width, 3), np.float32)
    for number, plane in enumerate(planes):
        part = np.uint8(seen == number)
        left, top, columns, rows = cv2.boundingRect(part)
        if columns == 0:
            continue
        window = slice(top, top + rows), slice(left, left + columns)
        painted = _plane_color(rng, plane, surfaces[number], camera, window)
        # The side that is seen looks against the plane p, which points away from the camera.
        painted = painted * np.float32(shade(-plane @ light / np.linalg.norm(plane)))
        np.copyto(color[window], painted, where=part[window][..., None] > 0)
    if rng.random() < 0.15:
        bumps = smooth_noise(rng, height, width, rng.integers(3, 9)) - 0.5
        relief = np.float32(rng.uniform(0.1, 0.5) * (limits.near - limits.far))
        inverse_depth = np.clip(inverse_depth + relief * bumps, limits.far, limits.near)
    return Canvas(color, inverse_depth.astype(np.float32), camera, light)


def _plane_color(rng, plane, surface, camera, window):
    """A texture on a window of the background, about one texel a pixel where it is nearest."""
    surface = surface[window]
    row, column = np.unravel_index(np.argmax(surface), surface.shape)
    nearest = surface[row, column]
    origin = camera.ray(column + window[1].start, row + window[0].start) / nearest
    normal = plane / np.linalg.norm(plane)
    helper = rng.normal(size=3) if rng.random() < 0.4 else np.eye(3)[np.argmin(np.abs(normal))]
    right = np.cross(normal, helper)
    right /= np.linalg.norm(right)
    pose = Pose(origin, right, np.cross(normal, right), normal)
    texels = rng.uniform(1.0, 1.5) * camera.focal_px * nearest
    texture = random_texture(rng, 1.2 * max(surface.shape))
    to_texture = np.diag((texels, texels, 1)) @ pose.ray_to_uv()
    return map_texture(texture, to_texture, surface, camera, window)


def _place_objects(rng, canvas, limits):
    """[(painter, (x, y, radius_px, q))], far to near; the first one drawn is near the camera."""
    height, width = canvas.inverse_depth.shape
    count = rng.integers(1, 3) if rng.random() < 0.1 else rng.integers(2, 11)
    painters = (_cutout, _photo_cutout, _prism, _ellipsoid, _thin_structure, _foliage)
    shares = (0.26, 0.2, 0.18, 0.13, 0.15, 0.08)
    placements = []
    for number in range(count):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        smallest, largest = (0.18, 0.5) if number == 0 else (0.07, 0.4)
        radius_px = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
        radius_px *= np.sqrt(height * width)
        if number == 0:
            q = limits.at(rng.uniform(0.75, 1.0))
        else:
            # Half stand on the ground, or lean on the wall, behind their lowest point.
            standing = rng.random() < 0.5
            base = min(int(y + standing * radius_px), height - 1)
            # Rounded to float32, the ground may lie a hair nearer than the near plane.
            behind = min(float(canvas.inverse_depth[base, int(x)]), limits.near)
            q = behind * 1.03 if standing else rng.uniform(behind, limits.near)
        q = min(q, limits.near)
        placements.append((painters[rng.choice(6, p=shares)], (x, y, radius_px, q)))
    return sorted(placements, key=lambda placement: placement[1][3])


def _pose(rng, canvas, limits, x, y, radius_px, q):
    """A random pose whose square of half side `radius_px` stays behind the near plane."""
    origin = canvas.camera.ray(x, y) / q
    # Towards a corner of the square, depth changes by up to sqrt(2) radii times the tilt's sine.
    reach = np.sqrt(2) * radius_px / (canvas.camera.focal_px * q)
    room = np.arcsin(np.clip((origin[2] - 1 / limits.near) / reach, 0, 1))
    # Away from the image's centre the same tilt can show the plane edge-on: stay clear of that.
    oblique = np.arccos(origin[2] / np.linalg.norm(origin))
    tilt = rng.uniform(0, 1) ** 0.7 * min(room, max(0.0, _MAX_TILT - oblique))
    roll = rng.normal(0, 0.15) if rng.random() < 0.6 else rng.uniform(0, 2 * np.pi)
    return facing_pose(origin, tilt, rng.uniform(0, 2 * np.pi), roll)


def _cutout(rng, canvas, limits, x, y, radius_px, q, shape=None):
    pose = _pose(rng, canvas, limits, x, y, radius_px, q)
    texels = radius_px * rng.uniform(1.0, 1.5)
    texture = random_texture(rng, 2 * texels)
    shape = random_shape(rng) if shape is None else shape
    paint_shape(canvas, shape, pose, radius_px / (canvas.camera.focal_px * q), texture, texels)


def _thin_structure(rng, canvas, limits, x, y, radius_px, q):
    _cutout(rng, canvas, limits, x, y, radius_px * rng.uniform(1.0, 3.0), q, random_strokes(rng))


def _photo_cutout(rng, canvas, limits, x, y, radius_px, q):
    """A piece of a photograph with its own pixels, not enlarged, which would blur them."""
    segments = photo_segments()
    segment = segments[rng.integers(len(segments))]
    radius_px = min(radius_px * 1.5, segment.radius_px)
    pixels = segment.pixels
    if rng.random() < 0.6:
        pixels = cv2.transform(np.ascontiguousarray(pixels), random_color_transform(rng))
    pose = _pose(rng, canvas, limits, x, y, radius_px, q)
    unit = radius_px / (canvas.camera.focal_px * q)
    paint_shape(canvas, segment.shape, pose, unit, pixels, segment.radius_px)


def _foliage(rng, canvas, limits, x, y, radius_px, q):
    """Many small leaves around one place, each at its own depth."""
    count = rng.integers(12, 36)
    shape = leaf_shape(rng) if rng.random() < 0.6 else random_shape(rng)
    texture = random_texture(rng, radius_px)
    depth_spread = rng.uniform(0.02, 0.3) * (limits.near - limits.far)
    for leaf_q in np.sort(np.clip(rng.normal(q, depth_spread, count), limits.far, limits.near)):
        leaf_px = radius_px * rng.uniform(0.12, 0.35)
        at_x, at_y = rng.normal((x, y), radius_px * 0.7)
        pose = _pose(rng, canvas, limits, at_x, at_y, leaf_px, leaf_q)
        unit = leaf_px / (canvas.camera.focal_px * leaf_q)
        paint_shape(canvas, shape, pose, unit, texture, leaf_px * 1.2)


def _solid(rng, canvas, limits, x, y, radius_px, q, reach):
    """Centre and radius of a body that reaches `reach` radii from its centre, moved back along its
    ray until it lies behind the near plane."""
    radius_per_depth = min(radius_px / canvas.camera.focal_px, 0.5 / reach)
    depth = max(1 / q, 1 / (limits.near * (1 - reach * radius_per_depth)))
    return canvas.camera.ray(x, y) * depth, radius_per_depth * depth


def _prism(rng, canvas, limits, x, y, radius_px, q):
    center, radius = _solid(rng, canvas, limits, x, y, radius_px, q, reach=np.sqrt(2))
    corners = 4 if rng.random() < 0.7 else rng.integers(3, 7)
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + np.pi / 4
    base = np.stack([np.cos(angles), np.sin(angles)], 1) * radius * rng.uniform(0.4, 1.0, 2)
    texels = rng.uniform(1.0, 1.5) * canvas.camera.focal_px / center[2]
    texture = random_texture(rng, 2 * radius * texels)
    half_length = radius * rng.uniform(0.2, 1.0)
    paint_prism(canvas, center, _rotation(rng), base, half_length, texture, texels)


def _ellipsoid(rng, canvas, limits, x, y, radius_px, q):
    center, radius = _solid(rng, canvas, limits, x, y, radius_px, q, reach=1.0)
    radii = radius * (np.ones(3) if rng.random() < 0.4 else rng.uniform(0.4, 1.0, 3))
    texels = rng.uniform(1.0, 1.5) * canvas.camera.focal_px / center[2]
    texture = random_texture(rng, 3 * radius * texels)
    paint_ellipsoid(canvas, center, _rotation(rng), radii, texture, texels)


def _rotation(rng):
    """Half upright (turned about the vertical and seen a little from above), half in any way."""
    if rng.random() < 0.5:
        upright, _ = cv2.Rodrigues(np.array((np.pi / 2 + rng.uniform(-0.5, 0.5), 0.0, 0.0)))
        turn, _ = cv2.Rodrigues(np.array((0.0, 0.0, rng.uniform(0, 2 * np.pi))))
        return upright @ turn
    return cv2.Rodrigues(rng.uniform(-np.pi, np.pi, 3))[0]


def _expose(rng, color):
    """Uneven light, soft shadows, exposure, tint and tone curve: uint8 [H, W, 3].

    Light falls off softly at any focus: a network must not mistake that for blur.
    """
    height, width = color.shape[:2]
    field = 1 - rng.uniform(0.0, 0.45) * smooth_noise(rng, height, width, rng.integers(2, 6))
    if rng.random() < 0.35:
        shadow = np.zeros((64, 64), np.float32)
        corners = rng.integers(-20, 84, (rng.integers(3, 6), 2), dtype=np.int32)
        cv2.fillConvexPoly(shadow, cv2.convexHull(corners), rng.uniform(0.2, 0.7))
        shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1.0, 6.0))
        field = field * (1 - cv2.resize(shadow, (width, height), interpolation=cv2.INTER_LINEAR))
    exposed = np.uint8(np.clip(color * field[..., None], 0, 255))
    gains = rng.uniform(0.9, 1.5) * rng.uniform(0.9, 1.1, (1, 3))
    curve = (np.arange(256)[:, None] / 255) ** np.exp(rng.uniform(-0.5, 0.35)) * gains
    return cv2.LUT(exposed, np.uint8(np.clip(curve * 255, 0, 255))[:, None])
