"""Scenes of photos that people have segmented."""

import numpy as np
import pytest
import scipy.io

from data_gen.generation.options import SourceOptions, open_source
from data_gen.generation.parameters import DatasetParameters
from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from data_gen.sources.segments import MAX_PLANES, SegmentScenes, read_segments
from tests.support.segments import halves, photo, write_segments


def test_segments_become_planes(tmp_path):
    write_segments(tmp_path, "a", halves(count=4))
    write_segments(tmp_path, "b", halves(count=2))
    scenes = SegmentScenes(tmp_path, seed=0)
    image, depth = scenes.read(0)
    assert image.shape == (20, 24, 3) and depth.dtype == np.float32
    # Four planes between 1 and 10 in equal ratios, one per segment.
    assert np.unique(depth) == pytest.approx([1, 10 ** (1 / 3), 10 ** (2 / 3), 10], rel=1e-6)
    assert all(len(np.unique(depth[:, 6 * k : 6 * k + 6])) == 1 for k in range(4))
    assert np.array_equal(depth, SegmentScenes(tmp_path, seed=0).read(0)[1])
    others = [SegmentScenes(tmp_path, seed=seed).read(0)[1] for seed in range(1, 6)]
    assert any(not np.array_equal(depth, other) for other in others)


def test_the_median_of_several_peoples_segmentations_is_taken(tmp_path):
    path = write_segments(tmp_path, "a", *(halves(count=count) for count in (6, 2, 3, 4)))
    assert len(np.unique(read_segments(path))) == 3


def test_segments_that_break_a_rule_are_named(tmp_path):
    path = write_segments(tmp_path, "a", halves())
    write_png(tmp_path / "images" / "train" / "a.png", photo(10, 10))
    with pytest.raises(DataFileError, match=r"a.mat: segments must have the size"):
        SegmentScenes(tmp_path, 0).read(0)
    scipy.io.savemat(path, {"groundTruth": np.ones((3, 3))})
    with pytest.raises(DataFileError, match="segmentations as BSDS500"):
        SegmentScenes(tmp_path, 0).read(0)
    path.unlink()
    with pytest.raises(DataFileError, match="groundTruth: must hold"):
        SegmentScenes(tmp_path, 0)


def test_a_training_scene_has_few_planes(tmp_path):
    for stem in "abcdefgh":
        write_segments(tmp_path, stem, halves(count=12))
    options = SourceOptions(source=("segments",), root=(str(tmp_path),))
    source, origin, more = open_source(options, DatasetParameters(count=1))
    assert len(source) == 8 and origin == str(tmp_path) and more["source_layout"] == "segments"
    assert source.origin(0)["image"] == "images/train/a.png"
    planes = []
    for i in range(len(source)):
        image, depth = source.read(i)
        assert np.array_equal(image, source.read_image(i))
        planes.append(len(np.unique(depth)))
        assert depth.min() >= 1 and depth.max() <= 10 * (1 + 1e-6)
    assert max(planes) <= MAX_PLANES < 12 and len(set(planes)) > 1


def test_options_of_depth_files_are_refused_for_segments(tmp_path):
    write_segments(tmp_path, "a", halves())
    options = SourceOptions(source=("segments",), root=(str(tmp_path),), far=3.0)
    with pytest.raises(ValueError, match="invents depth"):
        open_source(options, DatasetParameters(count=1))
