"""The configuration of a run: small frozen dataclasses, which check their values.

Every field is also an option of `dmenet train` (`--steps 300`). `config_file.py` has the file that
is saved with a run.
"""

from dataclasses import dataclass, field

from dmenet_tf.config.data_options import DataConfig
from dmenet_tf.config.network_options import NetworkConfig
from dmenet_tf.config.training_options import LossConfig, TrainingConfig

__all__ = ["Config", "DataConfig", "LossConfig", "NetworkConfig", "TrainingConfig"]


@dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self):
        self._check_device()
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

    def _check_device(self):
        if self.data.data_on != "device":
            return
        if self.training.cached_crops or self.training.strategy != "none":
            raise ValueError(
                "data.data_on 'device' is for one device, and without training.cached_crops; "
                f"received strategy {self.training.strategy!r} and {self.training.cached_crops} "
                "cached crops"
            )
