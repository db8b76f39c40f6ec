"""Small datasets of known content, for the tests of what writes and reads them."""

import cv2
import numpy as np

from data_gen import optics
from data_gen.dataset import folders, manifest, records, shards

ENCODINGS = list(optics.ENCODINGS)
H, W = 10, 13


def make_example(index, encoding="paper", height=H, width=W):
    """An example whose map is one that `encoding` holds exactly."""
    rng = np.random.default_rng(index)
    scheme = optics.ENCODINGS[encoding]
    sharp = int(scheme.encode(0.0))
    stored = rng.integers(sharp, scheme.stored_max + 1, (height, width), np.uint16)
    stored[0, 0], stored[-1, -1] = sharp, scheme.stored_max
    return {
        "image": rng.integers(0, 256, (height, width, 3), np.uint8),
        "defocus": optics.sigma_to_defocus(scheme.decode(stored)),
        "name": f"scene_{index}",
        "seed": 2**40 + index,
        "index": index,
        "focus_distance": 1.5 + index,
        "alpha_px": 0.25 * index,
    }


def write_dataset(folder, counts=(2, 0, 3), encoding="paper"):
    examples = [make_example(i, encoding) for i in range(sum(counts))]
    start = 0
    for shard, count in enumerate(counts):
        path = folder / shards.shard_name(shard, len(counts))
        assert records.write_shard(path, iter(examples[start : start + count]), encoding) == count
        start += count
    manifest.write_manifest(folder, encoding, start)
    return examples


def assert_same(read, example):
    image, defocus = read
    assert (image.dtype, defocus.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(image, example["image"])
    np.testing.assert_array_equal(defocus, example["defocus"])


def write_three_streams(root, count):
    """Labelled photos (cuhk), unlabelled ones (photos) and a SYNDOF folder (syndof, the generator's
    encoding), `count` of each, of sizes of their own. Returns `root`."""
    rng = np.random.default_rng(0)
    for name in ("cuhk/image", "cuhk/gt", "photos"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        size = (40 + 3 * i, 60 - 5 * i)
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        mask = np.zeros(size, np.uint8)
        mask[:, : 10 + i] = 255
        image[mask > 0] = 99  # blurred beyond recognition
        cv2.imwrite(str(root / f"cuhk/image/{i}.png"), image)
        cv2.imwrite(str(root / f"cuhk/gt/{i}.png"), mask)
        cv2.imwrite(str(root / f"photos/{i}.png"), image[::-1])
        sigma_px = rng.integers(0, 70, size) / 10
        folders.write_folder_example(root / "syndof", f"{i}", image, sigma_px, "generator")
    return root
