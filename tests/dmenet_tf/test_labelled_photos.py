import cv2
import numpy as np
import pytest

from dmenet_tf.data.cutouts import CutoutPhotos
from dmenet_tf.data.labelled import LabelledPhotos
from dmenet_tf.data.masks import check_polarity
from dmenet_tf.data.name_lists import select_names
from dmenet_tf.data.unlabelled import UnlabelledPhotos, default_unlabelled


@pytest.fixture
def write():
    """write(path, array RGB or grey) -> path, its folder made."""

    def write(path, array):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1])
        return path

    return write


@pytest.fixture
def collection(tmp_path, write):
    """Four photos of noise whose upper half is blurred, 255 = blurred, in CUHK's layout."""
    rng = np.random.default_rng(0)
    for number in (1, 2, 3, 12):
        image = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
        image[:24] = cv2.GaussianBlur(image[:24], (0, 0), 2.0)
        mask = np.zeros((48, 40), np.uint8)
        mask[:24] = 255
        write(tmp_path / "image" / f"photo{number:04d}.png", image)
        write(tmp_path / "gt" / f"photo{number:04d}.png", mask)
    return tmp_path


def names_of(collection):
    return [collection.name(i) for i in range(len(collection))]


@pytest.mark.parametrize(("polarity", "upper", "lower"), [("blurred", 1, 0), ("sharp", 0, 1)])
def test_polarity_says_what_255_is(collection, polarity, upper, lower):
    labelled = LabelledPhotos(collection, polarity)
    image, blurred = labelled.read(0)
    assert image.shape == (48, 40, 3) and image.dtype == np.uint8
    assert blurred.shape == (48, 40) and blurred.dtype == np.float32
    assert (blurred[:24] == upper).all() and (blurred[24:] == lower).all()


def test_photos_are_rgb_and_paired_by_stem(tmp_path, write):
    for name, level in (("b", 0), ("a", 255)):
        write(tmp_path / "images" / f"{name}.png", np.full((8, 9, 3), (250, 20, level), np.uint8))
        write(tmp_path / "Masks" / f"{name}.bmp", np.full((8, 9), level, np.uint8))
    labelled = LabelledPhotos(tmp_path)
    assert names_of(labelled) == ["a", "b"]
    for index, level in ((0, 255), (1, 0)):
        image, blurred = labelled.read(index)
        assert tuple(image[0, 0]) == (250, 20, level)
        assert (blurred == level / 255).all()
    pair = LabelledPhotos((tmp_path / "images", str(tmp_path / "Masks")))
    assert names_of(pair) == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["0001", "0002", "0003", "0012"]),
        ("", ["0001", "0002", "0003", "0012"]),
        ("0002-0012", ["0002", "0003", "0012"]),
        ("1-2", ["0001", "0002"]),
        ("photo0003-0100", ["0003", "0012"]),
        (["photo0012", "photo0001"], ["0001", "0012"]),
    ],
)
def test_names_choose_photos(collection, names, expected):
    labelled = LabelledPhotos(collection, names=names)
    assert names_of(labelled) == [f"photo{number}" for number in expected]


def test_names_from_a_text_file(collection):
    listing = collection / "train.txt"
    listing.write_text("photo0002\n\n photo0012.jpg\n")
    assert names_of(LabelledPhotos(collection, names=listing)) == ["photo0002", "photo0012"]
    assert len(LabelledPhotos(collection, names=str(listing))) == 2


def test_series_of_the_same_numbers_are_told_apart():
    stems = ["motion0001", "motion0002", "out_of_focus0001", "out_of_focus0003", "notes"]
    assert select_names(stems, "1-2") == set(stems[:3])
    assert select_names(stems, "out_of_focus0001-0002") == {"out_of_focus0001"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("100-200", "must match at least one photo; received 100-200"),
        ("train.txt", "no such file"),
        (["photo0001", "photo0009"], "no photo for 1 names, such as photo0009"),
    ],
)
def test_names_that_are_not_there(collection, names, message):
    with pytest.raises(ValueError, match=message):
        LabelledPhotos(collection, names=names)


