"""Trained weights of B, from wherever they come, with what their map means.

One path names them everywhere (`--weights PATH`):

| path | encoding of its map |
| --- | --- |
| a run's folder | the one it was trained in, from its configuration |
| an .npz of the published layout | `released`, the authors' own, unless the file names another |

The encodings are `data_gen.optics.ENCODINGS`: `paper` means sigma_px = 7 * defocus, `released`
sigma_px = max(0, (15 * defocus - 1) / 2). A map without its encoding is a number without a unit,
so the two travel together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.folding import FoldedBlurEstimation, fold, fold_variables
from dmenet_tf.networks.layers import to_be_loaded
from dmenet_tf.weights.checkpoints import BEST, load_blur_estimation, restore_networks
from dmenet_tf.weights.published import (
    load_published,
    named_as_published,
    published_about,
    published_encoding,
    published_names,
    published_parts,
    published_widths,
    read_blur_estimation,
    save_published,
)

AUTHORS_TERMS = (
    "weights of the layout and in the unit that the authors of DMENet published (CVPR 2019); "
    "theirs come with code under the AGPL, and their terms apply"
)
IDENTITY_LENGTH = 12  # hexadecimal digits: 48 bits tell apart all the models one will ever have


@dataclass(frozen=True)
class TrainedModel:
    """B with its weights, and what must be known about its map."""

    model: keras.Model | FoldedBlurEstimation
    """image [B, H, W, 3] in [0, 1] -> a dict with `defocus` [B, H, W, 1], the network's label; of
    `load_for_inference` the label alone."""
    encoding: str
    """Key of `data_gen.optics.ENCODINGS`: how the label turns into sigma in pixels."""
    origin: str
    """The path that the weights were read from."""
    identity: str
    """Short hash of B's weights and encoding: equal for equal maps, wherever they are stored."""
    licence: str = ""
    """Terms to keep in mind, where they are not those of your own training."""
    recommended_side: int = 0
    """Longer side in pixels at which the model should see a photo; 0: the photo's own size."""
    statistics: str = ""
    """Domain whose moving statistics it normalises by, `synthetic` or `photos`; empty: unknown."""


def load_weights(path, which: str = BEST) -> TrainedModel:
    """B from a run's folder or an .npz of the published layout.

    `which`: of a run, its `best` checkpoint or the last of its `checkpoints`.
    Raises FileNotFoundError where there is nothing, and ValueError where the file is no whole
    checkpoint; one of other variables is an error that lists every missing, unknown and misshapen
    one.
    """
    path = Path(path)
    if path.is_dir():
        model, config = load_blur_estimation(path, which)
        network = config.network
        encoding = network.label_encoding
        tuned = bool(network.weights) and encoding == "released"
        licence = AUTHORS_TERMS if tuned else ""
        more = network.recommended_side, network.statistics
    elif path.is_file():
        with to_be_loaded():
            model = build_blur_estimation(*published_widths(path))
        load_published(path, model)
        encoding, licence, *more = _said_by(path)
    else:
        raise _missing(path)
    identity = _identity(published_names(model), encoding)
    return TrainedModel(model, encoding, str(path), identity, licence, *more)


def load_for_inference(
    weights: str | Path | TrainedModel, precision: str = "float32"
) -> TrainedModel:
    """B's inference graph as the `model`, of `load_weights`' paths, or of a loaded model.

    precision: what the graph computes in, one of `architecture.INFERENCE_PRECISIONS`.
    Of an .npz no Keras model is built, which takes longer than to read the weights. Raises as
    `load_weights`.
    """
    if not isinstance(weights, TrainedModel) and Path(weights).is_file():
        variables = read_blur_estimation(weights)
        if variables is not None:
            encoding, licence, *more = _said_by(weights)
            with ThreadPoolExecutor(1) as thread:  # hashing takes a core, as folding does
                identity = thread.submit(_identity, named_as_published(variables), encoding)
                network = fold_variables(variables, precision)
            return TrainedModel(network, encoding, str(weights), identity.result(), licence, *more)
    trained = weights if isinstance(weights, TrainedModel) else load_weights(weights)
    return replace(trained, model=fold(trained.model, precision))


