"""Options of the three streams of images."""

from dataclasses import dataclass, field
from typing import Literal

from data_gen.rendering.options import Realism
from data_gen.sources.layout_names import Layout
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.config.checks import check_positive
from dmenet_tf.option_types import Share


@dataclass(frozen=True)
class DataConfig:
    """The three streams. An empty path tuple means the embedded default of that stream."""

    synthetic: tuple[str, ...] = ()
    """I_S: RGB-D folders (rendered on the fly), TFRecord shards or SYNDOF folders."""
    synthetic_validation: tuple[str, ...] = ()
    """I_S held out for validation, of scenes that `synthetic` lacks; nothing: its last tenth."""
    encoding: Literal["auto", "paper", "generator", "released"] = "auto"
    """Encoding of ready-made maps in `synthetic`."""
    layout: Layout = "auto"
    """Layout of RGB-D folders in `synthetic`; `segments`: of segmented photos."""
    depth: Literal["auto", "metric", "inverse"] = "auto"
    """What plain depth files hold: larger = farther (metric) or larger = nearer (inverse)."""
    bgr_scenes: tuple[str, ...] = ()
    """Patterns of scene names whose images have red and blue swapped."""
    resize_depth: Literal["nearest"] | None = None
    """Resize depth whose size differs from the image's by a whole ratio (half, a third, twice)."""
    labelled: tuple[str, ...] = ()
    """I_B: folders with image/ and gt/, or nothing for the embedded cut-outs."""
    labelled_names: str = ""
    """Only these photos: a range of their numbers such as 0001-0454, or a file of names."""
    labelled_validation: str = ""
    """Photos of `labelled` held out for validation: a range such as 0455-0504, or a file."""
    polarity: Literal["blurred", "sharp"] = "blurred"
    """What 255 means in the binary maps. CUHK's own files: blurred."""
    unlabelled: tuple[str, ...] = ()
    """I_R: folders of real defocused photos."""
    max_bad: Share = 0.01
    """Share (0.01 or 1%) of the photos of each `labelled` folder and of `unlabelled` that may be
    unreadable, rounded up: they are skipped and listed; more of them end the training."""
    sampler: Literal["paper", "generator"] = "paper"
    """How lenses are drawn for RGB-D scenes."""
    realism: Realism = field(default_factory=Realism)
    """Beyond the paper's model of blur, for RGB-D scenes."""
    disc_share: float = 0.0
    """Share of RGB-D scenes rendered through a round aperture in linear light, as by a real lens;
    the others as `realism` says."""
    synthetic_scale: tuple[float, float] = (1.0, 1.0)
    """I_S: each crop is resized by a factor drawn between these, its sigma with it."""
    photo_side: tuple[int, int] = (0, 0)
    """I_B, I_R: each photo is resized to a longer side drawn between these, pixels, but never to a
    shorter side below `crop`; 0 0: photos as they are."""
    exposure: float = 0.0
    """I_S: light times 2^e in half of the crops, e drawn from -exposure to exposure."""
    noise: float = 0.0
    """I_S: noise in half of the crops, standard deviation from 0 to this share of full scale."""
    jpeg_quality: int = 100
    """I_S: half of the crops stored as JPEG, quality drawn from this up to 95; 100: none."""
    crop: int = 240
    batch: int = 3
    """Images of EACH domain a step."""
    fixed_examples: int = 0
    """RGB-D scenes: so many examples, whole scenes under one lens each, are rendered once and kept
    in memory (for a machine that trains faster than it renders); 0: each example is a new one."""
    procedural_scenes: int = 2006
    """Size of the embedded I_S source; as many as the paper's distinct images."""
    cache: int = 256
    """Decoded images of each stream kept in memory; of photos and ready-made pairs those besides
    what `data_on` keeps."""
    data_on: Literal["auto", "device", "host", "files"] = "auto"
    """Where photos and ready-made pairs are once they were read. `host`: in memory, as bytes, all
    of them; `auto`: as many as half of the free memory holds; `files`: where they were. `device`:
    all images, RGB-D scenes too, in the memory of the device that trains, which cuts them and
    renders the scenes itself."""
    validation_examples: int = 32
    """Held-out SYNDOF examples."""
    validation_crop: int = 0
    """Their side in pixels; 0: that of a training crop."""

    def __post_init__(self):
        if self.crop < SIZE_MULTIPLE or self.crop % SIZE_MULTIPLE:
            raise ValueError(
                f"data.crop must be a positive multiple of {SIZE_MULTIPLE}; received {self.crop}"
            )
        self._check_ranges()
        check_positive(self, "data", "batch", "procedural_scenes", "cache", "validation_examples")

    def _check_ranges(self):
        for name, low, high in (
            ("fixed_examples", 0, float("inf")), ("validation_crop", 0, float("inf")),
            ("max_bad", 0, 1), ("disc_share", 0, 1), ("exposure", 0, 4), ("noise", 0, 1),
            ("jpeg_quality", 1, 100),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"data.{name} must lie in [{low}, {high}]; received {getattr(self, name)}"
                )
        # Enlarged, a crop would be blurred by more than its label says.
        for name, least, most in (("synthetic_scale", 0.1, 1), ("photo_side", 16, 10**5)):
            low, high = getattr(self, name)
            unset = name == "photo_side" and (low, high) == (0, 0)
            if not unset and not least <= low <= high <= most:
                raise ValueError(
                    f"data.{name} must be two numbers, {least} <= low <= high <= {most}; "
                    f"received {low} {high}"
                )
