"""Detects the encoding of a folder of maps from the stored values, where no file states it.

`optics.ENCODINGS` on disk: 'generator' is 0..70 with 0 = sharp, 'released' up to 150 with 10 =
sharp (blur begins there; smaller values, if any, are sharp too), 'paper' 0..65535 with 0 = sharp.
"""

from data_gen import optics

# Three maps whose minimum is exactly 10 are no coincidence: in 'generator' 10 is a blur like any
# other.
MIN_MAPS_FOR_SHARP = 3


def detect(bounds) -> tuple[str | None, str]:
    """The name of the encoding, or None, and the reason.

    Args:
        bounds: (min, max) stored value of each map.
    """
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    released, generator = optics.ENCODINGS["released"], optics.ENCODINGS["generator"]
    sharp = int(released.encode(0.0))
    at_sharp = sum(smallest == sharp for smallest, _ in bounds)
    if high > released.stored_max:
        return None, f"values above {released.stored_max} fit only 'paper', if any encoding"
    if high > generator.stored_max:
        return released.name, (
            f"the largest value, {high}, is above the {generator.stored_max} that is the max of "
            f"'generator' and within the {released.stored_max} of 'released'"
        )
    if low < sharp:
        return generator.name, (
            f"no value is above {generator.stored_max}, and the smallest, {low}, is below the "
            f"{sharp} that is sharp in 'released'"
        )
    if low == sharp and len(bounds) >= MIN_MAPS_FOR_SHARP and 2 * at_sharp > len(bounds):
        return released.name, (
            f"{at_sharp} of {len(bounds)} maps have the min {sharp}, which is sharp in "
            "'released', and none has a smaller one"
        )
    return None, f"values of {sharp}..{generator.stored_max} fit 'released' and 'generator'"
