"""Which encoding a folder of maps has, told by the stored values where nothing states it.

`optics.ENCODINGS` on disk: 'generator' is 0..70 with 0 = sharp, 'released' up to 150 with 10 =
sharp (blur begins there; smaller values, if any, are sharp too), 'paper' 0..65535 with 0 = sharp.
"""

from data_gen import optics

# Three maps that all begin at exactly 10 are no accident: under 'generator' that is a blur like
# any other.
LEAST_MAPS_FOR_SHARP = 3


def tell(bounds) -> tuple[str | None, str]:
    """The encoding, or None, and the reason.

    Args:
        bounds: (smallest, largest) stored value of each map.
    """
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    released, generator = optics.ENCODINGS["released"], optics.ENCODINGS["generator"]
    sharp = int(released.encode(0.0))
    at_sharp = sum(smallest == sharp for smallest, _ in bounds)
    if high > released.stored_max:
        return None, f"values above {released.stored_max} fit 'paper' alone, if any"
    if high > generator.stored_max:
        return released.name, (
            f"the largest value, {high}, is above the {generator.stored_max} that 'generator' ends "
            f"at and within the {released.stored_max} of 'released'"
        )
    if low < sharp:
        return generator.name, (
            f"no value is above {generator.stored_max}, and the smallest, {low}, is below the "
            f"{sharp} that is sharp in 'released'"
        )
    if low == sharp and len(bounds) >= LEAST_MAPS_FOR_SHARP and 2 * at_sharp > len(bounds):
        return released.name, (
            f"{at_sharp} of {len(bounds)} maps begin at exactly {sharp}, which is sharp in "
            "'released', and none below"
        )
    return None, f"values of {sharp}..{generator.stored_max} fit 'released' and 'generator'"
