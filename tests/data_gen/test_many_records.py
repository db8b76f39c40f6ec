"""100,000 records: each read once an epoch, from any start, in memory that does not grow."""

import numpy as np
import psutil
import pytest

from data_gen.dataset import manifest, records, shards

pytestmark = pytest.mark.slow

COUNT, SHARDS, SIDE = 100_000, 40, 32
START = 54_321  # within the epoch
# From the middle of the epoch on, when pools of memory are full. The second half is 800 MB decoded
# and 20 MB encoded: none of it may stay.
GROWTH_MB = 10


def example(index):
    """The colour of its image is the index, in three bytes."""
    colour = np.uint8([index >> 16, index >> 8 & 255, index & 255])
    image = np.broadcast_to(colour, (SIDE, SIDE, 3)).copy()
    about = {"name": f"{index}", "seed": 0, "index": index, "focus_distance": 1, "alpha_px": 1}
    return {"image": image, "defocus": np.zeros((SIDE, SIDE), np.float32), **about}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for shard in range(SHARDS):
        numbers = range(shard * COUNT // SHARDS, (shard + 1) * COUNT // SHARDS)
        written = (records.serialize(example(i)) for i in numbers)
        shards.write_records(folder / shards.shard_name(shard, SHARDS), written)
    manifest.write_manifest(folder, "paper", COUNT)
    return records.open_records(folder)


def indices(opened, start, count):
    """(index of each of `count` records from number `start` on, memory in MB at each 10,000th)."""
    process, read, memory = psutil.Process(), [], []
    for record in records.shuffled_records([opened], 5, start).take(count).as_numpy_iterator():
        colour = np.rint(record["image"][0, 0] * 255).astype(int)
        read.append(int(colour @ [65536, 256, 1]))
        if len(read) % 10_000 == 0:
            memory.append(process.memory_info().rss / 2**20)
    return read, memory


def test_an_epoch_in_memory_that_does_not_grow(opened, capsys):
    assert len(opened) == COUNT
    read, memory = indices(opened, 0, COUNT)
    with capsys.disabled():
        print("\nMB at each 10,000th record: " + ", ".join(f"{m:.0f}" for m in memory))
    assert sorted(read) == list(range(COUNT)) and read != sorted(read)
    middle = len(memory) // 2
    assert max(memory[middle:]) - memory[middle - 1] < GROWTH_MB
    resumed, _ = indices(opened, START, 100)
    assert resumed == read[START : START + 100]
    # The next epoch has another order.
    following, _ = indices(opened, COUNT, 100)
    assert following != read[:100]
