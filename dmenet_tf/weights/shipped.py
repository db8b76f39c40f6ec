"""The trained weights that come with the package. Imports no TensorFlow.

`docs/training.md` has the model card: data, terms, figures, limits.
"""

from pathlib import Path

SHIPPED = Path(__file__).with_name("photo.npz")  # what is taken by default
LARGE = Path(__file__).with_name("large.npz")  # slower, closer to photographers' labels
NAMES = {"shipped": SHIPPED, "large": LARGE}  # what --weights calls them
FORMER_NAMES = {"small": SHIPPED}


def named(weights) -> Path:
    """What `--weights` means: a path, or a name of `NAMES` where no file or folder is so called."""
    path = Path(weights)
    return path if path.exists() else (NAMES | FORMER_NAMES).get(str(weights), path)


def existing(weights) -> Path:
    """The same; FileNotFoundError where there is nothing."""
    path = named(weights)
    if path.exists():
        return path
    raise FileNotFoundError(
        f"--weights must be a run's folder or an .npz; there is no {weights} "
        "(dmenet train --preset demo makes runs/demo)"
    )


def shipped_weights() -> Path:
    """Where those of the default are; FileNotFoundError where this installation has none."""
    if SHIPPED.is_file():
        return SHIPPED
    raise FileNotFoundError(
        "this installation ships no trained weights: pass a run's folder, such as runs/demo, or "
        "an .npz"
    )
