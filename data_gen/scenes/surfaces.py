"""Surfaces of procedural scenes, each with its exact depth, painted into a canvas.

Symbols. A pixel (x, y) has the ray r = ((x - cx)/f, (y - cy)/f, 1), so a point P on it at depth z
is z*r. A plane with unit normal n through P0 is n.P = n.P0; with p = n/(n.P0) its inverse depth is
q = 1/z = p.r: affine in x and y. Every surface is held as inverse depth, larger = nearer.
Edges are anti-aliased over one pixel (coverage of a 4 x 4 finer raster); depth is never mixed: it
is that of the surface which covers at least half of the pixel.
"""

from typing import NamedTuple

import cv2
import numpy as np

_FINE = 4  # sub-pixels a side in a coverage mask
_MIN_STROKE_PX = 1.2  # thinner lines would colour pixels whose depth they do not get


class Camera(NamedTuple):
    """Pinhole camera: focal length and principal point, in pixels."""

    focal_px: float
    center_x: float
    center_y: float

    def ray(self, x, y):
        return np.array((x - self.center_x, y - self.center_y, self.focal_px)) / self.focal_px

    def pixel_to_ray(self):
        f, cx, cy = self
        return np.array([(1 / f, 0, -cx / f), (0, 1 / f, -cy / f), (0, 0, 1)])

    def project(self, points):
        """[N, 3] -> pixels [N, 2]; depths must be positive."""
        return points[:, :2] / points[:, 2:] * self.focal_px + (self.center_x, self.center_y)


class Canvas(NamedTuple):
    """The scene so far. color float32 [H, W, 3] in 0..255; inverse_depth float32 [H, W]."""

    color: np.ndarray
    inverse_depth: np.ndarray
    camera: Camera
    light: np.ndarray  # unit vector towards the light, camera axes (x right, y down, z away)


class Pose(NamedTuple):
    """A plane's frame: origin [3] on the plane, in-plane unit axes right and down, unit normal."""

    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray
    normal: np.ndarray

    def plane(self):
        """p with inverse depth q = p.r."""
        return self.normal / (self.normal @ self.origin)

    def ray_to_uv(self):
        """Homography [3, 3]: ray -> (u, v) along right and down. Its third row is the plane p, so
        the homogeneous coordinate is the inverse depth."""
        p = self.plane()
        u = self.right - (self.right @ self.origin) * p
        v = self.down - (self.down @ self.origin) * p
        return np.stack([u, v, p])


def facing_pose(origin, tilt, azimuth, roll):
    """A plane at `origin`, tilted by `tilt` radians out of the image plane so that it faces towards
    `azimuth` in the image, and turned by `roll` about its own normal."""
    slope = np.array((np.cos(azimuth), np.sin(azimuth), 0.0))
    normal = np.array((*(np.sin(tilt) * slope[:2]), -np.cos(tilt)))
    along = np.array((*(np.cos(tilt) * slope[:2]), np.sin(tilt)))
    across = np.array((-slope[1], slope[0], 0.0))  # `along` turned clockwise as the image shows it
    # Counter-turned by the azimuth, so that with no roll the axes stay near the image's.
    cos, sin = np.cos(roll - azimuth), np.sin(roll - azimuth)
    return Pose(origin, cos * along + sin * across, cos * across - sin * along, normal)


def shade(cosine):
    """Lambert's law over an ambient light: a factor between 0.65 and 1.1."""
    return 0.65 + 0.45 * np.maximum(cosine, 0)


def plane_inverse_depth(plane, camera, window):
    """q = p.r on a window (rows, columns): float32 [h, w]."""
    x, y = _ray_grids(camera, window)
    return (plane[0] * x + plane[1] * y + plane[2]).astype(np.float32)


