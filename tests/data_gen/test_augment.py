"""Every operation eagerly and inside Dataset.map, against NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from data_gen import augment
from data_gen.sources.base import Resized, Source


def mapped(function, *arguments):
    """The same call inside Dataset.map, where shapes are unknown and tensors symbolic."""
    specs = [
        tf.TensorSpec([None] * np.ndim(a), tf.as_dtype(np.asarray(a).dtype)) for a in arguments
    ]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([arguments]), output_signature=tuple(specs)
    )
    return next(iter(dataset.map(function)))


def draw_all(way, function, count):
    """`function(seed)` for `count` seeds, eagerly or in one Dataset.map."""
    seeds = np.stack([np.arange(count), np.full(count, 5)], axis=1).astype(np.int32)
    if way == "eager":
        return [function(seed) for seed in seeds]
    return list(tf.data.Dataset.from_tensor_slices(seeds).map(function))


def numbered(height, width):
    """An image and a map whose every pixel is its own number, so that no move goes unseen."""
    plane = np.arange(height * width, dtype=np.float32).reshape(height, width, 1)
    return np.repeat(plane, 3, axis=2), plane


WAYS = pytest.mark.parametrize("call", [lambda f, *a: f(*a), mapped], ids=["eager", "map"])


@WAYS
@pytest.mark.parametrize(
    ("height", "width", "crop", "expected"),
    [
        (480, 640, 240, 1.0),
        (240, 240, 240, 1.0),
        (800, 1200, 240, 1.0),
        (120, 640, 240, 2.0),  # short side 120 -> 240
        (300, 180, 240, 4 / 3),  # short side 180 -> 240
        (1600, 2400, 240, 0.5),  # short side 1600 -> 800
        (2000, 1000, 240, 0.8),  # short side 1000 -> 800
        (900, 1000, 1000, 10 / 9),  # a crop above 800 is served all the same
        (3000, 2000, 1000, 0.5),
    ],
)
def test_fit_scale(call, height, width, crop, expected):
    scale = call(lambda h, w: augment.fit_scale(h, w, crop), np.int32(height), np.int32(width))
    assert float(scale) == pytest.approx(expected)


def test_fitted_short_side_is_exactly_the_crop():
    for short in range(1, 240):
        image = tf.zeros([short, short + 7, 1])
        scale = augment.fit_scale(short, short + 7, 240)
        assert augment.resize_with_map(image, None, scale, values="scaled")[0].shape[0] == 240


@WAYS
def test_resize_scales_defocus_in_value(call):
    image = np.full((6, 4, 3), 0.25, np.float32)
    defocus = np.zeros((6, 4, 1), np.float32)
    defocus[:3], defocus[3:] = 0.2, 0.8
    for scale, (near, far) in {0.5: (0.1, 0.4), 2.0: (0.4, 1.0)}.items():  # 2 * 0.8 is clipped

        def resize(i, m, s):
            return augment.resize_with_map(i, m, s, values="scaled")

        resized, out = call(resize, image, defocus, np.float32(scale))
        assert resized.shape == (int(6 * scale), int(4 * scale), 3)
        np.testing.assert_allclose(resized, 0.25, atol=1e-6)
        expected = np.full((int(6 * scale), int(4 * scale), 1), near, np.float32)
        # Half of 6 rows is 3: the edge falls in the middle of row 1 of 3, whose nearest is row 3.
        expected[int(3 * scale) :] = far
        np.testing.assert_allclose(out, expected, atol=1e-6)


@WAYS
def test_resize_keeps_a_binary_map_two_valued(call):
    rng = np.random.default_rng(0)
    mask = (rng.random((30, 41, 1)) < 0.5).astype(np.float32)
    image = rng.random((30, 41, 3)).astype(np.float32)
    for scale in (0.37, 1.0, 2.3):

        def resize(i, m, s):
            return augment.resize_with_map(i, m, s, values="kept")

        resized, out = call(resize, image, mask, np.float32(scale))
        assert out.shape[:2] == resized.shape[:2] == (round(30 * scale), round(41 * scale))
        assert set(np.unique(out)) == {0.0, 1.0}
        if scale == 1.0:
            np.testing.assert_array_equal(out, mask)
            np.testing.assert_array_equal(resized, image)


def test_reduced_stripes_turn_grey_instead_of_folding():
    # Stripes of one pixel, reduced to a third: picking every third pixel would give stripes again.
    stripes = tf.tile(tf.reshape([0.0, 1.0], [1, 2, 1]), [66, 33, 1])
    reduced, _ = augment.resize_with_map(stripes, None, 1 / 3, values="kept")
    assert reduced.shape == (22, 22, 1)
    np.testing.assert_allclose(reduced[:, 2:-2], 0.5, atol=0.1)


def test_resizing_multiplies_the_sigma_of_a_blurred_edge():
    """The rule that the map follows, held against real pixels: an edge of sigma 4 px, halved."""
    sigma_px = 4.0
    edge = 0.5 * (1 + erf((np.arange(120) - 59.5) / (sigma_px * 2**0.5)))
    image = np.tile(edge.astype(np.float32)[None, :, None], (20, 1, 1))
    halved = augment.resize_with_map(image, None, 0.5, values="scaled")[0].numpy()[5, :, 0]
    slope = np.diff(halved)  # the derivative of the edge is the Gaussian itself
    place = np.arange(slope.size)
    mean = (slope * place).sum() / slope.sum()
    measured = np.sqrt((slope * (place - mean) ** 2).sum() / slope.sum())
    # The antialiasing itself blurs a little: 2 px * sqrt(1 + (0.5 / 2)^2) at the most.
    assert 2.0 <= measured < 2.07


@pytest.mark.parametrize("way", ["eager", "map"])
def test_crop_takes_the_same_square_of_both(way):
    image, plane = numbered(13, 9)
    corners = set()
    for a, b in draw_all(way, lambda seed: augment.random_crop(seed, image, plane, 8), 60):
        assert a.shape == (8, 8, 3) and b.shape == (8, 8, 1)
        y, x = divmod(int(b[0, 0, 0]), 9)
        np.testing.assert_array_equal(b, plane[y : y + 8, x : x + 8])
        np.testing.assert_array_equal(a, image[y : y + 8, x : x + 8])
        corners.add((y, x))
    # 6 rows by 2 columns of places; 60 draws miss a given one with chance (11/12)^60 = 0.5 %.
    assert len(corners) >= 10
    assert {y for y, _ in corners} == set(range(6)) and {x for _, x in corners} == {0, 1}


def test_crop_has_a_static_shape_and_accepts_no_map():
    spec = tf.TensorSpec([None, None, 3])
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([np.zeros((9, 9, 3))]), output_signature=spec
    )
    dataset = dataset.map(lambda i: augment.random_crop([0, 0], i, None, 8)[0])
    assert dataset.element_spec.shape.as_list()[:2] == [8, 8]
    assert augment.random_crop([0, 0], np.zeros((9, 9, 3)), None, 8)[1] is None
    assert augment.random_flip_turn([0, 0], tf.zeros([9, 9, 3]), None)[1] is None


@WAYS
def test_crop_refuses_an_image_that_is_too_small(call):
    image, plane = numbered(7, 20)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a crop of 8 px needs"):
        call(lambda s, i, m: augment.random_crop(s, i, m, 8), np.zeros(2, np.int32), image, plane)


@pytest.mark.parametrize("way", ["eager", "map"])
def test_flip_turn_draws_all_eight_symmetries_evenly(way):
    image, plane = numbered(5, 5)
    symmetries = {
        np.rot90(np.fliplr(plane) if mirrored else plane, turns).tobytes(): (mirrored, turns)
        for mirrored, turns in itertools.product((False, True), range(4))
    }
    assert len(symmetries) == 8
    seen = []
    for a, b in draw_all(way, lambda seed: augment.random_flip_turn(seed, image, plane), 160):
        np.testing.assert_array_equal(a, np.repeat(b, 3, axis=2))
        seen.append(symmetries[b.numpy().tobytes()])
    # 20 expected of each, standard deviation 4.2.
    assert all(5 <= seen.count(symmetry) <= 40 for symmetry in symmetries.values())


@WAYS
def test_flip_turn_refuses_a_rectangle(call):
    image, plane = numbered(5, 6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="square"):
        call(augment.random_flip_turn, np.zeros(2, np.int32), image, plane)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 1000])
def test_epoch_visits_each_item_once_and_in_a_new_order(count):
    dataset = tf.data.Dataset.range(3 * count).map(
        lambda index: augment.epoch_index(tf.constant([7, 1]), index, count)
    )
    run = np.array(list(dataset.as_numpy_iterator())).reshape(3, count)
    for epoch in run:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(count))
    if count > 100:
        # A random order shares one place on average with another: 20 never happens.
        assert (run[0] == run[1]).sum() < 20 and (run[1] == run[2]).sum() < 20
    eager = augment.epoch_index(tf.constant([7, 1]), 2 * count + count // 2, count)
    assert eager == run[2, count // 2]


def test_epoch_order_depends_on_the_seed_and_reaches_far():
    orders = {
        tuple(int(augment.epoch_index(tf.constant([s, 0]), i, 6)) for i in range(6))
        for s in range(8)
    }
    assert len(orders) >= 7
    # An index beyond int32, a count near its end.
    far = [int(augment.epoch_index([0, 0], 2**40 + i, 2**31 - 2)) for i in range(5)]
    assert len(set(far)) == 5 and all(0 <= i < 2**31 - 2 for i in far)


@WAYS
def test_epoch_refuses_no_items(call):
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one item"):
        call(lambda count: augment.epoch_index(tf.constant([0, 0]), 0, count), np.int64(0))


def test_resize_refuses_an_unknown_kind_of_values():
    with pytest.raises(ValueError, match="'scaled' or 'kept'; received 'binary'"):
        augment.resize_with_map(tf.zeros([8, 8, 3]), tf.zeros([8, 8, 1]), 0.5, values="binary")


@pytest.mark.parametrize("size, crop", [((20, 30), 40), ((50, 70), 32), ((1000, 1600), 32)])
def test_fitting_in_the_graph_is_that_of_a_source(size, crop):
    """`base.Resized` rounds its images to 8 bits; the rest is the same."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    defocus = rng.random(size, np.float32)

    class One(Source):
        def __len__(self):
            return 1

        def name(self, i):
            return "one"

        def read(self, i):
            return image, defocus

    expected_image, expected_map = Resized(One(), crop, "scaled").read(0)
    dataset = tf.data.Dataset.from_tensors((image / np.float32(255), defocus[..., None])).map(
        lambda i, m: augment.fit_to_crop(i, m, crop, values="scaled")
    )
    ((fitted, fitted_map),) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(fitted_map[..., 0], expected_map)
    np.testing.assert_allclose(fitted * 255, expected_image, atol=0.5 + 1e-3)
