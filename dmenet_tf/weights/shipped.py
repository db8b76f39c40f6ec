"""The trained weights that come with the package. Imports no TensorFlow.

`docs/training.md` has the model card: data, terms, figures, limits.
"""

from pathlib import Path

SHIPPED = Path(__file__).with_name("photo.npz")
NAME = "shipped"  # what `dmenet train --weights` calls them


def shipped_weights() -> Path:
    """Where they are; FileNotFoundError where this installation has none."""
    if SHIPPED.is_file():
        return SHIPPED
    raise FileNotFoundError(
        "this installation ships no trained weights: pass a run's folder, such as runs/demo, or "
        "an .npz"
    )
