"""A few unreadable photos are skipped, counted and listed; more are refused."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from data_gen.io.errors import DataFileError
from dmenet_tf.data.labelled import LabelledPhotos
from dmenet_tf.data.unlabelled import UnlabelledPhotos
from dmenet_tf.data.unreadable import Tolerant, check_headers, check_whole


class Numbered:
    """Items that are their own number; the `broken` ones cannot be read."""

    def __init__(self, count, *broken):
        self.count, self.broken = count, set(broken)

    def __len__(self):
        return self.count

    def name(self, i):
        return f"{i}.png"

    def read(self, i):
        if i in self.broken:
            raise DataFileError(f"{i}.png: must be\nreadable <object at 0x7f1f{i}>")
        return np.full((1, 1, 3), i, np.uint8), np.zeros((1, 1), np.float32)


def numbers(source):
    return [int(source.read(i)[0][0, 0, 0]) for i in range(len(source))]


def test_the_next_readable_item_takes_the_place_of_a_broken_one():
    source = Tolerant(Numbered(6, 1, 2, 5), 0.5)
    assert numbers(source) == [0, 3, 3, 3, 4, 0]
    assert source.skipped == [f"{i}.png: must be readable <object>" for i in (1, 2, 5)]
    # In whatever order the broken ones are found, and when they are known already.
    backwards = Tolerant(Numbered(6, 1, 2, 5), 0.5)
    assert [int(backwards.read(i)[0][0, 0, 0]) for i in range(5, -1, -1)] == [0, 4, 3, 3, 3, 0]
    assert numbers(backwards) == numbers(source)
    assert source.name(1) == "1.png"


@pytest.mark.parametrize(
    "count, max_bad, limit",
    [(12, 0.01, 1), (100, 0.01, 1), (101, 0.01, 2), (12, 0.0, 0), (3, 1.0, 3)],
)
def test_a_share_is_rounded_up_so_that_one_of_a_few_is_skipped(count, max_bad, limit):
    assert Tolerant(Numbered(count), max_bad).limit == limit


def test_one_too_many_names_the_last_and_the_rule():
    source = Tolerant(Numbered(10, 3, 4), 0.1)
    with pytest.raises(DataFileError, match=r"^at most 1 of 10 .*--max-bad.* 4.png: must be"):
        numbers(source)
    assert source.skipped == ["3.png: must be readable <object>"]
    with pytest.raises(DataFileError, match=r"^3.png: must be"):
        Tolerant(Numbered(10, 3), 0).read(3)
    with pytest.raises(DataFileError, match="0.png: one item of its collection must be readable"):
        Tolerant(Numbered(2, 0, 1), 1.0).read(0)


def test_threads_that_meet_at_a_broken_item_count_it_once():
    barrier = threading.Barrier(4)

    class Meeting(Numbered):
        def read(self, i):
            if i in self.broken:
                barrier.wait()
            return super().read(i)

    source = Tolerant(Meeting(10, 2), 0.1)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(source.read, [2] * 4))
    assert {int(image[0, 0, 0]) for image, _ in read} == {3}
    assert source.skipped == ["2.png: must be readable <object>"]


# --- files -------------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    for folder in ("image", "gt"):
        (tmp_path / folder).mkdir()
        for i in range(5):
            pixels = np.zeros((8, 8), np.uint8)
            pixels[:, 4:] = 255
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), pixels)
    return tmp_path


def test_headers_find_files_that_are_no_images(labelled):
    (labelled / "image" / "1.png").write_bytes(b"")
    (labelled / "gt" / "3.png").write_text("no image")
    photos = Tolerant(LabelledPhotos(labelled), 0.4)
    unlabelled = Tolerant(UnlabelledPhotos(labelled / "image"), 0.2)
    seen = []
    check_headers([photos, unlabelled], lambda items, total: (seen.append(total), items)[1])
    assert seen == [10]
    first, second = photos.skipped
    assert "image/1.png" in first and "gt/3.png" in second
    assert len(unlabelled.skipped) == 1


def test_headers_of_what_must_be_whole_are_refused_at_once(labelled):
    (labelled / "gt" / "3.png").write_text("no image")
    with pytest.raises(DataFileError, match=r"gt/3.png"):
        check_headers([LabelledPhotos(labelled)])
    with pytest.raises(DataFileError, match=r"^[^ ]*gt/3.png"):
        check_headers([Tolerant(LabelledPhotos(labelled), 0)])


def test_a_format_that_only_the_reader_knows_is_no_problem(labelled, monkeypatch):
    """Headers are a quick first look: the reader has the last word."""
    monkeypatch.setattr("dmenet_tf.data.unreadable.looks_readable", lambda path: False)
    photos = Tolerant(LabelledPhotos(labelled), 0)
    check_headers([photos])
    assert photos.skipped == []


def test_truncated_files_are_found_by_reading_all(labelled):
    path = labelled / "image" / "2.png"
    path.write_bytes(path.read_bytes()[:50])
    photos = LabelledPhotos(labelled)
    check_headers([photos])
    with pytest.raises(DataFileError, match="image/2.png"):
        check_whole(photos)


def test_sources_without_files_are_not_read():
    source = Numbered(3, 0, 1, 2)
    check_headers([source])
    check_whole(source)
