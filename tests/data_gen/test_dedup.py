"""data_gen/curation/dedup.py: groups worked out by hand, and real scenes focused twice."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from data_gen.curation import dedup, entry_points
from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from data_gen.sources.base import Subset, concat, read_image
from data_gen.sources.rgbd import open_source


def bits(*ones):
    row = np.zeros(dedup.BITS, bool)
    row[list(ones)] = True
    return row


def picture(seed, size=96):
    """Smooth random light, unlike any other seed's."""
    noise = np.random.default_rng(seed).random((6, 6, 3), np.float32)
    return (cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(
        np.uint8
    )


def naive(hashes, threshold):
    """The rule as it is written down: leader of each image."""
    kept, leader = [], []
    for i, row in enumerate(hashes):
        distances = [int((row != hashes[k]).sum()) for k in kept]
        near = min(distances, default=None)
        if near is not None and near <= threshold:
            leader.append(kept[distances.index(near)])
        else:
            kept.append(i)
            leader.append(i)
    return leader


def test_groups_by_hand():
    # Distances: 0-1 two bits, 0-2 four, 1-2 two, 3 is ten or more from all, 4 equals 3.
    hashes = np.stack(
        [bits(), bits(0, 1), bits(0, 1, 2, 3), bits(*range(10, 24)), bits(*range(10, 24))]
    )
    groups = dedup.group(hashes, threshold=2)
    # 1 falls to 0. 2 is near 1, which is gone, and 4 from 0: kept. A chain would have lost it.
    assert groups.leader.tolist() == [0, 0, 2, 3, 3]
    assert groups.distance.tolist() == [-1, 2, 4, 14, 0]
    assert groups.kept == [0, 2, 3]
    assert groups.merged() == [(0, [1]), (3, [4])]
    assert dedup.group(hashes, threshold=0).kept == [0, 1, 2, 3]
    assert dedup.group(hashes, threshold=14).kept == [0]
    assert dedup.group(hashes, threshold=14).merged() == [(0, [3, 4, 2, 1])]  # farthest first


@pytest.mark.parametrize("threshold", [0, 20, 64, 110])
def test_blocks_change_nothing(monkeypatch, threshold):
    rng = np.random.default_rng(3)
    hashes = np.repeat(rng.random((40, dedup.BITS)) < 0.5, 3, axis=0)
    hashes ^= rng.random(hashes.shape) < 0.1
    expected = naive(hashes, threshold)
    for block in (1, 7, 512):
        monkeypatch.setattr(dedup, "BLOCK", block)
        assert dedup.group(hashes, threshold).leader.tolist() == expected


def test_a_hash_survives_size_compression_and_light_and_tells_pictures_apart():
    image = picture(1)
    small = cv2.resize(image, (60, 50), interpolation=cv2.INTER_AREA)
    dark = (image * 0.7).astype(np.uint8)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)
    own = dedup.hash_image(image)
    for same in (small, dark, jpeg):
        assert (own != dedup.hash_image(same)).sum() < dedup.THRESHOLD
    assert (own != dedup.hash_image(picture(2))).sum() > dedup.THRESHOLD


class Counted:
    """A source without `read_image`; reads image and depth together."""

    images = [picture(1), picture(2), picture(1)[:-4], picture(3)]

    def __len__(self):
        return len(self.images)

    def name(self, i):
        return f"scene_{i}"

    def read(self, i):
        return self.images[i], np.full(self.images[i].shape[:2], 1.0 + i, np.float32)


def test_a_distinct_source_is_a_source(tmp_path):
    distinct = dedup.distinct_source(Counted(), report=tmp_path)
    assert [distinct.name(i) for i in range(len(distinct))] == ["scene_0", "scene_1", "scene_3"]
    image, depth = distinct.read(2)
    np.testing.assert_array_equal(image, picture(3))
    assert depth[0, 0] == 4
    assert distinct == Subset(distinct.source, (0, 1, 3))
    assert (tmp_path / "kept.txt").read_text() == "scene_0\nscene_1\nscene_3\n"
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["images"], report["kept"], report["merged_groups"]) == (4, 3, 1)
    assert report["groups"][0]["kept"] == "scene_0"
    assert report["groups"][0]["merged"][0]["name"] == "scene_2"
    assert 0 <= report["groups"][0]["merged"][0]["distance"] <= dedup.THRESHOLD
    # A row of two pictures below the title.
    assert np.asarray(Image.open(tmp_path / "merged.png")).std() > 10
    assert Image.open(tmp_path / "distances.png").width > 500


