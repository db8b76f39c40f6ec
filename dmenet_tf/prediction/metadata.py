"""What a map's file must say about itself: model, unit, scale and size."""

import dataclasses
import importlib.metadata
import json
from dataclasses import dataclass

from data_gen.optics import SIGMA_MAX_PX


@dataclass(frozen=True)
class Metadata:
    """Of a model, or of one map that it made."""

    model: str
    """`TrainedModel.identity`."""
    encoding: str
    """Of the network's label, a key of `data_gen.optics.ENCODINGS`; files hold sigma_px."""
    sigma_max_px: float = SIGMA_MAX_PX
    """The value that the end of a bounded scale stands for."""
    units: str = "sigma_px: Gaussian standard deviation of the blur, in pixels of the photo"
    version: str = ""
    """Of this program."""
    licence: str = ""
    """Terms of the model's weights, where there are any to mention."""
    recommended_side: int | None = None
    """The longer side in pixels to which the model's photos are best reduced; None: no advice."""
    max_side: int | None = None
    """Of a map: the longer side to which larger photos were reduced; None: mapped at full size."""

    @classmethod
    def of(cls, trained) -> "Metadata":
        """Of a `weights.TrainedModel`."""
        return cls(
            trained.identity,
            trained.encoding,
            version=program_version(),
            licence=trained.licence,
            recommended_side=getattr(trained, "recommended_side", None) or None,
        )

    def as_dict(self) -> dict:
        """The fields that are set: optional ones without a value are left out."""
        return {name: v for name, v in dataclasses.asdict(self).items() if v is not None}

    def to_json(self) -> str:
        return json.dumps(self.as_dict())


def program_version() -> str:
    """The installed version; "unknown" where the package runs without being installed."""
    try:
        return importlib.metadata.version("dmenet-tf")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
