"""Protocols on maps of a few pixels whose figures are worked out by hand."""

import numpy as np
import pytest

from dmenet_tf.evaluation import baselines
from dmenet_tf.evaluation.protocols import CUHK, DBD, PROTOCOLS, RTF, SEGMENTS, SYNDOF
from dmenet_tf.evaluation.specification import ALWAYS_BLURRED

# Sigma 0, 3.5 and 7 px as each network would put it: sigma/7, and (2 sigma + 1)/15.
LABELS = {"paper": [[0.0, 0.5, 1.0]], "released": [[1 / 15, 8 / 15, 1.0]]}


@pytest.mark.parametrize("encoding", LABELS)
def test_every_encoding_is_compared_in_the_same_unit(encoding):
    label = np.array(LABELS[encoding], np.float32)
    for protocol in (SYNDOF, SEGMENTS):
        assert protocol.map(label, encoding, 1.0) == pytest.approx(
            np.array([[0, 0.5, 1]]), abs=1e-6
        )
    # rtf: 3.5 and 7 px are both above 3.275 and clipped.
    assert RTF.map(label, encoding, 1.0) == pytest.approx(np.array([[0, 1, 1]]))


def test_a_released_label_below_sharp_is_sharp():
    assert SYNDOF.map(np.float32([[0.01]]), "released", 1.0)[0, 0] == 0.0


def test_rtf_truth_is_clipped_and_divided_as_the_map_is():
    assert RTF.truth([[0.3, 3.275, 5.0]]) == pytest.approx(np.array([[0.3 / 3.275, 1, 1]]))
    assert SYNDOF.truth([[0.3]])[0, 0] == np.float32(0.3)


def test_regression_means_over_images_and_in_the_released_unit():
    protocol = SYNDOF
    # Image 1: errors 0.1, 0.3: MSE 0.05, MAE 0.2. Image 2 (one pixel): 0.5: MSE 0.25, MAE 0.5.
    measured = [
        protocol.measure([[0.1, 0.3]], [[0.0, 0.0]]),
        protocol.measure([[0.5]], [[1.0]]),
    ]
    summary = protocol.summarise(measured)
    assert summary.figures["mse"] == pytest.approx(0.15)
    assert summary.figures["mae"] == pytest.approx(0.35)
    # 0.1 of defocus is 0.7 px of sigma, which is 1.4 of c and 1.4/15 of the released label.
    assert summary.figures["mae_15"] == pytest.approx(0.35 * 1.4 / 1.5)
    assert summary.figures["mse_15"] == pytest.approx(0.15 * (1.4 / 1.5) ** 2)
    assert protocol.error(measured[1].figures) == 0.25


def test_the_oracle_constant_has_the_least_error():
    protocol = SEGMENTS
    truths = [np.array([[0.0, 0.2]]), np.array([[0.6, 0.6]])]
    ((title, method),) = protocol.oracle([truth.mean() for truth in truths]).items()
    assert "oracle" in title and "0.350" in title  # (0.1 + 0.6)/2
    constant = method(np.zeros((1, 2, 3), np.uint8))
    assert (constant == np.float32(0.35)).all()
    errors = [np.mean([np.mean((truth - c) ** 2) for truth in truths]) for c in (0.34, 0.35, 0.36)]
    assert errors[1] == min(errors)


def test_segments_also_tell_how_much_of_the_borders_is_kept():
    truth = np.repeat([[0.0] * 10 + [0.8] * 10], 3, axis=0)
    measured = [
        SEGMENTS.measure(truth / 2, truth),
        SEGMENTS.measure(np.zeros((3, 20)), np.zeros((3, 20))),
    ]
    assert measured[0].figures["contrast"] == pytest.approx(0.5)
    summary = SEGMENTS.summarise(measured)
    # No border in the second image: not defined there, and counted.
    assert summary.figures["contrast"] == pytest.approx(0.5) and summary.defined["contrast"] == 1
    assert summary.defined["mse"] == 2


