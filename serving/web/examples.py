"""The photos that the page offers, and what is worth knowing of their maps.

Of scikit-image's wheel (`data_gen.scenes.photographs` has sources and terms), and one that
`docs/strong_blur.py` makes of it.
"""

from pathlib import Path
from typing import NamedTuple

from data_gen.scenes.photographs import packaged_path

CREDITS = (
    "Examples: Stefan van der Walt (cat), Rachel Michetti (coffee), both CC0; "
    "NASA and SpaceX, public domain."
)


class Example(NamedTuple):
    path: Path
    caption: str
    remark: str = ""
    """What its map does not tell, in a sentence or two."""


def examples() -> dict[str, Example]:
    """{name: example}, as they stand on the page; without those that are not installed."""
    found = {
        "chelsea": Example(packaged_path("chelsea"), "Cat"),
        "strong_blur": Example(
            Path(__file__).with_name("cat_strong_blur.jpg"),
            "Cat, blur x 4",
            "Made from the other cat with dmenet apply magnify --factor 4. The map tells the "
            "blurred part from the sharp one, but not how strong the blur is: strong blur is "
            "underestimated.",
        ),
        "coffee": Example(packaged_path("coffee"), "Coffee"),
        "astronaut": Example(packaged_path("astronaut"), "Astronaut"),
        "rocket": Example(
            packaged_path("rocket"),
            "Rocket (fails)",
            "This map is wrong: all of this photo is in focus. A clear sky has no texture from "
            "which blur could be told, and the network takes it for blurred.",
        ),
    }
    return {name: one for name, one in found.items() if one.path is not None and one.path.exists()}


def remark_on(path) -> str:
    """The remark on an example, "" for any other photo."""
    return next((one.remark for one in examples().values() if str(one.path) == str(path)), "")
