"""A dataset's jobs: done, interrupted between any two steps, and done again."""

import json
import os

import pytest

from data_gen import pipeline
from data_gen.generation import jobs, writer
from data_gen.generation.generator import Generator
from data_gen.generation.parameters import DatasetParameters
from data_gen.generation.store import LocalStore


class Stopped(Exception):
    pass


class Faulty(LocalStore):
    """Stops at its step number `stop`: before a file appears, or after one did or has gone."""

    def __init__(self, folder, stop):
        super().__init__(folder)
        self.steps, self.stop = 0, stop

    def _step(self):
        self.steps += 1
        if self.steps == self.stop:
            raise Stopped

    def write(self, name, write):
        def write_and_stop(temporary):
            write(temporary)
            self._step()

        super().write(name, write_and_stop)
        self._step()

    def remove(self, name):
        super().remove(name)
        self._step()


@pytest.fixture(scope="module", params=["records", "folders"])
def made(request):
    """Parameters and a generator that makes each example once."""
    parameters = DatasetParameters(10, crop=16, layout=request.param, shard_size=4)
    generator = Generator(pipeline.ProceduralScenes(0, 10, 24, 24), parameters)
    examples = {}

    def encoded(index):
        if index not in examples:
            examples[index] = Generator.encoded(generator, index)
        return examples[index]

    generator.encoded = encoded
    return parameters, generator


def write(store, parameters, generator):
    """What `writer.write_dataset` does, with a store of any kind; -> how many jobs were left."""
    everything = jobs.all_jobs(parameters)
    left = writer.left_jobs(everything, store)
    for job in left:
        jobs.do(job, store, generator)
    jobs.finish(everything, store, parameters, {"seed": 0})
    return len(left)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_stopped_at_every_step(tmp_path, made, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # thousands of files
    whole = Faulty(tmp_path / "whole", stop=0)
    write(whole, *made)
    expected = contents(whole.folder)
    assert whole.steps > 12
    for stop in range(1, whole.steps + 1):
        folder = tmp_path / str(stop)
        with pytest.raises(Stopped):
            write(Faulty(folder, stop), *made)
        if (folder / "dataset.json").exists():
            assert {path: contents(folder)[path] for path in expected} == expected
        write(LocalStore(folder), *made)
        assert contents(folder) == expected


def test_complete_means_nothing_is_left(tmp_path, made):
    store = LocalStore(tmp_path)
    assert write(store, *made) == len(jobs.all_jobs(made[0]))
    before = contents(tmp_path)
    assert write(store, *made) == 0
    assert contents(tmp_path) == before


def test_a_lost_file_is_made_again(tmp_path, made):
    store = LocalStore(tmp_path)
    write(store, *made)
    before = contents(tmp_path)
    for job in jobs.all_jobs(made[0]):
        (tmp_path / job.files[-1]).unlink()
        assert write(store, *made) == 1
        assert contents(tmp_path) == before
    (tmp_path / "manifest.jsonl").unlink()
    assert write(store, *made) == len(jobs.all_jobs(made[0]))
    assert contents(tmp_path) == before


def test_while_something_is_missing_the_dataset_is_not_called_complete(tmp_path, made):
    parameters, generator = made
    store = LocalStore(tmp_path)
    write(store, *made)
    (tmp_path / jobs.all_jobs(parameters)[0].files[0]).unlink()
    assert len(writer.left_jobs(jobs.all_jobs(parameters), store)) == 1
    assert not (tmp_path / "dataset.json").exists()


def test_jobs_cover_each_example_once():
    for layout in ("records", "folders"):
        for count in (1, 7, 8, 9, 64):
            parameters = DatasetParameters(count, layout=layout, shard_size=3)
            indices = [i for job in jobs.all_jobs(parameters) for i in job.indices]
            assert indices == list(range(count))


def test_lines_are_json_in_the_order_of_the_images(tmp_path, made):
    write(LocalStore(tmp_path), *made)
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(10))
    assert all(line["source"] is None for line in lines)
