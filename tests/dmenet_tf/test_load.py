"""Weights from runs and published files, the unit that they carry, and fine-tuning from them."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data_gen.optics import ENCODINGS
from dmenet_tf import config_file as configuration
from dmenet_tf.data import streams as datasets
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.presets import PRESETS
from dmenet_tf.training import run as run_module
from dmenet_tf.training.trainer import Trainer, build_networks
from dmenet_tf.weights import published
from dmenet_tf.weights.checkpoints import Checkpoints
from dmenet_tf.weights.load import (
    TrainedModel,
    load_weights,
    mean_of_weights,
    save_weights,
    start_from,
)
from dmenet_tf.weights.published import published_names, save_published

WIDTH = 0.03
TINY = PRESETS["tiny"].config
TINY = replace(
    TINY,
    network=replace(TINY.network, width=WIDTH),
    data=replace(TINY.data, validation_examples=1, procedural_scenes=4),
    training=replace(TINY.training, steps=1, learning_rate=1e-9),
)


def spread(model, seed=0):
    """Random moving statistics too, as a trained model has."""
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0, 0.01, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def b():
    return spread(build_blur_estimation(WIDTH))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of all four networks, and the networks."""
    folder = tmp_path_factory.mktemp("run")
    networks = build_networks(TINY.network)
    for seed, model in enumerate(networks):
        spread(model, seed)
    Checkpoints(folder, Trainer(networks, TINY.loss, TINY.training, 1), 1).save()
    configuration.save(TINY, folder / "config.json")
    return folder, networks


def same_weights(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_published_file_brings_its_unit(tmp_path, b, encoding):
    path = tmp_path / "weights.npz"
    save_published(path, b, encoding=encoding)
    with np.load(path) as archive:  # the authors' own layout has variables and nothing else
        added = set(archive.files) - set(published_names(b))
    assert added == (set() if encoding == "released" else {"dmenet_tf/encoding"})
    trained = load_weights(path)
    assert (trained.encoding, trained.origin) == (encoding, str(path))
    assert same_weights(trained.model, b)
    assert ("AGPL" in trained.licence) == (encoding == "released")


def test_a_run_and_a_file_of_the_same_weights_have_one_identity(tmp_path, run):
    folder, networks = run
    trained = load_weights(folder)
    assert trained.encoding == "paper" and trained.licence == ""
    assert same_weights(trained.model, networks.blur_estimation)
    identities = {}
    for encoding in ("paper", "released"):
        save_published(tmp_path / "a.npz", networks.blur_estimation, encoding=encoding)
        identities[encoding] = load_weights(tmp_path / "a.npz").identity
    assert trained.identity == identities["paper"] != identities["released"]
    other = spread(build_blur_estimation(WIDTH), 9)
    save_published(tmp_path / "b.npz", other, encoding="paper")
    assert load_weights(tmp_path / "b.npz").identity != trained.identity


def test_wrong_variables_are_listed(tmp_path, b):
    save_published(tmp_path / "a.npz", b, encoding="paper")
    arrays = dict(np.load(tmp_path / "a.npz"))
    decoder = "main_net/defocus_net/decoder"
    del arrays[f"{decoder}/uf/c3/b_conv2d:0"]
    arrays[f"{decoder}/uf/c4/b_conv2d:0"] = np.zeros(1)
    arrays[f"{decoder}/u3/b1/beta:0"] = np.zeros(5)
    arrays["optimizer/step"] = np.zeros(1)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match="bad.npz") as error:
        load_weights(tmp_path / "bad.npz")
    assert sorted(str(error.value).splitlines()[1:]) == [
        f"  missing: {decoder}/uf/c3/b_conv2d:0",
        f"  shape of {decoder}/u3/b1/beta:0: [5] instead of [8]",
        f"  unknown: {decoder}/uf/c4/b_conv2d:0",
        "  unknown: optimizer/step",
    ]