def test_cuhk():
    protocol = CUHK
    # tau = 0.3 * 0.9 + 0.7 * 0.1 = 0.34: blurred are 0.5 and 0.9; 3 of 4 agree. AP: descending
    # 0.9 (1), 0.5 (1), 0.2 (1), 0.1 (0): 1.
    first = protocol.measure(np.array([[0.1, 0.5], [0.9, 0.2]]), np.array([[0, 1], [1, 1]]))
    # Blurred from 0.2 on: all four agree.
    assert first.figures == {"accuracy": 0.75, "ap": 1.0, "best_accuracy": 1.0}
    # tau = 0.3 * 0.8 + 0.7 * 0.2 = 0.38: blurred is 0.8 alone: 1 of 2. AP: 0.8 (0), 0.2 (1): 1/2.
    second = protocol.measure(np.array([[0.8, 0.2]]), np.array([[0, 1]]))
    # Whatever the threshold, at most one of the two agrees.
    assert second.figures == {"accuracy": 0.0, "ap": 0.5, "best_accuracy": 0.5}
    summary = protocol.summarise([first, second])
    assert summary.figures["accuracy"] == 0.375 and summary.figures["ap"] == 0.75
    assert summary.figures["best_accuracy"] == 0.75
    # Pooled: 0.9 (1), 0.8 (0), 0.5 (1), 0.2 (1, 1), 0.1 (0): 1/4 * 1 + 1/4 * 2/3 + 1/2 * 4/5.
    assert summary.figures["pooled_ap"] == pytest.approx(1 / 4 + 1 / 6 + 2 / 5)
    assert protocol.error(first.figures) == 0.25


def test_cuhks_alpha_moves_the_threshold():
    # alpha 1: tau is the maximum, nothing above it. alpha 0: the minimum, all but it.
    predicted, truth = np.array([[0.1, 0.5, 0.9]]), np.array([[0, 1, 1]])
    accuracy = [
        CUHK.variant(alpha).measure(predicted, truth).figures["accuracy"] for alpha in (0.0, 1.0)
    ]
    assert accuracy == pytest.approx([1.0, 1 / 3])


def test_dbd():
    protocol = DBD
    # Stretched: 0, 0.5, 1, 0.25. At 0.5: blurred 0.5, 1. Truth: 0.5, 1, 0.25: TP 2, FP 0, FN 1:
    # F = 1.3 * 2 / (1.3 * 2 + 0.3). MAE (0 + 0.5 + 0 + 0.75)/4. At 0.25 all four agree: max F 1.
    predicted = protocol.map(np.array([[0.2, 0.4], [0.6, 0.3]]), "paper", 1.0)
    assert predicted == pytest.approx(np.array([[0, 0.5], [1, 0.25]]), abs=1e-6)
    predicted = np.array([[0, 0.5], [1, 0.25]])
    first = protocol.measure(predicted, np.array([[0, 1], [1, 1]]))
    assert first.figures == pytest.approx({"f_fixed": 2.6 / 2.9, "f_max": 1.0, "mae": 1.25 / 4})
    # One threshold for all images. Second image: 0.9 (0), 0.6 (1): above 0.6 F = 0, below it
    # 1.3/(0.3 + 2). First image: up to 0.25 1; up to 0.5 2.6/2.9; up to 1 1.3/(0.9 + 1).
    second = protocol.measure(np.array([[0.9, 0.6]]), np.array([[0, 1]]))
    assert second.figures["f_max"] == pytest.approx(1.3 / 2.3)
    summary = protocol.summarise([first, second])
    assert summary.figures["f_max"] == pytest.approx((1.0 + 1.3 / 2.3) / 2)
    reverse = protocol.measure(np.array([[0.2, 0.1]]), np.array([[1, 0]]))
    # 1 in (0.1, 0.2], 1.3/(0.3 + 2) below, 0 above; with the first image the best is at 0.2.
    assert protocol.summarise([first, reverse]).figures["f_max"] == pytest.approx(1.0)
    late = protocol.measure(np.array([[0.9, 0.8]]), np.array([[1, 0]]))
    # 1 in (0.8, 0.9]; there the first image has 1.3/1.9. Below: 1 and 1.3/2.3.
    both = protocol.summarise([first, late]).figures["f_max"]
    assert both == pytest.approx(max(1 + 1.3 / 1.9, 1 + 1.3 / 2.3) / 2)
    assert both < (first.figures["f_max"] + late.figures["f_max"]) / 2


