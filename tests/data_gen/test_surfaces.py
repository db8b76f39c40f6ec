"""Surfaces against slow references: rays clipped, marched and sampled one by one."""

import cv2
import numpy as np
import pytest

from data_gen.scenes import surfaces
from data_gen.scenes.shapes import Shape, photo_segments
from data_gen.scenes.surfaces import (
    Camera,
    Canvas,
    facing_pose,
    map_texture,
    paint_ellipsoid,
    paint_prism,
    paint_shape,
    plane_inverse_depth,
)

SIZE = 64
CAMERA = Camera(80.0, (SIZE - 1) / 2, (SIZE - 1) / 2)
SQUARE = Shape([np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])], [])
GREY = np.full((16, 16, 3), 200, np.uint8)


def empty_canvas(inverse_depth=1e-3):
    """Black, 1000 units away, 64 x 64, light from the camera."""
    return Canvas(
        np.zeros((SIZE, SIZE, 3), np.float32),
        np.full((SIZE, SIZE), inverse_depth, np.float32),
        CAMERA,
        np.array((0.0, 0.0, -1.0)),
    )


def rays():
    for y in range(SIZE):
        for x in range(SIZE):
            yield y, x, np.array(((x - 31.5) / 80, (y - 31.5) / 80, 1.0))


def painted(canvas):
    return canvas.inverse_depth > 2e-3


def test_pose_frames_are_orthonormal():
    rng = np.random.default_rng(0)
    for _ in range(20):
        origin = np.array((*rng.uniform(-1, 1, 2), 3.0))
        pose = facing_pose(origin, rng.uniform(0, 1.2), rng.uniform(0, 6), rng.uniform(0, 6))
        frame = np.stack([pose.right, pose.down, -pose.normal])
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1)  # right, down, away: right-handed
        assert pose.plane() @ (origin / 3.0) == pytest.approx(1 / 3)


def test_slanted_plane_by_hand():
    # Through (0, 0, 2), normal (0, 1, -1)/sqrt(2): y - z = -2, so with y = r_y z, z = 2/(1 - r_y).
    # A pixel 40 px below the centre has r_y = 0.5: z = 4.
    pose = facing_pose(np.array((0.0, 0.0, 2.0)), np.pi / 4, np.pi / 2, 0.0)
    np.testing.assert_allclose(pose.normal, (0, 2**-0.5, -(2**-0.5)), atol=1e-12)
    assert pose.plane() @ (0.0, 0.5, 1.0) == pytest.approx(1 / 4)
    np.testing.assert_allclose(pose.right, (1, 0, 0), atol=1e-12)  # no roll: stays level
    np.testing.assert_allclose(np.cross(pose.right, pose.down), -pose.normal, atol=1e-12)


def test_card_depth_against_ray_plane_intersection():
    origin, canvas = CAMERA.ray(25, 36) * 3.0, empty_canvas()
    pose = facing_pose(origin, 1.0, 0.7, 0.3)
    paint_shape(canvas, SQUARE, pose, 0.6, GREY, 16)
    mask = painted(canvas)
    assert mask.sum() > 150
    for y, x, ray in rays():
        z = (pose.normal @ origin) / (pose.normal @ ray)
        point = z * ray - origin
        inside = max(abs(point @ pose.right), abs(point @ pose.down)) / 0.6
        if inside < 0.9:
            assert mask[y, x]
        if inside > 1.15:
            assert not mask[y, x] and canvas.color[y, x].max() == 0
        if mask[y, x]:
            assert 1 / canvas.inverse_depth[y, x] == pytest.approx(z, rel=1e-5)


def test_box_depth_by_hand():
    # A box of half side 1 around (0, 0, 5), unturned: its front face is at depth 4, and covers
    # 80 * 1/4 = 20 px either side of 31.5: pixels 12 to 51.
    canvas = empty_canvas()
    corners = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    paint_prism(canvas, np.array((0.0, 0.0, 5.0)), np.eye(3), corners, 1.0, GREY, 20)
    assert np.array_equal(np.flatnonzero(painted(canvas)[32]), np.arange(12, 52))
    np.testing.assert_allclose(1 / canvas.inverse_depth[12:52, 12:52], 4.0, rtol=1e-6)
    # Lambert from the camera: 0.65 + 0.45 of 200.
    np.testing.assert_allclose(canvas.color[20:40, 20:40], 220.0, rtol=1e-3)


