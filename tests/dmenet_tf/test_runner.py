"""What an evaluation checks of its masks before it predicts anything. No network is needed."""

import numpy as np
import pytest
from PIL import Image

from data_gen.io.images import write_png
from data_gen.sources.base import concat
from dmenet_tf.data.labelled import LabelledPhotos
from dmenet_tf.evaluation.protocols import CUHK
from dmenet_tf.evaluation.runner import Samples, baseline_rows

LEFT_BLURRED = np.zeros((32, 40), np.uint8)
LEFT_BLURRED[:, :20] = 1


@pytest.fixture
def collection(tmp_path):
    """collection(masks, encode) -> a folder of photos whose right half has detail."""

    def collection(masks, encode=lambda mask: Image.fromarray(mask * 255)):
        rng = np.random.default_rng(0)
        for number, mask in enumerate(masks, 1):
            image = np.full((32, 40, 3), 100 + number, np.uint8)
            image[:, 20:] = rng.integers(0, 256, (32, 20, 3))
            write_png(tmp_path / "image" / f"{number}.png", image)
            (tmp_path / "gt").mkdir(exist_ok=True)
            encode(mask).save(tmp_path / "gt" / f"{number}.png")
        return concat([LabelledPhotos(tmp_path)])

    return collection


def red_palette(mask):
    image = Image.fromarray(mask, "P")
    image.putpalette([200, 0, 0] * 2)
    return image


ENCODINGS = {
    "alpha": lambda mask: Image.fromarray(np.dstack([np.full((32, 40, 3), 255, np.uint8),
                                                     mask * 255])),
    "0 and 2": lambda mask: Image.fromarray(mask * 2),
    "0 and 100": lambda mask: Image.fromarray(mask * 100),
    "red palette": red_palette,
}  # fmt: skip


@pytest.mark.parametrize("title", ENCODINGS)
def test_figures_do_not_depend_on_how_masks_are_stored(collection, title):
    usual, other = (
        Samples(collection([LEFT_BLURRED] * 6, *encode), CUHK, progress=False)
        for encode in ((), (ENCODINGS[title],))
    )
    of = [{row.title: row.summary.figures for row in baseline_rows(s, CUHK, False)}
          for s in (usual, other)]  # fmt: skip
    assert of[0] == of[1]
    assert of[0]["always blurred"]["accuracy"] == 0.5 and usual.note == other.note == ""


@pytest.mark.parametrize(("level", "title"), [(0, "in focus"), (1, "blurred")])
def test_masks_of_one_class_are_refused_with_file_and_value(collection, level, title):
    source = collection([np.full_like(LEFT_BLURRED, level)] * 6)
    rule = rf"must hold both classes.*received 6 masks that are {title} throughout, such as .*gt/1"
    with pytest.raises(ValueError, match=rf"{rule}.png with the value {255 * level}"):
        Samples(source, CUHK, progress=False)


def test_one_mask_with_both_classes_is_enough(collection):
    whole = np.ones_like(LEFT_BLURRED)
    samples = Samples(collection([whole, whole * 0, LEFT_BLURRED]), CUHK, progress=False)
    assert samples.truth_means == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(("inverted", "agree"), [(False, 4), (True, 0)])
def test_a_small_collection_says_that_its_polarity_was_not_checked(collection, inverted, agree):
    mask = 1 - LEFT_BLURRED if inverted else LEFT_BLURRED
    samples = Samples(collection([mask] * 4), CUHK, progress=False)
    assert "polarity was not checked" in samples.note
    assert f"received 4, of which {agree} have more detail" in samples.note


def test_five_are_checked(collection):
    assert Samples(collection([LEFT_BLURRED] * 5), CUHK, progress=False).note == ""
    with pytest.raises(ValueError, match="0% of 5 photos.*inverted"):
        Samples(collection([1 - LEFT_BLURRED] * 5), CUHK, progress=False)
