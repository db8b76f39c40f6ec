"""One forward of B instead of two: the step against its two passes written out."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.training import losses
from dmenet_tf.training.trainer import AUXILIARY, REAL
from tests.support.training import LAMBDAS, make_batch, make_trainer

pytestmark = pytest.mark.process  # it trains


def two_separate_passes(trainer, batch):
    """What one step must equal, written out: B runs anew for each network's update."""
    loss_d = discriminator_pass(trainer, batch)
    return generator_pass(trainer, batch), loss_d


def passes_in_the_wrong_order(trainer, batch):
    """B learns from a D that has not been updated yet."""
    loss_g = generator_pass(trainer, batch)
    return loss_g, discriminator_pass(trainer, batch)


def discriminator_pass(trainer, batch):
    networks, lambdas = trainer.networks, trainer.weights
    estimate, discriminate = networks.blur_estimation, networks.discriminator
    outputs = {name: estimate(batch[name], training=True) for name in ("synthetic", *REAL)}
    with tf.GradientTape() as tape:
        terms = [
            losses.discriminator_loss(discriminate(outputs[n]["feature"], training=True), z)
            for n, z in (("synthetic", True), ("labelled", False), ("unlabelled", False))
        ]
        loss_d = lambdas.lambda_discriminator * (terms[0] + (terms[1] + terms[2]) / 2)
    variables = discriminate.trainable_variables
    keras_versions.apply(
        trainer.discriminator_optimizer, tape.gradient(loss_d, variables), variables
    )
    return float(loss_d)


def generator_pass(trainer, batch):
    networks, lambdas = trainer.networks, trainer.weights
    estimate, discriminate = networks.blur_estimation, networks.discriminator
    with tf.GradientTape() as tape:
        outputs = {name: estimate(batch[name], training=True) for name in ("synthetic", *REAL)}
        synthetic = outputs["synthetic"]
        loss_g = losses.defocus_loss(synthetic["defocus"], batch["defocus"])
        for name in AUXILIARY:
            loss_g += losses.auxiliary_loss(synthetic[name], batch["defocus"])
        phi = networks.content
        loss_g += lambdas.lambda_content * losses.content_loss(
            phi(synthetic["defocus"]), phi(batch["defocus"])
        )
        logits = networks.sharpness(outputs["labelled"]["defocus"], training=True)
        loss_g += lambdas.lambda_sharpness * losses.sharpness_loss(logits, batch["blurred"])
        for name in REAL:
            logits = discriminate(outputs[name]["feature"], training=True)
            loss_g += lambdas.lambda_adversarial / 2 * losses.adversarial_loss(logits)
    variables = trainer.generator_variables
    keras_versions.apply(trainer.generator_optimizer, tape.gradient(loss_g, variables), variables)
    return float(loss_g)


def updates(trainer, step, batches):
    """All kernels' updates by `step` on `batches`, {network: one vector}.

    Biases are left out: where batch normalisation follows, they have no gradient but rounding
    noise, which Adam turns into steps of the learning rate.
    """
    kernels = {
        name: [v for v in model.trainable_variables if len(v.shape) == 4]
        for name, model in trainer.networks._asdict().items()
        if name != "content"
    }
    before = {name: [np.array(v) for v in kernels[name]] for name in kernels}
    for batch in batches:
        step(trainer, batch)
    return {
        name: np.concatenate(
            [(np.array(v) - b).ravel() for v, b in zip(kernels[name], before[name], strict=True)]
        )
        for name in kernels
    }


def difference(updates, expected):
    norm = np.linalg.norm
    return {name: norm(updates[name] - v) / norm(v) for name, v in expected.items()}


def test_one_forward_gives_the_same_weights_as_two_passes():
    # A strong adversary, so that B would notice a D that was not updated before it.
    lambdas = replace(LAMBDAS, lambda_adversarial=1.0)
    batches = [make_batch(step) for step in range(2)]
    # Every sum of the step runs over the images too: in another order it rounds otherwise.
    reordered = [{key: images[::-1] for key, images in batch.items()} for batch in batches]

    def updated(step, batches):
        return updates(make_trainer(lambdas=lambdas), step, batches)

    ours = updated(lambda trainer, batch: trainer.train_step(batch), batches)
    expected = updated(two_separate_passes, batches)
    rounded = updated(two_separate_passes, reordered)
    wrong = updated(passes_in_the_wrong_order, batches)
    # Rounding as a share of the update, of the network that it changes most.
    rounding = max(difference(rounded, expected).values())
    assert 0 < rounding < 0.1
    assert max(difference(ours, expected).values()) < 8 * rounding
    # The bound is one that a D updated too late does not pass.
    assert difference(wrong, expected)["blur_estimation"] > 16 * rounding


def test_losses_are_those_of_two_separate_passes():
    ours, theirs, batch = make_trainer(), make_trainer(), make_batch()
    report = ours.train_step(batch)
    loss_g, loss_d = two_separate_passes(theirs, batch)
    assert float(report["L_g"]) == pytest.approx(loss_g, rel=1e-4)
    assert float(report["L_d"]) == pytest.approx(loss_d, rel=1e-4)