def test_how_the_map_enters_is_an_option():
    label = np.array([[0.2, 0.6]])
    assert DBD.variant(stretch=False).map(label, "paper", 1.0) == pytest.approx(label)
    assert CUHK.map(label, "released", 1.0) == pytest.approx(label)
    stretched = CUHK.variant(stretch=True).map(label, "paper", 1.0)
    assert stretched == pytest.approx(np.array([[0, 1]]))


def test_photos_without_blur_are_counted_apart():
    for protocol, key in ((CUHK, "ap"), (DBD, "f_fixed")):
        measured = [
            protocol.measure(np.array([[0.2, 0.9]]), np.array([[0, 0]])),
            protocol.measure(np.array([[0.2, 0.9]]), np.array([[0, 1]])),
        ]
        summary = protocol.summarise(measured)
        assert np.isnan(measured[0].figures[key]) and summary.defined[key] == 1
        assert summary.figures[key] == 1.0
        nothing = protocol.summarise(measured[:1])
        assert np.isnan(nothing.figures[key]) and nothing.curve is None
        assert {f.key for f in protocol.figures} <= nothing.figures.keys()


def test_always_blurred_means_what_it_says():
    truth = np.array([[1, 1, 1, 0]])
    for protocol, key in ((CUHK, "accuracy"), (DBD, "mae")):
        constant = protocol.baselines[ALWAYS_BLURRED](np.zeros((1, 4, 3), np.uint8))
        figures = protocol.measure(constant, truth).figures
        assert figures[key] == pytest.approx({"accuracy": 0.75, "mae": 0.25}[key])


def test_every_protocol_has_the_baselines_and_says_what_it_does():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for protocol in PROTOCOLS.values():
        expected = {ALWAYS_BLURRED, baselines.LOG_LAPLACIAN}
        expected |= {baselines.LAPLACIAN} if protocol.decide else set()
        assert set(protocol.baselines) == expected
        for method in protocol.baselines.values():
            predicted = method(image)
            assert predicted.shape == (16, 16) and predicted.dtype == np.float32
            assert predicted.min() >= 0 and predicted.max() <= 1
        assert protocol.rules and protocol.figures


def test_a_label_of_a_reduced_photo_is_in_pixels_of_the_photo():
    # The network says 0.9 px of a photo reduced to a third: 2.7 px of the photo.
    label = np.float32([[0.9 / 7]])
    assert SYNDOF.map(label, "paper", 1 / 3)[0, 0] == pytest.approx(2.7 / 7)
    assert RTF.map(label, "paper", 1 / 3)[0, 0] == pytest.approx(2.7 / 3.275)
    # Where pixels are only ranked, the network's own output is compared.
    assert CUHK.map(label, "paper", 1 / 3) == pytest.approx(label)


def test_every_figure_of_an_image_and_of_the_table_is_measured():
    truth = np.float32([[0, 1], [1, 1]])
    for protocol in PROTOCOLS.values():
        measured = protocol.measure(np.float32([[0.1, 0.5], [0.9, 0.2]]), truth)
        assert {f.key for f in protocol.figures if f.of_image} == measured.figures.keys()
        summary = protocol.summarise([measured, measured])
        assert {f.key for f in protocol.figures} == summary.figures.keys()
        assert np.isfinite(protocol.error(measured.figures))