def map_texture(texture, ray_to_texture, inverse_depth, camera, window):
    """Perspective mapping of a texture that repeats by mirroring: uint8 [h, w, 3].

    The third row of `ray_to_texture` must give the inverse depth. Far parts take reduced copies
    of the texture, since a plane's detail would alias there.
    """
    rows, columns = window
    shift = np.array([(1, 0, columns.start), (0, 1, rows.start), (0, 0, 1)])
    mapping = ray_to_texture @ camera.pixel_to_ray() @ shift
    # Mirrored by hand: OpenCV's own mirroring takes a step for every repetition passed.
    height, width = texture.shape[:2]
    texture = cv2.copyMakeBorder(texture, 0, height, 0, width, cv2.BORDER_REFLECT)
    # Texels a pixel: the root of the homography's Jacobian |det M| / q^3.
    det = abs(np.linalg.det(mapping))
    levels = 0.5 * np.log2(det / np.maximum(inverse_depth, 1e-6) ** 3)  # behind the horizon: far
    color = _warp(texture, mapping, inverse_depth.shape)
    for level in range(1, 4):
        # Half a level late: slightly aliased rather than blurred, as everything must be sharp.
        weight = np.clip(levels - level + 0.5, 0, 1).astype(np.float32)
        if not weight.any() or min(texture.shape[:2]) < 32:
            break
        height, width = texture.shape[:2]
        texture = cv2.resize(texture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        # Pixel centres: u' = s(u + 1/2) - 1/2. s is not 1/2 where a side is odd.
        x, y = width // 2 / width, height // 2 / height
        mapping = np.array([(x, 0, x / 2 - 0.5), (0, y, y / 2 - 0.5), (0, 0, 1)]) @ mapping
        reduced = _warp(texture, mapping, inverse_depth.shape)
        color = cv2.blendLinear(color, reduced, 1 - weight, weight)
    return color


def paint_shape(canvas, shape, pose, unit, texture, texels):
    """A flat `Shape` on a plane. `unit` is the length of 1 in the shape's coordinates; `texels`
    the texture's pixels in 1 of the shape's coordinates, the texture's centre on the origin."""
    ray_to_shape = np.diag((1 / unit, 1 / unit, 1)) @ pose.ray_to_uv()
    plane = pose.plane()

    def project(points):
        points = np.asarray(points) * unit
        world = pose.origin + points[:, :1] * pose.right + points[:, 1:] * pose.down
        return canvas.camera.project(world)

    contours = [project(contour) for contour in shape.contours]
    strokes = [(project(line), width) for line, width in shape.strokes]
    pixels_a_unit = canvas.camera.focal_px * unit / pose.origin[2]
    margin = 2 + max((width * pixels_a_unit for _, width in strokes), default=0)
    window = _window(canvas, [*contours, *(line for line, _ in strokes)], margin)
    if window is None:
        return
    alpha = _coverage(contours, strokes, pixels_a_unit, window)
    inverse_depth = plane_inverse_depth(plane, canvas.camera, window)
    center = (np.array(texture.shape[1::-1]) - 1) / 2
    to_texture = np.array([(texels, 0, center[0]), (0, texels, center[1]), (0, 0, 1)])
    color = map_texture(texture, to_texture @ ray_to_shape, inverse_depth, canvas.camera, window)
    color = color * np.float32(shade(pose.normal @ canvas.light))
    _paint(canvas, window, color, inverse_depth, alpha)


def paint_prism(canvas, center, rotation, base, half_length, texture, texels):
    """A convex prism (a box, when its base has four corners) with flat faces.

    center [3]; rotation [3, 3] body -> camera; base: convex polygon [N, 2], counter-clockwise in
    x and y; extruded from -half_length to half_length along the body's z; texels: the texture's
    pixels in one unit of length. Inside the outline a ray enters a convex body through the
    farthest of the planes that face it: q is the least p.r over the faces in front.
    """
    faces = prism_faces(center, rotation, base, half_length)
    corners = np.concatenate([face for face, _ in faces])
    outline = cv2.convexHull(canvas.camera.project(corners).astype(np.float32))[:, 0]
    window = _window(canvas, [outline], 2)
    if window is None:
        return
    nearest = color = None
    for face, normal in faces:
        if normal @ face[0] >= 0:  # turned away
            continue
        right = (face[1] - face[0]) / np.linalg.norm(face[1] - face[0])
        pose = Pose(face[0], right, -np.cross(normal, right), normal)
        inverse_depth = plane_inverse_depth(pose.plane(), canvas.camera, window)
        to_texture = np.diag((texels, texels, 1)) @ pose.ray_to_uv()
        painted = map_texture(texture, to_texture, inverse_depth, canvas.camera, window)
        painted = painted * np.float32(shade(normal @ canvas.light))
        if nearest is None:
            nearest, color = inverse_depth, painted
        else:
            entered = inverse_depth < nearest
            nearest = np.where(entered, inverse_depth, nearest)
            color = np.where(entered[..., None], painted, color)
    _paint(canvas, window, color, nearest, _coverage([outline], [], 1, window))


def prism_faces(center, rotation, base, half_length):
    """[(corners [N, 3], outward unit normal [3])] of a prism, in camera axes."""
    count = len(base)
    lower = np.column_stack([base, np.full(count, -half_length)]) @ rotation.T + center
    upper = np.column_stack([base, np.full(count, half_length)]) @ rotation.T + center
    axis = rotation[:, 2]
    faces = [(lower, -axis), (upper, axis)]
    for i in range(count):
        j = (i + 1) % count
        edge = rotation[:, :2] @ (base[j] - base[i])
        normal = np.cross(edge, axis) / np.linalg.norm(edge)
        faces.append((np.stack([lower[i], lower[j], upper[j], upper[i]]), normal))
    return faces


def paint_ellipsoid(canvas, center, rotation, radii, texture, texels):
    """(P - c)' A (P - c) = 1 with A = R diag(1/radii^2) R': the nearer root of
    z^2 rAr - 2z rAc + cAc - 1 = 0 on each ray. texels: the texture's pixels in a unit of length."""
    corners = center + (_CUBE * radii) @ rotation.T
    window = _window(canvas, [canvas.camera.project(corners)], 2)
    if window is None:
        return
    shape = rotation @ np.diag(1 / np.asarray(radii) ** 2) @ rotation.T
    x, y = _ray_grids(canvas.camera, window)
    rays = np.stack(np.broadcast_arrays(x, y, 1.0), axis=-1)
    rays_shape = rays @ shape
    square = np.einsum("hwc,hwc->hw", rays_shape, rays)
    linear = rays_shape @ center
    discriminant = linear**2 - square * (center @ shape @ center - 1)
    depth = (linear - np.sqrt(np.maximum(discriminant, 0))) / square
    normals = (depth[..., None] * rays - center) @ shape
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    # Distance to the outline in pixels, to first order: the discriminant over its slope.
    slope = np.hypot(
        cv2.Sobel(discriminant, cv2.CV_64F, 1, 0, scale=1 / 8),
        cv2.Sobel(discriminant, cv2.CV_64F, 0, 1, scale=1 / 8),
    )
    alpha = np.clip(0.5 + discriminant / np.maximum(slope, 1e-12), 0, 1)  # a one-pixel window
    # Longitude and latitude about the camera's vertical: the seam is on the far side.
    scale = np.float32(texels * np.max(radii))
    u = scale * np.arctan2(normals[..., 0], -normals[..., 2]).astype(np.float32)
    v = scale * np.arcsin(np.clip(normals[..., 1], -1, 1)).astype(np.float32)
    middle = (np.array(texture.shape[1::-1]) - 1) / 2
    color = cv2.remap(
        texture, u + np.float32(middle[0]), v + np.float32(middle[1]), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    color = color * shade(normals @ canvas.light)[..., None].astype(np.float32)
    _paint(canvas, window, color, (1 / depth).astype(np.float32), alpha.astype(np.float32))


_CUBE = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def _warp(texture, mapping, shape):
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = shape[::-1]
    return cv2.warpPerspective(texture, mapping, size, flags=flags, borderMode=cv2.BORDER_WRAP)


def _ray_grids(camera, window):
    rows, columns = window
    x = (np.arange(columns.start, columns.stop) - camera.center_x) / camera.focal_px
    y = (np.arange(rows.start, rows.stop) - camera.center_y) / camera.focal_px
    return x[None, :], y[:, None]


def _window(canvas, outlines, margin):
    """Slices (rows, columns) around outlines within the frame; None where they are outside it."""
    points = np.concatenate(outlines)
    low, high = points.min(0) - margin, points.max(0) + margin
    height, width = canvas.inverse_depth.shape
    left, top = np.maximum(np.floor(low), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high) + 1, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return None
    return slice(top, bottom), slice(left, right)


def _coverage(contours, strokes, pixels_a_unit, window):
    """The share of each pixel that is covered: float32 [h, w] in 0..1."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    fraction = 4  # bits

    def fixed(points):
        # Pixel centres: pixel 0 spans fine pixels 0..3, its centre is at 1.5.
        points = (points - (columns.start, rows.start)) * _FINE + (_FINE - 1) / 2
        return np.int32(np.rint(points * 2**fraction))

    if contours:
        cv2.fillPoly(fine, [fixed(contour) for contour in contours], 255, shift=fraction)
    for line, width_units in strokes:
        thickness = max(width_units * pixels_a_unit, _MIN_STROKE_PX) * _FINE
        cv2.polylines(fine, [fixed(line)], False, 255, round(thickness), shift=fraction)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) / np.float32(255)


def _paint(canvas, window, color, inverse_depth, alpha):
    """Blends what is nearer than the canvas; depth is taken where at least half is covered."""
    behind = canvas.inverse_depth[window]
    alpha = np.where(inverse_depth > behind, alpha, np.float32(0))
    under = canvas.color[window]
    under += alpha[..., None] * (color - under)
    np.copyto(behind, inverse_depth, where=alpha >= 0.5)
