"""The authors' published weights (.npz) and our models: one name map, reading and writing.

A published file holds B, S and D in arrays of float32 named like
`main_net/defocus_net/decoder/u3/c1/W_conv2d:0`; a convolution's kernel [h, w, in, out] is
`W_conv2d`, its bias `b_conv2d`; a batch normalisation has `beta`, `moving_mean`, `moving_variance`.
It fits models of width 1.0.

The published network's map has its own unit: sigma_px = max(0, (15 * defocus - 1) / 2).
"""

import os
import re
import zipfile
from pathlib import Path

import numpy as np

_DECODER = "main_net/defocus_net/decoder"
# Model -> (its prefix in a published file, [(our layer, published layer)]); "conv" and "bn" in our
# names are shortened to the published "c" and "b" beforehand.
_MODELS = {
    "blur_estimation": (
        "main_net/defocus_net/",
        (
            (r"c(\d_\d)", r"main_net/defocus_net/encoder/conv\1"),
            (r"level0_([cb])1", rf"{_DECODER}/u0/\1_init"),
            (r"level(\d)_([cb]\d)", rf"{_DECODER}/u\1/\2"),
            (r"level(\d)_aux_([cb]\d)", rf"{_DECODER}/u\1_aux/\2"),
            (r"refine(\d)_([cb])(\d)", rf"{_DECODER}/u0/\2\1_\3"),
            (r"refine(\d)_shortcut_([cb])", rf"{_DECODER}/u0/\2_res\1"),
            (r"final_([cb]\d)", rf"{_DECODER}/uf/\1"),
        ),
    ),
    "sharpness_calibration": (
        "main_net/binary_net/",
        ((r"stage(\d)_([cb]\d)", r"main_net/binary_net/l\1/\2"),),
    ),
    "domain_discriminator": (
        "discriminator/",
        ((r"level(\d)_([cb]\d)", r"discriminator/feature/h\1/\2"),),
    ),
}
_VARIABLES = {"kernel": "W_conv2d", "bias": "b_conv2d"}


def published_names(model):
    """{published name: variable} for every variable of a model of B, S or D."""
    _, renames = _MODELS[model.name]
    names = {}
    for layer in model.layers:
        for variable in layer.weights:
            # "kernel" in Keras 3, "conv1_1/kernel:0" in Keras 2
            own = variable.name.split("/")[-1].split(":")[0]
            layer_name = _published_layer(layer.name, renames)
            names[f"{layer_name}/{_VARIABLES.get(own, own)}:0"] = variable
    return names


def load_published(path, blur_estimation, discriminator=None, sharpness=None):
    """Reads a published .npz into the models given; parts of models not given are left aside.

    Raises ValueError listing every variable that is missing, unknown or of another shape; nothing
    is assigned then.
    """
    models = [model for model in (blur_estimation, discriminator, sharpness) if model is not None]
    variables = _all_names(models)
    absent = tuple(
        prefix for name, (prefix, _) in _MODELS.items() if name not in {m.name for m in models}
    )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {n: archive[n] for n in archive.files if not n.startswith(absent)}
    except (zipfile.BadZipFile, ValueError, TypeError, EOFError) as error:
        raise ValueError(
            f"published weights must be an .npz of plain arrays; received {path}: {error}"
        ) from error
    problems = [f"missing: {name}" for name in variables if name not in arrays]
    problems += [f"unknown: {name}" for name in arrays if name not in variables]
    problems += [
        f"shape of {name}: {list(arrays[name].shape)} instead of {list(variable.shape)}"
        for name, variable in variables.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    if problems:
        raise ValueError(
            f"published weights must hold the {len(variables)} variables of the models (of width "
            f"1.0, for the authors' file); received {path}:\n  " + "\n  ".join(problems)
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def save_published(path, blur_estimation, discriminator=None, sharpness=None):
    """Writes the models given under the published names; `path` appears only when complete."""
    models = [model for model in (blur_estimation, discriminator, sharpness) if model is not None]
    arrays = {name: np.asarray(variable) for name, variable in _all_names(models).items()}
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _all_names(models):
    return {name: variable for model in models for name, variable in published_names(model).items()}


def _published_layer(name, renames):
    short = name.replace("conv", "c").replace("bn", "b")
    for ours, theirs in renames:
        if re.fullmatch(ours, short):
            return re.sub(ours, theirs, short)
    raise KeyError(f"no published name for layer {name}")
