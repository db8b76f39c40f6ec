"""Saving, restoring, the best one, and a model rebuilt from a run's folder."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import config_file as configuration
from dmenet_tf.presets import PRESETS
from dmenet_tf.weights.checkpoints import Checkpoints, load_blur_estimation
from tests.support.training import TRAINING, make_batch, make_trainer

pytestmark = pytest.mark.process  # it trains


def state_of(trainer):
    parts = [m for m in trainer.networks if m is not None]
    optimizers = [trainer.generator_optimizer, trainer.discriminator_optimizer]
    return [np.array(v) for part in parts + optimizers for v in getattr(part, "weights", None)
            or part.variables]  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    trainer = make_trainer()
    trainer.train_step(make_batch())
    return trainer


def test_everything_that_training_needs_comes_back(tmp_path, trained):
    Checkpoints(tmp_path, trained, keep=2).save()
    fresh = make_trainer()
    for variable in fresh.networks.content.variables:  # as another draw of random weights
        variable.assign(tf.zeros(variable.shape))
    restored = Checkpoints(tmp_path, fresh, keep=2)
    assert restored.restore() == 1 == int(fresh.step)
    for a, b in zip(state_of(trained), state_of(fresh), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_without_a_network_is_refused_in_one_line(tmp_path):
    Checkpoints(tmp_path, make_trainer("BS"), keep=2).save()
    rule = "must be of the same networks and optimizer; received .*ckpt-0: [^\n]*$"
    with pytest.raises(ValueError, match=rule):
        Checkpoints(tmp_path, make_trainer("BDS"), keep=2).restore()


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_checkpoint_of_an_earlier_version_comes_back(tmp_path, average):
    """It held Keras's objects, and what is kept beside the weights as a whole.

    An average shares its variables with the networks: the file calls them by its name alone.
    """
    training = replace(TRAINING, average=average)
    trained = make_trainer(training=training)
    trained.train_step(make_batch())
    networks = trained.networks
    kept = {"average": trained.average} if average else {}
    tf.train.CheckpointManager(
        tf.train.Checkpoint(
            step=trained.step,
            best_error=tf.Variable(0.25),
            **networks._asdict(),
            generator_optimizer=trained.generator_optimizer,
            discriminator_optimizer=trained.discriminator_optimizer,
            other_statistics=trained.other_statistics,
            **kept,
        ),
        str(tmp_path / "checkpoints"),
        max_to_keep=1,
    ).save(checkpoint_number=trained.step)
    fresh = make_trainer(training=training)
    restored = Checkpoints(tmp_path, fresh, keep=2)
    assert restored.restore() == 1 and float(restored.best_error) == 0.25
    for a, b in zip(state_of(trained), state_of(fresh), strict=True):
        np.testing.assert_array_equal(a, b)
    if average:
        for a, b in zip(trained.average.values, fresh.average.values, strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(trained.other_statistics.means, fresh.other_statistics.means, strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_checkpoint_a_run_starts_at_zero(tmp_path, trained):
    assert Checkpoints(tmp_path, trained, keep=2).restore() == 0


def test_the_last_ones_and_the_best_one_are_kept(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path, trained, keep=2)
    before = int(trained.step)
    for step, error in [(10, 0.5), (20, 0.2), (30, 0.4), (40, float("nan"))]:
        trained.step.assign(step)
        assert checkpoints.save_if_best(error) == (step in (10, 20))
        checkpoints.save()
    trained.step.assign(before)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("*.index")) == [
        "ckpt-30.index",
        "ckpt-40.index",
    ]
    assert [p.name for p in (tmp_path / "best").glob("*.index")] == ["ckpt-20.index"]
    assert checkpoints.latest.endswith("ckpt-40")


def test_a_torn_checkpoint_leaves_the_one_before_it(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path, trained, keep=3)
    checkpoints.save()
    # What a kill in the middle of a save leaves: data under a temporary name.
    (tmp_path / "checkpoints" / "ckpt-9_temp").mkdir()
    (tmp_path / "checkpoints" / "ckpt-9_temp" / "part-00000-of-00001.data").write_bytes(b"half")
    again = Checkpoints(tmp_path, trained, keep=3)
    assert again.restore() == int(trained.step)


def test_b_is_rebuilt_from_the_runs_folder(tmp_path, trained):
    with pytest.raises(FileNotFoundError, match="a run's folder holds config.json; received"):
        load_blur_estimation(tmp_path)
    configuration.save(PRESETS["tiny"].config, tmp_path / configuration.FILE)
    with pytest.raises(FileNotFoundError, match="has none yet"):
        load_blur_estimation(tmp_path)
    Checkpoints(tmp_path, trained, keep=1).save()
    model, config = load_blur_estimation(tmp_path)
    assert config == PRESETS["tiny"].config
    image = make_batch()["synthetic"]
    np.testing.assert_array_equal(
        model(image, training=False)["defocus"],
        trained.networks.blur_estimation(image, training=False)["defocus"],
    )
