"""Collections that protocols are evaluated on: RTF photos, rendered scenes, segments, choices."""

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from data_gen import pipeline
from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from data_gen.sources.segments import SegmentScenes
from dmenet_tf.evaluation import samples as sets
from tests.support.segments import halves, photo, write_segments


def write_rtf(folder, number, radius):
    image = photo(*radius.shape)
    write_png(folder / f"image_{number}.png", image)
    scipy.io.savemat(folder / f"map_{number}.mat", {"blurMap": radius})
    return image


def test_rtf_pairs_and_converts(tmp_path):
    images = [write_rtf(tmp_path, n, np.full((6, 8), r)) for n, r in (("10", 2.0), ("02", 0.5))]
    photos = sets.RtfPhotos(tmp_path, sets.disc_sigma_px)
    assert [photos.name(i) for i in range(len(photos))] == ["image_02", "image_10"]
    image, sigma_px = photos.read(1)
    assert np.array_equal(image, images[0]) and sigma_px.dtype == np.float32
    assert (sigma_px == 1.0).all()  # a disc of radius 2: variance r^2/4 = 1


def test_rtf_says_what_it_leaves_out(tmp_path, capsys):
    write_rtf(tmp_path, "01", np.full((6, 8), 1.0))
    sets.RtfPhotos(tmp_path, sets.disc_sigma_px)
    assert capsys.readouterr().err == ""
    (tmp_path / "image_02.mov").write_bytes(b"x")
    assert len(sets.RtfPhotos(tmp_path, sets.disc_sigma_px)) == 1
    assert capsys.readouterr().err == f"note: {tmp_path}: left out: 1 .mov\n"


def test_half_the_radius_is_a_discs_standard_deviation():
    y, x = np.mgrid[-60:61, -60:61]
    disc = np.hypot(y, x) <= 50
    assert x[disc].std() == pytest.approx(sets.disc_sigma_px(50), rel=2e-3)


def test_a_table_is_read_by_its_nearest_radius(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("gaussian_sigma_px,disc_radius_px\n1.5,3\n0.3,0.5\n0.6,1\n")
    to_sigma = sets.read_radius_table(table)
    # Borders between radii at 0.75 and 2; beyond the ends, the ends.
    radii = [0.0, 0.74, 0.76, 1.9, 2.1, 99]
    assert to_sigma(radii).tolist() == [0.3, 0.3, 0.6, 0.6, 1.5, 1.5]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "gaussian_sigma_px,disc_radius_px\n1,x\n", "x"])
def test_a_table_of_something_else_is_refused(tmp_path, text):
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(DataFileError, match="table.csv"):
        sets.read_radius_table(table)


def test_the_reference_photo(shared):
    folder = shared / "reference" / "rtf"
    to_sigma = sets.read_radius_table(folder / "gaussian_sigma_of_disc_radius.csv")
    photos = sets.RtfPhotos(folder, to_sigma)
    image, sigma_px = photos.read(0)
    assert len(photos) == 1 and image.shape == (360, 360, 3)
    # Radii 0.5 .. 3.5 px: the table's sigma of those is 0.3 and 1.925.
    assert sigma_px.min() == np.float32(0.3) and sigma_px.max() == np.float32(1.925)


def test_rtf_files_that_break_a_rule_are_named(tmp_path):
    write_rtf(tmp_path, "01", np.ones((4, 4)))
    write_png(tmp_path / "image_02.png", photo())
    with pytest.raises(DataFileError, match=r"image_02.png.*no partner"):
        sets.RtfPhotos(tmp_path, sets.disc_sigma_px)
    (tmp_path / "map_02.mat").write_bytes(b"MATLAB 5.0 but cut off")
    with pytest.raises(DataFileError, match=r"map_02.mat: must be a whole .mat"):
        sets.RtfPhotos(tmp_path, sets.disc_sigma_px).read(1)
    scipy.io.savemat(tmp_path / "map_02.mat", {"other": np.ones((4, 4))})
    with pytest.raises(DataFileError, match="variable blurMap"):
        sets.RtfPhotos(tmp_path, sets.disc_sigma_px).read(1)
    scipy.io.savemat(tmp_path / "map_02.mat", {"blurMap": np.full((4, 4), np.nan)})
    with pytest.raises(DataFileError, match="finite"):
        sets.RtfPhotos(tmp_path, sets.disc_sigma_px).read(1)
    with pytest.raises(DataFileError, match="no such folder"):
        sets.RtfPhotos(tmp_path / "nowhere", sets.disc_sigma_px)


def test_rendered_scenes_repeat_and_take_every_scene_once(tmp_path):
    source = pipeline.ProceduralScenes(5, 3, 32, 32)
    rendered = sets.RenderedScenes(source, seed=1, count=4)
    names = [rendered.name(i) for i in range(4)]
    assert sorted(names[:3]) == [source.name(i) for i in range(3)] and names[3].endswith("(lens 2)")
    image, defocus = rendered.read(1)
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    assert defocus.shape == (32, 32) and defocus.min() >= 0 and defocus.max() <= 1
    again = sets.RenderedScenes(source, seed=1, count=4).read(1)
    assert np.array_equal(again[0], image) and np.array_equal(again[1], defocus)


def test_a_scene_that_cannot_be_read_keeps_its_error(tmp_path):
    write_segments(tmp_path, "a", halves()).write_bytes(b"cut off")
    rendered = sets.RenderedScenes(SegmentScenes(tmp_path, 0), seed=0, count=1)
    with pytest.raises(DataFileError, match=r"a.mat"):
        rendered.read(0)


class Numbered:
    """Samples named by numbers; what is read is the number."""

    def __init__(self, numbers, prefix="photo"):
        self.numbers, self.prefix = list(numbers), prefix

    def __len__(self):
        return len(self.numbers)

    def name(self, index):
        return f"{self.prefix}{self.numbers[index]:04d}"

    def read(self, index):
        return self.numbers[index]


def test_names_choose():
    chosen = sets.chosen(Numbered(range(5)), "0002-0003")
    assert [chosen.read(i) for i in range(len(chosen))] == [2, 3]
    assert chosen.name(0) == "photo0002"
    with pytest.raises(ValueError, match="photo0009"):
        sets.chosen(Numbered(range(5)), ["photo0009"])


@given(
    numbers=st.sets(st.integers(0, 20_000), min_size=1, max_size=30),
    first=st.integers(0, 20_000),
    last=st.integers(0, 20_000),
    digits=st.integers(1, 6),
    prefix=st.sampled_from(["", "photo", "out_of_focus", "a1b"]),
)
def test_a_range_of_names_takes_the_numbers_within_in_their_order(
    numbers, first, last, digits, prefix
):
    source = Numbered(numbers, prefix)
    wanted = [number for number in source.numbers if first <= number <= last]
    text = f"{first:0{digits}d}-{last:0{digits}d}"
    for names in (text, prefix + text):
        if wanted:
            chosen = sets.chosen(source, names)
            assert [chosen.read(i) for i in range(len(chosen))] == wanted
        else:
            with pytest.raises(ValueError, match="must match at least one photo"):
                sets.chosen(source, names)
    # Names that are given one by one are the same choice.
    listed = [f"{prefix}{number:04d}" for number in wanted]
    assert len(sets.chosen(source, listed)) == len(wanted)
