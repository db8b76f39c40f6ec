"""The alternating step: who learns from what."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks.blur_estimation import encoder_layers
from dmenet_tf.training.trainer import AUXILIARY, loss_weights
from tests.support.training import LAMBDAS, TRAINING, make_batch, make_trainer

pytestmark = pytest.mark.process  # it trains


@pytest.fixture(autouse=True)
def float32_after():
    yield
    keras.mixed_precision.set_global_policy("float32")


def weights_of(model):
    return [np.array(v) for v in model.trainable_variables]


def moved(model, before):
    return any((np.array(v) != b).any() for v, b in zip(model.weights, before, strict=True))


def test_each_network_learns_from_its_own_loss():
    trainer = make_trainer()
    networks = trainer.networks
    before = {name: [np.array(v) for v in m.weights] for name, m in networks._asdict().items()}
    report = trainer.train_step(make_batch())
    for name in ("blur_estimation", "discriminator", "sharpness"):
        assert moved(getattr(networks, name), before[name]), name
    assert not moved(networks.content, before["content"])
    assert int(trainer.step) == 1
    named = set(report) - {"L_g", "L_d", "d_accuracy"}
    assert named == set(loss_weights(LAMBDAS)) - {"sharpness_aux"}
    total = sum(
        loss_weights(LAMBDAS)[n] * float(report[n]) for n in named if not n.startswith("d_")
    )
    assert float(report["L_g"]) == pytest.approx(total, rel=1e-5)
    assert 0 <= float(report["d_accuracy"]) <= 1


def test_moving_statistics_of_b_follow_the_synthetic_domain():
    trainer, alone = make_trainer(), make_trainer()
    batch = make_batch()
    trainer.train_step(batch)
    alone.networks.blur_estimation(batch["synthetic"], training=True)
    left, right = (t.networks.blur_estimation.non_trainable_variables for t in (trainer, alone))
    assert len(left) > 50
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_discriminator_learns_nothing_into_b():
    # With every lambda of L_g's adversary at 0 and D's at 1, B must move as without D at all.
    alone = make_trainer("B")
    watched = make_trainer("BD", replace(LAMBDAS, lambda_adversarial=0.0))
    for source, target in zip(
        alone.networks.blur_estimation.weights,
        watched.networks.blur_estimation.weights,
        strict=True,
    ):
        target.assign(source)
    batch = make_batch()
    alone.train_step(batch)
    watched.train_step(batch)
    for a, b in zip(
        weights_of(alone.networks.blur_estimation),
        weights_of(watched.networks.blur_estimation),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=2.5e-3 if a.ndim == 1 else 2e-5)


@pytest.mark.parametrize(
    "parts, extra",
    [
        ("B", set()),
        ("BD", {"adversarial", "d_synthetic", "d_real_labelled", "d_real_unlabelled"}),
        ("BDC", {"adversarial", "d_synthetic", "d_real_labelled", "d_real_unlabelled", "content"}),
    ],
)
def test_ablations(parts, extra):
    trainer = make_trainer(parts)
    report = trainer.train_step(make_batch())
    assert set(report) - {"L_g", "L_d", "d_accuracy"} == {"defocus", *AUXILIARY, *extra}


def test_without_auxiliary_heads():
    trainer = make_trainer("B", replace(LAMBDAS, lambda_aux=0.0))
    heads = [v for v in trainer.generator_variables if "_aux" in v.path]
    before = [np.array(v) for v in heads]
    report = trainer.train_step(make_batch())
    assert set(report) == {"defocus", "L_g"} and heads
    assert all((np.array(v) == b).all() for v, b in zip(heads, before, strict=True))


def test_pretraining_moves_b_alone():
    trainer = make_trainer()
    networks = trainer.networks
    before = {name: [np.array(v) for v in m.weights] for name, m in networks._asdict().items()}
    trainer.pretrain_step(make_batch())
    assert moved(networks.blur_estimation, before["blur_estimation"])
    for name in ("discriminator", "sharpness", "content"):
        assert not moved(getattr(networks, name), before[name]), name


def test_training_lowers_the_loss_and_batches_share_one_trace():
    trainer = make_trainer(training=replace(TRAINING, learning_rate=3e-3))
    batch = make_batch()
    first = float(trainer.train_step(batch)["defocus"])
    for _ in range(25):
        last = float(trainer.train_step(batch)["defocus"])
    assert last < 0.7 * first
    assert trainer.train_step.experimental_get_tracing_count() == 1


def test_learning_rate_falls_in_steps():
    # 3 steps an epoch, times 0.5 every 2 epochs: it falls after 6 steps.
    training = replace(TRAINING, decay=0.5, decay_epochs=2)
    trainer = make_trainer("B", training=training, steps_per_epoch=3)
    rates = []
    for _ in range(8):
        trainer.train_step(make_batch())
        rates.append(trainer.monitored()["learning_rate"])
    np.testing.assert_allclose(rates, [1e-3] * 5 + [5e-4] * 3, rtol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(precision):
    trainer = make_trainer(training=replace(TRAINING, precision=precision))
    assert trainer.networks.blur_estimation.get_layer("conv1_1").compute_dtype in precision
    batch = make_batch()
    reports = [trainer.train_step(batch) for _ in range(4)]
    assert all(np.isfinite(float(v)) for report in reports for v in report.values())
    assert all(v.dtype == "float32" for v in trainer.generator_variables)
    exact = make_trainer().train_step(batch)
    assert float(reports[0]["L_g"]) == pytest.approx(float(exact["L_g"]), rel=0.05)
    assert ("loss_scale" in trainer.monitored()) == (precision == "mixed_float16")


def test_a_float16_overflow_skips_the_update_and_lowers_the_scale():
    trainer = make_trainer("B", training=replace(TRAINING, precision="mixed_float16"))
    before = weights_of(trainer.networks.blur_estimation)
    scale = trainer.monitored()["loss_scale"]
    # The default scale, 2^15, times a gradient of 1e5 is beyond float16.
    batch = make_batch() | {"defocus": tf.fill([2, 32, 32, 1], 1e5)}
    trainer.train_step(batch)
    assert trainer.monitored()["loss_scale"] < scale
    after = weights_of(trainer.networks.blur_estimation)
    assert all((a == b).all() for a, b in zip(after, before, strict=True))


def test_statistics_of_photos_follow_labelled_photos_and_the_others_are_kept():
    trainer, alone = make_trainer(statistics="photos"), make_trainer()
    batch = make_batch()
    trainer.train_step(batch)
    with trainer.for_inference("photos"):
        photos = moving_statistics(trainer)
    with trainer.for_inference("synthetic"):
        synthetic = moving_statistics(trainer)
    # One batch normalised by itself moves them by a tenth, whatever D and S learn beside it.
    alone.networks.blur_estimation(batch["labelled"], training=True)
    for a, b in zip(photos, moving_statistics(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    alone = make_trainer()
    alone.networks.blur_estimation(batch["synthetic"], training=True)
    for a, b in zip(synthetic, moving_statistics(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert any((a != b).any() for a, b in zip(photos, synthetic, strict=True))


def moving_statistics(trainer):
    return [np.array(v) for v in trainer.networks.blur_estimation.non_trainable_variables]


@pytest.mark.parametrize("parts, domains", [("B", 0), ("BS", 1), ("BDS", 2)])
def test_b_sees_the_domains_that_a_loss_needs(parts, domains):
    trainer = make_trainer(parts, sharpness_network="monotone")
    report = trainer.train_step(make_batch())
    assert len(trainer.real) == domains
    assert ("sharpness" in report) == ("S" in parts) and ("L_d" in report) == ("D" in parts)


def test_a_frozen_encoder_stays_and_its_decoder_learns():
    trainer = make_trainer("BS", freeze_encoder=True, encoder_width=0.0625, decoder_width=0.125)
    model = trainer.networks.blur_estimation
    before = {layer.name: layer.get_weights() for layer in model.layers}
    trainer.train_step(make_batch())
    for name, same in (("conv1_1", True), ("conv5_4", True), ("level3_conv1", False)):
        now = model.get_layer(name).get_weights()
        assert all((a == b).all() for a, b in zip(now, before[name], strict=True)) == same, name
    assert model.get_layer("final_conv1").filters == 8  # 64 / 8
    assert len(encoder_layers(model)) == 16


def test_an_encoder_may_learn_more_slowly():
    def step_of_the_encoder(rate):
        trainer = make_trainer(training=replace(TRAINING, encoder_rate=rate))
        layer = encoder_layers(trainer.networks.blur_estimation)[0]
        decoder = trainer.networks.blur_estimation.get_layer("level3_conv1")
        before = np.array(layer.kernel), np.array(decoder.kernel)
        trainer.train_step(make_batch())
        return np.array(layer.kernel) - before[0], np.array(decoder.kernel) - before[1]

    (encoder, decoder), (slow, same) = step_of_the_encoder(1.0), step_of_the_encoder(0.25)
    # Adam's first step is the learning rate times the gradient's sign, whatever its size.
    np.testing.assert_allclose(np.median(abs(slow)), 0.25 * np.median(abs(encoder)), rtol=1e-2)
    np.testing.assert_allclose(np.median(abs(same)), np.median(abs(decoder)), rtol=1e-2)


def test_the_average_of_the_weights_follows_every_step():
    trainer = make_trainer("B", training=replace(TRAINING, average=0.9))
    kernel = trainer.networks.blur_estimation.get_layer("final_conv3").kernel
    start = np.array(kernel)
    trainer.train_step(make_batch())
    # Of step 0, a tenth of the start and nine tenths of what came of it.
    expected = 0.1 * start + 0.9 * np.array(kernel)
    with trainer.for_inference() as model:
        averaged = np.array(model.get_layer("final_conv3").kernel)
    np.testing.assert_allclose(averaged, expected, rtol=1e-4, atol=1e-7)
    assert (np.array(kernel) != averaged).any()


def test_labels_of_photos_reach_auxiliary_maps_if_asked():
    lambdas = replace(LAMBDAS, lambda_sharpness=0.0, lambda_sharpness_aux=0.5)
    trainer = make_trainer("BS", lambdas, sharpness_network="monotone")
    report = trainer.train_step(make_batch())
    expected = float(report["defocus"]) + 0.5 * float(report["sharpness_aux"])
    expected += sum(float(report[name]) for name in AUXILIARY)
    assert float(report["L_g"]) == pytest.approx(expected, rel=1e-5)
    # Logits around 4 * (0 + 2) for a map of 0.5 against half of the labels: see S.
    assert 1 < float(report["sharpness_aux"]) < 10
