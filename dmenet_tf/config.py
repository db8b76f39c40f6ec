"""The configuration of a run: small frozen dataclasses, presets, and the file saved with the run.

Every field is also an option of `python -m dmenet_tf.train` (`--steps 300`). A file with
a key that no field has is refused: a misspelt option never trains a network silently.
"""

import dataclasses
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cattrs
from cattrs.v import format_exception

from data_gen.rendering.options import Realism

DECODER_STRIDE = 16  # four poolings: B takes sides that are multiples of this


@dataclass(frozen=True)
class DataConfig:
    """The three streams. An empty path tuple means the embedded default of that stream."""

    synthetic: tuple[str, ...] = ()
    """I_S: RGB-D folders (rendered on the fly), TFRecord shards or SYNDOF folders."""
    encoding: Literal["auto", "paper", "generator", "released"] = "auto"
    """Encoding of ready-made maps in `synthetic`."""
    layout: Literal["auto", "sintel", "synthia", "middlebury", "syndof-input", "folder"] = "auto"
    """Layout of RGB-D folders in `synthetic`."""
    depth: Literal["auto", "metric", "inverse"] = "auto"
    """What plain depth files hold: larger = farther (metric) or larger = nearer (inverse)."""
    bgr_scenes: tuple[str, ...] = ()
    """Patterns of scene names whose images have red and blue swapped."""
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
    sampler: Literal["paper", "generator"] = "paper"
    """How lenses are drawn for RGB-D scenes."""
    realism: Realism = field(default_factory=Realism)
    """Beyond the paper's model of blur, for RGB-D scenes."""
    crop: int = 240
    batch: int = 3
    """Images of EACH domain a step."""
    fixed_examples: int = 0
    """RGB-D scenes: so many examples, whole scenes under one lens each, are rendered once and kept
    in memory (for a machine that trains faster than it renders); 0: each example is a new one."""
    procedural_scenes: int = 2006
    """Size of the embedded I_S source; as many as the paper's distinct images."""
    cache: int = 256
    """Decoded images of each stream kept in memory."""
    validation_examples: int = 32
    """Held-out SYNDOF examples."""
    validation_crop: int = 0
    """Their side in pixels; 0: that of a training crop."""

    def __post_init__(self):
        if self.crop < DECODER_STRIDE or self.crop % DECODER_STRIDE:
            raise ValueError(
                f"data.crop must be a positive multiple of {DECODER_STRIDE}; received {self.crop}"
            )
        for name in ("fixed_examples", "validation_crop"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"data.{name} must not be negative; received {getattr(self, name)}"
                )
        _positive(self, "data", "batch", "procedural_scenes", "cache", "validation_examples")