@pytest.mark.parametrize("corners", [3, 4, 6])
def test_prism_depth_against_clipping_each_ray(corners):
    rng = np.random.default_rng(corners)
    rotation = cv2.Rodrigues(rng.uniform(-2, 2, 3))[0]
    angles = np.arange(corners) * 2 * np.pi / corners
    base = np.stack([np.cos(angles), 0.7 * np.sin(angles)], 1)
    center, half_length, canvas = np.array((0.2, -0.1, 4.0)), 0.8, empty_canvas()
    paint_prism(canvas, center, rotation, base, half_length, GREY, 20)
    faces, hits = set(), 0
    for y, x, ray in rays():
        # In the body's frame, clip the ray against every side and both ends in turn.
        start, step = rotation.T @ -center, rotation.T @ ray
        enter, leave, face = 0.0, np.inf, None
        sides = [((0, 0, 1), half_length), ((0, 0, -1), half_length)]
        for i in range(corners):
            edge = base[(i + 1) % corners] - base[i]
            outward = np.array((edge[1], -edge[0], 0.0))
            sides.append((outward, outward[:2] @ base[i]))
        for number, (outward, offset) in enumerate(sides):
            rate, distance = np.dot(outward, step), offset - np.dot(outward, start)
            if rate < 0 and distance / rate > enter:
                enter, face = distance / rate, number
            elif rate > 0:
                leave = min(leave, distance / rate)
        if enter < leave - 0.05:  # clear of the outline
            assert 1 / canvas.inverse_depth[y, x] == pytest.approx(enter, rel=1e-5)
            faces.add(face)
            hits += 1
    assert hits > 400 and len(faces) >= 2
    assert painted(canvas).sum() < 1.2 * hits


def test_sphere_depth_by_hand():
    # Radius 1 around (0, 0, 4): the nearest point is at depth 3; the outline is where the ray is
    # tangent, tan = 1/sqrt(15): 80/sqrt(15) = 20.66 px from the centre.
    canvas = empty_canvas()
    paint_ellipsoid(canvas, np.array((0.0, 0.0, 4.0)), np.eye(3), (1.0, 1.0, 1.0), GREY, 20)
    assert 1 / canvas.inverse_depth[31:33, 31:33].max() == pytest.approx(3.0, abs=1e-3)
    mask = painted(canvas)
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] - 31.5))
    assert mask[distance < 20.3].all() and not mask[distance > 21.0].any()
    # The area is that of the anti-aliased outline, pi 20.66^2 = 1341 px.
    assert canvas.color[..., 0].astype(bool).sum() > mask.sum()
    assert mask.sum() == pytest.approx(1341, abs=15)


def test_ellipsoid_depth_against_marching_each_ray():
    rotation = cv2.Rodrigues(np.array((0.4, -0.8, 0.5)))[0]
    radii, center, canvas = np.array((1.0, 0.6, 0.8)), np.array((-0.5, 0.3, 4.0)), empty_canvas()
    paint_ellipsoid(canvas, center, rotation, radii, GREY, 20)
    steps = np.linspace(2.5, 4.5, 4001)  # 0.0005 apart
    hits = 0
    for y, x, ray in rays():
        body = (steps[:, None] * ray - center) @ rotation / radii
        inside = (body**2).sum(1) < 1
        if inside.sum() > 300:  # clear of the outline
            assert 1 / canvas.inverse_depth[y, x] == pytest.approx(steps[inside][0], abs=6e-4)
            hits += 1
    assert hits > 300


def test_nearer_surfaces_hide_farther_ones_in_any_order():
    near, far = (facing_pose(np.array((0.0, 0.0, z)), 0.0, 0.0, 0.0) for z in (2.0, 3.0))
    for order in ((near, far), (far, near)):
        canvas = empty_canvas()
        for pose in order:
            value = 100 if pose is near else 30
            paint_shape(canvas, SQUARE, pose, 0.4, np.full((16, 16, 3), value, np.uint8), 16)
        assert 1 / canvas.inverse_depth[32, 32] == pytest.approx(2.0)
        assert canvas.color[32, 32, 0] == pytest.approx(110, abs=0.5)  # 100 * (0.65 + 0.45)


# Edges and textures


