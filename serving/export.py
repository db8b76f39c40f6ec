"""A trained B as a SavedModel for TensorFlow Serving: checked first, then published.

    python -m serving.export --checkpoint runs/demo --out models/dmenet

Writes `models/dmenet/<version>/`, the next free version. A server that watches the folder never
sees half a model: it is written under a name that servers pass over, loaded anew as the C++ server
does and compared with the Keras model (`verification.py`), and only then renamed.

    <version>/saved_model.pb           the graph with its weights (`graph.py`)
    <version>/variables/               none; the folder is part of the form
    <version>/assets.extra/dmenet.json           what the model is: units, labels, limits, figures
    <version>/assets.extra/LICENCE.txt           where the weights have terms of their own
    <version>/assets.extra/tf_serving_warmup_requests    run by the server before it serves
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from data_gen.generation.store import Lock
from data_gen.installation import not_installed
from dmenet_tf import environment
from dmenet_tf.console import Parser, quiet_native_stderr
from serving import contract

# TensorFlow takes seconds to import: modules that need it are imported where they are used.

_UNFINISHED = ".exporting-"  # no number, so that servers pass over it
_LARGEST_VERSION = 2**63 - 1
WARMUP_SIDES_PX = (64, 48)

EPILOG = """\
example:
  python -m serving.export --checkpoint runs/demo --out models/dmenet
  python -m serving.server --models models
"""


class PublishError(ValueError):
    """Why nothing was published; the message states the rule."""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m serving.export",
        usage="%(prog)s --checkpoint PATH --out models/dmenet [options]",
        description="Writes a SavedModel that TensorFlow Serving takes as it is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="PATH", help="a run's folder, or DMENet_BDCS.npz")
    add("--out", type=Path, required=True, help="the model's folder; its name is the model's")
    add("--version", type=int, metavar="N", help="default: one above the highest that is there")
    add("--last", action="store_true", help="a run's last checkpoint instead of its best")
    return parser


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    environment.prepare()
    try:
        options = build_parser().parse_args(argv)
        _check_version(options.version)
        if not Path(options.checkpoint).exists():
            raise FileNotFoundError(
                f"--checkpoint must be a run's folder or an .npz; there is no {options.checkpoint} "
                "(python -m dmenet_tf.train --preset demo makes runs/demo)"
            )
        with quiet_native_stderr():
            from dmenet_tf.training.checkpoints import BEST, LATEST
            from dmenet_tf.weights.load import load_weights
        trained = load_weights(options.checkpoint, LATEST if options.last else BEST)
        folder = export(trained, options.out, options.version)
    except ImportError as error:
        print(f"error: {not_installed('`dmenet export`', error, 'serving')}", file=sys.stderr)
        return 1
    except (OSError, ValueError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was published", file=sys.stderr)
        return 130
    _report(folder, options.out)
    return 0


def _report(folder: Path, out: Path) -> None:
    about = json.loads((folder / contract.METADATA_FILE).read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"published {folder} ({size / 1e6:.1f} MB): model {about['model']}, {about['encoding']}")
    print(f"loaded as a server does and compared with Keras: {about['verification']}")
    if about["licence"]:
        print(f"note: {about['licence']}", file=sys.stderr)
    print(f"next: python -m serving.server --models {out.parent}")
    if out.name != contract.MODEL_NAME:
        print(f"note: clients ask for the model {contract.MODEL_NAME!r}; this one is {out.name!r}")


def export(trained, out, version: int | None = None) -> Path:
    """Publishes a model as `out`/`version`, and returns that folder.

    Args:
        trained: `dmenet_tf.weights.load.TrainedModel`.
        out: the folder of all versions, made where it is not there.
        version: a number above 0 that is not there yet; None for one above the highest.

    Raises ValueError for a version that is taken, `PublishError` where the written model's
    outputs are not the Keras model's, OSError where it cannot be written. Nothing is published
    then.
    """
    from serving.exporting import verification

    _check_version(version)
    _check_finite(trained.model)
    out = Path(out)
    with Lock(out):
        for path in out.glob(f"{_UNFINISHED}*"):  # of exporters that were killed: we have the lock
            shutil.rmtree(path, ignore_errors=True)
        version = _free_version(out) if version is None else version
        final = out / str(version)
        if final.exists():
            raise ValueError(
                f"{final}: a version must be published once; there is one, and servers may "
                f"hold it. Received --version {version}; the next free one is {_free_version(out)}"
            )
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=out))
        try:
            with quiet_native_stderr():
                _write(trained, folder)
                figures = verification.differences(folder, trained)
            _judge(figures, verification.rounding(trained))
            _write_metadata(trained, figures, folder)
            _bring_to_disk(folder)
            folder.rename(final)
            _sync(out)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return final


def _check_version(version: int | None) -> None:
    if version is not None and not 0 < version <= _LARGEST_VERSION:
        raise ValueError(f"a version must be a number from 1 to 2^63 - 1; received {version}")


def _check_finite(model) -> None:
    import numpy as np

    for variable in model.variables:
        bad = np.count_nonzero(~np.isfinite(np.asarray(variable)))
        if bad:
            name = getattr(variable, "path", variable.name)
            raise PublishError(
                f"weights must be finite; received {bad} NaN or infinite ones in {name}. "
                "Nothing was published"
            )


def _judge(differences: dict[str, float], allowed: dict[str, float]) -> None:
    """Raises PublishError where a difference is larger than allowed, or is NaN."""
    beyond = {name: value for name, value in differences.items() if not value <= allowed[name]}
    if beyond:
        raise PublishError(
            f"the exported model must answer as the Keras model does, to {allowed}; received "
            f"differences of {beyond}. Nothing was published"
        )


def _free_version(out: Path) -> int:
    return 1 + max((int(p.name) for p in out.iterdir() if p.name.isdecimal()), default=0)


def _write(trained, folder: Path) -> None:
    import tensorflow as tf

    from serving.exporting.graph import ServedModel
    from serving.saved_model.warmup import write_warmup

    served = ServedModel(trained)
    # Not of the Keras model: its variables would be written under names that the session loader,
    # which is the C++ server's, does not find. This module has none.
    tf.saved_model.save(served, str(folder), signatures=served.endpoints)
    (folder / contract.METADATA_FILE).parent.mkdir()
    write_warmup(folder / contract.WARMUP_FILE, WARMUP_SIDES_PX)


def _write_metadata(trained, figures: dict, folder: Path) -> None:
    import tensorflow as tf

    from dmenet_tf.prediction.metadata import Metadata

    about = {
        "name": contract.MODEL_NAME,
        **dataclasses.asdict(Metadata.of(trained)),
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
    """Everything below is on the disk, and readable for a server that runs as another user."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    sys.exit(main())