@dataclass(frozen=True)
class NetworkConfig:
    """Which networks are trained, and how large they are."""

    parts: Literal["B", "BD", "BDC", "BDCS"] = "BDCS"
    """The paper's ablation: B alone, with D, with D and C, with D, C and S."""
    width: float = 1.0
    """Scales every channel count. 1.0 is the paper's, and the only one with ImageNet weights."""
    vgg_weights: str = "imagenet"
    """`imagenet` (downloaded by Keras), a file, or `none` for random weights."""
    weights: str = ""
    """Fine-tuning: a run's folder or a published .npz that B, and S and D where it holds them,
    start from. Its width must be `width`; C still takes `vgg_weights`."""
    label_encoding: Literal["paper", "generator", "released"] = "paper"
    """Unit of B's map (see the README's table). With `weights`, theirs is kept: labels follow."""

    def __post_init__(self):
        if not 0 < self.width <= 4:
            raise ValueError(f"network.width must lie in (0, 4]; received {self.width}")
        if self.width != 1.0 and self.vgg_weights != "none":
            raise ValueError(
                "network.vgg_weights must be 'none' unless network.width is 1.0 (VGG19's weights "
                f"have one width); received width {self.width} with {self.vgg_weights!r}"
            )


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses (section 3.3). `lambda_aux` 0 leaves the auxiliary heads untrained."""

    lambda_aux: float = 1.0
    lambda_content: float = 1e-4
    lambda_sharpness: float = 2e-2
    lambda_adversarial: float = 1e-3
    lambda_discriminator: float = 1.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"loss.{name} must be finite and not negative; received {value}")


@dataclass(frozen=True)
class TrainingConfig:
    """The loop."""

    steps: int = 220_000
    """Updates in all; one step updates D, then B and S."""
    pretrain_steps: int = 0
    """The first steps train B alone (its map and auxiliary heads), before the other networks."""
    learning_rate: float = 1e-4
    decay: float = 0.8
    """Factor on the learning rate every `decay_epochs` passes over the synthetic examples."""
    decay_epochs: int = 20
    beta_1: float = 0.9
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """mixed_float16 for GPUs (loss scaling on), mixed_bfloat16 for TPUs and recent CPUs."""
    jit: bool = False
    """Compile the step with XLA."""
    seed: int = 0
    deterministic: bool = False
    """Deterministic operations: a resumed run repeats an unbroken one bit for bit."""
    checkpoint_every: int = 1000
    keep: int = 3
    """Checkpoints kept besides the best one."""
    validate_every: int = 1000
    log_every: int = 10

    def __post_init__(self):
        _positive(
            self, "training", "steps", "learning_rate", "decay", "decay_epochs",
            "checkpoint_every", "keep", "validate_every", "log_every",
        )  # fmt: skip
        if not 0 <= self.pretrain_steps <= self.steps:
            raise ValueError(
                "training.pretrain_steps must lie between 0 and training.steps; "
                f"received {self.pretrain_steps} of {self.steps}"
            )


@dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def _positive(config, section, *names):
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{section}.{name} must be above 0; received {value}")


# --- presets ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preset:
    """A named configuration with the command that runs it and what to expect of it."""

    command: str
    expect: str
    config: Config


_PAPER = Config()
_SMALL = replace(_PAPER.network, width=0.25, vgg_weights="none")

PRESETS = {
    "paper": Preset(
        "python -m dmenet_tf.train --preset paper --run runs/paper --synthetic SYNDOF "
        "--labelled CUHK --unlabelled FLICKR --precision mixed_float16",
        "The paper's settings: width 1.0 from ImageNet weights, 240 x 240 crops, 3 images of each "
        "domain a step, 80 epochs of 8,231 images. Days on one GPU; not run in full here.",
        _PAPER,
    ),
    "demo": Preset(
        "python -m dmenet_tf.train --preset demo --run runs/demo",
        "All four networks at a small width on the embedded data, about 9 minutes on 2 cores; "
        "held-out MSE below 40% of the best constant map's.",
        replace(
            _PAPER,
            network=replace(_PAPER.network, width=0.125, vgg_weights="none"),
            data=replace(
                _PAPER.data,
                crop=64,
                batch=8,
                fixed_examples=1000,
                cache=1024,
                validation_examples=64,
            ),
            training=replace(
                _PAPER.training,
                steps=2300,
                pretrain_steps=1500,
                learning_rate=2e-3,
                decay=0.5,
                decay_epochs=5,
                checkpoint_every=200,
                validate_every=500,
            ),
        ),
    ),
    "small": Preset(
        "python -m dmenet_tf.train --preset small --run runs/small --synthetic RGBD "
        "--labelled CUHK --unlabelled PHOTOS",
        "Width 0.25 from random weights, for your own data without a GPU; not run in full here.",
        replace(
            _PAPER,
            network=_SMALL,
            data=replace(_PAPER.data, crop=160),
            training=replace(_PAPER.training, steps=20_000, learning_rate=5e-4),
        ),
    ),
    "tiny": Preset(
        "python -m dmenet_tf.train --preset tiny --run runs/tiny",
        "A few steps of everything, seconds: for tests and for trying out options.",
        replace(
            _PAPER,
            network=replace(_PAPER.network, width=0.0625, vgg_weights="none"),
            data=replace(_PAPER.data, crop=32, batch=2, validation_examples=2),
            training=replace(
                _PAPER.training, steps=6, checkpoint_every=3, validate_every=3, log_every=1
            ),
        ),
    ),
}


# --- the file --------------------------------------------------------------------------------

_converter = cattrs.Converter(forbid_extra_keys=True)


def to_dict(config: Config) -> dict:
    return _converter.unstructure(config)


def _rule(error: BaseException, expected) -> str:
    # cattrs hides the text of a ValueError, which here states the rule that was broken.
    return str(error) if type(error) is ValueError else format_exception(error, expected)


def from_dict(values: dict, origin="the configuration") -> Config:
    """Strict inverse of `to_dict`: unknown keys and values of a wrong type are errors."""
    try:
        return _converter.structure(values, Config)
    except cattrs.BaseValidationError as error:
        rules = "; ".join(cattrs.transform_error(error, "config", _rule))
        raise ValueError(f"{origin} holds only known, well-typed keys; received: {rules}") from None


def save(config: Config, path: Path) -> None:
    """Writes the configuration as JSON, complete or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def load(path: Path) -> Config:
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"a configuration is a JSON file; received {path}: {error}") from None
    return from_dict(values, origin=str(path))
