"""Writes a SYNDOF dataset to disk: example(seed, index) for index 0 .. count - 1.

    OUT/parameters.json    the parameters of the dataset, written first
    OUT/...                shards or image files, each complete when it appears
    OUT/manifest.jsonl     how each image was made, one JSON line per image, in order
    OUT/dataset.json       written last: the dataset is complete

Run again with the same parameters, an interrupted run continues where it stopped (`jobs.py`). The
bytes are the same as without the interruption, for any number of workers.
"""

import json
import sys
from dataclasses import asdict

from data_gen.dataset.manifest import MANIFEST, PARAMETERS
from data_gen.generation import jobs, workers
from data_gen.generation.generator import Generator
from data_gen.generation.parameters import DatasetParameters
from data_gen.generation.store import LocalStore
from data_gen.io.errors import DataFileError
from data_gen.io.locks import FolderLock
from data_gen.io.parallel import cores

# Number of images after which the required disk space is estimated.
IMAGES_FOR_ESTIMATE = 8
# Images differ in size: the estimate may be off by about this factor.
ESTIMATE_TOLERANCE = 1.25


def write_dataset(
    source, origin: str, out, parameters: DatasetParameters, worker_count=1, progress=None, **more
):
    """Writes the dataset, or the missing rest of it.

    Args:
        source: RGB-D scenes.
        origin: description of where they come from, for dataset.json.
        out: the dataset's folder.
        worker_count: number of processes; 1: this process only.
        progress: `progress(total=, initial=)` -> a context manager with `update(n)`, as tqdm.
        more: further entries for parameters.json and dataset.json.
    Raises:
        DataFileError: `out` contains a dataset with other parameters, is in use by another
            process, is not writable or has too little space; or a scene cannot be used.
        workers.WorkerDied: a worker process was killed.
    """
    with FolderLock(out):
        store = LocalStore(out)
        store.remove_left_over()
        about = description(source, origin, parameters, more)
        claim(store, about)
        everything = jobs.all_jobs(parameters)
        left = left_jobs(everything, store)
        try:
            _do(left, store, source, parameters, worker_count, progress)
        finally:
            # Left by stopped workers, or by workers that outlived a killed parent.
            store.remove_left_over()
        jobs.finish(everything, store, parameters, manifest_about(about))


def description(source, origin: str, parameters: DatasetParameters, more: dict) -> dict:
    """The contents of parameters.json."""
    return {"source": origin, "scenes": len(source), **asdict(parameters), **more}


def manifest_about(about: dict) -> dict:
    """The entries of parameters.json that dataset.json repeats besides encoding and count."""
    return {key: value for key, value in about.items() if key not in ("encoding", "count")}


def claim(store, about: dict) -> None:
    """Writes parameters.json, or checks that an existing one has the same contents."""
    if not store.exists(PARAMETERS):
        store.write_bytes(PARAMETERS, (json.dumps(about, indent=2) + "\n").encode())
        return
    before = json.loads(store.read(PARAMETERS))
    changed = [k for k in {**before, **about} if before.get(k) != about.get(k)]
    if changed:
        received = ", ".join(f"{k} {about.get(k)!r} instead of {before.get(k)!r}" for k in changed)
        raise DataFileError(
            f"{store}/{PARAMETERS}: a dataset must be continued with the parameters it was "
            f"started with; received {received}"
        )


def left_jobs(everything, store) -> list[jobs.Job]:
    """The jobs still to do; if there are any, dataset.json (= complete) is removed."""
    earlier = jobs.earlier_lines(store)
    left = [job for job in everything if not jobs.is_done(job, store, earlier)]
    if left:
        store.remove(MANIFEST)
    return left


def _do(left, store, source, parameters, worker_count, progress):
    if not left:
        return
    images = sum(len(job.indices) for job in left)
    space = _Space(store, images)
    with (progress or _Silent)(total=parameters.count, initial=parameters.count - images) as bar:

        def report(size):
            bar.update(1)
            space.report(size)

        if worker_count > 1:
            workers.do_all(left, store, source, parameters, worker_count, report)
        else:
            generator = Generator(source, parameters, cores())
            for job in left:
                jobs.do(job, store, generator, report)


class _Silent:
    """No progress bar."""

    def __init__(self, total, initial):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, n):
        pass


class _Space:
    """Checks early whether the disk has room for the rest of the dataset."""

    def __init__(self, store, images: int):
        self.store, self.images, self.made, self.bytes = store, images, 0, 0

    def report(self, size: int) -> None:
        self.made, self.bytes = self.made + 1, self.bytes + size
        if self.made != min(IMAGES_FOR_ESTIMATE, self.images):
            return
        needed = self.bytes / self.made * self.images
        free = self.store.free_bytes()
        rule = f"{self.store}: the disk must have room for {self.images} more images"
        received = f"about {_gigabytes(needed)}; received {_gigabytes(free)} free"
        if needed > free * ESTIMATE_TOLERANCE:
            raise DataFileError(f"{rule}, {received}")
        if needed * ESTIMATE_TOLERANCE > free:
            print(f"warning: {rule}, {received}", file=sys.stderr)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"
