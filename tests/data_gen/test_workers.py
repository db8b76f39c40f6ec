"""Worker processes: what becomes of their ends and errors."""

import os
import signal

import numpy as np
import pytest

from data_gen.generation import writer
from data_gen.generation.parameters import DatasetParameters
from data_gen.generation.workers import WorkerDied
from data_gen.io.errors import DataFileError


class Scenes:
    """Two planes; scene 2 does something else, in whatever process reads it."""

    def __init__(self, deed):
        self.deed = deed

    def __len__(self):
        return 6

    def name(self, i):
        return f"scene {i}"

    def read(self, i):
        if i == 2 and self.deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if i == 2:
            raise DataFileError("scene 2: must be readable; received nothing")
        depth = np.where(np.arange(40) < 20, 1.0, 3.0) * np.ones((40, 1))
        return np.full((40, 40, 3), 100, np.uint8), depth.astype(np.float32)


@pytest.mark.parametrize(
    "deed, error, message",
    [
        ("die", WorkerDied, "was ended by SIGKILL.*run the same command with fewer --jobs"),
        ("raise", DataFileError, "^scene 2: must be readable"),
    ],
)
def test_the_end_of_a_worker_is_an_error_and_not_a_wait(tmp_path, deed, error, message):
    parameters = DatasetParameters(6, crop=16, shard_size=1)
    with pytest.raises(error, match=message):
        writer.write_dataset(Scenes(deed), "test", tmp_path, parameters, worker_count=2)
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "dataset.json").exists()
