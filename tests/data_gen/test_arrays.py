"""Arrays on disk: whole, and under the name that was given."""

import numpy as np
import pytest

from data_gen.io.arrays import write_npy


@pytest.mark.parametrize("name", ["maps.npy", "maps", ".maps.npy"])
def test_an_array_comes_back_under_its_name(tmp_path, name):
    array = np.linspace(0, 1, 6, dtype=np.float32).reshape(1, 2, 3)
    write_npy(tmp_path / name, array)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    read = np.load(tmp_path / name)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, array)


def test_a_failed_write_leaves_the_earlier_array(tmp_path):
    write_npy(tmp_path / "maps.npy", np.zeros(3))

    class Broken:
        def __array__(self, *_, **__):
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        write_npy(tmp_path / "maps.npy", Broken())
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "maps.npy"), np.zeros(3))
