"""The Apache Beam pipeline: the files of the local writer, byte for byte."""

import pytest

pytest.importorskip("apache_beam", reason="needs Apache Beam, the extra [beam]")

from data_gen import __main__ as local
from data_gen import beam
from data_gen.generation import jobs
from data_gen.generation.parameters import DatasetParameters


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def both(tmp_path, *options):
    options = [str(option) for option in options]
    assert local.main(["--out", str(tmp_path / "local"), "--jobs", "1", *options]) == 0
    out = tmp_path / "beam"
    assert beam.main(["--out", str(out), *options, "--runner", "DirectRunner"]) == 0
    return contents(tmp_path / "local"), contents(out)


def test_forty_images_in_records(tmp_path, scenes):
    options = ["--root", scenes, "--count", 40, "--crop", 32, "--shard-size", 7, "--seed", 4]
    expected, received = both(tmp_path, *options)
    assert len(expected) == 6 + 3 and received == expected
    # A pipeline that failed: a shard, its lines and the end are missing.
    out = tmp_path / "beam"
    for name in ("dmenet-00002-of-00006.tfrecord", "dataset.json"):
        (out / name).unlink()
    (out / ".dmenet-00002-of-00006.tfrecord.0123abcd.tmp").write_bytes(b"half")
    assert beam.main(["--out", str(out), *map(str, options), "--runner", "DirectRunner"]) == 0
    assert contents(out) == expected


def test_folders_of_distinct_scenes(tmp_path, scenes):
    options = ["--root", scenes, "--count", 10, "--crop", 16, "--layout", "folders"]
    expected, received = both(tmp_path, *options, "--distinct", 20)
    expected = {path: data for path, data in expected.items() if path.parts[0] != "distinct"}
    assert len(expected) == 20 + 3 and received == expected


@pytest.mark.process
def test_several_workers_write_what_the_trainer_reads_as_it_is(tmp_path, scenes):
    """Processes of Beam's DirectRunner; the folder is opened where they wrote it."""
    from dmenet_tf.config import DataConfig
    from dmenet_tf.data import sources, streams

    options = ["--root", scenes, "--count", 40, "--crop", 32, "--shard-size", 7, "--seed", 4]
    workers = ["--direct_num_workers", 3, "--direct_running_mode", "multi_processing"]
    options = [str(option) for option in options]
    assert local.main(["--out", str(tmp_path / "local"), "--jobs", "1", *options]) == 0
    out = tmp_path / "beam"
    arguments = ["--out", out, *options, "--runner", "DirectRunner", *workers]
    assert beam.main([str(argument) for argument in arguments]) == 0
    before = contents(out)
    assert before == contents(tmp_path / "local")
    config = DataConfig(synthetic=(str(out),), crop=32, batch=4, validation_examples=2)
    opened = sources.open_streams(config, 0)
    assert opened.synthetic.records.counts == (36,)
    drawn = list(streams.training_batches(opened, config, 0).take(9).as_numpy_iterator())
    # An epoch: 36 pairs, none twice, read from the very files, of which there is no copy.
    assert len({image.tobytes() for batch in drawn for image in batch["synthetic"]}) == 36
    assert contents(out) == before
    assert {file.parent for file in opened.synthetic.records.folders[0].files} == {out}


def test_a_job_tried_again_writes_the_same(tmp_path):
    from data_gen.generation.options import SourceOptions

    parameters = DatasetParameters(2, crop=16, shard_size=2)
    work = beam.Work(str(tmp_path), parameters, SourceOptions(), None)
    store, (job,) = beam.BeamStore(work.out), jobs.all_jobs(parameters)
    generator = work.generator()
    jobs.do(job, store, generator)
    before = contents(tmp_path)
    jobs.do(job, store, generator)
    assert contents(tmp_path) == before and set(before) == {p for p in before if p.suffix != ".tmp"}


def test_errors_in_one_line(tmp_path, capsys):
    out = str(tmp_path / "out")
    arguments = ["--out", out, "--count", "2", "--crop", "16", "--runner", "DirectRunner"]
    assert beam.main(arguments) == 0
    assert beam.main([*arguments, "--seed", "1"]) == 1
    assert "received seed 1 instead of 0" in capsys.readouterr().err.splitlines()[-1]
