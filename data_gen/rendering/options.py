"""Options of a rendering beyond the paper's model of blur; formulas: `apertures.py`."""

import math
from dataclasses import dataclass
from typing import Literal

# The names of `lens.LENS_SAMPLERS`, for options.
SamplerName = Literal["paper", "generator"]


@dataclass(frozen=True)
class Realism:
    """Rendering beyond the paper's blur model. Each option is off by default."""

    aperture: Literal["gaussian", "disc", "polygon"] = "gaussian"
    """Shape of the blur."""
    blades: int = 6
    """Sides of a polygon aperture."""
    rotation_deg: float = 0.0
    """Angle of a polygon's first corner."""
    linear_light: bool = False
    """Blur and blend light, not its sRGB code: bright points grow into bright discs."""
    fill_background: bool = False
    """Continue the background behind near objects, so that it shows through their soft rims."""
    shot_noise: float = 0.0
    """Variance of sensor noise per unit of light (0.001: slight, 0.01: strong)."""
    read_noise: float = 0.0
    """Standard deviation of sensor noise in the dark, of full scale (0.002: slight)."""

    def __post_init__(self):
        if self.aperture not in ("gaussian", "disc", "polygon"):
            raise ValueError(
                f"aperture must be gaussian, disc or polygon; received {self.aperture!r}"
            )
        if not 3 <= self.blades <= 32:
            raise ValueError(f"blades must lie in 3 .. 32; received {self.blades}")
        for name in ("shot_noise", "read_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1]; received {getattr(self, name)}")
        if not math.isfinite(self.rotation_deg):
            raise ValueError(f"rotation_deg must be finite; received {self.rotation_deg}")


PLAIN = Realism()
