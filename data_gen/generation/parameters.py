"""The parameters that determine the bytes of a dataset; imports no TensorFlow."""

from dataclasses import dataclass, field
from typing import Literal

from data_gen.optics import EncodingName
from data_gen.rendering.options import Realism, SamplerName

MAX_SHARDS = 99_999
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class DatasetParameters:
    """The parameters that determine the bytes of a dataset."""

    count: int
    """Number of images."""
    seed: int = 0
    crop: int = 0
    """Side of the random square crop in pixels; 0: no cropping."""
    sampler: SamplerName = "paper"
    """How lenses are sampled: as in the paper, or as in the authors' public generator."""
    layout: Literal["records", "folders"] = "records"
    """TFRecord shards, or the authors' folders image/ and blur_map/."""
    encoding: EncodingName = "paper"
    """Encoding of the maps on disk."""
    shard_size: int = 64
    """Examples per shard; layout `records` only."""
    realism: Realism = field(default_factory=Realism)
    """Rendering beyond the paper's blur model."""

    def __post_init__(self):
        for name, minimum in (("count", 1), ("seed", 0), ("crop", 0), ("shard_size", 1)):
            if getattr(self, name) < minimum:
                raise ValueError(
                    f"{name} must be at least {minimum}; received {getattr(self, name)}"
                )
        if self.seed > MAX_SEED:
            raise ValueError(f"seed must be at most {MAX_SEED}; received {self.seed}")
        if self.layout == "records" and self.count > MAX_SHARDS * self.shard_size:
            raise ValueError(
                f"count must be at most {MAX_SHARDS} times shard_size; received {self.count} and "
                f"{self.shard_size}"
            )
