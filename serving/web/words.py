"""What the page says, in words: of a map and of an error."""

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.web.results import Analysis


def explain(error: ConnectionError) -> str:
    """A failed request in plain words; `code`, where it has one, names a gRPC status."""
    code = getattr(error, "code", None)
    if code == "UNAVAILABLE":
        return f"The server does not answer. Is it running? Try again in a moment. ({error})"
    if code == "DEADLINE_EXCEEDED":
        return f"The server took too long. Choose a smaller size, or try again. ({error})"
    return f"The server refused this photo: {error}"


def limit(sharp_below_px: float, scale: float) -> str:
    """What counts as sharp (`dmenet_tf.prediction.sharpness`), in words."""
    if scale == 1.0:
        return f"{sharp_below_px:.3g} px"
    seen_px = sharp_below_px * scale
    return f"{sharp_below_px:.3g} px, which is {seen_px:.3g} px of what the network saw"


def word_below(scale: float) -> str:
    """What a blur below the limit is called. In a reduced photo it may be many of its pixels, and
    all that is known is that the network saw none."""
    return "sharp" if scale == 1.0 else "no blur that shows at the size which the network saw"


def summary_html(analysis: "Analysis", remark: str = "") -> str:
    """The figures of the whole map, and a remark; holds nothing that a user wrote."""
    figures, photo = analysis.figures, f"{analysis.photo_width} x {analysis.photo_height}"
    seen = [round(side * analysis.scale) for side in (analysis.photo_width, analysis.photo_height)]
    sharp_below_px = figures["sharp_below_px"]
    rows = (
        (
            "Sharp part" if analysis.scale == 1.0 else "No visible blur",
            f"{figures['share_sharp']:.0%}",
            f"of the photo has a blur below {limit(sharp_below_px, analysis.scale)}",
        ),
        (
            "Typical blur",
            f"{figures['median_sigma_px']:.2f} px",
            "half of the photo is sharper, half is softer (median)",
        ),
        (
            "Sharpest part",
            f"{figures['sharpest_sigma_px']:.2f} px",
            "the sharpest tenth of the photo stays below this blur",
        ),
        ("Photo", f"{photo} px", f"the network saw {seen[0]} x {seen[1]} px"),
    )
    cells = "".join(
        f"<div><dt>{name}</dt><dd><strong>{value}</strong><small>{note}</small></dd></div>"
        for name, value, note in rows
    )
    said = f'<p class="dm-remark">{html.escape(remark)}</p>' if remark else ""
    return f'{said}<dl class="dm-figures">{cells}</dl>'
