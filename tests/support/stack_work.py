"""What a stack of TensorFlow and Keras does with runs and models: a program for its interpreter.

    python -m tests.support.stack_work make FOLDER
    python -m tests.support.stack_work take FOLDER OTHER

`make` trains FOLDER/run by the command line, resumes a copy of it, maps FOLDER/photo.png (which
must be there) and refocuses it, and exports the run to FOLDER/models. `take` continues both this
folder's run and that of OTHER, by one step on the same batch (FOLDER/NAME-steps, losses in
FOLDER/NAME.json) and that of OTHER by the command line too; and it maps the photo by both runs and
by both exported models (FOLDER/NAME.npz). NAME is that of the folder that a run comes from.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from dmenet_tf import predict, train
from dmenet_tf.applications.__main__ import main as apply
from serving import export

STEPS = 6  # of the preset `tiny`


def make(folder: Path) -> None:
    run, photo = str(folder / "run"), str(folder / "photo.png")
    done(train.main(["--preset", "tiny", "--run", run]))
    resumed(folder / "run", folder / "resumed")
    maps = str(folder / "maps")
    done(predict.main([photo, "--weights", run, "-o", maps, "--write", "npy"]))
    done(apply(["refocus", photo, "--weights", run, "-o", str(folder / "refocused")]))
    done(export.main(["--weights", run, "-o", str(folder / "models" / "dmenet")]))


def take(folder: Path, other: Path) -> None:
    for origin in (folder, other):
        losses = one_step(origin / "run", folder / f"{origin.name}-steps")
        (folder / f"{origin.name}.json").write_text(json.dumps(losses))
        maps = mapped(folder / "photo.png", origin)
        np.savez(folder / f"{origin.name}.npz", **maps)
    resumed(other / "run", folder / f"{other.name}-resumed")


def resumed(run: Path, copy: Path) -> None:
    shutil.copytree(run, copy)
    done(train.main(["--run", str(copy), "--resume", "--steps", str(STEPS + 1)]))


def one_step(run: Path, steps: Path) -> dict:
    """Restores, saves, trains by one step and saves again: the losses of that step."""
    from dmenet_tf import config_file
    from dmenet_tf.training.trainer import Trainer, build_networks
    from dmenet_tf.weights.checkpoints import Checkpoints
    from tests.support.training import make_batch

    config = config_file.load(run / config_file.FILE)
    networks = build_networks(config.network)
    trainer = Trainer(networks, config.loss, config.training, 1000, config.network.statistics)
    restored, here = (Checkpoints(folder, trainer, 9) for folder in (run, steps))
    assert restored.restore() == STEPS
    here.best_error.assign(restored.best_error)
    here.save()
    losses = {name: float(value) for name, value in trainer.train_step(make_batch()).items()}
    here.save()
    return losses


def mapped(photo: Path, origin: Path) -> dict:
    """{"run", "model": the map} of a photo by a run's weights and by its exported model."""
    import cv2

    import dmenet_tf
    from serving import contract
    from serving.saved_model.session import LoadedModel

    image = cv2.imread(str(photo))[None, ..., ::-1] / np.float32(255)
    (version,) = (origin / "models" / contract.MODEL_NAME).iterdir()
    with LoadedModel(version) as model:
        reply = model.signature(contract.SIGNATURE_IMAGES).run({contract.IMAGES: image})
    sigma_px = dmenet_tf.load(origin / "run")(str(photo)).sigma_px
    return {"run": sigma_px, "model": reply[contract.SIGMA_PX][0, ..., 0]}


def done(code: int) -> None:
    if code:
        sys.exit(code)


if __name__ == "__main__":
    {"make": make, "take": take}[sys.argv[1]](*map(Path, sys.argv[2:]))
    import keras
    import tensorflow as tf

    print(json.dumps({"tensorflow": tf.__version__, "keras": keras.__version__}))
