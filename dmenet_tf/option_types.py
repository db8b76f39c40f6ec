"""Types of options that are written otherwise than they are stored."""

from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec


def share(text: str) -> float:
    """An option's text, 0.01 or 1%, as a number; ValueError for anything else."""
    number, percent, more = text.strip().partition("%")
    try:
        if more:
            raise ValueError(more)
        return float(number) / 100 if percent else float(number)
    except ValueError:
        raise ValueError(f"a share must be such as 0.01 or 1%; received {text!r}") from None


# In files it is a number.
Share = Annotated[
    float,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="SHARE",
        instance_from_str=lambda words: share(words[0]),
        is_instance=lambda value: isinstance(value, int | float),
        str_from_instance=lambda value: [str(value)],
    ),
]
