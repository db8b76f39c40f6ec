"""Whether depth files look as if larger meant nearer, as maps of MiDaS do in folders called depth.

The ground is below and the far end above in nearly any picture: of 81 real scenes (rooms, tables,
streets), 77 are nearer in their lower third than in their upper third. Where hardly any scene of a
folder is, its files look inverse, and the user is told.
"""

from collections.abc import Sequence

import numpy as np

MIN_SCENES = 5
LOOKED_AT = 12
NEARER_BELOW_MIN = 0.25  # of the scenes


def nearer_below(depth: np.ndarray) -> bool:
    """Whether the median of the lower third of a map [H, W] is nearer than that of the upper."""
    third = max(1, len(depth) // 3)
    return bool(np.median(depth[-third:]) < np.median(depth[:third]))


def says_inverse(nearer: Sequence[bool]) -> bool:
    """Whether scenes, each with its `nearer_below`, look inverse together."""
    return len(nearer) >= MIN_SCENES and float(np.mean(nearer)) < NEARER_BELOW_MIN


def inverse_note(root, nearer: Sequence[bool]) -> str:
    """A line about a folder whose depth looks inverse; "" where it does not."""
    if not says_inverse(nearer):
        return ""
    return (
        f"{root}: depth files should be larger = farther; in {len(nearer) - sum(nearer)} of "
        f"{len(nearer)} scenes the upper third has the smaller values, as in maps of inverse depth "
        "(MiDaS): --depth inverse reads them as such, --depth metric keeps them without this note"
    )
