"""Publishing a model for servers: written, compared with the Keras model, then renamed.

    <version>/saved_model.pb           the graph with its weights (`graph.py`)
    <version>/variables/               empty; the folder is part of the format
    <version>/assets.extra/dmenet.json           the model's description: units, limits, figures
    <version>/assets.extra/LICENCE.txt           only if the weights have terms of their own
    <version>/assets.extra/tf_serving_warmup_requests    replayed by servers before they serve

A server that polls the folder never sees an incomplete model: it is written under a name that
servers ignore, loaded as the C++ server does, and renamed once its outputs equal the Keras model's
(`verification.py`).
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_gen.environment import quiet_native_stderr
from data_gen.io.locks import FolderLock
from dmenet_tf.keras_versions import path_of
from dmenet_tf.weights.load import TrainedModel
from serving import contract
from serving.exporting import verification
from serving.exporting.checks import PublishError, check_side, check_version
from serving.exporting.description import model_fields
from serving.exporting.graph import ServedModel
from serving.saved_model.warmup import write_warmup

_UNFINISHED = ".exporting-"  # no number, so that servers ignore it
WARMUP_SIDES_PX = (64, 48)


def publish(
    trained: TrainedModel,
    out,
    version: int | None = None,
    recommended_side: int | None = None,
    precision: str = "float32",
) -> Path:
    """Publishes a model as `out`/`version`, and returns that folder.

    Args:
        trained: the model.
        out: the folder of all versions; created if missing.
        version: a new number above 0; None for one above the highest.
        recommended_side: the longer side in pixels to which photos are best reduced for this
            model, 0 for full size; None for what the model itself recommends.
        precision: what the network computes in, one of `architecture.INFERENCE_PRECISIONS`.

    Raises ValueError for a version that exists, `PublishError` if the outputs of the written model
    are not the Keras model's, OSError if it cannot be written. Nothing is published then.
    """
    check_version(version)
    check_side(recommended_side)
    _check_finite(trained.model)
    fields = model_fields(trained, recommended_side)
    out = Path(out)
    with FolderLock(out):
        for path in out.glob(f"{_UNFINISHED}*"):  # left by killed exporters: we hold the lock
            shutil.rmtree(path, ignore_errors=True)
        version = _free_version(out) if version is None else version
        final = out / str(version)
        if final.exists():
            raise ValueError(
                f"{final}: a version must be published once, and servers may hold this one. "
                f"Received --version {version}; the next free one is {_free_version(out)}"
            )
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=out))
        try:
            with quiet_native_stderr():
                _write(trained, fields, folder, precision)
                figures = verification.differences(folder, trained)
                allowed = verification.rounding(trained, precision)
            _judge(figures, allowed)
            _write_metadata(trained, fields | {"precision": precision}, figures, folder)
            _bring_to_disk(folder)
            folder.rename(final)
            _sync(out)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return final


def _check_finite(model) -> None:
    for variable in model.variables:
        bad = np.count_nonzero(~np.isfinite(np.asarray(variable)))
        if bad:
            name = path_of(variable)
            raise PublishError(
                f"weights must be finite; received {bad} NaN or infinite ones in {name}. "
                "Nothing was published"
            )


def _judge(differences: dict[str, float], allowed: dict[str, float]) -> None:
    """Raises PublishError if a difference is larger than allowed, or NaN."""
    beyond = {name: value for name, value in differences.items() if not value <= allowed[name]}
    if beyond:
        raise PublishError(
            f"the exported model must answer as the Keras model does, to {allowed}; received "
            f"differences of {beyond}. Nothing was published"
        )


def _free_version(out: Path) -> int:
    return 1 + max((int(p.name) for p in out.iterdir() if p.name.isdecimal()), default=0)


def _write(trained, fields: dict, folder: Path, precision: str) -> None:
    served = ServedModel(trained, json.dumps(fields), precision)
    # Saving the Keras model would write its variables under names that the session loader, the C++
    # server's, does not find. This module has no variables.
    tf.saved_model.save(served, str(folder), signatures=served.endpoints)
    (folder / contract.METADATA_FILE).parent.mkdir()
    write_warmup(folder / contract.WARMUP_FILE, WARMUP_SIDES_PX)


def _write_metadata(trained, fields: dict, figures: dict, folder: Path) -> None:
    about = {
        "name": contract.MODEL_NAME,
        **fields,
        "weights": Path(trained.origin).name,
        "tensors": {
            "inputs": contract.INPUTS,
            "outputs": contract.OUTPUTS,
        },
        "labels": {
            contract.DEFOCUS: "the network's own label, 0 .. 1, in the unit that `encoding` names",
            contract.SIGMA_PX: f"pixels, 0 = sharp .. {contract.SIGMA_MAX_PX:g}",
            contract.SIGMA_PNG: f"16 bit, {contract.PNG_MAX} = {contract.SIGMA_MAX_PX:g} px",
            contract.SHARE_SHARP: f"of pixels with sigma below {contract.SHARP_BELOW_PX:g} px",
        },
        "limits": {
            "pixels": contract.MAX_PIXELS,
            "side_px": contract.MAX_SIDE_PX,
        },
        "verification": figures,
        "tensorflow": tf.__version__,
    }
    path = folder / contract.METADATA_FILE
    path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    if trained.licence:
        path = folder / contract.LICENCE_FILE
        path.write_text(trained.licence + "\n", encoding="utf-8")


def _bring_to_disk(folder: Path) -> None:
    """Syncs all files to disk, readable for a server that runs as another user."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
