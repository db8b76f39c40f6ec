"""Writes a SYNDOF dataset with Apache Beam, on one machine or on a cluster.

python -m data_gen.beam --out OUT --count 8231 --crop 240 [options of python -m data_gen] [Beam's]

Needs the extra `[beam]`, and `apache-beam[gcp]` or `[aws]` for gs:// or s3://. The files are those
of `python -m data_gen`, byte for byte: a job of `jobs.py`, a shard or a few images, is one element
of the pipeline. A bundle that a runner retries, or runs twice at the same time, writes the same
bytes to its own temporary files and renames them. Finished jobs are not repeated, so a failed
pipeline continues when it is started again.

OUT and the roots of the source may be anything that Beam's `FileSystems` knows: a folder that all
workers share, gs://, s3://, hdfs://. A remote root is copied to each worker machine once. Workers
need this package: an image made `FROM apache/beam_python3.12_sdk:2.77.0` with a
`RUN pip install .` of this project (the launching machine: the same versions). Processors of
different kinds may round differently: equal bytes need workers of one kind.

Here (one process; more: --direct_num_workers 4 --direct_running_mode multi_processing):

    python -m data_gen.beam --out syndof --count 2000 --runner DirectRunner

Google Cloud Dataflow:

    python -m data_gen.beam --source sintel --root gs://BUCKET/sintel --out gs://BUCKET/syndof \\
        --count 8231 --runner DataflowRunner --project PROJECT --region us-central1 \\
        --temp_location gs://BUCKET/temp --sdk_container_image IMAGE

Apache Flink (the image is pulled by the task managers; `--flink_version` as the cluster's):

    python -m data_gen.beam --root /mnt/sintel --out /mnt/syndof --count 8231 \\
        --runner FlinkRunner --flink_master HOST:8081 --parallelism 16 \\
        --environment_type DOCKER --environment_config IMAGE

Apache Spark, through Beam's job server:

    docker run --net=host apache/beam_spark3_job_server:2.77.0 --spark-master-url=spark://HOST:7077
    python -m data_gen.beam --root hdfs://HOST/sintel --out hdfs://HOST/syndof --count 8231 \\
        --runner PortableRunner --job_endpoint localhost:8099 \\
        --environment_type DOCKER --environment_config IMAGE
"""

import functools
import shutil
import sys
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

try:
    import apache_beam as beam
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.utils.shared import Shared
except ImportError as error:
    message = (
        "data_gen.beam needs Apache Beam: pip install -e '.[beam]' in a checkout of this project; "
        f"received: {error}"
    )
    if __name__ == "__main__":
        sys.exit(f"error: {message}")
    raise ImportError(message) from error

from data_gen import command_line, environment, exit_codes
from data_gen.generation import options as shared_options
from data_gen.generation.parameters import DatasetParameters
from data_gen.generation.store import FOLDERS, is_left_over
from data_gen.sources.base import Subset

environment.prepare()  # on import: worker machines unpickle classes of this module first

_PLAIN = CompressionTypes.UNCOMPRESSED


class BeamStore:
    """A folder of any file system that Beam knows, as `store.LocalStore`."""

    def __init__(self, folder: str):
        self.folder = str(folder)

    def __str__(self):
        return self.folder

    def _path(self, name: str) -> str:
        return FileSystems.join(self.folder, *name.split("/"))

    def exists(self, name: str) -> bool:
        return FileSystems.exists(self._path(name))

    def read(self, name: str) -> bytes:
        with FileSystems.open(self._path(name), compression_type=_PLAIN) as file:
            return file.read()

    def write(self, name: str, write) -> None:
        """Calls `write(local temporary path)`, then renames the complete file to `name`."""
        path = self._path(name)
        parent, base = FileSystems.split(path)
        temporary = FileSystems.join(parent, f".{base}.{uuid.uuid4().hex[:8]}.tmp")
        _make_folder(parent)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / base
            write(local)
            try:
                with (
                    open(local, "rb") as source,
                    FileSystems.create(temporary, compression_type=_PLAIN) as target,
                ):
                    shutil.copyfileobj(source, target)
                _rename(temporary, path)
            except BaseException:
                if FileSystems.exists(temporary):
                    FileSystems.delete([temporary])
                raise

    def write_bytes(self, name: str, data: bytes) -> None:
        self.write(name, lambda temporary: temporary.write_bytes(data))

    def remove(self, name: str) -> None:
        if self.exists(name):
            FileSystems.delete([self._path(name)])

    def remove_folder(self, name: str) -> None:
        """Removes an empty folder; object stores have none."""
        if self.exists(name):
            FileSystems.delete([self._path(name)])

    def remove_left_over(self) -> None:
        """Removes the temporary files of killed workers."""
        patterns = [self._path(f"{folder}*.tmp") for folder in FOLDERS]
        for matched in FileSystems.match(patterns):
            for file in matched.metadata_list:
                if is_left_over(FileSystems.split(file.path)[1]):
                    FileSystems.delete([file.path])


