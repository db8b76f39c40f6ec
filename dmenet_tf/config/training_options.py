"""Options of the losses and of the loop."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.config.checks import check_positive


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
    minutes: float = 0.0
    """The training ends after so many minutes if its steps are not made by then, and `cosine` with
    it; those before it was resumed count; 0: any number."""
    pretrain_steps: int = 0
    """The first steps train B alone (its map and auxiliary heads), before the other networks."""
    optimizer: Literal["adam", "lamb", "radam", "lookahead"] = "adam"
    """`adam`, the paper's; `lamb`; with Keras 2 and the extra [addons] also `radam` (rectified
    Adam) and `lookahead` (Adam with slow weights)."""
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
    strategy: Literal["none", "mirrored", "multi-worker"] = "none"
    """Devices: one; all GPUs of this machine; those of several machines, named by TF_CONFIG. They
    share the images of `batch`, a multiple of their number. No TPUs."""
    profile: str = ""
    """FIRST:LAST: steps that are profiled, for TensorBoard's profile plugin."""
    debug_nan: bool = False
    """Stop at the operation that first gives a NaN or an infinite number, and name it; slow."""
    recompute: bool = False
    """Gradient checkpointing of B: less memory for larger crops, about a third more time."""
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
    histograms: int = 0
    """Histograms of the weights, for TensorBoard, every so many steps and at the end; 0: none."""

    def __post_init__(self):
        check_positive(
            self, "training", "steps", "learning_rate", "decay", "decay_epochs",
            "checkpoint_every", "keep", "validate_every", "log_every", "steps_per_call",
        )  # fmt: skip
        if not 0 <= self.minutes < float("inf"):
            raise ValueError(f"training.minutes must be >= 0; received {self.minutes}")
        if self.minutes and (self.deterministic or self.strategy == "multi-worker"):
            raise ValueError(
                "training.minutes needs a run that need not repeat another, on one machine; "
                f"received deterministic {self.deterministic}, strategy {self.strategy!r}"
            )
        if self.histograms < 0:
            raise ValueError(f"training.histograms must be >= 0; received {self.histograms}")
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
        self._check_strategy()
        _ = self.profiled
        bad = [side for side in self.windows if side < SIZE_MULTIPLE or side % SIZE_MULTIPLE]
        if bad or not self.windows:
            raise ValueError(
                f"training.windows must be multiples of {SIZE_MULTIPLE}; received {self.windows}"
            )

    def _check_strategy(self) -> None:
        if self.strategy == "none":
            return
        if self.jit == "on":
            raise ValueError(
                "training.jit 'on' needs training.strategy 'none', since a step that XLA compiles "
                f"cannot wait for other replicas; received {self.strategy!r}"
            )
        for name in ("debug_nan", "cached_crops"):
            if getattr(self, name):
                raise ValueError(
                    f"training.{name} needs training.strategy 'none', one device; "
                    f"received {self.strategy!r}"
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