def _said_by(path) -> tuple[str, str, int, str]:
    """Encoding, licence, recommended side and statistics of an .npz of the published layout."""
    encoding, about = published_encoding(path), published_about(path)
    licence = about.get("licence", AUTHORS_TERMS if encoding == "released" else "")
    return encoding, licence, int(about.get("recommended_side", 0)), about.get("statistics", "")


def save_weights(path, trained: TrainedModel, licence: str = "") -> None:
    """Writes B as one compressed .npz of float16, with all that `load_weights` tells of it.

    `licence`: terms to travel with the file; empty: those that `trained` has.
    Raises ValueError for a weight that float16 cannot hold.
    """
    about = {
        "recommended_side": trained.recommended_side,
        "statistics": trained.statistics,
        "licence": licence or trained.licence,
    }
    save_published(path, trained.model, encoding=trained.encoding, about=about, dtype=np.float16)


def mean_of_weights(models: Sequence[TrainedModel]) -> TrainedModel:
    """One model with the mean of the weights and moving statistics of several.

    Of runs that started from one another's weights the mean is often better than each (Izmailov et
    al., 2018); of runs from different random weights it is good for nothing. All else is the last
    one's, whose network receives the mean.
    Raises ValueError where the networks or the units of their maps differ.
    """
    last = models[-1]
    sets = [trained.model.get_weights() for trained in models]
    shapes = {tuple(weight.shape for weight in weights) for weights in sets}
    if len(shapes) > 1 or len({trained.encoding for trained in models}) > 1:
        raise ValueError(
            "a mean needs models of the same widths and encoding; received "
            + ", ".join(f"{trained.origin} ({trained.encoding})" for trained in models)
        )
    last.model.set_weights([np.mean(same, axis=0) for same in zip(*sets, strict=True)])
    origin = "mean of " + ", ".join(trained.origin for trained in models)
    return replace(with_model(last, last.model), origin=origin)


def calibrated(trained: TrainedModel, scale: float, shift: float) -> TrainedModel:
    """The same, its map's logits times `scale` (above 0) plus `shift`: in the same order.

    How strong a blur the labels say is what training on photos, whose labels say only where it is,
    leaves loose; two numbers from held-out images set it right.
    """
    last = trained.model.get_layer("final_conv3")
    kernel, bias = last.get_weights()
    last.set_weights([kernel * scale, bias * scale + shift])
    origin = f"{trained.origin}, logits times {scale:g} plus {shift:g}"
    return replace(with_model(trained, trained.model), origin=origin)


def with_model(trained: TrainedModel, model: keras.Model) -> TrainedModel:
    """The same with other weights: all that is said of them stays but their identity."""
    identity = _identity(published_names(model), trained.encoding)
    return replace(trained, model=model, identity=identity)


def start_from(path, networks) -> str:
    """Starts `networks` (`trainer.Networks`) from weights, for fine-tuning.

    B must be there; S and D start from them where the file or run has them. Returns the encoding
    of B's map. Raises as `load_weights`; nothing is assigned then.
    """
    path = Path(path)
    if path.is_dir():
        return restore_networks(path, networks).network.label_encoding
    if not path.is_file():
        raise _missing(path)
    encoding, held = published_encoding(path), published_parts(path)
    others = [
        model if model is not None and model.name in held else None
        for model in (networks.discriminator, networks.sharpness)
    ]
    load_published(path, networks.blur_estimation, *others)
    return encoding


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"weights are a run's folder or an .npz of the published layout; received {path}, and "
        "there is no such file or folder"
    )


def _identity(variables: Mapping, encoding: str) -> str:
    """variables: {published name: array or variable} of B."""
    digest = hashlib.blake2b(encoding.encode())
    for name, variable in sorted(variables.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(variable, np.float32).tobytes())
    return digest.hexdigest()[:IDENTITY_LENGTH]