def test_joined_sources_read_images_alone_and_in_red_and_blue_swapped(tmp_path):
    for name in ("a", "b"):
        write_png(tmp_path / name / "rgb.png", picture(1))
        write_png(tmp_path / name / "depth.png", np.full((96, 96), 9, np.uint8))
    plain, swapped = (open_source(tmp_path, bgr_scenes=p) for p in ((), ("b",)))
    joined = concat([plain, swapped])
    np.testing.assert_array_equal(joined.read_image(1), picture(1))
    np.testing.assert_array_equal(joined.read_image(3), picture(1)[..., ::-1])
    np.testing.assert_array_equal(joined.read(3)[0], joined.read_image(3))
    np.testing.assert_array_equal(read_image(concat([Counted()]), 1), picture(2))


def run(*arguments):
    return entry_points.dedup([str(argument) for argument in arguments])


def test_command_on_photos(tmp_path, capsys):
    photos = tmp_path / "photos"
    for name, seed in (("b/10.png", 1), ("b/9.png", 1), ("a.png", 2), ("c.png", 3)):
        write_png(photos / name, picture(seed))
    assert run(photos, "--out", tmp_path / "out") == 0
    # Natural order: 9 before 10, so 9 is the first of its group.
    assert (tmp_path / "out/kept.txt").read_text().split() == ["a.png", "b/9.png", "c.png"]
    console = capsys.readouterr().out
    assert "4 images, 3 kept, 1 left out in 1 groups (threshold 64 of 256 bits)" in console
    assert "b/9.png stands for 1 more" in console
    again = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert run(photos, "--out", tmp_path / "out") == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == again


def test_command_on_several_folders_and_on_photos_beside_maps(tmp_path):
    for name in ("image/1.png", "blur_map/1.png"):
        write_png(tmp_path / "syndof" / name, picture(1))
    write_png(tmp_path / "other/1.png", picture(1))
    assert run(tmp_path / "other", tmp_path / "syndof", "--out", tmp_path / "out") == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["images"] == 2  # the map is no photo
    (group,) = report["groups"]
    assert group["kept"] == f"{tmp_path}/other/1.png"
    assert group["merged"] == [{"name": f"{tmp_path}/syndof/1.png", "distance": 0}]


def test_bad_input(tmp_path, capsys):
    for threshold in (-1, 256):
        with pytest.raises(ValueError, match=rf"must lie in 0 .. 255 bits; received {threshold}"):
            dedup.distinct_source(Counted(), threshold)
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "--out", tmp_path / "out") == 1
    assert "must hold images" in capsys.readouterr().err
    assert run(tmp_path / "nowhere", "--out", tmp_path / "out") == 1
    assert "a source must be a folder" in capsys.readouterr().err
    # An RGB-D folder with a scene that lacks its depth is not taken for photos.
    for name in ("image/1.png", "image/2.png", "depth/2.png"):
        write_png(tmp_path / "scenes" / name, picture(1))
    assert run(tmp_path / "scenes", "--out", tmp_path / "out") == 1
    assert "image and depth must come in pairs" in capsys.readouterr().err
    (tmp_path / "empty/broken.png").write_bytes(b"nothing")
    assert run(tmp_path / "empty", "--out", tmp_path / "out") == 1
    assert "broken.png: must be a complete, valid image file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataFileError):
        dedup.open_collection(tmp_path / "nowhere")


def test_two_focus_settings_of_a_real_scene_merge_and_scenes_do_not(tmp_path, shared):
    photos = sorted((shared / "data" / "lfsd").glob("0[0-1]?_*.jpg"))
    source = dedup.Photos(shared / "data" / "lfsd", tuple(photos))
    distinct = dedup.distinct_source(source)
    names = [distinct.name(i)[:3] for i in range(len(distinct))]
    assert names == sorted({path.name[:3] for path in photos})
    assert len(photos) == 2 * len(names)
