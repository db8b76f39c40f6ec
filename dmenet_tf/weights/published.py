"""The authors' published weights (.npz) and our models: one name map, reading and writing.

A published file holds B, S and D in arrays of float32 named like
`main_net/defocus_net/decoder/u3/c1/W_conv2d:0`; a convolution's kernel [h, w, in, out] is
`W_conv2d`, its bias `b_conv2d`; a batch normalisation has `beta`, `moving_mean`, `moving_variance`.
The authors' file is of width 1.0.

Files that we write may hold float16 and, in `dmenet_tf/about`, a JSON object with what must be
known of the weights (`load.py`); the authors' file holds neither.

The published network's map has its own unit, the encoding `released` of `data_gen.optics`:
sigma_px = max(0, (15 * defocus - 1) / 2). A file that we write of a network with another unit names
it in an array more, `dmenet_tf/encoding`; a file without it is `released`.
"""

import contextlib
import json
import re
import zipfile
import zlib

import numpy as np

from data_gen.io.atomic import write_atomic
from data_gen.optics import ENCODINGS
from dmenet_tf.networks.layers import scaled
from dmenet_tf.networks.shapes import variable_shapes

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
_OWN = "dmenet_tf/"  # what we add to a file; nothing of the authors' is called so
_ENCODING = f"{_OWN}encoding"
_ABOUT = f"{_OWN}about"
# Biases that tell the widths: of 64 and 512 channels at encoder width 1.0, 64 and 256 at decoder
# width 1.0.
_ENCODER_ENDS = tuple(
    f"main_net/defocus_net/encoder/{name}/b_conv2d:0" for name in ("conv1_1", "conv5_4")
)
_DECODER_ENDS = tuple(f"{_DECODER}/{name}/b_conv2d:0" for name in ("u0/c_init", "u3/c1"))


def published_names(model):
    """{published name: variable} for every variable of a model of B, S or D."""
    return {
        # "kernel" in Keras 3, "conv1_1/kernel:0" in Keras 2
        _published_name(
            model.name, layer.name, variable.name.split("/")[-1].split(":")[0]
        ): variable
        for layer in model.layers
        for variable in layer.weights
    }


def named_as_published(variables):
    """{layer: {variable: array}} of B -> {published name: array}."""
    return {
        _published_name("blur_estimation", layer, variable): array
        for layer, arrays in variables.items()
        for variable, array in arrays.items()
    }


def read_blur_estimation(path) -> dict[str, dict[str, np.ndarray]] | None:
    """{layer: {variable: array}} of B in a published .npz; None where they are no whole B.

    `load_published` says what is wrong with them.
    """
    prefix, _ = _MODELS["blur_estimation"]
    arrays = _read(path, lambda name: name.startswith(prefix))
    layers: dict[str, dict[str, np.ndarray]] = {}
    for layer, shapes in variable_shapes(*published_widths(path)).items():
        for variable, shape in shapes.items():
            array = arrays.pop(_published_name("blur_estimation", layer, variable), None)
            if array is None or array.shape != shape:
                return None
            layers.setdefault(layer, {})[variable] = array
    return None if arrays else layers


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
    arrays = _read(path, lambda name: not name.startswith((*absent, _OWN)))
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


def published_encoding(path) -> str:
    """Which encoding of `data_gen.optics` the map of a published file's network is in."""
    arrays = _read(path, lambda name: name == _ENCODING)
    encoding = str(arrays.get(_ENCODING, "released"))
    if encoding not in ENCODINGS:
        raise ValueError(
            f"the encoding of a map is one of {', '.join(ENCODINGS)}; received {encoding!r} in "
            f"{path}: was it written by a later version?"
        )
    return encoding


def published_about(path) -> dict:
    """What a file says about its weights; an empty dict where it says nothing."""
    arrays = _read(path, lambda name: name == _ABOUT)
    try:
        about = json.loads(str(arrays.get(_ABOUT, "{}")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{_ABOUT} must be a JSON object; received {path}: {error}") from None
    if not isinstance(about, dict):
        raise ValueError(f"{_ABOUT} must be a JSON object; received {path}: {about!r}")
    return about


def published_widths(path) -> tuple[float, float]:
    """Widths of a published file's encoder and decoder: 1.0 unless the arrays fit another."""
    arrays = _read(path, lambda name: name in _ENCODER_ENDS + _DECODER_ENDS)
    encoder = _width(arrays, _ENCODER_ENDS, 512, 1.0)
    # Rounded channels fit several widths: both have one where they can.
    decoder = _width(arrays, _DECODER_ENDS, 256, encoder)
    return encoder, decoder


def _width(arrays, ends, channels, expected) -> float:
    """The width that gives two biases their sizes, `expected` where it does or none does."""
    biases = [arrays.get(name) for name in ends]
    if any(bias is None or bias.ndim != 1 for bias in biases):
        return expected
    first, last = (bias.size for bias in biases)
    for width in (expected, last / channels):
        if width > 0 and (scaled(64, width), scaled(channels, width)) == (first, last):
            return width
    return expected


def _read(path, wanted) -> dict[str, np.ndarray]:
    """Arrays of an .npz by name, those for which `wanted(name)`."""
    with _open(path) as archive:
        return {name: archive[name] for name in archive.files if wanted(name)}


@contextlib.contextmanager
def _open(path):
    """An .npz that is open; ValueError naming the file for what is none, or is not whole."""
    rule = f"published weights must be a whole .npz of plain arrays; received {path}"
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{rule}: {error}") from error


def published_parts(path) -> set[str]:
    """Names of the models of which a file holds variables, such as `sharpness_calibration`."""
    with _open(path) as archive:
        names = archive.files
    return {
        model
        for model, (prefix, _) in _MODELS.items()
        if any(name.startswith(prefix) for name in names)
    }


def save_published(
    path,
    blur_estimation,
    discriminator=None,
    sharpness=None,
    *,
    encoding,
    about=None,
    dtype=np.float32,
):
    """Writes the models given under the published names; `path` appears only when complete.

    Args:
        encoding: what B's map means, a key of `data_gen.optics.ENCODINGS`; `released` gives
            exactly the authors' layout.
        about: dict of what is to be known of the weights (`published_about`).
        dtype: float16 halves the file, which is compressed then; it rounds kernels by 0.05 %.
            Biases and statistics, a thousandth of a file, stay float32: a variance may be large.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding is one of {', '.join(ENCODINGS)}; received {encoding!r}")
    models = [model for model in (blur_estimation, discriminator, sharpness) if model is not None]
    with np.errstate(over="ignore"):  # what overflows is refused below
        arrays = {
            name: np.asarray(v, dtype if len(v.shape) > 1 else np.float32)
            for name, v in _all_names(models).items()
        }
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError(f"weights must be finite as {np.dtype(dtype)}; received others for {path}")
    if encoding != "released":
        arrays[_ENCODING] = np.array(encoding)
    if about:
        arrays[_ABOUT] = np.array(json.dumps(about))
    save = np.savez_compressed if np.dtype(dtype) == np.float16 else np.savez

    def write(temporary):
        with temporary.open("wb") as file:
            save(file, **arrays)

    write_atomic(path, write)


def _all_names(models):
    return {name: variable for model in models for name, variable in published_names(model).items()}


def _published_name(model, layer, variable):
    short = layer.replace("conv", "c").replace("bn", "b")
    for ours, theirs in _MODELS[model][1]:
        if re.fullmatch(ours, short):
            return f"{re.sub(ours, theirs, short)}/{_VARIABLES.get(variable, variable)}:0"
    raise KeyError(f"no published name for layer {layer}")