def test_what_is_no_weights_is_refused(tmp_path, b):
    whole = tmp_path / "whole.npz"
    save_published(whole, b, encoding="paper")
    data = whole.read_bytes()
    (tmp_path / "half.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("weights")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("half.npz", "empty.npz", "text.npz", "array.npy"):
        with pytest.raises(ValueError, match=f"must be a whole .npz .*received .*{name}"):
            load_weights(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        load_weights(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="a run's folder holds config.json"):
        load_weights(tmp_path)
    np.savez(tmp_path / "unit.npz", **{**np.load(whole), "dmenet_tf/encoding": "inches"})
    with pytest.raises(ValueError, match="encoding of a map is one of paper.*received 'inches'"):
        load_weights(tmp_path / "unit.npz")


def test_a_cut_checkpoint_of_a_run_is_refused(tmp_path, run):
    configuration.save(TINY, tmp_path / "config.json")
    (tmp_path / "checkpoints").mkdir()
    for path in (run[0] / "checkpoints").iterdir():
        data = path.read_bytes()
        if ".data" in path.name:
            data = data[: len(data) // 2]
        (tmp_path / "checkpoints" / path.name).write_bytes(data)
    with pytest.raises(ValueError, match="a run's checkpoint must be whole"):
        load_weights(tmp_path)


# --- fine-tuning -----------------------------------------------------------------------------


def test_networks_start_from_a_run_or_a_file_as_far_as_it_goes(tmp_path, run):
    folder, theirs = run
    save_published(
        tmp_path / "all.npz",
        theirs.blur_estimation,
        theirs.discriminator,
        theirs.sharpness,
        encoding="paper",
    )
    save_published(tmp_path / "b.npz", theirs.blur_estimation, encoding="released")
    for path, encoding, whole in (
        (folder, "paper", True),
        (tmp_path / "all.npz", "paper", True),
        (tmp_path / "b.npz", "released", False),
    ):
        ours = build_networks(TINY.network)
        assert start_from(path, ours) == encoding
        assert same_weights(ours.blur_estimation, theirs.blur_estimation)
        assert same_weights(ours.sharpness, theirs.sharpness) == whole
        assert same_weights(ours.discriminator, theirs.discriminator) == whole
    alone = build_networks(replace(TINY.network, parts="B"))
    start_from(folder, alone)
    assert same_weights(alone.blur_estimation, theirs.blur_estimation)


def test_another_width_is_refused_before_any_work(tmp_path, run, b):
    save_published(tmp_path / "b.npz", b, encoding="paper")
    for path, message in ((run[0], "network.width must be"), (tmp_path / "b.npz", "shape of")):
        network = replace(TINY.network, width=0.125, weights=str(path))
        with pytest.raises(ValueError, match=message):
            run_module.train(tmp_path / "new", replace(TINY, network=network))
        assert not (tmp_path / "new" / "config.json").exists()


def test_fine_tuning_keeps_the_unit_of_the_weights(tmp_path, b, monkeypatch):
    """Labels follow the network: sigma = 0 and 7 px are 1/15 and 1 in the authors' unit."""
    save_published(tmp_path / "theirs.npz", b, encoding="released")
    labels = []
    monkeypatch.setattr(
        datasets, "to_label", lambda d, e, f=datasets.to_label: labels.append(e) or f(d, e)
    )
    network = replace(TINY.network, parts="B", weights=str(tmp_path / "theirs.npz"))
    run = tmp_path / "run"
    assert run_module.train(run, replace(TINY, network=network))
    assert set(labels) == {"released"}
    trained = load_weights(run)
    assert trained.encoding == "released" and "AGPL" in trained.licence
    # One step of a learning rate of 1e-9 leaves the weights what they were.
    for ours, theirs in zip(trained.model.trainable_variables, b.trainable_variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
    # A resumed run holds all weights: the file that it started from is no longer needed.
    (tmp_path / "theirs.npz").unlink()
    saved = configuration.load(run / "config.json")
    assert run_module._build_networks(saved, resume=True)[0].network.label_encoding == "released"


@pytest.mark.parametrize("as_tensor", [False, True])
def test_labels_in_each_unit(as_tensor):
    defocus = np.float32([0, 0.5, 1])
    values = tf.constant(defocus) if as_tensor else defocus
    np.testing.assert_allclose(datasets.to_label(values, "paper"), defocus, atol=1e-7)
    # (2 * 3.5 + 1) / 15 = 8/15
    label = np.asarray(datasets.to_label(values, "released"))
    assert label.dtype == np.float32
    np.testing.assert_allclose(label, [1 / 15, 8 / 15, 1], atol=1e-7)
    back = ENCODINGS["released"].label_to_sigma(label)
    np.testing.assert_allclose(back, [0, 3.5, 7], atol=1e-5)


def test_the_width_of_a_file_is_told_from_its_encoder(tmp_path):
    for width in (WIDTH, 0.125):
        save_published(tmp_path / "w.npz", build_blur_estimation(width), encoding="paper")
        built = load_weights(tmp_path / "w.npz").model
        assert built.get_layer("conv5_4").filters == round(512 * width)
    np.savez(tmp_path / "none.npz", a=np.zeros(1))
    assert published.published_widths(tmp_path / "none.npz") == (1.0, 1.0)


def test_encoder_and_decoder_of_a_file_have_widths_of_their_own(tmp_path):
    for widths in ((0.125, 0.25), (0.25, 0.0625), (0.1, 0.1)):
        save_published(tmp_path / "w.npz", build_blur_estimation(*widths), encoding="paper")
        built = load_weights(tmp_path / "w.npz").model
        ends = [built.get_layer(name).filters for name in ("conv5_4", "level3_conv1")]
        assert ends == [round(512 * widths[0]), round(256 * widths[1])]


def test_saved_weights_tell_what_must_be_known(tmp_path, b):
    trained = TrainedModel(b, "paper", "runs/some", "0" * 12, "", 320, "photos")
    save_weights(tmp_path / "w.npz", trained, licence="research use")
    loaded = load_weights(tmp_path / "w.npz")
    assert (loaded.encoding, loaded.recommended_side, loaded.statistics, loaded.licence) == (
        "paper", 320, "photos", "research use",
    )  # fmt: skip
    for mine, read in zip(b.get_weights(), loaded.model.get_weights(), strict=True):
        # float16 has 11 bits: half a step is 2^-11 of the value, or 2^-25 among the smallest.
        np.testing.assert_allclose(read, mine, rtol=2**-11, atol=2**-25)
    plain = tmp_path / "plain.npz"
    save_published(plain, b, encoding="paper")
    # Half, and what the names of 200 arrays take.
    assert (tmp_path / "w.npz").stat().st_size < 0.7 * plain.stat().st_size
    assert load_weights(plain).recommended_side == 0


def test_statistics_beyond_float16_are_kept(tmp_path):
    model = build_blur_estimation(WIDTH)
    variance = model.get_layer("final_bn1").moving_variance
    variance.assign(np.full(variance.shape, 1.2345e5))
    save_weights(tmp_path / "w.npz", TrainedModel(model, "paper", "runs/some", "0" * 12))
    kept = load_weights(tmp_path / "w.npz").model.get_layer("final_bn1").moving_variance
    np.testing.assert_array_equal(kept, variance)


def test_weights_beyond_float16_are_refused(tmp_path):
    model = build_blur_estimation(WIDTH)
    kernel = model.get_layer("final_conv3").kernel
    kernel.assign(np.full(kernel.shape, 1e5))
    with pytest.raises(ValueError, match="finite as float16"):
        save_weights(tmp_path / "w.npz", TrainedModel(model, "paper", "runs/some", "0" * 12))
    assert not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize("about", ["{", "[1]"])
def test_what_a_file_says_of_itself_must_be_an_object(tmp_path, about):
    np.savez(tmp_path / "w.npz", **{"dmenet_tf/about": np.array(about)})
    with pytest.raises(ValueError, match="must be a JSON object; received .*w.npz"):
        published.published_about(tmp_path / "w.npz")


def test_the_mean_of_the_weights_of_two_models(b):
    other = spread(build_blur_estimation(WIDTH), seed=1)
    expected = [(x + y) / 2 for x, y in zip(b.get_weights(), other.get_weights(), strict=True)]
    pair = [TrainedModel(m, "paper", f"runs/{i}", str(i)) for i, m in enumerate((b, other))]
    mean = mean_of_weights(pair)
    for got, wanted in zip(mean.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-8)
    assert mean.origin == "mean of runs/0, runs/1" and mean.identity not in ("0", "1")
    wide = TrainedModel(build_blur_estimation(0.125), "paper", "runs/wide", "2")
    with pytest.raises(ValueError, match="same widths and encoding; received .*runs/wide"):
        mean_of_weights([pair[0], wide])