def test_coverage_of_a_half_covered_pixel():
    # Pixel 4 spans 3.5 to 4.5. A rectangle from 3.75 on covers three quarters of it. The raster
    # is four times finer and fills the border's own sub-pixel: within one quarter.
    square = np.array([(3.75, 1.0), (9.0, 1.0), (9.0, 9.0), (3.75, 9.0)])
    alpha = surfaces._coverage([square], [], 1, (slice(0, 12), slice(0, 12)))
    assert alpha[5, 4] == pytest.approx(0.75, abs=0.26)
    assert alpha[5, 5:9].min() == 1 and alpha[5, :3].max() == 0
    inner = np.array([(5.0, 3.0), (7.0, 3.0), (7.0, 7.0), (5.0, 7.0)])
    assert surfaces._coverage([square, inner], [], 1, (slice(0, 12), slice(0, 12)))[5, 6] == 0


def test_texture_mapping_against_sampling_each_pixel():
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8), (0, 0), 1.5)
    pose = facing_pose(np.array((0.1, 0.2, 3.0)), 0.5, 1.0, 0.4)
    to_texture = np.diag((20.0, 20.0, 1.0)) @ pose.ray_to_uv()
    window = slice(5, 60), slice(3, 50)
    inverse_depth = plane_inverse_depth(pose.plane(), CAMERA, window)
    color = map_texture(texture, to_texture, inverse_depth, CAMERA, window)

    def mirrored(position, length):
        position %= 2 * length
        return position if position < length else 2 * length - 1 - position

    for y, x, ray in rays():
        if not (5 <= y < 60 and 3 <= x < 50):
            continue
        point = ray / (pose.plane() @ ray) - pose.origin
        u, v = 20 * point @ pose.right, 20 * point @ pose.down
        left, top = int(np.floor(u)), int(np.floor(v))
        expected = 0.0
        for dx in (0, 1):
            for dy in (0, 1):
                weight = (1 - abs(u - left - dx)) * (1 - abs(v - top - dy))
                expected += weight * texture[mirrored(top + dy, 24), mirrored(left + dx, 20)]
        # OpenCV may place samples to a 32nd of a pixel.
        np.testing.assert_allclose(color[y - 5, x - 3], expected, atol=4)


def test_reduced_textures_stay_in_register():
    # A ramp across the texture is the same ramp in every reduced copy.
    ramp = np.repeat(np.arange(0, 250, 4, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    pose = facing_pose(np.array((0.0, 0.0, 3.0)), 0.0, 0.0, 0.0)
    window = slice(0, SIZE), slice(0, SIZE)
    inverse_depth = plane_inverse_depth(pose.plane(), CAMERA, window)
    for texels_a_pixel in (1.0, 1.9, 3.7):  # 0, 1 and 2 reductions
        scale = texels_a_pixel * 80 / 3
        to_texture = np.array([(scale, 0, 31), (0, scale, 0), (0, 0, 1)]) @ pose.ray_to_uv()
        color = map_texture(ramp, to_texture, inverse_depth, CAMERA, window)
        # The ramp rises 4 a texel, so at pixel x: 4 (31 + (x - 31.5) texels_a_pixel).
        at = np.arange(26, 38)
        expected = 4 * (31 + (at - 31.5) * texels_a_pixel)
        # Half a texel out of register would be 2.
        np.testing.assert_allclose(color[32, at, 0], expected, atol=1.5)


def test_photo_segments_keep_their_own_pixels():
    # A pattern in the place of the patch, painted frontally at its own size, comes back in place.
    segment = max(photo_segments(), key=lambda s: s.radius_px if s.radius_px < 28 else 0)
    canvas, radius = empty_canvas(), segment.radius_px
    origin = CAMERA.ray(31.5, 31.5) * 2.0
    unit = radius / (80 * 0.5)
    pose = facing_pose(origin, 0.0, 0.0, 0.0)
    paint_shape(canvas, segment.shape, pose, unit, segment.pixels, radius)
    mask = cv2.erode(np.uint8(painted(canvas)), np.ones((3, 3))) > 0
    assert mask.sum() > 100
    height, width = segment.pixels.shape[:2]
    ys, xs = np.nonzero(mask)
    # The patch's centre is at 31.5; a pixel that falls between two takes their mean, so the
    # comparison is with the patch smoothed by half a pixel where its side is odd.
    u, v = xs - 31.5 + (width - 1) / 2, ys - 31.5 + (height - 1) / 2
    own = cv2.remap(segment.pixels, np.float32(u)[None], np.float32(v)[None], cv2.INTER_LINEAR)[0]
    np.testing.assert_allclose(canvas.color[ys, xs], np.minimum(own * 1.1, 281), atol=4)
