"""What holds for the metrics of any map (Hypothesis)."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dmenet_tf import metrics

# Values in 256 steps: powers of two of them are exact, and ties occur.
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=8)
STEPS = st.integers(0, 255).map(lambda step: step / 256)


def maps(shape):
    return arrays(np.float64, shape, elements=STEPS)


@st.composite
def pairs_of_maps(draw):
    shape = draw(SHAPES)
    return draw(maps(shape)), draw(maps(shape))


@st.composite
def maps_with_masks(draw):
    """(map, mask) with at least one blurred pixel."""
    shape = draw(SHAPES)
    mask = draw(arrays(bool, shape))
    assume(mask.any())
    return draw(maps(shape)), mask


@given(pairs_of_maps())
def test_errors_are_distances(pair):
    a, b = pair
    mse, mae = metrics.mean_squared_error(a, b), metrics.mean_absolute_error(a, b)
    assert 0 <= mse <= mae <= 1  # as |difference| is at most 1
    assert mae**2 <= mse + 1e-15  # Jensen's inequality
    assert (metrics.mean_squared_error(b, a), metrics.mean_absolute_error(b, a)) == (mse, mae)
    assert metrics.mean_squared_error(a, a) == metrics.mean_absolute_error(a, a) == 0
    assert metrics.mean_squared_error(a / 2, b / 2) == pytest.approx(mse / 4, rel=1e-12)
    assert metrics.mean_absolute_error(a.T, b.T) == pytest.approx(mae, rel=1e-12)


@given(maps_with_masks(), st.integers(0, 3), st.integers(-8, 8))
def test_detection_depends_on_the_order_of_the_pixels_alone(pair, power, shift):
    scores, mask = pair
    # Strictly growing and exact in floats: no two values become one.
    rescaled = scores * 2.0**power + shift / 8
    curved = scores**3
    for metric in (metrics.average_precision, metrics.best_accuracy):
        value = metric(scores, mask)
        assert 0 < value <= 1
        assert metric(rescaled, mask) == metric(curved, mask) == value
        assert metric(scores.T, mask.T) == value
        assert metric(mask.astype(float), mask) == 1.0  # the truth itself
    # The paper's threshold lies between a map's extremes: no scale and no offset changes it.
    accuracy = metrics.blur_accuracy(scores, mask)
    assert metrics.blur_accuracy(scores * 2.0**power, mask) == accuracy


@given(maps_with_masks(), st.floats(0, 1))
def test_no_threshold_beats_the_best_one(pair, alpha):
    scores, mask = pair
    best = metrics.best_accuracy(scores, mask)
    share = mask.mean()
    assert best >= max(share, 1 - share) - 1e-12
    assert best >= metrics.blur_accuracy(scores, mask, alpha) - 1e-12
    assert best >= np.mean((scores >= alpha) == mask) - 1e-12
    # Turned round, the same thresholds are there, but for the one that would split a tie.
    assert metrics.best_accuracy(-scores, ~mask) == pytest.approx(best)


@given(maps_with_masks())
def test_a_constant_map_has_the_precision_of_chance(pair):
    _, mask = pair
    flat = np.full(mask.shape, 0.5)
    assert metrics.average_precision(flat, mask) == pytest.approx(mask.mean())
    assert metrics.best_accuracy(flat, mask) == pytest.approx(max(mask.mean(), 1 - mask.mean()))


@given(maps_with_masks())
def test_counts_fall_with_the_threshold_and_fixed_ones_agree_with_exact_ones(pair):
    scores, mask = pair
    counts = metrics.threshold_counts(scores, mask, 256)
    for these in (counts, metrics.distinct_counts(scores, mask)):
        assert (np.diff(these.called) <= 0).all() and (np.diff(these.hits) <= 0).all()
        assert these.called[0] == mask.size and these.hits[0] == these.blurred == mask.sum()
        assert (these.hits <= these.called).all()
        precision, recall = metrics.precision_recall(these)
        assert ((precision >= 0) & (precision <= 1) & (recall >= 0) & (recall <= 1)).all()
    # The scores are in steps of 1/256: at these thresholds nothing is rounded.
    ap = metrics.average_precision_of_counts(counts)
    assert ap == pytest.approx(metrics.average_precision(scores, mask), rel=1e-12)
    assert metrics.best_accuracy_of_counts(counts) == metrics.best_accuracy(scores, mask)
    curve = metrics.f_beta_curve(counts)
    assert ((curve >= 0) & (curve <= 1 + 1e-15)).all()  # 1.3 * 3 / (0.3 * 3 + 3) rounds
    assert curve[128] == pytest.approx(metrics.f_beta(scores >= 0.5, mask), rel=1e-12)


@given(maps_with_masks(), st.floats(0.1, 4))
def test_f_beta_is_a_mean_of_precision_and_recall(pair, beta_squared):
    scores, mask = pair
    called = scores >= 0.5
    value = metrics.f_beta(called, mask, beta_squared)
    hits = (called & mask).sum()
    precision, recall = hits / max(called.sum(), 1), hits / mask.sum()
    assert min(precision, recall) - 1e-12 <= value <= max(precision, recall) + 1e-12
    # F of the roles exchanged weighs precision as recall was weighed.
    if called.any():
        exchanged = metrics.f_beta(mask, called, 1 / beta_squared)
        assert exchanged == pytest.approx(value, rel=1e-9)


@given(pairs_of_maps(), st.integers(1, 3))
def test_contrast_is_linear_in_the_prediction(pair, distance_px):
    predicted, truth = pair
    kept = metrics.contrast_kept(predicted, truth, distance_px)
    assume(not np.isnan(kept))
    assert metrics.contrast_kept(truth, truth, distance_px) == pytest.approx(1)
    assert metrics.contrast_kept(predicted / 2 + 0.25, truth, distance_px) == pytest.approx(
        kept / 2
    )
    assert metrics.contrast_kept(1 - predicted, truth, distance_px) == pytest.approx(-kept)
    assert metrics.contrast_kept(predicted.T, truth.T, distance_px) == pytest.approx(kept)


@given(st.lists(SHAPES.flatmap(maps), min_size=1, max_size=4))
def test_no_constant_beats_the_best_one(maps):
    best = metrics.best_constant(maps)
    pixels = np.concatenate([values.ravel() for values in maps])
    assert pixels.min() - 1e-12 <= best <= pixels.max() + 1e-12
    for other in (0.0, 0.5, 1.0, float(np.median(pixels))):
        assert metrics.best_constant_mse(maps) <= np.mean((pixels - other) ** 2) + 1e-12


@given(SHAPES.flatmap(maps))
def test_stretching_keeps_the_order_and_reaches_both_ends(values):
    stretched = metrics.min_max(values)
    if values.min() == values.max():
        assert (stretched == values).all()
        return
    assert (stretched.min(), stretched.max()) == (0, 1)
    assert (np.argsort(stretched, axis=None) == np.argsort(values, axis=None)).all()
    assert metrics.min_max(stretched) == pytest.approx(stretched)