def test_a_partner_is_missing(collection):
    (collection / "gt" / "photo0003.png").unlink()
    with pytest.raises(ValueError, match=r"image/photo0003.png: .* received no map"):
        LabelledPhotos(collection)
    assert len(LabelledPhotos(collection, names="1-2")) == 2
    (collection / "image" / "photo0002.png").unlink()
    with pytest.raises(ValueError, match=r"gt/photo0002.png: .* received no photo"):
        LabelledPhotos(collection)


def test_one_stem_twice(collection, write):
    write(collection / "image" / "photo0001.bmp", np.zeros((48, 40, 3), np.uint8))
    with pytest.raises(ValueError, match="must belong to one file"):
        LabelledPhotos(collection)


def test_folders_that_do_not_fit(tmp_path, collection):
    with pytest.raises(ValueError, match="no such folder"):
        LabelledPhotos(tmp_path / "nowhere")
    (collection / "mask").mkdir()
    with pytest.raises(ValueError, match="exactly one .*; received gt, mask"):
        LabelledPhotos(collection)
    with pytest.raises(ValueError, match="received none of them"):
        LabelledPhotos(collection / "image")
    with pytest.raises(ValueError, match="must hold images"):
        LabelledPhotos((collection / "image", collection / "mask"))
    with pytest.raises(ValueError, match="polarity must be one of .* received 'white'"):
        LabelledPhotos(collection, "white")


def test_a_map_of_another_size_names_both_files(collection, write):
    write(collection / "gt" / "photo0001.png", np.zeros((48, 41), np.uint8))
    with pytest.raises(ValueError, match=r"gt/photo0001.png.*48, 41.*48, 40.*image/photo0001.png"):
        LabelledPhotos(collection).read(0)


