"""A dataset as a list of jobs, which can run anywhere, in any order, and more than once.

A job writes the files of examples first .. stop - 1 and, after them, its lines of the manifest:

    dmenet-00003-of-00010.tfrecord    or  image/000024.png, blur_map/000024.png, ...
    .jobs/00003.jsonl                 the lines of these examples, until the dataset is complete

Each file is written atomically, and its bytes do not depend on when it is written. A job is done if
its files and its lines exist; otherwise it is done again and overwrites what is there. When all are
done, manifest.jsonl is written, then dataset.json, and then .jobs is removed. So a writer may be
killed at any moment: each job is then either done or not.
"""

import json
from dataclasses import dataclass

from data_gen.dataset import shards
from data_gen.dataset.manifest import MANIFEST, MANIFEST_LINES, line_text, manifest_text
from data_gen.generation.generator import Generator
from data_gen.generation.parameters import DatasetParameters

# Images per job of layout `folders`: larger loses more to a kill, smaller makes more job files.
FOLDER_JOB = 8


@dataclass(frozen=True)
class Job:
    """Examples first .. stop - 1, written to `files`."""

    number: int
    first: int
    stop: int
    files: tuple[str, ...]

    @property
    def lines(self) -> str:
        """Name of the file with this job's lines of the manifest."""
        return f".jobs/{self.number:05d}.jsonl"

    @property
    def indices(self) -> range:
        return range(self.first, self.stop)


def all_jobs(parameters: DatasetParameters) -> list[Job]:
    """The jobs of a dataset, in order."""
    count, of_records = parameters.count, parameters.layout == "records"
    size = parameters.shard_size if of_records else FOLDER_JOB
    jobs = []
    for number, first in enumerate(range(0, count, size)):
        stop = min(first + size, count)
        files = (
            (shards.shard_name(number, -(-count // size)),)
            if of_records
            else tuple(
                f"{folder}/{index:06d}.png"
                for index in range(first, stop)
                for folder in ("blur_map", "image")
            )
        )
        jobs.append(Job(number, first, stop, files))
    return jobs


def is_done(job: Job, store, earlier: dict) -> bool:
    """Whether the job is done; `earlier`: from `earlier_lines`."""
    described = store.exists(job.lines) or all(index in earlier for index in job.indices)
    return described and all(map(store.exists, job.files))


def earlier_lines(store) -> dict:
    """{index: line} of an existing manifest.jsonl, whose dataset was complete once; else {}."""
    if not store.exists(MANIFEST_LINES):
        return {}
    lines = store.read(MANIFEST_LINES).splitlines(keepends=True)
    return {json.loads(line)["index"]: line for line in lines}


def do(job: Job, store, generator: Generator, report=lambda size: None) -> None:
    """Writes a job's files, then its lines; `report(bytes)` after each example."""
    lines = []

    def encoded():
        for place, example in enumerate(generator.encoded_all(job.indices)):
            if generator.parameters.layout == "records":
                where = {"file": job.files[0], "record": place}
            else:
                map_file, file = example.parts
                where = {"file": file, "map_file": map_file}
            about = {"index": example.index, **where, **example.about}
            lines.append(line_text(about))
            yield example
            report(example.size)

    if generator.parameters.layout == "records":
        written = (example.parts["record"] for example in encoded())
        store.write(job.files[0], lambda temporary: shards.write_records(temporary, written))
    else:
        for example in encoded():
            for name, data in example.parts.items():
                store.write_bytes(name, data)
    store.write_bytes(job.lines, "".join(lines).encode())


def finish(jobs: list[Job], store, parameters: DatasetParameters, about: dict) -> None:
    """Marks a dataset as complete once all its jobs are done.

    `about`: entries of dataset.json besides encoding and count.
    """
    earlier = earlier_lines(store)
    lines = [
        store.read(job.lines)
        if store.exists(job.lines)
        else b"".join(earlier[index] for index in job.indices)
        for job in jobs
    ]
    store.write_bytes(MANIFEST_LINES, b"".join(lines))
    text = manifest_text(parameters.encoding, parameters.count, **about)
    store.write_bytes(MANIFEST, text.encode())
    for job in jobs:
        store.remove(job.lines)
    store.remove_folder(".jobs")
