"""What a protocol is: a record of functions, and the types that they exchange."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dmenet_tf.metrics import ThresholdCounts

ALWAYS_BLURRED = "always blurred"


class Figure(NamedTuple):
    """A column of the tables. `of_image`: whether single images have it too."""

    key: str
    title: str
    higher_is_better: bool
    of_image: bool = True


class Measured(NamedTuple):
    """One image: its figures (NaN where one is not defined on it), and counts at thresholds."""

    figures: dict[str, float]
    counts: ThresholdCounts | None = None


class Summary(NamedTuple):
    """All images: figures, on how many images a figure was defined, and (recall, precision)."""

    figures: dict[str, float]
    defined: dict[str, int]
    curve: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Protocol:
    """Which samples, which map of the network against which truth, by which figures."""

    name: str
    samples: Callable
    """`opening.SampleOptions` -> (samples, a line that describes them)."""
    map: Callable[[np.ndarray, str, float], np.ndarray]
    """(the network's label [H, W], its encoding, by how much the photo was reduced before the
    network saw it, 1 = full size) -> the map that is compared, float32 [H, W] in [0, 1]."""
    truth: Callable[[np.ndarray], np.ndarray]
    """A sample's truth -> the same unit as the map."""
    measure: Callable[[np.ndarray, np.ndarray], Measured]
    """(map, truth) of one image."""
    summarise: Callable[[Sequence[Measured]], Summary]
    figures: tuple[Figure, ...]
    """The first is the one that the report lists for every image."""
    error: Callable[[Mapping[str, float]], float]
    """An image's figures -> what images are sorted by, the worst having the largest."""
    error_title: str
    baselines: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    """Photo, uint8 [H, W, 3] -> map, of methods that need no training."""
    rules: tuple[str, ...]
    """Explanations for the report, one sentence or more each."""
    oracle: Callable[[Sequence[float]], Mapping[str, Callable]] | None = None
    """Means of each image's truth -> baselines that use the truth."""
    decide: Callable[[np.ndarray], np.ndarray] | None = None
    """Map -> the binary decision that is judged, where the truth is binary."""
    sigma_max_px: float | None = None
    """The sigma that 1 means in a map with a unit; None for a map that only ranks pixels."""
    options: tuple[str, ...] = ()
    """The fields of `SampleOptions` that apply to these samples."""
    variant: Callable[..., "Protocol"] | None = None
    """Makes the same protocol with other `settings`, if it has any."""
    settings: tuple[str, ...] = ()
    """The arguments of `variant`."""


def means(measured: Sequence[Measured]) -> tuple[dict[str, float], dict[str, int]]:
    """Means over the images on which a figure is defined, and how many those are."""
    figures, defined = {}, {}
    for key in measured[0].figures:
        values = np.array([m.figures[key] for m in measured])
        values = values[~np.isnan(values)]
        defined[key] = len(values)
        figures[key] = float(values.mean()) if len(values) else float("nan")
    return figures, defined