def test_maps_with_noise_pass_and_grey_maps_do_not(collection, write):
    def read(mask):
        write(collection / "gt" / "photo0001.png", mask)
        return LabelledPhotos(collection).read(0)[1]

    two_valued = np.zeros((48, 40), np.uint8)
    two_valued[:, 20:] = 255
    noise = np.random.default_rng(0).integers(0, 30, two_valued.shape).astype(np.uint8)
    noisy = np.where(two_valued == 255, 255 - noise, noise)
    noisy[:, 19], noisy[:, 20] = 100, 160  # a smoothed outline: 2 of 40 columns, 5 %
    np.testing.assert_array_equal(read(noisy), two_valued / 255)
    with pytest.raises(ValueError, match=r"photo0001.png: a mask must hold two values"):
        read(np.linspace(0, 255, 48 * 40).reshape(48, 40).astype(np.uint8))
    np.testing.assert_array_equal(read(two_valued // 255), two_valued / 255)


def test_a_map_of_one_value_takes_its_meaning_from_the_others(collection, write):
    """0 and 1 as in many collections; one photo is blurred throughout, one in focus."""
    halves = np.uint8(cv2.imread(str(collection / "gt" / "photo0003.png"), 0) // 255)
    for number, mask in ((1, halves * 0 + 1), (2, halves * 0), (3, halves), (12, halves)):
        write(collection / "gt" / f"photo{number:04d}.png", mask)
    labelled = LabelledPhotos(collection)
    assert [labelled.read(i)[1].mean() for i in range(4)] == [1.0, 0.0, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"photo0001.png: .*received the value 1 alone"):
        LabelledPhotos(collection, names="1-2").read(0)


def test_a_broken_file_is_named(collection):
    path = collection / "image" / "photo0002.png"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="photo0002.png"):
        LabelledPhotos(collection).read(1)


# --- polarity --------------------------------------------------------------------------------


def test_polarity_check_passes_and_fails_where_it_should(collection):
    assert check_polarity(LabelledPhotos(collection)) == 1.0
    with pytest.raises(ValueError, match="received 0% of 4: the maps are inverted: use the other"):
        check_polarity(LabelledPhotos(collection, "sharp"))


def test_polarity_check_refuses_maps_without_relation_to_blur(collection, write):
    for number in (1, 2):
        path = collection / "gt" / f"photo{number:04d}.png"
        write(path, 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    with pytest.raises(ValueError, match="received 50% of 4: the maps do not follow the blur"):
        check_polarity(LabelledPhotos(collection))


def test_polarity_check_leaves_out_photos_of_one_class(collection, write):
    for number in (1, 2, 3):
        write(collection / "gt" / f"photo{number:04d}.png", np.full((48, 40), 255, np.uint8))
    assert check_polarity(LabelledPhotos(collection)) == 1.0
    only = r"received 3 photos, none with both, such as .*photo0001.png with the value 255"
    with pytest.raises(ValueError, match=only):
        check_polarity(LabelledPhotos(collection, names="1-3"))


def test_polarity_sample_is_spread_over_the_collection():
    class Recorder:
        def __init__(self, count):
            self.count, self.asked = count, []

        def __len__(self):
            return self.count

        def read(self, index):
            self.asked.append(index)
            blurred = np.zeros((20, 20), np.float32)
            blurred[:10] = 1.0
            image = np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8)
            image[:10] = 128
            return image, blurred

    # Nine of 101: 0, 12.5 (to even: 12), 25, ...
    recorder = Recorder(101)
    check_polarity(recorder, sample=9)
    assert recorder.asked == [0, 12, 25, 38, 50, 62, 75, 88, 100]
    recorder = Recorder(3)
    check_polarity(recorder, sample=40)
    assert recorder.asked == [0, 1, 2]


def test_polarity_of_the_embedded_cutouts():
    assert check_polarity(CutoutPhotos(0, 40, 160)) >= 0.9


def test_polarity_of_cuhk(shared):
    folder = shared / "data" / "cuhk"
    # Measured: 100 % of these 16, 99.8 % of all.
    training = LabelledPhotos(folder, "blurred", "0001-0454")
    assert len(training) == 454 and training.name(453) == "out_of_focus0454"
    assert check_polarity(training, sample=16) >= 0.95
    with pytest.raises(ValueError, match="inverted"):
        check_polarity(LabelledPhotos(folder, "sharp"), sample=16)


# --- without maps ----------------------------------------------------------------------------


def test_unlabelled_photos_of_folders_and_files(tmp_path, write):
    def photo(level):
        return np.full((6, 7, 3), (level, 0, 255), np.uint8)

    write(tmp_path / "a" / "deep" / "er" / "x2.png", photo(1))
    write(tmp_path / "a" / "x10.png", photo(2))
    (tmp_path / "a" / "SOURCE.txt").write_text("not a photo")
    single = write(tmp_path / "b" / "y.png", photo(3))
    unlabelled = UnlabelledPhotos(tmp_path / "a", str(single))
    levels = {unlabelled.name(i): unlabelled.read(i)[0, 0].tolist() for i in range(len(unlabelled))}
    assert levels == {"x2": [1, 0, 255], "x10": [2, 0, 255], "y": [3, 0, 255]}


def test_unlabelled_photos_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="no such path"):
        UnlabelledPhotos(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="must hold images; received none"):
        UnlabelledPhotos(tmp_path)
    with pytest.raises(ValueError, match="must be given"):
        UnlabelledPhotos()


def test_default_unlabelled_are_colour_photos():
    default = default_unlabelled()
    assert len(default) == len(set(names_of(default))) >= 4
    for index in range(len(default)):
        image = default.read(index)
        assert image.dtype == np.uint8 and image.shape[2] == 3 and min(image.shape[:2]) >= 240
        assert (image[..., 0] != image[..., 2]).any()


@pytest.mark.parametrize(("folder", "count"), [("lfsd", 194), ("photos_shallow_dof", 6)])
def test_unlabelled_reference_photos(shared, folder, count):
    unlabelled = UnlabelledPhotos(shared / "data" / folder)
    assert len(unlabelled) == count
    assert unlabelled.read(count - 1).shape[2] == 3