def _make_folder(path: str) -> None:
    if not FileSystems.exists(path):
        try:
            FileSystems.mkdirs(path)
        except OSError:
            # Another worker made it meanwhile; object stores have no folders.
            if FileSystems.get_scheme(path) is None and not FileSystems.exists(path):
                raise


def _rename(temporary: str, path: str) -> None:
    try:
        FileSystems.rename([temporary], [path])
    except BeamIOError:
        # HDFS does not rename onto a file that is there: an earlier attempt's, with these bytes.
        if not FileSystems.exists(path):
            raise
        FileSystems.delete([path])
        FileSystems.rename([temporary], [path])


@functools.cache
def local_root(root: str) -> str:
    """A root as a local folder; a remote one (scheme://) is copied, once a process."""
    if FileSystems.get_scheme(root) is None:
        return root
    target = Path(tempfile.mkdtemp(prefix="data_gen-"))
    base = root.rstrip("/") + "/"
    (matched,) = FileSystems.match([base + "**"])
    for file in matched.metadata_list:
        local = target / file.path[len(base) :]
        local.parent.mkdir(parents=True, exist_ok=True)
        with (
            FileSystems.open(file.path, compression_type=_PLAIN) as remote,
            open(local, "wb") as opened,
        ):
            shutil.copyfileobj(remote, opened)
    return str(target)


@dataclass(frozen=True)
class Work:
    """The inputs of a worker; small, since it is sent with the pipeline."""

    out: str
    parameters: DatasetParameters
    scenes: shared_options.SourceOptions
    kept: tuple[int, ...] | None
    """The scenes kept by --distinct, selected once before the start; None: all."""

    def generator(self):
        """The `generator.Generator` of the dataset."""
        from data_gen.generation.generator import Generator

        scenes = replace(self.scenes, distinct=None)
        source, *_ = shared_options.open_source(scenes, self.parameters, localise=local_root)
        if self.kept is not None:
            source = Subset(source, self.kept)
        return Generator(source, self.parameters)


class DoJob(beam.DoFn):
    """A `jobs.Job` -> its number, once it is done."""

    def __init__(self, work: Work):
        self.work, self.shared = work, Shared()

    def setup(self):
        self.store = BeamStore(self.work.out)
        # One for all threads of a process: decoded scenes are large.
        self.generator = self.shared.acquire(self.work.generator)

    def process(self, job):
        from data_gen.generation import jobs

        if not jobs.is_done(job, self.store, {}):
            jobs.do(job, self.store, self.generator)
        yield job.number


def finish(count: int, work: Work, about: dict) -> int:
    """The last step, when `count` jobs are done: the manifest, and the dataset is complete."""
    from data_gen.generation import jobs, writer

    store = BeamStore(work.out)
    store.remove_left_over()
    everything = jobs.all_jobs(work.parameters)
    jobs.finish(everything, store, work.parameters, writer.manifest_about(about))
    return count


@dataclass(frozen=True)
class Options:
    """Defocuses all-in-focus RGB-D scenes with Apache Beam; other options go to Beam."""

    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder or URL of the dataset; a failed pipeline continues in it."""
    dataset: shared_options.Dataset
    scenes: shared_options.Scenes = field(default_factory=shared_options.SourceOptions)


def run(options: Options, beam_arguments=()) -> None:
    """Runs the pipeline and waits for its end; errors as `writer.write_dataset`."""
    from data_gen.generation import jobs, writer

    parameters = options.dataset
    source, origin, more = shared_options.open_source(
        options.scenes, parameters, localise=local_root
    )
    kept = source.indices if options.scenes.distinct is not None else None
    store, everything = BeamStore(options.out), jobs.all_jobs(parameters)
    about = writer.description(source, origin, parameters, more)
    writer.claim(store, about)
    left = writer.left_jobs(everything, store)
    work = Work(options.out, parameters, options.scenes, kept)
    with beam.Pipeline(options=PipelineOptions(list(beam_arguments))) as pipeline:
        _ = (
            pipeline
            | "jobs" >> beam.Create(left)
            | "spread" >> beam.Reshuffle()
            | "make" >> beam.ParDo(DoJob(work))
            | "all" >> beam.combiners.Count.Globally()
            | "finish" >> beam.Map(finish, work, about)
        )


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    options, beam_arguments = command_line.parse(
        Options, argv, "python -m data_gen.beam", __doc__.split("\n\n")[0], pass_on=True
    )

    def work():
        run(options, beam_arguments)
        print(f"{options.dataset.count} examples in {options.out}")
        return exit_codes.OK

    return command_line.run(
        work, "interrupted; run the same command again to continue where it stopped"
    )


if __name__ == "__main__":
    # What travels to the workers must belong to a module that they can import.
    from data_gen.beam import main as importable_main

    sys.exit(importable_main())
